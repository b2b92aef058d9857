# SPDX-License-Identifier: Apache-2.0
"""`cast-train recipes`: every shipped recipe has a line that fits a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from train_verb import cast_train

COLUMNS = 80
MARKER = 'share/ament_index/resource_index/packages/cast_ros'


def test_every_shipped_recipe_is_listed_with_what_it_is(
    project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A sourced workspace that holds this source tree: it is looked in before whatever is installed here.
    (tmp_path / MARKER).parent.mkdir(parents=True)
    (tmp_path / MARKER).touch()
    (tmp_path / 'share' / 'cast_ros').symlink_to(project_root)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    assert cast_train('recipes') == 0
    lines = capsys.readouterr().out.splitlines()
    names = {path.stem for path in (project_root / 'config' / 'recipes').rglob('*.yaml')}
    assert {line.split()[0] for line in lines} >= names
    width = max(map(len, names)) + 2
    assert [line for line in lines if len(line) > COLUMNS or not line[width:].endswith('.') or line[width] == ' '] == []
