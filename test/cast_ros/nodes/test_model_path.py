# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from cast_ros.nodes.model_path import DEFAULT_MODEL, model_path
from cast_ros.nodes.parameter import ParameterError


def test_a_model_path_is_taken_as_it_is_and_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', '/home/robot')
    assert model_path('models/a.onnx') == Path('models/a.onnx')
    assert model_path('~/a.onnx') == Path('/home/robot/a.onnx')


def test_a_missing_default_student_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr('cast_ros.nodes.model_path.share_folders', lambda: [tmp_path])
    with pytest.raises(ParameterError, match=r"default student is not installed .*: set 'model' to the path"):
        model_path('')
    student = tmp_path / 'models' / DEFAULT_MODEL
    student.parent.mkdir()
    student.touch()
    assert model_path('') == student
