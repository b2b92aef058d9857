# SPDX-License-Identifier: Apache-2.0
"""Options of onnxruntime: that each variant is what it is called, and that the command makes every part it records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime import ExecutionMode, InferenceSession, SessionOptions
from tiny_student import tiny_student

from benchmarks.runtime import options
from benchmarks.speed.exports import graph_digest


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ExecutionMode, int]]:
    """Execution mode and threads between operators of each session, as onnxruntime got them."""
    found: list[tuple[ExecutionMode, int]] = []

    def session(path: str, given: SessionOptions | None = None, **others: Any) -> InferenceSession:
        if given is not None:
            found.append((given.execution_mode, given.inter_op_num_threads))
        return InferenceSession(path, given, **others)

    monkeypatch.setattr(options, 'InferenceSession', session)
    return found


def test_operators_run_in_parallel_in_the_variant_of_that_name_alone(
    tmp_path: Path, opened: list[tuple[ExecutionMode, int]]
) -> None:
    variants = options.variants(tiny_student(tmp_path / 'x.onnx'))
    assert len(opened) == len(variants)
    modes = dict(zip(variants, opened, strict=True))
    assert modes.pop('operators in parallel') == (ExecutionMode.ORT_PARALLEL, 2)
    assert set(modes.values()) == {(ExecutionMode.ORT_SEQUENTIAL, 1)}


def test_every_variant_gives_the_answer_of_the_shipped_options(tmp_path: Path) -> None:
    variants = options.variants(tiny_student(tmp_path / 'x.onnx'))
    expected = variants[options.SHIPPED]()
    for name, run in variants.items():
        for one, other in zip(expected, run(), strict=True):
            found = other if isinstance(other, np.ndarray) else other.numpy()
            np.testing.assert_allclose(found, one, rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_command_without_arguments_makes_every_part_of_the_committed_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = tmp_path / f'small-512x1024-{graph_digest(options.UNTRAINED)}.onnx'
    tiny_student(exported)
    monkeypatch.setattr(options, 'EXPORTED', tmp_path)
    monkeypatch.setattr(options, 'SHIPPED_MODEL', tiny_student(tmp_path / 'streets-small.onnx'))
    monkeypatch.setattr(options, 'HERE', tmp_path)
    monkeypatch.setattr(options, 'ROUNDS', 2)
    assert options.main(['--out', str(tmp_path), '--rounds', '2']) == 0
    written = json.loads((tmp_path / 'options.json').read_text())
    assert written['command'] == f'python -m benchmarks.runtime.options --out {tmp_path} --rounds 2'
    committed = json.loads((Path(options.__file__).parent / 'options.json').read_text())
    assert [model['name'] for model in written['models']] == [model['name'] for model in committed['models']]
    rows = [[row['name'] for row in model['rows']] for model in written['models']]
    assert rows == [[row['name'] for row in model['rows']] for model in committed['models']]
    assert f'Made by `{written["command"]}` at revision {written["git"]}.' in (tmp_path / 'options.md').read_text()


@pytest.mark.parametrize(('arguments', 'limit'), [(['x.onnx'], 'other models'), (['--rounds', '2'], '--rounds')])
def test_other_models_and_fewer_rounds_do_not_replace_the_committed_table(
    arguments: list[str], limit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (options.HERE / 'options.json').read_bytes()
    assert options.main(arguments) == 2
    assert f'limited by {limit}; name another folder with --out' in capsys.readouterr().err
    assert (options.HERE / 'options.json').read_bytes() == before
