# SPDX-License-Identifier: Apache-2.0
"""Two hundred thousand messages that nobody would send: a picture comes out, or an error of ours, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cast_ros.errors import ImageError
from cast_ros.images import ENCODINGS, decode_compressed_rgb, decode_rgb, encode_jpeg, encode_png

MOST_PIXELS = 4096
RAW, COMPRESSED = 160_000, 40_000


def test_raw_messages() -> None:
    rng = np.random.default_rng(1)
    names = [*ENCODINGS, '', 'rgb', 'RGB8', '8UC99', '\0']
    # Sizes that fit each other by chance, and those at the edges of their types.
    sizes = np.array([0, 1, 2, 3, 4, 7, 8, 16, 17, 64, 255, 2**16, 2**31 - 1, 2**32 - 1])
    payload = rng.integers(0, 255, 4096, np.uint8)
    answered, blamed = 0, set()
    chosen = rng.integers(0, [[len(names)], [len(sizes)], [len(sizes)], [2], [4097], [4]], (6, RAW)).T
    for name, height, width, is_bigendian, length, extra in chosen.tolist():
        entry = ENCODINGS.get(names[name])
        fitting = int(sizes[width]) * (entry.pixel_bytes if entry else 1)
        message = SimpleNamespace(
            height=int(sizes[height]),
            width=int(sizes[width]),
            encoding=names[name],
            is_bigendian=is_bigendian,
            step=fitting + extra - 1 if extra < 3 else int(sizes[(height + width) % len(sizes)]),
            data=payload[:length].data,
        )
        try:
            rgb = decode_rgb(message, MOST_PIXELS)
        except ImageError as error:
            blamed.add(error.field)
            continue
        assert rgb.shape == (message.height, message.width, 3)
        answered += 1
    assert blamed == {'data', 'encoding', 'step', 'width', 'height'}
    assert answered > RAW / 50, 'most messages were refused at the first look: the test tests little'


@pytest.mark.parametrize('encode', [encode_jpeg, encode_png])
def test_compressed_messages(encode: object) -> None:
    rng = np.random.default_rng(2)
    whole = np.frombuffer(encode(rng.integers(0, 255, (16, 24, 3), np.uint8)), np.uint8)  # type: ignore[operator]
    answered = 0
    for _ in range(COMPRESSED // 2):
        damaged = whole.copy()
        places = rng.integers(0, len(damaged), rng.integers(0, 6))
        damaged[places] = rng.integers(0, 255, len(places))
        end = len(damaged) if rng.random() < 0.8 else rng.integers(0, len(damaged))
        try:
            rgb = decode_compressed_rgb(SimpleNamespace(format='', data=damaged[:end].tobytes()), MOST_PIXELS)
        except ImageError:
            continue
        assert rgb.ndim == 3
        assert rgb.shape[2] == 3
        assert rgb.shape[0] * rgb.shape[1] <= MOST_PIXELS
        answered += 1
    assert answered > COMPRESSED / 20
