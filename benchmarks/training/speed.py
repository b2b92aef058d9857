# SPDX-License-Identifier: Apache-2.0
"""How many pictures a second a training learns from, and how long it waits for them: the real loop on the real data.

    python benchmarks/training/speed.py --root ../shared/data/streets

Writes speed.json and speed.md beside this file. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from cast_ros.files import write_text
from cast_train.engine.fitting import make_task, read_parts, supervised_stream
from cast_train.engine.loop import train
from cast_train.engine.recipe import Recipe
from cast_train.engine.recipe_file import load
from cast_train.export.speed import machine_in_words

HERE = Path(__file__).parent
RECIPE = HERE.parent.parent / 'config' / 'recipes' / 'streets-small.yaml'
SIZES = ('nano', 'small', 'base')
# Height, width, and steps: a loader that has just started is no measure, and large views take long.
VIEWS = ((128, 256, 40), (256, 512, 16))
BATCH, WARM_UP = 16, 8


def main() -> None:
    """Measure every size at every view size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--root', type=Path, default=Path('../shared/data/streets'), help='the street benchmark')
    root = parser.parse_args().root
    rows = [measure(size, *view, root) for view in VIEWS for size in SIZES]
    document = {
        'command': 'python benchmarks/training/speed.py',
        'machine': machine_in_words(),
        'torch': torch.__version__,
        'batch': BATCH,
        'warm_up_steps': WARM_UP,
        'rows': rows,
    }
    write_results('speed', document, as_markdown(document))


def write_results(name: str, document: dict[str, Any], page: str) -> None:
    """Write both files of a script of this folder beside it, and show the page."""
    write_text(HERE / f'{name}.json', json.dumps(document, indent=1) + '\n')
    write_text(HERE / f'{name}.md', page)
    print(page)


def measure(size: str, height: int, width: int, steps: int, root: Path) -> dict[str, Any]:
    """One row: supervised training of one size, one thread and one process that prepares batches."""
    recipe = recipe_of(size, height, width, steps, root)
    samples, classes = read_parts(recipe, recipe.data.train)
    contract = recipe.contract_for(classes)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / 'run'
        train(
            make_task(recipe, contract),
            recipe.plan,
            lambda first: supervised_stream(recipe, samples, contract, first),
            run,
        )
        records = [json.loads(line) for line in (run / 'log.jsonl').read_text().splitlines()]
    steady = [record for record in records if record['step'] > WARM_UP]
    seconds = sum(record['seconds'] for record in steady)
    waited = sum(record['seconds'] * record['loading_share'] for record in steady)
    pictures = BATCH * (steps - WARM_UP)
    return {
        'name': size,
        'size': [height, width],
        'pictures_per_s': round(pictures / seconds, 2),
        'loading_share': round(waited / seconds, 4),
    }


def recipe_of(size: str, height: int, width: int, steps: int, root: Path) -> Recipe:
    """The shipped recipe with another size and one short phase."""
    phase = f'{{height: {height}, width: {width}, batch: {BATCH}, steps: {steps}}}'
    run = f'{{log_every: {WARM_UP}, checkpoint_every: {steps}, workers: 1, threads: 1}}'
    return load(
        Recipe,
        RECIPE,
        (
            f'student={{size: {size}}}',
            f'phases=[{phase}]',
            f'run={run}',
            f'data.root={root}',
            'optimizer.warmup_steps=0',
        ),
    )


def as_markdown(document: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        '# Training speed',
        '',
        f'Batch {document["batch"]}, one thread and one process that prepares batches; {document["machine"]}, torch '
        f'{document["torch"]}. Made by `{document["command"]}`.',
        '',
        '| student | view | pictures/s | waiting for data |',
        '| --- | --- | ---: | ---: |',
    ]
    for row in document['rows']:
        height, width = row['size']
        share = f'{100 * row["loading_share"]:.1f} %'
        lines.append(f'| {row["name"]} | {height}×{width} | {row["pictures_per_s"]:.1f} | {share} |')
    return '\n'.join([*lines, ''])


if __name__ == '__main__':
    main()
