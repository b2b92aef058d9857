# SPDX-License-Identifier: Apache-2.0
"""A contact sheet: rows of pictures under a title, column names and figures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cast_ros.overlay.text import put_text, text_mask

_PAPER = (30, 25, 22)
_INK = (240, 240, 240)
_SOFT_INK = (175, 168, 160)


def contact_sheet(
    rows: Sequence[Sequence[NDArray[np.uint8]]],
    title: str = '',
    columns: Sequence[str] = (),
    figures: Sequence[str] = (),
    width_px: int = 1800,
) -> NDArray[np.uint8]:
    """Lays BGR pictures out in rows.

    Args:
        rows: pictures of any size, the same number in each row; each is scaled to its column's width.
        title: one line at the top.
        columns: a name above each column.
        figures: short texts under the title, side by side.
        width_px: width of the sheet.

    Returns:
        H×`width_px`×3 uint8 BGR.
    """
    if not rows or not rows[0]:
        raise ValueError('a contact sheet needs at least one picture')
    gap = max(6, width_px // 150)
    cell = (width_px - gap * (len(rows[0]) + 1)) // len(rows[0])
    header = _header(width_px, gap, cell, title, columns, figures)
    bands = [header]
    for row in rows:
        pictures = [_fit(picture, cell) for picture in row]
        band = np.full((max(picture.shape[0] for picture in pictures) + gap, width_px, 3), _PAPER, dtype=np.uint8)
        for index, picture in enumerate(pictures):
            left = gap + index * (cell + gap)
            band[: picture.shape[0], left : left + cell] = picture
        bands.append(band)
    return np.concatenate(bands)


def _fit(picture: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    shrinks = width < picture.shape[1]
    rule = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=rule), dtype=np.uint8)


def _header(
    width: int, gap: int, cell: int, title: str, columns: Sequence[str], figures: Sequence[str]
) -> NDArray[np.uint8]:
    large, small = width // 45, width // 82
    header = np.full((gap * 4 + large * 2 + small * 4, width, 3), _PAPER, dtype=np.uint8)
    top = gap
    if title:
        put_text(header, title, gap, top, large, _INK, bold=True)
        top += round(large * 1.7)
    left = gap
    for figure in figures:
        shown = text_mask(figure, small)
        if left > gap and left + shown.shape[1] > width:
            left, top = gap, top + round(small * 1.7)
        put_text(header, figure, left, top, small, _INK)
        left += shown.shape[1] + 3 * gap
    if figures:
        top += round(small * 2.2)
    for index, name in enumerate(columns):
        put_text(header, name, gap + index * (cell + gap), top, small, _SOFT_INK)
    if columns:
        top += round(small * 1.6)
    return header[: min(top + gap // 2, header.shape[0])]
