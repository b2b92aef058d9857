# SPDX-License-Identifier: Apache-2.0
"""Sparse metric depth: what no beam hit is unknown, and the camera must be known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_road import FX_PX, HEIGHT, WIDTH, beams, draw_kitti_lidar, write

from cast_train.data import DATASETS, open_dataset
from cast_train.errors import DataError


@pytest.mark.parametrize('calib', [True, False])
def test_depth_is_metres_where_a_beam_came_back_and_unknown_elsewhere(tmp_path: Path, calib: bool) -> None:
    draw_kitti_lidar(tmp_path, calib=calib)
    pictures = open_dataset('kitti_lidar', tmp_path, 'all')
    assert len(pictures) == len(pictures.names) == 2
    assert {*pictures.scenes} == {'drive'}
    sample = pictures[0]
    assert sample.depth_m is not None
    np.testing.assert_array_equal(np.isfinite(sample.depth_m), beams() > 0)
    assert np.nanmin(sample.depth_m) == np.nanmax(sample.depth_m) == 10.0
    assert sample.fx_px == pytest.approx(FX_PX)
    assert sample.semantic is None
    assert sample.instance_ids is None


def test_it_has_no_classes_and_takes_those_of_any_map(tmp_path: Path) -> None:
    draw_kitti_lidar(tmp_path)
    assert DATASETS['kitti_lidar'].classes == ()
    pictures = open_dataset('kitti_lidar', tmp_path, 'all', class_map='road')
    assert len(pictures.classes) == 14
    assert pictures[0].depth_m is not None


@pytest.mark.parametrize(
    ('camera', 'message'),
    [
        ('{', r'camera\.json: needs a JSON object with fx and width in pixels'),
        ('[1]', r'camera\.json: needs a JSON object with fx and width'),
        ('{"fx": 30}', r"camera\.json: needs a JSON object with fx and width in pixels \(KeyError\('width'\)\)"),
        (json.dumps({'fx': 30, 'width': 1242}), r'for pictures of width 1242 with fx 30, this one has 40; write those'),
        (json.dumps({'fx': 0, 'width': WIDTH}), r'with fx 0, this one has 40'),
    ],
)
def test_a_camera_that_cannot_be_right_is_refused(tmp_path: Path, camera: str, message: str) -> None:
    draw_kitti_lidar(tmp_path)
    (tmp_path / 'camera.json').write_text(camera)
    with pytest.raises(DataError, match=message):
        open_dataset('kitti_lidar', tmp_path, 'all')[0]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('P0: 1 2 3', 'needs a line P2'),
        ('P2: 1 2 x', 'needs a line P2'),
        ('P2: 30 0 20', 'P2 has 3 numbers, the first must be fx > 0 of 12; fetch the original'),
        ('nothing', 'needs a line P2'),
    ],
)
def test_a_calibration_that_cannot_be_right_is_refused(tmp_path: Path, text: str, message: str) -> None:
    draw_kitti_lidar(tmp_path, calib=True)
    (tmp_path / 'calib' / '0000000000.txt').write_text(text)
    with pytest.raises(DataError, match=message):
        open_dataset('kitti_lidar', tmp_path, 'all')[0]


def test_broken_trees_say_what_to_do(tmp_path: Path) -> None:
    draw_kitti_lidar(tmp_path)
    with pytest.raises(DataError, match="is one drive and has one split, all, not 'train'"):
        open_dataset('kitti_lidar', tmp_path, 'train')
    write(tmp_path / 'depth' / '0000000000.png', np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(DataError, match=r'0000000000\.png: holds uint8 numbers, needs uint16'):
        open_dataset('kitti_lidar', tmp_path, 'all')[0]
    (tmp_path / 'depth' / '0000000001.png').unlink()
    with pytest.raises(DataError, match=r'depth/0000000001\.png: no such file'):
        open_dataset('kitti_lidar', tmp_path, 'all')
    draw_kitti_lidar(tmp_path)
    (tmp_path / 'camera.json').unlink()
    with pytest.raises(DataError, match=r'calib: no such folder; the root must hold images/, depth/ and camera\.json'):
        open_dataset('kitti_lidar', tmp_path, 'all')
