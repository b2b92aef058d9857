# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from cast_ros.errors import ParameterError
from cast_ros.package_files import DEFAULT_MODEL, model_path


def test_a_model_path_is_taken_as_it_is_and_a_home_folder_is_expanded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv('HOME', '/home/robot')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParameterError, match=f"'models/a.onnx', and there is no such file below {tmp_path}"):
        model_path('models/a.onnx')
    (tmp_path / 'models').mkdir()
    (tmp_path / 'models' / 'a.onnx').touch()
    assert model_path('models/a.onnx') == Path('models/a.onnx')
    assert model_path('~/a.onnx') == Path('/home/robot/a.onnx')


def test_a_bare_name_is_a_student_of_the_package_and_none_is_its_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr('cast_ros.package_files.share_folders', lambda: [tmp_path / 'absent', tmp_path])
    (tmp_path / 'models').mkdir()
    for name in (DEFAULT_MODEL, 'road-medium'):
        (tmp_path / 'models' / f'{name}.onnx').touch()
    assert model_path('') == tmp_path / 'models' / f'{DEFAULT_MODEL}.onnx'
    assert model_path('road-medium') == tmp_path / 'models' / 'road-medium.onnx'
    with pytest.raises(ParameterError, match=r"no student 'road-large' in .*\(there: road-medium, streets-small\)"):
        model_path('road-large')


def test_a_package_without_students_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr('cast_ros.package_files.share_folders', lambda: [tmp_path])
    with pytest.raises(ParameterError, match=r"is '', and there is no student 'streets-small' .*\(there: none\): set"):
        model_path('')
