# SPDX-License-Identifier: Apache-2.0
"""The overlay: semantic tint, instance masks with contours, boxes, and labels with class, score and distance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cast_ros.overlay.palette import Color, instance_colors, semantic_table
from cast_ros.overlay.text import put_text, text_mask

if TYPE_CHECKING:
    from cast_ros.student import Prediction, StudentContract

Picture = NDArray[np.uint8]
Box = tuple[int, int, int, int]

_STUFF_ALPHA = 0.28
# Of the picture's area; below it an instance keeps its colour and contour but gets no words.
_MIN_LABELLED_AREA = 0.0012
# 1×256×3: each channel counts from 0 to 255.
_EVERY_VALUE = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)


@dataclass(frozen=True)
class _Instance:
    """One row of a prediction, in pixels of the picture that is drawn on."""

    mask: NDArray[np.bool_]
    box: Box
    color: Color
    name: str
    score: float
    distance_m: float | None

    @cached_property
    def area(self) -> int:
        return int(np.count_nonzero(self.mask))

    def text(self, show_score: bool) -> str:
        score = f' {self.score:.2f}' if show_score else ''
        if self.distance_m is None:
            return f'{self.name}{score}'
        digits = 1 if self.distance_m < 10 else 0
        return f'{self.name}{score}{"," if show_score else ""} {self.distance_m:.{digits}f} m'


def draw_overlay(
    rgb: Picture, prediction: Prediction, contract: StudentContract, alpha: float = 0.5, show_scores: bool = True
) -> Picture:
    """The picture with the prediction drawn over it.

    Args:
        rgb: H×W×3 uint8 RGB. Need not have the prediction's size: maps and boxes are scaled to it.
        prediction: any of its heads may be absent.
        contract: gives names and colours of the classes.
        alpha: weight of an instance's colour inside its mask, 0–1.
        show_scores: labels carry the score; switch off for ground truth.

    Returns:
        H×W×3 uint8 BGR, a new array.
    """
    canvas = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), dtype=np.uint8)
    if prediction.semantic is not None:
        _tint_stuff(canvas, prediction.semantic, contract, _STUFF_ALPHA)
    instances = _instances(prediction, contract, canvas.shape[:2])
    # Far things first: what is near is drawn last and stays whole.
    for instance in sorted(instances, key=lambda entry: entry.box[3]):
        _fill(canvas, instance, alpha)
    for instance in instances:
        _outline(canvas, instance)
    _label_all(canvas, instances, show_scores)
    return canvas


def _tint_stuff(canvas: Picture, semantic: NDArray[np.uint8], contract: StudentContract, alpha: float) -> None:
    height, width = canvas.shape[:2]
    if semantic.shape != (height, width):
        scaled = cv2.resize(semantic, (width, height), interpolation=cv2.INTER_NEAREST)
        semantic = np.asarray(scaled, dtype=np.uint8)
    weight = np.zeros(256, dtype=np.float32)
    weight[[entry.id for entry in contract.classes if not entry.is_thing]] = alpha
    # One table look-up per pixel and channel: much cheaper than blending with float masks.
    shade = (semantic_table(contract).astype(np.float32) * weight[:, None]).astype(np.uint8)
    keep = (255 * (1 - weight)).astype(np.uint8)
    faded = cv2.multiply(canvas, cv2.merge([cv2.LUT(semantic, keep)] * 3), scale=1 / 255)
    cv2.add(faded, cv2.merge([cv2.LUT(semantic, np.ascontiguousarray(shade[:, i])) for i in range(3)]), dst=canvas)


def _instances(prediction: Prediction, contract: StudentContract, size: tuple[int, int]) -> list[_Instance]:
    ids = prediction.instance_ids
    if ids is None or prediction.boxes is None or prediction.labels is None or prediction.scores is None:
        return []
    names = {entry.id: entry.name for entry in contract.classes}
    colors = instance_colors(prediction.labels, prediction.boxes, contract)
    scale = np.array([size[1] / ids.shape[1], size[0] / ids.shape[0]] * 2)
    found = []
    for row, box in enumerate(prediction.boxes):
        x0, y0 = np.floor(box[:2]).astype(int).clip(0)
        x1, y1 = np.ceil(box[2:]).astype(int)
        mask = ids[y0:y1, x0:x1] == row + 1
        if not mask.any():
            continue
        distance_m = _median_depth(prediction.depth, ids.shape, (x0, y0, x1, y1), mask)
        target = np.array([x0, y0, x0 + mask.shape[1], y0 + mask.shape[0]]) * scale
        left, top, right, bottom = (int(value) for value in np.round(target))
        # What is less than half a pixel at the far edge would be rounded out of the picture.
        left, top = min(left, size[1] - 1), min(top, size[0] - 1)
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        if mask.shape != (bottom - top, right - left):
            smooth = cv2.resize(mask.astype(np.float32), (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
            mask = smooth >= 0.5
        label = int(prediction.labels[row])
        score = float(prediction.scores[row])
        found.append(_Instance(mask, (left, top, right, bottom), colors[row], names[label], score, distance_m))
    return found


def _median_depth(
    depth: NDArray[np.float32] | None, shape: tuple[int, ...], box: Box, mask: NDArray[np.bool_]
) -> float | None:
    """Metres, or None where nothing inside the mask was measured."""
    if depth is None or depth.shape != shape:
        return None
    x0, y0, x1, y1 = box
    inside = depth[y0:y1, x0:x1][mask]
    inside = inside[np.isfinite(inside)]
    return float(np.median(inside)) if inside.size else None


def _fill(canvas: Picture, instance: _Instance, alpha: float) -> None:
    left, top, right, bottom = instance.box
    region = canvas[top:bottom, left:right]
    # Blending every value that a channel can have, once, and looking the pixels up takes a third of blending pixels;
    # copyTo takes a tenth of NumPy's indexing by a mask.
    color = np.full_like(_EVERY_VALUE, instance.color)
    tinted = cv2.LUT(region, cv2.addWeighted(_EVERY_VALUE, 1 - alpha, color, alpha, 0))
    cv2.copyTo(tinted, instance.mask.view(np.uint8), region)


def _outline(canvas: Picture, instance: _Instance) -> None:
    left, top, right, bottom = instance.box
    thickness = max(1, round(canvas.shape[0] / 480))
    # The border of zeros closes contours of masks that touch their box.
    padded = np.pad(instance.mask.astype(np.uint8), 1)
    contours, _ = cv2.findContours(padded, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(left - 1, top - 1))
    cv2.drawContours(canvas, contours, -1, instance.color, thickness, cv2.LINE_AA)
    corner = (right - 1, bottom - 1)
    cv2.rectangle(canvas, (left, top), corner, instance.color, 1)


def _label_all(canvas: Picture, instances: list[_Instance], show_scores: bool) -> None:
    """Labels, large instances first; one that finds no free place is left out rather than laid over another."""
    height, width = canvas.shape[:2]
    text_px = int(np.clip(height / 28, 9, 26))
    worth_a_label = height * width * _MIN_LABELLED_AREA
    taken: list[Box] = []
    for instance in sorted(instances, key=lambda entry: -entry.area):
        if instance.area < worth_a_label:
            break
        text = instance.text(show_scores)
        mask = text_mask(text, text_px)
        hidden = taken + [other.box for other in instances if other is not instance and other.area >= worth_a_label / 2]
        place = _free_place(instance.box, (mask.shape[1] + 2, mask.shape[0]), (width, height), hidden)
        if place is None and instance.area >= 4 * worth_a_label:
            place = _free_place(instance.box, (mask.shape[1] + 2, mask.shape[0]), (width, height), taken)
        if place is None:
            continue
        taken.append(place)
        x0, y0, x1, y1 = place
        canvas[y0:y1, x0:x1] = instance.color
        dark = np.dot(instance.color, (0.114, 0.587, 0.299)) > 120
        put_text(canvas, text, x0 + 1, y0, text_px, (20, 16, 16) if dark else (255, 255, 255))


def _free_place(box: Box, size: tuple[int, int], limits: tuple[int, int], taken: list[Box]) -> Box | None:
    """Above, below, beside or (in a large box) inside the box: the first place in the picture that hides nothing."""
    x0, y0, x1, y1 = box
    width, height = size
    corners = [(x0, y0 - height), (x1 - width, y0 - height), (x0, y1), (x1 - width, y1), (x1, y0), (x0 - width, y0)]
    if y1 - y0 > 3 * height:
        corners.insert(2, (x0, y0))
    for left, top in corners:
        left = max(0, min(left, limits[0] - width))
        place = (left, top, left + width, top + height)
        inside = top >= 0 and place[2] <= limits[0] and place[3] <= limits[1]
        if inside and not any(_overlap(place, other) for other in taken):
            return place
    return None


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
