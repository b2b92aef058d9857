# SPDX-License-Identifier: Apache-2.0
"""Which pictures calibrate and judge: what was asked for, else those of the run or the data set."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_bags import TOPIC, drive, write_bag
from drawn_streets import draw_streets
from tiny_run import untrained, untrained_run
from tiny_student import tiny_student

from cast_train.errors import DataError
from cast_train.export.calibration_pictures import Asked, DataSource, sources_of_file, sources_of_run
from cast_train.export.onnx import export_onnx


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    draw_streets(tmp_path / 'streets', 'train', 'day', frames=3)
    draw_streets(tmp_path / 'streets', 'val', 'day', frames=1, seed=1)
    return tmp_path / 'streets'


def test_a_run_calibrates_on_its_training_part_and_judges_on_its_validation_part(streets: Path, tmp_path: Path) -> None:
    run = untrained_run(streets, tmp_path / 'run')
    calibration, labelled = sources_of_run(run, None, Asked(None, None, 2))
    assert (calibration.source, len(calibration.inputs)) == ('streets train day', 2)
    assert calibration.inputs[0].shape == (1, 64, 128, 3)
    assert (labelled.source, len(labelled.samples)) == ('streets train day', 3)
    moved = tmp_path / 'moved'
    streets.rename(moved)
    bag = write_bag(tmp_path / 'bag', drive(4))
    calibration, labelled = sources_of_run(run, moved, Asked(bag, None, 100))
    assert (calibration.source, len(calibration.inputs)) == (f'the bag bag, {TOPIC}', 4)
    assert len(labelled.samples) == 3


def test_a_file_calibrates_on_the_training_split_and_is_judged_on_the_split_that_is_named(
    streets: Path, tmp_path: Path
) -> None:
    model = tmp_path / 'tiny.onnx'
    export_onnx(*untrained(streets), model)
    data = DataSource('streets', streets, 'day', None)
    calibration, labelled = sources_of_file(model, data, 'val', Asked(None, None, 100))
    assert (calibration.source, len(calibration.inputs)) == ('streets train day', 3)
    assert labelled is not None
    assert (labelled.source, len(labelled.samples)) == ('streets val day', 1)
    nobody = DataSource('streets', tmp_path / 'absent', 'day', None)
    calibration, labelled = sources_of_file(model, nobody, None, Asked(streets / 'leftImg8bit' / 'val', None, 100))
    assert (calibration.source, len(calibration.inputs), labelled) == ('the folder val', 1, None)


def test_labels_of_other_classes_judge_nothing(streets: Path, tmp_path: Path) -> None:
    data = DataSource('streets', streets, 'day', None)
    with pytest.raises(DataError, match=r'knows road, sky, person, car; streets has road, sidewalk.* they must agree'):
        sources_of_file(tiny_student(tmp_path / 'other.onnx'), data, 'val', Asked(None, None, 1))
