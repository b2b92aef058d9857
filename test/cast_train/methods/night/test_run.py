# SPDX-License-Identifier: Apache-2.0
"""From two recordings to an adapted student, a report and a verdict."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from killed_runs import run_with_kills
from rich.console import Console
from tiny_night import write_recipe, write_recordings, write_student

from cast_ros.errors import BagError
from cast_ros.offline.evaluation.compare import Scores
from cast_ros.offline.metrics.semantic import SemanticMetrics
from cast_ros.student import Student
from cast_train.engine.checkpoint import load_checkpoint, save_checkpoint
from cast_train.engine.recipe_file import load
from cast_train.engine.trained import load_student
from cast_train.errors import DataError, RecipeError
from cast_train.export.onnx import export_onnx
from cast_train.methods.night.judging import Judgement, losing_classes, luminance_of
from cast_train.methods.night.recipe import GateSection, NightRecipe
from cast_train.methods.night.report import losing_text
from cast_train.methods.night.run import Night, lost_points, passes, run_night

QUIET = Console(quiet=True)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('night')
    write_recordings(root)
    write_student(root)
    write_recipe(root / 'recipe.yaml', root / 'student')
    return root


@pytest.fixture(scope='module')
def done(folder: Path) -> Night:
    recipe = load(NightRecipe, folder / 'recipe.yaml')
    return run_night(recipe, folder / 'day.mcap', folder / 'night.mcap', folder / 'student', folder / 'run', QUIET)


def test_there_is_a_student_with_its_card_and_its_figures_before_and_after(folder: Path, done: Night) -> None:
    contract = Student.load(done.student).contract
    assert contract.provenance['method'] == 'FAMDA, reconstructed'
    assert (contract.input.height, contract.input.width) == (64, 128)
    assert done.student.with_suffix('.md').is_file()
    document = json.loads((folder / 'run' / 'metrics.json').read_text())
    for name in ('day', 'night'):
        for when in ('before', 'after'):
            assert {'ap', 'miou', 'abs_rel'} <= document['figures'][name][when].keys()
    assert done.passed
    assert document['gate']['passed']
    assert document['pseudo_labels']['raw_miou'] is not None


def test_the_report_is_one_file_without_scripts_or_links(folder: Path, done: Night) -> None:
    text = done.report.read_text()
    assert '<script' not in text
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert text.count('<img ') >= 4
    assert 'Gate passed.' in text
    for word in ('road', 'Brightness', 'Pseudo-labels', 'Best pictures', 'network_depth'):
        assert word in text, word
    assert '{{' not in text


def test_the_same_command_again_works_on_nothing(folder: Path, done: Night) -> None:
    stages = {path: path.stat().st_mtime for path in (folder / 'run' / 'stages').rglob('last.pt')}
    recipe = load(NightRecipe, folder / 'recipe.yaml')
    run_night(recipe, folder / 'day.mcap', folder / 'night.mcap', folder / 'student', folder / 'run', QUIET)
    assert {path: path.stat().st_mtime for path in stages} == stages


def test_an_exported_student_and_a_night_without_truth(folder: Path, tmp_path: Path) -> None:
    day, night = write_recordings(tmp_path, night_has_truth=False)
    student = lived_in(folder / 'student', tmp_path)
    recipe = load(NightRecipe, write_recipe(tmp_path / 'recipe.yaml', None))
    found = run_night(recipe, day, night, student, tmp_path / 'run', QUIET)
    document = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
    assert document['figures']['night'] == {'before': {}, 'after': {}}
    assert document['pseudo_labels']['raw_miou'] is None
    text = found.report.read_text()
    assert 'No ground truth here' in text
    assert 'There is no truth to compare them with' in text


def lived_in(run: Path, folder: Path) -> Path:
    """The run's student as a file; weights all different, as after a training: an export writes equal ones once."""
    state = load_checkpoint(run / 'last.pt')
    torch.manual_seed(0)
    for name, tensor in state['ema'].items():
        if tensor.is_floating_point() and tensor.ndim and 'running' not in name:
            state['ema'][name] = tensor + 0.01 * torch.randn_like(tensor)
    save_checkpoint(state, folder / 'lived-in.pt')
    student = load_student(folder / 'lived-in.pt')[0]
    export_onnx(student.network, student.contract, folder / 'student.onnx')
    return folder / 'student.onnx'


