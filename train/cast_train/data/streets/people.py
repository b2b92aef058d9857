# SPDX-License-Identifier: Apache-2.0
"""Persons, standing or walking."""

from __future__ import annotations

from cast_train.data.streets.builder import SceneBuilder

PAVEMENT_HEIGHT_M = 0.12


def add_person(scene: SceneBuilder, x: float, y: float) -> None:
    """Place a person with size, clothes, skin and pace drawn."""
    draw = scene.random
    height, stride = draw.uniform(0.9, 1.08), draw.uniform(0.05, 0.3)
    skin = draw.choice([(0.6, 0.4, 0.3), (0.35, 0.2, 0.12), (0.75, 0.55, 0.45)])
    shirt = [draw.uniform(0.02, 0.8) for _ in range(3)]
    trousers = [draw.uniform(0.01, 0.25) for _ in range(3)]
    with scene.thing(draw.choice([-1.3, 0.0, 1.3])):
        top, legs = scene.material('person', shirt, 0.9), scene.material('person', trousers, 0.9)
        face = scene.material('person', skin, 0.6)
        for side in (-1, 1):
            _add_limbs(scene, x, y, side, height, stride, top, legs)
        z = PAVEMENT_HEIGHT_M
        scene.cylinder((x, y, z + 0.8 * height), (x, y, z + 1.45 * height), 0.15, top, 14, 0.19)
        scene.blob((x, y, z + 1.45 * height), 0.19, top, 0, 2, (1, 0.8, 0.5))
        scene.blob((x, y, z + 1.66 * height), 0.11, face, 0, 3, (0.9, 1, 1.2))
        hair = scene.material('person', (0.05, 0.03, 0.02))
        scene.blob((x, y - 0.015, z + 1.71 * height), 0.112, hair, 0, 3, (0.95, 1, 1.1))


def _add_limbs(
    scene: SceneBuilder, x: float, y: float, side: int, height: float, stride: float, top: int, legs: int
) -> None:
    """Place the leg, arm and shoe of one side; the arm swings against the leg."""
    z = PAVEMENT_HEIGHT_M
    foot, hip = (x + side * 0.09, y + side * stride, z), (x + side * 0.08, y, z + 0.85 * height)
    scene.cylinder(foot, hip, 0.065, legs, 10, 0.09)
    hand = (x + side * 0.24, y - side * stride * 0.8, z + 0.85 * height)
    scene.cylinder(hand, (x + side * 0.21, y, z + 1.42 * height), 0.045, top, 8, 0.055)
    scene.blob((x + side * 0.09, y + side * stride + 0.05, z + 0.03), 0.07, legs, 0, 2, (1, 1.7, 0.7))
