# SPDX-License-Identifier: Apache-2.0
"""CAST with its own teacher, on tiny random networks of the real classes, without any network access."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cast import cast_document, draw_scenes

from cast_ros.student import Student
from cast_train.engine.recipe_file import parse
from cast_train.methods.cast.recipe import CastRecipe
from cast_train.methods.cast.stages import STAGED
from cast_train.methods.cast.teachers import AdaptableGroundedSam2
from cast_train.methods.cast.training import CastTraining
from cast_train.methods.method import Pictures
from cast_train.methods.stages import Stages

pytest.importorskip('transformers', reason='the extra [foundation] is not installed')


def _refuse(*_: Any, **__: Any) -> None:
    raise AssertionError('something tried to reach the network')


def teacher_document(detector: Path, segmenter: Path, **seed: int) -> dict[str, Any]:
    adaptation = {'steps': 2, 'batch': 1, 'checkpoint_every': 1, **seed}
    return {
        'kind': 'grounded_sam2',
        'settings': {'detector': str(detector), 'segmenter': str(segmenter), 'box_threshold': 0.0},
        'detector': {**adaptation, 'short_sides_px': [96], 'long_side_px': 192},
        'mask_decoder': adaptation,
    }


@pytest.fixture(scope='module')
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Streets, a detector and a segmenter."""
    from tiny_grounded_sam2 import tiny_grounded_sam2

    root: Path = tmp_path_factory.mktemp('drawn')
    draw_scenes(root / 'streets')
    return (root / 'streets', *tiny_grounded_sam2(root / 'foundation'))


def adapt(drawn: tuple[Path, Path, Path], folder: Path, seed: int, named: int | None = None) -> dict[str, bytes]:
    """Adapt both networks in a folder, and return the bytes of their weights; ``named`` is a seed of their own."""
    streets, *networks = drawn
    teacher = teacher_document(*networks, **({} if named is None else {'seed': named}))
    recipe = parse(CastRecipe, cast_document(streets, Path(), teacher=teacher, seed=seed), 'tiny')
    training = CastTraining(recipe, Stages(folder, print), Pictures(recipe.data))
    AdaptableGroundedSam2(training).adapt(None, training.samples(training.split.labelled), [], folder)
    return {part: (folder / part / 'model.safetensors').read_bytes() for part in ('detector', 'segmenter')}


def test_the_seed_of_the_recipe_decides_what_the_teacher_sees_unless_its_section_names_one(
    drawn: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    third, fourth = (adapt(drawn, tmp_path / str(seed), seed) for seed in (3, 4))
    assert third['detector'] != fourth['detector']
    assert third['segmenter'] != fourth['segmenter']
    assert adapt(drawn, tmp_path / 'named', 3, named=4) == fourth


def test_what_was_adapted_before_a_kill_is_not_adapted_again(drawn: tuple[Path, Path, Path], tmp_path: Path) -> None:
    before = adapt(drawn, tmp_path, 3)
    written = (tmp_path / 'detector' / 'model.safetensors').stat().st_mtime_ns
    # As a kill does while the mask decoder learns, and once more before what was saved of a run is removed.
    shutil.rmtree(tmp_path / 'segmenter')
    (tmp_path / 'detector.run-0').mkdir()
    for path in (tmp_path / 'detector.run-0' / 'last.pt', tmp_path / 'detector.progress.pt'):
        torch.save({'recipe': {'origin': 'of a run that is over'}}, path)
    assert adapt(drawn, tmp_path, 3) == before
    assert (tmp_path / 'detector' / 'model.safetensors').stat().st_mtime_ns == written
    # Of the runs no weights are left, only their logs.
    assert sorted(path.name for path in tmp_path.iterdir() if '.run-' not in path.name) == ['detector', 'segmenter']
    assert not list(tmp_path.rglob('*.pt'))
    assert list(tmp_path.glob('segmenter.run-*/log.jsonl'))


def test_label_cache_distil_export_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiny_grounded_sam2 import tiny_grounded_sam2

    detector, segmenter = tiny_grounded_sam2(tmp_path / 'foundation')
    draw_scenes(tmp_path / 'streets')
    monkeypatch.setattr(socket.socket, 'connect', _refuse)
    monkeypatch.setattr(socket, 'create_connection', _refuse)
    teacher = teacher_document(detector, segmenter)
    recipe = parse(CastRecipe, cast_document(tmp_path / 'streets', Path(), teacher=teacher), 'tiny')
    student = STAGED.student(recipe, tmp_path / 'run', tmp_path / 'stages', print)

    assert Student.load(student).contract.provenance['teacher'] == 'grounded_sam2'
    stages = json.loads((tmp_path / 'run' / 'manifest.json').read_text())['stages']
    labelled = [stage for stage in stages if stage['name'] == 'pseudo-labels']
    assert [stage['report']['coverage'] for stage in labelled] == [1.0, 1.0]
    assert labelled[0]['fingerprint'] != labelled[1]['fingerprint']
