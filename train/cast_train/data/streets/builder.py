# SPDX-License-Identifier: Apache-2.0
"""Collects the materials and objects of a scene in order, and owns its random stream.

Every random number of a scene comes from one stream, drawn by day and by night alike: the same seed is the same street
in both lights. Another order of draws makes other streets out of all seeds, so options never draw from it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cast_train.data.streets.scene import (
    SURFACES,
    Blob,
    Color,
    Cylinder,
    Facade,
    Material,
    Point,
    Polyhedron,
    SceneObject,
    Spot,
)

BOX_FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
BLOB_VERTICES = {2: 42, 3: 162}  # of an icosphere with so many subdivisions
SMOOTH_BELOW = 0.05


class SceneBuilder:
    """What has been placed so far; ``random`` is the scene's stream."""

    def __init__(self, seed: int, night: bool) -> None:
        self.seed, self.night = seed, night
        self.random = random.Random(seed)  # noqa: S311, streets are no secret, and the shared set is made of this stream
        self.materials: list[Material] = []
        self.objects: list[SceneObject] = []
        self.speeds_mps: list[float] = []
        self._thing = 0

    @contextmanager
    def thing(self, speed_mps: float) -> Iterator[None]:
        """Make one thing of everything that is placed inside the block."""
        self.speeds_mps.append(speed_mps)
        self._thing = len(self.speeds_mps)
        yield
        self._thing = 0

    def material(
        self,
        surface: str,
        color: Sequence[float],
        roughness: float = 0.7,
        metallic: float = 0.0,
        emission: Color | None = None,
        emission_strength: float = 0.0,
        noise_scale: float = 0.0,
        coat: float = 0.0,
        facade: Facade | None = None,
    ) -> int:
        """Add a material and return its number."""
        if surface not in SURFACES:
            raise ValueError(f'unknown surface {surface!r}')
        red, green, blue = color
        self.materials.append(
            Material(
                surface,
                (red, green, blue),
                roughness,
                metallic,
                emission,
                emission_strength,
                noise_scale,
                coat,
                facade,
            )
        )
        return len(self.materials) - 1

    def draw_facade(self) -> Facade:
        """Draw the windows of a building."""
        uniform = self.random.uniform
        width, height, wall = uniform(1.6, 3.0), uniform(2.8, 3.6), uniform(0.35, 0.6)
        lit_from, lit = uniform(0.07, 0.1), uniform(0.1, 0.5)
        return Facade(width, height, wall, lit_from, lit, (1.0, uniform(0.6, 0.85), uniform(0.3, 0.6)))

    def polyhedron(
        self, vertices: Sequence[Point], faces: Sequence[tuple[int, ...]], material: int, bevel_m: float = 0.0
    ) -> None:
        """Place a mesh."""
        self.objects.append(Polyhedron(tuple(vertices), tuple(faces), material, self._thing, bevel_m))

    def box(self, center: Point, size: Point, material: int) -> None:
        """Place a box that stands straight."""
        (x, y, z), (a, b, c) = center, (size[0] / 2, size[1] / 2, size[2] / 2)
        corners = [(x + i * a, y + j * b, z + k * c) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
        self.polyhedron(corners, BOX_FACES, material)

    def cylinder(
        self,
        start: Point,
        end: Point,
        radius_m: float,
        material: int,
        sides: int = 12,
        end_radius_m: float | None = None,
    ) -> None:
        """Place a cylinder, or a cone when the radii differ."""
        end_radius_m = radius_m if end_radius_m is None else end_radius_m
        self.objects.append(Cylinder(start, end, radius_m, end_radius_m, sides, material, self._thing))

    def blob(
        self, center: Point, radius_m: float, material: int, jitter: float, subdivisions: int, scale: Point = (1, 1, 1)
    ) -> None:
        """Place a ball whose vertices move in and out by up to ``jitter`` of its radius."""
        # Drawn even without jitter: the stream of the shared set has these numbers in it.
        shifts = (self.random.uniform(-jitter, jitter) for _ in range(BLOB_VERTICES[subdivisions]))
        radii = tuple(radius_m * (1 + shift) for shift in shifts)
        self.objects.append(Blob(center, radii, subdivisions, scale, jitter < SMOOTH_BELOW, material, self._thing))

    def spot(
        self,
        position: Point,
        target: Point,
        power_w: float,
        angle_deg: float,
        color: Color,
        radius_m: float = 0.05,
        blend: float = 0.6,
    ) -> None:
        """Place a lamp."""
        self.objects.append(Spot(position, target, power_w, angle_deg, color, radius_m, blend, self._thing))
