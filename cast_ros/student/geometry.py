# SPDX-License-Identifier: Apache-2.0
"""From the picture to the network's input, and exactly back.

Pixel centres lie at half coordinates, as in cv2.resize: column x covers [x, x+1) and its centre is x + 0.5. So an edge
at x of the picture lies at x * content_width / image_width of the input, and boxes need a factor, never an offset.
Letterbox keeps the shape of the picture in the top left corner and pads right and bottom; stretch fills the input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cast_ros.student.contract import InputSpec

PADDING_VALUE = 114

FloatMap = npt.NDArray[np.float32]


@dataclass(frozen=True)
class InputGeometry:
    """Where a picture of one size lies in the input of one network; sizes in pixels."""

    image_height: int
    image_width: int
    input_height: int
    input_width: int
    content_height: int
    content_width: int

    @classmethod
    def for_image(cls, image_height: int, image_width: int, spec: InputSpec) -> InputGeometry:
        """Place a picture of at least one pixel into the input that the contract describes."""
        if spec.resize == 'stretch':
            content = spec.height, spec.width
        else:
            scale = min(spec.height / image_height, spec.width / image_width)
            content = (
                min(spec.height, max(1, round(image_height * scale))),
                min(spec.width, max(1, round(image_width * scale))),
            )
        return cls(image_height, image_width, spec.height, spec.width, *content)

    @property
    def is_padded(self) -> bool:
        """Whether a part of the input is padding."""
        return (self.content_height, self.content_width) != (self.input_height, self.input_width)

    def fx_at_input(self, fx_px: float) -> float:
        """The focal length, in pixels of the input, of a camera that has `fx_px` in pixels of the picture."""
        return fx_px * self.content_width / self.image_width

    def to_network(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8 picture to (input_height, input_width, 3) uint8."""
        content = _shrink_or_grow(image, self.content_height, self.content_width)
        if not self.is_padded:
            return content
        padded = np.full((self.input_height, self.input_width, 3), PADDING_VALUE, dtype=np.uint8)
        padded[: self.content_height, : self.content_width] = content
        return padded

    def boxes_to_network(self, boxes: npt.NDArray[np.floating[Any]]) -> FloatMap:
        """(K, 4) boxes x0 y0 x1 y1, from pixels of the picture to pixels of the input."""
        return (boxes * self._factors()).astype(np.float32)

    def boxes_to_image(self, boxes: npt.NDArray[np.floating[Any]]) -> FloatMap:
        """(K, 4) boxes x0 y0 x1 y1, from pixels of the input to pixels of the picture."""
        return (boxes / self._factors()).astype(np.float32)

    def _factors(self) -> npt.NDArray[np.float64]:
        x_scale, y_scale = self.content_width / self.image_width, self.content_height / self.image_height
        return np.array([x_scale, y_scale, x_scale, y_scale])

    def to_image_maps(self, map_height: int, map_width: int) -> MapSampler:
        """How maps of the network, of any stride, are read at every pixel of the picture."""
        return self._sampler(map_height, map_width, self.image_height, self.image_width)

    def to_content_maps(self, map_height: int, map_width: int) -> MapSampler:
        """How maps of the network are read at every pixel of its input, padding cut off."""
        return self._sampler(map_height, map_width, self.content_height, self.content_width)

    def _sampler(self, map_height: int, map_width: int, height: int, width: int) -> MapSampler:
        return MapSampler(
            rows=_Axis(height, map_height, Fraction(map_height * self.content_height, self.input_height)),
            columns=_Axis(width, map_width, Fraction(map_width * self.content_width, self.input_width)),
        )


