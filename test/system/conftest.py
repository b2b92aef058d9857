# SPDX-License-Identifier: Apache-2.0
"""A node under test for every case that asks for one; modules share a probe and a student."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from node_case import Case
    from ros_probe import RosProbe


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_student import tiny_student

    return tiny_student(tmp_path_factory.mktemp('students') / 'tiny.onnx')


@pytest.fixture(scope='module')
def probe() -> Iterator[RosProbe]:
    from ros_probe import ros_probe

    with ros_probe() as made:
        yield made


@pytest.fixture
def case(probe: RosProbe, model: Path) -> Iterator[Case]:
    from node_case import Case

    with ExitStack() as stack:
        yield Case(probe, stack, model)
