# SPDX-License-Identifier: Apache-2.0
"""Where the paths of a recipe lead."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tiny_night import write_recipe
from tiny_recipe import recipe_document

from cast_train.engine.recipe import Recipe
from cast_train.engine.recipe_file import load, parse
from cast_train.errors import RecipeError
from cast_train.methods.night.recipe import NightRecipe

MARKER = 'share/ament_index/resource_index/packages/cast_ros'
WEIGHTS = Path('weights/start.pt')


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The folders in which a path is looked for, the first one first."""
    found = {
        'working': tmp_path / 'working',
        'beside': tmp_path / 'recipes',
        'share': tmp_path / 'workspace' / 'share' / 'cast_ros',
    }
    for folder in found.values():
        (folder / WEIGHTS).parent.mkdir(parents=True)
    (tmp_path / 'workspace' / MARKER).parent.mkdir(parents=True)
    (tmp_path / 'workspace' / MARKER).touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path / 'workspace'))
    monkeypatch.chdir(found['working'])
    return found


def read(folders: dict[str, Path]) -> Recipe:
    path = folders['beside'] / 'recipe.yaml'
    student = {'size': 'nano', 'initial': str(WEIGHTS)}
    path.write_text(yaml.safe_dump(recipe_document(Path('data'), steps=1, student=student)))
    return load(Recipe, path)


def test_a_path_leads_to_the_first_folder_that_has_it(folders: dict[str, Path]) -> None:
    assert read(folders).student.initial == WEIGHTS  # nobody has it: as it is, for the error of whoever opens it
    (folders['share'] / WEIGHTS).touch()
    assert read(folders).student.initial == folders['share'] / WEIGHTS
    (folders['beside'] / WEIGHTS).touch()
    assert read(folders).student.initial == folders['beside'] / WEIGHTS
    (folders['working'] / WEIGHTS).touch()
    assert read(folders).student.initial == WEIGHTS  # as it is: digests and checkpoints see what was written


def test_roots_of_data_are_found_as_files_are(folders: dict[str, Path]) -> None:
    (folders['beside'] / 'data').mkdir()
    assert read(folders).data.root == folders['beside'] / 'data'


def test_an_absolute_path_is_as_it_is(folders: dict[str, Path]) -> None:
    (folders['share'] / WEIGHTS).touch()
    path = folders['beside'] / 'recipe.yaml'
    path.write_text(yaml.safe_dump(recipe_document(Path('/data'), steps=1)))
    assert load(Recipe, path, (f'student.initial=/{WEIGHTS}',)).student.initial == Path('/') / WEIGHTS


def test_the_settings_of_a_teacher_are_looked_for_as_well(folders: dict[str, Path]) -> None:
    (folders['share'] / WEIGHTS).touch()
    recipe = load(NightRecipe, write_recipe(folders['beside'] / 'night.yaml', WEIGHTS))
    assert recipe.segments is not None
    assert recipe.segments.settings == {'checkpoint': str(folders['share'] / WEIGHTS), 'score': 0.0}
    assert recipe.imports.topic.startswith('/')


def test_the_recipe_of_a_checkpoint_keeps_its_paths(folders: dict[str, Path]) -> None:
    (folders['share'] / WEIGHTS).touch()
    student = {'size': 'nano', 'initial': str(WEIGHTS)}
    assert parse(Recipe, recipe_document(Path(), 1, student=student), 'tiny').student.initial == WEIGHTS


@pytest.mark.parametrize('override', ['name=[', 'name=@x'])
def test_a_value_that_is_no_yaml_is_named(folders: dict[str, Path], override: str) -> None:
    path = folders['beside'] / 'recipe.yaml'
    path.write_text(yaml.safe_dump(recipe_document(Path('data'), steps=1)))
    with pytest.raises(RecipeError, match=r"--set 'name=.*the value is not YAML"):
        load(Recipe, path, (override,))


def test_a_recipe_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'recipe.yaml'
    path.write_bytes('name: stra\u00dfe'.encode('latin-1'))
    with pytest.raises(RecipeError, match='cannot be read as YAML'):
        load(Recipe, path)
