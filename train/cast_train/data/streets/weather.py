# SPDX-License-Identifier: Apache-2.0
"""Fog, rain and snow over a rendered scene. They change how it looks, never its labels or depth.

Each scene draws its weather from a stream of its own, so the street stays that of its seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from cast_train.data.streets.scene import Color, Material, Scene

KINDS = ('clear', 'rain', 'fog', 'snow')
CHOICES = (*KINDS, 'random')
STREAM = 0x57EA  # sets this stream apart from the others of the same seed
CONTRAST_LEFT = 0.05  # contrast at the visual range, by its meteorological definition (Koschmieder)
GAMMA = 2.2
OVERCAST: Color = (0.62, 0.68, 0.75)
SNOW_COLOR: Color = (0.82, 0.84, 0.88)
WET_SURFACES, WHITE_SURFACES = ('road', 'sidewalk'), ('road', 'sidewalk', 'terrain', 'vegetation')


@dataclass(frozen=True)
class Weather:
    """What one scene's air and ground are like.

    Attributes:
        visual_range_m: where 5 % of the contrast are left; infinite in clear air.
        cover: 0-1, how wet or white the ground is.
        drops_per_megapixel: rain streaks or snow flakes in a picture.
    """

    kind: str
    visual_range_m: float = float('inf')
    cover: float = 0.0
    drops_per_megapixel: int = 0


def draw_weather(choice: str, seed: int) -> Weather:
    """The weather of a scene: the same for all its views, by day and by night."""
    random = np.random.default_rng([seed, STREAM])
    kind = str(random.choice(KINDS)) if choice == 'random' else choice

    def draw_count(fewest: int, most: int) -> int:
        return int(random.integers(fewest, most))

    makers: dict[str, Callable[[], Weather]] = {
        'clear': lambda: Weather('clear'),
        'rain': lambda: Weather(
            'rain', random.uniform(150, 500), random.uniform(0.5, 1), int(random.integers(3000, 12000))
        ),
        'fog': lambda: Weather('fog', random.uniform(25, 120)),
        'snow': lambda: Weather(
            'snow', random.uniform(80, 300), random.uniform(0.3, 0.95), int(random.integers(2000, 9000))
        ),
    }
    return makers[kind]()


def put_into(scene: Scene, weather: Weather) -> Scene:
    """The scene with wet or white ground and a closed sky; its geometry is untouched."""
    if weather.kind == 'clear':
        return scene
    treat = {'rain': _wet, 'snow': _white}.get(weather.kind)
    materials = scene.materials
    if treat:
        materials = tuple(treat(material, weather.cover) for material in materials)
    sky = scene.sky if scene.night else replace(scene.sky, color=OVERCAST, strength=0.8, sun_disc=False)
    return replace(scene, materials=materials, sky=sky)


def show(
    bgr: npt.NDArray[np.uint8], depth_m: npt.NDArray[np.float32], weather: Weather, night: bool, seed: int, frame: int
) -> npt.NDArray[np.uint8]:
    """The picture seen through the weather, H×W×3 uint8; ``depth_m`` is H×W."""
    if weather.kind == 'clear':
        return bgr
    random = np.random.default_rng([seed, STREAM, frame])
    linear = (bgr.astype(np.float32) / 255) ** GAMMA
    clear = np.exp(np.log(CONTRAST_LEFT) * np.minimum(depth_m, 1e4) / weather.visual_range_m)[..., None]
    air = np.float32(0.035 if night else 0.55)
    if night:  # lamps light the mist around them
        linear = linear + (1 - clear.mean()) * 0.5 * cv2.GaussianBlur(linear, (0, 0), bgr.shape[1] / 40)
    hazy = linear * clear + air * (1 - clear)
    if weather.drops_per_megapixel:
        hazy = hazy + _drops(bgr.shape[:2], weather, random)[..., None] * (0.08 if night else 0.35)
    return np.asarray(np.clip(255 * np.clip(hazy, 0, 1) ** (1 / GAMMA), 0, 255).round(), np.uint8)


def _wet(material: Material, cover: float) -> Material:
    if material.surface not in WET_SURFACES:
        return material
    red, green, blue = (value * (1 - 0.4 * cover) for value in material.color)
    return replace(material, color=(red, green, blue), roughness=material.roughness * (1 - cover) + 0.12 * cover)


def _white(material: Material, cover: float) -> Material:
    if material.surface not in WHITE_SURFACES:
        return material
    share = cover * (0.5 if material.surface == 'road' else 1)  # wheels clear the road
    red, green, blue = (a * (1 - share) + b * share for a, b in zip(material.color, SNOW_COLOR, strict=True))
    return replace(material, color=(red, green, blue), roughness=0.9)


def _drops(shape: tuple[int, int], weather: Weather, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Brightness that streaks or flakes add, H×W, 0-1; nearer ones are larger and fewer."""
    height, width = shape
    layer = np.zeros(shape, np.float32)
    count = weather.drops_per_megapixel * height * width // 1_000_000
    slant = random.uniform(-0.25, 0.25)
    places = random.uniform((0, 0), (width, height), (count, 2))
    for (x, y), size in zip(places.tolist(), (random.exponential(0.4, count) + 0.2).tolist(), strict=True):
        scale, start = size * height / 256, (int(x), int(y))
        if weather.kind == 'rain':
            end = (int(x + slant * 16 * scale), int(y + 16 * scale))
            cv2.line(layer, start, end, min(1.0, 0.5 * size), 1, cv2.LINE_AA)
        else:
            cv2.circle(layer, start, max(1, round(1.4 * scale)), min(1.0, size), -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), max(0.5, height / 500)), np.float32)
