# SPDX-License-Identifier: Apache-2.0
"""Pictures of one topic, one by one and against each other."""

from __future__ import annotations

from typing import Any, NamedTuple

from cast_ros.errors import ImageError
from cast_ros.images import ENCODINGS, compressed_depth, decode_compressed_rgb, decode_image, to_rgb
from cast_ros.images.compressed_depth import decode_compressed_depth, is_compressed_depth
from cast_ros.offline.bags.message_types import IMAGE_TYPE
from cast_ros.offline.bags.tools.findings import Findings, Place

_KIND_OF_FIELD = {
    'encoding': 'unknown-encoding',
    'step': 'bad-step',
    'width': 'impossible-size',
    'height': 'impossible-size',
    'data': 'short-data',
}
_KIND_OF_COMPRESSED = {'format': 'video-stream', 'encoding': 'unknown-encoding'}
_PNG_START = b'\x89PNG'


class PictureForm(NamedTuple):
    """What all pictures of a topic should have in common; sizes in pixels."""

    encoding: str
    width: int
    height: int


def form_of(message: Any, msgtype: str) -> PictureForm:
    """Decode a picture, and say what it is.

    What holds numbers, such as depth, need not become RGB; all else must, since the node and `cast replay` want it.

    Raises:
        ImageError: it does not decode.
    """
    if msgtype == IMAGE_TYPE:
        array = decode_image(message)
        if ENCODINGS[message.encoding].to_rgb is not None:
            to_rgb(array, message.encoding)
        return PictureForm(str(message.encoding), int(message.width), int(message.height))
    if is_compressed_depth(message):
        height, width = decode_compressed_depth(message).shape
        return PictureForm(compressed_depth.NAME, width, height)
    height, width = decode_compressed_rgb(message).shape[:2]
    codec, encoding = 'png' if bytes(message.data[:4]) == _PNG_START else 'jpeg', str(message.format).rpartition(';')[0]
    return PictureForm(f'{encoding} as {codec}' if encoding.startswith('bayer_') else codec, width, height)


class PictureCheck:
    """Judges the pictures of one topic as they come."""

    def __init__(self, topic: str, msgtype: str, findings: Findings) -> None:
        self._topic, self._msgtype, self._findings = topic, msgtype, findings
        self._last: PictureForm | None = None

    def add(self, message: Any, place: Place) -> PictureForm | None:
        """The form of a picture that is fine; None for one that is not."""
        try:
            form = form_of(message, self._msgtype)
        except ImageError as error:
            if self._msgtype == IMAGE_TYPE:
                kind = _KIND_OF_FIELD[error.field]
            else:
                kind = _KIND_OF_COMPRESSED.get(error.field, 'damaged-jpeg')
            self._findings.add(kind, self._topic, place._replace(detail=str(error)))
            return None
        last, self._last = self._last or form, form
        if form.encoding != last.encoding:
            detail = f'{form.encoding} after {last.encoding}'
            self._findings.add('mixed-encodings', self._topic, place._replace(detail=detail))
        if form[1:] != last[1:]:
            detail = f'{form.width}×{form.height} after {last.width}×{last.height}'
            self._findings.add('mixed-sizes', self._topic, place._replace(detail=detail))
        return form
