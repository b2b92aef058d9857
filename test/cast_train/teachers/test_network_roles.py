# SPDX-License-Identifier: Apache-2.0
"""Networks of ours in the roles of foundation models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_run import untrained, untrained_run

from cast_train.errors import TeacherError
from cast_train.teachers.network import NetworkTeacher
from cast_train.teachers.network_roles import NetworkDepth, NetworkSegments, NetworkSegmentsSettings
from cast_train.teachers.registry import open_teacher

PICTURE = np.kron(np.random.default_rng(0).integers(0, 255, (5, 6, 3), np.uint8), np.ones((20, 25, 1), np.uint8))


def test_segments_are_the_masks_of_all_queries_that_found_anything(tmp_path: Path) -> None:
    network, contract = untrained(tmp_path)

    def segments(**settings: float) -> int:
        chosen = NetworkSegmentsSettings(checkpoint=tmp_path, **settings)  # type: ignore[arg-type]
        (answer,) = NetworkSegments(network, contract, chosen).label([PICTURE], [None])
        assert answer.segments is not None
        assert (answer.segments.height, answer.segments.width) == (100, 150)
        assert len(answer.labels) == 0
        return len(answer.segments)

    assert segments(score=0.0, smallest_px=1) >= segments(score=0.0, smallest_px=2000)
    assert segments(score=0.0, smallest_px=1) > 0
    assert segments(score=1.0, smallest_px=1) == 0


def test_depth_is_that_of_the_network_and_nothing_else(tmp_path: Path) -> None:
    network, contract = untrained(tmp_path)
    teacher = NetworkTeacher(network, contract)
    (whole,), (depth,) = teacher.label([PICTURE], [90.0]), NetworkDepth(teacher).label([PICTURE], [90.0])
    assert whole.depth_m is not None
    assert depth.depth_m is not None
    assert np.array_equal(whole.depth_m, depth.depth_m, equal_nan=True)
    assert depth.semantic is None
    assert len(depth.labels) == 0
    assert NetworkDepth(teacher).fingerprint != teacher.fingerprint


def test_a_network_can_be_asked_at_another_size_than_it_exports_for(tmp_path: Path) -> None:
    run = untrained_run(tmp_path, tmp_path / 'run')
    own = open_teacher('network_depth', {'checkpoint': str(run)}, ())
    other = open_teacher('network_depth', {'checkpoint': str(run), 'input': [32, 64]}, ())
    assert own.fingerprint != other.fingerprint
    (answer,) = other.label([PICTURE], [None])
    assert answer.depth_m is not None
    assert answer.depth_m.shape == (100, 150)


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    for kind in ('network_segments', 'network_depth'):
        with pytest.raises(TeacherError, match=r'nowhere: no such run'):
            open_teacher(kind, {'checkpoint': str(tmp_path / 'nowhere')}, ())
