# SPDX-License-Identifier: Apache-2.0
"""Depth Anything, real Hugging Face code on random weights: metres or disparity at the size of the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_foundation import write_depth_anything, write_sam

from cast_train.errors import TeacherError
from cast_train.teachers.cache import LabelCache
from cast_train.teachers.registry import open_teacher

PICTURE = np.random.default_rng(0).integers(0, 255, (48, 80, 3), np.uint8)


def test_a_relative_network_gives_disparity_that_survives_the_cache(tmp_path: Path) -> None:
    teacher = open_teacher('depth_anything', {'network': str(write_depth_anything(tmp_path / 'n', 'relative'))}, ())
    (answer,) = teacher.label([PICTURE], [60.0])
    assert answer.depth_m is None
    assert answer.disparity is not None
    assert answer.disparity.shape == (48, 80)
    cache = LabelCache(tmp_path / 'cache', teacher.fingerprint)
    cache.store(cache.key(PICTURE, 60.0), answer)
    again = cache.load(cache.key(PICTURE, 60.0))
    assert again is not None
    assert again.disparity is not None
    assert np.array_equal(again.disparity, answer.disparity)


def test_metres_are_scaled_to_the_camera_of_the_picture(tmp_path: Path) -> None:
    network = str(write_depth_anything(tmp_path / 'n', 'metric'))
    plain = open_teacher('depth_anything', {'network': network}, ())
    scaled = open_teacher('depth_anything', {'network': network, 'fx_over_width': 0.5}, ())
    (as_it_is,) = plain.label([PICTURE], [80.0])
    (for_camera, unknown) = scaled.label([PICTURE, PICTURE], [80.0, None])
    assert as_it_is.depth_m is not None
    assert for_camera.depth_m is not None
    assert 0 < float(as_it_is.depth_m.min()) < 80
    # fx is 80 of 80 pixels, twice the share that the network learned with.
    assert np.allclose(for_camera.depth_m, 2 * as_it_is.depth_m)
    assert np.array_equal(unknown.depth_m, as_it_is.depth_m)
    assert plain.fingerprint != scaled.fingerprint


def test_from_the_cap_on_it_is_sky(tmp_path: Path) -> None:
    network = str(write_depth_anything(tmp_path / 'n', 'metric'))
    (answer,) = open_teacher('depth_anything', {'network': network, 'cap_m': 1.0}, ()).label([PICTURE], [None])
    assert answer.depth_m is not None
    assert np.isposinf(answer.depth_m).all()


def test_the_most_that_a_network_can_say_is_sky_unless_told_otherwise(tmp_path: Path) -> None:
    """Its head ends in a sigmoid: 80 m themselves are never reached."""
    folder = write_depth_anything(tmp_path / 'n', 'metric', max_depth_m=20)
    weights = load_file(folder / 'model.safetensors')
    weights['head.conv3.bias'] = torch.full_like(weights['head.conv3.bias'], 4.0)
    save_file(weights, folder / 'model.safetensors')
    (answer,) = open_teacher('depth_anything', {'network': str(folder)}, ()).label([PICTURE], [None])
    (told,) = open_teacher('depth_anything', {'network': str(folder), 'cap_m': 20.0}, ()).label([PICTURE], [None])
    assert answer.depth_m is not None
    assert told.depth_m is not None
    assert np.isposinf(answer.depth_m).any()
    assert float(told.depth_m.max()) < 20
    assert np.array_equal(np.isposinf(answer.depth_m), told.depth_m >= 0.95 * 20)


def test_broken_weights_and_other_networks_are_refused(tmp_path: Path) -> None:
    folder = write_depth_anything(tmp_path / 'n', 'metric')
    weights = load_file(folder / 'model.safetensors')
    save_file(
        {name: torch.full_like(tensor, torch.nan) for name, tensor in weights.items()}, folder / 'model.safetensors'
    )
    with pytest.raises(TeacherError, match='answers numbers that are not finite; its weights are broken'):
        open_teacher('depth_anything', {'network': str(folder)}, ()).label([PICTURE], [None])
    with pytest.raises(TeacherError, match="holds a 'sam', not a depth_anything"):
        open_teacher('depth_anything', {'network': str(write_sam(tmp_path / 'sam'))}, ())
