# SPDX-License-Identifier: Apache-2.0
"""Students of all kinds go from day to night: their classes, things and shape stay what they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from drawn_bags import TOPIC, drive, write_bag, write_labelled_bag
from rich.console import Console
from tiny_cast import draw_scenes
from tiny_night import FRAMES, write_recipe, write_recordings
from tiny_recipe import tiny_recipe

from cast_ros.student import ClassInfo, Student, StudentContract
from cast_train.data import CLASS_MAPS
from cast_train.data.bag_import import import_bag
from cast_train.data.bag_plan import ImportSettings
from cast_train.data.streets import CLASSES
from cast_train.data.time_blocks import BlockRules
from cast_train.engine.fitting import fit
from cast_train.engine.recipe_file import load
from cast_train.engine.trained import load_student
from cast_train.errors import DataError
from cast_train.methods.night.recipe import NightRecipe
from cast_train.methods.night.run import Night, run_night

QUIET = Console(quiet=True)
SIZE = {'height': 64, 'width': 128}
BLOCKS = BlockRules(val=0.34, block_s=0.5, guard_s=0.0)


@pytest.fixture(scope='module')
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('streets')
    draw_scenes(root)
    return root


def student_of(streets: Path, folder: Path, **changes: Any) -> Path:
    data = tiny_recipe(streets, 1).data.model_dump(mode='json', exclude={'limit'})
    changes['data'] = {**data, **changes.get('data', {})}
    fit(tiny_recipe(streets, 4, input=SIZE, **changes), folder / 'student', resume=False)
    return folder / 'student'


def adapted(folder: Path, day: Path, night: Path, student: Path) -> Night:
    recipe = load(NightRecipe, write_recipe(folder / 'recipe.yaml', None))
    return run_night(recipe, day, night, student, folder / 'run', QUIET)


def contract_in(path: Path) -> StudentContract:
    with Student.load(path) as student:
        return student.contract


def imported(bag: Path, out: Path, blocks: BlockRules = BLOCKS, classes: tuple[ClassInfo, ...] | None = None) -> Path:
    import_bag(bag, out, ImportSettings(topic=TOPIC, blocks=blocks, classes=classes), QUIET)
    return out


def test_a_student_with_the_classes_of_a_map_keeps_its_things(streets: Path, tmp_path: Path) -> None:
    """CamVid's own classes have the same names, and no things."""
    student = student_of(streets, tmp_path, data={'class_map': 'camvid11'})
    day, night = write_recordings(tmp_path)
    found = contract_in(adapted(tmp_path, day, night, student).student)
    assert found.classes == CLASS_MAPS['camvid11'].classes
    assert found.outputs == load_student(student)[0].contract.outputs
    assert 'masks' in found.outputs
    figures = json.loads((tmp_path / 'run' / 'metrics.json').read_text())['figures']
    assert {'ap', 'miou'} <= figures['day']['after'].keys()


def test_a_student_of_a_bag_with_classes_of_its_own_learns_a_night_without_truth(streets: Path, tmp_path: Path) -> None:
    frames = imported(write_labelled_bag(tmp_path / 'own.mcap', FRAMES), tmp_path / 'own')
    part = {'train': [{'split': 'train'}], 'validation': [{'split': 'val'}]}
    student = student_of(streets, tmp_path, data={'dataset': 'frames', 'root': str(frames), **part})
    day, night = write_recordings(tmp_path, night_has_truth=False)
    found = contract_in(adapted(tmp_path, day, night, student).student)
    assert found.class_names == ('road', 'sky', 'car')


def test_a_student_of_another_make_keeps_its_weights(streets: Path, tmp_path: Path) -> None:
    """What the start of the adaptation answers is what the student answers, once it has learned nothing."""
    student = student_of(
        streets, tmp_path, student={'size': 'nano', 'depth_form': 'bounded_log', 'widths': {'layers': 2}}
    )
    day, night = write_recordings(tmp_path)
    still = {
        name: {**SIZE, 'labelled': 2, 'unlabelled': count, 'steps': 1, 'optimizer': {'learning_rate': 1e-12}}
        for name, count in (('source', 0), ('adaptation', 2))
    }
    recipe = load(NightRecipe, write_recipe(tmp_path / 'recipe.yaml', None, stages=still))
    run_night(recipe, day, night, student, tmp_path / 'run', QUIET)
    depth = json.loads((tmp_path / 'run' / 'metrics.json').read_text())['figures']['day']
    assert depth['after']['abs_rel'] == pytest.approx(depth['before']['abs_rel'], rel=0.05)


def test_frames_without_labels_are_left_out_by_day(streets: Path, tmp_path: Path) -> None:
    day = write_labelled_bag(tmp_path / 'gaps.mcap', FRAMES, unlabelled=[0, 5, 11, 17])
    night = write_recordings(tmp_path)[1]
    student = student_of(streets, tmp_path)
    recipe = load(
        NightRecipe,
        write_recipe(tmp_path / 'recipe.yaml', None, adaptation={'decay': 0.9, 'rare_classes': {'temperature': 0.5}}),
    )
    console = Console(record=True, quiet=False, width=200, file=(tmp_path / 'said.txt').open('w'))
    run_night(recipe, day, night, student, tmp_path / 'run', console)
    assert 'train frames have no labels' in console.export_text()
    assert (tmp_path / 'run' / 'tiny-night.onnx').is_file()


def test_a_day_that_cannot_judge_is_refused_before_anything_is_trained(streets: Path, tmp_path: Path) -> None:
    whole = imported(write_labelled_bag(tmp_path / 'whole.mcap', FRAMES), tmp_path / 'whole')
    frames = json.loads((whole / 'frames.json').read_text())['frames']
    judging = [frame['message'] for frame in frames if frame['split'] == 'val']
    day = write_labelled_bag(tmp_path / 'blind.mcap', FRAMES, unlabelled=judging)
    night = write_recordings(tmp_path)[1]
    with pytest.raises(DataError, match=r'blind\.mcap: has no labels to judge by, in its val frames'):
        adapted(tmp_path, day, night, student_of(streets, tmp_path))
    assert not (tmp_path / 'run' / 'stages').exists()


def test_folders_of_frames_must_have_the_classes_of_the_student(streets: Path, tmp_path: Path) -> None:
    student = student_of(streets, tmp_path)
    day, night = write_recordings(tmp_path)
    other = imported(day, tmp_path / 'other')
    with pytest.raises(DataError, match=r'other: its classes are not those of the student'):
        adapted(tmp_path, other, night, student)
    plain = imported(write_bag(tmp_path / 'plain.mcap', drive(FRAMES)), tmp_path / 'plain')
    with pytest.raises(DataError, match=r'plain: these frames have no classes; .* or the file of a student'):
        adapted(tmp_path, day, plain, student)


def test_several_imports_in_a_folder_are_one_recording(streets: Path, tmp_path: Path) -> None:
    """One bag to learn from and one to judge on, as is right for short ones."""
    for name, val in (('learn', 0.0), ('judge', 1.0)):
        bag = write_labelled_bag(tmp_path / f'{name}.mcap', 8)
        imported(bag, tmp_path / 'days' / name, BlockRules(val=val), CLASSES)
    night = write_recordings(tmp_path)[1]
    found = adapted(tmp_path, tmp_path / 'days', night, student_of(streets, tmp_path))
    assert json.loads((tmp_path / 'run' / 'metrics.json').read_text())['pictures']['day'] == 8
    assert found.student.is_file()
