# SPDX-License-Identifier: Apache-2.0
"""What the node tells about itself: rates, latencies, drops by reason, and one level that sums it up."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

RATE_WINDOW_S = 5.0
TROUBLE_WINDOW_S = 10.0
_LATENCY_SAMPLES = 200

SUPERSEDED = 'superseded'
TOO_OLD = 'too old'
MALFORMED = 'malformed'
FAILED = 'inference failed'
DROP_REASONS = (SUPERSEDED, TOO_OLD, MALFORMED, FAILED)


@dataclass(frozen=True)
class Snapshot:
    """The numbers at one moment. Latencies map a name to percentiles 50, 95 and 99; empty before any answer.

    Malformed pictures are counted by the field of the message that is wrong; the last one is there in words.
    """

    received: int
    answered: int
    idle: int
    drops: dict[str, int]
    received_hz: float
    answered_hz: float
    seconds_since_frame: float | None
    latency_ms: dict[str, tuple[float, float, float]]
    recent_trouble: tuple[str, ...] = ()
    malformed: dict[str, int] = field(default_factory=dict)
    last_malformed: str = ''


class FrameStatistics:
    """Counts frames and times them; every method may be called from any thread."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._received = 0
        self._answered = 0
        self._idle = 0
        self._drops: Counter[str] = Counter(dict.fromkeys(DROP_REASONS, 0))
        self._last_drop_s: dict[str, float] = {}
        self._malformed: Counter[str] = Counter()
        self._last_malformed = ''
        self._last_frame_s: float | None = None
        self._arrivals_s: deque[float] = deque(maxlen=1000)
        self._answers_s: deque[float] = deque(maxlen=1000)
        self._latency_ms: dict[str, deque[float]] = {}

    def frame_received(self) -> None:
        """A picture arrived, good or bad."""
        with self._lock:
            self._received += 1
            self._last_frame_s = self._now_s()
            self._arrivals_s.append(self._last_frame_s)

    def frame_idle(self) -> None:
        """A picture was left alone, since nobody listens to any output."""
        with self._lock:
            self._idle += 1

    def frame_dropped(self, reason: str) -> None:
        """A picture was lost for one of DROP_REASONS."""
        with self._lock:
            self._drops[reason] += 1
            self._last_drop_s[reason] = self._now_s()

    def frame_malformed(self, wrong_field: str, sentence: str) -> None:
        """A picture was refused: which field of its message is wrong, and how."""
        self.frame_dropped(MALFORMED)
        with self._lock:
            self._malformed[wrong_field] += 1
            self._last_malformed = sentence

    def frame_answered(self, **latency_ms: float) -> None:
        """A picture was answered; each named latency, in milliseconds, joins its percentiles."""
        with self._lock:
            self._answered += 1
            self._answers_s.append(self._now_s())
            for name, value in latency_ms.items():
                self._latency_ms.setdefault(name, deque(maxlen=_LATENCY_SAMPLES)).append(value)

    def snapshot(self) -> Snapshot:
        """Everything counted so far."""
        with self._lock:
            now_s = self._now_s()
            return Snapshot(
                received=self._received,
                answered=self._answered,
                idle=self._idle,
                drops=dict(self._drops),
                received_hz=_rate_hz(self._arrivals_s, now_s),
                answered_hz=_rate_hz(self._answers_s, now_s),
                seconds_since_frame=None if self._last_frame_s is None else now_s - self._last_frame_s,
                latency_ms={name: _percentiles(values) for name, values in self._latency_ms.items()},
                recent_trouble=tuple(
                    reason
                    for reason, when_s in self._last_drop_s.items()
                    if reason != SUPERSEDED and now_s - when_s < TROUBLE_WINDOW_S
                ),
                malformed=dict(self._malformed),
                last_malformed=self._last_malformed,
            )


def _rate_hz(times_s: deque[float], now_s: float) -> float:
    recent = [when_s for when_s in times_s if now_s - when_s <= RATE_WINDOW_S]
    return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0


def _percentiles(values: deque[float]) -> tuple[float, float, float]:
    p50, p95, p99 = np.percentile(np.asarray(values), (50, 95, 99))
    return float(p50), float(p95), float(p99)


@dataclass(frozen=True)
class Condition:
    """What the node knows about itself apart from the frames.

    Attributes:
        state: lifecycle state.
        failure: what went wrong in the last transition, '' if nothing.
        waiting: why no picture has come for too long, '' if pictures come.
        warnings: anything else that a person should know (a provider fell back, calibration is missing).
        facts: key and value, as they are shown.
    """

    state: str
    failure: str = ''
    waiting: str = ''
    warnings: tuple[str, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)


def judge(condition: Condition, snapshot: Snapshot) -> tuple[bytes, str]:
    """Level and one line: ERROR if a transition failed, STALE without pictures, WARN if pictures are bad, else OK."""
    if condition.failure:
        return DiagnosticStatus.ERROR, condition.failure
    if condition.state != 'active':
        return DiagnosticStatus.OK, f'{condition.state}: no picture is processed'
    if condition.waiting:
        return DiagnosticStatus.STALE, condition.waiting
    if FAILED in snapshot.recent_trouble:
        return DiagnosticStatus.ERROR, f'{snapshot.drops[FAILED]} pictures could not be processed, see the log'
    warnings = list(condition.warnings)
    if MALFORMED in snapshot.recent_trouble:
        warnings.append(f'{snapshot.drops[MALFORMED]} malformed pictures were refused, see the log')
    if TOO_OLD in snapshot.recent_trouble:
        warnings.append(f'{snapshot.drops[TOO_OLD]} pictures were older than max_age_s')
    if warnings:
        return DiagnosticStatus.WARN, '; '.join(warnings)
    if snapshot.received and not snapshot.answered:
        return DiagnosticStatus.OK, 'pictures arrive; no output has a subscriber yet'
    return DiagnosticStatus.OK, f'{snapshot.answered_hz:.1f} Hz'


def diagnostic_array(stamp: Time, node_name: str, condition: Condition, snapshot: Snapshot) -> DiagnosticArray:
    """The message for /diagnostics, with one status."""
    level, message = judge(condition, snapshot)
    values = {
        'state': condition.state,
        **condition.facts,
        'received_hz': f'{snapshot.received_hz:.2f}',
        'answered_hz': f'{snapshot.answered_hz:.2f}',
        'frames received': str(snapshot.received),
        'frames answered': str(snapshot.answered),
        'frames idle (no subscriber)': str(snapshot.idle),
        **{f'frames dropped: {reason}': str(count) for reason, count in snapshot.drops.items()},
        **{f'malformed: {wrong}': str(count) for wrong, count in sorted(snapshot.malformed.items())},
    }
    if snapshot.last_malformed:
        values['last malformed picture'] = snapshot.last_malformed
    for name, (p50, p95, p99) in snapshot.latency_ms.items():
        values |= {f'{name} p50': f'{p50:.2f}', f'{name} p95': f'{p95:.2f}', f'{name} p99': f'{p99:.2f}'}
    status = DiagnosticStatus(
        level=level,
        name=f'{node_name.lstrip("/")}: perception',
        message=message,
        hardware_id=condition.facts.get('provider', ''),
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array
