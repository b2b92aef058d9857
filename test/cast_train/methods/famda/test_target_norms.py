# SPDX-License-Identifier: Apache-2.0
"""Norms get the statistics of the pictures that a student will see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_streets import draw_streets
from tiny_run import untrained_run

from cast_train.data import Sample
from cast_train.data.batches import load_samples
from cast_train.data.streets import Streets
from cast_train.engine.checkpoint import load_checkpoint
from cast_train.engine.trained import load_student
from cast_train.methods.famda.target import measure_norms_in, norms_of


@pytest.fixture(scope='module')
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp('norms') / 'streets'
    draw_streets(root, 'train', 'day', 6)
    draw_streets(root, 'val', 'day', 1)
    return root


def samples_of(streets: Path) -> list[Sample]:
    return load_samples([Streets(streets, 'train', 'day')])


def test_the_first_norm_then_shifts_its_input_to_zero(streets: Path, tmp_path: Path) -> None:
    run = tmp_path / 'run'
    untrained_run(streets, run)
    samples = samples_of(streets)
    measure_norms_in(run, samples)
    student = load_student(run)[0]
    outputs: list[torch.Tensor] = []
    norm = norms_of(student.network)[0]
    norm.register_forward_hook(lambda _, inputs, output: outputs.append(inputs[0]))
    for sample in samples:
        student.predict(sample.image)
    seen = torch.cat(outputs)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert torch.allclose(seen.mean((0, 2, 3)), norm.running_mean, atol=1e-3)
    assert torch.allclose(seen.var((0, 2, 3)), norm.running_var, rtol=1e-2, atol=1e-3)


def test_doing_it_twice_changes_nothing_and_weights_stay(streets: Path, tmp_path: Path) -> None:
    run = tmp_path / 'run'
    untrained_run(streets, run)
    before = load_checkpoint(run / 'last.pt')['ema']
    measure_norms_in(run, samples_of(streets))
    once = load_checkpoint(run / 'last.pt')
    measure_norms_in(run, samples_of(streets))
    twice = load_checkpoint(run / 'last.pt')
    assert all(torch.equal(value, twice['ema'][name]) for name, value in once['ema'].items())
    changed = {name.rpartition('.')[2] for name, value in before.items() if not torch.equal(value, once['ema'][name])}
    assert changed == {'running_mean', 'running_var', 'num_batches_tracked'}
    assert np.isfinite(load_student(run)[0].predict(samples_of(streets)[0].image).depth).any()
