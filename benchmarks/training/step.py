# SPDX-License-Identifier: Apache-2.0
"""Where the time of one training step goes: its parts, its operators, and what the machine could do at best.

    python benchmarks/training/step.py

Writes step.json and step.md beside this file: CPU time of the one thread that computes, so that other processes count
little. ``nano``, 128×256, 16 pictures of the street benchmark, labels alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from speed import BATCH, recipe_of, write_results
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from cast_train.data import Batch
from cast_train.engine.ema import MovingAverage
from cast_train.engine.fitting import make_task, read_parts, supervised_stream
from cast_train.engine.optimizer import make_optimizer
from cast_train.export.speed import machine_in_words
from cast_train.losses.supervised import LossSection, mask_set, supervised
from cast_train.models import StudentNetwork

STEPS, WARM_UP = 12, 3
# Operators by the start of their names; the first that fits counts.
KINDS = (
    ('convolution, backward', ('aten::convolution_backward',)),
    ('convolution', ('aten::mkldnn_convolution', 'aten::_slow_conv2d', 'aten::thnn_conv2d', 'aten::convolution')),
    ('batch norm, both ways', ('aten::native_batch_norm',)),
    ('matrix product, both ways', ('aten::mm', 'aten::bmm', 'aten::addmm', 'aten::baddbmm')),
    ('reading at points, both ways', ('aten::grid_sampler',)),
    ('resizing and pooling, both ways', ('aten::upsample', 'aten::avg_pool', 'aten::max_pool', 'aten::adaptive')),
    ('copies and new tensors', ('aten::copy_', 'aten::empty', 'aten::fill_', 'aten::zero', 'aten::cat', 'aten::clone')),
)


class Laps:
    """Seconds of CPU time of named parts, step by step."""

    def __init__(self) -> None:
        self.seconds: list[Counter[str]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside."""
        started = time.thread_time()
        yield
        self.seconds[-1][name] += time.thread_time() - started

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, counted."""

        def counted(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return call(*arguments, **named)

        return counted

    def median_ms(self, name: str) -> float:
        """Of the steps after the warm-up."""
        return 1e3 * statistics.median(step[name] for step in self.seconds[WARM_UP:])


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--root', type=Path, default=Path('../shared/data/streets'), help='the street benchmark')
    root = parser.parse_args().root
    torch.set_num_threads(1)
    recipe = recipe_of('nano', 128, 256, STEPS, root)
    samples, classes = read_parts(recipe, recipe.data.train)
    contract = recipe.contract_for(classes)
    stream = supervised_stream(
        recipe.model_copy(update={'run': recipe.run.model_copy(update={'workers': 0})}), samples, contract, 0
    )
    batches = [next(stream) for _ in range(4)]
    task = make_task(recipe, contract).to(memory_format=torch.channels_last).train()
    student, losses = task.network, recipe.losses
    parts = parts_of_a_step(task, student, losses, batches, recipe)
    operators = operators_of_a_step(student, losses, batches[0])
    gmacs, peak = forward_gmacs(student, batches[0].images), matrix_product_gmacs()
    total = sum(part['ms'] for part in parts if 'of' not in part)
    document = {
        'command': 'python benchmarks/training/step.py',
        'machine': machine_in_words(),
        'torch': torch.__version__,
        'pictures_per_s': round(1e3 * BATCH / total, 1),
        'gmacs': round(3 * gmacs, 2),
        'matrix_product_gmacs': round(peak, 1),
        'floor_ms': round(3e3 * gmacs / peak, 1),
        'parts': parts,
        'operators': operators,
    }
    write_results('step', document, as_markdown(document))


def parts_of_a_step(
    task: nn.Module, student: StudentNetwork, losses: LossSection, batches: list[Batch], recipe: Any
) -> list[dict[str, Any]]:
    """CPU time of forward pass, losses, backward pass and update; ``of`` names the part that another belongs to."""
    laps, optimizer = Laps(), make_optimizer(task, recipe.plan.optimizer)
    average = MovingAverage(student, recipe.plan.optimizer.ema_decay)
    inner = {
        'matching': (mask_set, '_match'),
        'targets of the masks': (mask_set, '_collect'),
        'masks, classes, boxes': (supervised, 'mask_set_loss'),
        'centres': (supervised, 'centre_loss'),
        'depth': (supervised, 'depth_loss'),
        'composed class map': (supervised, 'composed_semantic_loss'),
    }
    patches = [
        patch.object(place, name, laps.around(part, getattr(place, name))) for part, (place, name) in inner.items()
    ]
    for one in patches:
        one.start()
    for step in range(STEPS):
        laps.seconds.append(Counter())
        batch = batches[step % len(batches)]
        optimizer.zero_grad(set_to_none=True)
        with laps.part('backbone'):
            encoded = student.encode(batch.images)
        with laps.part('forward'), patch.object(student, 'encode', lambda _, encoded=encoded: encoded):
            output = student(batch.images)
        with laps.part('losses'):
            terms = supervised.supervised_losses(output, batch.targets, losses, student.thing_ids)
        with laps.part('backward'):
            total_of(terms).backward()
        with laps.part('update'):
            nn.utils.clip_grad_norm_(task.parameters(), recipe.plan.optimizer.clip_norm)
            optimizer.step()
            average.update(student)
        laps.seconds[-1]['masks, classes, boxes'] -= (
            laps.seconds[-1]['matching'] + laps.seconds[-1]['targets of the masks']
        )
    for one in patches:
        one.stop()
    top = [('forward: backbone', 'backbone'), ('forward: pyramid and heads', 'forward'), ('losses', 'losses')]
    rows: list[dict[str, Any]] = [{'name': title, 'ms': round(laps.median_ms(name), 1)} for title, name in top]
    rows += [{'name': name, 'ms': round(laps.median_ms(name), 1), 'of': 'losses'} for name in inner]
    rows += [{'name': name, 'ms': round(laps.median_ms(name), 1)} for name in ('backward', 'update')]
    return rows


def total_of(terms: dict[str, Tensor]) -> Tensor:
    """Their sum."""
    return torch.stack(list(terms.values())).sum()


def operators_of_a_step(student: StudentNetwork, losses: LossSection, batch: Batch) -> list[dict[str, Any]]:
    """Share of each kind of operator in forward pass, losses and backward pass, and how often it is called."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        terms = supervised.supervised_losses(student(batch.images), batch.targets, losses, student.thing_ids)
        total_of(terms).backward()
    spent: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for event in profiled.key_averages():
        if event.key.startswith('aten::'):
            kind = next(
                (kind for kind, names in KINDS if event.key.startswith(names)), 'element by element, sums and the rest'
            )
            spent[kind] += event.self_cpu_time_total
            calls[kind] += event.count
    whole = sum(spent.values())
    return [
        {'name': kind, 'share': round(value / whole, 3), 'calls': calls[kind]} for kind, value in spent.most_common()
    ]


