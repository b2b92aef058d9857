# SPDX-License-Identifier: Apache-2.0
"""From the picture to the network and back: nothing moves by more than a pixel, whatever the sizes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cast_ros.student import InputGeometry, InputSpec
from cast_ros.student.geometry import PADDING_VALUE

SIZES = [(720, 1280), (721, 1283), (480, 640), (375, 1242), (64, 128), (40, 40), (1, 1), (1, 900), (900, 1), (3, 2000)]


def spec(resize: str, height: int = 64, width: int = 128) -> InputSpec:
    return InputSpec.model_validate({'height': height, 'width': width, 'resize': resize})


def geometry(size: tuple[int, int], resize: str) -> InputGeometry:
    return InputGeometry.for_image(*size, spec(resize))


def test_stretch_fills_the_input() -> None:
    placed = geometry((480, 640), 'stretch')
    assert (placed.content_height, placed.content_width, placed.is_padded) == (64, 128, False)


@pytest.mark.parametrize(
    ('size', 'content'),
    [
        ((480, 640), (64, 85)),
        ((200, 800), (32, 128)),
        ((64, 128), (64, 128)),
        ((1, 1000), (1, 128)),
        ((1, 1), (64, 64)),
    ],
)
def test_letterbox_keeps_the_shape(size: tuple[int, int], content: tuple[int, int]) -> None:
    placed = geometry(size, 'letterbox')
    assert (placed.content_height, placed.content_width) == content


def test_letterbox_pads_right_and_bottom_with_a_constant() -> None:
    tensor = geometry((480, 640), 'letterbox').to_network(np.full((480, 640, 3), 200, np.uint8))
    assert tensor.shape == (64, 128, 3)
    assert (tensor[:, :85] == 200).all()
    assert (tensor[:, 85:] == PADDING_VALUE).all()
    tensor = geometry((100, 800), 'letterbox').to_network(np.full((100, 800, 3), 200, np.uint8))
    assert (tensor[:16] == 200).all()
    assert (tensor[16:] == PADDING_VALUE).all()


@pytest.mark.parametrize('resize', ['stretch', 'letterbox'])
@pytest.mark.parametrize('size', SIZES)
def test_every_size_gives_the_input_of_the_network(size: tuple[int, int], resize: str) -> None:
    tensor = geometry(size, resize).to_network(np.zeros((*size, 3), np.uint8))
    assert (tensor.shape, tensor.dtype, tensor.flags.c_contiguous) == ((64, 128, 3), np.uint8, True)


def test_a_picture_with_gaps_in_memory_is_taken() -> None:
    wide = np.random.default_rng(1).integers(0, 255, (64, 256, 3), dtype=np.uint8)
    np.testing.assert_array_equal(geometry((64, 128), 'stretch').to_network(wide[:, ::2]), wide[:, ::2])


@pytest.mark.parametrize('size', [(720, 1280), (721, 1283), (480, 640)])
def test_shrinking_averages_instead_of_skipping_pixels(size: tuple[int, int]) -> None:
    stripes = np.zeros((*size, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = geometry(size, 'stretch').to_network(stripes)
    assert np.abs(shrunk.astype(int) - 127).max() <= 32


def test_the_focal_length_follows_the_width() -> None:
    assert geometry((480, 640), 'stretch').fx_at_input(500.0) == pytest.approx(100.0)
    assert geometry((480, 640), 'letterbox').fx_at_input(640.0) == pytest.approx(85.0)


@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    resize=st.sampled_from(['stretch', 'letterbox']),
    corners=st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_boxes_come_back(height: int, width: int, resize: str, corners: list[float]) -> None:
    placed = geometry((height, width), resize)
    box = np.array([corners]) * [width, height, width, height]
    in_network = placed.boxes_to_network(box)
    assert in_network.max(initial=0) <= max(placed.content_width, placed.content_height) + 1e-3
    np.testing.assert_allclose(placed.boxes_to_image(in_network), box, atol=max(height, width) * 1e-6)


@pytest.mark.parametrize('resize', ['stretch', 'letterbox'])
@pytest.mark.parametrize('size', SIZES)
def test_a_map_of_the_input_size_comes_back_within_a_pixel(size: tuple[int, int], resize: str) -> None:
    """A ramp over the picture, drawn at the pixels of the network, must read the same ramp at the picture's."""
    placed = geometry(size, resize)
    rows, columns = np.mgrid[:64, :128]
    for values, step, length in (
        (columns, placed.content_width, size[1]),
        (rows, placed.content_height, size[0]),
    ):
        position = (values + 0.5) / step * length
        read = placed.to_image_maps(64, 128).linear(position.astype(np.float32))
        expected = np.arange(length) + 0.5
        read = read.mean(axis=0) if values is columns else read.mean(axis=1)
        # Half a cell at the border has nothing beyond it to read.
        inner = (expected > length / step / 2) & (expected < length - length / step / 2)
        np.testing.assert_allclose(read[inner], expected[inner], atol=max(length * 1e-5, 1e-3))


