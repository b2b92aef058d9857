# SPDX-License-Identifier: Apache-2.0
"""Who computes a student, and what is said when that is not the provider that was asked for.

A provider that takes no node is real here: the wheels of onnxruntime for the CPU bring one for Azure, which takes the
nodes of remote calls alone. One that fails to make a session of a sound graph is not: of that, the words are tested.
"""

from __future__ import annotations

import logging
from pathlib import Path

import onnx
import onnxruntime
import pytest
from tiny_student import tiny_student

from cast_ros.errors import StudentError
from cast_ros.student import Student
from cast_ros.student.loading import session_options
from cast_ros.student.providers import CPU, OPENVINO, TENSORRT, LoadOptions, computing_provider, one_line, refusal

AZURE = 'AzureExecutionProvider'
needs_azure = pytest.mark.skipif(
    AZURE not in onnxruntime.get_available_providers()
    or not hasattr(onnxruntime.InferenceSession, 'get_provider_graph_assignment_info'),
    reason=f'needs {AZURE} and onnxruntime 1.24, which says who computes',
)


@needs_azure
def test_a_required_provider_that_takes_no_node_is_refused(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'tiny.onnx')
    with pytest.raises(StudentError) as caught:
        Student.load(path, LoadOptions((AZURE, CPU)))
    assert str(caught.value) == (
        f'{path}: runs on {CPU} instead of {AZURE}; {AZURE} is installed but takes no node of this graph: name another '
        'provider first, or allow it with require_provider: false'
    )


@needs_azure
def test_a_wished_provider_that_takes_no_node_is_a_warning_and_not_the_one_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, logger='cast_ros.student'),
        Student.load(
            tiny_student(tmp_path / 'tiny.onnx'), LoadOptions((AZURE, CPU), require_provider=False)
        ) as student,
    ):
        assert student.provider == CPU
    assert f'runs on {CPU} instead of {AZURE}; {AZURE} is installed but takes no node' in caplog.text


@needs_azure
def test_a_session_that_cannot_say_who_computes_is_taken_at_its_list(tmp_path: Path) -> None:
    content = tiny_student(tmp_path / 'tiny.onnx').read_bytes()
    silent = onnxruntime.InferenceSession(content, onnxruntime.SessionOptions(), providers=[AZURE, CPU])
    telling = onnxruntime.InferenceSession(content, session_options(1), providers=[AZURE, CPU])
    assert (computing_provider(silent), computing_provider(telling)) == (AZURE, CPU)


@needs_azure
@pytest.mark.parametrize('require_provider', [True, False])
def test_a_file_that_no_provider_can_load_is_not_blamed_on_the_first(
    require_provider: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = 'Telepathy'

    path = tiny_student(tmp_path / 'tiny.onnx', edit=edit)
    with (
        caplog.at_level(logging.WARNING, logger='cast_ros.student'),
        pytest.raises(StudentError, match=r'onnxruntime cannot load it: .*Telepathy.*; copy it again') as caught,
    ):
        Student.load(path, LoadOptions((AZURE, CPU), require_provider))
    assert AZURE not in str(caught.value)
    assert caplog.text == ''
    assert 'Falling back' not in capfd.readouterr().out


def test_a_provider_that_cannot_take_the_graph_is_named_with_its_reason(tmp_path: Path) -> None:
    error = RuntimeError('no driver')
    expected = (
        f'x.onnx: {OPENVINO} could not take the graph: no driver; check its driver and libraries, or name another '
        'provider first'
    )
    assert refusal(Path('x.onnx'), OPENVINO, None, error) == expected
    assert refusal(Path('x.onnx'), OPENVINO, tmp_path, error) == expected
    assert refusal(Path('x.onnx'), OPENVINO, tmp_path / 'absent', error) == expected


def test_the_folder_of_an_engine_that_may_be_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / 'part.engine').write_bytes(b'cut')
    error = RuntimeError('TensorRT EP could not deserialize engine from cache')
    said = refusal(Path('x.onnx'), TENSORRT, tmp_path, error)
    assert said.startswith(f'x.onnx: {TENSORRT} could not take the graph: TensorRT EP could not deserialize engine')
    assert f'; delete the folder {tmp_path}, whose engine may be damaged or of another version, or check its' in said


def test_of_a_long_message_head_and_tail_are_kept_since_the_cause_comes_last() -> None:
    head, cause = 'h' * 100, 'c' * 250
    assert one_line(RuntimeError(f'{head}{" signature" * 200}{cause}\n\n')) == f'{head} … {cause}'
    assert one_line(RuntimeError(f'{head}\n\t {cause[:249]}')) == f'{head} {cause[:249]}'
