# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from cast_ros.nodes.diagnostics import (
    FAILED,
    MALFORMED,
    SUPERSEDED,
    TOO_OLD,
    TROUBLE_WINDOW_S,
    Condition,
    FrameStatistics,
    diagnostic_array,
    judge,
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def statistics(clock: Clock) -> FrameStatistics:
    return FrameStatistics(clock)


def test_nothing_has_happened_yet(statistics: FrameStatistics) -> None:
    snapshot = statistics.snapshot()
    assert (snapshot.received, snapshot.answered, snapshot.received_hz) == (0, 0, 0.0)
    assert snapshot.seconds_since_frame is None
    assert snapshot.latency_ms == {}
    assert snapshot.drops == {SUPERSEDED: 0, TOO_OLD: 0, MALFORMED: 0, FAILED: 0}


def test_rates_look_back_five_seconds_and_percentiles_at_the_last_answers(
    statistics: FrameStatistics, clock: Clock
) -> None:
    for number in range(101):
        statistics.frame_received()
        if number % 2 == 0:
            statistics.frame_answered(inference_ms=float(number))
        clock.now_s += 0.1
    snapshot = statistics.snapshot()
    assert snapshot.received == 101
    assert snapshot.received_hz == pytest.approx(10.0)
    assert snapshot.answered_hz == pytest.approx(5.0)
    assert snapshot.seconds_since_frame == pytest.approx(0.1)
    assert snapshot.latency_ms['inference_ms'] == pytest.approx((50.0, 95.0, 99.0))
    clock.now_s += 60
    assert statistics.snapshot().received_hz == 0.0


def test_trouble_is_recent_for_ten_seconds_and_superseded_frames_are_no_trouble(
    statistics: FrameStatistics, clock: Clock
) -> None:
    statistics.frame_dropped(SUPERSEDED)
    statistics.frame_dropped(MALFORMED)
    assert statistics.snapshot().recent_trouble == (MALFORMED,)
    clock.now_s += TROUBLE_WINDOW_S
    snapshot = statistics.snapshot()
    assert snapshot.recent_trouble == ()
    assert snapshot.drops == {SUPERSEDED: 1, TOO_OLD: 0, MALFORMED: 1, FAILED: 0}


@pytest.mark.parametrize(
    ('condition', 'drop', 'level', 'part'),
    [
        (Condition('active'), None, DiagnosticStatus.OK, '0.0 Hz'),
        (Condition('active'), SUPERSEDED, DiagnosticStatus.OK, 'Hz'),
        (Condition('inactive'), MALFORMED, DiagnosticStatus.OK, 'inactive'),
        (Condition('active'), MALFORMED, DiagnosticStatus.WARN, '1 malformed'),
        (Condition('active', warnings=('a', 'b')), None, DiagnosticStatus.WARN, 'a; b'),
        (Condition('active'), FAILED, DiagnosticStatus.ERROR, '1 pictures could not be processed'),
        (Condition('active', waiting='waiting for /image'), MALFORMED, DiagnosticStatus.STALE, 'waiting for /image'),
        (Condition('unconfigured', failure='no model'), None, DiagnosticStatus.ERROR, 'no model'),
    ],
)
def test_the_level_sums_up_the_worst(
    statistics: FrameStatistics, condition: Condition, drop: str | None, level: bytes, part: str
) -> None:
    if drop is not None:
        statistics.frame_dropped(drop)
    judged, message = judge(condition, statistics.snapshot())
    assert judged == level
    assert part in message


def test_the_message_names_node_provider_and_every_number(statistics: FrameStatistics) -> None:
    statistics.frame_received()
    statistics.frame_answered(age_ms=12.0)
    condition = Condition('active', facts={'provider': 'CPUExecutionProvider'})
    array = diagnostic_array(Time(sec=5), '/front/perception', condition, statistics.snapshot())
    assert array.header.stamp.sec == 5
    (status,) = array.status
    assert status.name == 'front/perception: perception'
    assert status.hardware_id == 'CPUExecutionProvider'
    values = {entry.key: entry.value for entry in status.values}
    assert values['age_ms p95'] == '12.00'
    assert values['frames answered'] == '1'
    assert values['frames dropped: superseded'] == '0'


def test_malformed_pictures_are_counted_by_field_and_the_last_one_is_quoted(statistics: FrameStatistics) -> None:
    for field in ('step', 'data', 'step'):
        statistics.frame_malformed(field, f'{field} is wrong')
    array = diagnostic_array(Time(), '/perception', Condition('active'), statistics.snapshot())
    values = {entry.key: entry.value for entry in array.status[0].values}
    assert (values['malformed: step'], values['malformed: data']) == ('2', '1')
    assert values['frames dropped: malformed'] == '3'
    assert values['last malformed picture'] == 'step is wrong'
