# SPDX-License-Identifier: Apache-2.0
"""Which pictures calibrate and judge an 8-bit student: as asked, else what its run or a data set has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cast_ros.student import Student as RuntimeStudent
from cast_train.data import Dataset, load_samples, open_dataset
from cast_train.engine.evaluate import require_classes
from cast_train.engine.fitting import read_parts
from cast_train.engine.trained import load_student
from cast_train.errors import DataError
from cast_train.export.calibration_pictures import CalibrationPictures, pictures_of_path, pictures_of_samples
from cast_train.export.int8_judgement import Labelled


@dataclass(frozen=True)
class Asked:
    """Calibration as a person asks for it.

    Attributes:
        path: folder of pictures or bag; None leaves the choice to the data set.
        topic: of the pictures in the bag.
        count: at most so many pictures.
    """

    path: Path | None
    topic: str | None
    count: int


@dataclass(frozen=True)
class DataSource:
    """A data set as ``open_dataset`` takes it, without the split; the root may be unknown until one is opened."""

    name: str
    root: Path | None
    domain: str
    class_map: str | None

    def open(self, split: str) -> Dataset:
        """Open a split.

        Raises:
            DataError: nobody said where it is, or the tree is not as the loader expects.
        """
        if self.root is None:
            raise DataError(f'name the folder of the {self.name} {split} pictures with --root')
        return open_dataset(self.name, self.root, split, self.domain, self.class_map)


def sources_of_run(run: Path, root: Path | None, asked: Asked) -> tuple[CalibrationPictures, Labelled]:
    """The training part of a run's recipe calibrates unless something else was asked for, its validation part judges.

    Raises:
        TrainingError: there is no such run.
        DataError, BagError, ImageError: pictures cannot be read.
    """
    student, recipe, _ = load_student(run, root)
    data, spec = recipe.data, student.contract.input
    validation, _ = read_parts(recipe, data.validation)
    labelled = Labelled(
        validation, ', '.join(f'{data.dataset} {part.split} {part.domain}'.rstrip() for part in data.validation)
    )
    if asked.path is not None:
        return pictures_of_path(asked.path, asked.topic, asked.count, spec), labelled
    words = ', '.join(f'{data.dataset} {part.split} {part.domain}'.rstrip() for part in data.train)
    return pictures_of_samples(read_parts(recipe, data.train)[0], words, asked.count, spec), labelled


def sources_of_file(
    source: Path, data: DataSource, split: str | None, asked: Asked
) -> tuple[CalibrationPictures, Labelled | None]:
    """The split ``train`` of a data set calibrates unless something else was asked for; ``split`` judges, if named.

    Raises:
        StudentError: the source is no student.
        DataError: pictures cannot be read, or the labels have other classes than the student.
        BagError, ImageError: the bag, or a picture in it, cannot be read.
    """
    with RuntimeStudent.load(source) as student:
        contract = student.contract
    labelled = None
    if split is not None:
        judged = data.open(split)
        require_classes(source, contract, data.name, judged.classes)
        labelled = Labelled(load_samples([judged]), f'{data.name} {split} {data.domain}'.rstrip())
    if asked.path is not None:
        return pictures_of_path(asked.path, asked.topic, asked.count, contract.input), labelled
    words = f'{data.name} train {data.domain}'.rstrip()
    return pictures_of_samples(data.open('train'), words, asked.count, contract.input), labelled
