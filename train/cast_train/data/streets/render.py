# SPDX-License-Identifier: Apache-2.0
"""Renders scenes side by side, one child process each, and shows how far it is."""

from __future__ import annotations

import importlib.util
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from rich.console import Console

from cast_ros.package_files import how_to_install
from cast_train.data.streets.jobs import SceneJob, missing_frames
from cast_train.data.streets.worker import work
from cast_train.errors import DataError
from cast_train.progress import progress_on

NEEDED_MODULES = ('bpy', 'OpenEXR')
INSTALLATION = (
    f'make an environment with Python 3.11 and run `{how_to_install("cpu,train,render")}` there (docs/streets.md)'
)


@dataclass(frozen=True)
class Running:
    """A child process, what it renders, and where its output goes."""

    process: BaseProcess
    job: SceneJob
    log: Path


def require_blender() -> None:
    """Make sure that this Python can render, without loading Blender.

    Raises:
        DataError: a module is absent.
    """
    missing = [name for name in NEEDED_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise DataError(f'rendering streets needs {" and ".join(missing)}: {INSTALLATION} (docs/streets.md)')


def render_jobs(jobs: Sequence[SceneJob], workers: int, console: Console) -> tuple[int, int]:
    """Render what the jobs lack, and return how many frames are new and how many were there before.

    Raises:
        DataError: a scene cannot be rendered or written; finished frames stay.
    """
    progress = progress_on(console)
    with progress:
        open_jobs, missing, finished = [], 0, 0
        for job in progress.track(jobs, description='looking for missing frames'):
            lacks, has = missing_frames(job)
            missing, finished = missing + lacks, finished + has
            open_jobs += [job] if lacks else []
        task = progress.add_task('rendering', total=missing)

        def report(job: SceneJob, number: int) -> None:
            progress.advance(task)
            if not console.is_terminal:
                console.print(f'{job.split} {job.domain} {job.seed} frame {number}', highlight=False)

        with tempfile.TemporaryDirectory() as logs:
            _run_all(open_jobs, workers, Path(logs), report)
    return missing, finished


def _run_all(jobs: Sequence[SceneJob], workers: int, logs: Path, report: Callable[[SceneJob, int], None]) -> None:
    # Blender's threads must not be forked, and importing cast_train takes long: fork from a server that has only that.
    forks = 'forkserver' in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context('forkserver' if forks else 'spawn')
    if forks:
        context.set_forkserver_preload([work.__module__])
    waiting, running = list(reversed(jobs)), dict[Connection, Running]()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                connection, child = _start(context, waiting.pop(), logs)
                running[connection] = child
            for ready in wait(list(running)):
                if isinstance(ready, Connection):
                    _receive(ready, running, report)
    finally:
        for child in running.values():
            child.process.terminate()
            child.process.join()


def _start(context: BaseContext, job: SceneJob, logs: Path) -> tuple[Connection, Running]:
    receiver, sender = context.Pipe(duplex=False)
    log = logs / f'{job.split}_{job.domain}_{job.seed}.log'
    process = context.Process(target=work, args=(job, log, sender), daemon=True)  # type: ignore[attr-defined]
    process.start()
    sender.close()
    return receiver, Running(process, job, log)


def _receive(
    connection: Connection, running: dict[Connection, Running], report: Callable[[SceneJob, int], None]
) -> None:
    """Take one message of a child; its closed pipe means that it has ended."""
    child = running[connection]
    try:
        message = connection.recv()
    except EOFError:
        child.process.join()
        del running[connection]
        if child.process.exitcode:
            raise DataError(_obituary(child)) from None
        return
    if isinstance(message, str):
        raise DataError(message)
    report(child.job, message)


def _obituary(child: Running) -> str:
    lines = child.log.read_text(errors='replace').strip().splitlines() if child.log.is_file() else []
    job = child.job
    return (
        f'{job.split} {job.domain} scene {job.seed}: the renderer ended with code {child.process.exitcode} '
        f'({lines[-1].strip() if lines else "it said nothing"}); the same command goes on there, '
        'fewer --workers need less memory'
    )
