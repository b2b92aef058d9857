# SPDX-License-Identifier: Apache-2.0
"""`cast-train validate`: everything that would stop a run, before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from drawn_streets import draw_streets
from tiny_recipe import recipe_document
from train_verb import cast_train


def validate(*arguments: str | Path) -> int:
    return cast_train('validate', *arguments)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    draw_streets(tmp_path / 'streets', 'train', 'day', frames=2)
    path = tmp_path / 'recipe.yaml'
    path.write_text(yaml.safe_dump(recipe_document(tmp_path / 'streets', steps=7)))
    return path


def test_a_good_recipe_is_summed_up(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(tmp_path.rglob('*'))
    assert validate(recipe) == 0
    summary = capsys.readouterr().out
    assert 'recipe.yaml is valid' in summary
    assert '2 pictures, 128×256, with instances, semantic, depth, fx' in summary
    assert 'nano, 0.65 M parameters' in summary
    assert '7 steps (7 × 2 of 64×128), 14 views' in summary
    assert 'GB per process' in summary
    assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize(
    ('override', 'message'),
    [
        ('optimizer.learning_rte=1', "did you mean 'learning_rate'"),
        ('data.root=nowhere', 'nowhere: no such folder'),
        ('data.validation.0.split=test', 'test'),
        ('student.backbone_weights=absent.safetensors', 'absent.safetensors: no such file'),
        ('student.initial=absent.pt', 'absent.pt: no such checkpoint'),
        ('run.accumulate=3', 'phases.0.batch is 2'),
        ('method=magic', "method is 'magic'; known are"),
        ('losses={depth: 1.0e+38, bce: 1.0e+38}', 'not finite'),
    ],
)
def test_a_bad_recipe_is_one_line_and_exit_code_2(
    recipe: Path, override: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate(recipe, '--set', override) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1
