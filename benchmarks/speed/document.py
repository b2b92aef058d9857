# SPDX-License-Identifier: Apache-2.0
"""The document of results: rows of networks, rows of pairs, and what both were measured on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.speed.rows import PAIRS, REFERENCE, ROWS, Pair, Row, Size
from cast_train.export.revision import git_revision
from cast_train.export.speed import machine_in_words

Figures = dict[str, Any]
# What is a sum in a pair.
SUMMED = ('p50_ms', 'p95_ms', 'network_p50_ms', 'post_p50_ms', 'params_m', 'gmacs', 'peak_mb')
DIGITS = {'params_m': 3, 'gmacs': 3, 'peak_mb': 1, 'ratio_to_small': 3}


def order_of(names: Iterable[str]) -> list[str]:
    """All names that a table may have, in its order: what the command line added stands behind our own sizes."""
    ours = [row.name for row in ROWS if row.family == 'student']
    others = [row.name for row in ROWS if row.family != 'student']
    pairs = [pair.name for pair in PAIRS]
    return [*ours, *(name for name in dict.fromkeys(names) if name not in {*ours, *others, *pairs}), *others, *pairs]


def networks_of(graphs: Iterable[tuple[Row, str]], measured: Iterable[Figures]) -> list[Figures]:
    """Name and note of every network and pair that was measured, in the order of the table.

    Args:
        graphs: what was measured, each with the digest of what its graph is made from; only that of a student, whose
            code changes with this repository, is kept.
        measured: finished rows.
    """
    known = {pair.name: {'name': pair.name, 'note': pair.note} for pair in PAIRS}
    for row, digest in graphs:
        known[row.name] = {'name': row.name, 'note': row.note}
        if row.family == 'student':
            known[row.name]['graph'] = digest
    names = {row['name'] for row in measured}
    return [known[name] for name in order_of(known) if name in names]


def row_of(row: Row, size: Size, times: Mapping[str, float], params_m: float, gmacs: float, peak_mb: float) -> Figures:
    """The figures of one network at one size, without those that need the others."""
    figures = {'name': row.name, 'size': list(size), 'input': list(row.input_of(size)), **times}
    return {**figures, 'params_m': params_m, 'gmacs': gmacs, 'peak_mb': peak_mb}


def pair_of(pair: Pair, parts: Iterable[Figures]) -> Figures:
    """The figures of two networks one after the other: sums, also of the p95, which is a little too high by that."""
    known = list(parts)
    sums = {key: sum(part[key] for part in known) for key in SUMMED}
    return {'name': pair.name, 'size': known[0]['size'], 'sum_of': [part['name'] for part in known], **sums}


def finished(rows: Iterable[Figures], gemm_gmacs: float) -> list[Figures]:
    """All rows with pairs, floors and ratios, rounded; sizes from the smallest, rows in the order of the table."""
    known = list(rows)
    found = {(row['name'], tuple(row['size'])): row for row in known}
    sizes = sorted({size for _, size in found})
    for size in sizes:
        for pair in PAIRS:
            if all((part, size) in found for part in pair.parts):
                known.append(pair_of(pair, (found[part, size] for part in pair.parts)))
    order = order_of(row['name'] for row in known)
    known.sort(key=lambda row: (row['size'], order.index(row['name'])))
    return [_complete(row, found.get((REFERENCE, tuple(row['size']))), gemm_gmacs) for row in known]


def _complete(row: Figures, reference: Figures | None, gemm_gmacs: float) -> Figures:
    figures = {
        **row,
        'floor_ms': row['gmacs'] / gemm_gmacs * 1e3,
        'ratio_to_small': None if reference is None else row['p50_ms'] / reference['p50_ms'],
    }
    return {
        key: round(value, DIGITS.get(key, 2)) if isinstance(value, float) else value for key, value in figures.items()
    }


def origin_of(command: str) -> Figures:
    """What has to be asked before the start: the revision of the code, and how many processes want to run already."""
    return {
        'command': command,
        'git': git_revision(),
        'machine': machine_in_words(),
        'load_before': round(os.getloadavg()[0], 1),
    }


def document_of(
    origin: Figures,
    rows: list[Figures],
    networks: list[Figures],
    threads: int,
    rounds: int,
    gemm_gmacs: float,
    onnxruntime: str,
) -> Figures:
    """Everything that results.json holds."""
    return {
        **origin,
        'threads': threads,
        'gemm_gmacs': round(gemm_gmacs, 1),
        'onnxruntime': onnxruntime,
        'rounds': rounds,
        'networks': networks,
        'rows': rows,
    }
