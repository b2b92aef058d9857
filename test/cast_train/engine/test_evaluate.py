# SPDX-License-Identifier: Apache-2.0
"""Judging by labels that do not tell all classes of the student apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from drawn_road import HEIGHT, WIDTH, draw_idd_flat

from cast_ros.student import InputSpec, Prediction, StudentContract
from cast_train.data import CLASS_MAPS, Sample, open_dataset
from cast_train.engine.evaluate import evaluate
from cast_train.errors import DataError

ROAD = CLASS_MAPS['road'].classes
CONTRACT = StudentContract(
    name='x', version='1', license='x', input=InputSpec(height=32, width=32), classes=ROAD, outputs=('semantic',)
)


class Says:
    """A student that always answers the same class map."""

    contract = CONTRACT

    def __init__(self, semantic: npt.NDArray[np.uint8]) -> None:
        self._semantic = semantic

    def predict(self, rgb: npt.NDArray[np.uint8], fx_px: float | None = None) -> Prediction:
        return Prediction(*rgb.shape[:2], *rgb.shape[:2], semantic=self._semantic)


def idd_sample(root: Path) -> Sample:
    draw_idd_flat(root)
    return open_dataset('idd_lite', root, 'all', class_map='road')[0]


def stripes(*names: str) -> npt.NDArray[np.uint8]:
    ids = {entry.name: entry.id for entry in ROAD}
    return np.repeat(np.array([ids[name] for name in names], np.uint8), 4)[:, None].repeat(WIDTH, 1)


def test_any_class_of_a_union_is_right_and_the_scores_have_the_classes_of_the_labels(tmp_path: Path) -> None:
    sample = idd_sample(tmp_path)
    answer = stripes('sky', 'vegetation', 'pole', 'bus', 'person', 'sidewalk')
    assert answer.shape == (HEIGHT, WIDTH)
    answer[4:8, ::2] = 2
    semantic = evaluate(Says(answer), [sample]).semantic
    assert semantic is not None
    assert semantic.miou == 1.0
    assert list(semantic.per_class) == [
        'road',
        'sidewalk',
        'building/vegetation',
        'fence/pole/traffic sign',
        'sky',
        'person',
        'car/truck/bus/motorcycle/bicycle',
    ]
    assert semantic.per_class['road'] is None, 'the drawn label has none'


def test_a_class_outside_of_the_union_is_wrong(tmp_path: Path) -> None:
    sample = idd_sample(tmp_path)
    semantic = evaluate(Says(stripes('sky', 'sky', 'pole', 'bus', 'person', 'sidewalk')), [sample]).semantic
    assert semantic is not None
    assert semantic.per_class['sky'] == 0.5
    assert semantic.per_class['building/vegetation'] == 0.0
    assert semantic.per_class['person'] == 1.0


def test_samples_of_data_sets_that_tell_other_classes_apart_are_not_judged_together(tmp_path: Path) -> None:
    sample = idd_sample(tmp_path)
    other = Sample('b', sample.image, semantic=sample.semantic, groups=((9, 10),))
    answer = Says(stripes('sky', 'sky', 'pole', 'bus', 'person', 'sidewalk'))
    for samples in ([sample, other], [replace(sample, groups=()), sample]):
        with pytest.raises(DataError, match='tell other classes apart than those before; judge each data set alone'):
            evaluate(answer, samples)
