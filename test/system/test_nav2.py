# SPDX-License-Identifier: Apache-2.0
"""The shipped example for nav2: a person who leaves an open road leaves its costmap, too."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

import numpy as np
import yaml
from nav2_rule import Costmap
from node_case import Case
from ros_probe import RosProbe
from sensor_msgs.msg import PointCloud2
from tiny_student import tiny_student

from cast_ros.scene import POINT

HEIGHT, WIDTH, FX, CAMERA_M = 256, 512, 200.0, 1.2
PERSON_M = 1 + 99 * 0.114  # what the tiny student says of blue at twice its focal length, halved by depth_scale
TOPICS = {'/perception/points': 'points', '/perception/points_clearing': 'points_clearing'}


def road(with_person: bool) -> np.ndarray:
    """A plane under the camera in the greys that the tiny student reads as its depth; sky above, and somebody on it."""
    down = (np.arange(HEIGHT) + 0.5 - HEIGHT / 2) / FX
    depth_m = CAMERA_M / np.maximum(down, 1e-3)
    grey = np.clip((depth_m - 1) / 99 * 255, 0, 200).astype(np.uint8)
    rgb = np.repeat(np.repeat(grey[:, None], WIDTH, 1)[..., None], 3, 2)
    rgb[depth_m > 60] = (0, 255, 0)
    if with_person:
        top, bottom = (round(HEIGHT / 2 + FX * (CAMERA_M - up) / PERSON_M) for up in (1.7, 0.0))
        half = round(FX * 0.4 / PERSON_M)
        rgb[top:bottom, WIDTH // 2 - half : WIDTH // 2 + half] = (0, 0, 255)
    return rgb


@pytest.fixture
def wide(probe: RosProbe, case: Case, tmp_path: Path) -> Case:
    model = tiny_student(tmp_path / 'wide.onnx', height=HEIGHT, width=WIDTH)
    case.start(model=str(model), points_left_out=['road', 'sky'], points_stride=4, depth_scale=0.5, score_threshold=0.3)
    info = case.camera_info(fx=FX, width=WIDTH, height=HEIGHT)
    info.k[2], info.k[5], info.p[2], info.p[6] = WIDTH / 2, HEIGHT / 2, WIDTH / 2, HEIGHT / 2
    case.probe.until_state(case.name, 'active')
    case.calibrate(info)
    return case


def clouds_of(case: Case, inboxes: dict[str, list[PointCloud2]], rgb: np.ndarray) -> dict[str, np.ndarray]:
    """What both topics say of one picture, in the frame of the robot: x ahead, y left, z up."""
    answers = case.ask(*inboxes.values(), rgb=rgb)
    clouds = {}
    for topic, message in zip(inboxes, answers, strict=True):
        points = np.frombuffer(message.data, POINT)
        clouds[topic] = np.stack([points['z'], -points['x'], CAMERA_M - points['y']], 1)
    return clouds


def test_a_person_who_left_is_gone_after_two_pictures_and_not_before(wide: Case, project_root: Path) -> None:
    costmap = Costmap(project_root / 'config' / 'nav2_obstacles.yaml', CAMERA_M)
    assert {source['topic'] for source in costmap.sources.values()} == set(TOPICS)
    inboxes = {topic: wide.listen(PointCloud2, name) for topic, name in TOPICS.items()}
    there, gone = (clouds_of(wide, inboxes, road(with_person)) for with_person in (True, False))

    costmap.update(there)
    first = costmap.occupied.copy()
    assert first.sum() >= 4
    # Depth is interpolated over her edges, to the road behind.
    assert np.abs(np.argwhere(first)[:, 0] * 0.1 - PERSON_M).min() < 0.3
    for _ in range(8):
        costmap.update(there)
        assert costmap.occupied[first].all(), 'nobody is lost while she stands'
    costmap.update(gone)
    costmap.update(gone)
    assert costmap.occupied.sum() == 0
    assert len(gone['/perception/points']) == 0, 'the cloud that marks is empty, and would have cleared nothing'


def test_without_the_clearing_source_she_would_stay_for_ever(wide: Case, project_root: Path, tmp_path: Path) -> None:
    """The rule of this test is nav2's: with the cloud of obstacles alone the ghost remains."""
    told = yaml.safe_load((project_root / 'config' / 'nav2_obstacles.yaml').read_text(encoding='utf-8'))
    layer = told['local_costmap']['local_costmap']['ros__parameters']['voxel_layer']
    layer['observation_sources'] = 'marking'
    layer['marking'] |= {'clearing': True, 'raytrace_max_range': 20.0}
    (tmp_path / 'one.yaml').write_text(yaml.safe_dump(told), encoding='utf-8')
    costmap = Costmap(tmp_path / 'one.yaml', CAMERA_M)
    inboxes = {topic: wide.listen(PointCloud2, name) for topic, name in TOPICS.items()}
    costmap.update(clouds_of(wide, inboxes, road(True)))
    before = costmap.occupied.sum()
    gone = clouds_of(wide, inboxes, road(False))
    for _ in range(50):
        costmap.update(gone)
    assert costmap.occupied.sum() == before > 0
