# SPDX-License-Identifier: Apache-2.0
"""Plays a bag through the middleware, as it was recorded: serialized bytes, the recorded intervals, optionally /clock.

Run as ``python -m cast_ros.offline.harness.bag_player assets/street_drive.mcap --rate 1.0``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from cast_ros.errors import BagError, CastError
from cast_ros.offline.bags import BagReader, RawMessage, TopicSummary

_CLOCK_PERIOD_S = 0.01
_QUEUE_DEPTH = 10
_NS_PER_S = 1_000_000_000

SpinFor = Callable[[float], None]
"""Lets callbacks run for at most so many seconds, returning early if it likes."""


@dataclass(frozen=True)
class Played:
    """One message that was handed to the middleware, and when, on the clock of time.perf_counter."""

    raw: RawMessage
    published_s: float


class BagPlayer:
    """Publishers for topics of an open bag, on somebody's node.

    Args:
        node: carries the publishers.
        reader: an open bag.
        topics: which topics to play; None for all.
        rate: 2.0 plays twice as fast as recorded.
        clock: also publish /clock with the time of recording.

    Raises:
        BagError: a topic is not in the bag, or its message type is not installed.
    """

    def __init__(
        self,
        node: Node,
        reader: BagReader,
        topics: Collection[str] | None = None,
        rate: float = 1.0,
        clock: bool = False,
    ) -> None:
        if rate <= 0:
            raise BagError(f'the rate must be above 0, not {rate}')
        present = reader.topics()
        self._node = node
        self._reader = reader
        self._topics = list(present) if topics is None else list(topics)
        self._rate = rate
        self._now_ns = 0
        self._publishers: dict[str, Any] = {}
        for name in self._topics:
            if name not in present:
                raise BagError(f"{reader.path} has no topic '{name}'; it has: {', '.join(present) or 'none at all'}")
            summary = present[name]
            self._publishers[name] = node.create_publisher(_message_class(summary), name, _profile(summary))
        self._clock = node.create_publisher(Clock, '/clock', _QUEUE_DEPTH) if clock else None

    def waits_for(self) -> list[str]:
        """The topics that nobody subscribes to yet."""
        return [name for name in self._topics if self._publishers[name].get_subscription_count() == 0]

    def has_subscriber(self) -> bool:
        """Whether anybody listens to any of the topics."""
        return len(self.waits_for()) < len(self._topics)

    def close(self) -> None:
        """Take the publishers back."""
        for publisher in (*self._publishers.values(), *([] if self._clock is None else [self._clock])):
            self._node.destroy_publisher(publisher)

    def play(self, spin_for: SpinFor) -> Iterator[Played]:
        """Publishes message after message and yields each one after it is out.

        Whoever iterates may take their time: the player then goes on at the recorded pace, and does not hurry to make
        up for it.
        """
        last_ns: int | None = None
        due_s = time.perf_counter()
        for raw in self._reader.raw_messages(self._topics):
            gap_s = 0.0 if last_ns is None else (raw.recorded_ns - last_ns) / _NS_PER_S / self._rate
            due_s = max(due_s + max(gap_s, 0.0), time.perf_counter())
            self._wait_until(due_s, raw.recorded_ns, spin_for)
            last_ns = raw.recorded_ns
            published_s = time.perf_counter()
            self._publishers[raw.topic].publish(raw.data)
            yield Played(raw, published_s)

    def _wait_until(self, due_s: float, due_ns: int, spin_for: SpinFor) -> None:
        while True:
            remaining_s = due_s - time.perf_counter()
            self._tick(due_ns - round(max(remaining_s, 0.0) * self._rate * _NS_PER_S))
            if remaining_s <= 0:
                return
            spin_for(min(remaining_s, _CLOCK_PERIOD_S))

    def _tick(self, now_ns: int) -> None:
        # Time never runs backwards, also not between two messages that were recorded out of order.
        if self._clock is not None and now_ns > self._now_ns:
            self._now_ns = now_ns
            self._clock.publish(Clock(clock=Time(sec=now_ns // _NS_PER_S, nanosec=now_ns % _NS_PER_S)))


def _message_class(summary: TopicSummary) -> Any:
    package, _, name = summary.msgtype.partition('/msg/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError) as error:
        raise BagError(
            f"topic '{summary.name}' has the type {summary.msgtype}, which is not installed here; "
            f'install {package} or leave the topic out'
        ) from error


def _profile(summary: TopicSummary) -> QoSProfile:
    # Reliable also serves best-effort subscribers; the other way round they would not meet.
    durability = DurabilityPolicy.TRANSIENT_LOCAL if summary.latched else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=_QUEUE_DEPTH, reliability=ReliabilityPolicy.RELIABLE, durability=durability)


def main(argv: list[str] | None = None) -> int:
    """0 at the end of the bag, 130 after SIGINT, 2 if it cannot be played."""
    arguments = _arguments(argv)
    try:
        # Ctrl-C shall be a KeyboardInterrupt, not a context that vanishes under the publishers.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        node = Node('bag_player')
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        try:
            with BagReader(arguments.bag) as reader:
                _play(reader, node, executor, arguments)
        finally:
            executor.shutdown()
            node.destroy_node()
    except KeyboardInterrupt:
        return 130
    except CastError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        rclpy.try_shutdown()
    return 0


def _play(reader: BagReader, node: Node, executor: SingleThreadedExecutor, arguments: argparse.Namespace) -> None:
    player = BagPlayer(node, reader, arguments.topics or None, arguments.rate, arguments.clock)
    deadline_s = time.monotonic() + arguments.wait_s
    while not player.has_subscriber() and time.monotonic() < deadline_s:
        executor.spin_once(timeout_sec=0.05)
    count = sum(1 for _ in player.play(lambda seconds: executor.spin_once(timeout_sec=seconds)))
    print(f'{reader.path}: {count} messages played')
    for damage in reader.damages:
        print(f'the bag is not whole: {damage}', file=sys.stderr)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='bag_player', description='Play a bag through DDS.')
    parser.add_argument('bag', type=Path, help='a bag folder, or one .mcap or .db3 file')
    parser.add_argument('--rate', type=float, default=1.0, help='2 plays twice as fast as recorded')
    parser.add_argument('--topics', nargs='*', help='play these topics alone')
    parser.add_argument('--clock', action='store_true', help='also publish /clock')
    parser.add_argument('--wait-s', type=float, default=10.0, help='wait so long for a first subscriber')
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())