@pytest.mark.timeout(600)
def test_kills_in_the_middle_change_nothing(folder: Path, done: Night, tmp_path: Path) -> None:
    command = ['night', '--source', str(folder / 'day.mcap'), '--target', str(folder / 'night.mcap')]
    command += ['--student', str(folder / 'student'), '--recipe', str(folder / 'recipe.yaml'), '--out', str(tmp_path)]
    run_with_kills(command, seed=5, kills=4, longest_s=4.0)
    calm, killed = (json.loads((run / 'metrics.json').read_text()) for run in (folder / 'run', tmp_path))
    assert killed['figures'] == calm['figures']
    assert killed['pseudo_labels'] == calm['pseudo_labels']
    assert not list(tmp_path.rglob('*.tmp'))


def test_the_gate_lets_nothing_fall_further_than_allowed() -> None:
    gate = GateSection(ap=1.0, miou=0.5)
    assert passes({'ap': 1.0, 'miou': -3.0}, gate)
    assert not passes({'ap': 1.01, 'miou': 0.0}, gate)
    assert not passes({'ap': 0.0, 'miou': 0.6}, gate)
    assert not passes({'ap': float('nan'), 'miou': 0.0}, gate)


def test_what_was_not_measured_passes_nothing() -> None:
    gate = GateSection(ap=100.0, miou=100.0)
    assert not passes(lost_points({'abs_rel': 0.1}, {'abs_rel': 0.1}), gate)
    assert lost_points({'miou': 0.75, 'abs_rel': 0.1}, {'miou': 0.5}) == {'miou': 25.0}
    assert not passes(lost_points({'ap': 0.25, 'miou': 0.75}, {'miou': 0.75}), gate)


def judged(said: list[int]) -> Judgement:
    """As if a student had said this of eight pixels, of which six are road and two are pole."""
    metrics = SemanticMetrics(('road', 'pole', 'moon'))
    metrics.update(np.array([said], np.uint8), np.array([[0, 0, 0, 0, 0, 0, 1, 1]], np.uint8))
    return Judgement(Scores(None, metrics.compute(), None), [], [])


def test_classes_that_pay_for_a_better_mean_are_named() -> None:
    before, after = judged([0, 2, 2, 2, 2, 2, 1, 1]), judged([0, 0, 0, 0, 0, 0, 0, 1])
    assert before.scores.semantic is not None
    assert after.scores.semantic is not None
    assert after.scores.semantic.miou > before.scores.semantic.miou
    assert losing_classes(before, after, 1.0) == pytest.approx({'pole': 50.0})
    assert losing_classes(before, after, 50.0) == {}
    blind = losing_classes(before, judged([2] * 8), 1.0)
    assert list(blind.items()) == [('pole', pytest.approx(100.0)), ('road', pytest.approx(100 / 6))]
    assert losing_classes(Judgement(Scores(None, None, None), [], []), after, 1.0) == {}
    assert (
        losing_text({'day': blind, 'night': {}}) == 'Classes that lost IoU, in points: by day pole -100.0, road -16.7'
    )
    assert losing_text({'day': {}, 'night': {}}) == ''


def test_what_cannot_be_used_is_named(folder: Path, tmp_path: Path) -> None:
    recipe = load(NightRecipe, folder / 'recipe.yaml')
    day, night, student = folder / 'day.mcap', folder / 'night.mcap', folder / 'student'
    with pytest.raises(DataError, match=r'nowhere: no such bag or folder of frames'):
        run_night(recipe, tmp_path / 'nowhere', night, student, tmp_path / 'a', QUIET)
    (tmp_path / 'empty.mcap').write_bytes(b'')
    with pytest.raises(BagError):
        run_night(recipe, tmp_path / 'empty.mcap', night, student, tmp_path / 'b', QUIET)
    _, unlabelled = write_recordings(tmp_path, night_has_truth=False)
    with pytest.raises(DataError, match=r'night\.mcap: has no labels to learn from'):
        run_night(recipe, unlabelled, night, student, tmp_path / 'c', QUIET)
    with pytest.raises(RecipeError, match=r"stages\.adaption: unknown key; did you mean 'adaptation'"):
        load(NightRecipe, folder / 'recipe.yaml', ('stages.adaption.steps=2',))
    assert day.is_file()


def test_luminance_is_that_of_grey() -> None:
    grey = torch.full((4, 5, 3), 100, dtype=torch.uint8).numpy()
    assert luminance_of(grey) == pytest.approx(100)
    green = grey * [0, 1, 0]
    assert luminance_of(green.astype('uint8')) == pytest.approx(58.7)
