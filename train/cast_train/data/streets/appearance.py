# SPDX-License-Identifier: Apache-2.0
"""Other colours, gloss and light for the same street: domain randomisation that leaves labels and depth alone."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np

from cast_train.data.streets.scene import Color, Material, Scene

CHOICES = ('default', 'random')
STREAM = 0xA99E  # sets this stream apart from the others of the same seed
FREE_COLORS = ('car', 'truck', 'person', 'building')  # painted or dyed: any hue will do


def randomise(scene: Scene, choice: str) -> Scene:
    """The scene as it is (``default``), or with its looks drawn anew from a stream of its own (``random``)."""
    if choice == 'default':
        return scene
    random = np.random.default_rng([scene.seed, STREAM])
    materials = tuple(_repaint(material, random) for material in scene.materials)
    sky = replace(
        scene.sky,
        strength=scene.sky.strength * float(2 ** random.uniform(-0.7, 0.7)),
        sun_elevation_rad=float(np.radians(random.uniform(4, 75))),
        sun_azimuth_rad=float(random.uniform(0, 2 * np.pi)),
    )
    lamps = tuple(replace(lamp, power_w=lamp.power_w * float(2 ** random.uniform(-1, 1))) for lamp in scene.headlights)
    exposure = scene.exposure + float(random.uniform(-0.5, 0.5))
    return replace(scene, materials=materials, sky=sky, headlights=lamps, exposure=exposure)


def _repaint(material: Material, random: np.random.Generator) -> Material:
    hue_shift = random.uniform(0, 1) if material.surface in FREE_COLORS else random.normal(0, 0.03)
    hue, saturation, value = colorsys.rgb_to_hsv(*material.color)
    saturation = min(1.0, saturation * 2 ** random.normal(0, 0.4))
    value = min(0.95, value * 2 ** random.normal(0, 0.4))
    color: Color = colorsys.hsv_to_rgb((hue + hue_shift) % 1, saturation, value)
    roughness = float(np.clip(material.roughness + random.normal(0, 0.12), 0.03, 1))
    scale = material.noise_scale * float(2 ** random.uniform(-1, 1))
    return replace(material, color=color, roughness=roughness, noise_scale=scale)
