# SPDX-License-Identifier: Apache-2.0
"""Pictures with the sparse, metric depth of a laser scanner, in KITTI's form.

images/NAME.jpg (or .png)     depth/NAME.png (uint16, metres · 256, 0 where no beam came back)
camera.json                   fx, and width of the pictures that it is for, in pixels; or calib/NAME.txt with KITTI's P2

Nothing is filled in: a pixel without a beam is unknown. All pictures are one drive, so there is one split, ``all``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cast_ros.student import ClassInfo
from cast_train.data.folders import list_pictures, read_depth, read_rgb, refuse_domain, require_files
from cast_train.data.sample import Sample
from cast_train.errors import DataError

TREE = 'the root must hold images/, depth/ and camera.json or calib/'
UNITS_PER_METRE = 256


class KittiLidar:
    """All pictures of one drive; there are no classes.

    Args:
        root: folder of the layout above.
        split: must be ``all``.
        domain: must be empty.

    Raises:
        DataError: a folder or file is missing, has the wrong shape or number of bits, or the camera is unknown.
    """

    classes: tuple[ClassInfo, ...] = ()

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        refuse_domain('kitti_lidar', domain)
        if split != 'all':
            raise DataError(f'kitti_lidar is one drive and has one split, all, not {split!r}')
        suffix = '.jpg' if any((root / 'images').glob('*.jpg')) else '.png'
        self._pictures = list_pictures(root / 'images', suffix, TREE)
        self._depth = root / 'depth'
        require_files(self._depth, [f'{picture.stem}.png' for picture in self._pictures], TREE)
        self._camera, self._calib = root / 'camera.json', root / 'calib'
        if not self._camera.is_file():
            require_files(self._calib, [f'{picture.stem}.txt' for picture in self._pictures], TREE)

    @property
    def names(self) -> Sequence[str]:
        """Stem of each picture."""
        return [picture.stem for picture in self._pictures]

    @property
    def scenes(self) -> Sequence[str]:
        """One drive."""
        return ['drive'] * len(self._pictures)

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Sample:
        picture = self._pictures[index]
        image = read_rgb(picture)
        depth_m = read_depth(self._depth / f'{picture.stem}.png', image.shape[:2], UNITS_PER_METRE)
        return Sample(picture.stem, image, depth_m=depth_m, fx_px=self._focal_length(picture.stem, image.shape[1]))

    def _focal_length(self, stem: str, width: int) -> float:
        if self._camera.is_file():
            return _from_json(self._camera, width)
        return _from_calibration(self._calib / f'{stem}.txt')


def _from_json(path: Path, width: int) -> float:
    try:
        camera = json.loads(path.read_text())
        fx_px, own_width = float(camera['fx']), int(camera['width'])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f'{path}: needs a JSON object with fx and width in pixels ({error!r})') from error
    if fx_px <= 0 or own_width != width:
        raise DataError(
            f'{path}: is for pictures of width {own_width} with fx {fx_px:g}, this one has {width}; write those of '
            'the pictures'
        )
    return fx_px


def _from_calibration(path: Path) -> float:
    try:
        lines = dict(line.split(':', 1) for line in path.read_text().splitlines() if ':' in line)
        key = next(name for name in ('P2', 'P_rect_02') if name in lines)
        matrix = [float(value) for value in lines[key].split()]
    except (OSError, ValueError, StopIteration) as error:
        raise DataError(f'{path}: needs a line P2 (or P_rect_02) of 12 numbers, as KITTI has it ({error!r})') from error
    if len(matrix) != 12 or matrix[0] <= 0:
        raise DataError(f'{path}: P2 has {len(matrix)} numbers, the first must be fx > 0 of 12; fetch the original')
    return matrix[0]
