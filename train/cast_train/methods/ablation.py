# SPDX-License-Identifier: Apache-2.0
"""Tables of results: a grid of rows and seeds over one recipe, done resumably by any number of processes.

Every cell is a stage of a run (``methods.stages``), so rows share what they have in common. Start the same command
twice and the second process takes the cells that the first is not working on. A cell that a table in the output folder
has already, under the same digest of all that goes into it, is not worked on again, even where its stages are gone:
a table may be made in several sittings, on several machines.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cast_ros.files import replacing, write_text
from cast_train.engine.recipe_file import load
from cast_train.engine.trained import LOG
from cast_train.errors import RecipeError
from cast_train.export.revision import git_revision
from cast_train.methods.registry import require_roots, staged
from cast_train.methods.stages import StageBusyError, Stages, StoredStage
from cast_train.settings import Settings

METRICS = {'ap': 'AP', 'ap50': 'AP50', 'miou': 'mIoU', 'abs_rel': 'AbsRel'}
WAIT_S = 20.0


class RowSection(Settings):
    """One row: which stage of which variant of the recipe.

    Attributes:
        name: as the table shows it.
        stage: one of the method's (``methods.pipeline.Staged``).
        set: overrides of the recipe, ``key.sub=value``.
        seeds: instead of the table's.
        note: a sentence below the table.
    """

    name: str
    stage: str
    set: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None
    note: str | None = None


class TableSection(Settings):
    """A whole table.

    Attributes:
        name: of its files.
        title: above it.
        recipe: that all rows vary; a path or a name.
        data: what the figures were measured on, and how, in a sentence.
        set: overrides of the recipe for all rows, ``key.sub=value``; a row's own come after them.
        seeds: of every row that does not name its own.
        rows: in the order of the table.
        text: above the table.
    """

    name: Annotated[str, Field(pattern=r'^[a-z0-9_]+$')]
    title: str
    recipe: Path
    data: str
    set: tuple[str, ...] = ()
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (1,)
    rows: Annotated[tuple[RowSection, ...], Field(min_length=1)]
    text: str = ''


@dataclass(frozen=True)
class Cell:
    """One row at one seed, with the recipe, of the table's method, that it stands for."""

    row: int
    seed: int
    stage: str
    recipe: Any


@dataclass(frozen=True)
class Result:
    """What a cell came to.

    Attributes:
        key: of its stage.
        figures: ``params_m``, ``metrics``, ``train_seconds``.
        revision: of the code that made it.
    """

    key: str
    figures: dict[str, Any]
    revision: str


def load_table(path: Path) -> TableSection:
    """Read a table's YAML.

    Raises:
        RecipeError: unreadable, an unknown key, a recipe without stages, or a stage that does not exist.
    """
    table = load(TableSection, path)
    stages = staged(table.recipe, table.set)[0].stages
    for row in table.rows:
        if row.stage not in stages:
            raise RecipeError(f'{path}: row {row.name!r}: unknown stage {row.stage!r}; known are {", ".join(stages)}')
    return table


def cells_of(table: TableSection, overrides: tuple[str, ...] = ()) -> list[Cell]:
    """All cells, the first seed of every row first.

    Raises:
        RecipeError: an override is wrong, or sets the seed, which the table decides.
    """
    if any(override.partition('=')[0].strip() == 'seed' for override in (*overrides, *table.set)):
        raise RecipeError(f'seed cannot be set for the table {table.name}; name seeds under its own key `seeds`')
    found = []
    for place in range(max(len(row.seeds or table.seeds) for row in table.rows)):
        for index, row in enumerate(table.rows):
            seeds = row.seeds or table.seeds
            if place < len(seeds):
                recipe = staged(table.recipe, (*table.set, *overrides, *row.set, f'seed={seeds[place]}'))[1]
                found.append(Cell(index, seeds[place], row.stage, recipe))
    return found


