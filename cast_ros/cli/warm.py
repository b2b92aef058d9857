# SPDX-License-Identifier: Apache-2.0
"""`cast warm MODEL --provider tensorrt`: compile before the robot drives, not while it waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cast_ros.errors import StudentError
from cast_ros.student import LoadOptions
from cast_ros.student.providers import CPU, SHORT_NAMES
from cast_ros.student.trial import TIMEOUT_S, Progress, Warmed
from cast_ros.student.trial import warm as warm_student

LINE_EVERY_S = 10.0


def warm(
    model: Annotated[Path, typer.Argument(help='The .onnx file of a student.', show_default=False)],
    provider: Annotated[str, typer.Option(help=f'{", ".join(SHORT_NAMES)}, or the full name.')] = 'cpu',
    cache: Annotated[
        Path | None, typer.Option(help="Folder of engines, the node's engine_cache_dir; ~/.cache/cast_ros/engines.")
    ] = None,
    fp16: Annotated[bool, typer.Option('--fp16', help="As the node's engine_fp16.")] = False,
    threads: Annotated[int, typer.Option(min=0, help="As the node's threads.")] = 0,
    timeout: Annotated[float, typer.Option(min=1, help='Seconds after which compiling counts as failed.')] = TIMEOUT_S,
    as_json: Annotated[bool, typer.Option('--json', help='Print JSON for other programs.')] = False,
) -> None:
    """Compile a student for a provider, and say which provider runs it, where its engines are and how long it took."""
    name = _full_name(provider)
    options = LoadOptions((name,) if name == CPU else (name, CPU), True, threads, cache, fp16)
    console = Console(stderr=True, highlight=False)
    with progress_on(console, f'{model.name} for {name}') as show:
        found = warm_student(model, options, show, timeout)
    if as_json:
        print(json.dumps({**asdict(found), 'folder': None if found.folder is None else str(found.folder)}, indent=1))
    else:
        print('\n'.join(lines_of(found)))


@contextmanager
def progress_on(console: Console, title: str) -> Iterator[Callable[[Progress], None]]:
    """What shows progress: one line that changes on a terminal, elsewhere (a log, ssh without one) one every 10 s."""

    def text(progress: Progress) -> str:
        return f'{title}: {progress.seconds:.0f} s, {progress.engine_bytes / 1e6:.1f} MB'

    if console.is_terminal:
        with console.status(f'{title} …') as status:
            yield lambda progress: status.update(text(progress))
        return
    last_s = 0.0

    def show(progress: Progress) -> None:
        nonlocal last_s
        if progress.seconds - last_s >= LINE_EVERY_S:
            last_s = progress.seconds
            console.print(text(progress), soft_wrap=True)

    yield show


def lines_of(found: Warmed) -> list[str]:
    """What happened, for people."""
    if found.folder is None:
        built = 'nothing to build: this provider keeps no engines; the model loads and answers'
    elif found.engine_bytes == 0:
        built = f'no engine was written to {found.folder}: this provider takes no part of the model, or compiles anew'
    elif found.new_bytes == 0:
        built = f'engines were there already: {found.folder} ({found.engine_bytes / 1e6:.1f} MB)'
    else:
        built = f'engines built: {found.folder} ({found.engine_bytes / 1e6:.1f} MB)'
    return [
        f'provider in use: {found.provider}',
        built,
        f'first load {found.first_load_s:.1f} s, from now on {found.second_load_s:.1f} s; '
        f'inference {found.timing.inference_ms:.1f} ms',
    ]


def _full_name(provider: str) -> str:
    if provider in SHORT_NAMES:
        return SHORT_NAMES[provider]
    if provider.endswith('ExecutionProvider'):
        return provider
    raise StudentError(f'there is no provider {provider!r}; name one of {", ".join(SHORT_NAMES)}, or its full name')
