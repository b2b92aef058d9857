# SPDX-License-Identifier: Apache-2.0
"""From figures to the document, the table and the picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import run
from benchmarks.speed.document import document_of, finished, networks_of, origin_of, row_of
from benchmarks.speed.peers.registry import NETWORKS
from benchmarks.speed.plot import as_svg
from benchmarks.speed.rows import PAIRS, ROWS, SIZES, Row
from benchmarks.speed.table import as_markdown
from cast_train.export.revision import git_revision

LARGE = (512, 1024)
ORIGIN = {'command': 'make bench-speed', 'git': '0123456789ab', 'machine': 'A processor, 2 cores', 'load_before': 0.1}


def figures(name: str, size: tuple[int, int], p50_ms: float) -> dict[str, Any]:
    row = next((row for row in ROWS if row.name == name), Row(name, 'student'))
    times = {'p50_ms': p50_ms, 'p95_ms': p50_ms + 2, 'network_p50_ms': p50_ms - 1, 'post_p50_ms': 1.0}
    return row_of(row, size, times, params_m=2.0, gmacs=4.62, peak_mb=100.0)


def measured() -> list[dict[str, Any]]:
    names = ('yolo11n-seg', 'small', 'depth-anything-v2-small')
    rows = [figures(name, SIZES[0], ms) for name, ms in zip(names, (15, 8, 200), strict=True)]
    return rows + [figures(name, LARGE, ms) for name, ms in zip(names, (50, 25, 1900), strict=True)]


def document() -> dict[str, Any]:
    return document_from(finished(measured(), 231.0))


def document_from(rows: list[dict[str, Any]], known: Sequence[Row] = ROWS) -> dict[str, Any]:
    networks = networks_of([(row, f'{index:08x}') for index, row in enumerate(known)], rows)
    return document_of(ORIGIN, rows, networks, 2, 10, 231.04, '1.31.1')


def test_rows_get_floors_and_ratios_in_the_order_of_the_table() -> None:
    rows = finished(measured(), 231.0)
    small = ['small', 'yolo11n-seg', 'depth-anything-v2-small', 'pair']
    assert [row['name'] for row in rows] == small * 2
    assert [row['ratio_to_small'] for row in rows[:4]] == [1.0, 1.875, 25.0, 26.875]
    assert rows[0]['floor_ms'] == 20.0
    assert rows[2]['input'] == [252, 504]


def test_a_pair_is_the_sum_of_its_parts() -> None:
    pair = finished(measured(), 231.0)[-1]
    assert pair == {
        'name': 'pair',
        'size': [512, 1024],
        'sum_of': ['yolo11n-seg', 'depth-anything-v2-small'],
        'p50_ms': 1950,
        'p95_ms': 1954,
        'network_p50_ms': 1948,
        'post_p50_ms': 2.0,
        'params_m': 4.0,
        'gmacs': 9.24,
        'peak_mb': 200.0,
        'floor_ms': 40.0,
        'ratio_to_small': 78.0,
    }


def test_without_small_there_is_no_ratio() -> None:
    rows = finished([figures('nano', LARGE, 12.0)], 231.0)
    assert rows[0]['ratio_to_small'] is None
    assert '| nano | 12.0 | 14.0 | 11.0 | 1.00 | – | 20.0 |' in as_markdown(document_from(rows))


def test_students_from_the_command_line_stand_behind_our_own_sizes() -> None:
    rows = [figures(name, LARGE, 10.0) for name in ('eomt-s', 'mine', 'small-int8', 'swinmtl', 'nano')]
    assert [row['name'] for row in finished(rows, 231.0)] == ['nano', 'swinmtl', 'small-int8', 'mine', 'eomt-s']


def test_every_row_of_the_table_has_its_own_note_below_it() -> None:
    names = ('yolo11n-seg', 'depth-anything-v2-small', 'mine', 'small-int8', 'nano')
    rows = finished([figures(name, size, 10.0) for size in (LARGE, SIZES[0]) for name in names], 231.0)
    page = as_markdown(document_from(rows, [*ROWS, Row('mine', 'student', 'ours, from x.onnx in int8')]))
    assert page.partition('## Networks')[2].strip().splitlines()[2:] == [
        '- `nano`: ours; graph 00000000',
        '- `small-int8`: ours, `small` in int8: convolutions of backbone and pyramid in 8 bits, all else in '
        'float32; graph 00000006',
        f'- `mine`: ours, from x.onnx in int8; graph {len(ROWS):08x}',
        '- `yolo11n-seg`: ultralytics; instances alone',
        '- `depth-anything-v2-small`: transformers; depth alone, on multiples of 14',
        '- `pair`: instances and depth from two networks',
    ]
    assert 'in float32 where nothing else is said under [Networks](#networks)' in page


def test_the_table_has_a_section_for_each_size_and_a_line_for_each_row() -> None:
    page = as_markdown(document())
    assert page.count('## 256×512') == page.count('## 512×1024') == 1
    assert '| small | 25.0 | 27.0 | 24.0 | 1.00 | 1.00 | 20.0 | 2.00 | 4.62 | 100 |' in page
    assert '| depth-anything-v2-small (input 518×1036) | 1900 |' in page
    assert '10 interleaved rounds' in page
    assert 'Made by `make bench-speed` at revision 0123456789ab.' in page
    assert '231 GMAC/s' in page


def test_students_alone_have_the_digest_of_their_graph() -> None:
    networks = document()['networks']
    assert [network['name'] for network in networks] == ['small', 'yolo11n-seg', 'depth-anything-v2-small', 'pair']
    assert [network.get('graph') for network in networks] == ['00000001', None, None, None]


def test_an_origin_names_command_revision_and_machine() -> None:
    origin = origin_of('make x')
    assert origin['command'] == 'make x'
    assert origin['git'] == git_revision()
    assert origin['machine'].endswith(' cores')
    assert origin['load_before'] >= 0


def test_the_picture_has_a_dot_for_each_row_and_size_in_order_of_speed() -> None:
    root = ElementTree.fromstring(as_svg(document()))
    space = '{http://www.w3.org/2000/svg}'
    dots = [dot for dot in root.iter(f'{space}circle') if dot.find(f'{space}title') is not None]
    assert len(dots) == 8
    titles = [dot.findtext(f'{space}title') or '' for dot in dots]
    assert titles[0] == 'small 256×512: 8.0 ms'
    assert titles[-1] == 'pair 512×1024: 1950.0 ms'
    places = {title: float(dot.attrib['cx']) for title, dot in zip(titles, dots, strict=True)}
    assert sorted(places, key=lambda title: places[title]) == sorted(
        places, key=lambda title: float(title.rpartition(': ')[2].removesuffix(' ms'))
    )


def test_results_that_cannot_be_written_leave_the_old_ones(tmp_path: Path) -> None:
    run.write(document(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {'results.json', 'results.md', 'results.svg'}
    broken = document()
    broken['rows'][0]['p50_ms'] = None
    with pytest.raises(TypeError):
        run.write(broken, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert json.loads(before['results.json'])['rows'][0]['name'] == 'small'


def test_every_peer_has_an_exporter_and_every_pair_has_parts() -> None:
    names = {row.name for row in ROWS}
    assert {row.exporter_name for row in ROWS if row.family != 'student'} == set(NETWORKS)
    assert {part for pair in PAIRS for part in pair.parts} <= names
    assert len(names) == len(ROWS)
    assert all(row.note for row in (*ROWS, *PAIRS))
