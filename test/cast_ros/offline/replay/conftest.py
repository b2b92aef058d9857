# SPDX-License-Identifier: Apache-2.0
"""A drive of forty pictures, made once: a red car and a blue person on a grey road, with ground truth."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_replay import write_street_bag
from tiny_student import tiny_student


@pytest.fixture(scope='session')
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_student(tmp_path_factory.mktemp('student') / 'tiny.onnx')


@pytest.fixture(scope='session')
def blind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same student with persons and cars taken for each other."""
    from tiny_student import CLASSES

    swapped = (*CLASSES[:2], CLASSES[3].model_copy(update={'id': 2}), CLASSES[2].model_copy(update={'id': 3}))
    return tiny_student(tmp_path_factory.mktemp('blind') / 'blind.onnx', classes=swapped, name='blind')


@pytest.fixture(scope='session')
def street_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street_bag(tmp_path_factory.mktemp('bag') / 'street.mcap', 40)
