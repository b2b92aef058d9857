# SPDX-License-Identifier: Apache-2.0
"""Recipes: everything wrong in one is named before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tiny_recipe import recipe_document, tiny_recipe

from cast_train.engine.recipe import Recipe
from cast_train.engine.recipe_file import load, parse
from cast_train.errors import RecipeError


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / 'recipe.yaml'
    path.write_text(yaml.safe_dump(recipe_document(tmp_path, steps=4)))
    return path


def test_overrides_reach_sections_and_lists(recipe_file: Path) -> None:
    recipe = load(
        Recipe, recipe_file, ('seed=9', 'optimizer.learning_rate=0.5', 'phases.0.steps=7', 'data.root=/elsewhere')
    )
    assert (recipe.seed, recipe.optimizer.learning_rate, recipe.total_steps) == (9, 0.5, 7)
    assert recipe.data.root == Path('/elsewhere')


@pytest.mark.parametrize(
    ('override', 'message'),
    [
        ('seed', 'write it as key=value'),
        ('optimiser.learning_rate=1', "optimiser: unknown key; did you mean 'optimizer'"),
        ('optimizer.learning_rte=1', "learning_rte: unknown key; did you mean 'learning_rate'"),
        ('phases.0.stepps=1', "stepps: unknown key; did you mean 'steps'"),
        ('phases.3.steps=1', 'not an index of a list of 1'),
        ('seed.deeper=1', 'there is no|has no'),
        ('optimizer.learning_rate=-1', 'learning_rate: Input should be greater than 0'),
        ('input.height=100', 'multiple of 32'),
        ('student.size=huge', 'known are base, medium, nano, small, swinmtl, swinmtl-mini, vits'),
        ('data.dataset=os.system', 'known are .*camvid.*streets'),
        ('data.class_map=cityscapes', 'class_map is .cityscapes.; known are camvid11, cityscapes13'),
    ],
)
def test_a_wrong_override_is_named(recipe_file: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(Recipe, recipe_file, (override,))


def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'x.yaml'
    with pytest.raises(RecipeError, match='cannot be read as YAML'):
        load(Recipe, path)
    path.write_text('a: [')
    with pytest.raises(RecipeError, match='cannot be read as YAML'):
        load(Recipe, path)
    path.write_text('- 1')
    with pytest.raises(RecipeError, match='mapping of keys'):
        load(Recipe, path)
    path.write_text('a: !!python/object/apply:os.getcwd []')
    with pytest.raises(RecipeError, match='cannot be read as YAML'):
        load(Recipe, path)


def test_a_recipe_survives_the_checkpoint(tmp_path: Path) -> None:
    recipe = parse(Recipe, recipe_document(tmp_path, 4), 'a')
    assert parse(Recipe, recipe.model_dump(mode='json'), 'b') == recipe


def test_a_recipe_without_a_map_is_written_as_before_there_were_maps(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, 1)
    before = {'dataset', 'root', 'train', 'validation', 'limit', 'in_memory'}
    assert recipe.model_dump(mode='json')['data'].keys() == recipe.data.model_dump().keys() == before
    assert 'class_map' not in recipe.model_dump_json()


def test_a_recipe_keeps_its_map(tmp_path: Path) -> None:
    document = recipe_document(tmp_path, 1)
    document['data']['class_map'] = 'camvid11'
    recipe = parse(Recipe, document, 'tiny')
    assert parse(Recipe, recipe.model_dump(mode='json'), 'again') == recipe
    assert recipe.model_dump(mode='json')['data']['class_map'] == 'camvid11'
