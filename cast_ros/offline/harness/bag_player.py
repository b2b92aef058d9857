# SPDX-License-Identifier: Apache-2.0
"""Plays a bag through the middleware, as it was recorded: serialized bytes, the recorded intervals, optionally /clock.

Run as ``python -m cast_ros.offline.harness.bag_player assets/street_drive.mcap --rate 1.0``.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import math
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
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
from cast_ros.offline.bags.message_types import PICTURE_TYPES

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
        remap: other names for topics, by the name in the bag.

    Attributes:
        topics: that are played, by their names in the bag.

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
        remap: Mapping[str, str] | None = None,
    ) -> None:
        if not 0 < rate < math.inf:
            raise BagError(f'the rate must be above 0 and finite, not {rate}')
        present = reader.topics()
        self._node = node
        self._reader = reader
        self.topics = list(present) if topics is None else list(topics)
        self._rate = rate
        self._now_ns = 0
        self._publishers: dict[str, Any] = {}
        unknown = sorted(set(remap or {}) - set(self.topics))
        if unknown:
            raise BagError(f"'{unknown[0]}' is to be renamed, but not played; played are: {', '.join(self.topics)}")
        for name in self.topics:
            if name not in present:
                raise BagError(f"{reader.path} has no topic '{name}'; it has: {', '.join(present) or 'none at all'}")
            summary = present[name]
            self._publishers[name] = node.create_publisher(
                _message_class(summary), (remap or {}).get(name, name), _profile(summary)
            )
        self._clock = node.create_publisher(Clock, '/clock', _QUEUE_DEPTH) if clock else None

    def waits_for(self) -> list[str]:
        """The topics that nobody subscribes to yet."""
        return [name for name in self.topics if self._publishers[name].get_subscription_count() == 0]

    def pictures(self) -> list[str]:
        """Those of the topics that carry pictures."""
        present = self._reader.topics()
        return [name for name in self.topics if present[name].msgtype in PICTURE_TYPES]

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
        self._now_ns = 0
        due_s = time.perf_counter()
        for raw in self._reader.raw_messages(self.topics):
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
    own, of_ros = _split(sys.argv[1:] if argv is None else argv)
    arguments = _arguments(own)
    try:
        # Ctrl-C shall be a KeyboardInterrupt, not a context that vanishes under the publishers.
        rclpy.init(args=of_ros, signal_handler_options=SignalHandlerOptions.NO)
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
    remap = dict(_renamed(entry) for entry in arguments.remap)
    player = BagPlayer(node, reader, arguments.topics or None, arguments.rate, arguments.clock, remap)
    unknown = sorted(set(arguments.wait_for or ()) - set(player.topics))
    if unknown:
        raise BagError(f"'{unknown[0]}' is waited for, but not played; played are: {', '.join(player.topics)}")
    # Who waits for a picture must not miss the first; where there is none, whoever comes first is waited for.
    needed = set(arguments.wait_for or player.pictures())
    deadline_s = time.monotonic() + arguments.wait_s

    def is_missing() -> bool:
        alone = set(player.waits_for())
        return bool(needed & alone) if needed else alone == set(player.topics)

    while is_missing() and time.monotonic() < deadline_s:
        executor.spin_once(timeout_sec=0.05)
    for name in sorted(needed & set(player.waits_for())):
        print(
            f'nobody listens to {remap.get(name, name)} after {arguments.wait_s:g} s: played all the same',
            file=sys.stderr,
        )
    rounds = itertools.count() if arguments.loop else range(1)
    for _ in rounds:
        count = sum(1 for _ in player.play(lambda seconds: executor.spin_once(timeout_sec=seconds)))
        print(f'{reader.path}: {count} messages played', flush=True)
    for damage in reader.damages:
        print(f'the bag is not whole: {damage}', file=sys.stderr)


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """Our arguments, and those from `--ros-args` to `--`; rclpy would take a remapping of ours for one of its own."""
    if '--ros-args' not in argv:
        return argv, []
    start = argv.index('--ros-args')
    end = argv.index('--', start) if '--' in argv[start:] else len(argv)
    return argv[:start] + argv[end + 1 :], argv[start:end]


def _renamed(entry: str) -> tuple[str, str]:
    old, separator, new = entry.partition(':=')
    if not (separator and old and new):
        raise BagError(f"'{entry}' is no remapping; write /name/in/the/bag:=/other/name")
    return old, new


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='bag_player', description='Play a bag through DDS.')
    parser.add_argument('bag', type=Path, help='a bag folder, or one .mcap or .db3 file')
    parser.add_argument('--rate', type=float, default=1.0, help='2 plays twice as fast as recorded')
    parser.add_argument('--topics', nargs='*', help='play these topics alone')
    parser.add_argument('--clock', action='store_true', help='also publish /clock')
    parser.add_argument('--wait-s', type=float, default=10.0, help='wait so long for subscribers')
    parser.add_argument('--wait-for', nargs='*', help='topics that must have one; those of pictures by default')
    parser.add_argument('--remap', nargs='*', default=[], metavar='OLD:=NEW', help='play topics under other names')
    parser.add_argument('--loop', action='store_true', help='begin again at the end')
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())
