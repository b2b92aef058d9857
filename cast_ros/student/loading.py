# SPDX-License-Identifier: Apache-2.0
"""Opening a student: file, onnxruntime, contract, graph against contract, provider; each step with its own sentence."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cast_ros.errors import StudentError
from cast_ros.student.contract import CONTRACT_KEY, MASK_STRIDE, StudentContract
from cast_ros.student.onnx_file import OnnxFile, read_onnx_file
from cast_ros.student.providers import (
    CPU,
    RECORD_ASSIGNMENT,
    LoadOptions,
    check_provider,
    offered_providers,
    one_line,
    provider_options,
    refusal,
)

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

MAX_ROWS = 100

_TENSOR_TYPES = {
    'image': 'tensor(uint8)',
    'scores': 'tensor(float)',
    'labels': 'tensor(int64)',
    'masks': 'tensor(float)',
    'semantic': 'tensor(uint8)',
    'depth': 'tensor(float)',
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenedStudent:
    """A session whose graph and provider were checked, but which has not run yet."""

    path: Path
    sha256: str
    contract: StudentContract
    session: InferenceSession


def open_student(path: Path, options: LoadOptions) -> OpenedStudent:
    """Do every step of loading but the warm-up; errors as of `cast_ros.student.runtime.Student.load`."""
    if not options.providers:
        raise StudentError(f'{path}: no execution provider was named; the usual one is {CPU}')
    if options.threads < 0:
        raise StudentError(f'{path}: threads must be 0 (one per core) or more, is {options.threads}')
    file = read_onnx_file(path)
    if options.sha256 is not None and file.sha256 != options.sha256.strip().lower():
        raise StudentError(
            f'{path}: has sha256 {file.sha256}, not {options.sha256} as asked; get the file that was meant'
        )
    session = _create_session(file, replace(options, providers=offered_providers(path, options)))
    if options.require_provider:
        # Otherwise a provider that fails in the middle of a run would be replaced by the CPU without a word.
        session.disable_fallback()
    else:
        session.enable_fallback()
    contract = read_contract(path, session)
    check_graph(path, session, contract)
    check_provider(path, session, options)
    return OpenedStudent(path, file.sha256, contract, session)


def read_contract(path: Path, session: InferenceSession) -> StudentContract:
    """The contract in the metadata of a loaded model.

    Raises:
        StudentError: there is none, or it is not valid.
    """
    try:
        text = session.get_modelmeta().custom_metadata_map.get(CONTRACT_KEY)
    except UnicodeDecodeError as error:
        raise StudentError(f'{path}: the metadata is damaged ({error}); copy or export it again') from error
    if text is None:
        raise StudentError(
            f'{path}: is an ONNX model without a contract (metadata {CONTRACT_KEY!r}), so it is not a student; '
            'export students with `cast-train export`'
        )
    try:
        return StudentContract.from_json(text)
    except StudentError as error:
        raise StudentError(f'{path}: {error}') from error


def check_graph(path: Path, session: InferenceSession, contract: StudentContract) -> None:
    """Compare names, types and shapes of the graph with the contract.

    Raises:
        StudentError: lists everything that differs.
    """
    spec = contract.input
    try:
        inputs = {node.name: node for node in session.get_inputs()}
        outputs = {node.name: node for node in session.get_outputs()}
    except UnicodeDecodeError as error:
        raise StudentError(f'{path}: the names in the graph are damaged ({error}); copy or export it again') from error
    problems = _compare_names('input', {'image'}, set(inputs))
    problems += _compare_names('output', set(contract.outputs), set(outputs))
    nodes = (*inputs.values(), *outputs.values())
    for node in nodes:
        expected = _TENSOR_TYPES.get(node.name)
        if expected is not None and node.type != expected:
            problems.append(f'{node.name} is {node.type}, must be {expected}')
    rows = _row_count(outputs.get('scores'))
    if rows is not None and not 1 <= rows <= MAX_ROWS:
        problems.append(f'scores has {rows} rows, must have 1 to {MAX_ROWS}')
    shapes = {'image': [1, spec.height, spec.width, 3], **output_shapes(contract, rows)}
    for node in nodes:
        if node.name in shapes and list(node.shape) != shapes[node.name]:
            problems.append(f'{node.name} has shape {_shape(node.shape)}, must be {_shape(shapes[node.name])}')
    if problems:
        raise StudentError(
            f'{path}: the graph does not match its contract: {"; ".join(problems)}; export the student again'
        )


def output_shapes(contract: StudentContract, rows: int | None) -> dict[str, list[Any]]:
    """The shape that each output must have, for `rows` rows (None: any, written K)."""
    count: Any = 'K' if rows is None else rows
    height, width = contract.input.height // MASK_STRIDE, contract.input.width // MASK_STRIDE
    shapes: dict[str, list[Any]] = {
        'scores': [1, count],
        'labels': [1, count],
        'masks': [1, count, height, width],
        'semantic': [1, height, width],
        'depth': [1, height, width],
    }
    return {name: shapes[name] for name in contract.outputs}


def _row_count(scores: Any) -> int | None:
    if scores is None or len(scores.shape) != 2 or not isinstance(scores.shape[1], int):
        return None
    return int(scores.shape[1])


def _compare_names(kind: str, expected: set[str], found: set[str]) -> list[str]:
    problems = [f'{kind} {name} is missing' for name in sorted(expected - found)]
    return problems + [f'{kind} {name} is not in the contract' for name in sorted(found - expected)]


def _shape(shape: list[Any]) -> str:
    return '×'.join('?' if size is None else str(size) for size in shape)


def _create_session(file: OnnxFile, options: LoadOptions) -> InferenceSession:
    """A session on the first of the providers that can take the graph; the rest come after it, the CPU at last.

    Raises:
        StudentError: not even the CPU can, so that the file is to blame; or the first cannot, and it is required.
    """
    from onnxruntime import InferenceSession

    first, *others = options.providers
    told = provider_options(options, file.sha256)
    try:
        # Without its own way out, which prints the cause and goes on with the CPU; before 1.24 it is taken anyhow.
        return InferenceSession(file.content, session_options(options.threads), providers=told, enable_fallback=0)
    except Exception as error:  # onnxruntime raises classes of its own, without a common public base
        if first == CPU:
            raise StudentError(
                f'{file.path}: onnxruntime cannot load it: {one_line(error)}; '
                'copy it again, or export it with opset 17 or 18 if it comes from a newer tool'
            ) from error
        problem = refusal(file.path, first, options.folder_of(first, file.sha256), error)
        left = (CPU,) if options.require_provider else tuple(others) or (CPU,)
        # Also when it is required: a file that the CPU cannot load either is no fault of the provider.
        session = _create_session(file, replace(options, providers=left))
        if options.require_provider:
            raise StudentError(f'{problem}, or allow it with require_provider: false') from error
        logger.warning('%s', problem)
        return session


def session_options(threads: int) -> SessionOptions:
    """How a student runs; measured in benchmarks/runtime/options.md. 0 threads: one per core."""
    from onnxruntime import GraphOptimizationLevel, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    # Spinning threads save 6 % on an idle machine (benchmarks/runtime/options.md), and cost half as much again where
    # others compute (docs/speed.md); robots are busy.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    options.add_session_config_entry(*RECORD_ASSIGNMENT)
    return options
