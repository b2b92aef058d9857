# SPDX-License-Identifier: Apache-2.0
"""Pictures of a bag as files, in the folders of Cityscapes and of the street benchmark, and what lies beside them.

leftImg8bit/SPLIT/DOMAIN/STEM_leftImg8bit.jpg or .png    gtFine/SPLIT/DOMAIN/STEM_gtFine_instanceIds.png (uint16)
depth/SPLIT/DOMAIN/STEM_depth.png (uint16)               camera/SPLIT/DOMAIN/STEM_camera.json (stamp_ns; fx fy cx cy)
camera_info.json: the first calibration                  ground_truth.json: how the numbers of the labels are read
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cast_ros.bags import BagError, typestore
from cast_ros.bags.messages import header
from cast_ros.evaluation.topics import About

Kind = Literal['leftImg8bit', 'gtFine', 'depth', 'camera']
PICTURES: Kind = 'leftImg8bit'
CALIBRATION, NOTES = 'camera_info.json', 'ground_truth.json'
_ENDINGS: dict[Kind, str] = {
    'leftImg8bit': 'leftImg8bit',
    'gtFine': 'gtFine_instanceIds.png',
    'depth': 'depth.png',
    'camera': 'camera.json',
}
PICTURE_SUFFIXES = ('.jpg', '.jpeg', '.png')

# The ids of Cityscapes that are evaluated.
CITYSCAPES_NAMES = {
    7: 'road',
    8: 'sidewalk',
    11: 'building',
    12: 'wall',
    13: 'fence',
    17: 'pole',
    19: 'traffic light',
    20: 'traffic sign',
    21: 'vegetation',
    22: 'terrain',
    23: 'sky',
    24: 'person',
    25: 'rider',
    26: 'car',
    27: 'truck',
    28: 'bus',
    31: 'train',
    32: 'motorcycle',
    33: 'bicycle',
}
_THINGS = tuple(name for number, name in CITYSCAPES_NAMES.items() if number >= 24)  # from person on


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra='ignore', allow_inf_nan=False)


class CameraFile(_Document):
    """One picture's camera; ``stamp`` is in seconds from the start of a rendered drive, ``stamp_ns`` that of a bag."""

    stamp_ns: int | None = None
    stamp: float | None = None
    width: int | None = None
    height: int | None = None
    fx: float | None = None
    fy: float | None = None
    cx: float | None = None
    cy: float | None = None


class Calibration(_Document):
    """The fields of a CameraInfo that do not change from picture to picture."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)
    k: tuple[float, ...] = Field(min_length=9, max_length=9)
    d: tuple[float, ...] = ()
    distortion_model: str = 'plumb_bob'
    r: tuple[float, ...] = Field(default=(1, 0, 0, 0, 1, 0, 0, 0, 1), min_length=9, max_length=9)
    p: tuple[float, ...] | None = Field(default=None, min_length=12, max_length=12)

    @classmethod
    def of_message(cls, info: Any) -> Calibration:
        """From a sensor_msgs/CameraInfo."""
        numbers = {name: tuple(float(value) for value in getattr(info, name)) for name in ('k', 'd', 'r', 'p')}
        return cls(width=info.width, height=info.height, distortion_model=info.distortion_model, **numbers)

    def message(self, at_ns: int, frame_id: str) -> Any:
        """A sensor_msgs/CameraInfo; P is K where it is not told."""
        types = typestore().types
        p = self.p or (*self.k[:3], 0, *self.k[3:6], 0, *self.k[6:], 0)
        d, k, r, projection = (np.array(values, np.float64) for values in (self.d, self.k, self.r, p))
        whole = types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
        return types['sensor_msgs/msg/CameraInfo'](
            header(at_ns, frame_id), self.height, self.width, self.distortion_model, d, k, r, projection, 0, 0, whole
        )


class LabelNotes(_Document):
    """What `/ground_truth/about` and `/ground_truth/label_info` say."""

    about: About
    names: dict[int, str]


CITYSCAPES_NOTES = LabelNotes(
    about=About(schema='1.0', depth_unit_m=0.01, depth_sky=65535, depth_invalid=0, thing_names=_THINGS),
    names=CITYSCAPES_NAMES,
)


class Part(NamedTuple):
    """One folder of pictures and those beside it."""

    root: Path
    split: str
    domain: str

    def path(self, kind: Kind, stem: str, suffix: str = '') -> Path:
        """Where a file lies; ``suffix`` is for pictures, such as .jpg."""
        return self.root / kind / self.split / self.domain / f'{stem}_{_ENDINGS[kind]}{suffix}'

    def pictures(self) -> list[tuple[str, Path]]:
        """Stem and file of each picture, sorted."""
        folder = self.root / PICTURES / self.split / self.domain
        found = (
            [file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES] if folder.is_dir() else []
        )
        return [(file.stem.removesuffix(f'_{PICTURES}'), file) for file in sorted(found)]


def read_document(path: Path, kind: type[_Document]) -> Any:
    """One of the JSON files above.

    Raises:
        BagError: missing, or not of that form.
    """
    try:
        return kind.model_validate(json.loads(path.read_text(encoding='utf-8')))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BagError(f'{path} cannot be read as JSON: {error}') from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = '.'.join(str(part) for part in problem['loc'])
        raise BagError(f'{path} cannot be used: {where}: {problem["msg"]}') from error