def ablate(
    table: TableSection,
    cells: list[Cell],
    store: Path,
    out: Path,
    command: str,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Do every cell that nobody has done, and keep ``out``/NAME.json and NAME.md up to date; returns the document."""
    method = staged(table.recipe, table.set)[0]
    pictures: dict[str, Any] = {}

    def stage_of(cell: Cell, stages: Stages) -> StoredStage:
        key = method.identity(cell.recipe)
        if key not in pictures:
            require_roots(cell.recipe)
            pictures[key] = method.read(cell.recipe)
        return method.stages[cell.stage](method.make(cell.recipe, stages, pictures[key]))

    looking = Stages(store, lambda _: None, look=True)
    while True:
        done = _results([stage_of(cell, looking) for cell in cells], out)
        document = document_of(table, cells, done, command)
        _write(table, document, out)
        missing = [number for number in range(len(cells)) if number not in done]
        if not missing:
            return document
        say(f'{table.name}: {len(done)} of {len(cells)} cells are done')
        for number in missing:
            try:
                stage_of(cells[number], Stages(store, say))
                break
            except StageBusyError:
                continue
        else:
            time.sleep(WAIT_S)


def _results(stages: Sequence[StoredStage], out: Path) -> dict[int, Result]:
    """What is known of stages, by their place: from the store, or from the tables that lie in ``out``."""
    recorded = _recorded(out)
    found = {}
    for number, stage in enumerate(stages):
        if stage.result:
            found[number] = Result(stage.key, stage.result, stage.revision)
            _keep_log(stage, out / 'logs')
        elif stage.key in recorded:
            found[number] = recorded[stage.key]
    return found


def _recorded(out: Path) -> dict[str, Result]:
    """The results in all tables of a folder, by the key of their stage.

    Raises:
        RecipeError: a file there is no table of ours.
    """
    found = {}
    for path in sorted(out.glob('*.json')):
        try:
            for row in json.loads(path.read_text())['rows']:
                for place, key in enumerate(row['stages']):
                    figures = {
                        'params_m': row['params_m'],
                        'metrics': {name: values[place] for name, values in row['metrics'].items()},
                        'train_seconds': row['train_seconds'][place],
                    }
                    found[key] = Result(key, figures, row['revisions'][place])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise RecipeError(f'{path}: is not a table of `cast-train ablate` ({error!r}); move it away') from error
    return found


def document_of(table: TableSection, cells: list[Cell], done: dict[int, Result], command: str) -> dict[str, Any]:
    """The table as JSON values; a row without a finished cell is left out."""
    rows = []
    for index, row in enumerate(table.rows):
        own = [(cells[number].seed, result) for number, result in done.items() if cells[number].row == index]
        if not own:
            continue
        own.sort(key=lambda pair: pair[0])
        results = [result.figures for _, result in own]
        rows.append(
            {
                'name': row.name,
                'params_m': results[0]['params_m'],
                'seeds': [seed for seed, _ in own],
                'metrics': {
                    name: [round(result['metrics'][name], 5) for result in results]
                    for name in _shown(results[0]['metrics'])
                    if all(name in result['metrics'] for result in results)
                },
                'train_seconds': [result['train_seconds'] for result in results],
                'stages': [result.key for _, result in own],
                'revisions': [result.revision for _, result in own],
                'set': [*table.set, *row.set],
                **({'note': row.note} if row.note else {}),
            }
        )
    return {
        'title': table.title,
        'command': command,
        'git': git_revision(),
        'data': table.data,
        'text': table.text,
        'rows': rows,
    }


def as_markdown(document: dict[str, Any], name: str) -> str:
    """The table for people; generated from the JSON alone."""
    shown = _shown([key for row in document['rows'] for key in row['metrics']])
    lines = [
        f'# {document["title"]}',
        '',
        *([document['text'].strip(), ''] if document['text'] else []),
        f'Data: {document["data"]}. Mean ± standard deviation over the seeds, in points (AbsRel: as it is). '
        f'Made by `{document["command"]}` at revision {document["git"]}; raw values in `{name}.json`.',
        '',
        '| | ' + ' | '.join(_title(key) for key in shown) + ' | parameters | seeds | training |',
        '| --- |' + ' ---: |' * (len(shown) + 3),
    ]
    for row in document['rows']:
        cells = [_spread(row['metrics'].get(key), 1 if key.endswith('abs_rel') else 100) for key in shown]
        minutes = statistics.mean(row['train_seconds']) / 60
        lines.append(
            f'| {row["name"]} | '
            + ' | '.join(cells)
            + f' | {row["params_m"]:.2f} M | {len(row["seeds"])} | {minutes:.0f} min |'
        )
    notes = [f'- {row["name"]}: {row["note"]}' for row in document['rows'] if 'note' in row]
    return '\n'.join([*lines, *(['', *notes] if notes else []), ''])


def _shown(names: Iterable[str]) -> list[str]:
    """The metrics of ``METRICS`` among them, in its order: those without a domain before them, then one by one."""
    prefixes = sorted({prefix for prefix, metric in map(_split, names) if metric})
    wanted = [f'{prefix}{metric}' for prefix in prefixes for metric in METRICS]
    return [name for name in wanted if name in names]


def _split(name: str) -> tuple[str, str]:
    """What stands before a metric of ``METRICS``, such as ``day_``, and that metric; empty for a name without one."""
    metric = next((metric for metric in METRICS if name == metric or name.endswith(f'_{metric}')), '')
    return name.removesuffix(metric), metric


def _title(name: str) -> str:
    prefix, metric = _split(name)
    return f'{prefix[:-1]} {METRICS[metric]}' if prefix else METRICS[metric]


def _spread(values: list[float] | None, factor: float) -> str:
    if not values:
        return '–'
    digits = 1 if factor == 100 else 3
    mean = f'{factor * statistics.mean(values):.{digits}f}'
    return mean if len(values) == 1 else f'{mean} ± {factor * statistics.stdev(values):.{digits}f}'


def _keep_log(stage: StoredStage, folder: Path) -> None:
    """Copy the log of a row's run, under the name that the table gives it."""
    log, kept = stage.folder / LOG, folder / f'{stage.key}.jsonl'
    if log.is_file() and not kept.is_file():
        with replacing(kept) as file:
            file.write(log.read_bytes())


def _write(table: TableSection, document: dict[str, Any], out: Path) -> None:
    texts = {'json': json.dumps(document, indent=1) + '\n', 'md': as_markdown(document, table.name)}
    for suffix, text in texts.items():
        write_text(out / f'{table.name}.{suffix}', text)
