# SPDX-License-Identifier: Apache-2.0
"""Strong views: the geometry of the weak view, other colours and less sharpness (Guided Distillation's settings)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from cast_train.settings import Settings, Share

BLUR_KERNEL_PX = 5


class StrongViews(Settings):
    """How far a strong view may differ from its weak view.

    Attributes:
        jitter: chance of changing colours at all.
        brightness, contrast, saturation: largest relative change.
        hue: largest turn, as a part of the colour circle.
        grayscale: chance of losing all colour.
        blur: chance of a Gaussian blur.
        blur_sigma_px: smallest and largest standard deviation of that blur.
    """

    jitter: Share = 0.8
    brightness: Share = 0.4
    contrast: Share = 0.4
    saturation: Share = 0.4
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    grayscale: Share = 0.2
    blur: Share = 0.5
    blur_sigma_px: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.1, 2.0)


def strong_view(image: Tensor, settings: StrongViews, seed: list[int]) -> Tensor:
    """Change a weak view (3×H×W uint8), colours of its own included, so that the strong one is the harder of the two.

    Args:
        image: the weak view.
        settings: how far to go.
        seed: the same seed gives the same view.
    """
    rng = np.random.default_rng(seed)
    if rng.random() < settings.jitter:
        changes = (
            (transform.adjust_brightness, rng.uniform(1 - settings.brightness, 1 + settings.brightness)),
            (transform.adjust_contrast, rng.uniform(1 - settings.contrast, 1 + settings.contrast)),
            (transform.adjust_saturation, rng.uniform(1 - settings.saturation, 1 + settings.saturation)),
            (transform.adjust_hue, rng.uniform(-settings.hue, settings.hue)),
        )
        for index in rng.permutation(len(changes)):
            change, amount = changes[index]
            image = change(image, float(amount))
    if rng.random() < settings.grayscale:
        image = transform.rgb_to_grayscale(image, num_output_channels=3)
    if rng.random() < settings.blur:
        sigma = float(rng.uniform(*settings.blur_sigma_px))
        image = transform.gaussian_blur(image, [BLUR_KERNEL_PX, BLUR_KERNEL_PX], [sigma, sigma])
    return image
