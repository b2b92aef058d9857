# SPDX-License-Identifier: Apache-2.0
"""SwinMTL as a method: what its switches do, and a whole run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from drawn_streets import draw_streets
from tiny_swinmtl import swinmtl_document

from cast_ros.student import Student
from cast_train.engine.recipe_file import parse
from cast_train.errors import RecipeError
from cast_train.methods.method import Pictures
from cast_train.methods.stages import Stages
from cast_train.methods.swinmtl.recipe import SwinMtlRecipe
from cast_train.methods.swinmtl.stages import STAGED, SwinMtl
from cast_train.models import StudentNetwork


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('swinmtl')
    draw_streets(folder / 'streets', 'train', 'day', 4, seed=1)
    draw_streets(folder / 'streets', 'val', 'day', 2, seed=100)
    return folder


def recipe_of(root: Path, **changes: Any) -> SwinMtlRecipe:
    return parse(SwinMtlRecipe, swinmtl_document(root / 'streets', **changes), 'tiny')


def swinmtl(root: Path, look: bool = False, **changes: Any) -> SwinMtl:
    recipe = recipe_of(root, **changes)
    return SwinMtl(recipe, Stages(root / 'stages', lambda _: None, look), Pictures(recipe.data))


def test_only_figures_of_what_was_taught_are_reported(root: Path) -> None:
    both = swinmtl(root).student().result['metrics']
    classes = swinmtl(root, critic=None, tasks=['segmentation']).student().result['metrics']
    depth = swinmtl(root, critic=None, tasks=['depth']).student().result['metrics']
    assert set(both) == {'miou', 'abs_rel', 'rmse', 'delta1'}
    assert set(classes) == {'miou'}
    assert set(depth) == {'abs_rel', 'rmse', 'delta1'}


def test_a_task_that_is_not_taught_leaves_its_head_alone(root: Path) -> None:
    run = swinmtl(root, critic=None, tasks=['depth'])
    ended = torch.load(run.student().folder / 'last.pt', weights_only=True)['ema']
    torch.manual_seed(3)
    first = StudentNetwork('swinmtl-mini', 11, run.contract.thing_ids).state_dict()
    assert torch.equal(ended['dense.1.bias'], first['dense.1.bias'])
    assert not torch.equal(ended['depth.out.bias'], first['depth.out.bias'])


def test_every_switch_makes_another_student(root: Path) -> None:
    first = swinmtl(root, look=True).student().digest
    assert swinmtl(root, look=True).student().digest == first
    for changes in (
        {'critic': None},
        {'critic': {'weight': 0.2}},
        {'cut_mix': False},
        {'student': {'size': 'swinmtl-mini', 'depth_form': 'linear'}},
        {'student': {'size': 'nano'}},
        {'critic': None, 'tasks': ['depth']},
        {'seed': 4},
    ):
        assert swinmtl(root, look=True, **changes).student().digest != first, changes


def test_the_switches_serve_a_student_with_queries_too(root: Path) -> None:
    student = {'size': 'nano', 'depth_form': 'linear'}
    optimizer = {'schedule': 'rise_and_fall'}
    stage = {**recipe_of(root).stage.model_dump(), 'optimizer': optimizer}
    metrics = swinmtl(root, student=student, stage=stage).student().result['metrics']
    assert {'ap', 'miou', 'abs_rel'} <= metrics.keys()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'tasks': ['depth']}, 'critic compares depth and segmentation together'),
        ({'tasks': []}, 'tasks'),
        ({'stage': {'height': 64, 'width': 128, 'labelled': 2, 'steps': 2, 'patience': 1}}, r'stage\.patience'),
        ({'criticc': None}, "did you mean 'critic'"),
        ({'student': {'size': 'nano', 'depth_form': 'cubic'}}, 'depth_form'),
    ],
)
def test_what_cannot_be_is_refused(root: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_of(root, **changes)


def test_a_whole_run_ends_with_a_student_its_card_and_a_manifest(root: Path, tmp_path: Path) -> None:
    student = STAGED.student(recipe_of(root), tmp_path / 'run', root / 'stages', lambda _: None)
    with Student.load(student) as exported:
        assert exported.contract.outputs == ('semantic', 'depth')
        assert exported.contract.provenance['method'] == 'SwinMTL'
    assert student.with_suffix('.md').is_file()
    manifest = json.loads((tmp_path / 'run' / 'manifest.json').read_text())
    assert manifest['recipe']['method'] == 'swinmtl'
    assert [stage['name'] for stage in manifest['stages']] == ['swinmtl']


def test_a_corrected_licence_and_moved_data_are_what_the_same_command_exports(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / 'streets', tmp_path / 'first' / 'streets')
    run, store = tmp_path / 'run', tmp_path / 'stages'
    STAGED.student(recipe_of(tmp_path / 'first'), run, store, lambda _: None)
    log = next(store.glob('*/log.jsonl')).read_bytes()
    (tmp_path / 'first').rename(tmp_path / 'moved')
    corrected = recipe_of(tmp_path / 'moved', version='0.0.2', license='CC-BY-NC-4.0')
    student = STAGED.student(corrected, run, store, lambda _: None)
    with Student.load(student) as exported:
        assert (exported.contract.version, exported.contract.license) == ('0.0.2', 'CC-BY-NC-4.0')
    assert 'licence CC-BY-NC-4.0' in student.with_suffix('.md').read_text()
    beside = yaml.safe_load(student.with_suffix('.recipe.yaml').read_text())
    assert (beside['version'], beside['data']['root']) == ('0.0.2', str(tmp_path / 'moved' / 'streets'))
    assert next(store.glob('*/log.jsonl')).read_bytes() == log  # nothing was trained again
