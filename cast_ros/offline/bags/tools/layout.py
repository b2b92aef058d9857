# SPDX-License-Identifier: Apache-2.0
"""Pictures of a bag as files, in the folders of Cityscapes and of the street benchmark, and what lies beside them.

leftImg8bit/SPLIT/DOMAIN/STEM_leftImg8bit.jpg or .png    gtFine/SPLIT/DOMAIN/STEM_gtFine_instanceIds.png (uint16)
depth/SPLIT/DOMAIN/STEM_depth.png (uint16)               camera/SPLIT/DOMAIN/STEM_camera.json (stamp_ns; fx fy cx cy)
camera_info.json: the first calibration                  ground_truth.json: how the numbers of the labels are read
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cast_ros.errors import BagError
from cast_ros.images.camera_info import CameraModel, picture_size
from cast_ros.offline.bags import typestore
from cast_ros.offline.bags.ground_truth_topics import About
from cast_ros.offline.bags.messages import header

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


_UNTURNED = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_RECTIFIED = (0.0,) * 5
_OST_MATRICES = {
    'k': 'camera_matrix',
    'd': 'distortion_coefficients',
    'r': 'rectification_matrix',
    'p': 'projection_matrix',
}


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra='ignore', allow_inf_nan=False)


class Calibration(_Document):
    """The fields of a CameraInfo, of the pictures themselves: region of interest and binning are applied."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)
    k: tuple[float, ...] = Field(min_length=9, max_length=9)
    d: tuple[float, ...] = ()
    distortion_model: str = 'plumb_bob'
    r: tuple[float, ...] = Field(default=_UNTURNED, min_length=9, max_length=9)
    p: tuple[float, ...] | None = Field(default=None, min_length=12, max_length=12)

    @classmethod
    def of_camera(cls, camera: CameraModel) -> Calibration:
        """Of the pictures that a camera makes.

        Raises:
            BagError: a number is not finite, or it is for pictures without a pixel.
        """
        width, height = picture_size(camera.info)
        if not (width and height):
            raise BagError('camera_info is for pictures without a pixel; see to the driver')
        try:
            return cls.model_validate({'width': width, 'height': height, **camera.scaled(width, height)._asdict()})
        except ValidationError as error:
            raise BagError(f'camera_info cannot be used: {error.errors(include_url=False)[0]["msg"]}') from error

    def is_of(self, other: Calibration) -> bool:
        """Whether both have one picture size and K, up to rounding."""
        return (self.width, self.height) == (other.width, other.height) and bool(np.allclose(self.k, other.k))

    def message(self, at_ns: int, frame_id: str) -> Any:
        """A sensor_msgs/CameraInfo; P is K where it is not told."""
        types = typestore().types
        p = self.p or (*self.k[:3], 0, *self.k[3:6], 0, *self.k[6:], 0)
        d, k, r, projection = (np.array(values, np.float64) for values in (self.d, self.k, self.r, p))
        whole = types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
        return types['sensor_msgs/msg/CameraInfo'](
            header(at_ns, frame_id), self.height, self.width, self.distortion_model, d, k, r, projection, 0, 0, whole
        )


def read_calibration(path: Path) -> Calibration:
    """A camera_info.json of ours, or the YAML of camera_calibration (ost.yaml) and camera_info_manager.

    Raises:
        BagError: missing, or of neither form.
    """
    if path.suffix.lower() not in ('.yaml', '.yml'):
        return cast(Calibration, read_document(path, Calibration))
    try:
        told = yaml.safe_load(path.read_text(encoding='utf-8'))
        numbers = {ours: told[theirs]['data'] for ours, theirs in _OST_MATRICES.items()}
        return Calibration(
            width=told['image_width'],
            height=told['image_height'],
            distortion_model=told['distortion_model'],
            **numbers,
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BagError(f'{path} cannot be read as YAML: {error}') from error
    except (KeyError, TypeError, IndexError) as error:
        raise BagError(
            f'{path} is no calibration as camera_calibration writes it (ost.yaml): {error} is missing'
        ) from error
    except ValidationError as error:
        raise _unusable(path, error) from error


class CameraFile(_Document):
    """One picture's camera; ``stamp`` is in seconds from the start of a rendered drive, ``stamp_ns`` that of a bag.

    What goes beyond fx, fy, cx and cy is as in `Calibration`; files of others do not have it.
    """

    stamp_ns: int | None = None
    stamp: float | None = None
    width: int | None = Field(default=None, gt=0)
    height: int | None = Field(default=None, gt=0)
    fx: float | None = None
    fy: float | None = None
    cx: float | None = None
    cy: float | None = None
    d: tuple[float, ...] | None = None
    distortion_model: str | None = None
    r: tuple[float, ...] | None = Field(default=None, min_length=9, max_length=9)
    p: tuple[float, ...] | None = Field(default=None, min_length=12, max_length=12)

    @classmethod
    def of_calibration(cls, stamp_ns: int, calibration: Calibration) -> CameraFile:
        """Of a picture of a bag."""
        fx, _, cx, _, fy, cy = calibration.k[:6]
        return cls(stamp_ns=stamp_ns, fx=fx, fy=fy, cx=cx, cy=cy, **calibration.model_dump(exclude={'k'}))

    def calibration(self, standard: Calibration | None) -> Calibration | None:
        """What it says of the picture; where it says nothing of distortion, what the data set says of this camera.

        Args:
            standard: of the whole data set.
        """
        width, height = self.width, self.height
        if width is None or height is None:
            return standard
        if self.fx is None or self.fy is None or self.cx is None or self.cy is None:
            # A wrong one is worse than none.
            return standard if standard is not None and (standard.width, standard.height) == (width, height) else None
        own = Calibration(
            width=width,
            height=height,
            k=(self.fx, 0, self.cx, 0, self.fy, self.cy, 0, 0, 1),
            d=_RECTIFIED if self.d is None else self.d,
            distortion_model=self.distortion_model or 'plumb_bob',
            r=self.r or _UNTURNED,
            p=self.p,
        )
        return standard if self.d is None and standard is not None and standard.is_of(own) else own


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
        raise _unusable(path, error) from error


def _unusable(path: Path, error: ValidationError) -> BagError:
    problem = error.errors(include_url=False)[0]
    where = '.'.join(str(part) for part in problem['loc'])
    return BagError(f'{path} cannot be used: {where}: {problem["msg"]}')
