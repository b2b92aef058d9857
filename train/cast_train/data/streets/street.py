# SPDX-License-Identifier: Apache-2.0
"""A whole street from one seed: carriageway, pavements, buildings, lamps, trees, signs, traffic, camera and sky.

Source: the generator of the street benchmark; the same seed gives the same scene, draw by draw.
"""

from __future__ import annotations

import numpy as np

from cast_train.data.streets.builder import SceneBuilder
from cast_train.data.streets.outlook import add_outlook
from cast_train.data.streets.people import add_person
from cast_train.data.streets.scene import Scene
from cast_train.data.streets.vehicles import add_vehicle

LENGTH_M = 140
BEHIND_M = 10
GRAIN, ASPHALT_GRAIN = 4.0, 60.0  # scale of the noise in grown or trodden surfaces, and in asphalt
TRAFFIC_MPS = 8.0
NARROW_M = 5  # half width from which on a street has parking lanes
WALLS = ((0.35, 0.16, 0.1), (0.5, 0.42, 0.33), (0.3, 0.3, 0.32), (0.55, 0.5, 0.45), (0.2, 0.22, 0.25))
LAMP_TINTS = ((1.0, 0.72, 0.38), (1.0, 0.9, 0.75), (0.85, 0.92, 1.0))
SIGNS = ((0.7, 0.02, 0.02), (0.02, 0.1, 0.6), (0.8, 0.7, 0.02))


def build_scene(seed: int, night: bool) -> Scene:
    """Describe the street of ``seed``; by night the same street has other light."""
    scene = SceneBuilder(seed, night)
    draw = scene.random
    half_road_m = draw.choice([3.5, 3.25]) * draw.choice([1, 2])
    _add_ground(scene, half_road_m)
    pavement_m = draw.uniform(2.5, 4.0)
    paving = scene.material('sidewalk', (0.32, 0.31, 0.3), 0.9, noise_scale=GRAIN)
    for side in (-1, 1):
        center = (side * (half_road_m + pavement_m / 2), LENGTH_M / 2 - BEHIND_M, 0.06)
        scene.box(center, (pavement_m, LENGTH_M + 20, 0.14), paving)
        _add_buildings(scene, side, half_road_m + pavement_m)
        _add_lamps(scene, side, half_road_m)
        _add_trees(scene, side, half_road_m)
        _add_signs(scene, side, half_road_m)
        for _ in range(draw.randint(1, 5)):
            add_person(scene, side * (half_road_m + draw.uniform(0.8, pavement_m)), draw.uniform(5, 40))
        _add_parked_cars(scene, side, half_road_m)
    lane_m = half_road_m / 4 if half_road_m > NARROW_M else half_road_m / 2
    _add_traffic(scene, lane_m, half_road_m)
    x, y = draw.uniform(-half_road_m * 0.6, half_road_m * 0.6), draw.uniform(9, 25)
    if draw.random() < 0.5:
        add_person(scene, x, y)
    return add_outlook(scene, lane_m)


def _add_ground(scene: SceneBuilder, half_road_m: float) -> None:
    draw = scene.random
    wet = draw.random() < 0.3
    field = [(-200, -30, -0.05), (200, -30, -0.05), (200, 400, -0.05), (-200, 400, -0.05)]
    scene.polyhedron(field, [(0, 1, 2, 3)], scene.material('terrain', (0.08, 0.14, 0.04), 0.95, noise_scale=GRAIN))
    asphalt = scene.material('road', (0.06, 0.06, 0.065), 0.15 if wet else 0.85, noise_scale=ASPHALT_GRAIN)
    middle = LENGTH_M / 2 - BEHIND_M
    scene.box((0, middle, -0.02), (2 * half_road_m, LENGTH_M + 20, 0.06), asphalt)
    paint = scene.material('road', (0.75, 0.75, 0.72), 0.6)
    for y in np.arange(-5, LENGTH_M, 6.0).tolist():
        scene.box((0, y, 0.012), (0.14, 3, 0.006), paint)
    if half_road_m > NARROW_M:
        for side in (-1, 1):
            for y in np.arange(-5, LENGTH_M, 9.0).tolist():
                scene.box((side * half_road_m / 2, y, 0.012), (0.12, 3, 0.006), paint)
    for side in (-1, 1):
        scene.box((side * (half_road_m - 0.25), middle, 0.011), (0.12, LENGTH_M, 0.004), paint)
    crossing_y = draw.uniform(12, 28)
    if draw.random() < 0.6:
        for x in np.arange(-half_road_m + 0.5, half_road_m - 0.3, 0.9).tolist():
            scene.box((x, crossing_y, 0.013), (0.45, 2.8, 0.006), paint)


