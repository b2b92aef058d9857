# SPDX-License-Identifier: Apache-2.0
"""One run: start the node, meet it on every topic, play the drive into it, keep what it answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import HarnessError
from cast_ros.images import decode_compressed_rgb
from cast_ros.offline.bags import BagReader
from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.offline.bags.messages import NANOSECONDS, stamp_ns
from cast_ros.offline.harness.bag_player import BagPlayer
from cast_ros.offline.harness.recorder import Answer, NodeReport, Recorder
from cast_ros.offline.harness.stand import Stand, stand
from cast_ros.student import LoadOptions, Student, StudentContract

_ANSWER_WITHIN_S = 30.0
_REPORT_WITHIN_S = 3.0
_SLICE_S = 0.02


@dataclass(frozen=True)
class Options:
    """What to play into what; `rate` 1 is as recorded."""

    bag: Path
    model: Path
    log_path: Path
    rate: float = 1.0
    score_threshold: float = 0.3


@dataclass(frozen=True, eq=False)
class Run:
    """All that came out of one run; dictionaries go by header stamp in nanoseconds.

    Attributes:
        contract: of the student that the node ran.
        pictures: (H, W, 3) uint8 RGB, what was sent.
        sent_s: when each picture was handed to the middleware, on the clock of time.perf_counter.
        answers: what came back.
        report: what the node said about itself at the end.
    """

    contract: StudentContract
    pictures: dict[int, NDArray[np.uint8]]
    sent_s: dict[int, float]
    answers: dict[int, Answer]
    report: NodeReport

    @property
    def frame_rate_hz(self) -> float:
        """How fast the pictures really were sent: slower than the bag if the player had to wait for the node."""
        times_s = list(self.sent_s.values())
        return (len(times_s) - 1) / (times_s[-1] - times_s[0]) if len(times_s) > 1 else 0.0


def run_demo(options: Options) -> Run:
    """Plays the bag into a new node.

    Raises:
        HarnessError: the node does not start, dies, or leaves a frame unanswered.
        CastError: the bag or the model cannot be used.
    """
    with Student.load(options.model, LoadOptions(threads=1)) as student:
        contract = student.contract
    pictures = _pictures(options.bag)
    print(f'Starting the perception node with {options.model} ...', flush=True)
    with BagReader(options.bag) as reader, stand('cast_demo', _parameters(options), options.log_path) as beside:
        player = BagPlayer(beside.node, reader, [topics.CAMERA_INFO, topics.IMAGE], options.rate)
        recorder = Recorder(beside.node, contract.heads)
        conversation = _Conversation(beside, player, recorder)
        beside.wait_until_ready(recorder, player.waits_for)
        period_s = _period_s(list(pictures), options.rate)
        rate_hz = 1 / period_s
        print(f'Playing {len(pictures)} frames of {options.bag} at {rate_hz:.3g} Hz through DDS ...', flush=True)
        conversation.play(list(pictures), period_s)
        recorder.wait_for_final_report(len(pictures), beside.spin, _REPORT_WITHIN_S)
    return Run(contract, pictures, conversation.sent_s, recorder.answers, recorder.report)


class _Conversation:
    """Playing into the node and listening to it, in one thread."""

    def __init__(self, beside: Stand, player: BagPlayer, recorder: Recorder) -> None:
        self._beside, self._player, self._recorder = beside, player, recorder
        self.sent_s: dict[int, float] = {}

    def play(self, stamps: list[int], period_s: float) -> None:
        """Sends picture after picture at the bag's pace, but none before the one before it was answered."""
        upcoming = iter(stamps)
        late = 0
        for played in self._player.play(self._beside.spin):
            if played.raw.topic != topics.IMAGE:
                continue
            stamp = next(upcoming)
            self.sent_s[stamp] = played.published_s
            self._wait_for_answer(stamp)
            late += time.perf_counter() - played.published_s > period_s
        if late:
            print(f'{late} of the answers took longer than one period; the player waited for the node.', flush=True)

    def _wait_for_answer(self, stamp: int) -> None:
        deadline_s = time.perf_counter() + _ANSWER_WITHIN_S
        while missing := self._recorder.missing(stamp):
            if time.perf_counter() > deadline_s:
                raise HarnessError(
                    f'frame {len(self.sent_s)} was not answered within {_ANSWER_WITHIN_S:.0f} s '
                    f'(missing: {", ".join(missing)}); {self._beside.child.last_words()}'
                )
            self._beside.spin(_SLICE_S)


def _parameters(options: Options) -> dict[str, str]:
    return {
        'model': str(options.model),
        'image_transport': 'compressed',
        # The transport's name is appended by the node, as image_transport does it.
        'image_topic': topics.IMAGE.removesuffix('/compressed'),
        'camera_info_topic': topics.CAMERA_INFO,
        # Every frame shall be judged, and a reliable reader loses none on its way.
        'input_reliability': 'reliable',
        'score_threshold': str(float(options.score_threshold)),
    }


def _pictures(bag: Path) -> dict[int, NDArray[np.uint8]]:
    with BagReader(bag) as reader:
        found = {
            stamp_ns(entry.message): decode_compressed_rgb(entry.message) for entry in reader.messages([topics.IMAGE])
        }
    if not found:
        raise HarnessError(f'{bag} has no picture on {topics.IMAGE}')
    return found


def _period_s(stamps: list[int], rate: float) -> float:
    gaps = np.diff(stamps)
    return float(np.median(gaps)) / NANOSECONDS / rate if len(gaps) else 1.0
