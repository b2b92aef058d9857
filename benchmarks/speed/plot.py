# SPDX-License-Identifier: Apache-2.0
"""Results for people: one picture, a line for each network, a dot for each size, on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.speed.rows import PAIRS, ROWS

WIDTH, LEFT, RIGHT, TOP, STEP, BOTTOM = 920, 250, 40, 74, 24, 46
COLORS = ('#88ccee', '#4477aa', '#221144')
OURS, OTHERS, PAIR = '#117733', '#333333', '#aa3377'


def as_svg(document: dict[str, Any]) -> str:
    """The picture; networks from the fastest to the slowest at their largest size."""
    rows = document['rows']
    sizes = sorted({tuple(row['size']) for row in rows})
    slowest = {row['name']: row['p50_ms'] for row in sorted(rows, key=lambda row: row['size'])}
    names = sorted(slowest, key=lambda name: slowest[name])
    axis = _Axis([row[key] for row in rows for key in ('p50_ms', 'floor_ms') if row[key] > 0])
    height = TOP + STEP * len(names) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="13"><rect width="100%" height="100%" fill="white"/>',
        '<text x="12" y="24" font-size="16" font-weight="bold">One picture on '
        f'{document["threads"]} threads: network and post-processing, median in ms</text>',
        *_legend(sizes),
        *axis.lines(TOP, height - BOTTOM),
    ]
    for place, name in enumerate(names):
        y = TOP + STEP * (place + 0.5)
        parts.append(
            f'<text x="{LEFT - 14}" y="{y + 4.5:.1f}" text-anchor="end" fill="{_color(name)}">{escape(name)}</text>'
        )
        own = sorted((row for row in rows if row['name'] == name), key=lambda row: row['size'])
        xs = [axis.x(row['p50_ms']) for row in own]
        parts.append(f'<path d="M{min(xs):.1f} {y}H{max(xs):.1f}" stroke="#bbb" stroke-width="2"/>')
        for row, x in zip(own, xs, strict=True):
            color = COLORS[sizes.index(tuple(row['size'])) % len(COLORS)]
            if row['floor_ms'] > 0:
                floor = axis.x(row['floor_ms'])
                parts.append(f'<path d="M{floor:.1f} {y - 7}v14" stroke="{color}" stroke-width="1.5"/>')
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y}" r="5.5" fill="{color}"><title>{escape(name)} '
                f'{row["size"][0]}×{row["size"][1]}: {row["p50_ms"]:.1f} ms</title></circle>'
            )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{height - 8}" text-anchor="middle">ms, logarithmic</text></svg>\n'
    )
    return '\n'.join(parts)


class _Axis:
    """Milliseconds to pixels, by their logarithm; it ends at a 1, 2 or 5 of a decade."""

    def __init__(self, values: list[float]) -> None:
        ticks = [base * 10.0**power for power in range(-3, 7) for base in (1, 2, 5)]
        low = max((tick for tick in ticks if tick <= min(values)), default=ticks[0])
        high = min((tick for tick in ticks if tick >= max(values) and tick > low), default=ticks[-1])
        self._low, self._span = math.log(low), math.log(high) - math.log(low)
        self._ticks = [tick for tick in ticks if low <= tick <= high]

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log(value) - self._low) / self._span

    def lines(self, top: int, bottom: int) -> Iterator[str]:
        for tick in self._ticks:
            x = self.x(tick)
            yield f'<path d="M{x:.1f} {top}V{bottom}" stroke="#e4e4e4"/>'
            yield f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle" fill="#555">{tick:g}</text>'


def _legend(sizes: list[tuple[int, ...]]) -> Iterator[str]:
    x = LEFT
    for color, size in zip(COLORS, sizes, strict=False):
        yield f'<circle cx="{x + 6}" cy="48" r="5.5" fill="{color}"/>'
        yield f'<text x="{x + 17}" y="52.5">{size[0]}×{size[1]}</text>'
        x += 105
    yield f'<path d="M{x + 4} 41v14" stroke="{COLORS[1]}" stroke-width="1.5"/>'
    yield f'<text x="{x + 12}" y="52.5">floor</text>'
    for word, color in (('ours', OURS), ('one peer', OTHERS), ('two peers', PAIR)):
        yield f'<text x="{x + 70}" y="52.5" fill="{color}" font-weight="bold">{word}</text>'
        x += 50 if word == 'ours' else 80


def _color(name: str) -> str:
    if name in {pair.name for pair in PAIRS}:
        return PAIR
    peers = {row.name for row in ROWS if row.family != 'student'}
    return OTHERS if name in peers else OURS
