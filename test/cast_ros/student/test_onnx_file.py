# SPDX-License-Identifier: Apache-2.0
"""Files that are no students, refused before onnxruntime sees them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_student import tiny_student

from cast_ros.errors import StudentError
from cast_ros.student.onnx_file import MAX_FILE_BYTES, read_onnx_file


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'an empty file'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n', r'git LFS; .*git lfs pull'),
        (b'<!DOCTYPE html><html><body>Not Found</body></html>', 'a web page'),
        (b'\n  <HTML>', 'a web page'),
        (b'# Readme\n\nText, with \xc3\xbcmlauts.\n', 'a text file'),
        (b'{"schema": "1.0"}', 'a text file'),
        (b'PK\x03\x04rest of a checkpoint', 'a zip archive'),
        (b'\x1f\x8b\x08\x00\x00', 'a gzip archive'),
        (b'\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR', 'is not an ONNX file'),
        (bytes(range(256)) * 8, 'is not an ONNX file'),
        (b'\x00' * 64, 'is not an ONNX file'),
        (b'\x08\x08:\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01', 'is not an ONNX file'),
    ],
)
def test_says_what_the_file_is_instead(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / 'student.onnx'
    path.write_bytes(content)
    with pytest.raises(StudentError, match=message) as caught:
        read_onnx_file(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match='there is no such file'):
        read_onnx_file(tmp_path / 'none.onnx')
    (tmp_path / 'link.onnx').symlink_to('nowhere')
    with pytest.raises(StudentError, match='there is no such file'):
        read_onnx_file(tmp_path / 'link.onnx')
    with pytest.raises(StudentError, match=r'is a directory; name the \.onnx file'):
        read_onnx_file(tmp_path)


@pytest.mark.parametrize('name', ['a\0b', 'x' * 5000])
def test_a_path_that_no_file_system_takes(name: str) -> None:
    with pytest.raises(StudentError, match=r'cannot be read|there is no such file'):
        read_onnx_file(Path(name))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(StudentError, match='is not a regular file'):
        read_onnx_file(tmp_path / 'pipe')


def test_a_file_beyond_any_student_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / 'huge.onnx'
    with path.open('wb') as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(StudentError, match='has 1024 MiB, more than any student'):
        read_onnx_file(path)


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read everything')
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'secret.onnx')
    path.chmod(0)
    with pytest.raises(StudentError, match=r'cannot be read: .*[Pp]ermission'):
        read_onnx_file(path)


def test_half_a_model_is_refused(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'student.onnx')
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StudentError, match='or only a part of one'):
        read_onnx_file(path)


def _external(tensor: TensorProto) -> TensorProto:
    tensor.ClearField('raw_data')
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value='weights.bin')
    return tensor


def _as_initializer(model: onnx.ModelProto) -> None:
    _external(model.graph.initializer[0])


def _as_constant_node(model: onnx.ModelProto) -> None:
    tensor = _external(numpy_helper.from_array(np.ones(300, np.float32)))
    model.graph.node.append(helper.make_node('Constant', [], ['outside'], value=tensor))


def _in_a_branch(model: onnx.ModelProto) -> None:
    tensor = _external(numpy_helper.from_array(np.ones(300, np.float32), 'inner'))
    branch = helper.make_graph([], 'branch', [], [], [tensor])
    model.graph.node.append(helper.make_node('If', ['yes'], ['answer'], then_branch=branch, else_branch=branch))


def _without_the_flag(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].external_data.add(key='location', value='/etc/passwd')


@pytest.mark.parametrize('edit', [_as_initializer, _as_constant_node, _in_a_branch, _without_the_flag])
def test_weights_in_other_files_are_refused_wherever_they_hide(tmp_path: Path, edit: object) -> None:
    path = tiny_student(tmp_path / 'student.onnx')
    model = onnx.load(path)
    assert callable(edit)
    edit(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(StudentError, match='keeps its weights in other files'):
        read_onnx_file(path)
