# SPDX-License-Identifier: Apache-2.0
"""A network of ours as a teacher: it says what the network says as a student."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import untrained, untrained_run

from cast_train.errors import TeacherError
from cast_train.models.graph import TorchStudent
from cast_train.teachers.network import NetworkSettings, NetworkTeacher
from cast_train.teachers.teacher import TeacherAsStudent


def pictures(count: int, height: int = 100, width: int = 150) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (count, 5, 6, 3), np.uint8)
    return [np.kron(one, np.ones((height // 5, width // 6, 1), np.uint8)) for one in coarse]


@pytest.mark.parametrize('resize', ['stretch', 'letterbox'])
def test_a_teacher_answers_as_the_same_network_does_as_a_student(tmp_path: Path, resize: str) -> None:
    network, contract = untrained(tmp_path, resize=resize)
    teacher = TeacherAsStudent(NetworkTeacher(network, contract), contract)
    student = TorchStudent(network, contract)
    (picture,) = pictures(1)
    one, other = teacher.predict(picture, 80.0), student.predict(picture, 80.0)
    assert one.semantic is not None
    assert np.array_equal(one.semantic, other.semantic)
    assert one.depth is not None
    assert np.allclose(one.depth, other.depth, equal_nan=True)
    assert one.instance_ids is not None
    assert other.instance_ids is not None
    # Masks travel as bytes, and those of a padded picture on another grid: single pixels of an edge may differ.
    assert ((one.instance_ids > 0) == (other.instance_ids > 0)).mean() > 0.97


def test_pictures_of_different_sizes_share_a_batch_without_influence_on_each_other(tmp_path: Path) -> None:
    network, contract = untrained(tmp_path)
    teacher = NetworkTeacher(network, contract)
    images = [*pictures(1), *pictures(1, 50, 60)]
    together = teacher.label(images, [70.0, None])
    assert [(one.height, one.width) for one in together] == [(100, 150), (50, 60)]
    for image, fx, one in zip(images, [70.0, None], together, strict=True):
        (alone,) = teacher.label([image], [fx])
        assert np.allclose(alone.scores, one.scores, atol=1e-5)
        assert alone.depth_m is not None
        assert np.allclose(alone.depth_m, one.depth_m, rtol=1e-4, equal_nan=True)


def test_depth_is_metric_for_the_camera_of_each_picture(tmp_path: Path) -> None:
    network, contract = untrained(tmp_path)
    teacher = NetworkTeacher(network, contract)
    near, far = teacher.label(pictures(1) * 2, [100.0, 130.0])
    assert near.depth_m is not None
    assert far.depth_m is not None
    both = np.isfinite(near.depth_m) & np.isfinite(far.depth_m)
    assert both.any()
    assert np.allclose(far.depth_m[both] / near.depth_m[both], 1.3, rtol=1e-4)


def test_the_fingerprint_follows_weights_and_settings_but_not_the_path(tmp_path: Path) -> None:
    network, contract = untrained(tmp_path)
    first = NetworkTeacher(network, contract).fingerprint
    run = untrained_run(tmp_path, tmp_path / 'run')
    one = NetworkTeacher.open(NetworkSettings(checkpoint=run))
    other = NetworkTeacher.open(NetworkSettings(checkpoint=run / 'last.pt'))
    assert one.fingerprint == other.fingerprint
    assert one.parameters_m == pytest.approx(0.645, abs=0.1)
    assert NetworkTeacher(network, contract, score_floor=0.1).fingerprint != first
    with torch.no_grad():
        network.decoder.classify.bias[0] += 1e-6
    assert NetworkTeacher(network, contract).fingerprint != first


def test_a_floor_drops_detections(tmp_path: Path) -> None:
    network, contract = untrained(tmp_path)
    (everything,) = NetworkTeacher(network, contract).label(pictures(1), [None])
    floor = float(np.median(everything.scores))
    (some,) = NetworkTeacher(network, contract, floor).label(pictures(1), [None])
    assert 0 < len(some.scores) < len(everything.scores)
    assert some.scores.min() >= floor
    assert len(some.soft_masks) == len(some.labels) == len(some.scores)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r'nowhere: no such run.*last\.pt'):
        NetworkTeacher.open(NetworkSettings(checkpoint=tmp_path / 'nowhere'))
