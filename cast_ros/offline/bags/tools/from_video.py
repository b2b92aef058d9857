# SPDX-License-Identifier: Apache-2.0
"""A bag of the frames of a video."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from cast_ros.errors import BagError
from cast_ros.images import encode_jpeg
from cast_ros.offline.bags import BagWriter
from cast_ros.offline.bags.message_types import COMPRESSED_IMAGE_TYPE
from cast_ros.offline.bags.messages import NANOSECONDS, compressed_image
from cast_ros.offline.bags.tools.from_dataset import FRAME_ID, JPEG, START_NS


def video_to_bag(video: Path, out: Path, topic: str, rate_hz: float | None = None, quality: int = 90) -> int:
    """Write every frame as a JPEG; return how many there were.

    Args:
        video: what OpenCV reads.
        out: of the bag.
        topic: of the CompressedImages.
        rate_hz: of the frames; None for the video's own.
        quality: of the JPEGs, 1 to 100.

    Raises:
        BagError: the video cannot be read, has no rate of its own, or ``out`` cannot be written.
    """
    if not video.is_file():
        raise BagError(f'{video}: there is no such file')
    capture = cv2.VideoCapture(str(video))
    try:
        own_hz = capture.get(cv2.CAP_PROP_FPS) if capture.isOpened() else 0.0
        readable, bgr = capture.read()
        if not readable:
            raise BagError(f'{video}: no frame of this video can be decoded')
        hz = rate_hz or own_hz
        if not (math.isfinite(hz) and hz > 0):
            raise BagError(f'{video} does not tell its frame rate; give --rate')
        count = 0
        with BagWriter(out) as writer:
            writer.add_topic(topic, COMPRESSED_IMAGE_TYPE)
            while readable:
                at_ns = START_NS + round(count * NANOSECONDS / hz)
                payload = encode_jpeg(np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8, copy=False), quality)
                writer.write(topic, at_ns, compressed_image(at_ns, FRAME_ID, payload, JPEG))
                count += 1
                readable, bgr = capture.read()
    finally:
        capture.release()
    return count
