# SPDX-License-Identifier: Apache-2.0
"""Opening a student: file, onnxruntime, contract, graph against contract, provider; each step with its own sentence."""

from __future__ import annotations

import importlib.metadata
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cast_ros.student.contract import CONTRACT_KEY, MASK_STRIDE, StudentContract
from cast_ros.student.errors import StudentError
from cast_ros.student.onnx_file import OnnxFile, read_onnx_file
from cast_ros.student.providers import CPU, OPENVINO, EngineOptions, with_options

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

MAX_ROWS = 100

_OPENVINO_PACKAGE = 'onnxruntime-openvino'
# These install into one folder; with two of them the later one wins, and removing either breaks both.
_RUNTIME_PACKAGES = ('onnxruntime', 'onnxruntime-gpu', 'onnxruntime-directml', _OPENVINO_PACKAGE)
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


def open_student(
    path: Path,
    providers: tuple[str, ...],
    require_provider: bool,
    threads: int,
    sha256: str | None,
    engines: EngineOptions,
) -> OpenedStudent:
    """Do every step of loading but the warm-up; see `cast_ros.student.runtime.Student.load` for the arguments."""
    if not providers:
        raise StudentError(f'{path}: no execution provider was named; the usual one is {CPU}')
    if threads < 0:
        raise StudentError(f'{path}: threads must be 0 (one per core) or more, is {threads}')
    file = read_onnx_file(path)
    if sha256 is not None and file.sha256 != sha256.strip().lower():
        raise StudentError(f'{path}: has sha256 {file.sha256}, not {sha256} as asked; get the file that was meant')
    offered = _offered_providers(file.path, providers, require_provider)
    session = _create_session(file, with_options(offered, file.sha256, threads, engines), threads)
    if require_provider:
        # Otherwise a provider that fails in the middle of a run would be replaced by the CPU without a word.
        session.disable_fallback()
    contract = read_contract(path, session)
    check_graph(path, session, contract)
    _check_provider(path, session, providers[0], require_provider)
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


def _create_session(file: OnnxFile, providers: list[tuple[str, dict[str, str]]], threads: int) -> InferenceSession:
    from onnxruntime import InferenceSession

    try:
        return InferenceSession(file.content, session_options(threads), providers=providers)
    except Exception as error:  # onnxruntime raises classes of its own, without a common public base
        raise StudentError(
            f'{file.path}: onnxruntime cannot load it: {_one_line(error)}; '
            'copy it again, or export it with opset 17 or 18 if it comes from a newer tool'
        ) from error


def session_options(threads: int) -> SessionOptions:
    """How a student runs; measured in benchmarks/runtime/options.md. 0 threads: one per core."""
    from onnxruntime import GraphOptimizationLevel, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    # Spinning threads cost half as much again where others compute (benchmarks/runtime/options.md); robots are busy.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    return options


def _offered_providers(path: Path, providers: tuple[str, ...], require_provider: bool) -> tuple[str, ...]:
    """Those of the asked providers that this onnxruntime knows, so that it does not print errors of its own."""
    try:
        from onnxruntime import get_available_providers
    except ImportError as error:
        raise StudentError(
            f'{path}: onnxruntime is missing or broken ({_one_line(error)}); {_mend_runtime()}'
        ) from error
    known = get_available_providers()
    if providers[0] not in known:
        problem = (
            f'{path}: this onnxruntime has no {providers[0]}, it has {", ".join(known)}; {_mend_runtime(providers[0])}'
        )
        if require_provider:
            raise StudentError(problem)
        logger.warning('%s', problem)
    return tuple(name for name in providers if name in known) or (CPU,)


def _check_provider(path: Path, session: InferenceSession, wanted: str, require_provider: bool) -> None:
    used = session.get_providers()[0]
    if used != wanted:
        problem = f'{path}: runs on {used} instead of {wanted}; {_mend_runtime(wanted)}'
        if require_provider:
            raise StudentError(f'{problem}, or allow it with require_provider: false')
        logger.warning('%s', problem)
    if len(_installed_runtimes()) > 1:
        logger.warning('%s', _mend_runtime(wanted))


def _installed_runtimes() -> list[str]:
    found = []
    for name in _RUNTIME_PACKAGES:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


def _mend_runtime(wanted: str = CPU) -> str:
    """Which command brings the wanted provider, given what is installed."""
    installed = _installed_runtimes()
    if wanted == OPENVINO:
        removal = f'run `pip uninstall -y {" ".join(installed)}` and then ' if installed else 'run '
        return (
            'check its driver and libraries'
            if installed == [_OPENVINO_PACKAGE]
            else f'{removal}`pip install {_OPENVINO_PACKAGE}`'
        )
    extra = 'cpu' if wanted == CPU else 'gpu'
    if len(installed) > 1:
        package = 'onnxruntime' if extra == 'cpu' else 'onnxruntime-gpu'
        return (
            f'{" and ".join(installed)} are both installed and overwrite each other, run '
            f'`pip uninstall -y {" ".join(installed)}` and then `pip install {package}`'
        )
    if installed and extra == 'gpu' and installed[0] == 'onnxruntime':
        return "run `pip uninstall -y onnxruntime` and then `pip install 'cast_ros[gpu]'`"
    if installed and extra == 'gpu':
        return 'check that its driver and libraries are installed'
    return f"run `pip install 'cast_ros[{extra}]'`"


def _one_line(error: BaseException) -> str:
    return ' '.join(str(error).split())[:300]
