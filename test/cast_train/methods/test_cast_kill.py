# SPDX-License-Identifier: Apache-2.0
"""A whole CAST run that is killed at ten random moments ends as if nobody had touched it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_cast import cast_document, draw_scenes, pretrain

from cast_train.engine.checkpoint import load_checkpoint
from cast_train.methods.cast import weights_in

KILLS = 10
CLOCK = ('train_seconds', 'checkpoint_sha256')  # a checkpoint says when it was written


def cast(project_root: Path, recipe: Path, out: Path, kills: int, longest_s: float) -> str:
    script = project_root / 'test' / 'fixtures' / 'random_kills.py'
    command = ['cast', str(recipe), '--out', str(out)]
    done = subprocess.run(
        [sys.executable, str(script), '11', str(kills), str(longest_s), '--', *command],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
def test_ten_kills_in_any_stage_change_nothing(project_root: Path, tmp_path: Path) -> None:
    draw_scenes(tmp_path / 'streets')
    initial = pretrain(tmp_path / 'streets', tmp_path / 'pretrained')
    recipe = tmp_path / 'recipe.yaml'
    recipe.write_text(yaml.safe_dump(cast_document(tmp_path / 'streets', initial)))
    calm, killed = tmp_path / 'calm', tmp_path / 'killed'
    cast(project_root, recipe, calm, kills=0, longest_s=0)
    output = cast(project_root, recipe, killed, KILLS, longest_s=max(1.0, 0.3 * seconds_between(calm)))
    assert f'killed {KILLS} times' in output
    assert stages_of(killed) == stages_of(calm)
    assert [stage['name'] for stage in stages_of(calm)][-1] == 'refinement'
    one, other = (
        load_checkpoint(weights_in(next((out / 'stages').glob('refinement-*'))))['ema'] for out in (calm, killed)
    )
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert (killed / 'tiny-cast.onnx').is_file()
    assert not list(killed.rglob('*.tmp'))
