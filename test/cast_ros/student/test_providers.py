# SPDX-License-Identifier: Apache-2.0
"""What each execution provider is told, and where compiled engines are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_student import tiny_student

from cast_ros.errors import StudentError
from cast_ros.student import LoadOptions, Student
from cast_ros.student.providers import CPU, CUDA, OPENVINO, TENSORRT, default_cache, provider_options

SHA256 = '0123456789abcdef' * 4


def options_of(provider: str, cache: Path, **more: Any) -> dict[str, str]:
    ((name, options),) = provider_options(LoadOptions((provider,), cache=cache, **more), SHA256)
    assert name == provider
    return options


def test_tensorrt_keeps_engines_and_timings_in_the_folder_of_the_student(tmp_path: Path) -> None:
    assert options_of(TENSORRT, tmp_path) == {
        'trt_engine_cache_enable': 'True',
        'trt_engine_cache_path': str(tmp_path / 'tensorrt' / '0123456789abcdef'),
        'trt_timing_cache_enable': 'True',
        'trt_timing_cache_path': str(tmp_path / 'tensorrt'),
        'trt_fp16_enable': 'False',
    }
    folder = tmp_path / 'tensorrt' / '0123456789abcdef'
    assert [made.stat().st_mode & 0o777 for made in (folder, folder.parent)] == [0o700, 0o700]


def test_two_students_and_two_precisions_share_no_engine(tmp_path: Path) -> None:
    plain, half = LoadOptions(cache=tmp_path), LoadOptions(cache=tmp_path, fp16=True)
    folders = {
        plain.folder_of(TENSORRT, SHA256),
        half.folder_of(TENSORRT, SHA256),
        plain.folder_of(TENSORRT, SHA256[::-1]),
        plain.folder_of(OPENVINO, SHA256),
    }
    assert len(folders) == 4
    assert half.folder_of(OPENVINO, SHA256) == plain.folder_of(OPENVINO, SHA256)
    assert options_of(TENSORRT, tmp_path, fp16=True)['trt_fp16_enable'] == 'True'
    assert options_of(TENSORRT, tmp_path, fp16=True)['trt_engine_cache_path'].endswith('-fp16')


def test_openvino_gets_its_cache_and_the_threads(tmp_path: Path) -> None:
    cache = str(tmp_path / 'openvino' / '0123456789abcdef')
    assert options_of(OPENVINO, tmp_path, threads=3) == {'cache_dir': cache, 'num_of_threads': '3'}
    assert options_of(OPENVINO, tmp_path) == {'cache_dir': cache}


def test_providers_that_keep_nothing_make_no_folder(tmp_path: Path) -> None:
    assert options_of(CPU, tmp_path) == {}
    assert options_of(CUDA, tmp_path) == {'cudnn_conv_algo_search': 'EXHAUSTIVE'}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('base', ['', 'not/absolute'])
def test_the_cache_is_below_home_unless_the_system_says_otherwise(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('XDG_CACHE_HOME', base)
    assert default_cache() == tmp_path / '.cache' / 'cast_ros' / 'engines'
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert default_cache() == tmp_path / 'cache' / 'cast_ros' / 'engines'


def test_a_folder_that_cannot_be_made_is_an_error_that_names_the_parameter(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(StudentError, match=r'file/tensorrt: engines cannot be .*engine_cache_dir'):
        options_of(TENSORRT, tmp_path / 'file')


@pytest.mark.parametrize('place', ['openvino', 'openvino/0123456789abcdef'])
def test_a_folder_that_others_may_write_is_refused(place: str, tmp_path: Path) -> None:
    shared = tmp_path / place
    shared.mkdir(parents=True)
    shared.parent.chmod(0o755)
    shared.chmod(0o777)
    with pytest.raises(StudentError, match=rf'{place}: others may write there.*chmod go-w.*engine_cache_dir'):
        options_of(OPENVINO, tmp_path)
    shared.chmod(0o755)
    assert options_of(OPENVINO, tmp_path)['cache_dir'].startswith(str(shared))


def test_a_provider_that_is_missing_leaves_no_folder_and_names_its_package(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'tiny.onnx')
    cache = tmp_path / 'engines'
    with pytest.raises(StudentError, match='`pip install onnxruntime-openvino`'):
        Student.load(path, LoadOptions((OPENVINO, CPU), cache=cache))
    with pytest.raises(StudentError, match='and then `pip install onnxruntime-gpu`'):
        Student.load(path, LoadOptions((TENSORRT, CPU), cache=cache))
    assert not (tmp_path / 'engines').exists()


def test_a_required_provider_is_never_replaced_in_the_middle_of_a_run(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'tiny.onnx')
    with Student.load(path) as required, Student.load(path, LoadOptions(require_provider=False)) as wished:
        assert required._session is not None
        assert wished._session is not None
        assert not required._session._enable_fallback
        assert wished._session._enable_fallback
        assert wished.provider == CPU
    assert wished.provider == CPU
