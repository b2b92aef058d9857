# SPDX-License-Identifier: Apache-2.0
"""What programs that embed cast_train are promised."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cast_train
from cast_train.engine import evaluate
from cast_train.methods.registry import open_recipe


def test_what_is_promised_can_be_imported_from_the_package() -> None:
    assert cast_train.evaluate is evaluate.evaluate
    assert cast_train.open_recipe is open_recipe
    assert [name for name in cast_train.__all__ if not callable(getattr(cast_train, name))] == []
    assert dir(cast_train) == sorted(cast_train.__all__)


def test_what_is_not_promised_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'cast_train' has no attribute 'Teacher'"):
        cast_train.Teacher  # noqa: B018


def test_the_package_alone_does_not_load_torch() -> None:
    program = 'import cast_train, sys; print("torch" in sys.modules)'
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'False'
