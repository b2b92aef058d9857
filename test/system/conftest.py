# SPDX-License-Identifier: Apache-2.0
"""A node under test for every case that asks for one; modules share a probe and a student."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from node_case import Case
    from play_launch import PlayLaunch
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


@pytest.fixture(scope='module')
def launcher(project_root: Path) -> PlayLaunch:
    import play_launch

    try:
        return play_launch.locate(project_root / '.cache', Path(sys.prefix))
    except play_launch.CannotRunError as error:
        pytest.skip(str(error))


@pytest.fixture
def case(probe: RosProbe, model: Path) -> Iterator[Case]:
    from node_case import Case

    with ExitStack() as stack:
        yield Case(probe, stack, model)
