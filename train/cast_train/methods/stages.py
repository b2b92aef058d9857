# SPDX-License-Identifier: Apache-2.0
"""Stages that are done once: a stage is named by what goes into it, so that runs share it and a kill loses no stage.

The folder of a stage carries a digest of its inputs: settings, data, seed, and the digests of the stages before it. Two
rows of a table that need the same teacher find the same folder; a changed setting makes a new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cast_ros.files import write_text
from cast_train.data import Sample
from cast_train.errors import TrainingError
from cast_train.export.revision import git_revision

DONE = 'stage.json'
LOCK = 'working'


class StageBusyError(TrainingError):
    """Another process works on the stage."""


@dataclass(frozen=True)
class StoredStage:
    """A stage: finished, or only known by what goes into it.

    Attributes:
        name: for example ``distillation``.
        digest: of everything that went into it.
        folder: where its files are, or will be.
        result: what its work returned; empty while it is not done.
        revision: of the code that did it; empty while it is not done.
    """

    name: str
    digest: str
    folder: Path
    result: dict[str, Any]
    revision: str = ''

    @property
    def key(self) -> str:
        """Its name and the start of its digest: the name of its folder and of its log."""
        return key_of(self.name, self.digest)


class Stages:
    """The stages of one or several runs, in a folder.

    Args:
        root: the folder; any number of runs and processes may share it.
        say: prints a line.
        look: only look; a stage that is not done is returned without a result.
    """

    def __init__(self, root: Path, say: Callable[[str], None], look: bool = False) -> None:
        self.root = root
        self.say = say
        self._look = look
        self.used: list[StoredStage] = []

    def once(self, name: str, inputs: dict[str, Any], work: Callable[[Path], dict[str, Any]]) -> StoredStage:
        """Return the stage with these inputs, doing its work if no earlier run finished it.

        ``work`` gets the folder of the stage, goes on with what it finds there, and returns JSON values.

        Raises:
            StageBusyError: another process works on it.
        """
        digest = digest_of({'stage': name, 'inputs': inputs})
        folder = self.root / key_of(name, digest)
        if not (folder / DONE).is_file():
            if self._look:
                return StoredStage(name, digest, folder, {})
            self._do(name, digest, inputs, folder, work)
        document = json.loads((folder / DONE).read_text())
        stage = StoredStage(name, digest, folder, document['result'], document['git_revision'])
        self.say(f'{name}: {_summary(stage.result)}')
        if all(other.digest != digest for other in self.used):
            self.used.append(stage)
        return stage

    def _do(
        self, name: str, digest: str, inputs: dict[str, Any], folder: Path, work: Callable[[Path], dict[str, Any]]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder / LOCK):
            if (folder / DONE).is_file():
                return
            self.say(f'{name}: working in {folder}')
            started = time.monotonic()
            document = {
                'stage': name,
                'digest': digest,
                'inputs': inputs,
                'git_revision': git_revision(),
                'result': work(folder),
                'last_process_s': round(time.monotonic() - started, 1),
            }
            write_text(folder / DONE, json.dumps(document, indent=1))


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a lock that the system lets go of when the process dies."""
    with path.open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageBusyError(
                f'{path.parent}: another process works on this stage; wait for it, or use another --store'
            ) from None
        yield


def _summary(result: dict[str, Any]) -> str:
    figures = {**result, **result.get('metrics', {})}
    shown = '  '.join(f'{key} {value:.4f}' for key, value in figures.items() if isinstance(value, float))
    return shown or 'done'


def key_of(name: str, digest: str) -> str:
    """What a stage is called on disk and in tables."""
    return f'{name}-{digest[:12]}'


def digest_of_stage(stage: StoredStage | None) -> str | None:
    """What a stage tells the ones that build on it; None where there is no such stage."""
    return None if stage is None else stage.digest


def digest_of(document: Any) -> str:
    """Return the SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    Raises:
        TrainingError: there is no such file.
    """
    if not path.is_file():
        raise TrainingError(f'{path}: no such file; the recipe says in its first lines what makes it')
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def digest_of_samples(samples: Iterable[Sample]) -> str:
    """Return the SHA-256 of names, pictures and labels, in order."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(sample.name.encode())
        for array in (sample.image, sample.instance_ids, sample.instance_labels, sample.semantic, sample.depth_m):
            digest.update(b'-' if array is None else array.tobytes())
        # What labels leave open. Samples with full labels keep the digest that they had before there was this.
        if sample.union_ids is not None or sample.complete is not None:
            digest.update(b'' if sample.union_ids is None else sample.union_ids.tobytes())
            digest.update(repr((sample.unions, sample.complete)).encode())
    return digest.hexdigest()
