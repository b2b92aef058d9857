# SPDX-License-Identifier: Apache-2.0
"""The last draws of a scene: its camera, the headlights below it, and the sky."""

from __future__ import annotations

import math

import numpy as np

from cast_train.data.streets.builder import SceneBuilder
from cast_train.data.streets.scene import Camera, Scene, Sky, Spot

NIGHT_SKY = (0.02, 0.025, 0.05)
DAY_SKY_STRENGTH = 0.12


def add_outlook(scene: SceneBuilder, lane_m: float) -> Scene:
    """Draw camera and sky, and return the finished scene."""
    draw, night = scene.random, scene.night
    angle_rad = math.radians(draw.uniform(62, 84))
    position = (lane_m * draw.uniform(0.8, 1.1), 0.0, draw.uniform(1.2, 1.7))
    pitch_rad, yaw_rad = math.radians(90 - draw.uniform(0, 4)), math.radians(draw.uniform(-3, 3))
    camera = Camera(position, pitch_rad, yaw_rad, angle_rad)
    dark, elevation, azimuth = draw.uniform(0.05, 0.3), draw.uniform(15, 60), draw.uniform(0, 2 * math.pi)
    disc = draw.random() < 0.7
    exposure = draw.uniform(-1.1, -0.3) if night else draw.uniform(-0.6, 0.1)
    sky = Sky(NIGHT_SKY if night else None, dark if night else DAY_SKY_STRENGTH, math.radians(elevation), azimuth, disc)
    return Scene(
        scene.seed,
        night,
        tuple(scene.materials),
        tuple(scene.objects),
        tuple(scene.speeds_mps),
        camera,
        _headlights(camera) if night else (),
        sky,
        exposure,
    )


def _headlights(camera: Camera) -> tuple[Spot, ...]:
    # Blender keeps places in single precision, and the lamps stand relative to where the camera then is.
    middle = float(np.float32(camera.position[0]))
    return tuple(
        Spot((middle + side, 0.8, 0.65), (middle + side + side * 0.2, 18.0, 0.1), 1200, 65, (1, 0.95, 0.85), 0.05, 0.6)
        for side in (-0.6, 0.6)
    )


def camera_document(
    camera: Camera, width_px: int, height_px: int, stamp_s: float, ego_speed_mps: float
) -> dict[str, object]:
    """What a camera file says; the optical axis goes through the middle of the picture.

    The focal length is in double precision; Blender, which keeps its lens in single precision, has it 2e-7 off.
    """
    focal = width_px / 2 / math.tan(camera.horizontal_angle_rad / 2)
    return {
        'fx': focal,
        'fy': focal,
        'cx': (width_px - 1) / 2,
        'cy': (height_px - 1) / 2,
        'width': width_px,
        'height': height_px,
        'stamp': stamp_s,
        'ego_speed': ego_speed_mps,
    }
