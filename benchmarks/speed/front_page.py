# SPDX-License-Identifier: Apache-2.0
"""The front for people: a table, and AP over milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 400, 64, 30, 50, 46
LETTER_PX, LINE_PX = 7.0, 16.0
ON_FRONT, BEHIND = '#117733', '#999999'


def as_markdown(document: dict[str, Any]) -> str:
    """The page."""
    height, width = document['size']
    lines = [
        '# What accuracy costs',
        '',
        f'Milliseconds of `Student.predict` for a picture of {height}×{width} with random weights: '
        f'{document["rounds"]} interleaved rounds on {document["machine"]}, {document["threads"]} threads, onnxruntime '
        f'{document["onnxruntime"]}; load of the machine before the start {document["load_before"]}. Accuracy is that '
        'of [the table](../accuracy/family.md), trained and judged at 128×256. Made by '
        f'`{document["command"]}` at revision {document["git"]}.',
        '',
        '![AP over milliseconds](front.svg)',
        '',
        '| student | p50 ms | ÷ small | GMAC | M parameters | AP | mIoU | AbsRel | as good and faster |',
        '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |',
    ]
    for row in document['rows']:
        ratio = '–' if row['ratio_to_small'] is None else f'{row["ratio_to_small"]:.2f}'
        lines.append(
            f'| {row["name"]} | {row["p50_ms"]:.1f} | {ratio} | {row["gmacs"]:.2f} | {row["params_m"]:.2f} | '
            f'{100 * row["ap"]:.1f} | {100 * row["miou"]:.1f} | {row["abs_rel"]:.3f} | {row["dominated_by"] or ""} |'
        )
    return '\n'.join([*lines, ''])


def as_svg(document: dict[str, Any]) -> str:
    """The picture; what another one beats in everything is grey."""
    rows = document['rows']
    right_ms, top_ap = 1.15 * max(row['p50_ms'] for row in rows), 115 * max(row['ap'] for row in rows)

    def place(milliseconds: float, ap: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * milliseconds / right_ms
        return x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ap / max(top_ap, 1e-9)

    height, width = document['size']
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="24" font-size="16" font-weight="bold">AP over milliseconds at {height}×{width}</text>',
        *(line for ap in _ticks(top_ap) for line in _across(place(0, ap)[1], f'{ap:g}')),
        *(line for ms in _ticks(right_ms) for line in _upright(place(ms, 0)[0], f'{ms:g}')),
    ]
    dots = [place(row['p50_ms'], 100 * row['ap']) for row in rows]
    taken = [(x - LETTER_PX, x + LETTER_PX, y + 4.5) for x, y in dots]
    for row in sorted(rows, key=lambda row: -row['ap']):
        x, y = place(row['p50_ms'], 100 * row['ap'])
        color = ON_FRONT if row['dominated_by'] is None else BEHIND
        label_x, label_y = _free_place(x + 10, y + 4.5, row['name'], taken)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{color}"/>'
            f'<path d="M{x:.1f} {y:.1f}L{label_x - 2:.1f} {label_y - 4.5:.1f}" stroke="{color}"/>'
            f'<text x="{label_x:.1f}" y="{label_y:.1f}" fill="{color}">{escape(row["name"])}</text>'
        )
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">ms</text></svg>\n')
    return '\n'.join(parts)


def _free_place(x: float, y: float, text: str, taken: list[tuple[float, float, float]]) -> tuple[float, float]:
    """Where a label crosses no dot and none of those before it, which it joins: as low as it has to be."""
    end = x + LETTER_PX * len(text)
    while any(x < other_end and other_x < end and abs(y - other_y) < LINE_PX for other_x, other_end, other_y in taken):
        y += LINE_PX / 2
    taken.append((x, end, y))
    return x, y


def _ticks(end: float) -> list[float]:
    """Four to ten round numbers from 0 on."""
    step = next(base * 10.0**power for power in range(-3, 6) for base in (1, 2, 5) if base * 10.0**power * 10 >= end)
    return [step * number for number in range(int(end / step) + 1)]


def _across(y: float, text: str) -> Iterator[str]:
    yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e4e4e4"/>'
    yield f'<text x="{LEFT - 10}" y="{y + 4.5:.1f}" text-anchor="end" fill="#555">{text}</text>'


def _upright(x: float, text: str) -> Iterator[str]:
    yield f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e4e4e4"/>'
    yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle" fill="#555">{text}</text>'
