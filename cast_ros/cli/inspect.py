# SPDX-License-Identifier: Apache-2.0
"""`cast inspect FILE`: what a student promises, after checking that it keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cast_ros.student import Student, StudentContract
from cast_ros.student.trial import try_load


def inspect(
    file: Annotated[Path, typer.Argument(help='The .onnx file of a student.', show_default=False)],
    as_json: Annotated[bool, typer.Option('--json', help='Print JSON for other programs.')] = False,
) -> None:
    """Load a student as the node would, and print its contract."""
    try_load(file)
    with Student.load(file) as student:
        if as_json:
            print(json.dumps(_document(student), indent=2))
        else:
            _print(student, Console(highlight=False, soft_wrap=True))


def _document(student: Student) -> dict[str, Any]:
    return {
        'path': str(student.path),
        'size_bytes': student.path.stat().st_size,
        'sha256': student.sha256,
        'output_shapes': {name: list(shape) for name, shape in student.output_shapes.items()},
        'contract': json.loads(student.contract.to_json()),
    }


def _print(student: Student, console: Console) -> None:
    contract = student.contract
    size_mb = student.path.stat().st_size / 1e6
    rows = [
        ('student', f'{contract.name} {contract.version}'),
        ('licence', contract.license),
        ('file', f'{student.path} ({size_mb:.3g} MB)'),
        ('sha256', student.sha256),
        ('contract', f'schema {contract.schema_version}'),
        ('input', _input_line(contract)),
    ]
    rows += [(f'output {name}', '×'.join(map(str, shape))) for name, shape in student.output_shapes.items()]
    if contract.depth is not None:
        depth = contract.depth
        rows.append(('depth', f'{depth.unit}, cap {depth.cap_m:g} m, reference fx {depth.focal_reference_px:g} px'))
    _print_rows(console, rows)
    console.print(_class_table(contract))
    _print_values(console, 'provenance', contract.provenance)
    _print_values(console, 'metrics', contract.metrics)
    if contract.input_statistics is not None:
        _print_values(console, 'input statistics', contract.input_statistics.model_dump(exclude_none=True))


def _input_line(contract: StudentContract) -> str:
    spec = contract.input
    return f'{spec.width}×{spec.height} pixels, {spec.color_order}, {spec.resize}'


def _class_table(contract: StudentContract) -> Table:
    table = Table('id', 'class', 'kind', 'colour', title=f'{len(contract.classes)} classes', title_justify='left')
    for entry in contract.classes:
        red, green, blue = entry.color
        swatch = Text('██ ', style=f'rgb({red},{green},{blue})').append(f'{red} {green} {blue}', style='default')
        table.add_row(str(entry.id), escape(entry.name), 'thing' if entry.is_thing else 'stuff', swatch)
    return table


def _print_values(console: Console, title: str, values: Mapping[str, Any]) -> None:
    """Free-form values, one per line; nested ones with dots between the names, tables by their size alone."""
    if not values:
        return
    console.print(f'\n[bold]{title}[/bold]')
    _print_rows(console, _flat(values))


def _print_rows(console: Console, rows: list[tuple[str, str]]) -> None:
    """Names in one column and values in the other; long values are never folded, so that they can be copied."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        console.print(Text(f'{name:<{width}}  ', style='bold').append(value, style='not bold'))


def _flat(values: Mapping[str, Any], prefix: str = '') -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f'{prefix}{name}.')
        elif isinstance(value, list | tuple) and value and isinstance(value[0], list | tuple):
            rows.append((f'{prefix}{name}', f'{len(value)}×{len(value[0])} values, see --json'))
        elif isinstance(value, list | tuple):
            rows.append((f'{prefix}{name}', ' '.join(_word(entry) for entry in value)))
        else:
            rows.append((f'{prefix}{name}', _word(value)))
    return rows


def _word(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)
