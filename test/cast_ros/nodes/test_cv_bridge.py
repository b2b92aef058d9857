# SPDX-License-Identifier: Apache-2.0
"""Our CvBridge beside the real cv_bridge, wherever that is installed; and the example of the docs."""

from __future__ import annotations

import inspect
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from std_msgs.msg import Header

from cast_ros.errors import ImageError
from cast_ros.nodes.image_codec import CvBridge

PICTURES = ('mono8', 'rgb8', 'bgr8', 'rgba8', 'bgra8')
NUMBERS = ('8UC1', '8UC3', '8UC4', 'mono16', '16UC1', '32FC1')
CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, '8UC3': 3, '8UC4': 4}
DTYPES = {'mono16': np.uint16, '16UC1': np.uint16, '32FC1': np.float32}


@pytest.fixture(scope='module')
def real() -> Any:
    module = pytest.importorskip('cv_bridge', reason='needs the real cv_bridge (ros-*-cv-bridge)', exc_type=ImportError)
    if 'header' not in inspect.signature(module.CvBridge.cv2_to_imgmsg).parameters:
        pytest.skip('the cv_bridge that is installed is one of ROS 1')
    return module.CvBridge()


def noise(encoding: str) -> np.ndarray[Any, Any]:
    shape = (6, 10, CHANNELS[encoding]) if encoding in CHANNELS else (6, 10)
    dtype = DTYPES.get(encoding, np.uint8)
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize('encoding', [*PICTURES, *NUMBERS, 'passthrough'])
def test_an_array_becomes_the_same_message(real: Any, encoding: str) -> None:
    header = Header(frame_id='camera')
    pixels = noise(encoding)
    assert CvBridge().cv2_to_imgmsg(pixels, encoding, header) == real.cv2_to_imgmsg(pixels, encoding, header)


@pytest.mark.parametrize(
    ('encoding', 'desired'),
    [
        *itertools.product(PICTURES, ('passthrough', *PICTURES)),
        *((encoding, 'passthrough') for encoding in NUMBERS),
    ],
)
def test_a_message_becomes_the_same_array(real: Any, encoding: str, desired: str) -> None:
    message = CvBridge().cv2_to_imgmsg(noise(encoding), encoding)
    ours, theirs = CvBridge().imgmsg_to_cv2(message, desired), real.imgmsg_to_cv2(message, desired)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize('encoding', ['mono8', 'bgr8', 'bgra8', '16UC1'])
def test_png_travels_both_ways(real: Any, encoding: str) -> None:
    pixels = noise(encoding)
    for there, back in ((CvBridge(), real), (real, CvBridge())):
        message = there.cv2_to_compressed_imgmsg(pixels, 'png')
        assert message.format == 'png'
        np.testing.assert_array_equal(back.compressed_imgmsg_to_cv2(message), pixels)


@pytest.mark.parametrize(('pixels', 'encoding'), [(noise('bgr8'), 'mono8'), (noise('mono8'), '32FC1')])
def test_what_does_not_fit_is_refused_by_both(real: Any, pixels: np.ndarray[Any, Any], encoding: str) -> None:
    with pytest.raises(TypeError):  # the base of CvBridgeError
        real.cv2_to_imgmsg(pixels, encoding)
    with pytest.raises(ImageError):
        CvBridge().cv2_to_imgmsg(pixels, encoding)


def test_the_example_of_the_docs_runs(project_root: Path) -> None:
    page = (project_root / 'docs' / 'topics.md').read_text(encoding='utf-8')
    (example,) = re.findall(r'^```python\n(.*?)^```', page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, 'docs/topics.md', 'exec'), names)
    assert names['bgr'].shape == (480, 640, 3)
    assert names['message'].encoding == 'bgr8'
