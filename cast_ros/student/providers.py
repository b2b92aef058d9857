# SPDX-License-Identifier: Apache-2.0
"""On which execution provider a student is loaded, what each is told, and what to do when another one computes it."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cast_ros.errors import StudentError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CPU = 'CPUExecutionProvider'
CUDA = 'CUDAExecutionProvider'
TENSORRT = 'TensorrtExecutionProvider'
OPENVINO = 'OpenVINOExecutionProvider'

SHORT_NAMES = {'cpu': CPU, 'cuda': CUDA, 'tensorrt': TENSORRT, 'openvino': OPENVINO}
# Those that compile, each with its folder in the cache.
_FOLDERS = {TENSORRT: 'tensorrt', OPENVINO: 'openvino'}
# Lets a session say which provider took which node, from onnxruntime 1.24 on; older ones ignore it. It costs nothing.
RECORD_ASSIGNMENT = ('session.record_ep_graph_assignment_info', '1')
_OPENVINO_PACKAGE = 'onnxruntime-openvino'
# These install into one folder; with two of them the later one wins, and removing either breaks both.
_RUNTIME_PACKAGES = ('onnxruntime', 'onnxruntime-gpu', 'onnxruntime-directml', _OPENVINO_PACKAGE)
# onnxruntime says first where it failed, as C++ signatures of any length, and last why.
_HEAD_CHARACTERS, _TAIL_CHARACTERS = 100, 250

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadOptions:
    """How a student is loaded.

    Attributes:
        providers: execution providers of onnxruntime, the wanted one first.
        require_provider: refuse to run on another provider than the first; otherwise only warn.
        threads: of one inference; 0 lets onnxruntime take one per core.
        cache: folder of the engines that TensorRT and OpenVINO compile; None is ``default_cache()``.
        fp16: TensorRT may compute in 16 bits where that is faster; answers change a little.
        sha256: the digest that the file must have; None accepts any.
    """

    providers: tuple[str, ...] = (CPU,)
    require_provider: bool = True
    threads: int = 0
    cache: Path | None = None
    fp16: bool = False
    sha256: str | None = None

    def folder_of(self, provider: str, sha256: str) -> Path | None:
        """Where a provider keeps the engines of the student with this digest; None if it keeps none.

        A folder for each student: TensorRT knows a model by its graph alone, and would take another's weights for new
        ones.
        """
        if provider not in _FOLDERS:
            return None
        precision = '-fp16' if self.fp16 and provider == TENSORRT else ''
        return (self.cache or default_cache()) / _FOLDERS[provider] / f'{sha256[:16]}{precision}'


DEFAULT_OPTIONS = LoadOptions()


def default_cache() -> Path:
    """``cast_ros/engines`` in the cache of this user: $XDG_CACHE_HOME, or ~/.cache.

    Raises:
        StudentError: the user has no home.
    """
    base = os.environ.get('XDG_CACHE_HOME', '')
    try:
        return (Path(base) if Path(base).is_absolute() else Path.home() / '.cache') / 'cast_ros' / 'engines'
    except RuntimeError as error:
        raise StudentError(
            'there is no home to keep engines in; name a folder (parameter engine_cache_dir, option --cache)'
        ) from error


def provider_options(options: LoadOptions, sha256: str) -> list[tuple[str, dict[str, str]]]:
    """What onnxruntime is given for each provider; makes the folders that they need.

    Args:
        options: with providers that this onnxruntime knows.
        sha256: digest of the student.

    Raises:
        StudentError: a folder cannot be made or written, or others may write it too.
    """
    return [(name, _told(name, options.folder_of(name, sha256), options)) for name in options.providers]


def _told(provider: str, folder: Path | None, options: LoadOptions) -> dict[str, str]:
    if folder is not None:
        _make_private(folder)
    if provider == TENSORRT:
        # The timing cache lies one level up: what it knows of layers serves every student.
        return {
            'trt_engine_cache_enable': 'True',
            'trt_engine_cache_path': str(folder),
            'trt_timing_cache_enable': 'True',
            'trt_timing_cache_path': str(folder.parent if folder else ''),
            'trt_fp16_enable': str(options.fp16),
        }
    if provider == OPENVINO:
        return {'cache_dir': str(folder), **({'num_of_threads': str(options.threads)} if options.threads else {})}
    if provider == CUDA:
        # Shapes are static, so the search is paid once per load; the quick heuristic costs every picture.
        return {'cudnn_conv_algo_search': 'EXHAUSTIVE'}
    return {}


def _make_private(folder: Path) -> None:
    """Make the folder, and the provider's above it, for this user alone: who may write an engine runs what he likes."""
    for made in (folder.parent, folder):
        try:
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
            open_to_others = made.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        except OSError as error:
            raise StudentError(
                f'{made}: engines cannot be kept there ({error.strerror}); name another folder (parameter '
                'engine_cache_dir, option --cache)'
            ) from error
        if open_to_others:
            raise StudentError(
                f'{made}: others may write there, and an engine is code; run `chmod go-w` on it, or name another '
                'folder (parameter engine_cache_dir, option --cache)'
            )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StudentError(
            f'{folder}: engines cannot be written there; make it writable for this user, or name another folder '
            '(parameter engine_cache_dir, option --cache)'
        )


