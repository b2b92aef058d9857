# SPDX-License-Identifier: Apache-2.0
"""Hugging Face networks from a local folder or the local cache of the hub: found, checked, loaded whole."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers.utils import logging

from cast_train.errors import TeacherError

CONFIG, WEIGHTS, INDEX = 'config.json', 'model.safetensors', 'model.safetensors.index.json'
HUB_ID = re.compile(r'[\w.-]+/[\w.-]+')
# Weights as safetensors alone: the other formats of the hub can run code when they are read.
WANTED_FILES = ['*.json', '*.txt', '*.safetensors']


def locate(name: str, local_files_only: bool) -> Path:
    """Return the folder of a network, with every file of its weights in it.

    Args:
        name: a folder, or a hub id such as ``facebook/sam2.1-hiera-large``.
        local_files_only: never ask the network, only the cache that an earlier download filled.

    Raises:
        TeacherError: a file is missing; the message names it.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if not HUB_ID.fullmatch(name):
            raise TeacherError(f'{folder / WEIGHTS}: no such file; put the weights and {CONFIG} of the network there')
        folder = _from_hub(name, local_files_only)
    for path in (folder / CONFIG, *weight_files(folder)):
        if not path.is_file():
            raise TeacherError(
                f'{path}: no such file; complete the folder with the files of the network as they were published '
                f'({CONFIG}, {WEIGHTS}, and those of its processor)'
            )
    return folder


def weight_files(folder: Path) -> list[Path]:
    """The files that hold, or should hold, the weights: one, or the parts that an index lists."""
    index = folder / INDEX
    if (folder / WEIGHTS).is_file() or not index.is_file():
        return [folder / WEIGHTS]
    try:
        parts = sorted(set(json.loads(index.read_text(encoding='utf-8'))['weight_map'].values()))
    except (ValueError, KeyError, AttributeError) as error:
        raise TeacherError(f'{index}: not an index of weights ({error}); copy the folder anew') from error
    return [index, *(folder / part for part in parts)]


def files_digest(folder: Path) -> str:
    """Hexadecimal digest of everything in a folder that decides what its network answers: weights, settings, words."""
    found = hashlib.sha256()
    names = {path.name for path in weight_files(folder)}
    names |= {path.name for path in folder.iterdir() if path.suffix in ('.json', '.txt') and path.is_file()}
    for name in sorted(names):
        found.update(name.encode())
        with (folder / name).open('rb') as file:
            while block := file.read(1 << 20):
                found.update(block)
    return found.hexdigest()


def model_type(folder: Path) -> str:
    """The kind of network that a folder says it holds.

    Raises:
        TeacherError: its settings cannot be read.
    """
    path = folder / CONFIG
    try:
        return str(json.loads(path.read_text(encoding='utf-8'))['model_type'])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TeacherError(f'{path}: not the settings of a network ({error!r}); copy the folder anew') from error


def load_network(network: Any, folder: Path) -> Any:
    """Return a network of the given class with the weights in ``folder``, in evaluation mode.

    Raises:
        TeacherError: they cannot be read, or are not all there: the library would fill gaps with random numbers.
    """
    with _without_progress_bars(), _wrapped(folder / WEIGHTS):
        loaded, found = network.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    gaps = sorted(str(key) for kind in ('missing_keys', 'mismatched_keys') for key in found[kind])
    if gaps:
        raise TeacherError(
            f'{folder / WEIGHTS}: not the weights of this network: {len(gaps)} tensors are missing or misshapen, '
            f'first {gaps[0]}; {CONFIG} and {WEIGHTS} must come from one place'
        )
    return loaded.eval()


def load_part(part: Any, folder: Path) -> Any:
    """Return a processor of the given class from the files in ``folder``.

    Raises:
        TeacherError: its files are missing or broken.
    """
    with _wrapped(folder / 'preprocessor_config.json'):
        return part.from_pretrained(folder, local_files_only=True)


def save_pretrained(folder: Path, *parts: Any) -> None:
    """Write a network and its processor to ``folder``; whoever looks sees the old folder or the whole new one.

    Raises:
        TeacherError: the disk is full or not writable.
    """
    temporary, replaced = folder.with_name(f'{folder.name}.tmp'), folder.with_name(f'{folder.name}.old')
    try:
        for leftover in (temporary, replaced):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir(parents=True)
        with _without_progress_bars():
            for part in parts:
                part.save_pretrained(temporary)
        if folder.exists():
            folder.rename(replaced)
        temporary.rename(folder)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        raise TeacherError(f'{folder}: cannot write the network ({error}); free some space') from error


def _from_hub(name: str, local_files_only: bool) -> Path:
    expected = f'{constants.HF_HUB_CACHE}/models--{name.replace("/", "--")}/snapshots/REVISION/{WEIGHTS}'
    try:
        return Path(snapshot_download(name, local_files_only=local_files_only, allow_patterns=WANTED_FILES))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise TeacherError(
            f'{name}: neither a folder nor in the cache of the hub, where {expected} is expected; name the folder with '
            f'{CONFIG} and {WEIGHTS}, or set local_files_only to false on a machine that may download'
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise TeacherError(f'{name}: cannot be downloaded ({error}); name a local folder with {WEIGHTS}') from error


@contextmanager
def _wrapped(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the library raises whatever its parsers raise
        reason = str(error).strip().split('\n')[0]
        raise TeacherError(f'{path}: cannot be loaded ({reason}); copy the folder of the network anew') from error


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Keep the library's progress bars of a hundred milliseconds out of logs."""
    bars: Any = logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()
