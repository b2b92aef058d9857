# SPDX-License-Identifier: Apache-2.0
"""JPEG to pixels, refusing what lost data on the way: OpenCV fills a hole and says so on stderr alone.

simplejpeg tells of libjpeg's warnings. Where it is not installed, and for the colour spaces that it leaves to others,
OpenCV decodes.
"""

from __future__ import annotations

import re
from typing import Any

from numpy.typing import NDArray

from cast_ros.errors import ImageError

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

FINDS_HOLES = simplejpeg is not None
"""Whether a JPEG with a hole in the middle is noticed here."""
_END = b'\xff\xd9'
_PADDED = re.compile(r'extraneous bytes before marker 0xd9')
# libjpeg decodes them, and simplejpeg has no name for what comes out.
_COLOURS = {'Gray': 'GRAY', 'YCbCr': 'RGB', 'RGB': 'RGB'}


def decode_jpeg(data: bytes) -> NDArray[Any] | None:
    """H×W grey or H×W×3 RGB uint8; None for what OpenCV must decode.

    Zeros before the end mark are padding of the driver and no damage.

    Raises:
        ImageError: data is missing or damaged in the middle.
    """
    if simplejpeg is None:
        return None
    try:
        colours = _COLOURS.get(simplejpeg.decode_jpeg_header(data, strict=False)[2])
    except (KeyError, ValueError):  # subsampling that it has no name for, too
        return None
    try:
        return None if colours is None else _pixels(data, colours)
    except ValueError as error:
        unpadded = _without_padding(data) if _PADDED.search(str(error)) else data
        if unpadded is data:
            raise ImageError(f'compressed image is a JPEG that lost data on the way: {error}') from error
        return decode_jpeg(unpadded)


def _pixels(data: bytes, colours: str) -> NDArray[Any]:
    pixels: NDArray[Any] = simplejpeg.decode_jpeg(data, colorspace=colours, strict=True)
    return pixels[..., 0] if colours == 'GRAY' else pixels


def _without_padding(data: bytes) -> bytes:
    """The file without zeros before its end mark; the same object if there are none."""
    end = data.rfind(_END)
    body = data[: max(end, 0)].rstrip(b'\0')
    return body + _END if end > len(body) else data
