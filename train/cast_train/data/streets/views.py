# SPDX-License-Identifier: Apache-2.0
"""From where a scene is looked at: standing views with nothing in the way, or the frames of a drive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cast_train.data.streets.scene import Blob, Cylinder, Point, Polyhedron, Scene

VIEW_DISTANCE_M = 9.0
DRIVE_STEP_S, DRIVE_SPEED_MPS = 0.1, 8.0
SEARCH_STEP_M, SEARCH_TRIES = 2.0, 20
MARGIN_M, CLEAR_AHEAD_M = 0.6, 4.0
UP = np.array([0.0, 0.0, 1.0])

# How far an icosphere of radius 1 reaches along x and y; its z reaches 1. By number of subdivisions.
SPHERE_REACH = {2: (0.9510578513145447, 1.0), 3: (1.0, 1.0)}


@dataclass(frozen=True)
class RenderedFrame:
    """One picture of a scene.

    Attributes:
        moves_m: steps of the camera along the road since the frame before, one after the other.
        traffic_s: for how long everything that moves has moved since the frame before.
    """

    number: int
    moves_m: tuple[float, ...]
    traffic_s: float
    stamp_s: float
    ego_speed_mps: float


def drive(frames: int) -> list[RenderedFrame]:
    """A drive at constant speed through moving traffic, at 10 Hz."""
    step_m = DRIVE_SPEED_MPS * DRIVE_STEP_S
    return [
        RenderedFrame(i, (step_m,) if i else (), DRIVE_STEP_S if i else 0.0, i * DRIVE_STEP_S, DRIVE_SPEED_MPS)
        for i in range(frames)
    ]


def standing_views(scene: Scene, wanted: int) -> list[RenderedFrame]:
    """Up to ``wanted`` views of the standing scene, 9 m or more apart; fewer where traffic leaves no free place."""
    boxes = footprints(scene)
    x, y = (float(np.float32(value)) for value in scene.camera.position[:2])
    frames: list[RenderedFrame] = []
    for number in range(wanted):
        moves = [VIEW_DISTANCE_M] if number else []
        y = float(np.float32(y + sum(moves)))
        for _ in range(SEARCH_TRIES):
            if not is_blocked(boxes, x, y):
                break
            moves.append(SEARCH_STEP_M)
            y = float(np.float32(y + SEARCH_STEP_M))
        else:
            break
        frames.append(RenderedFrame(number, tuple(moves), 0.0, float(number), 0.0))
    return frames


def is_blocked(boxes: npt.NDArray[np.float64], x: float, y: float) -> bool:
    """Whether a camera at (x, y) stands inside a thing, or so close behind one that it sees little else."""
    x0, y0, x1, y1 = boxes.T
    inside = (x0 - MARGIN_M < x) & (x < x1 + MARGIN_M) & (y0 - CLEAR_AHEAD_M < y) & (y < y1 + MARGIN_M)
    return bool(inside.any())


def footprints(scene: Scene) -> npt.NDArray[np.float64]:
    """The ground that each thing covers, K×4: x0 y0 x1 y1 in metres, at the start of the scene."""
    corners: list[list[npt.NDArray[np.float64]]] = [[] for _ in scene.speeds_mps]
    for item in scene.objects:
        if item.thing and isinstance(item, Polyhedron | Cylinder | Blob):
            corners[item.thing - 1].append(_outermost(item))
    if not corners:
        return np.empty((0, 4))
    stacked = [np.concatenate(points) for points in corners]
    return np.array([[*points.min(0), *points.max(0)] for points in stacked])


def _outermost(item: Polyhedron | Cylinder | Blob) -> npt.NDArray[np.float64]:
    """Points (x, y) that span the object's footprint, N×2."""
    if isinstance(item, Polyhedron):
        return np.array(item.vertices)[:, :2]
    if isinstance(item, Cylinder):
        return np.concatenate([_ring(item, item.start, item.start_radius_m), _ring(item, item.end, item.end_radius_m)])
    reach = np.array(SPHERE_REACH[item.subdivisions]) * np.array(item.scale[:2]) * max(item.radii_m)
    center = np.array(item.center[:2])
    return np.array([center - reach, center + reach])


def _ring(item: Cylinder, center: Point, radius_m: float) -> npt.NDArray[np.float64]:
    """The corners of one end, N×2, turned as Blender's tracking quaternion turns them: local y looks up."""
    axis = np.array(item.end) - np.array(item.start)
    axis = axis / np.linalg.norm(axis)
    upward = UP - (UP @ axis) * axis
    steepness = np.linalg.norm(upward)
    upward = upward / steepness if steepness > 0 else np.array([0.0, -1.0, 0.0])
    turns = 2 * np.pi * np.arange(item.sides) / item.sides
    offsets = np.cos(turns)[:, None] * np.cross(upward, axis) + np.sin(turns)[:, None] * upward
    return np.asarray((np.array(center) + radius_m * offsets)[:, :2])
