# SPDX-License-Identifier: Apache-2.0
"""A whole CAST run that is killed at ten random moments ends as if nobody had touched it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from killed_runs import run_with_kills
from tiny_cast import cast_document, draw_scenes, pretrain

from cast_train.engine.checkpoint import load_checkpoint
from cast_train.engine.trained import weights_in

KILLS = 10
CLOCK = ('train_seconds', 'checkpoint_sha256')  # a checkpoint says when it was written


def stages_of(out: Path) -> list[dict[str, Any]]:
    manifest = json.loads((out / 'manifest.json').read_text())
    for stage in manifest['stages']:
        if 'report' in stage:  # a picture that was labelled before a kill is not computed again
            assert 0 <= stage['report']['sums'].pop('computed') <= stage['report']['sums']['labelled']
    return [{key: value for key, value in stage.items() if key not in CLOCK} for stage in manifest['stages']]


def seconds_between(out: Path) -> float:
    """From the first thing that a run wrote to its last."""
    times = [path.stat().st_mtime for path in out.rglob('*') if path.is_file()]
    return max(times) - min(times)


@pytest.mark.timeout(1000)
def test_ten_kills_in_any_stage_change_nothing(tmp_path: Path) -> None:
    draw_scenes(tmp_path / 'streets')
    initial = pretrain(tmp_path / 'streets', tmp_path / 'pretrained')
    recipe = tmp_path / 'recipe.yaml'
    recipe.write_text(yaml.safe_dump(cast_document(tmp_path / 'streets', initial)))
    calm, killed = tmp_path / 'calm', tmp_path / 'killed'
    command = ['run', str(recipe), '--resume', '--out']
    run_with_kills([*command, str(calm)], seed=11, kills=0, longest_s=0)
    longest_s = max(1.0, 0.3 * seconds_between(calm))
    run_with_kills([*command, str(killed)], seed=11, kills=KILLS, longest_s=longest_s)
    assert stages_of(killed) == stages_of(calm)
    assert [stage['name'] for stage in stages_of(calm)][-1] == 'refinement'
    one, other = (
        load_checkpoint(weights_in(next((out / 'stages').glob('refinement-*'))))['ema'] for out in (calm, killed)
    )
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert (killed / 'tiny-cast.onnx').is_file()
    assert not list(killed.rglob('*.tmp'))
