# SPDX-License-Identifier: Apache-2.0
"""A small model of a camera's sensor: bloom and shot noise by night, faint read noise by day."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class SensorDraw:
    """The random numbers of one picture; ``noise`` is H×W×3, standard normal."""

    noise: npt.NDArray[np.float64]
    gain: float
    read_noise: float
    blur_px: float


class Sensor:
    """The sensor of one scene: its pictures are noisy one after the other, so each must be drawn, kept or not."""

    def __init__(self, seed: int, night: bool, height_px: int, width_px: int) -> None:
        self._random = np.random.default_rng([seed, night])
        self._night, self._shape = night, (height_px, width_px, 3)

    def draw(self) -> SensorDraw:
        """Draw the numbers of the next picture."""
        random = self._random
        if not self._night:
            return SensorDraw(random.normal(size=self._shape), 0.0, random.uniform(0.5, 2.5), 0.0)
        gain = random.uniform(0.05, 0.25)
        noise, read_noise = random.normal(size=self._shape), random.uniform(1, 6)
        blur_px = random.uniform(0.4, 0.9) if random.random() < 0.3 else 0.0
        return SensorDraw(noise, gain, read_noise, blur_px)

    def expose(self, bgr: npt.NDArray[np.uint8], draw: SensorDraw) -> npt.NDArray[np.uint8]:
        """The picture as the sensor gives it, H×W×3 uint8."""
        image = bgr.astype(np.float32)
        if self._night:
            bright = np.clip(image - 200, 0, None)
            image = image + 0.8 * cv2.GaussianBlur(bright, (0, 0), 4) + 0.4 * cv2.GaussianBlur(bright, (0, 0), 12)
            spread = np.sqrt(np.clip(image, 0, None) * draw.gain + draw.read_noise)
            exposed = image + draw.noise * spread
            if draw.blur_px:
                exposed = cv2.GaussianBlur(exposed, (0, 0), draw.blur_px)
        else:
            exposed = image + draw.noise * draw.read_noise
        return np.asarray(np.clip(exposed, 0, 255), np.uint8)
