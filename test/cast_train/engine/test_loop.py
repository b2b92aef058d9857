# SPDX-License-Identifier: Apache-2.0
"""The training loop: it learns, it resumes exactly, it refuses to mix runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from drawn_streets import draw_streets
from tiny_recipe import tiny_recipe

from cast_train.engine.checkpoint import load_checkpoint
from cast_train.engine.ema import MovingAverage
from cast_train.engine.fitting import fit, take_over
from cast_train.engine.optimizer import learning_rate_at, make_optimizer
from cast_train.errors import TrainingError
from cast_train.models import Student


@pytest.fixture(scope='module')
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp('streets')
    draw_streets(root, 'train', 'day', frames=4)
    return root


def losses_in(run: Path) -> dict[int, float]:
    records = [json.loads(line) for line in (run / 'log.jsonl').read_text().splitlines()]
    return {record['step']: record['total'] for record in records if 'total' in record}


@pytest.mark.timeout(600)
def test_four_frames_are_learned_by_heart(streets: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        streets,
        steps=120,
        height=128,
        width=256,
        batch=4,
        augmentation={'whole': 1.0, 'flip': 0.0, 'noise': 1.0, 'blur': 0.0},
        optimizer={'learning_rate': 2e-3, 'warmup_steps': 10, 'ema_decay': 0.9},
        run={'workers': 0, 'log_every': 20, 'checkpoint_every': 500, 'evaluate_every': 500},
    )
    result = fit(recipe, tmp_path / 'run', resume=False)
    assert result['ap50'] >= 0.9
    assert result['miou'] >= 0.9
    assert result['abs_rel'] <= 0.1


def test_a_stopped_and_resumed_run_is_the_straight_run(streets: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(streets, steps=6)
    straight, stopped = tmp_path / 'straight', tmp_path / 'stopped'
    fit(recipe, straight, resume=False)
    _stop_after(stopped, recipe, steps=4)
    assert load_checkpoint(stopped / 'last.pt')['step'] == 4
    fit(recipe, stopped, resume=True)
    expected, found = losses_in(straight), losses_in(stopped)
    assert {step: found[step] for step in (5, 6)} == pytest.approx({step: expected[step] for step in (5, 6)}, rel=1e-6)
    one, other = (load_checkpoint(run / 'last.pt') for run in (straight, stopped))
    assert one['ema_updates'] == other['ema_updates'] == 6
    assert all(torch.equal(one['ema'][name], other['ema'][name]) for name in one['ema'])


def _stop_after(run: Path, recipe: object, steps: int) -> None:
    """Run until the checkpoint of ``steps`` is written, then fail as a killed process would: between two steps."""
    from cast_train.engine import loop

    original = loop.train_step

    def dying(*arguments: object) -> dict[str, float]:
        if arguments[-1] == steps:
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[arg-type]

    loop.train_step = dying  # type: ignore[assignment]
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(recipe, run, resume=False)  # type: ignore[arg-type]
    finally:
        loop.train_step = original


def test_a_run_is_never_overwritten_and_never_mixed_with_another(streets: Path, tmp_path: Path) -> None:
    run = tmp_path / 'run'
    fit(tiny_recipe(streets, steps=1), run, resume=False)
    with pytest.raises(TrainingError, match='--resume'):
        fit(tiny_recipe(streets, steps=1), run, resume=False)
    with pytest.raises(TrainingError, match='other values of seed'):
        fit(tiny_recipe(streets, steps=1, seed=4), run, resume=True)


def test_a_run_may_start_from_the_weights_of_another_of_its_size(streets: Path, tmp_path: Path) -> None:
    fit(tiny_recipe(streets, steps=1), tmp_path / 'first', resume=False)
    path = tmp_path / 'first' / 'last.pt'
    network = Student('nano', classes=11, thing_ids=(8, 9, 10))
    assert take_over(network, path) == len(network.state_dict())
    weights = load_checkpoint(path)['ema']
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())
    fewer_classes = Student('nano', classes=5, thing_ids=(4,))
    assert len(weights) // 2 < take_over(fewer_classes, path) < len(weights)
    with pytest.raises(TrainingError, match='start from a run of the same size'):
        take_over(Student('small', classes=11, thing_ids=(8, 9, 10)), path)


def test_a_loss_that_is_not_finite_stops_the_run_with_its_terms(streets: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(streets, steps=3, losses={'depth': 1e38, 'bce': 1e38})
    with pytest.raises(TrainingError, match=r'loss is not finite .*depth'):
        fit(recipe, tmp_path / 'run', resume=False)


def test_the_learning_rate_rises_then_falls_to_zero(streets: Path) -> None:
    recipe = tiny_recipe(streets, steps=12, optimizer={'learning_rate': 1.0, 'warmup_steps': 2, 'power': 1.0})
    rates = [learning_rate_at(step, recipe.optimizer, recipe.total_steps) for step in range(13)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[7] == pytest.approx(0.5)
    assert rates[12] == 0.0


def test_norms_biases_and_embeddings_do_not_decay(streets: Path) -> None:
    network = Student('nano', classes=3, thing_ids=(2,))
    recipe = tiny_recipe(streets, steps=1, optimizer={'weight_decay': 0.1, 'backbone_factor': 0.5})
    groups = make_optimizer(network, recipe.optimizer).param_groups
    where = {id(p): (group['weight_decay'], group['factor']) for group in groups for p in group['params']}
    assert len(where) == len(list(network.parameters()))
    assert where[id(network.decoder.embedding)] == (0.0, 1.0)
    assert where[id(network.decoder.classify.weight)] == (0.1, 1.0)
    assert where[id(network.decoder.classify.bias)] == (0.0, 1.0)
    first = next(network.backbone.parameters())
    assert where[id(first)] == (0.1, 0.5)


def test_the_average_starts_as_a_mean_and_then_moves_slowly() -> None:
    network = torch.nn.BatchNorm1d(1)
    average = MovingAverage(network, decay=0.9)
    for value in (1.0, 3.0):
        torch.nn.init.constant_(network.weight, value)
        network.running_mean.fill_(value)  # type: ignore[union-attr]
        average.update(network)
    # Start 1, then 1 at weight 1/2, then 3 at weight 1/3.
    assert average.network.weight.item() == pytest.approx(1 + 2 / 3)
    assert average.network.running_mean.item() == pytest.approx((0 * 0.5 + 1 * 0.5) * 2 / 3 + 3 / 3)
    average.updates = 10_000
    torch.nn.init.constant_(network.weight, 100.0)
    average.update(network)
    assert average.network.weight.item() == pytest.approx((1 + 2 / 3) * 0.9 + 10.0)
