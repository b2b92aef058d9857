# SPDX-License-Identifier: Apache-2.0
"""Ground truth of a bag, translated into the classes of one student by their names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import BagError
from cast_ros.images import decode_compressed
from cast_ros.offline.bags import BagReader
from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.offline.bags.ground_truth_topics import read_label_notes
from cast_ros.offline.bags.messages import stamp_ns
from cast_ros.student.contract import UNLABELLED, StudentContract

# More frames than this without their other half means that the stamps do not match at all.
_MAX_PENDING = 100


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """What is really in one picture, in a student's class ids; a kind of label that the bag lacks is None.

    Attributes:
        stamp_ns: header stamp of the picture, nanoseconds.
        instance_ids: (H, W) uint16, 0 none, k is row k-1 of `instance_labels`.
        instance_labels: (K,) int64, class ids.
        instance_is_crowd: (K,) bool, rows of a group which nobody separated.
        semantic: (H, W) uint8, class id; 255 unlabelled, or a class that the student does not know.
        depth: (H, W) float32, metres along the optical axis; NaN not measured, +Inf sky.
        instance_codes: (K,) int64, what the bag calls each row: the same from picture to picture, as far as its maker
            kept them.
    """

    stamp_ns: int
    instance_ids: NDArray[np.uint16] | None = None
    instance_labels: NDArray[np.int64] | None = None
    instance_is_crowd: NDArray[np.bool_] | None = None
    semantic: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None
    instance_codes: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class LabelKey:
    """How the numbers of one bag become a student's: made once per bag."""

    about: topics.About
    class_ids: dict[int, int]
    thing_ids: frozenset[int]

    @classmethod
    def by_name(cls, about: topics.About, names: dict[int, str], contract: StudentContract) -> LabelKey:
        """Classes meet by name; `thing_ids` are the bag's ids of what both sides count one by one."""
        known = {entry.name: entry for entry in contract.classes}
        class_ids = {number: known[name].id for number, name in names.items() if name in known}
        things = (number for number, name in names.items() if name in about.thing_names and number in class_ids)
        return cls(about, class_ids, frozenset(number for number in things if known[names[number]].is_thing))


def read_ground_truth(path: str | Path, contract: StudentContract) -> Iterator[GroundTruth]:
    """The frames of a bag in order of recording, one at a time.

    Raises:
        BagError: the bag has no ground truth, or says nothing (or nonsense) about how to read it.
        ImageError: a ground-truth picture is damaged.
    """
    with BagReader(path) as reader:
        present = [name for name in (topics.INSTANCES, topics.DEPTH) if name in reader.topics()]
        if not present:
            raise BagError(
                f'{path} has no ground truth: neither {topics.INSTANCES} nor {topics.DEPTH}; '
                f'it has: {", ".join(reader.topics()) or "no topic"}'
            )
        key = LabelKey.by_name(*read_label_notes(reader), contract)
        pending: dict[int, dict[str, Any]] = {}
        for entry in reader.messages(present):
            frame = pending.setdefault(stamp_ns(entry.message), {})
            frame[entry.topic] = entry.message
            if len(frame) == len(present):
                stamp = stamp_ns(entry.message)
                yield decode_ground_truth(stamp, frame.get(topics.INSTANCES), frame.get(topics.DEPTH), key)
                del pending[stamp]
            if len(pending) > _MAX_PENDING:
                break
        if pending:
            raise BagError(f'{path}: {len(pending)} frames have only one of {" and ".join(present)} with their stamp')


def decode_ground_truth(at_ns: int, instances: Any | None, depth: Any | None, key: LabelKey) -> GroundTruth:
    """One frame from its CompressedImage messages; None for what the bag lacks."""
    metres = None if depth is None else decode_depth(decode_compressed(depth), key.about)
    if instances is None:
        return GroundTruth(at_ns, depth=metres)
    raw = decode_compressed(instances)
    parts, codes = decode_instances(raw, key.class_ids, key.thing_ids), instance_codes(raw, key.thing_ids)
    return GroundTruth(at_ns, parts.ids, parts.labels, parts.is_crowd, parts.semantic, metres, codes)


class InstanceParts(NamedTuple):
    """What one picture of ids says; the fields are those of GroundTruth."""

    ids: NDArray[np.uint16]
    labels: NDArray[np.int64]
    is_crowd: NDArray[np.bool_]
    semantic: NDArray[np.uint8]


def decode_instances(raw: NDArray[Any], class_ids: Mapping[int, int], thing_ids: Collection[int]) -> InstanceParts:
    """Instances and semantic map from a picture of ids as Cityscapes has them; a thing without a number is a crowd.

    Args:
        raw: (H, W) integer, label or label * 1000 + k for instance k.
        class_ids: label to class id; other labels are unlabelled.
        thing_ids: labels whose instances are told apart.
    """
    values, flat = np.unique(raw, return_inverse=True)
    inverse = flat.reshape(raw.shape)
    numbered, class_of = values >= topics.INSTANCES_PER_CLASS, _classes_of(values)
    semantic = np.array([class_ids.get(int(number), UNLABELLED) for number in class_of], dtype=np.uint8)
    things = np.isin(class_of, list(thing_ids))
    rows = np.where(things, np.cumsum(things), 0).astype(np.uint16)
    return InstanceParts(rows[inverse], semantic[things].astype(np.int64), ~numbered[things], semantic[inverse])


def instance_codes(raw: NDArray[Any], thing_ids: Collection[int]) -> NDArray[np.int64]:
    """(K,) the values in the picture that the rows of `decode_instances` come from, in their order."""
    values = np.unique(raw)
    return np.asarray(values[np.isin(_classes_of(values), list(thing_ids))], np.int64)


def _classes_of(values: NDArray[Any]) -> NDArray[Any]:
    return np.where(values >= topics.INSTANCES_PER_CLASS, values // topics.INSTANCES_PER_CLASS, values)


def decode_depth(raw: NDArray[Any], about: topics.About) -> NDArray[np.float32]:
    """Metres; +Inf where the bag says sky, NaN where it says not measured."""
    depth: NDArray[np.float32] = raw.astype(np.float32) * np.float32(about.depth_unit_m)
    if about.depth_sky is not None:
        depth[raw == about.depth_sky] = np.inf
    if about.depth_invalid is not None:
        depth[raw == about.depth_invalid] = np.nan
    return depth