def _add_buildings(scene: SceneBuilder, side: int, pavement_edge_m: float) -> None:
    draw, y = scene.random, -8.0
    while y < LENGTH_M:
        width, height, depth, setback = (
            draw.uniform(8, 18),
            draw.uniform(5, 22),
            draw.uniform(8, 14),
            draw.uniform(0, 2.5),
        )
        wall = np.clip(np.array(draw.choice(WALLS)) * draw.uniform(0.7, 1.2), 0, 1).tolist()
        shop, shop_lit = draw.random() < 0.5, draw.random() < 0.6
        if draw.random() < 0.82:
            facade = scene.material('building', wall, 0.85, facade=scene.draw_facade())
            center = (side * (pavement_edge_m + setback + depth / 2), y + width / 2, height / 2)
            scene.box(center, (depth, width - 0.2, height), facade)
            if shop:
                glow = 1.2 if scene.night and shop_lit else 0.0
                window = scene.material(
                    'building', (0.05, 0.07, 0.09), 0.1, emission=(1, 0.9, 0.7), emission_strength=glow
                )
                front = (side * (pavement_edge_m + setback - 0.05), y + width / 2, 1.5)
                scene.box(front, (0.12, width * 0.8, 2.4), window)
        else:
            for _ in range(2):
                _add_tree(scene, side * (pavement_edge_m + draw.uniform(1, 6)), y + draw.uniform(0, width))
        y += width


def _add_lamps(scene: SceneBuilder, side: int, half_road_m: float) -> None:
    draw = scene.random
    for y in np.arange(draw.uniform(4, 12), LENGTH_M, draw.uniform(18, 28)).tolist():
        metal, x = scene.material('pole', (0.12, 0.12, 0.12), 0.4, 0.7), side * (half_road_m + 0.45)
        working, tint = draw.random() < 0.85, draw.choice(LAMP_TINTS)
        over_road = x - side * 1.6
        scene.cylinder((x, y, 0), (x, y, 6.5), 0.07, metal)
        scene.cylinder((x, y, 6.4), (over_road, y, 6.7), 0.05, metal)
        strength = 80 if scene.night and working else 0
        glass = scene.material('pole', (0.8, 0.8, 0.7), emission=(1, 0.75, 0.4), emission_strength=strength)
        scene.box((over_road, y, 6.66), (0.5, 0.22, 0.1), glass)
        if scene.night and working and y < 70:
            scene.spot((over_road, y, 6.55), (x - side * 1.9, y, 0), 900, 125, tint, 0.15, 0.8)


def _add_trees(scene: SceneBuilder, side: int, half_road_m: float) -> None:
    draw = scene.random
    for y in np.arange(draw.uniform(8, 20), LENGTH_M, draw.uniform(14, 30)).tolist():
        if draw.random() < 0.6:
            _add_tree(scene, side * (half_road_m + 1.1), y)


def _add_tree(scene: SceneBuilder, x: float, y: float) -> None:
    draw = scene.random
    height = draw.uniform(2, 3.5)
    color = (draw.uniform(0.03, 0.12), draw.uniform(0.12, 0.25), 0.03)
    leaves = scene.material('vegetation', color, 0.9, noise_scale=GRAIN)
    top = (x + draw.uniform(-0.2, 0.2), y, height)
    scene.cylinder((x, y, 0), top, 0.18, scene.material('vegetation', (0.08, 0.05, 0.03), 0.9), 10, 0.1)
    for _ in range(draw.randint(5, 9)):
        center = (x + draw.uniform(-1.1, 1.1), y + draw.uniform(-1.1, 1.1), height + draw.uniform(-0.2, 2.2))
        scene.blob(center, draw.uniform(0.7, 1.4), leaves, 0.3, 3)


def _add_signs(scene: SceneBuilder, side: int, half_road_m: float) -> None:
    draw = scene.random
    for _ in range(draw.randint(0, 2)):
        y, x = draw.uniform(10, 50), side * (half_road_m + 0.4)
        color, corners = draw.choice(SIGNS), draw.choice([3, 8, 24])
        scene.cylinder((x, y, 0), (x, y, 2.4), 0.035, scene.material('pole', (0.4, 0.4, 0.4), 0.4, 0.8))
        scene.cylinder((x, y - 0.05, 2.4), (x, y - 0.08, 2.4), 0.35, scene.material('sign', color, 0.3), corners)


def _add_parked_cars(scene: SceneBuilder, side: int, half_road_m: float) -> None:
    draw = scene.random
    for y in np.arange(draw.uniform(5, 9), 70, draw.uniform(6, 11)).tolist():
        parked, kind = draw.random() < 0.5, draw.choice(['sedan', 'suv', 'sedan'])
        if half_road_m > NARROW_M and parked:
            add_vehicle(scene, side * (half_road_m - 1.15), y, side, kind, 0.0)


def _add_traffic(scene: SceneBuilder, lane_m: float, half_road_m: float) -> None:
    draw = scene.random
    y = draw.uniform(9, 16)
    while y < 90:
        x = lane_m * (1.1 if half_road_m < NARROW_M else 1.0)
        add_vehicle(scene, x, y, 1, draw.choice(['sedan', 'sedan', 'suv', 'truck']), TRAFFIC_MPS)
        y += draw.uniform(14, 40)
    y = draw.uniform(10, 25)
    while y < 90:
        add_vehicle(scene, -lane_m, y, -1, draw.choice(['sedan', 'suv', 'sedan', 'truck']), TRAFFIC_MPS)
        y += draw.uniform(12, 35)
