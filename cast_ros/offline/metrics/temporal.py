# SPDX-License-Identifier: Apache-2.0
"""How steady answers are from picture to picture, without ground truth.

The answer to the picture before is carried along by optical flow and compared with the answer to the picture now, where
the flow says that the same thing is seen in both. A student that is steadily wrong is consistent too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.agreement import (
    log_depth_ratios,
    mean_known,
    same_class_iou,
    semantic_pairs_of,
    symmetric_iou,
)
from cast_ros.offline.metrics.optical_flow import Correspondence, correspond, grey_for_flow
from cast_ros.offline.metrics.semantic import check_class_names

if TYPE_CHECKING:
    from cast_ros.student.prediction import Prediction

MAX_GAP_NS = 1_000_000_000
# An instance of which less was in the picture before has nothing that it could be consistent with.
LEAST_VISIBLE = 0.5


@dataclass(frozen=True)
class TemporalFrame:
    """One picture compared with the one before; None where there is nothing to compare.

    Attributes:
        stamp_ns: of the picture.
        visible: part of the pixels that is seen in both.
        mask_consistency: mean IoU of the semantic map and the carried one, over the classes that either has.
        instance_consistency: mean over the instances of the best IoU with a carried instance of the same class.
        depth_flicker: median |ln(depth / carried depth)|. The camera's own motion changes true depth: at 10 m/s and
            10 pictures a second, a wall 20 m ahead adds 0.05.
    """

    stamp_ns: int
    visible: float
    mask_consistency: float | None
    instance_consistency: float | None
    depth_flicker: float | None


@dataclass(frozen=True)
class TemporalScores:
    """Over all pairs of pictures; None where there was nothing to compare.

    Attributes:
        mask_consistency: mean IoU from the visible pixels of all pairs together.
        per_class: that IoU by class name.
        instance_consistency: mean over all instances of all pairs.
        depth_flicker: mean over the pairs of their medians.
        pairs: pictures that were compared with the one before.
        restarts: pictures, beside the first, that had none before: a jump of the stamp or another size.
        frames: one entry a pair, in order.
    """

    mask_consistency: float | None
    per_class: dict[str, float | None]
    instance_consistency: float | None
    depth_flicker: float | None
    pairs: int
    restarts: int
    frames: tuple[TemporalFrame, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class _Answer:
    """One picture and its maps at the size of the flow."""

    stamp_ns: int
    grey: npt.NDArray[np.uint8]
    semantic: npt.NDArray[np.uint8] | None
    instance_ids: npt.NDArray[np.uint16] | None
    labels: npt.NDArray[np.int64]
    depth: npt.NDArray[np.float32] | None


class TemporalMetrics:
    """Feed it picture by picture. Begins anew after a gap of more than a second, a step back, or a change of size."""

    def __init__(self, class_names: Sequence[str]) -> None:
        """Start without a picture.

        Args:
            class_names: in the order of the class ids, which run from 0.
        """
        self._names = check_class_names(class_names)
        self._before: _Answer | None = None
        self._pairs = np.zeros((len(self._names) + 1,) * 2, np.int64)
        self._best: list[float] = []
        self._frames: list[TemporalFrame] = []
        self._restarts = 0

    def update(self, stamp_ns: int, rgb: npt.NDArray[np.uint8], prediction: Prediction) -> TemporalFrame | None:
        """Add the next picture.

        Args:
            stamp_ns: of the picture.
            rgb: (H, W, 3) uint8.
            prediction: its answer, in the geometry of the picture or of the network, unless that is letterboxed: its
                maps are stretched over the picture.

        Returns:
            The comparison with the picture before; None if there is none to compare with.

        Raises:
            MetricError: it is no picture, is too small, or a class id is neither a class nor 255.
        """
        now = _at_flow_size(stamp_ns, rgb, prediction)
        before, self._before = self._before, now
        if before is None:
            return None
        if not 0 < stamp_ns - before.stamp_ns <= MAX_GAP_NS or before.grey.shape != now.grey.shape:
            self._restarts += 1
            return None
        frame = self._compare(before, now, correspond(before.grey, now.grey))
        self._frames.append(frame)
        return frame

    def compute(self) -> TemporalScores:
        """The numbers over all pictures so far.

        Raises:
            MetricError: no picture was added.
        """
        if self._before is None:
            raise MetricError('no picture was added, so there is no consistency')
        iou = symmetric_iou(self._pairs)
        flicker = [frame.depth_flicker for frame in self._frames if frame.depth_flicker is not None]
        return TemporalScores(
            mask_consistency=mean_known(iou),
            per_class={
                name: None if np.isnan(value) else float(value) for name, value in zip(self._names, iou, strict=True)
            },
            instance_consistency=float(np.mean(self._best)) if self._best else None,
            depth_flicker=float(np.mean(flicker)) if flicker else None,
            pairs=len(self._frames),
            restarts=self._restarts,
            frames=tuple(self._frames),
        )

    def _compare(self, before: _Answer, now: _Answer, flow: Correspondence) -> TemporalFrame:
        mask_consistency, best, depth_flicker = None, np.zeros(0), None
        if before.semantic is not None and now.semantic is not None:
            carried = flow.warp(before.semantic)
            pairs = semantic_pairs_of(now.semantic[flow.visible], carried[flow.visible], len(self._names))
            self._pairs += pairs
            mask_consistency = mean_known(symmetric_iou(pairs))
        if before.instance_ids is not None and now.instance_ids is not None:
            best = _best_overlaps(before, now, flow)
            self._best += best.tolist()
        if before.depth is not None and now.depth is not None:
            ratios = log_depth_ratios(now.depth[flow.visible], flow.warp(before.depth)[flow.visible])
            depth_flicker = float(np.median(ratios)) if ratios.size else None
        return TemporalFrame(
            stamp_ns=now.stamp_ns,
            visible=float(flow.visible.mean()),
            mask_consistency=mask_consistency,
            instance_consistency=float(best.mean()) if best.size else None,
            depth_flicker=depth_flicker,
        )


def _best_overlaps(before: _Answer, now: _Answer, flow: Correspondence) -> npt.NDArray[np.float64]:
    """Of each instance now that was visible: its best IoU, among visible pixels, with one of its class before."""
    assert before.instance_ids is not None
    assert now.instance_ids is not None
    rows = len(now.labels) + 1
    pixels = np.bincount(now.instance_ids.ravel(), minlength=rows)
    seen = np.bincount(now.instance_ids[flow.visible], minlength=rows)
    carried = np.where(flow.visible, flow.warp(before.instance_ids), 0)
    ids = np.where(flow.visible, now.instance_ids, 0)
    overlap = same_class_iou(ids, now.labels, carried, before.labels)
    judged = (seen >= LEAST_VISIBLE * pixels)[1:][seen[1:] > 0]
    best: npt.NDArray[np.float64] = overlap.max(axis=1, initial=0.0)[judged]
    return best


def _at_flow_size(stamp_ns: int, rgb: npt.NDArray[np.uint8], prediction: Prediction) -> _Answer:
    grey = grey_for_flow(rgb)
    size = grey.shape[::-1]

    def fitted(array: npt.NDArray[Any] | None) -> Any:
        # Nearest, and exactly the pixel that holds the middle: classes and ids must not mix, and nothing may shift.
        return None if array is None else cv2.resize(array, size, interpolation=cv2.INTER_NEAREST_EXACT)

    return _Answer(
        stamp_ns=stamp_ns,
        grey=grey,
        semantic=fitted(prediction.semantic),
        instance_ids=fitted(prediction.instance_ids),
        labels=np.zeros(0, np.int64) if prediction.labels is None else prediction.labels,
        depth=fitted(prediction.depth),
    )
