# SPDX-License-Identifier: Apache-2.0
"""Accuracy of a table beside the milliseconds of its students."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed import front
from benchmarks.speed.errors import BenchmarkError
from benchmarks.speed.front_page import as_svg

TABLE = """
name: pair
title: two students
recipe: config/recipes/streets-swinmtl.yaml
data: none
set: [critic=null, losses.dense_semantic=2]
rows:
  - {name: nano, stage: student, set: [student.size=nano]}
  - {name: small, stage: student, set: [student.size=nano, 'student.widths={layers: 2}']}
"""


def figures(p50_ms: float) -> dict[str, float]:
    return {'p50_ms': p50_ms, 'p95_ms': p50_ms, 'params_m': 1.0, 'gmacs': 2.0}


def scores(ap: float, miou: float, abs_rel: float) -> dict[str, float]:
    return {'ap': ap, 'miou': miou, 'abs_rel': abs_rel}


def test_who_is_beaten_in_everything_by_a_faster_one_is_told() -> None:
    times = {'base': figures(100.0), 'small': figures(50.0), 'slim': figures(40.0), 'nano': figures(20.0)}
    accuracy = {
        'nano': scores(0.1, 0.5, 0.2),
        'slim': scores(0.2, 0.6, 0.15),
        'small': scores(0.2, 0.55, 0.16),
        'base': scores(0.1, 0.7, 0.3),
    }
    rows = front.front(times, accuracy)
    assert [row['name'] for row in rows] == ['nano', 'slim', 'small', 'base']
    assert [row['dominated_by'] for row in rows] == [None, None, 'slim', None]
    assert [row['ratio_to_small'] for row in rows] == [0.4, 0.8, 1.0, 2.0]
    with pytest.raises(BenchmarkError, match='no figures of slim yet'):
        front.front(times, {name: one for name, one in accuracy.items() if name != 'slim'})


def test_the_students_of_a_table_are_measured_as_they_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'pair.yaml').write_text(TABLE)
    rows = [
        {'name': name, 'metrics': {'ap': [0.1, 0.2], 'miou': [0.5], 'abs_rel': [0.25]}} for name in ('nano', 'small')
    ]
    (tmp_path / 'pair.json').write_text(json.dumps({'rows': rows}))
    arguments = ['--table', str(tmp_path / 'pair.yaml'), '--size', '64x128', '--rounds', '2']
    assert front.main([*arguments, '--out', str(tmp_path)]) == 0
    document = json.loads((tmp_path / 'front.json').read_text())
    by_name = {row['name']: row for row in document['rows']}
    assert by_name['nano']['ap'] == pytest.approx(0.15)
    # A layer less, so fewer weights and products.
    assert by_name['small']['params_m'] < by_name['nano']['params_m']
    assert by_name['small']['gmacs'] < by_name['nano']['gmacs']
    assert all(row['p50_ms'] > 0 for row in document['rows'])
    assert '| nano | ' in (tmp_path / 'front.md').read_text(encoding='utf-8')
    capsys.readouterr()
    # The committed page is of the whole table.
    assert front.main(arguments) == 2
    assert '--table' in capsys.readouterr().err


def test_a_table_without_figures_says_what_makes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'pair.yaml').write_text(TABLE)
    assert front.main(['--table', str(tmp_path / 'pair.yaml'), '--out', str(tmp_path)]) == 2
    assert 'cast-train ablate' in capsys.readouterr().err


def test_what_cannot_be_used_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'pair.yaml').write_text(TABLE)
    (tmp_path / 'pair.json').write_text(json.dumps({'rows': [{'name': 'nano', 'metrics': {'miou': [0.5]}}]}))
    arguments = ['--table', str(tmp_path / 'pair.yaml'), '--out', str(tmp_path)]
    assert front.main([*arguments, '--size', 'large']) == 2
    assert "--size must be height x width, such as 512x1024, not 'large'" in capsys.readouterr().err
    assert front.main(arguments) == 2
    assert 'nano lack one of ap, miou, abs_rel' in capsys.readouterr().err


def test_no_label_of_the_picture_lies_on_another_one() -> None:
    rows = [{'name': 'a & b', 'p50_ms': 30.0 + place, 'ap': 0.2, 'dominated_by': None} for place in range(4)]
    rows += [{'name': 'slow', 'p50_ms': 60.0, 'ap': 0.0, 'dominated_by': 'a & b'}]
    svg = as_svg({'size': [512, 1024], 'rows': rows})
    assert svg.count('<circle') == 5
    assert svg.count('fill="#999999"') == 2
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)" fill="#117733">a &amp; b', svg))
    assert len(heights) == 4
    assert min(np.diff(heights)) == pytest.approx(16)
