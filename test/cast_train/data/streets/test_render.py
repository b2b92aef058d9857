# SPDX-License-Identifier: Apache-2.0
"""`cast-train streets render` as a user runs it, and real renders where Blender is installed as a Python module."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from train_verb import cast_train

from cast_train.data import open_dataset
from cast_train.data.streets.jobs import Options, SceneJob, choose_jobs
from cast_train.data.streets.quality import Quality
from cast_train.data.streets.render import NEEDED_MODULES, render_jobs
from cast_train.data.streets.splits import PARTS
from cast_train.errors import DataError

ABSENT = [name for name in NEEDED_MODULES if importlib.util.find_spec(name) is None]
needs_blender = pytest.mark.skipif(bool(ABSENT), reason=f'needs the Python modules {ABSENT} of the extra `render`')
TINY = Options(Quality(64, 32, samples=1))


def streets_render(*arguments: str | Path) -> int:
    return cast_train('streets', 'render', *arguments)


def quiet() -> Console:
    return Console(file=io.StringIO())


@pytest.mark.skipif(not ABSENT, reason='Blender is installed here')
def test_without_blender_one_line_says_how_to_install_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert streets_render('--out', tmp_path / 'streets') == 2
    message = capsys.readouterr().err
    assert message.count('\n') == 1
    assert re.search(r'`pip install ".*\[cpu,train,render\]"`', message)
    assert not (tmp_path / 'streets').exists()


@pytest.mark.skipif(not ABSENT, reason='Blender is installed here')
def test_a_renderer_that_dies_is_reported_with_its_scene_and_last_words(tmp_path: Path) -> None:
    jobs = choose_jobs(tmp_path, ['mine'], ['day'], '1', 1, None, TINY)
    with pytest.raises(
        DataError, match=r'mine day scene 1: the renderer ended with code 1 .*No module named .bpy.*goes on'
    ):
        render_jobs(jobs, 1, quiet())
    assert not list(tmp_path.rglob('*.jpg'))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--split', 'mine'], 'say its --seeds'),
        (['--split', '../mine', '--seeds', '1'], 'letters, digits'),
        (['--seeds', '5-'], 'FIRST-LAST'),
        (['--seeds', '900000'], 'reserved'),
        (['--seeds', '9-3'], 'must ascend'),
        (['--domain', 'dusk'], 'must be one of day, night'),
        (['--weather', 'hail'], 'clear, rain, fog, snow, random'),
        (['--appearance', 'odd'], 'default, random'),
        (['--views', '1', '--drive', '4'], 'exclude each other'),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert streets_render('--out', tmp_path, *arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count('\n') == 1


def test_without_options_the_jobs_are_the_shared_set(tmp_path: Path) -> None:
    jobs = choose_jobs(tmp_path, None, None, None, None, None, Options())
    assert len(jobs) == sum(len(part.seeds) for part in PARTS.values())
    assert {(job.split, job.domain) for job in jobs} == set(PARTS)
    assert {job.options for job in jobs} == {Options(Quality(512, 256, 8, 1), 'clear', 'default')}


def test_chosen_splits_domains_and_seeds(tmp_path: Path) -> None:
    jobs = choose_jobs(tmp_path, ['val', 'mine'], ['night'], '8-9', None, 3, Options())
    assert [(job.split, job.domain, job.seed) for job in jobs] == [
        (split, 'night', seed) for split in ('val', 'mine') for seed in (8, 9)
    ]
    assert [len(job.frames()) for job in jobs] == [3, 3, 3, 3]


@needs_blender
def test_a_drive_is_rendered_resumed_and_loads(tmp_path: Path) -> None:
    jobs = choose_jobs(tmp_path, ['mine'], ['day'], '1', None, 2, TINY)
    assert render_jobs(jobs, 2, quiet()) == (2, 0)
    before = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    assert len(before) == 10
    lost = jobs[0].files(jobs[0].frames()[1])
    lost.picture.unlink()
    assert render_jobs(jobs, 2, quiet()) == (1, 1)
    after = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    assert after.keys() == before.keys()
    assert all(after[path] == before[path] for path in before if path != lost.picture)
    pictures = (cv2.imdecode(np.frombuffer(files[lost.picture], np.uint8), 1).astype(int) for files in (before, after))
    assert np.abs(np.subtract(*pictures)).mean() < 1, 'its noise is that of the undisturbed run'
    sample = open_dataset('streets', tmp_path, 'mine', 'day')[1]
    assert sample.image.shape == (32, 64, 3)
    assert sample.semantic is not None
    assert set(np.unique(sample.semantic)) <= set(range(11))
    assert sample.depth_m is not None
    assert np.isposinf(sample.depth_m[sample.semantic == 7]).all(), 'sky and nothing else is far away'


@needs_blender
def test_weather_and_looks_change_the_picture_alone(tmp_path: Path) -> None:
    plain, changed = (
        choose_jobs(tmp_path / name, ['mine'], ['night'], '3', 1, None, options)[0]
        for name, options in (('plain', TINY), ('changed', Options(TINY.quality, 'snow', 'random')))
    )
    assert render_jobs([plain, changed], 1, quiet()) == (2, 0)
    first, second = plain.files(plain.frames()[0]), changed.files(changed.frames()[0])
    assert first.instance_ids.read_bytes() == second.instance_ids.read_bytes()
    assert first.depth.read_bytes() == second.depth.read_bytes()
    assert first.picture.read_bytes() != second.picture.read_bytes()
    assert json.loads(second.camera.read_text())['render'] == {'weather': 'snow', 'appearance': 'random', 'samples': 1}


@needs_blender
@pytest.mark.parametrize('number', [0])
def test_the_default_is_the_shared_set(shared_data: Path, tmp_path: Path, number: int) -> None:
    job = SceneJob(tmp_path, 'val', 'night', 6000, PARTS['val', 'night'], Options())
    theirs = SceneJob(shared_data / 'streets', 'val', 'night', 6000, job.part, Options())
    for frame in job.frames():  # all frames but one are there already
        if frame.number != number:
            for kind in ('picture', 'instance_ids', 'label_ids', 'depth', 'camera'):
                source, target = (getattr(found.files(frame), kind) for found in (theirs, job))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
    assert render_jobs([job], 1, quiet())[0] == 1
    mine, shared = job.files(job.frames()[number]), theirs.files(theirs.frames()[number])
    assert json.loads(mine.camera.read_text()) == pytest.approx(json.loads(shared.camera.read_text()), rel=1e-6)
    for kind in ('label_ids', 'instance_ids', 'depth'):
        first, second = (cv2.imread(str(getattr(files, kind)), cv2.IMREAD_UNCHANGED) for files in (mine, shared))
        assert (first == second).all(), kind
    pictures = (cv2.imread(str(files.picture)).astype(int) for files in (mine, shared))
    assert np.abs(np.subtract(*pictures)).mean() < 0.5


@needs_blender
def test_the_footprints_are_those_of_blenders_meshes() -> None:
    import bpy
    from mathutils import Vector

    from cast_train.data.streets.blender.stage import RenderedStage as Stage
    from cast_train.data.streets.street import build_scene
    from cast_train.data.streets.views import footprints

    scene = build_scene(1, night=False)
    Stage(scene, TINY.quality)
    for number, box in enumerate(footprints(scene), 1):
        meshes = [item for item in bpy.data.objects if item.type == 'MESH' and item.pass_index == number]
        corners = np.array([item.matrix_basis @ Vector(corner) for item in meshes for corner in item.bound_box])[:, :2]
        assert np.concatenate([corners.min(0), corners.max(0)]) == pytest.approx(box, abs=1e-4)
