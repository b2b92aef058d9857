# SPDX-License-Identifier: Apache-2.0
"""Static transforms between the frames of a robot, as its bag has them on /tf_static."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


class StaticTransforms:
    """A graph of frames."""

    def __init__(self) -> None:
        self._edges: dict[str, dict[str, Matrix]] = {}

    def add(self, transforms: Iterable[Any]) -> None:
        """Take in geometry_msgs/TransformStamped messages."""
        for entry in transforms:
            matrix = _matrix(entry.transform)
            parent, child = entry.header.frame_id.lstrip('/'), entry.child_frame_id.lstrip('/')
            # Points of the child, in the parent.
            self._edges.setdefault(child, {})[parent] = matrix
            self._edges.setdefault(parent, {})[child] = np.asarray(np.linalg.inv(matrix), np.float64)

    def between(self, source: str, target: str) -> Matrix | None:
        """4×4 matrix that brings points of one frame into another; None if nothing connects them."""
        start, goal = source.lstrip('/'), target.lstrip('/')
        found: dict[str, Matrix] = {start: np.eye(4)}
        waiting = deque([start])
        while waiting and goal not in found:
            frame = waiting.popleft()
            for neighbour, matrix in self._edges.get(frame, {}).items():
                if neighbour not in found:
                    found[neighbour] = matrix @ found[frame]
                    waiting.append(neighbour)
        return found.get(goal)


def moved(points_m: NDArray[np.floating], matrix: Matrix) -> NDArray[np.float64]:
    """N×3 points after a 4×4 transform."""
    return np.asarray(np.asarray(points_m, np.float64) @ matrix[:3, :3].T + matrix[:3, 3])


def _matrix(transform: Any) -> Matrix:
    q, t = transform.rotation, transform.translation
    x, y, z, w = np.array([q.x, q.y, q.z, q.w]) / max(np.linalg.norm([q.x, q.y, q.z, q.w]), 1e-12)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = t.x, t.y, t.z
    return matrix
