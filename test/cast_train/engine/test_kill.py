# SPDX-License-Identifier: Apache-2.0
"""A run that is killed at ten random moments ends as if nobody had touched it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from drawn_streets import draw_streets
from killed_runs import run_with_kills
from tiny_recipe import recipe_document

from cast_train.engine.checkpoint import load_checkpoint

KILLS = 10
CLOCK = ('pictures_per_s', 'loading_share', 'seconds')
STEPS = 16


def records(run: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock; a finished run that is resumed is judged once more."""
    found: list[dict[str, Any]] = []
    for line in (run / 'log.jsonl').read_text().splitlines():
        record = {key: value for key, value in json.loads(line).items() if key not in CLOCK}
        if record not in found:
            found.append(record)
    return found


@pytest.mark.timeout(600)
def test_ten_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    draw_streets(tmp_path / 'streets', 'train', 'day', frames=3)
    run = {'workers': 0, 'log_every': 1, 'checkpoint_every': 1, 'evaluate_every': 10}
    recipe = tmp_path / 'recipe.yaml'
    recipe.write_text(yaml.safe_dump(recipe_document(tmp_path / 'streets', STEPS, height=32, width=64, run=run)))
    calm, killed = tmp_path / 'calm', tmp_path / 'killed'
    command = ['run', str(recipe), '--resume', '--out']
    run_with_kills([*command, str(calm)], seed=7, kills=0, longest_s=0)
    seconds = max(1.0, (calm / 'last.pt').stat().st_mtime - (calm / 'recipe.yaml').stat().st_mtime)
    run_with_kills([*command, str(killed)], seed=7, kills=KILLS, longest_s=0.25 * seconds)
    one, other = (load_checkpoint(folder / 'last.pt') for folder in (calm, killed))
    assert one['step'] == other['step'] == STEPS
    for key in ('network', 'ema'):
        assert all(torch.equal(tensor, other[key][name]) for name, tensor in one[key].items())
    assert records(killed) == records(calm)
    assert 'validation' in records(calm)[-1]
    assert not list(killed.glob('*.tmp'))
