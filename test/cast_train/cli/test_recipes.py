# SPDX-License-Identifier: Apache-2.0
"""`cast-train recipes`: every shipped recipe has a line that fits a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from train_verb import cast_train

COLUMNS = 80


def test_every_shipped_recipe_is_listed_with_what_it_is(project_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cast_train('recipes') == 0
    lines = capsys.readouterr().out.splitlines()
    names = {path.stem for path in (project_root / 'config' / 'recipes').rglob('*.yaml')}
    assert {line.split()[0] for line in lines} >= names
    width = max(map(len, names)) + 2
    assert [line for line in lines if len(line) > COLUMNS or not line[width:].endswith('.') or line[width] == ' '] == []
