# SPDX-License-Identifier: Apache-2.0
"""Image and CompressedImage fields to numpy and back, without ROS."""

from cast_ros.images.codec import (
    DEFAULT_MAX_PIXELS,
    ENCODINGS,
    ImageFields,
    decode_image,
    decode_rgb,
    image_fields,
    to_rgb,
)
from cast_ros.images.compressed import (
    decode_compressed,
    decode_compressed_rgb,
    encode_jpeg,
    encode_png,
)

__all__ = [
    'DEFAULT_MAX_PIXELS',
    'ENCODINGS',
    'ImageFields',
    'decode_compressed',
    'decode_compressed_rgb',
    'decode_image',
    'decode_rgb',
    'encode_jpeg',
    'encode_png',
    'image_fields',
    'to_rgb',
]
