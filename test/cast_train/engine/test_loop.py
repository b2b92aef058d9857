# SPDX-License-Identifier: Apache-2.0
"""The training loop: it learns, it resumes exactly, it refuses to mix runs."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from drawn_streets import draw_streets
from tiny_recipe import tiny_recipe

from cast_train.data import Batch, Targets
from cast_train.engine.checkpoint import load_checkpoint, save_checkpoint
from cast_train.engine.ema import MovingAverage
from cast_train.engine.fitting import fit, make_task, read_parts, supervised_stream, take_over
from cast_train.engine.judging import EarlyStop
from cast_train.engine.loop import Judge, StoppedError, start_fabric, train
from cast_train.engine.optimizer import learning_rate_at, make_optimizer
from cast_train.engine.recipe import OptimizerSection, Recipe, RunSection
from cast_train.engine.step import backward
from cast_train.engine.task import Rows, SupervisedTask, Task
from cast_train.errors import TrainingError
from cast_train.losses.supervised import LossSection
from cast_train.models import StudentNetwork
from cast_train.ranks import mean_counts


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


class KilledError(Exception):
    """Stands for a kill between two steps."""


def run_task(
    recipe: Recipe,
    run: Path,
    judge: Judge | None = None,
    dies_at: int | None = None,
    early_stop: EarlyStop | None = None,
    before: Callable[[int], None] = lambda _: None,
) -> tuple[SupervisedTask, dict[str, float]]:
    """Train as ``fit`` does, resuming if there is something; ``before`` is called with each step before its batch."""
    samples, classes = read_parts(recipe, recipe.data.train)
    contract = recipe.contract_for(classes)
    task = make_task(recipe, contract)

    def stream(first: int) -> Iterator[Batch]:
        for step, batch in enumerate(supervised_stream(recipe, samples, contract, first), first):
            if step == dies_at:
                raise KilledError
            before(step)
            yield batch

    document = recipe.model_dump(mode='json')
    return task, train(task, recipe.plan, stream, run, judge, True, document, early_stop)


def same_state(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two checkpoints are equal to the last bit, but for when they were saved and how the run proceeded."""

    def leaves(value: Any, place: str = '') -> dict[str, Any]:
        if isinstance(value, (dict, list, tuple)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            return {k: v for key, inner in items for k, v in leaves(inner, f'{place}/{key}').items()}
        return {place: value}

    first, second = (
        {key: value for key, value in leaves(state).items() if not key.startswith(('/saved', '/recipe/run'))}
        for state in (one, other)
    )
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) if isinstance(value, torch.Tensor) else value == second[key]
        for key, value in first.items()
    )


