# SPDX-License-Identifier: Apache-2.0
"""Tables of results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tiny_cast import cast_document, draw_scenes, pretrain

from cast_train.errors import RecipeError
from cast_train.methods.ablation import ablate, as_markdown, cells_of, load_table


@pytest.fixture(scope='module')
def table_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('table')
    draw_scenes(folder / 'streets')
    initial = pretrain(folder / 'streets', folder / 'pretrained')
    recipe = folder / 'recipe.yaml'
    recipe.write_text(yaml.safe_dump(cast_document(folder / 'streets', initial)))
    rows = [
        {'name': 'teacher zero-shot', 'stage': 'teacher_pretrained', 'seeds': [1]},
        {'name': 'supervised', 'stage': 'student_supervised', 'note': 'labels alone'},
    ]
    document = {'name': 'tiny', 'title': 'Tiny', 'recipe': str(recipe), 'data': 'drawn', 'seeds': [1, 2], 'rows': rows}
    path = folder / 'table.yaml'
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_table_has_a_value_for_every_seed_of_a_row(table_file: Path) -> None:
    table, out = load_table(table_file), table_file.parent / 'out'
    document = ablate(table, cells_of(table), table_file.parent / 'stages', out, 'cast-train ablate table.yaml', print)
    assert json.loads((out / 'tiny.json').read_text()) == document
    zero_shot, supervised = document['rows']
    assert (zero_shot['seeds'], supervised['seeds']) == ([1], [1, 2])
    assert len(supervised['metrics']['ap']) == len(supervised['train_seconds']) == 2
    assert zero_shot['params_m'] == pytest.approx(0.645, abs=0.01)
    assert {'command', 'git', 'data'} <= document.keys()
    assert supervised['revisions'] == [document['git']] * 2
    logs = {path.stem for path in (out / 'logs').iterdir()}
    assert logs == set(supervised['stages'])  # a teacher that nobody trained has no log
    text = (out / 'tiny.md').read_text()
    assert text == as_markdown(document, 'tiny')
    assert '- supervised: labels alone' in text


def test_a_second_run_works_on_nothing(table_file: Path) -> None:
    table, said = load_table(table_file), list[str]()
    ablate(table, cells_of(table), table_file.parent / 'stages', table_file.parent / 'again', 'command', said.append)
    assert said == []


def test_a_recorded_cell_is_not_done_again_where_its_stages_are_gone(table_file: Path) -> None:
    table, out, said = load_table(table_file), table_file.parent / 'out', list[str]()
    first = ablate(table, cells_of(table), table_file.parent / 'stages', out, 'command', print)
    again = ablate(table, cells_of(table), table_file.parent / 'empty', out, 'command', said.append)
    assert said == []
    assert again['rows'] == first['rows']
    other = cells_of(table, ('stages.student_supervised.steps=3',))
    document = ablate(table, other[:2], table_file.parent / 'empty', out, 'command', said.append)
    assert any('student-supervised: working' in line for line in said)  # other settings are another cell
    assert document['rows'][0] == first['rows'][0]


def test_a_foreign_file_among_the_tables_is_named(table_file: Path, tmp_path: Path) -> None:
    (tmp_path / 'other.json').write_text('{"rows": [{"name": "x"}]}')
    table = load_table(table_file)
    with pytest.raises(RecipeError, match=r'other\.json: is not a table'):
        ablate(table, cells_of(table), table_file.parent / 'stages', tmp_path, 'command', print)


def test_markdown_shows_mean_and_deviation_in_points() -> None:
    row = {'name': 'refined', 'params_m': 0.645, 'seeds': [1, 2], 'train_seconds': [60.0, 120.0]}
    document = {
        'title': 'T',
        'command': 'c',
        'git': 'g',
        'data': 'd',
        'text': '',
        'rows': [{**row, 'metrics': {'ap': [0.10, 0.12], 'abs_rel': [0.2, 0.3]}}],
    }
    assert '| refined | 11.0 ± 1.4 | 0.250 ± 0.071 | 0.65 M | 2 | 2 min |' in as_markdown(document, 'T')


def test_what_a_table_sets_holds_for_every_row_unless_the_row_says_otherwise(table_file: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(table_file.read_text())
    document['set'] = ['stages.distillation.steps=7', 'pseudo_labels.score=0.4']
    document['rows'][1]['set'] = ['stages.distillation.steps=9']
    path = tmp_path / 'table.yaml'
    path.write_text(yaml.safe_dump(document))
    zero_shot, supervised, _ = (cell.recipe for cell in cells_of(load_table(path)))
    assert (zero_shot.stages.distillation.steps, supervised.stages.distillation.steps) == (7, 9)
    assert supervised.pseudo_labels.score == 0.4


def test_seeds_are_not_overrides(table_file: Path) -> None:
    with pytest.raises(RecipeError, match='seed cannot be set for the table tiny; name seeds'):
        cells_of(load_table(table_file), ('seed=4',))


def test_figures_of_another_domain_stand_behind_those_of_the_target() -> None:
    row = {'name': 'FAMDA', 'params_m': 0.645, 'seeds': [1], 'train_seconds': [60.0]}
    metrics = {'ap': [0.1], 'miou': [0.5], 'day_ap': [0.2], 'day_abs_rel': [0.125], 'rmse': [3.0]}
    document = {
        'title': 'T',
        'command': 'c',
        'git': 'g',
        'data': 'd',
        'text': '',
        'rows': [{**row, 'metrics': metrics}],
    }
    text = as_markdown(document, 'T')
    assert '| | AP | mIoU | day AP | day AbsRel | parameters |' in text
    assert '| FAMDA | 10.0 | 50.0 | 20.0 | 0.125 | 0.65 M |' in text


def test_an_unknown_stage_is_named(tmp_path: Path, table_file: Path) -> None:
    document = yaml.safe_load(table_file.read_text())
    document['rows'][0]['stage'] = 'magic'
    path = tmp_path / 'table.yaml'
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(RecipeError, match="unknown stage 'magic'; known are teacher_pretrained"):
        load_table(path)


def test_the_shipped_tables_are_valid(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project_root)
    tables = [load_table(path) for path in sorted((project_root / 'benchmarks' / 'accuracy').glob('*.yaml'))]
    assert {table.name for table in tables} == {
        'cast_start',
        'cast_stages',
        'cast_losses',
        'cast_negatives',
        'cast_labels',
        'cast_remedies',
        'dusk_camvid',
        'family',
        'joint',
        'night_streets',
        'streets_to_camvid',
        'swinmtl',
    }
    for table in tables:
        cells = cells_of(table)
        assert len(cells) == sum(len(row.seeds or table.seeds) for row in table.rows)
