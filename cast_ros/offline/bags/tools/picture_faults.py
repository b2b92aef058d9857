# SPDX-License-Identifier: Apache-2.0
"""Faults within pictures; each changes a draft in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from cast_ros.errors import BagError
from cast_ros.images import (
    decode_compressed,
    decode_compressed_rgb,
    decode_image,
    encode_jpeg,
    encode_png,
    image_fields,
)
from cast_ros.offline.bags.message_types import COMPRESSED_IMAGE_TYPE, IMAGE_TYPE, PICTURE_TYPES, camera_info_beside
from cast_ros.offline.bags.tools.draft import Draft

# Encodings of as many bytes per pixel, so that the picture still decodes.
_TWINS = {
    'rgb8': 'bgr8',
    'bgr8': 'rgb8',
    'rgba8': 'bgra8',
    'bgra8': 'rgba8',
    'mono8': '8UC1',
    '8UC1': 'mono8',
    'mono16': '16UC1',
    '16UC1': 'mono16',
    'uyvy': 'yuyv',
    'yuyv': 'uyvy',
}
_JPEG_START = b'\xff\xd8'


def short_data(draft: Draft) -> None:
    """As of a driver that lost packets."""
    _edit_image(draft, lambda image: setattr(image, 'data', image.data[: len(image.data) * 2 // 3]))


def bad_step(draft: Draft) -> None:
    """As of a driver that leaves the step empty."""
    _edit_image(draft, lambda image: setattr(image, 'step', image.step // 2))


def zero_width(draft: Draft) -> None:
    """As of a driver that leaves the width empty."""
    _edit_image(draft, lambda image: setattr(image, 'width', 0))


def odd_width(draft: Draft) -> None:
    """As of a driver that crops without regard to the colour, which is there once for two pixels."""

    def change(image: Any) -> None:
        # As many pixels of two bytes as fit into a row, or one less.
        image.encoding, image.width = 'yuyv', max(1, (image.step // 2 - 1) // 2 * 2 + 1)

    _edit_image(draft, change)


def unknown_encoding(draft: Draft) -> None:
    """As of a driver with names of its own."""
    _edit_image(draft, lambda image: setattr(image, 'encoding', 'rgb9'))


def truncated_jpeg(draft: Draft) -> None:
    """As of a transport that cut the message short."""
    (index,) = draft.places(draft.require_pictures([COMPRESSED_IMAGE_TYPE]))
    draft.edit(index, lambda picture: setattr(picture, 'data', picture.data[: len(picture.data) * 2 // 3]))


def video_stream(draft: Draft) -> None:
    """As of a camera that sends H.264 in CompressedImage."""

    def change(picture: Any) -> None:
        picture.format = 'h264'
        picture.data = np.frombuffer(bytes.fromhex('00000001 6742c01e') + bytes(range(200)), np.uint8)

    (index,) = draft.places(draft.require_pictures([COMPRESSED_IMAGE_TYPE]))
    draft.edit(index, change)


def mixed_encodings(draft: Draft) -> None:
    """As of a driver that was reconfigured: another encoding from here on, JPEG to PNG or back where compressed."""
    for index in _from_here_on(draft):
        draft.edit(index, _reencode)


def mixed_sizes(draft: Draft) -> None:
    """As of a driver that was reconfigured: from here on pictures and calibration are the upper left quarter."""
    here_on = _from_here_on(draft)
    since_ns = draft.stamp(draft.messages[here_on[0]])
    beside = camera_info_beside(draft.messages[here_on[0]].topic)
    for index, raw in enumerate(draft.messages):
        if raw.topic == beside and draft.stamp(raw) >= since_ns:
            draft.edit(index, _quarter_info)
    for index in here_on:
        draft.edit(index, _quarter_picture)


def _edit_image(draft: Draft, change: Any) -> None:
    (index,) = draft.places(draft.require_pictures([IMAGE_TYPE]))
    draft.edit(index, change)


def _from_here_on(draft: Draft) -> list[int]:
    topic = draft.require_pictures(PICTURE_TYPES)
    (first,) = draft.places(topic)
    return [index for index, raw in enumerate(draft.messages) if index >= first and raw.topic == topic]


def _reencode(picture: Any) -> None:
    if hasattr(picture, 'encoding'):
        if picture.encoding not in _TWINS:
            raise BagError(f'pictures in {picture.encoding} have no other encoding of as many bytes per pixel')
        picture.encoding = _TWINS[picture.encoding]
        return
    rgb = decode_compressed_rgb(picture)
    was_jpeg = bytes(picture.data[:2]) == _JPEG_START
    picture.data = np.frombuffer(encode_png(rgb) if was_jpeg else encode_jpeg(rgb), np.uint8)
    picture.format = 'bgr8; png compressed bgr8' if was_jpeg else 'bgr8; jpeg compressed bgr8'


def _quarter_picture(picture: Any) -> None:
    if hasattr(picture, 'encoding'):
        array = decode_image(picture)
        fields = image_fields(array[: array.shape[0] // 2, : array.shape[1] // 2], picture.encoding)
        picture.height, picture.width, picture.step = fields.height, fields.width, fields.step
        picture.data, picture.is_bigendian = fields.data, fields.is_bigendian
        return
    array = decode_compressed(picture)
    quarter = array[: array.shape[0] // 2, : array.shape[1] // 2]
    is_jpeg = bytes(picture.data[:2]) == _JPEG_START
    picture.data = np.frombuffer(encode_jpeg(quarter) if is_jpeg else encode_png(quarter), np.uint8)


def _quarter_info(info: Any) -> None:
    info.width, info.height = info.width // 2, info.height // 2
