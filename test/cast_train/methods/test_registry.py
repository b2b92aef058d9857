# SPDX-License-Identifier: Apache-2.0
"""Recipes of all methods, and what it takes to add one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from drawn_streets import draw_streets
from tiny_recipe import recipe_document
from train_verb import cast_train

from cast_train.errors import DataError, RecipeError
from cast_train.methods import registry
from cast_train.methods.registry import open_recipe, require_roots, staged


def test_every_shipped_recipe_is_valid(project_root: Path) -> None:
    recipes = sorted((project_root / 'config' / 'recipes').glob('*.yaml'))
    assert {open_recipe(path)[1].name: path.stem for path in recipes} == {path.stem: path.stem for path in recipes}


def test_every_shipped_recipe_names_its_method(project_root: Path) -> None:
    recipes = sorted((project_root / 'config' / 'recipes').rglob('*.yaml'))
    assert {yaml.safe_load(path.read_text()).get('method') for path in recipes} == set(registry.METHODS)


def test_an_unknown_method_is_named_with_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / 'recipe.yaml'
    path.write_text('method: magic\n')
    with pytest.raises(
        RecipeError, match="method is 'magic'; known are cast, encoder, famda, masks, night, supervised, swinmtl"
    ):
        open_recipe(path)


def test_a_recipe_without_a_method_is_of_supervised_training(tmp_path: Path) -> None:
    path = tmp_path / 'recipe.yaml'
    path.write_text(yaml.safe_dump(recipe_document(tmp_path, steps=4)))
    method, recipe = open_recipe(path)
    assert (recipe.method, method.shares_work) == ('supervised', True)


def test_a_recipe_without_stages_makes_no_rows(tmp_path: Path) -> None:
    path = tmp_path / 'recipe.yaml'
    path.write_text(yaml.safe_dump(recipe_document(tmp_path, steps=4)))
    with pytest.raises(RecipeError, match='of method supervised has no stages that could be rows of a table'):
        staged(path)


@pytest.mark.parametrize('key', ['source', 'target'])
def test_a_root_that_is_not_there_is_asked_for_by_its_key(key: str, project_root: Path, tmp_path: Path) -> None:
    here = {'source': tmp_path, 'target': tmp_path, key: tmp_path / 'nowhere'}
    path = project_root / 'config' / 'recipes' / 'streets-night.yaml'
    recipe = open_recipe(path, tuple(f'{name}.root={root}' for name, root in here.items()))[1]
    with pytest.raises(DataError, match=f'{key}.root is .*nowhere: no such folder; .* --set {key}.root=FOLDER'):
        require_roots(recipe)


@pytest.fixture
def tiny_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Adds test/fixtures/tiny_method.py to the registry, by one line; returns a recipe of it."""
    monkeypatch.setitem(registry.METHODS, 'tiny', ('tiny_method:TinyRecipe', 'tiny_method:METHOD'))
    draw_streets(tmp_path / 'streets', 'train', 'day', frames=2)
    document = recipe_document(tmp_path / 'streets', steps=2, method='tiny')
    del document['phases'], document['optimizer']
    document['stage'] = {'height': 64, 'width': 128, 'labelled': 2, 'steps': 2, 'optimizer': {'warmup_steps': 1}}
    path = tmp_path / 'recipe.yaml'
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_method_is_one_module_and_one_line(
    tiny_method: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cast_train('validate', tiny_method) == 0
    assert 'a method of a test' in capsys.readouterr().out
    assert cast_train('run', tiny_method, '--out', tmp_path / 'run') == 0
    assert (tmp_path / 'run' / 'tiny.onnx').is_file()
    table = tmp_path / 'table.yaml'
    rows = [{'name': 'one', 'stage': 'taught'}]
    table.write_text(
        yaml.safe_dump(
            {'name': 'tiny', 'title': 'Tiny', 'recipe': 'recipe.yaml', 'data': 'none', 'seeds': [3], 'rows': rows}
        )
    )
    assert cast_train('ablate', table, '--out', tmp_path / 'out', '--store', tmp_path / 'run' / 'stages') == 0
    (row,) = json.loads((tmp_path / 'out' / 'tiny.json').read_text())['rows']
    assert (row['name'], row['seeds']) == ('one', [3])
    # The stage of the run is the cell of the table: it was not done again.
    assert [path.name for path in (tmp_path / 'run' / 'stages').iterdir()] == row['stages']
