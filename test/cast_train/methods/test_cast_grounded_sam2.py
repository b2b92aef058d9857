# SPDX-License-Identifier: Apache-2.0
"""CAST with its own teacher, on tiny random networks of the real classes, without any network access."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from tiny_cast import cast_document, draw_scenes

from cast_ros.student import Student
from cast_train.methods.pipeline import run_cast
from cast_train.methods.recipe import parse_cast_recipe

pytest.importorskip('transformers', reason='the extra [foundation] is not installed')


def _refuse(*_: Any, **__: Any) -> None:
    raise AssertionError('something tried to reach the network')


def test_label_cache_distil_export_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiny_grounded_sam2 import tiny_grounded_sam2

    detector, segmenter = tiny_grounded_sam2(tmp_path / 'foundation')
    draw_scenes(tmp_path / 'streets')
    monkeypatch.setattr(socket.socket, 'connect', _refuse)
    monkeypatch.setattr(socket, 'create_connection', _refuse)
    adaptation = {'steps': 2, 'batch': 1, 'checkpoint_every': 1}
    teacher = {
        'kind': 'grounded_sam2',
        'settings': {'detector': str(detector), 'segmenter': str(segmenter), 'box_threshold': 0.0},
        'detector': {**adaptation, 'short_sides_px': [96], 'long_side_px': 192},
        'mask_decoder': adaptation,
    }
    recipe = parse_cast_recipe(cast_document(tmp_path / 'streets', Path(), teacher=teacher), 'tiny')
    student = run_cast(recipe, tmp_path / 'run', tmp_path / 'stages', print)

    assert Student.load(student).contract.provenance['teacher'] == 'grounded_sam2'
    stages = json.loads((tmp_path / 'run' / 'manifest.json').read_text())['stages']
    labelled = [stage for stage in stages if stage['name'] == 'pseudo-labels']
    assert [stage['report']['coverage'] for stage in labelled] == [1.0, 1.0]
    assert labelled[0]['fingerprint'] != labelled[1]['fingerprint']
