# SPDX-License-Identifier: Apache-2.0
"""How a student is loaded: on which execution provider, what each is told, and where engines are kept."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cast_ros.errors import StudentError

CPU = 'CPUExecutionProvider'
CUDA = 'CUDAExecutionProvider'
TENSORRT = 'TensorrtExecutionProvider'
OPENVINO = 'OpenVINOExecutionProvider'

SHORT_NAMES = {'cpu': CPU, 'cuda': CUDA, 'tensorrt': TENSORRT, 'openvino': OPENVINO}
# Those that compile, each with its folder in the cache.
_FOLDERS = {TENSORRT: 'tensorrt', OPENVINO: 'openvino'}


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
