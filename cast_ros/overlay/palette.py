# SPDX-License-Identifier: Apache-2.0
"""Colours: of instances, of the semantic map, of depth. All pictures here are BGR, as OpenCV and ROS `bgr8` have it."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cast_ros.student import StudentContract

Color = tuple[int, int, int]

# One family of hues per class of thing, in degrees: a person is always warm, a car always blue.
_FAMILIES = (352, 205, 280, 48, 140, 318, 172, 90)
# Steps inside a family, as (hue shift, saturation, value); neighbours in this list differ most.
_TONES = ((0, 0.78, 1.0), (-22, 0.70, 1.0), (16, 0.85, 0.82), (-12, 0.45, 1.0), (24, 0.66, 0.95))

_NOT_MEASURED = (110, 110, 110)
_OUT_OF_RANGE = (46, 32, 24)


def instance_colors(labels: NDArray[np.int64], boxes: NDArray[np.float32], contract: StudentContract) -> list[Color]:
    """A BGR colour for each row: the class chooses the hue, the order from left to right the tone.

    The order from left to right changes less from frame to frame than the order of scores, so a moving picture is calm.
    """
    families = {number: _FAMILIES[place % len(_FAMILIES)] for place, number in enumerate(contract.thing_ids)}
    order = np.argsort(boxes[:, 0] + boxes[:, 2], kind='stable')
    rank = np.argsort(order, kind='stable')
    colors = []
    for label, place in zip(labels, rank, strict=True):
        shift, saturation, value = _TONES[int(place) % len(_TONES)]
        colors.append(_bgr(families[int(label)] + shift, saturation, value))
    return colors


def semantic_table(contract: StudentContract) -> NDArray[np.uint8]:
    """256×3 BGR: the contract's colour of each class id, black for the rest."""
    table = np.zeros((256, 3), dtype=np.uint8)
    for entry in contract.classes:
        table[entry.id] = tuple(entry.color)[::-1]
    return table


def colorize_depth(depth_m: NDArray[np.float32], cap_m: float) -> NDArray[np.uint8]:
    """H×W×3 BGR of an H×W depth in metres: near is bright, `cap_m` is dark, NaN is grey, +Inf (sky) nearly black.

    The scale is logarithmic from 2 m on: a metre matters more near the robot than far from it.
    """
    near_m = min(2.0, cap_m / 2)
    known = np.isfinite(depth_m)
    clipped = np.clip(np.where(known, depth_m, near_m), near_m, cap_m)
    closeness = 1.0 - np.log(clipped / near_m) / np.log(cap_m / near_m)
    # The darkest end is left free, so that the cap does not look like the sky.
    scaled = (30 + 225 * closeness).astype(np.uint8)
    picture = np.asarray(cv2.applyColorMap(scaled, cv2.COLORMAP_INFERNO), dtype=np.uint8)
    picture[np.isnan(depth_m)] = _NOT_MEASURED
    picture[np.isinf(depth_m)] = _OUT_OF_RANGE
    return picture


def _bgr(hue_deg: float, saturation: float, value: float) -> Color:
    red, green, blue = colorsys.hsv_to_rgb(hue_deg % 360 / 360, saturation, value)
    return round(blue * 255), round(green * 255), round(red * 255)
