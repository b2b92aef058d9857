# SPDX-License-Identifier: Apache-2.0
"""Labelling many pictures: shards, resumption, a process that dies, folders that are shared or not."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from multiprocessing.synchronize import Event
from pathlib import Path

import cv2
import numpy as np
import pytest

from cast_train.data import Sample
from cast_train.data.streets import CLASSES
from cast_train.errors import DataError, TeacherError
from cast_train.teachers.cache import LabelCache
from cast_train.teachers.labelling import LabelRun, PictureFolder, Shard, pseudo_labelled, read_label
from cast_train.teachers.report import CollapseRule
from cast_train.teachers.teacher import PseudoLabels, PseudoLabelSettings

COUNT = 11
CAR = 9


class Brightness:
    """Says that bright pictures are one car; optionally never comes back from one picture."""

    fingerprint = 'brightness'

    def __init__(self, stuck_at: int | None = None, stuck: Event | None = None) -> None:
        self.asked = 0
        self._stuck_at, self._stuck = stuck_at, stuck

    def label(self, images: Sequence[np.ndarray], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        self.asked += len(images)
        if self._stuck is not None and self.asked == self._stuck_at:
            self._stuck.set()
            signal.pause()
        return [
            PseudoLabels(
                *image.shape[:2],
                np.array([CAR]),
                np.array([image.mean() / 255], np.float32),
                np.full((1, 2, 2), 255, np.uint8),
            )
            for image in images
        ]


class Empty(Brightness):
    """Sees nothing."""

    def label(self, images: Sequence[np.ndarray], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        self.asked += len(images)
        nothing = np.zeros(0)
        return [
            PseudoLabels(8, 8, nothing.astype(np.int64), nothing.astype(np.float32), np.zeros((0, 2, 2), np.uint8))
            for _ in images
        ]


def pictures(count: int = COUNT) -> list[Sample]:
    return [Sample(f'{index}', np.full((8, 8, 3), 100 + 10 * index, np.uint8), fx_px=10.0) for index in range(count)]


def run_in(folder: Path, rank: int = 0, world: int = 1, **changes: object) -> LabelRun:
    return LabelRun(folder, CLASSES, shard=Shard(rank, world), **changes)  # type: ignore[arg-type]


def read_labels(folder: Path, fingerprint: str, samples: list[Sample]) -> list[PseudoLabels]:
    cache = LabelCache(folder, fingerprint)
    return [read_label(cache, sample) for sample in samples]


def sums_of(folder: Path) -> dict[str, object]:
    sums: dict[str, object] = json.loads((folder / 'report.json').read_text())['sums']
    return sums


def test_every_picture_is_asked_once_and_read_back(tmp_path: Path) -> None:
    teacher = Brightness()
    report = run_in(tmp_path).label(teacher, pictures())
    assert (teacher.asked, report.labelled, report.computed) == (COUNT, COUNT, COUNT)
    again = Brightness()
    assert run_in(tmp_path).label(again, pictures()).computed == 0
    assert again.asked == 0
    found = read_labels(tmp_path, 'brightness', pictures())
    assert [round(float(one.scores[0]) * 255) for one in found] == [100 + 10 * index for index in range(COUNT)]
    assert sums_of(tmp_path)['labelled'] == COUNT


def test_stored_labels_stand_in_for_the_true_ones(tmp_path: Path) -> None:
    run_in(tmp_path).label(Brightness(), pictures())
    found = pseudo_labelled(pictures(), tmp_path, 'brightness', PseudoLabelSettings(score=0.6))
    assert len(found) == COUNT
    assert [len(sample.instance_labels) for sample in found[4:7]] == [0, 0, 1]  # type: ignore[arg-type]
    assert found[6].name == '6'
    assert (found[6].instance_ids == 1).all()


def test_labels_that_nobody_made_are_named(tmp_path: Path) -> None:
    run_in(tmp_path).label(Brightness(), pictures(2))
    with pytest.raises(TeacherError, match=r'no labels of 2 by this teacher'):
        read_labels(tmp_path, 'brightness', pictures(3))


def test_a_damaged_file_is_said_and_made_anew(tmp_path: Path) -> None:
    run_in(tmp_path).label(Brightness(), pictures())
    victim = sorted(tmp_path.rglob('*.npz'))[3]
    victim.write_bytes(victim.read_bytes()[:100])
    said: list[str] = []
    report = run_in(tmp_path, say=said.append).label(Brightness(), pictures())
    assert (report.computed, report.damaged) == (1, 1)
    assert victim.name in said[0]
    assert len(read_labels(tmp_path, 'brightness', pictures())) == COUNT


@pytest.mark.parametrize('world', [1, 2, 3, 20])
def test_shards_cover_everything_exactly_once(world: int) -> None:
    taken = [index for rank in range(world) for index in Shard(rank, world).indices(COUNT)]
    assert sorted(taken) == list(range(COUNT))


def test_a_killed_process_loses_nothing_and_holds_nobody_up(tmp_path: Path) -> None:
    context = multiprocessing.get_context('fork')
    stuck = context.Event()

    def work(rank: int, teacher: Brightness) -> None:
        run_in(tmp_path, rank, world=2, batch=1).label(teacher, pictures())

    victim = context.Process(target=work, args=(1, Brightness(stuck_at=3, stuck=stuck)))
    other = context.Process(target=work, args=(0, Brightness()))
    victim.start()
    other.start()
    assert stuck.wait(60)
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    victim.join(60)
    other.join(60)
    assert (victim.exitcode, other.exitcode) == (-signal.SIGKILL, 0)
    assert len(list(tmp_path.rglob('*.npz'))) == 6 + 2  # all of rank 0, two of rank 1
    assert not (tmp_path / 'report.json').exists()

    computed = [run_in(tmp_path, rank, world=3).label(Brightness(), pictures()).computed for rank in range(3)]
    assert sum(computed) == COUNT - 8
    assert sums_of(tmp_path)['labelled'] == COUNT
    assert len(read_labels(tmp_path, 'brightness', pictures())) == COUNT


def test_the_last_process_adds_the_reports_up(tmp_path: Path) -> None:
    run_in(tmp_path, 1, world=2).label(Brightness(), pictures())
    assert not (tmp_path / 'report.json').exists()
    run_in(tmp_path, 0, world=2).label(Brightness(), pictures())
    assert sums_of(tmp_path)['asked'] == sums_of(tmp_path)['computed'] == COUNT


def test_separate_folders_keep_their_own_reports_and_can_be_copied_together(tmp_path: Path) -> None:
    for rank in range(2):
        run_in(tmp_path / f'{rank}', rank, world=2).label(Brightness(), pictures())
        assert not (tmp_path / f'{rank}' / 'report.json').exists()
        assert len(list((tmp_path / f'{rank}' / 'reports').iterdir())) == 1
    together = tmp_path / 'together'
    for path in [*tmp_path.glob('0/**/*.npz'), *tmp_path.glob('1/**/*.npz')]:
        target = together / path.relative_to(tmp_path / path.relative_to(tmp_path).parts[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    assert len(read_labels(together, 'brightness', pictures())) == COUNT


def test_a_collapsed_teacher_is_stopped_early(tmp_path: Path) -> None:
    teacher = Empty()
    with pytest.raises(TeacherError, match='4 of 4 pictures have no detection'):
        run_in(tmp_path, batch=2, rule=CollapseRule(after=4)).label(teacher, pictures())
    assert teacher.asked == 4
    assert not (tmp_path / 'report.json').exists()


def test_a_collapse_that_only_all_shards_together_show_is_found(tmp_path: Path) -> None:
    rule = CollapseRule(after=COUNT)
    run_in(tmp_path, 0, world=2, rule=rule).label(Empty(), pictures())
    with pytest.raises(TeacherError, match='11 of 11 pictures have no detection'):
        run_in(tmp_path, 1, world=2, rule=rule).label(Empty(), pictures())


def test_the_environment_says_which_shard_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('RANK', 'WORLD_SIZE'):
        monkeypatch.delenv(name, raising=False)
    assert Shard.of_environment() == Shard(0, 1)
    monkeypatch.setenv('RANK', '2')
    monkeypatch.setenv('WORLD_SIZE', '4')
    assert Shard.of_environment() == Shard(2, 4)
    for rank in ('4', '-1', 'one'):
        monkeypatch.setenv('RANK', rank)
        with pytest.raises(TeacherError, match='WORLD_SIZE'):
            Shard.of_environment()


def test_a_folder_of_pictures_is_read_in_order_with_its_subfolders(tmp_path: Path) -> None:
    for name, value in (('b.png', 2), ('a/z.PNG', 1), ('c.jpg', 3)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(path), np.full((4, 6, 3), value, np.uint8))
    (tmp_path / 'notes.txt').write_text('no picture')
    folder = PictureFolder(tmp_path, fx_px=33.0)
    assert [folder[index].name for index in range(len(folder))] == ['a/z.PNG', 'b.png', 'c.jpg']
    assert folder[1].image.mean() == 2
    assert folder[1].fx_px == 33.0


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='no picture in it'):
        PictureFolder(tmp_path, None)
    with pytest.raises(DataError, match='no such folder'):
        PictureFolder(tmp_path / 'nowhere', None)
