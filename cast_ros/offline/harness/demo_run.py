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


def run_demo(bag: Path, model: Path, log_path: Path, rate: float, score_threshold: float) -> Run:
    """Plays the bag into a new node; `rate` 1 is as recorded, `log_path` gets what the node prints.

    Raises:
        HarnessError: the node does not start, dies, or leaves a frame unanswered.
        CastError: the bag or the model cannot be used.
    """
    with Student.load(model, LoadOptions(threads=1)) as student:
        contract = student.contract
    pictures = _pictures(bag)
    print(f'Starting the perception node with {model} ...', flush=True)
    with BagReader(bag) as reader, stand('cast_demo', _parameters(model, score_threshold), log_path) as beside:
        player = BagPlayer(beside.node, reader, [topics.CAMERA_INFO, topics.IMAGE], rate)
        recorder = Recorder(beside.node, contract.heads)
        beside.wait_until_ready(recorder, player.waits_for)
        period_s = _period_s(list(pictures), rate)
        rate_hz = 1 / period_s
        print(f'Playing {len(pictures)} frames of {bag} at {rate_hz:.3g} Hz through DDS ...', flush=True)
        sent_s = _play(beside, player, recorder, list(pictures), period_s)
        recorder.wait_for_final_report(len(pictures), beside.spin, _REPORT_WITHIN_S)
    return Run(contract, pictures, sent_s, recorder.answers, recorder.report)


def _play(beside: Stand, player: BagPlayer, recorder: Recorder, stamps: list[int], period_s: float) -> dict[int, float]:
    """Sends picture after picture at the bag's pace, but none before the one before it was answered; when by stamp."""
    upcoming, sent_s, late = iter(stamps), dict[int, float](), 0
    for played in player.play(beside.spin):
        if played.raw.topic != topics.IMAGE:
            continue
        stamp = next(upcoming)
        sent_s[stamp] = played.published_s
        deadline_s = time.perf_counter() + _ANSWER_WITHIN_S
        while missing := recorder.missing(stamp):
            if time.perf_counter() > deadline_s:
                raise HarnessError(
                    f'frame {len(sent_s)} was not answered within {_ANSWER_WITHIN_S:.0f} s '
                    f'(missing: {", ".join(missing)}); {beside.child.last_words()}'
                )
            beside.spin(_SLICE_S)
        late += time.perf_counter() - played.published_s > period_s
    if late:
        print(f'{late} of the answers took longer than one period; the player waited for the node.', flush=True)
    return sent_s


def _parameters(model: Path, score_threshold: float) -> dict[str, str]:
    return {
        'model': str(model),
        'image_transport': 'compressed',
        # The transport's name is appended by the node, as image_transport does it.
        'image_topic': topics.IMAGE.removesuffix('/compressed'),
        'camera_info_topic': topics.CAMERA_INFO,
        # Every frame shall be judged, and a reliable reader loses none on its way.
        'input_reliability': 'reliable',
        'score_threshold': str(float(score_threshold)),
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
