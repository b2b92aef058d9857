# SPDX-License-Identifier: Apache-2.0
"""The pictures of a bag: which topics have them, and their pixels."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from cast_ros.errors import BagError
from cast_ros.images import ENCODINGS, compressed_depth, decode_compressed_rgb, decode_rgb
from cast_ros.offline.bags.message_types import CAMERA_INFO_TYPE, COMPRESSED_IMAGE_TYPE, IMAGE_TYPE, camera_info_beside
from cast_ros.offline.bags.reader import BagReader, RawMessage

DECODERS: dict[str, Callable[..., npt.NDArray[np.uint8]]] = {
    IMAGE_TYPE: decode_rgb,
    COMPRESSED_IMAGE_TYPE: decode_compressed_rgb,
}


def find_picture_topic(reader: BagReader, asked: str | None, labels: Collection[str] = ()) -> str:
    """The topic of pictures: as asked, else the only one there is.

    Args:
        reader: an open bag.
        asked: its name.
        labels: topics of pictures that are ground truth.

    Raises:
        BagError: it is missing, has other things or no message; or there are several. Names the topics with pictures.
    """
    present = reader.topics()
    found = [
        entry
        for entry in present.values()
        if entry.msgtype in DECODERS
        and entry.message_count
        and entry.name not in labels
        and not _is_topic_of_depth(reader, entry.name)
    ]
    listing = ', '.join(f'{entry.name} ({entry.message_count})' for entry in found) or 'none'
    advice = f'topics with pictures: {listing}'
    if asked is None:
        if len(found) == 1:
            return found[0].name
        raise BagError(f'{reader.path}: name the topic of the pictures (--topic); {advice}')
    if asked not in present:
        raise BagError(f"{reader.path} has no topic '{asked}'; {advice}")
    if present[asked].msgtype not in DECODERS:
        raise BagError(f"{reader.path}: '{asked}' is {present[asked].msgtype}, not pictures; {advice}")
    if not present[asked].message_count:
        raise BagError(f"{reader.path}: '{asked}' has no message; {advice}")
    return asked


def is_depth(message: Any) -> bool:
    """Whether an Image or CompressedImage holds numbers, such as metres, and is no picture."""
    if not hasattr(message, 'encoding'):
        return compressed_depth.is_compressed_depth(message)
    encoding = ENCODINGS.get(message.encoding)
    return encoding is not None and encoding.to_rgb is None


def _is_topic_of_depth(reader: BagReader, topic: str) -> bool:
    """Whether name or first message say so; one that cannot be read is for the reader of pictures to complain about."""
    if topic.endswith(f'/{compressed_depth.NAME}'):
        return True
    try:
        raw = next(iter(reader.raw_messages([topic])), None)
        return raw is not None and is_depth(reader.decode(raw))
    except BagError:
        return False


def find_camera_info_topic(reader: BagReader, picture_topic: str, asked: str | None) -> str | None:
    """The topic of calibrations: as asked, else the one beside the pictures, None if the bag has none there.

    Raises:
        BagError: the one that was asked for is missing, or is something else.
    """
    name = asked or camera_info_beside(picture_topic)
    entry = reader.topics().get(name)
    if entry is not None and entry.msgtype == CAMERA_INFO_TYPE:
        return name
    if asked is None:
        return None
    infos = ', '.join(known.name for known in reader.topics().values() if known.msgtype == CAMERA_INFO_TYPE)
    raise BagError(f"{reader.path} has no camera_info on '{asked}'; it has: {infos or 'none'}")


def read_picture(reader: BagReader, raw: RawMessage) -> tuple[Any, npt.NDArray[np.uint8]]:
    """The message, and its H×W×3 RGB pixels.

    Raises:
        BagError, ImageError: it is damaged, or of an encoding that is no picture.
    """
    message = reader.decode(raw)
    return message, DECODERS[raw.msgtype](message)
