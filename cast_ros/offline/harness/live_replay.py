# SPDX-License-Identifier: Apache-2.0
"""A bag through DDS into the real node at a rate: what a robot would get of it, and how much it could take.

Names and definitions of the figures are those of ros2_benchmark. The player waits for nobody: a picture that finds the
node at work is answered later, or superseded by the next one and missed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cast_ros.errors import BagError, HarnessError
from cast_ros.images.camera_info import Rectified
from cast_ros.offline.bags import BagReader
from cast_ros.offline.bags.ground_truth_topics import LABEL_TOPICS
from cast_ros.offline.bags.messages import stamp_ns
from cast_ros.offline.bags.pictures import find_camera_info_topic, find_picture_topic
from cast_ros.offline.harness.bag_player import BagPlayer, Played
from cast_ros.offline.harness.recorder import MAPS, NodeReport, Recorder
from cast_ros.offline.harness.stand import Stand, stand
from cast_ros.student import LoadOptions, Student
from cast_ros.student.providers import DEFAULT_OPTIONS

STRAGGLERS_WITHIN_S = 2.0
# Of ros2_benchmark: a rate holds while fewer pictures than this are missed.
MOST_MISSED = 0.05
# A search for the peak plays so much of the bag at a rate, and ends when it knows the rate to a tenth.
PROBE_S, PRECISION, FASTEST, SLOWEST = 8.0, 1.1, 64.0, 1 / 16
_SLICE_S = 0.005


@dataclass(frozen=True)
class LiveFigures:
    """What came back; milliseconds and Hz, None where fewer than two answers came.

    Attributes:
        rate: speed of the bag, 1 as recorded.
        sent: pictures.
        num_missed_frames: of those, without an answer.
        sent_frame_rate: how fast they were really sent.
        mean_frame_rate: of the answers.
        first_sent_received_latency: of the first picture that was answered, from publishing it to the last of its
            answers.
        last_sent_received_latency: of the last one.
        mean_sent_received_latency, p95_sent_received_latency: over all.
        max_jitter, mean_jitter, std_dev_jitter: by how much the time between two answers differs from the mean.
    """

    rate: float
    sent: int
    num_missed_frames: int
    sent_frame_rate: float | None
    mean_frame_rate: float | None
    first_sent_received_latency: float | None
    last_sent_received_latency: float | None
    mean_sent_received_latency: float | None
    p95_sent_received_latency: float | None
    max_jitter: float | None
    mean_jitter: float | None
    std_dev_jitter: float | None

    @property
    def missed_share(self) -> float:
        """Of the pictures that were sent."""
        return self.num_missed_frames / self.sent if self.sent else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def figures_of(rate: float, sent_s: dict[int, float], complete_s: dict[int, float]) -> LiveFigures:
    """From the times at which pictures went out and their last answers came, by stamp, on one clock."""
    answered = [stamp for stamp in sent_s if stamp in complete_s]
    latency_ms = [(complete_s[stamp] - sent_s[stamp]) * 1e3 for stamp in answered]
    arrivals_s = np.sort([complete_s[stamp] for stamp in answered])
    gaps_ms = np.diff(arrivals_s) * 1e3
    jitter_ms = np.abs(gaps_ms - gaps_ms.mean()) if len(gaps_ms) else gaps_ms
    several = len(gaps_ms) > 0
    return LiveFigures(
        rate=rate,
        sent=len(sent_s),
        num_missed_frames=len(sent_s) - len(answered),
        sent_frame_rate=_rate_hz(np.sort(list(sent_s.values()))),
        mean_frame_rate=_rate_hz(arrivals_s),
        first_sent_received_latency=latency_ms[0] if latency_ms else None,
        last_sent_received_latency=latency_ms[-1] if latency_ms else None,
        mean_sent_received_latency=float(np.mean(latency_ms)) if latency_ms else None,
        p95_sent_received_latency=float(np.percentile(latency_ms, 95)) if latency_ms else None,
        max_jitter=float(jitter_ms.max()) if several else None,
        mean_jitter=float(jitter_ms.mean()) if several else None,
        std_dev_jitter=float(jitter_ms.std()) if several else None,
    )


def _rate_hz(times_s: np.ndarray[Any, Any]) -> float | None:
    return float((len(times_s) - 1) / (times_s[-1] - times_s[0])) if len(times_s) > 1 else None


@dataclass(frozen=True)
class LiveOptions:
    """What to play into what.

    Attributes:
        bag: MCAP or sqlite3.
        model: the student.
        topic: of the pictures; None takes the only one.
        camera_info_topic: None takes the one beside them.
        log_path: what the node prints.
        score_threshold: of the node.
        load: how the node loads it.
        rectified: of the node.
    """

    bag: Path
    model: Path
    log_path: Path
    topic: str | None = None
    camera_info_topic: str | None = None
    score_threshold: float = 0.5
    load: LoadOptions = DEFAULT_OPTIONS
    rectified: Rectified = 'auto'


def live_replay(options: LiveOptions, rate: float = 1.0) -> LiveFigures:
    """Play the whole bag once.

    Raises:
        HarnessError: the bag cannot be played to a node, or the node does not start, or dies.
        BagError, StudentError: bag or student cannot be used.
    """
    with _stage(options) as stage:
        return stage.play(rate, math.inf)


def find_peak(options: LiveOptions, said: Callable[[LiveFigures], None] = lambda figures: None) -> LiveFigures | None:
    """The highest rate at which fewer than 5 % of the pictures are missed, to a tenth; of the start of the bag.

    Returns:
        What came back at that rate; None if a sixteenth of the bag's pace is too fast already.

    Raises:
        HarnessError, BagError, StudentError: as `live_replay`.
    """
    with _stage(options) as stage:

        def holds(rate: float) -> LiveFigures | None:
            figures = stage.play(rate, PROBE_S * rate)
            said(figures)
            return figures if figures.missed_share < MOST_MISSED else None

        rate, best = 1.0, None
        slow = fast = None  # the highest rate known to hold, and the lowest known to fail
        while SLOWEST <= rate <= FASTEST and (slow is None or fast is None):
            found = holds(rate)
            if found is None:
                fast, rate = rate, rate / 2
            else:
                slow, best, rate = rate, found, rate * 2
        while slow is not None and fast is not None and fast / slow > PRECISION:
            middle = math.sqrt(slow * fast)
            found = holds(middle)
            if found is None:
                fast = middle
            else:
                slow, best = middle, found
        return best


class _Stage:
    """The node in a process of its own, a player and a listener; everything of ours in one thread."""

    def __init__(
        self,
        options: LiveOptions,
        beside: Stand,
        heads: frozenset[str],
    ) -> None:
        self._options, self._beside = options, beside
        self._recorder = Recorder(beside.node, heads, MAPS, with_messages=False)

    def play(self, rate: float, most_s: float) -> LiveFigures:
        """At a rate, at most so many seconds of the recording."""
        self._recorder.answers.clear()
        # What it said of the former player is no news of this one.
        self._recorder.report = NodeReport()
        sent_s: dict[int, float] = {}
        with BagReader(self._options.bag) as reader:
            topic = find_picture_topic(reader, self._options.topic, LABEL_TOPICS)
            info = find_camera_info_topic(reader, topic, self._options.camera_info_topic)
            player = BagPlayer(self._beside.node, reader, [topic] if info is None else [info, topic], rate, clock=True)
            try:
                self._beside.wait_until_ready(self._recorder, player.waits_for)
                first_ns: int | None = None
                for played in player.play(self._beside.spin):
                    first_ns = played.raw.recorded_ns if first_ns is None else first_ns
                    if played.raw.topic == topic:
                        self._note(reader, played, sent_s)
                    if (played.raw.recorded_ns - first_ns) / 1e9 >= most_s:
                        break
                self._wait_for_stragglers(sent_s)
            finally:
                player.close()
        complete_s = {
            stamp: answer.complete_s
            for stamp, answer in self._recorder.answers.items()
            if not self._recorder.missing(stamp)
        }
        return figures_of(rate, sent_s, complete_s)

    def _note(self, reader: BagReader, played: Played, sent_s: dict[int, float]) -> None:
        try:
            stamp = stamp_ns(reader.decode(played.raw))
        except BagError:
            return  # nobody can answer it
        if stamp in sent_s:
            raise HarnessError(
                f'{self._options.bag}: several pictures have the stamp {stamp} ns, so that answers cannot be told '
                'apart; replay it without --live'
            )
        sent_s[stamp] = played.published_s

    def _wait_for_stragglers(self, sent_s: dict[int, float]) -> None:
        """Until the newest picture is answered: what is missing then was superseded."""
        deadline_s = time.monotonic() + STRAGGLERS_WITHIN_S
        newest = max(sent_s, default=None)
        while newest is not None and self._recorder.missing(newest) and time.monotonic() < deadline_s:
            self._beside.spin(_SLICE_S)


@contextmanager
def _stage(options: LiveOptions) -> Iterator[_Stage]:
    with Student.load(options.model, LoadOptions(threads=1)) as student:
        heads = student.contract.heads
    with BagReader(options.bag) as reader:
        topic = find_picture_topic(reader, options.topic, LABEL_TOPICS)
        info = find_camera_info_topic(reader, topic, options.camera_info_topic)
        is_compressed = reader.topics()[topic].msgtype.endswith('CompressedImage')
    if is_compressed and not topic.endswith('/compressed'):
        raise HarnessError(
            f"{options.bag}: '{topic}' has compressed pictures but does not end in /compressed, where image_transport "
            'places them; record it remapped, or replay it without --live'
        )
    parameters = {
        'model': str(options.model),
        'image_transport': 'compressed' if is_compressed else 'raw',
        'image_topic': topic.removesuffix('/compressed') if is_compressed else topic,
        'score_threshold': str(float(options.score_threshold)),
        'providers': json.dumps(list(options.load.providers)),
        'threads': str(options.load.threads),
        'rectified': options.rectified,
        'use_sim_time': 'true',
        **({} if info is None else {'camera_info_topic': info}),
    }
    with stand('cast_live_replay', parameters, options.log_path) as beside:
        yield _Stage(options, beside, heads)
