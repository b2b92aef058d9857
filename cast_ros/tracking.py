# SPDX-License-Identifier: Apache-2.0
"""Numbers that stay with an instance from picture to picture: ByteTrack over boxes, of the library `trackers`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import TrackingError
from cast_ros.package_files import how_to_install

MEMORY_S = 1.0
"""How long a track outlives its last box; a jump of time beyond it ends every track."""

LARGEST_NUMBER = 60_000
_LARGEST_VALUE = 65_535
# Of the library's own clock: a memory of n is n / 30 seconds.
_LIBRARY_RATE_HZ = 30


class InstanceTracker:
    """Follows instances by where their boxes are; a class never takes over the track of another.

    Attributes:
        resets: how often a jump of time has ended every track.

    Raises:
        TrackingError: the library is not installed.
    """

    def __init__(self) -> None:
        try:
            import supervision
            from trackers import ByteTrackTracker
        except ImportError as error:
            raise TrackingError(
                f"tracking needs the libraries of the extra 'tracking' ({error}): "
                f'{how_to_install("tracking")}, then pip install --no-deps trackers'
            ) from error
        self.resets = 0
        self._detections: Any = supervision.Detections
        self._make_tracker: Any = ByteTrackTracker
        self._trackers: dict[int, Any] = {}
        self._numbers: dict[tuple[int, int], int] = {}
        self._last_number = 0
        self._stamp_ns: int | None = None

    def update(
        self,
        stamp_ns: int,
        boxes: NDArray[np.floating[Any]],
        labels: NDArray[np.integer[Any]],
        scores: NDArray[np.floating[Any]],
    ) -> NDArray[np.uint16]:
        """The numbers of one picture's instances.

        Args:
            stamp_ns: when the picture was taken, nanoseconds. Stamps that stand still count as 30 pictures a second.
            boxes: (K, 4), x0 y0 x1 y1.
            labels: (K,) class ids.
            scores: (K,).

        Returns:
            (K,) uint16 from 1 to 60000, the number of the row's track, given anew after 60000; or 65535 - k for
            row k that belongs to no track yet, which is everything that is seen for the first time.
        """
        elapsed_s = self._elapsed_s(stamp_ns)
        numbers = (_LARGEST_VALUE - np.arange(len(labels))).astype(np.uint16)
        for label in sorted({*self._trackers, *labels.tolist()}):
            rows = np.flatnonzero(labels == label)
            if label not in self._trackers:
                self._trackers[label] = self._new_tracker()
            found = self._trackers[label].update(
                self._detections(xyxy=boxes[rows].astype(np.float64), confidence=scores[rows], data={'row': rows}),
                timestamp=None if elapsed_s == 0 else stamp_ns / 1e9,
            )
            for row, track in zip(found.data.get('row', ()), found.tracker_id.tolist(), strict=True):
                if track >= 0:
                    numbers[row] = self._number_of(label, track)
        self._forget()
        return numbers

    def _elapsed_s(self, stamp_ns: int) -> float | None:
        """Since the last picture; None, and no tracks, for the first one and after a jump of time."""
        last_ns, self._stamp_ns = self._stamp_ns, stamp_ns
        if last_ns is None:
            return None
        elapsed_s = (stamp_ns - last_ns) / 1e9
        if 0 <= elapsed_s <= MEMORY_S:
            return elapsed_s
        self.resets += 1
        self._trackers.clear()
        self._numbers.clear()
        return None

    def _new_tracker(self) -> Any:
        # Whatever passed the score threshold of the answer deserves a track.
        return self._make_tracker(
            lost_track_buffer=round(MEMORY_S * _LIBRARY_RATE_HZ),
            track_activation_threshold=0.0,
            high_conf_det_threshold=0.0,
            minimum_consecutive_frames=1,
        )

    def _number_of(self, label: int, track: int) -> int:
        key = (label, track)
        if key not in self._numbers:
            taken = set(self._numbers.values())
            while True:
                self._last_number = self._last_number % LARGEST_NUMBER + 1
                if self._last_number not in taken:
                    break
            self._numbers[key] = self._last_number
        return self._numbers[key]

    def _forget(self) -> None:
        alive = {(label, track.tracker_id) for label, tracker in self._trackers.items() for track in tracker.tracks}
        self._numbers = {key: number for key, number in self._numbers.items() if key in alive}
