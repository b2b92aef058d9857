# SPDX-License-Identifier: Apache-2.0
"""Pictures that calibrate a quantised student and those that judge it: as asked, or what its run or data set has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cast_ros.offline.bags import BagReader
from cast_ros.offline.bags.pictures import find_picture_topic, read_picture
from cast_ros.offline.bags.storage import storage_files
from cast_ros.student import InputGeometry, InputSpec, Student
from cast_train.data import Dataset, Sample, load_samples, open_dataset
from cast_train.engine.evaluate import require_classes
from cast_train.engine.fitting import read_parts
from cast_train.engine.trained import load_student
from cast_train.errors import DataError
from cast_train.teachers.labelling import PictureFolder, Pictures

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class CalibrationPictures:
    """What ranges are measured on.

    Attributes:
        inputs: 1×H×W×3 uint8 each, at the size of the network's input.
        source: where they come from, in words; no path of a machine.
    """

    inputs: tuple[Picture, ...]
    source: str


@dataclass(frozen=True)
class Labelled:
    """Pictures with labels that judge the file.

    Attributes:
        samples: at least one.
        source: where they come from, in words.
    """

    samples: Sequence[Sample]
    source: str


def pictures_of_path(path: Path, topic: str | None, count: int, spec: InputSpec) -> CalibrationPictures:
    """At most ``count`` pictures, evenly spread, of a folder of pictures (with its subfolders) or of a bag.

    Args:
        path: the folder; or a bag: a folder of rosbag2, or one .mcap or .db3 file.
        topic: of the bag's pictures; None takes the only one that has some.
        count: how many, at least one.
        spec: the network's input.

    Raises:
        DataError: no such folder, or no picture in it that can be read.
        BagError, ImageError: the bag, or a picture that was chosen from it, cannot be read.
    """
    if path.is_file() or (path / 'metadata.yaml').is_file() or (path.is_dir() and storage_files(path)):
        return _pictures_of_bag(path, topic, count, spec)
    return pictures_of_samples(PictureFolder(path, fx_px=None), f'the folder {path.name}', count, spec)


def pictures_of_samples(samples: Pictures, source: str, count: int, spec: InputSpec) -> CalibrationPictures:
    """At most ``count`` pictures, evenly spread over the samples; their labels are not looked at."""
    chosen = (samples[index].image for index in _spread(len(samples), count))
    return _at_input_size(chosen, source, spec)


def _pictures_of_bag(path: Path, topic: str | None, count: int, spec: InputSpec) -> CalibrationPictures:
    with BagReader(path) as reader:
        name = find_picture_topic(reader, topic)
        wanted = set(_spread(reader.topics()[name].message_count, count))
        chosen = (raw for index, raw in enumerate(reader.raw_messages([name])) if index in wanted)
        pictures = (read_picture(reader, raw)[1] for raw in chosen)
        return _at_input_size(pictures, f'the bag {path.name}, {name}', spec)


def _spread(available: int, count: int) -> list[int]:
    """Positions of ``count`` of ``available`` things, or of all of them, evenly spread."""
    taken = min(count, available)
    return [index * available // taken for index in range(taken)]


def _at_input_size(pictures: Iterable[Picture], source: str, spec: InputSpec) -> CalibrationPictures:
    inputs = tuple(
        InputGeometry.for_image(picture.shape[0], picture.shape[1], spec).to_network(picture)[None]
        for picture in pictures
    )
    if not inputs:
        raise DataError(f'{source}: has no picture to calibrate with; name another source')
    return CalibrationPictures(inputs, source)


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
    with Student.load(source) as student:
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
