# SPDX-License-Identifier: Apache-2.0
"""Results for people: the table in Markdown."""

from __future__ import annotations

from typing import Any

HEAD = (
    '| network | p50 ms | p95 ms | network ms | post ms | ÷ small | floor ms | M parameters | GMAC | peak MB |\n'
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |'
)
EXPLANATION = """\
Weights are random: this says how fast, not how well. `p50` and `p95` are of network and post-processing together, at a
picture of the network's size. All networks got the same session options, in rounds of another order each time.

- **Post-processing** paints twenty drawn objects (the same for all) with our own painter, which is far faster than what
  the peers' packages do; a YOLO suppresses overlapping boxes before, a query network picks its best queries, depth is
  enlarged. For ours it is all of `Student.predict` but the session, taking in the picture included; peers get their
  float input for nothing. Only ours also answer a semantic map and metric depth.
- **÷ small** is p50 over that of `small` at the same size.
- **Floor** is GMAC over {gemm:.0f} GMAC/s, what a large float32 MatMul reached between the others. GMAC and parameters
  are counted in the ONNX graph: convolutions and matrix products, and numbers that the file stores. For an int8 network
  the floor is that of float32.
- **Peak MB** is of a process that runs this network alone, over the bare onnxruntime.
- **Pairs** are sums, also of p95 and memory."""


def as_markdown(document: dict[str, Any]) -> str:
    """The whole page: a table for each size, and what the figures mean."""
    lines = [
        '# Speed of our students and of what one would run instead',
        '',
        f'{document["machine"]}, {document["threads"]} threads, onnxruntime {document["onnxruntime"]} on the CPU, in '
        'float32 where nothing else is said under [Networks](#networks); '
        f'{document["rounds"]} interleaved rounds; load of the machine before the start {document["load_before"]}. '
        f'Made by `{document["command"]}` at revision {document["git"]}.',
        '',
        '![p50 of each network](results.svg)',
    ]
    for size in sorted({tuple(row['size']) for row in document['rows']}):
        lines += ['', f'## {size[0]}×{size[1]}', '', HEAD]
        lines += [_line(row) for row in document['rows'] if tuple(row['size']) == size]
    lines += [
        '',
        '## What the figures mean',
        '',
        EXPLANATION.format(gemm=document['gemm_gmacs']),
        '',
        '## Networks',
        '',
        'The digest of a graph is that of the code that exports the student, or of the file that was named; '
        '`python -m benchmarks.speed.exports` prints those of the code as it is. Where they differ, the code has '
        'changed since.',
        '',
    ]
    lines += [_network(network) for network in document['networks']]
    return '\n'.join([*lines, ''])


def _network(network: dict[str, Any]) -> str:
    graph = f'; graph {network["graph"]}' if 'graph' in network else ''
    return f'- `{network["name"]}`: {network["note"]}{graph}'


def _line(row: dict[str, Any]) -> str:
    name = row['name']
    if row.get('input', row['size']) != row['size']:
        name += f' (input {row["input"][0]}×{row["input"][1]})'
    ratio = '–' if row['ratio_to_small'] is None else _digits(row['ratio_to_small'])
    cells = [
        *(_digits(row[key]) for key in ('p50_ms', 'p95_ms', 'network_p50_ms', 'post_p50_ms')),
        ratio,
        _digits(row['floor_ms']),
        f'{row["params_m"]:.2f}',
        f'{row["gmacs"]:.2f}',
        f'{row["peak_mb"]:.0f}',
    ]
    return f'| {name} | {" | ".join(cells)} |'


def _digits(value: float) -> str:
    """Three digits, or all before the point."""
    return f'{value:.0f}' if value >= 100 else f'{value:.1f}' if value >= 10 else f'{value:.2f}'
