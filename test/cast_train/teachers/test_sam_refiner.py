# SPDX-License-Identifier: Apache-2.0
"""Segment Anything, real Hugging Face code on random weights: masks in, run lengths out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_foundation import write_sam
from tiny_grounded_sam2 import tiny_grounded_sam2

from cast_train.errors import TeacherError
from cast_train.teachers.cache import LabelCache
from cast_train.teachers.registry import open_teacher
from cast_train.teachers.sam_refiner import SamRefiner, SamRefinerSettings

PICTURE = np.random.default_rng(0).integers(0, 255, (48, 80, 3), np.uint8)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sam(tmp_path_factory.mktemp('sam'))


def settings(folder: Path, **changes: object) -> dict[str, object]:
    lenient = {'points_per_side': 4, 'quality': 0.0, 'stability': 0.0, 'crop_layers': 0, 'smallest_px': 1}
    return {'network': str(folder), **lenient, **changes}


def test_masks_lie_in_the_picture_and_come_back_from_the_cache(folder: Path, tmp_path: Path) -> None:
    teacher = open_teacher('sam_refiner', settings(folder), ())
    (answer,) = teacher.label([PICTURE], [None])
    assert answer.segments is not None
    assert len(answer.segments) >= 1
    masks = answer.segments.crop(0, 0, 48, 80)
    assert masks.shape == (len(answer.segments), 48, 80)
    for mask, (x0, y0, x1, y1) in zip(masks, answer.segments.boxes, strict=True):
        assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0
    cache = LabelCache(tmp_path, teacher.fingerprint)
    stored = cache.store(cache.key(PICTURE, None), answer)
    again = cache.load(cache.key(PICTURE, None))
    assert again is not None
    assert again.segments is not None
    assert stored.segments is not None
    assert again.segments.runs == stored.segments.runs == answer.segments.runs
    assert np.array_equal(again.segments.boxes, answer.segments.boxes)


def test_small_masks_are_dropped(folder: Path) -> None:
    (answer,) = SamRefiner(SamRefinerSettings.model_validate(settings(folder, smallest_px=10**6))).label([PICTURE], [1])
    assert answer.segments is not None
    assert len(answer.segments) == 0


@pytest.mark.parametrize('kind', ['sam', 'sam2'])
def test_it_looks_again_at_parts_of_the_picture_as_it_does_by_default(folder: Path, kind: str, tmp_path: Path) -> None:
    network = folder if kind == 'sam' else tiny_grounded_sam2(tmp_path)[1]
    lenient = {'points_per_side': 4, 'quality': 0.0, 'stability': 0.0, 'smallest_px': 1}
    (answer,) = open_teacher('sam_refiner', {'network': str(network), **lenient}, ()).label([PICTURE], [None])
    assert answer.segments is not None
    assert answer.segments.crop(0, 0, 48, 80).shape[1:] == (48, 80)
    plain = SamRefinerSettings(network='any')
    assert (plain.crop_layers, plain.points_per_side) == (1, 32)


def test_settings_change_the_fingerprint_and_where_the_folder_lies_does_not(folder: Path, tmp_path: Path) -> None:
    def fingerprint(**changes: object) -> str:
        return open_teacher('sam_refiner', settings(folder, **changes), ()).fingerprint

    elsewhere = write_sam(tmp_path / 'other')
    assert fingerprint() == fingerprint(network=str(elsewhere), points_at_once=3)
    assert fingerprint() != fingerprint(quality=0.5)


def test_a_folder_with_another_network_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = write_sam(tmp_path / 'copy')
    config = json.loads((copy / 'config.json').read_text())
    (copy / 'config.json').write_text(json.dumps({**config, 'model_type': 'bert'}))
    with pytest.raises(TeacherError, match="holds a 'bert', not a Segment Anything; known are sam, sam2"):
        open_teacher('sam_refiner', settings(copy), ())
    with pytest.raises(TeacherError, match=r'model\.safetensors: no such file'):
        open_teacher('sam_refiner', settings(tmp_path / 'nowhere'), ())