def forward_gmacs(student: StudentNetwork, images: Tensor) -> float:
    """10⁹ multiply-adds of one forward pass."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        student(images)
    return counter.get_total_flops() / 2e9


def matrix_product_gmacs(side: int = 1536) -> float:
    """10⁹ multiply-adds a second of one thread's matrix product at its best."""
    left, right = torch.randn(side, side), torch.randn(side, side)
    found = []
    for _ in range(8):
        started = time.thread_time()
        torch.mm(left, right)
        found.append(time.thread_time() - started)
    return side**3 / min(found) / 1e9


def as_markdown(document: dict[str, Any]) -> str:
    """Both tables for people."""
    lines = [
        '# One training step',
        '',
        f'nano, {BATCH} views of 128×256, one thread; {document["machine"]}, torch {document["torch"]}. Made by '
        f'`{document["command"]}`.',
        '',
        f'CPU time of a step: {document["pictures_per_s"]} pictures/s. Forward and backward are {document["gmacs"]} '
        f'GMAC; at the speed of a large matrix product ({document["matrix_product_gmacs"]} GMAC/s) they would take '
        f'{document["floor_ms"]} ms.',
        '',
        '| part | ms |',
        '| --- | ---: |',
    ]
    lines += [f'| {"– " if "of" in part else ""}{part["name"]} | {part["ms"]:.1f} |' for part in document['parts']]
    lines += ['', '| operators, forward and backward | share | calls |', '| --- | ---: | ---: |']
    lines += [f'| {row["name"]} | {100 * row["share"]:.1f} % | {row["calls"]} |' for row in document['operators']]
    return '\n'.join([*lines, ''])


if __name__ == '__main__':
    main()
