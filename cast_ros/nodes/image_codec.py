# SPDX-License-Identifier: Apache-2.0
"""Image messages to numpy and back, with cv_bridge's names and signatures.

cv_bridge itself breaks where pip's numpy meets the distribution's, skews pictures whose `step` is wrong, and copies.
The array work here is that of cast_ros.images, which checks every field.
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from cast_ros.errors import ImageError
from cast_ros.images import ENCODINGS, decode_compressed, decode_image, encode_jpeg, encode_png, to_rgb
from cast_ros.images.sixteen_bits import SixteenBits
from cast_ros.nodes.messages import fill_data, image_message

__all__ = ['CvBridge', 'ImageError']

_FROM_RGB = {
    'rgb8': None,
    'bgr8': cv2.COLOR_RGB2BGR,
    'rgba8': cv2.COLOR_RGB2RGBA,
    'bgra8': cv2.COLOR_RGB2BGRA,
    'mono8': cv2.COLOR_RGB2GRAY,
}
_SAME_PIXELS = ({'mono8', '8UC1'}, {'mono16', '16UC1'}, {'bgr8', '8UC3'}, {'bgra8', '8UC4'})


class CvBridge:
    """A drop-in for cv_bridge.CvBridge; every failure is an ImageError that names the field."""

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = 'passthrough') -> NDArray[Any]:
        """The picture as H×W or H×W×C; 'passthrough' shares the message's memory, so treat it as read-only.

        Args:
            img_msg: the message.
            desired_encoding: 'passthrough', or one of bgr8, rgb8, bgra8, rgba8, mono8, or another name of the same.
        """
        pixels = decode_image(img_msg)
        if _is_passthrough(img_msg.encoding, desired_encoding):
            return pixels
        if {img_msg.encoding, desired_encoding} == {'rgba8', 'bgra8'}:  # by way of RGB the opacity would be lost
            return _other_order(pixels)
        return _from_rgb(to_rgb(pixels, img_msg.encoding, SixteenBits('full')), desired_encoding)

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: CompressedImage, desired_encoding: str = 'passthrough'
    ) -> NDArray[Any]:
        """As OpenCV's imdecode gives it (BGR, BGRA or grey, 8 or 16 bits), or in the encoding asked for."""
        pixels = decode_compressed(cmprs_img_msg)
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        if desired_encoding == 'passthrough':
            return _other_order(pixels)
        if channels == 1 and _is_passthrough('mono16' if pixels.dtype == np.uint16 else 'mono8', desired_encoding):
            return pixels
        if pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)
        return _from_rgb(to_rgb(pixels, {1: 'mono8', 3: 'rgb8', 4: 'rgba8'}[channels]), desired_encoding)

    def cv2_to_imgmsg(self, cvim: NDArray[Any], encoding: str = 'passthrough', header: Header | None = None) -> Image:
        """An Image that carries this array; 'passthrough' names it by its type (8UC3, 16UC1, 32FC1, …)."""
        return image_message(cvim, _matrix_type(cvim) if encoding == 'passthrough' else encoding, header or Header())

    def cv2_to_compressed_imgmsg(
        self, cvim: NDArray[Any], dst_format: Literal['jpg', 'jpeg', 'png'] = 'jpg'
    ) -> CompressedImage:
        """A CompressedImage of a BGR, BGRA or grey array; a JPEG loses the opacity."""
        encoders = {'jpg': encode_jpeg, 'jpeg': encode_jpeg, 'png': encode_png}
        if dst_format not in encoders:
            raise ImageError(f"compressed format '{dst_format}' is not known; known are: {', '.join(encoders)}")
        message = CompressedImage(format='jpeg' if dst_format == 'jpg' else dst_format)
        fill_data(message, np.frombuffer(encoders[dst_format](_other_order(cvim)), np.uint8))
        return message


def _other_order(pixels: NDArray[Any]) -> NDArray[Any]:
    """RGB to BGR and back, with or without opacity: cast_ros.images speaks RGB, cv_bridge's callers OpenCV's BGR."""
    code = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}.get(pixels.shape[2] if pixels.ndim == 3 else 1)
    return pixels if code is None else np.asarray(cv2.cvtColor(pixels, code))


def _is_passthrough(encoding: str, desired: str) -> bool:
    return desired in ('passthrough', encoding) or any({encoding, desired} <= same for same in _SAME_PIXELS)


def _from_rgb(rgb: NDArray[np.uint8], desired_encoding: str) -> NDArray[Any]:
    if desired_encoding not in _FROM_RGB:
        raise ImageError(
            f"a picture cannot be converted to '{desired_encoding}'; possible are: passthrough, {', '.join(_FROM_RGB)}"
        )
    code = _FROM_RGB[desired_encoding]
    return rgb if code is None else cv2.cvtColor(rgb, code)


def _matrix_type(pixels: NDArray[Any]) -> str:
    """OpenCV's name of the array's type: 8UC3 for H×W×3 uint8."""
    kind = {'u': 'U', 'i': 'S', 'f': 'F'}.get(pixels.dtype.kind, '?')
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    name = f'{8 * pixels.dtype.itemsize}{kind}C{channels}'
    if name not in ENCODINGS:
        raise ImageError(f'an array of {pixels.dtype} with shape {pixels.shape} is no image encoding ({name})')
    return name
