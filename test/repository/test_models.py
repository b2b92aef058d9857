# SPDX-License-Identifier: Apache-2.0
"""The students that come with the package: called like their files, described by a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from cast_ros.student import LoadOptions, Student

ROOT = Path(__file__).resolve().parents[2]
MODELS = sorted((ROOT / 'models').glob('*.onnx'))


def test_there_is_one_for_rendered_and_one_for_real_streets() -> None:
    assert [path.stem for path in MODELS] == ['road-medium', 'streets-small']


@pytest.mark.parametrize('path', MODELS, ids=lambda path: path.stem)
def test_each_is_named_like_its_file_and_described(path: Path) -> None:
    with Student.load(path, LoadOptions(threads=1)) as student:
        contract = student.contract
    assert contract.name == path.stem
    assert contract.metrics['pictures'] > 0
    card = path.with_suffix('.md').read_text(encoding='utf-8')
    assert f'licence {contract.license},' in card
    assert 'Nobody has looked yet' not in card
    for shown in (path.with_suffix('.recipe.yaml'), path.with_suffix('.log.jsonl')):
        assert shown.name in card
        assert shown.is_file()


@pytest.mark.parametrize('path', MODELS, ids=lambda path: path.stem)
def test_the_readme_states_the_figures_of_the_file(path: Path) -> None:
    with Student.load(path, LoadOptions(threads=1)) as student:
        metrics = student.contract.metrics
    row = next(
        line
        for line in (ROOT / 'README.md').read_text(encoding='utf-8').splitlines()
        if line.startswith(f'| `{path.stem}`')
    )
    cells = [cell.strip() for cell in row.strip('|').split('|')]
    assert cells[1].startswith(f'{path.stat().st_size / 1e6:.1f} MB')
    for name, cell in zip(('ap', 'ap50', 'miou', 'abs_rel'), cells[3:7], strict=True):
        assert cell == (f'{metrics[name]:.3f}' if name in metrics else '–')