def test_a_stopped_and_resumed_run_is_the_straight_run(streets: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(streets, steps=6)
    straight, stopped = tmp_path / 'straight', tmp_path / 'stopped'
    run_task(recipe, straight)
    with pytest.raises(KilledError):
        run_task(recipe, stopped, dies_at=5)
    assert load_checkpoint(stopped / 'last.pt')['step'] == 4
    run_task(recipe, stopped)
    assert losses_in(stopped) == pytest.approx(losses_in(straight), rel=1e-6)
    assert same_state(*(load_checkpoint(run / 'last.pt') for run in (straight, stopped)))
    assert load_checkpoint(stopped / 'last.pt')['ema_updates'] == 6


def test_a_broken_checkpoint_falls_back_to_the_previous_one(
    streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_recipe(streets, steps=4)
    straight, broken = tmp_path / 'straight', tmp_path / 'broken'
    run_task(recipe, straight)
    run_task(recipe, broken)
    last = broken / 'last.pt'
    last.write_bytes(last.read_bytes()[:-1000])
    run_task(recipe, broken)
    said = ' '.join(capsys.readouterr().err.split())
    assert 'Warning' in said
    assert 'previous.pt, step 2' in said
    assert same_state(load_checkpoint(straight / 'last.pt'), load_checkpoint(last))
    last.unlink()
    (broken / 'previous.pt').write_bytes(b'')
    with pytest.raises(TrainingError, match='cannot be read'):
        run_task(recipe, broken)


def test_a_checkpoint_of_another_version_is_refused_in_words(streets: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(streets, steps=4)
    run_task(recipe, tmp_path)
    state = load_checkpoint(tmp_path / 'last.pt')
    del state['progress']['recent']
    save_checkpoint(state, tmp_path / 'last.pt')
    with pytest.raises(TrainingError, match=r"last\.pt: does not fit .* \('recent'\); it was made by another version"):
        run_task(recipe, tmp_path)


def test_training_stops_early_and_keeps_the_best_weights(streets: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        streets, steps=20, run={'workers': 0, 'log_every': 1, 'checkpoint_every': 3, 'evaluate_every': 1}
    )
    values = [0.1, 0.5, 0.2, 0.3, 0.9]
    asked: list[float] = []

    def judge(_: StudentNetwork) -> dict[str, float]:
        asked.append(values[len(asked)])
        return {'ap': asked[-1], 'miou': 0.0}

    with pytest.raises(TrainingError, match="early stop waits for 'AP', but only ap, miou was measured"):
        run_task(recipe, tmp_path / 'wrong', judge, early_stop=EarlyStop('AP', 2))
    asked.clear()
    _, result = run_task(recipe, tmp_path / 'run', judge, early_stop=EarlyStop('ap', 2))
    assert result == {'ap': 0.5, 'miou': 0.0}
    assert asked == [0.1, 0.5, 0.2, 0.3]
    assert load_checkpoint(tmp_path / 'run' / 'best.pt')['step'] == 2
    assert load_checkpoint(tmp_path / 'run' / 'last.pt')['step'] == 4
    # Once over, it is over after a resume too, and nobody judges again.
    assert run_task(recipe, tmp_path / 'run', judge, early_stop=EarlyStop('ap', 2))[1] == result
    assert len(asked) == 4


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_between_steps_with_a_checkpoint(
    streets: Path, tmp_path: Path, number: signal.Signals
) -> None:
    recipe = tiny_recipe(streets, steps=5, run={'workers': 0, 'log_every': 1, 'checkpoint_every': 100})
    former = signal.getsignal(number)

    def interrupt(step: int) -> None:
        if step == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(StoppedError, match=rf'after step 3 of 5 on {number.name}.*--resume') as stopped:
        run_task(recipe, tmp_path / 'run', before=interrupt)
    assert stopped.value.exit_code == 128 + number
    assert load_checkpoint(tmp_path / 'run' / 'last.pt')['step'] == 3
    assert signal.getsignal(number) is former
    run_task(recipe, tmp_path / 'run')
    assert list(losses_in(tmp_path / 'run')) == [1, 2, 3, 4, 5]


def test_the_log_goes_on_where_the_checkpoint_stood(streets: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(streets, steps=4)
    with pytest.raises(KilledError):
        run_task(recipe, tmp_path, dies_at=3)
    with (tmp_path / 'log.jsonl').open('a') as log:
        log.write('{"step": 4, "tot')
    run_task(recipe, tmp_path)
    records = [json.loads(line) for line in (tmp_path / 'log.jsonl').read_text().splitlines()]
    assert [record['step'] for record in records] == [1, 2, 3, 4]
    assert all(0 <= record['loading_share'] <= 1 for record in records)


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
    network = StudentNetwork('nano', classes=11, thing_ids=(8, 9, 10))
    assert take_over(network, path) == len(network.state_dict())
    weights = load_checkpoint(path)['ema']
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())
    fewer_classes = StudentNetwork('nano', classes=5, thing_ids=(4,))
    assert len(weights) // 2 < take_over(fewer_classes, path) < len(weights)
    with pytest.raises(TrainingError, match='start from a run of the same size'):
        take_over(StudentNetwork('small', classes=11, thing_ids=(8, 9, 10)), path)


class PoisonedTask(SupervisedTask):
    """Its loss is infinite at some steps, and its gradient is not a number at others."""

    def __init__(self, task: SupervisedTask, infinite: set[int], gradients: set[int]) -> None:
        super().__init__(task.network, LossSection())
        self.infinite, self.gradients = infinite, gradients

    def forward(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        poison = torch.inf if step in self.infinite else 0.0
        terms = super().forward(replace(batch, images=batch.images.float() + poison), step)
        if step in self.gradients:
            # The root is finite in zero, its slope is not.
            terms['depth'] = terms['depth'] + (terms['depth'] * 0).sqrt()
        return terms


def run_poisoned(recipe: Recipe, run: Path, infinite: set[int], gradients: set[int]) -> PoisonedTask:
    samples, classes = read_parts(recipe, recipe.data.train)
    contract = recipe.contract_for(classes)
    task = PoisonedTask(make_task(recipe, contract), infinite, gradients)
    train(task, recipe.plan, lambda first: supervised_stream(recipe, samples, contract, first), run)
    return task


def test_a_step_that_is_not_finite_is_skipped_with_a_snapshot(
    streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = run_poisoned(tiny_recipe(streets, steps=4), tmp_path, {1}, {2})
    said = ' '.join(capsys.readouterr().err.split())
    assert 'step 1 skipped' in said
    assert 'step 2 skipped' in said
    assert [path.name for path in tmp_path.glob('nonfinite-*.pt')] == ['nonfinite-1.pt']
    snapshot = torch.load(tmp_path / 'nonfinite-1.pt', weights_only=True)
    assert snapshot['step'] == 1
    assert snapshot['images'].shape == (2, 3, 64, 128)
    assert len(snapshot['targets']) == 2
    assert not math.isfinite(snapshot['losses']['total'])
    state = load_checkpoint(tmp_path / 'last.pt')
    assert (state['step'], state['ema_updates'], state['nonfinite']) == (4, 2, 0)
    assert all(tensor.isfinite().all() for tensor in task.state_dict().values())
    assert all(tensor.isfinite().all() for tensor in state['ema'].values())


def test_too_many_steps_that_are_not_finite_end_the_run(streets: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(streets, steps=9, run={'workers': 0, 'nonfinite_limit': 2})
    with pytest.raises(TrainingError, match=r'step 5.*2 step\(s\) in a row.*nonfinite-1.pt.*learning_rate'):
        run_poisoned(recipe, tmp_path, {1, 4, 5}, set())


def test_a_batch_in_parts_has_the_gradient_of_the_whole(streets: Path) -> None:
    recipe = tiny_recipe(streets, steps=1, batch=4)
    samples, classes = read_parts(recipe, recipe.data.train)
    contract = recipe.contract_for(classes)
    batch = next(supervised_stream(recipe, samples, contract, 0))
    # One picture without labels and one with few: plain means of the parts would be another loss.
    targets = [Targets(None, None, None, None), *batch.targets[1:]]
    batch = replace(batch, targets=targets)
    gradients, totals = [], []
    for parts in (1, 2, 4):
        task = make_task(recipe, contract)
        plan = recipe.plan.model_copy(update={'run': RunSection(accumulate=parts)})
        fabric = start_fabric()
        module = fabric.setup_module(FrozenNorms(task.network, recipe.losses))
        terms = backward(fabric, module, 0, batch, plan)  # type: ignore[arg-type]
        totals.append({name: value.item() for name, value in terms.items()})
        gradients.append(torch.cat([p.grad.flatten() for p in task.parameters() if p.grad is not None]))
    assert totals[1] == pytest.approx(totals[0], rel=1e-5)
    assert totals[2] == pytest.approx(totals[0], rel=1e-5)
    for other in gradients[1:]:
        assert (other - gradients[0]).norm() < 1e-4 * gradients[0].norm()


class PlainTask(Task[torch.nn.Linear, Rows]):
    """Losses that are means of their own, or divide by what all parts count."""

    def __init__(self, counts: bool) -> None:
        super().__init__(torch.nn.Linear(1, 1))
        self.counts, self.calls = counts, 0

    def forward(self, batch: Rows, step: int) -> dict[str, torch.Tensor]:
        self.calls += 1
        value = torch.stack([self.network(row['x']) for row in batch.rows]).sum()
        return {'value': value / mean_counts(torch.tensor(len(batch))) if self.counts else value}


@pytest.mark.parametrize(('counts', 'calls'), [(True, 8), (False, 5)])
def test_counts_are_asked_of_every_part_only_where_there_are_any(streets: Path, counts: bool, calls: int) -> None:
    plan = tiny_recipe(streets, steps=1, batch=4).plan.model_copy(update={'run': RunSection(accumulate=4)})
    fabric, task = start_fabric(), PlainTask(counts)
    backward(fabric, fabric.setup_module(task), 0, Rows([{'x': torch.ones(1)}] * 4), plan)
    assert task.calls == calls
    assert task.network.weight.grad is not None
    assert task.network.weight.grad.item() == pytest.approx(1.0)


class FrozenNorms(SupervisedTask):
    """Norms by their running statistics: the only thing in which parts differ from the whole on purpose."""

    def train(self, mode: bool = True) -> FrozenNorms:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        return self


def test_bfloat16_learns_like_float32_and_keeps_float32_weights(streets: Path, tmp_path: Path) -> None:
    curves = {}
    for precision in ('float32', 'bf16'):
        recipe = tiny_recipe(streets, steps=3, run={'workers': 0, 'log_every': 1, 'precision': precision})
        task, _ = run_task(recipe, tmp_path / precision)
        assert all(tensor.dtype != torch.bfloat16 for tensor in task.state_dict().values())
        curves[precision] = list(losses_in(tmp_path / precision).values())
    assert curves['bf16'] == pytest.approx(curves['float32'], rel=0.05)
    assert curves['bf16'] != curves['float32']


def test_a_batch_that_does_not_divide_is_refused(streets: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(streets, steps=1, batch=4, run={'workers': 0, 'accumulate': 3})
    with pytest.raises(TrainingError, match=r'phases.0.batch is 4.*multiple of 3'):
        run_task(recipe, tmp_path)


def test_the_learning_rate_rises_then_falls_to_zero(streets: Path) -> None:
    recipe = tiny_recipe(streets, steps=12, optimizer={'learning_rate': 1.0, 'warmup_steps': 2, 'power': 1.0})
    rates = [learning_rate_at(step, recipe.optimizer, recipe.total_steps) for step in range(13)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[7] == pytest.approx(0.5)
    assert rates[12] == 0.0


def test_swinmtls_learning_rate_rises_for_half_of_the_steps_and_falls_again() -> None:
    settings = OptimizerSection(learning_rate=5e-4, least_learning_rate=3e-5, schedule='rise_and_fall', warmup_steps=9)
    rates = [learning_rate_at(step, settings, 100) for step in range(101)]
    assert rates[0] == pytest.approx(3e-5)
    assert rates[25] == pytest.approx(3e-5 + 4.7e-4 * 0.5**0.9)
    assert rates[50] == max(rates) == pytest.approx(5e-4)
    assert rates[75] == pytest.approx(3e-5 + 4.7e-4 * 0.5**0.9)
    assert rates[100] == pytest.approx(3e-5)


def test_blocks_learn_slower_the_earlier_they_come() -> None:
    network = StudentNetwork('swinmtl-mini', classes=3, thing_ids=())
    groups = make_optimizer(network, OptimizerSection(weight_decay=0.1, layer_decay=0.5)).param_groups
    where = {id(p): (group['weight_decay'], group['factor']) for group in groups for p in group['params']}
    assert len(where) == len(list(network.parameters()))
    layers = network.backbone.network.layers
    assert where[id(network.depth.out.weight)] == (0.1, 1.0)
    assert where[id(layers[3].blocks[0].mlp.fc1.weight)] == (0.1, 0.5)
    assert where[id(layers[0].blocks[0].mlp.fc1.weight)] == (0.1, 0.5**6)
    assert where[id(layers[0].blocks[0].attn.logit_scale)] == (0.0, 0.5**6)
    assert where[id(layers[0].blocks[0].attn.cpb_mlp[0].weight)] == (0.0, 0.5**6)
    assert where[id(network.backbone.network.patch_embed.proj.weight)] == (0.1, 0.5**7)
    with pytest.raises(TrainingError, match='layer_decay needs a backbone of blocks'):
        make_optimizer(StudentNetwork('nano', 3, ()), OptimizerSection(layer_decay=0.5))


def test_norms_biases_and_embeddings_do_not_decay(streets: Path) -> None:
    network = StudentNetwork('nano', classes=3, thing_ids=(2,))
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
    with torch.no_grad():
        steady = MovingAverage(network, decay=0.9, warm_up=False)
        torch.nn.init.constant_(network.weight, 0.0)
    steady.update(network)
    assert steady.network.weight.item() == pytest.approx(90.0)


def test_without_an_average_the_weights_themselves_are_judged_and_saved(streets: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(streets, steps=2, optimizer={'ema_decay': None})
    seen: list[tuple[StudentNetwork, bool]] = []

    def judge(network: StudentNetwork) -> dict[str, float]:
        seen.append((network, network.training))
        return {}

    task, _ = run_task(recipe, tmp_path, judge)
    assert seen == [(task.network, False)]
    state = load_checkpoint(tmp_path / 'last.pt')
    assert all(torch.equal(tensor, state['network'][name]) for name, tensor in state['ema'].items())
    assert all(torch.equal(tensor, task.network.state_dict()[name]) for name, tensor in state['ema'].items())