def offered_providers(path: Path, options: LoadOptions) -> tuple[str, ...]:
    """Those of the asked providers that this onnxruntime knows, so that it does not print errors of its own."""
    try:
        from onnxruntime import get_available_providers
    except ImportError as error:
        raise StudentError(
            f'{path}: onnxruntime is missing or broken ({one_line(error)}); {_mend_runtime()}'
        ) from error
    known, wanted = get_available_providers(), options.providers[0]
    if wanted not in known:
        problem = f'{path}: this onnxruntime has no {wanted}, it has {", ".join(known)}; {_mend_runtime(wanted)}'
        if options.require_provider:
            raise StudentError(problem)
        logger.warning('%s', problem)
    return tuple(name for name in options.providers if name in known) or (CPU,)


def computing_provider(session: InferenceSession) -> str:
    """The first provider of a session that computes any node; the first one registered where onnxruntime cannot say.

    `get_providers` lists what is registered: a provider that takes no node stands there as well.
    """
    registered = [str(name) for name in session.get_providers()]
    computing = _providers_with_nodes(session)
    return next((name for name in registered if name in computing), registered[0])


def _providers_with_nodes(session: InferenceSession) -> frozenset[str]:
    """Empty where onnxruntime cannot say: before 1.24, or without ``RECORD_ASSIGNMENT``."""
    assigned = getattr(session, 'get_provider_graph_assignment_info', None)
    if assigned is None:
        return frozenset()
    try:
        return frozenset(str(part.ep_name) for part in assigned() if part.get_nodes())
    except Exception:  # noqa: BLE001 (onnxruntime's own classes; without an answer the list of providers has to do)
        return frozenset()


def check_provider(path: Path, session: InferenceSession, options: LoadOptions) -> None:
    """See that the wanted provider computes the student, or part of it.

    Raises:
        StudentError: it does not, and it is required; otherwise a warning in the log says so.
    """
    used, wanted = computing_provider(session), options.providers[0]
    if used != wanted:
        problem = f'{path}: runs on {used} instead of {wanted}; {_cure(session, wanted)}'
        if options.require_provider:
            raise StudentError(f'{problem}, or allow it with require_provider: false')
        logger.warning('%s', problem)
    if len(_installed_runtimes()) > 1:
        logger.warning('%s', _mend_runtime(wanted))


def _cure(session: InferenceSession, wanted: str) -> str:
    if wanted in session.get_providers():
        return f'{wanted} is installed but takes no node of this graph: name another provider first'
    return _mend_runtime(wanted)


def refusal(path: Path, provider: str, engine_folder: Path | None, error: BaseException) -> str:
    """What to say when a provider other than the CPU could not make a session of a file that is sound.

    Args:
        path: the file.
        provider: the one that failed.
        engine_folder: where it keeps its engines; None if it keeps none.
        error: what onnxruntime raised.
    """
    cure = 'check its driver and libraries, or name another provider first'
    # TensorRT answers `could not deserialize engine from cache` for ever to an engine that was cut short.
    if engine_folder is not None and any(engine_folder.glob('*')):
        cure = f'delete the folder {engine_folder}, whose engine may be damaged or of another version, or {cure}'
    return f'{path}: {provider} could not take the graph: {one_line(error)}; {cure}'


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
    package = 'onnxruntime' if wanted == CPU else 'onnxruntime-gpu'
    if len(installed) > 1:
        return (
            f'{" and ".join(installed)} are both installed and overwrite each other, run '
            f'`pip uninstall -y {" ".join(installed)}` and then `pip install {package}`'
        )
    if installed == ['onnxruntime'] and wanted != CPU:
        return 'run `pip uninstall -y onnxruntime` and then `pip install onnxruntime-gpu`'
    if installed and wanted != CPU:
        return 'check that its driver and libraries are installed'
    return f'run `pip install {package}`'


def one_line(error: BaseException) -> str:
    """What another library said, head and tail where it is long: the cause stands at the end."""
    text = ' '.join(str(error).split())
    if len(text) <= _HEAD_CHARACTERS + _TAIL_CHARACTERS:
        return text
    return f'{text[:_HEAD_CHARACTERS]} … {text[-_TAIL_CHARACTERS:]}'
