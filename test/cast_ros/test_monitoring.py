# SPDX-License-Identifier: Apache-2.0
"""The domain-shift monitor: when it speaks, when it stops, and what it says of rendered days and nights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cast_ros.monitoring import FEATURES, DomainShiftMonitor, Level, ShiftLimits, appearance_of, entropy_of, measured
from cast_ros.student import InputStatistics, LoadOptions, Student
from cast_ros.student.contract import APPEARANCE_FEATURES

RATE_HZ = 10


def statistics_of(pictures: list[np.ndarray], **more: float) -> InputStatistics:
    return InputStatistics(
        luminance_mean=0.5,
        luminance_std=0.1,
        luminance_histogram=(1 / 16,) * 16,
        appearance=measured(np.stack([appearance_of(picture) for picture in pictures])),
        **more,
    )


def pictures(grey: float, count: int, seed: int = 0) -> list[np.ndarray]:
    """Rough pictures around a mean grey."""
    rng = np.random.default_rng(seed)
    return [
        np.clip(
            cv2.resize(rng.normal(grey + rng.normal(0, 5), 40, (8, 16, 3)).astype(np.float32), (64, 32)), 0, 255
        ).astype(np.uint8)
        for _ in range(count)
    ]


def test_features_are_what_their_names_say() -> None:
    picture = np.zeros((90, 160, 3), np.uint8)
    picture[:30], picture[60:] = (255, 0, 0), (0, 0, 255)
    found = dict(zip(FEATURES, appearance_of(picture), strict=True))
    assert found['luminance of the upper third'] == pytest.approx(0.299, abs=0.01)
    assert found['luminance of the lower third'] == pytest.approx(0.114, abs=0.01)
    assert found['luminance'] == pytest.approx((0.299 + 0.114) / 3, abs=0.01)
    assert found['luminance, percentile 5'] == pytest.approx(0.0, abs=0.01)
    assert found['luminance, percentile 95'] == pytest.approx(0.299, abs=0.01)
    assert found['colourfulness'] == pytest.approx(2 / 3, abs=0.03)
    assert found['log red / blue'] == pytest.approx(0.0, abs=0.03)


def test_the_contract_has_room_for_every_feature() -> None:
    assert len(FEATURES) == len(appearance_of(np.zeros((4, 8, 3), np.uint8))) == APPEARANCE_FEATURES


def test_features_hardly_depend_on_the_resolution() -> None:
    large = cv2.resize(pictures(120, 1)[0], (1280, 720), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(large, (320, 180), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(appearance_of(large), appearance_of(small), atol=0.02)
    assert np.isfinite(appearance_of(np.zeros((1, 1, 3), np.uint8))).all()


def test_pictures_like_those_of_training_are_near_and_others_far() -> None:
    monitor = DomainShiftMonitor(statistics_of(pictures(120, 60)))
    for number, picture in enumerate(pictures(120, 50, seed=1)):
        assert monitor.update(picture, None, number / RATE_HZ).level is Level.OK
    assert monitor.latest.distance < 1
    for number, picture in enumerate(pictures(20, 30, seed=2), 50):
        shift = monitor.update(picture, None, number / RATE_HZ)
    assert shift.level is Level.ERROR
    assert shift.reason.startswith('pictures differ from training: ')


def test_one_strange_picture_is_no_alarm() -> None:
    monitor = DomainShiftMonitor(statistics_of(pictures(120, 60)), ShiftLimits(warn=1.5, window_s=2.0))
    levels = []
    for number, picture in enumerate(pictures(120, 60, seed=1)):
        one = np.minimum(picture, 90) if number == 40 else picture
        levels.append(monitor.update(one, None, number / RATE_HZ).level)
    assert set(levels) == {Level.OK}


def test_a_level_is_left_only_well_below_its_limit() -> None:
    monitor = DomainShiftMonitor(statistics_of(pictures(120, 60)), ShiftLimits(warn=1.0, error=2.0))
    assert [int(monitor._level(distance)) for distance in (0.95, 0.99)] == [0, 0]
    monitor.latest = monitor.latest.__class__(level=Level.WARN)
    assert [int(monitor._level(distance)) for distance in (0.95, 0.89, 1.9, 2.0)] == [1, 0, 1, 2]
    monitor.latest = monitor.latest.__class__(level=Level.ERROR)
    assert [int(monitor._level(distance)) for distance in (1.9, 1.7, 0.5)] == [2, 1, 0]


def test_undecided_scores_warn_without_any_change_of_light() -> None:
    statistics = statistics_of(pictures(120, 60), entropy_mean=0.2, entropy_std=0.05, detections_per_frame=2.0)
    monitor = DomainShiftMonitor(statistics)
    decided, undecided = np.array([0.95, 0.96, 0.05]), np.array([0.5, 0.45, 0.55])
    assert monitor.update(pictures(120, 1)[0], decided, 0.0).level is Level.OK
    assert monitor.latest.detections == 2.0
    for number, picture in enumerate(pictures(120, 200, seed=3), 1):
        shift = monitor.update(picture, undecided, number / RATE_HZ)
    assert shift.level is Level.WARN
    assert shift.reason == 'scores are less decided than in training'
    assert shift.entropy is not None
    assert shift.entropy > 3


def test_entropy_is_zero_for_sure_scores_and_ln_2_for_a_coin() -> None:
    assert entropy_of(np.array([0.0, 1.0])) == pytest.approx(0.0, abs=1e-4)
    assert entropy_of(np.array([0.5])) == pytest.approx(np.log(2))
    assert entropy_of(np.array([])) is None


def test_without_statistics_of_appearance_there_is_nothing_to_say() -> None:
    bare = InputStatistics(luminance_mean=0.5, luminance_std=0.1, luminance_histogram=(1 / 16,) * 16)
    monitor = DomainShiftMonitor(bare)
    assert monitor.update(np.zeros((4, 8, 3), np.uint8), None, 0.0).level is Level.OK


def test_equal_training_pictures_do_not_divide_by_zero() -> None:
    monitor = DomainShiftMonitor(statistics_of([np.full((4, 8, 3), 9, np.uint8)] * 3))
    assert monitor.update(np.full((4, 8, 3), 9, np.uint8), None, 0.0).level is Level.OK
    assert monitor.update(np.full((4, 8, 3), 200, np.uint8), None, 1.0).level is Level.ERROR


@pytest.mark.parametrize('domain', ['day', 'night'])
def test_rendered_days_are_fine_and_nights_are_noticed_within_two_seconds(
    shared_data: Path, project_root: Path, domain: str
) -> None:
    files = sorted((shared_data / 'streets' / 'leftImg8bit' / 'val').rglob('*.jpg'))
    frames = [path for path in files if domain in path.parts]
    assert len(frames) > 40, 'the benchmark names its pictures otherwise'
    with Student.load(project_root / 'models' / 'streets-small.onnx', LoadOptions(threads=1)) as student:
        statistics = student.contract.input_statistics
        assert statistics is not None
        monitor = DomainShiftMonitor(statistics)
        levels = []
        for number, path in enumerate(frames):
            rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            student.predict(rgb, heads=('instances',))
            levels.append(monitor.update(rgb, student.last_scores, number / RATE_HZ).level)
    if domain == 'day':
        assert levels.count(Level.OK) >= 0.95 * len(levels)
    else:
        assert min(levels[2 * RATE_HZ :]) >= Level.WARN
