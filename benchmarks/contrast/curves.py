# SPDX-License-Identifier: Apache-2.0
"""How well pixels are told apart while a student learns: margin and false-negative rate (papers.md §1.3, §1.5).

    python benchmarks/contrast/curves.py

Reads the logs that `cast-train ablate` kept beside the tables of losses and negatives, and writes curves.md and
curves.svg beside this file.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from cast_ros.files import write_text

HERE = Path(__file__).parent
ACCURACY = HERE.parent / 'accuracy'
TABLES = ('cast_losses', 'cast_negatives')
NAMES = {'contrast_margin': 'margin', 'contrast_false_negative_rate': 'false negatives'}
# Parts of the training over which a figure is averaged: single looks are noisy.
THIRDS = ('first third', 'second third', 'last third')
WIDTH, HEIGHT, LEFT, TOP = 460, 220, 50, 30
COLORS = ('#4477aa', '#ee6677', '#228833', '#ccbb44', '#aa3377', '#66ccee')

Curve = list[tuple[int, float]]


def main() -> None:
    """Write both files."""
    curves = read_curves()
    write_text(HERE / 'curves.md', as_markdown(curves))
    write_text(HERE / 'curves.svg', as_svg(curves))
    print(as_markdown(curves))


def read_curves() -> dict[str, dict[str, Curve]]:
    """Row name to figure to its curve, averaged over the seeds; rows without contrast are left out."""
    found: dict[str, dict[str, Curve]] = {}
    for table in TABLES:
        for row in json.loads((ACCURACY / f'{table}.json').read_text())['rows']:
            logs = [read_log(ACCURACY / 'logs' / f'{stage}.jsonl') for stage in row['stages']]
            if all(log['contrast_margin'] for log in logs) and row['name'] != 'all':
                found[row['name']] = {name: mean_curve([log[name] for log in logs]) for name in NAMES}
    return found


def read_log(path: Path) -> dict[str, Curve]:
    """The curves of one run."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    looks = [(one['step'], one['observed']) for one in records if 'observed' in one]
    return {name: [(step, look[name]) for step, look in looks if name in look] for name in NAMES}


def mean_curve(curves: list[Curve]) -> Curve:
    """The mean over runs at the steps that all of them have."""
    shared = sorted(set.intersection(*({step for step, _ in curve} for curve in curves)))
    return [(step, statistics.mean(dict(curve)[step] for curve in curves)) for step in shared]


def as_markdown(curves: dict[str, dict[str, Curve]]) -> str:
    """Means over thirds of the training."""
    lines = [
        '# Margin and false negatives of the contrast',
        '',
        'Means over the seeds and over thirds of the training; true labels decide what a false negative is. Made by '
        '`python benchmarks/contrast/curves.py` from the logs in `benchmarks/accuracy/logs`.',
        '',
        '![curves](curves.svg)',
        '',
        '| negatives | ' + ' | '.join(f'{title}, {third}' for title in NAMES.values() for third in THIRDS) + ' |',
        '| --- |' + ' ---: |' * (len(NAMES) * len(THIRDS)),
    ]
    for row, figures in curves.items():
        cells = [cell for name in NAMES for cell in thirds(figures[name])]
        lines.append(f'| {row} | ' + ' | '.join(f'{value:.3f}' for value in cells) + ' |')
    return '\n'.join([*lines, ''])


def thirds(curve: Curve) -> list[float]:
    """Means over the three parts."""
    each = len(curve) // 3
    return [statistics.mean(value for _, value in curve[part * each : (part + 1) * each]) for part in range(3)]


def as_svg(curves: dict[str, dict[str, Curve]]) -> str:
    """Two plots beside each other, one line a row."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT + TOP + 20 * 3}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for place, (name, title) in enumerate(NAMES.items()):
        values = [value for figures in curves.values() for _, value in figures[name]]
        last = max(step for figures in curves.values() for step, _ in figures[name])
        low, high = min(values), max(values)
        start = place * WIDTH + LEFT
        parts.append(f'<text x="{start}" y="18" font-weight="bold">{title}</text>')
        for value in (low, (low + high) / 2, high):
            y = TOP + HEIGHT * (high - value) / (high - low)
            parts.append(f'<text x="{start - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{value:.2f}</text>')
            parts.append(f'<path d="M{start} {y:.1f}h{WIDTH - LEFT - 10}" stroke="#ddd"/>')
        for color, figures in zip(COLORS, curves.values(), strict=False):
            points = ' '.join(
                f'{start + (WIDTH - LEFT - 10) * step / last:.1f},{TOP + HEIGHT * (high - value) / (high - low):.1f}'
                for step, value in figures[name]
            )
            parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        parts.append(
            f'<text x="{start + WIDTH - LEFT - 10}" y="{TOP + HEIGHT + 16}" text-anchor="end">step {last}</text>'
        )
    for number, (color, row) in enumerate(zip(COLORS, curves, strict=False)):
        x, y = LEFT + 150 * number, TOP + HEIGHT + 40
        parts.append(
            f'<path d="M{x} {y - 4}h22" stroke="{color}" stroke-width="3"/><text x="{x + 28}" y="{y}">{row}</text>'
        )
    return ''.join([*parts, '</svg>\n'])


if __name__ == '__main__':
    main()