@pytest.mark.parametrize('resize', ['stretch', 'letterbox'])
@pytest.mark.parametrize('size', [(720, 1280), (721, 1283), (375, 1242), (480, 640), (1000, 300)])
def test_a_mask_goes_to_the_network_and_comes_back_within_a_pixel_of_the_map(
    size: tuple[int, int], resize: str
) -> None:
    height, width = size
    mask = np.zeros((*size, 3), np.uint8)
    top, bottom, left, right = height // 5, height // 5 * 3, width // 7 * 2, width // 7 * 5
    mask[top:bottom, left:right] = 255
    placed = InputGeometry.for_image(height, width, spec(resize, 256, 512))
    cells = cv2.resize(placed.to_network(mask)[:, :, 0], (128, 64), interpolation=cv2.INTER_AREA)
    back = placed.to_image_maps(64, 128).linear(cells.astype(np.float32) - 127.5) > 0
    ys, xs = np.flatnonzero(back.any(axis=1)), np.flatnonzero(back.any(axis=0))
    cell_y = height / placed.content_height * 4
    cell_x = width / placed.content_width * 4
    assert abs(ys[0] - top) <= cell_y
    assert abs(ys[-1] + 1 - bottom) <= cell_y
    assert abs(xs[0] - left) <= cell_x
    assert abs(xs[-1] + 1 - right) <= cell_x


@pytest.mark.parametrize('resize', ['stretch', 'letterbox'])
def test_a_mask_aligned_with_the_cells_comes_back_to_the_pixel(resize: str) -> None:
    placed = InputGeometry.for_image(512, 1024, spec(resize, 256, 512))
    cells = np.full((64, 128), -1.0, np.float32)
    cells[10:20, 30:50] = 1.0
    expected = np.zeros((512, 1024), bool)
    expected[80:160, 240:400] = True
    np.testing.assert_array_equal(placed.to_image_maps(64, 128).nearest(cells) > 0, expected)
    smooth = placed.to_image_maps(64, 128).linear(cells) > 0
    # Bilinear reading rounds the corners, by six pixels each.
    assert np.count_nonzero(smooth != expected) == 4 * 6
    np.testing.assert_array_equal(smooth.any(axis=0), expected.any(axis=0))
    np.testing.assert_array_equal(smooth.any(axis=1), expected.any(axis=1))


@pytest.mark.parametrize('resize', ['stretch', 'letterbox'])
@pytest.mark.parametrize('size', SIZES)
def test_the_content_of_the_network_is_read_without_its_padding(size: tuple[int, int], resize: str) -> None:
    placed = geometry(size, resize)
    sampler = placed.to_content_maps(16, 32)
    content = placed.content_height, placed.content_width
    cells = np.arange(16 * 32).reshape(16, 32)
    assert sampler.linear(cells.astype(np.float32)).shape == content
    expected = np.repeat(np.repeat(cells, 4, axis=0), 4, axis=1)[: content[0], : content[1]]
    np.testing.assert_array_equal(sampler.nearest(cells), expected)


@given(
    height=st.integers(1, 500),
    width=st.integers(1, 500),
    resize=st.sampled_from(['stretch', 'letterbox']),
    block=st.tuples(st.integers(0, 15), st.integers(0, 31), st.integers(1, 16), st.integers(1, 32)),
)
@example(height=1, width=29, resize='letterbox', block=(0, 0, 1, 1))
@example(height=15, width=33, resize='stretch', block=(2, 3, 4, 5))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_window_reads_what_the_whole_map_reads_there(
    height: int, width: int, resize: str, block: tuple[int, int, int, int]
) -> None:
    sampler = geometry((height, width), resize).to_image_maps(16, 32)
    y0, x0, y1, x1 = block[0], block[1], min(block[0] + block[2], 16), min(block[1] + block[3], 32)
    cells = np.full((16, 32), -1.0, np.float32)
    cells[y0:y1, x0:x1] = np.random.default_rng(height).uniform(0.5, 2.0, (y1 - y0, x1 - x0))
    whole = sampler.linear(cells)
    top, left, part = sampler.linear_window(cells, (y0, y1), (x0, x1))
    inside = whole[top : top + part.shape[0], left : left + part.shape[1]]
    np.testing.assert_allclose(part, inside, atol=1e-4)
    outside = whole.copy()
    outside[top : top + part.shape[0], left : left + part.shape[1]] = -1
    assert (outside <= 0).all()
