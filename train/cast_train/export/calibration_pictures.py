# SPDX-License-Identifier: Apache-2.0
"""Unlabelled pictures that set the ranges of a quantised student: from a folder, a bag or a data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cast_ros.offline.bags import BagReader
from cast_ros.offline.bags.pictures import find_picture_topic, read_picture
from cast_ros.offline.bags.storage import storage_files
from cast_ros.student import InputGeometry, InputSpec
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
