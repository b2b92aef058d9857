# SPDX-License-Identifier: Apache-2.0
"""Training the promptable mask network: it resumes exactly, stops on a signal, and opens what was written before."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn_streets import draw_streets
from killed_runs import run_with_kills
from second_device import second_device
from tiny_masks import TINY, masks_recipe

from cast_train.data import open_dataset
from cast_train.engine.checkpoint import load_checkpoint, save_checkpoint
from cast_train.engine.loop import start_fabric
from cast_train.engine.recipe import Plan, RunSection, Stretch
from cast_train.engine.recipe_file import load
from cast_train.engine.step import backward
from cast_train.engine.task import Rows
from cast_train.errors import RecipeError, TrainingError
from cast_train.models.promptable import PromptableMasks, PromptableSize
from cast_train.teachers.promptable import (
    PromptableRecipe,
    PromptableTask,
    fit_promptable,
    measure_iou,
    open_promptable,
)

LAUNCH = 'from cast_train.cli import main; main()'
STARTS = Path(__file__).parents[3] / 'benchmarks' / 'accuracy' / 'start'
# What the loop that fit-masks had of its own wrote into its checkpoints.
FORMER_KEYS = ('recipe', 'step', 'network', 'optimizer', 'ema', 'ema_updates', 'saved')


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    draw_streets(tmp_path, 'train', 'day', frames=2)
    return tmp_path


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / 'log.jsonl').read_text().splitlines()]


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_checkpoint(run / 'last.pt') for run in (one, other))
    assert first['ema_updates'] == second['ema_updates']
    return all(torch.equal(first[key][name], second[key][name]) for key in ('network', 'ema') for name in first[key])


def views(*counts: int) -> Rows:
    """Pictures with so many boxes each."""
    numbers = torch.Generator().manual_seed(0)
    rows = []
    for count in counts:
        image = torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8, generator=numbers)
        boxes = torch.tensor([[8.0, 8.0, 40.0, 48.0]]).repeat(count, 1)
        rows.append({'image': image, 'boxes': boxes, 'masks': torch.rand(count, 16, 16, generator=numbers)})
    return Rows(rows)


def task() -> PromptableTask:
    torch.manual_seed(0)
    return PromptableTask(PromptableMasks(PromptableSize.model_validate(TINY)))


def test_it_learns_what_the_loop_of_its_own_learned(streets: Path) -> None:
    # Slowly: at a higher rate the rounding of one processor leads elsewhere than that of another.
    recipe = load(PromptableRecipe, masks_recipe(streets, 4), ('optimizer.learning_rate=1.0e-5',))
    result = fit_promptable(recipe, streets / 'run', resume=False)
    assert result == pytest.approx({'iou': 0.4948, 'iou_jittered': 0.5030}, abs=2e-3)
    steps = log_of(streets / 'run')[:4]
    assert [step['mask'] for step in steps] == pytest.approx([0.74399, 0.75383, 0.74058, 0.75345], abs=3e-3)
    assert [step['dice'] for step in steps] == pytest.approx([0.49360, 0.50726, 0.49962, 0.52978], abs=3e-3)


@pytest.mark.timeout(300)
def test_kills_at_random_moments_change_nothing(streets: Path) -> None:
    recipe = masks_recipe(streets, 16, run={'log_every': 1, 'checkpoint_every': 1})
    calm, killed = streets / 'calm', streets / 'killed'
    command = ['fit-masks', str(recipe), '--resume', '--out']
    run_with_kills([*command, str(calm)], seed=3, kills=0, longest_s=0)
    seconds = max(1.0, (calm / 'last.pt').stat().st_mtime - (calm / 'recipe.yaml').stat().st_mtime)
    run_with_kills([*command, str(killed)], seed=3, kills=4, longest_s=0.4 * seconds)
    assert same_weights(calm, killed)
    assert [record['step'] for record in log_of(killed) if 'mask' in record] == list(range(1, 17))
    assert next((killed / 'tensorboard').iterdir()).name.startswith('events')


@pytest.mark.timeout(300)
def test_a_signal_ends_the_run_with_a_checkpoint_and_its_exit_code(streets: Path) -> None:
    steps = 60
    recipe = masks_recipe(streets, steps, run={'log_every': 1, 'checkpoint_every': 100})
    run = streets / 'stopped'
    command = [sys.executable, '-c', LAUNCH, 'fit-masks', str(recipe), '--out', str(run)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not ((run / 'log.jsonl').is_file() and log_of(run)):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 143, said
    assert '--resume' in said
    done = load_checkpoint(run / 'last.pt')['step']
    assert 1 <= done < steps
    parsed = load(PromptableRecipe, recipe)
    with pytest.raises(TrainingError, match='--resume'):
        fit_promptable(parsed, run, resume=False)
    fit_promptable(parsed, run, resume=True)
    fit_promptable(parsed, streets / 'straight', resume=False)
    assert same_weights(run, streets / 'straight')


def test_a_run_of_another_recipe_is_refused_and_the_averaged_weights_are_opened(streets: Path) -> None:
    run = streets / 'run'
    fit_promptable(load(PromptableRecipe, masks_recipe(streets, 3)), run, resume=False)
    network, spec = open_promptable(run)
    assert (spec.height, spec.width) == (64, 128)
    weights = load_checkpoint(run / 'last.pt')['ema']
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())
    assert log_of(run)[-1]['validation'].keys() == {'iou', 'iou_jittered'}
    changed = load(PromptableRecipe, masks_recipe(streets, 3), ('seed=2',))
    with pytest.raises(TrainingError, match='other values of seed'):
        fit_promptable(changed, run, resume=True)


def test_a_run_of_an_earlier_version_is_opened_but_not_gone_on_with(streets: Path) -> None:
    network, spec = open_promptable(STARTS / 'streets-promptable.pt')
    assert (spec.height, spec.width, network.size.backbone) == (256, 512, 'efficientnet_lite0')
    run, recipe = streets / 'run', load(PromptableRecipe, masks_recipe(streets, 2))
    fit_promptable(recipe, run, resume=False)
    state = load_checkpoint(run / 'last.pt')
    save_checkpoint({key: state[key] for key in FORMER_KEYS}, run / 'last.pt')
    open_promptable(run)
    with pytest.raises(TrainingError, match=r'another version or method: finish it with that one, or start anew with'):
        fit_promptable(recipe, run, resume=True)


def test_a_batch_in_parts_counts_every_box_alike() -> None:
    gradients, totals = [], []
    for parts in (1, 2):
        plan = Plan(name='parts', phases=(Stretch(batch=2, steps=1),), run=RunSection(accumulate=parts))
        fabric, one = start_fabric('cpu'), FrozenNorms(task().network)
        terms = backward(fabric, fabric.setup_module(one), 0, views(3, 1), plan)
        totals.append({name: value.item() for name, value in terms.items()})
        gradients.append(torch.cat([p.grad.flatten() for p in one.parameters() if p.grad is not None]))
    assert totals[1] == pytest.approx(totals[0], rel=1e-5)
    assert (gradients[1] - gradients[0]).norm() < 1e-4 * gradients[0].norm()


class FrozenNorms(PromptableTask):
    """Norms by their running statistics: the only thing in which parts differ from the whole on purpose."""

    def train(self, mode: bool = True) -> FrozenNorms:
        super().train(False)
        return self


def test_a_batch_without_any_box_teaches_nothing() -> None:
    terms = task().train()(views(0, 0), 0)
    assert {name: value.item() for name, value in terms.items()} == {'mask': 0.0, 'dice': 0.0}
    assert not any(value.requires_grad for value in terms.values())


def test_the_losses_and_the_judgement_are_the_same_on_another_device(streets: Path) -> None:
    dataset = open_dataset('streets', streets, 'train', 'day')
    samples, things = [dataset[0]], tuple(entry.id for entry in dataset.classes if entry.is_thing)
    recipe = load(PromptableRecipe, masks_recipe(streets, 1))
    expected = task()(views(2, 1), 0)
    judged = measure_iou(task().network.eval(), recipe.spec, samples, things, 0.1)
    with second_device() as device:
        found = task().to(device)(views(2, 1).to(device), 0)
        assert {name: value.item() for name, value in found.items()} == pytest.approx(
            {name: value.item() for name, value in expected.items()}, rel=1e-4
        )
        assert measure_iou(task().network.to(device).eval(), recipe.spec, samples, things, 0.1) == pytest.approx(
            judged, abs=1e-3
        )
    assert all(np.isfinite(value) for value in judged.values())


@pytest.mark.parametrize('precision', ['bf16', 'float64'])
def test_other_precisions_learn_alike(streets: Path, precision: str) -> None:
    run = {'log_every': 1, 'precision': precision}
    fit_promptable(load(PromptableRecipe, masks_recipe(streets, 2, run=run)), streets / 'run', resume=False)
    steps = log_of(streets / 'run')[:2]
    assert [step['mask'] for step in steps] == pytest.approx([0.74399, 0.73347], rel=0.02)


def test_mistakes_in_a_recipe_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'boxes'"):
        load(PromptableRecipe, masks_recipe(tmp_path, 1, boxs={'jitter': 0.1}))
    with pytest.raises(RecipeError, match=r'network\.backbone'):
        load(PromptableRecipe, masks_recipe(tmp_path, 1, network={'backbone': 'resnet50'}))
