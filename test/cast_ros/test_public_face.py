# SPDX-License-Identifier: Apache-2.0
"""What programs that embed cast_ros are promised."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cast_ros
import cast_ros.errors
import cast_ros.student


def test_what_is_promised_can_be_imported_from_the_package() -> None:
    assert cast_ros.Student is cast_ros.student.Student
    assert cast_ros.LoadOptions is cast_ros.student.LoadOptions
    assert cast_ros.CastError is cast_ros.errors.CastError
    assert [name for name in cast_ros.__all__ if getattr(cast_ros, name, None) is None] == []
    assert dir(cast_ros) == sorted(cast_ros.__all__)


def test_what_is_not_promised_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'cast_ros' has no attribute 'Teacher'"):
        cast_ros.Teacher  # noqa: B018


def test_the_package_alone_loads_neither_opencv_nor_numpy() -> None:
    program = "import cast_ros, sys; print(sorted({'cv2', 'numpy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'
