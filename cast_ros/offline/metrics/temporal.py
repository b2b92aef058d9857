# SPDX-License-Identifier: Apache-2.0
"""How steady answers are from picture to picture, without ground truth.

The answer to the picture before is carried along by optical flow and compared with the answer to the picture now, where
the flow says that the same thing is seen in both. A student that is steadily wrong is consistent too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.agreement import (
    log_depth_ratios,
    same_class_iou,
    semantic_pairs_of,
    symmetric_iou,
)
from cast_ros.offline.metrics.scores import Result, by_name, mean_known
from cast_ros.offline.metrics.semantic import check_class_names

if TYPE_CHECKING:
    from cast_ros.student.prediction import Prediction

MAX_GAP_NS = 1_000_000_000
# An instance of which less was in the picture before has nothing that it could be consistent with.
LEAST_VISIBLE = 0.5
MAX_WIDTH_PX = 512
MIN_SIDE_PX = 16
# Sundaram, Brox and Keutzer (ECCV 2010): how far forward and backward flow may miss each other.
_RELATIVE, _ABSOLUTE_PX2 = 0.01, 0.5


@dataclass(frozen=True, eq=False)
class Correspondence:
    """From the pixels of one picture to those of the picture before, at the size of the flow.

    Attributes:
        source_x: (h, w) float32, column in the picture before.
        source_y: (h, w) float32, row in the picture before.
        visible: (h, w) bool, in both pictures: inside, and forward and backward flow agree.
    """

    source_x: npt.NDArray[np.float32]
    source_y: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]

    def warp(self, before: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A map of the picture before, (h, w), as it would look now; nearest pixel, so that ids stay ids."""
        return cv2.remap(before, self.source_x, self.source_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def grey_for_flow(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(h, w) uint8, at most 512 px wide.

    Args:
        rgb: (H, W, 3) uint8.

    Raises:
        MetricError: it is no such picture, or one side has less than 16 pixels at the size of the flow.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise MetricError(f'a picture must be H x W x 3 uint8, is {rgb.dtype} of shape {rgb.shape}')
    height, width = rgb.shape[:2]
    scale = min(1.0, MAX_WIDTH_PX / width)
    size = (round(width * scale), round(height * scale))
    if min(size) < MIN_SIDE_PX:
        raise MetricError(f'optical flow needs at least {MIN_SIDE_PX} pixels a side, the picture has {size}')
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def correspond(before: npt.NDArray[np.uint8], now: npt.NDArray[np.uint8]) -> Correspondence:
    """Find the pixels of `now` in `before`, both (h, w) uint8 of one size, with dense inverse search (preset fast)."""
    # OpenCV 4.6 has this name alone, the type stubs only the newer one.
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # type: ignore[attr-defined]
    backward = search.calc(now, before, None)
    forward = search.calc(before, now, None)
    height, width = now.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    source_x, source_y = columns + backward[..., 0], rows + backward[..., 1]
    inside = (source_x >= 0) & (source_x <= width - 1) & (source_y >= 0) & (source_y <= height - 1)
    back_again = cv2.remap(forward, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    miss = ((backward + back_again) ** 2).sum(axis=2)
    length = (backward**2).sum(axis=2) + (back_again**2).sum(axis=2)
    return Correspondence(source_x, source_y, inside & (miss < _RELATIVE * length + _ABSOLUTE_PX2))


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
class TemporalScores(Result):
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
            per_class=by_name(self._names, iou),
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
