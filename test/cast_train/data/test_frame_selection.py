# SPDX-License-Identifier: Apache-2.0
"""The filters, one by one and together."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_bags import START_NS, STEP_NS, Rgb, drive, view

from cast_train.data.frame_selection import Measurement, Selection, SelectionRules, measure, select

ALL = SelectionRules(blur_below=0, bright_above=1, dark_above=1, duplicate_below=0)


def chosen(shots: list[tuple[int, Rgb]], rules: SelectionRules) -> Selection:
    return select([measure(rgb, stamp) for stamp, rgb in shots], rules)


def stamped(*stamps: int) -> list[Measurement]:
    return [Measurement(stamp, 1.0, 0.0, 0.0, np.zeros((24, 32), np.uint8)) for stamp in stamps]


def blurred(rgb: Rgb) -> Rgb:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 2), np.uint8)


def test_sharpness_falls_with_blur_and_not_with_contrast() -> None:
    rgb = cv2.resize(view(3), (256, 192), interpolation=cv2.INTER_NEAREST)
    sharp = measure(rgb, 0).sharpness
    night = measure((rgb // 8).astype(np.uint8), 0).sharpness
    assert night == pytest.approx(sharp, rel=0.1)
    assert measure(blurred(rgb), 0).sharpness < 0.3 * sharp


def test_sharpness_is_measured_at_640_pixels() -> None:
    rgb = cv2.resize(view(3), (640, 480), interpolation=cv2.INTER_NEAREST)
    large = rgb.repeat(2, 0).repeat(2, 1)
    assert measure(large, 0).sharpness == pytest.approx(measure(rgb, 0).sharpness, rel=1e-6)


@pytest.mark.parametrize('value', [0, 128, 255])
def test_a_picture_of_one_colour_has_no_sharpness(value: int) -> None:
    found = measure(np.full((1, 1, 3), value, np.uint8), 5)
    assert (found.sharpness, found.stamp_ns) == (0.0, 5)
    assert (found.bright, found.dark) == (float(value == 255), float(value == 0))


def test_a_good_drive_is_kept_whole() -> None:
    found = chosen(drive(20), SelectionRules())
    assert found.kept == list(range(20))
    assert found.clock_ns == [index * STEP_NS for index in range(20)]
    assert set(found.dropped.values()) == {0}


def test_a_blurred_frame_among_sharp_ones_is_dropped() -> None:
    shots = drive(9)
    shots[4] = (shots[4][0], blurred(shots[4][1]))
    found = chosen(shots, SelectionRules())
    assert 4 not in found.kept
    assert len(found.kept) == 8
    assert found.dropped['blurred'] == 1


def test_a_recording_that_is_soft_throughout_is_kept() -> None:
    shots = [(stamp, blurred(rgb)) for stamp, rgb in drive(9)]
    assert len(chosen(shots, SelectionRules()).kept) == 9


def test_a_night_of_low_contrast_is_kept_beside_a_day() -> None:
    day, night = drive(60), [(stamp + 60 * STEP_NS, (rgb // 6).astype(np.uint8)) for stamp, rgb in drive(60)]
    found = chosen(day + night, SelectionRules())
    assert len(found.kept) == 120


def test_over_and_under_exposed_frames_are_counted_apart_and_are_no_yardstick() -> None:
    shots = drive(5) + [(START_NS + index * STEP_NS, np.full((48, 64, 3), 255, np.uint8)) for index in range(5, 20)]
    shots.append((START_NS + 20 * STEP_NS, np.zeros((48, 64, 3), np.uint8)))
    found = chosen(shots, SelectionRules())
    assert found.kept == [0, 1, 2, 3, 4]
    assert (found.dropped['over_exposed'], found.dropped['under_exposed'], found.dropped['blurred']) == (15, 1, 0)


def test_a_standing_robot_yields_one_frame_and_its_clock_stands() -> None:
    rng = np.random.default_rng(1)
    shots = drive(3)
    large = view(3).repeat(4, 0).repeat(4, 1)
    for index in range(3, 40):
        noisy = large + rng.normal(0, 4, large.shape)
        shots.append((START_NS + index * STEP_NS, np.clip(noisy, 0, 255).astype(np.uint8)))
    shots += [(START_NS + (40 + index) * STEP_NS, view(4 + index)) for index in range(2)]
    found = chosen(shots, SelectionRules())
    assert found.kept == [0, 1, 2, 3, 40, 41]
    assert found.dropped['near_duplicate'] == 36
    assert [stamp // STEP_NS for stamp in found.clock_ns] == [0, 1, 2, 3, 4, 5]


def test_creeping_is_compared_with_the_last_kept_frame_and_not_with_the_one_before() -> None:
    wall = np.tile(np.linspace(40, 200, 32, dtype=np.uint8)[None, :, None], (24, 1, 3))
    shots = [(index, (wall + index).astype(np.uint8)) for index in range(7)]
    assert chosen(shots, ALL.model_copy(update={'duplicate_below': 2.5})).kept == [0, 3, 6]


def test_a_pause_of_the_recording_counts_as_one_second() -> None:
    shots = [*drive(2), (START_NS + 3600 * 1_000_000_000, view(9))]
    assert chosen(shots, SelectionRules()).clock_ns == [0, STEP_NS, STEP_NS + 1_000_000_000]


@pytest.mark.parametrize(
    ('stamps', 'kept'),
    [
        ([1, 2, 3, 2, 3, 4, 5], 5),
        ([1, 2, 99, 3, 4], 4),
        ([5, 5, 5], 1),
        ([9, 8, 7], 1),
        ([], 0),
        ([1, 2, 3, 1, 2, 3], 3),
    ],
)
def test_stamps_ascend_and_as_few_frames_as_possible_go(stamps: list[int], kept: int) -> None:
    found = select(stamped(*stamps), ALL)
    left = [stamps[index] for index in found.kept]
    assert left == sorted(set(left))
    assert len(left) == kept
    assert found.dropped['stamp_not_later'] == len(stamps) - kept


def test_one_stamp_from_the_future_costs_no_other_frame() -> None:
    assert select(stamped(1, 2, 99, 3, 4), ALL).kept == [0, 1, 3, 4]


@pytest.mark.parametrize(('rate_hz', 'kept'), [(10.0, 30), (5.0, 15), (100.0, 30), (0.1, 1)])
def test_the_rate_is_kept_in_spite_of_jitter(rate_hz: float, kept: int) -> None:
    rng = np.random.default_rng(2)
    stamps = [START_NS + index * STEP_NS + int(rng.integers(-9, 9) * 1_000_000) for index in range(30)]
    found = select(stamped(*stamps), ALL.model_copy(update={'rate_hz': rate_hz}))
    assert abs(len(found.kept) - kept) <= 1
    assert found.dropped['rate'] == 30 - len(found.kept)


def test_the_limit_takes_the_first_frames() -> None:
    found = select(stamped(*range(10)), ALL.model_copy(update={'limit': 4}))
    assert found.kept == [0, 1, 2, 3]
    assert found.dropped['limit'] == 6
