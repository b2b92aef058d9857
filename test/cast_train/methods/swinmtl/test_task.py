# SPDX-License-Identifier: Apache-2.0
"""The critic beside any student: what it sees, where its gradient goes, and that a resumed run is the straight one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from drawn_streets import draw_streets
from tiny_recipe import tiny_recipe
from torch import nn

from cast_train.data import Batch, Targets
from cast_train.engine.checkpoint import load_checkpoint
from cast_train.engine.fitting import make_task, read_parts, supervised_stream
from cast_train.engine.loop import start_fabric, train
from cast_train.engine.recipe import RunSection
from cast_train.engine.step import backward
from cast_train.methods.swinmtl.recipe import AdversarialSection
from cast_train.methods.swinmtl.task import AdversarialTask, Critic, critic_maps, gradient_norms, student_loss

NARROW = (8, 8, 8, 8)


@pytest.fixture(scope='module')
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp('streets')
    draw_streets(root, 'train', 'day', frames=4)
    return root


def start(streets: Path, run: Path | None = None, dies_at: int | None = None) -> tuple[AdversarialTask, Batch]:
    """A task with its first batch; with ``run`` it is trained there for five steps, going on with what is there."""
    recipe = tiny_recipe(streets, steps=5)
    samples, classes = read_parts(recipe, recipe.data.train)
    contract = recipe.contract_for(classes)
    plain = make_task(recipe, contract)
    task = AdversarialTask(plain.network, recipe.losses, AdversarialSection(learning_rate=1e-2), 80.0, NARROW)

    def stream(first: int) -> Iterator[Batch]:
        for step, batch in enumerate(supervised_stream(recipe, samples, contract, first), first):
            if step == dies_at:
                raise KeyboardInterrupt
            yield batch

    if run is not None:
        train(task, recipe.plan, stream, run, resume=True)
    return task, next(supervised_stream(recipe, samples, contract, 0))


def test_a_resumed_run_has_the_losses_and_the_critic_of_the_straight_run(streets: Path, tmp_path: Path) -> None:
    first = start(streets)[0].critic.state_dict()
    start(streets, tmp_path / 'straight')
    with pytest.raises(KeyboardInterrupt):
        start(streets, tmp_path / 'stopped', dies_at=3)
    assert load_checkpoint(tmp_path / 'stopped' / 'last.pt')['step'] == 2
    start(streets, tmp_path / 'stopped')
    logs = []
    for name in ('straight', 'stopped'):
        records = [json.loads(line) for line in (tmp_path / name / 'log.jsonl').read_text().splitlines()]
        logs.append({one['step']: (one['total'], one['critic']) for one in records if 'total' in one})
    assert list(logs[0]) == [1, 2, 3, 4, 5]
    for step, values in logs[0].items():
        assert logs[1][step] == pytest.approx(values, rel=1e-6)
    one, other = (load_checkpoint(tmp_path / name / 'last.pt')['task'] for name in ('straight', 'stopped'))
    for name, weight in first.items():
        assert torch.allclose(one[f'critic.{name}'], other[f'critic.{name}'], rtol=1e-6)
        assert not torch.equal(one[f'critic.{name}'], weight)


def test_a_batch_in_parts_teaches_the_critic_as_the_whole_does(streets: Path) -> None:
    """Norms by their running statistics, and no random place between truth and answer: what differs on purpose."""
    found = []
    for parts in (1, 2):
        task, batch = start(streets)
        task = task.eval()
        task.train = lambda mode=True, task=task: task  # type: ignore[method-assign]
        plan = tiny_recipe(streets, steps=5).plan.model_copy(update={'run': RunSection(accumulate=parts)})
        fabric = start_fabric()
        with patch_between():
            terms = backward(fabric, fabric.setup_module(task), 0, batch, plan)
        found.append((terms['critic'].item(), torch.cat([one.flatten() for one in task.critic_gradients()])))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-5)
    assert (found[1][1] - found[0][1]).norm() < 1e-4 * found[0][1].norm()


@contextmanager
def patch_between() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, 'rand', lambda count, *rest, **_: torch.full((count, *rest), 0.5))
        yield


def test_in_bfloat16_the_critic_stays_in_float32(streets: Path) -> None:
    task, batch = start(streets)
    with torch.autocast('cpu', torch.bfloat16):
        terms = task.train()(batch, 0)
    assert terms['critic'].dtype == torch.float32
    assert all(one.dtype == torch.float32 and one.isfinite().all() for one in task.critic_gradients())


def test_the_critic_teaches_classes_and_depth_and_through_argmax_depth_alone(streets: Path) -> None:
    task, batch = start(streets)
    output = task.network.train()(batch.images)
    fake = critic_maps(output, batch.targets, 80.0).fake
    classes, depth = output.levels[-1].class_logits, output.log_depth

    def slopes(maps: torch.Tensor) -> list[float]:
        found = torch.autograd.grad(
            student_loss(task.critic, maps), [classes, depth], retain_graph=True, allow_unused=True
        )
        return [0.0 if one is None else float(one.abs().sum()) for one in found]

    assert min(slopes(fake)) > 0
    hard = nn.functional.one_hot(fake[:, 1:].argmax(1), task.network.classes).permute(0, 3, 1, 2)
    published = slopes(torch.cat([fake[:, :1], hard.float()], 1))
    assert published[0] == 0
    assert published[1] > 0


def test_the_truth_is_one_hot_with_depth_between_zero_and_the_cap(streets: Path) -> None:
    task, batch = start(streets)
    semantic = torch.full((64, 128), 3)
    semantic[:32] = 255
    depth_m = torch.full((64, 128), 80.0)
    depth_m[:, :64] = torch.nan
    targets = [Targets(None, None, semantic, depth_m), batch.targets[1]]
    fake, real = critic_maps(task.network(batch.images), targets, 80.0)
    assert torch.equal(real[0, 4], torch.cat([torch.zeros(8, 32), torch.ones(8, 32)]))
    assert real[0, 1:].sum() == real[0, 4].sum()
    assert torch.equal(real[0, 0], torch.cat([torch.zeros(16, 16), torch.ones(16, 16)], 1))
    assert not fake[0, 1:, :8].any()
    assert not fake[0, 0, :, :16].any()


def test_a_picture_without_both_labels_enters_neither_side(streets: Path) -> None:
    task, batch = start(streets)
    output = task.network(batch.images)
    bare = Targets(None, None, None, None)
    fake, real = critic_maps(output, [bare, batch.targets[1]], 80.0)
    assert torch.equal(real, critic_maps(output, batch.targets, 80.0).real[1:])
    assert len(fake) == 1
    fake, real = critic_maps(output, [bare, bare], 80.0)
    assert len(real) == 0
    assert student_loss(task.critic, fake).item() == 0


def test_the_penalty_of_a_picture_is_its_own_which_batch_norm_would_break() -> None:
    torch.manual_seed(0)
    maps, others = torch.rand(2, 4, 16, 32), torch.rand(1, 4, 16, 32)
    changed = torch.cat([maps[:1], others])
    plain = Critic(3, NARROW)
    assert torch.allclose(gradient_norms(plain, maps)[0], gradient_norms(plain, changed)[0], rtol=1e-5)
    normed = Critic(3, NARROW)
    normed.layers.insert(3, nn.BatchNorm2d(8))
    assert not torch.allclose(gradient_norms(normed, maps)[0], gradient_norms(normed, changed)[0], rtol=1e-3)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in plain.modules())
