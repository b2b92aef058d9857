# SPDX-License-Identifier: Apache-2.0
"""`cast-train night` as a user runs it: what it says last, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_cast import draw_scenes
from tiny_night import write_recipe, write_recordings
from tiny_run import say_everywhere, untrained_run
from train_verb import cast_train

# Stages in which nothing is learned.
STILL = {
    name: {
        'height': 64,
        'width': 128,
        'labelled': 2,
        'unlabelled': count,
        'steps': 1,
        'optimizer': {'learning_rate': 1e-12},
    }
    for name, count in (('source', 0), ('adaptation', 2))
}
ROAD, BUILDING = 0, 2


def run_night(*arguments: str | Path) -> int:
    return cast_train('night', *arguments)


def test_a_day_that_lost_too_much_ends_with_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day, night = write_recordings(tmp_path, night_has_truth=False)
    draw_scenes(tmp_path / 'streets')
    student = untrained_run(tmp_path / 'streets', tmp_path / 'student')
    say_everywhere(student / 'last.pt', ROAD)
    recipe = write_recipe(tmp_path / 'recipe.yaml', None, stages=STILL, gate={'ap': 100.0, 'miou': 0.1})
    command = ('--source', day, '--target', night, '--student', student, '--recipe', recipe, '--out', tmp_path / 'run')
    assert run_night(*command) == 0
    assert 'gate passed: by day ' in capsys.readouterr().out
    # The stage is done. As if its training had ended with this: there is no building by day.
    say_everywhere(next((tmp_path / 'run' / 'stages').glob(f'famda-{"?" * 12}/last.pt')), BUILDING)
    assert run_night(*command) == 3
    printed = capsys.readouterr().out
    assert 'gate FAILED: by day ' in printed
    assert '\nClasses that lost IoU, in points: by day ' in printed
    document = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
    assert not document['gate']['passed']
    assert document['gate']['lost_points']['miou'] > 0.1
    worst, points = next(iter(document['gate']['losing_classes']['day'].items()))
    assert worst == 'road'
    page = (tmp_path / 'run' / 'report.html').read_text()
    assert 'Gate failed.' in page
    assert f'Classes that lost IoU, in points: by day {worst} {-points:+.1f}' in page
    # The same run is let through by those who allow that much; only the verdict is made anew.
    assert run_night(*command, '--set', 'gate.miou=100') == 0
    printed = capsys.readouterr().out
    assert 'gate passed: by day ' in printed
    assert 'lost IoU' not in printed


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = write_recipe(tmp_path / 'recipe.yaml', None)
    nowhere = tmp_path / 'nowhere.onnx'
    command = ('--source', tmp_path, '--target', tmp_path, '--student', nowhere, '--recipe', recipe)
    assert run_night(*command, '--out', tmp_path / 'run') == 2
    error = capsys.readouterr().err
    assert str(nowhere) in error
    assert error.count('\n') == 1


def test_a_recipe_of_another_method_is_refused_by_name(
    project_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = project_root / 'config' / 'recipes' / 'streets-night.yaml'
    assert run_night('--source', tmp_path, '--target', tmp_path, '--out', tmp_path / 'run', '--recipe', recipe) == 2
    assert 'streets-night.yaml: is a recipe of method famda; start it with cast-train run' in capsys.readouterr().err


def test_an_unknown_student_is_refused_with_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = write_recipe(tmp_path / 'recipe.yaml', None)
    command = ('--source', tmp_path, '--target', tmp_path, '--out', tmp_path / 'run', '--recipe', recipe)
    assert run_night(*command, '--student', 'streets-smal') == 2
    assert "no student 'streets-smal' in" in capsys.readouterr().err
