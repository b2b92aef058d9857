# SPDX-License-Identifier: Apache-2.0
"""Listens to what the perception node publishes, and sorts it by stamp."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from vision_msgs.msg import LabelInfo

from cast_ros.nodes.topics import ANSWERS, DIAGNOSTICS, LABEL_INFO, Topic
from cast_ros.offline.bags.messages import stamp_ns

NODE_NAME = 'perception'
OVERLAY = 'overlay'
# Deeper than any backlog of this demo: a reliable reader must not be the one who loses an answer.
_QUEUE_DEPTH = 50

MAPS = ('detections', 'instances', 'semantic', 'depth')
"""What students are judged by."""
# What is for people, and what repeats the points, would measure itself: docs/speed.md stands for these.
ALL_BUT_OVERLAY = tuple(
    topic.name
    for topic in ANSWERS
    if topic.name not in {OVERLAY, 'overlay_compressed', 'semantic_color', 'markers', 'points_clearing'}
)
"""What other programs may listen to; all of it comes only for pictures with a CameraInfo."""


@dataclass
class Answer:
    """The messages of one stamp by output name, and when each came, on the clock of time.perf_counter."""

    messages: dict[str, Any] = field(default_factory=dict)
    received_s: dict[str, float] = field(default_factory=dict)

    @property
    def complete_s(self) -> float:
        """When the last of the outputs that carry numbers was there; the overlay is for people and does not count."""
        return max(when_s for name, when_s in self.received_s.items() if name != OVERLAY)


@dataclass(frozen=True)
class NodeReport:
    """What the node last said about itself in /diagnostics."""

    state: str = ''
    failure: str = ''
    publishers: int = 0
    answered: int = 0
    drops: int = 0
    inference_p50_ms: float | None = None
    provider: str = ''
    model_sha256: str = ''

    @classmethod
    def from_status(cls, status: DiagnosticStatus) -> NodeReport:
        """Reads the keys that the node writes; what is absent keeps its default."""
        values = {entry.key: entry.value for entry in status.values}
        inference_ms = values.get('inference_ms p50')
        state = values.get('state', '')
        return cls(
            state=state,
            failure=status.message if status.level == DiagnosticStatus.ERROR and state != 'active' else '',
            publishers=int(values.get('publishers', '0')),
            answered=int(values.get('frames answered', '0')),
            drops=sum(int(count) for name, count in values.items() if name.startswith('frames dropped')),
            inference_p50_ms=None if inference_ms is None else float(inference_ms),
            provider=values.get('provider', ''),
            model_sha256=values.get('model sha256', ''),
        )


class Recorder:
    """Subscriptions to some of the node's outputs, as far as a student with these heads has them."""

    def __init__(
        self,
        node: Node,
        heads: Collection[str],
        outputs: Collection[str] = (*MAPS, OVERLAY),
        with_messages: bool = True,
    ) -> None:
        """Without messages it keeps when they came alone, for drives of any length."""
        self._with_messages = with_messages
        self.answers: dict[int, Answer] = {}
        self.report = NodeReport()
        self._labelled = False
        reliable = QoSProfile(depth=_QUEUE_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
        self._subscriptions: dict[str, Subscription] = {}
        for topic in ANSWERS:
            if topic.name in outputs and topic.suits(heads):
                self._subscriptions[topic.name] = node.create_subscription(
                    topic.message_class(), _full_name(topic), self._keeper_of(topic.name), reliable
                )
        self._diagnostics = node.create_subscription(
            DiagnosticArray, DIAGNOSTICS.default, self._on_diagnostics, reliable
        )
        # Last on purpose: subscriptions are announced in this order, so whoever answers this one with its latched
        # message knows all the others, and its first answer will go to every one of them.
        latched = QoSProfile(
            depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
        )
        self._label_info = node.create_subscription(LabelInfo, _full_name(LABEL_INFO), self._on_label_info, latched)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it listens to."""
        return tuple(self._subscriptions)

    def waits_for(self) -> list[str]:
        """What is still missing before the first picture may be sent."""
        missing = [name for name, entry in self._subscriptions.items() if entry.get_publisher_count() == 0]
        if not self._labelled:
            missing.append('label_info')
        if self.report.state != 'active' or self.report.publishers == 0:
            missing.append('a node that is active and sees the camera')
        return missing

    def missing(self, stamp: int) -> list[str]:
        """The outputs that have not come for this stamp."""
        here = self.answers[stamp].messages if stamp in self.answers else {}
        return [name for name in self._subscriptions if name not in here]

    def wait_for_final_report(self, frames: int, spin: Callable[[float], None], seconds: float) -> None:
        """Until /diagnostics counts this many answers, so that its percentiles are those of all frames."""
        deadline_s = time.monotonic() + seconds
        while self.report.answered < frames and time.monotonic() < deadline_s:
            spin(0.05)

    def _keeper_of(self, name: str) -> Callable[[Any], None]:
        def keep(message: Any) -> None:
            received_s = time.perf_counter()
            answer = self.answers.setdefault(stamp_ns(message), Answer())
            answer.messages[name] = message if self._with_messages else None
            answer.received_s[name] = received_s

        return keep

    def _on_label_info(self, message: LabelInfo) -> None:
        self._labelled = True

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith('perception'):
                self.report = NodeReport.from_status(status)


def _full_name(topic: Topic) -> str:
    return topic.default.replace('~', f'/{NODE_NAME}')
