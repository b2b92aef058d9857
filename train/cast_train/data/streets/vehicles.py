# SPDX-License-Identifier: Apache-2.0
"""Cars and trucks: an outline extruded across, wheels, lights and a number plate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cast_train.data.streets.builder import SceneBuilder
from cast_train.data.streets.scene import Point

Outline = Sequence[tuple[float, float]]  # (forward of the centre, above ground) in metres

LAMP_LIGHT = (1.0, 0.93, 0.8)
BEVEL_M = 0.06
REAR_OF_CAR_M = -2.24


@dataclass(frozen=True)
class Shape:
    """A body and, for cars, the cabin on it; wheels stand at these distances forward of the centre."""

    body: Outline
    cabin: Outline
    half_width_m: float
    wheels_m: tuple[float, float] = (-1.35, 1.4)


SEDAN = Shape(
    [(-2.2, 0.3), (-2.25, 0.85), (-1.7, 0.95), (1.0, 0.9), (2.1, 0.72), (2.25, 0.5), (2.2, 0.3)],
    [(-1.75, 0.93), (-0.95, 1.42), (0.25, 1.42), (1.05, 0.9)],
    0.88,
)
SUV = Shape(
    [(-2.2, 0.35), (-2.25, 0.95), (2.0, 0.95), (2.25, 0.75), (2.25, 0.35)],
    [(-2.2, 0.95), (-1.95, 1.65), (0.5, 1.65), (1.15, 0.95)],
    0.92,
)
CARS = {'sedan': SEDAN, 'suv': SUV}


def truck_shape(half_m: float) -> Shape:
    """A truck of length ``2 * half_m``."""
    body = [(-half_m, 0.4), (-half_m, 3.1), (half_m * 0.55, 3.1), (half_m * 0.56, 2.3), (half_m * 0.85, 2.2)]
    return Shape([*body, (half_m, 1.3), (half_m, 0.4)], (), 1.15, (-2, 1.9))


@dataclass(frozen=True)
class Place:
    """Where a vehicle stands and which way it faces (+1 away from the camera, -1 towards it)."""

    x: float
    y: float
    heading: int

    def at(self, across: float, forward: float, up: float) -> Point:
        """A point of the vehicle in the street."""
        return (self.x + across, self.y + self.heading * forward, up)


def add_vehicle(scene: SceneBuilder, x: float, y: float, heading: int, kind: str, speed_mps: float) -> None:
    """Place a ``sedan``, ``suv`` or ``truck`` with its colour drawn."""
    draw = scene.random
    color = [draw.uniform(0.02, 0.7) for _ in range(3)]
    grey = draw.choice([0.02, 0.1, 0.3, 0.8])
    color = color if draw.random() < 0.5 else [grey] * 3
    half_m = draw.uniform(3, 4.5)
    is_truck = kind == 'truck'
    shape = truck_shape(half_m) if is_truck else CARS[kind]
    place = Place(x, y, 1 if heading > 0 else -1)
    with scene.thing(speed_mps * place.heading):
        _add_parts(scene, place, shape, color, is_truck)


def _add_parts(scene: SceneBuilder, place: Place, shape: Shape, color: list[float], is_truck: bool) -> None:
    surface = 'truck' if is_truck else 'car'
    paint = scene.material(surface, color, 0.25, 0.3, coat=1.0)
    glass = scene.material(surface, (0.02, 0.025, 0.03), 0.05)
    tyre = scene.material(surface, (0.02, 0.02, 0.02), 0.8)
    rim = scene.material(surface, (0.5, 0.5, 0.5), 0.3, 0.8)
    front_light = scene.material(
        surface, (0.9, 0.9, 0.9), 0.1, emission=(1, 0.95, 0.85), emission_strength=60 if scene.night else 0.3
    )
    rear_light = scene.material(
        surface, (0.5, 0, 0), 0.2, emission=(1, 0.02, 0.01), emission_strength=8 if scene.night else 0.2
    )
    width = shape.half_width_m
    _extrude(scene, place, shape.body, width, 0.06, paint)
    if shape.cabin:
        _extrude(scene, place, shape.cabin, width * 0.92, 0.2, glass)
        _add_roof(scene, place, shape, paint)
    front_m, back_m = shape.body[-1][0] - 0.02, shape.body[0][0] if is_truck else REAR_OF_CAR_M
    for side in (-1, 1):
        for wheel_m in shape.wheels_m:
            inside, outside = (
                place.at(side * (width - 0.22), wheel_m, 0.33),
                place.at(side * (width + 0.02), wheel_m, 0.33),
            )
            scene.cylinder(inside, outside, 0.33, tyre, 20)
            scene.cylinder(
                place.at(side * width, wheel_m, 0.33), place.at(side * (width + 0.03), wheel_m, 0.33), 0.2, rim
            )
        scene.box(place.at(side * width * 0.68, front_m + 0.03, 0.66), (0.34, 0.08, 0.13), front_light)
        scene.box(place.at(side * width * 0.72, back_m, 0.78), (0.28, 0.06, 0.14), rear_light)
        if scene.night and not is_truck:
            lamp, ground = (
                place.at(side * width * 0.68, front_m + 0.12, 0.66),
                place.at(side * width * 0.5, front_m + 14, 0),
            )
            scene.spot(lamp, ground, 400, 60, LAMP_LIGHT)
    scene.box(place.at(0, back_m - 0.03, 0.55), (0.5, 0.02, 0.11), scene.material(surface, (0.8, 0.75, 0.3)))


def _extrude(
    scene: SceneBuilder, place: Place, outline: Outline, half_width_m: float, taper: float, material: int
) -> None:
    """Place an outline drawn out to both sides, narrower at its top by ``taper``."""
    count = len(outline)
    low, high = min(up for _, up in outline), max(up for _, up in outline)
    vertices = [
        place.at(side * half_width_m * (1 - taper * (up - low) / (high - low)), forward, up)
        for side in (-1, 1)
        for forward, up in outline
    ]
    sides = [tuple(range(count)), tuple(range(count, 2 * count))[::-1]]
    rim = [(i, count + i, count + (i + 1) % count, (i + 1) % count) for i in range(count)]
    scene.polyhedron(vertices, [*sides, *rim], material, BEVEL_M)


def _add_roof(scene: SceneBuilder, place: Place, shape: Shape, paint: int) -> None:
    highest = max(up for _, up in shape.cabin)
    (first, up), (second, _) = [point for point in shape.cabin if point[1] == highest]
    size = (shape.half_width_m * 1.45, abs(second - first), 0.05)
    scene.box(place.at(0, (first + second) / 2, up + 0.01), size, paint)