@dataclass(frozen=True)
class _Axis:
    """One axis of a map under one axis of a picture: `length` pixels span the first `used` of `cells` cells."""

    length: int
    cells: int
    used: Fraction

    @cached_property
    def scale(self) -> Fraction:
        """Pixels per cell."""
        return self.length / self.used

    @cached_property
    def factor(self) -> float:
        """Pixels per cell, rounded to floating point."""
        return float(self.scale)

    @cached_property
    def used_cells(self) -> int:
        """Cells that lie under the picture at least in part."""
        return math.ceil(self.used)

    def nearest(self) -> npt.NDArray[np.intp]:
        """The cell under the centre of each pixel."""
        centres = (np.arange(self.length) + 0.5) / self.factor
        return np.minimum(centres.astype(np.intp), self.cells - 1)

    def reach(self, start: int, stop: int) -> tuple[int, int]:
        """Pixels whose bilinear reading touches a cell of [start, stop), and a pixel more for rounding."""
        first = math.floor((start - 0.5) * self.factor) - 1
        last = self.length if stop >= self.cells else math.ceil((stop + 0.5) * self.factor) + 1
        return min(max(first, 0), self.length), max(min(last, self.length), 0)

    def source(self, start: int, stop: int) -> tuple[int, int, int]:
        """The pixel to start at, and the cells to enlarge, for everything that `reach` returns.

        cv2 starts at the edge of a pixel, so the block grows back to a cell whose edge is one.
        """
        margin = 1 + math.ceil(2.5 / self.factor)
        first = max(start - margin, 0)
        first -= first % self.scale.denominator
        return round(first * self.factor), first, min(stop + margin, self.used_cells)


@dataclass(frozen=True)
class MapSampler:
    """Reads low resolution maps at the pixels of a larger picture, whose edges may cut through cells of the map."""

    rows: _Axis
    columns: _Axis

    @property
    def height(self) -> int:
        """Rows of the picture."""
        return self.rows.length

    @property
    def width(self) -> int:
        """Columns of the picture."""
        return self.columns.length

    def linear(self, values: FloatMap) -> FloatMap:
        """(h, w) float32 cells to (height, width), bilinear; NaN spreads to its neighbours."""
        cut = values[: self.rows.used_cells, : self.columns.used_cells]
        if cut.shape == (self.rows.used, self.columns.used):
            return np.asarray(cv2.resize(cut, (self.width, self.height)), dtype=np.float32)
        return np.ascontiguousarray(self._enlarge(cut)[: self.height, : self.width])

    def nearest(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(h, w) cells of any type to (height, width), the cell under the centre of each pixel."""
        return np.take(np.take(values, self.columns.nearest(), axis=1), self.rows.nearest(), axis=0)

    def linear_window(
        self, values: FloatMap, cell_rows: tuple[int, int], cell_columns: tuple[int, int]
    ) -> tuple[int, int, FloatMap]:
        """The part of `linear(values)` that a block of cells can reach, without computing all of the rest.

        Returns:
            The first row and column of the part in the picture, and the part itself; it may be empty.
        """
        top, bottom = self.rows.reach(*cell_rows)
        left, right = self.columns.reach(*cell_columns)
        if top >= bottom or left >= right:
            return top, left, np.zeros((0, 0), np.float32)
        y, first_row, last_row = self.rows.source(*cell_rows)
        x, first_column, last_column = self.columns.source(*cell_columns)
        part = self._enlarge(values[first_row:last_row, first_column:last_column])
        return top, left, part[top - y : bottom - y, left - x : right - x]

    def _enlarge(self, values: FloatMap) -> FloatMap:
        """With explicit factors, cv2 honours a picture's edge inside a cell; with a target size it would not."""
        x_factor, y_factor = self.columns.factor, self.rows.factor
        size = round(values.shape[0] * y_factor), round(values.shape[1] * x_factor)
        if size == values.shape:
            # cv2 would take a factor near one for one and only copy.
            return _interpolate(_interpolate(values, 0, y_factor), 1, x_factor)
        return np.asarray(cv2.resize(values, None, fx=x_factor, fy=y_factor), dtype=np.float32)


def _shrink_or_grow(image: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Resize without aliasing; averaging whole blocks first is five times faster than INTER_AREA throughout."""
    image_height, image_width = image.shape[:2]
    if (image_height, image_width) == (height, width):
        return np.ascontiguousarray(image)
    block = min(image_height // height, image_width // width)
    if block >= 2 and image_height % block == 0 and image_width % block == 0:
        size = image_width // block, image_height // block
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    elif block >= 2:
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _interpolate(values: FloatMap, axis: int, factor: float) -> FloatMap:
    """What cv2.resize does along one axis, in NumPy: several times slower, for small maps."""
    cells = values.shape[axis]
    position = np.clip((np.arange(round(cells * factor)) + 0.5) / factor - 0.5, 0, cells - 1)
    low = position.astype(np.intp)
    weight = (position - low).astype(np.float32)
    weight = weight[:, None] if axis == 0 else weight[None, :]
    near, far = np.take(values, low, axis), np.take(values, np.minimum(low + 1, cells - 1), axis)
    return np.asarray(near + (far - near) * weight, dtype=np.float32)
