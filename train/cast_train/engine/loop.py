# SPDX-License-Identifier: Apache-2.0
"""Supervised training: one readable loop from recipe to finished run folder, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cast_ros.student import StudentContract
from cast_train.data import Batch, Sample, ViewRules, batches, load_samples, open_dataset
from cast_train.engine.checkpoint import load_checkpoint, save_checkpoint
from cast_train.engine.contract import build_contract
from cast_train.engine.ema import MovingAverage
from cast_train.engine.evaluate import evaluate, headline
from cast_train.engine.logging import RunLog
from cast_train.engine.recipe import Part, Recipe
from cast_train.errors import TrainingError
from cast_train.losses import centre_loss, composed_semantic_loss, dense_semantic_loss, depth_loss, mask_set_loss
from cast_train.models import Student, StudentOutput
from cast_train.models.graph import TorchStudent

LAST = 'last.pt'


def fit(recipe: Recipe, run: Path, resume: bool) -> dict[str, float]:
    """Train a student from a recipe; the run folder ends up with ``last.pt``, ``log.jsonl`` and TensorBoard events.

    Args:
        recipe: what to do.
        run: output folder.
        resume: go on from ``last.pt`` there; otherwise the folder must not hold one.

    Returns:
        The headline metrics of the averaged weights on the validation part.

    Raises:
        TrainingError: the folder holds another run, or training diverged.
        DataError: the data set is not as expected.
    """
    torch.set_num_threads(recipe.run.threads)
    torch.manual_seed(recipe.seed)
    train, classes = read_parts(recipe, recipe.data.train)
    validation, _ = read_parts(recipe, recipe.data.validation)
    contract = build_contract(recipe, classes)
    network = Student(recipe.student.size, len(classes), contract.thing_ids, recipe.student.backbone_weights).to(
        memory_format=torch.channels_last
    )
    if recipe.student.initial is not None:
        take_over(network, recipe.student.initial)
    optimizer = make_optimizer(network, recipe)
    average = MovingAverage(network, recipe.optimizer.ema_decay)
    first = restore(run / LAST, recipe, network, optimizer, average, resume)
    with RunLog(run, recipe, first) as log:
        log.say(
            f'{len(train)} training and {len(validation)} validation pictures, '
            f'{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters, '
            f'step {first} of {recipe.total_steps}'
        )
        for step, batch in enumerate(stream(recipe, train, contract, first), first):
            losses = train_step(network, optimizer, average, batch, recipe, step)
            log.step(step, losses, optimizer.param_groups[-1]['lr'], len(batch.images))
            done = step + 1
            if done % recipe.run.checkpoint_every == 0 or done == recipe.total_steps:
                save_checkpoint(state_of(recipe, network, optimizer, average, done), run / LAST)
            if done % recipe.run.evaluate_every == 0 and done < recipe.total_steps:
                log.evaluation(done, headline(evaluate(TorchStudent(average.network, contract), validation)))
        result = headline(evaluate(TorchStudent(average.network, contract), validation))
        log.evaluation(recipe.total_steps, result)
    return result


def read_parts(recipe: Recipe, parts: tuple[Part, ...]) -> tuple[list[Sample], tuple[Any, ...]]:
    """Read the pictures of some parts of the recipe's data set, and its classes."""
    opened = [open_dataset(recipe.data.dataset, recipe.data.root, part.split, part.domain) for part in parts]
    samples = load_samples(opened)
    return samples[: recipe.data.limit], opened[0].classes


def take_over(network: Student, path: Path) -> int:
    """Load the averaged weights of an earlier run where name and shape agree, and return how many tensors did.

    Raises:
        TrainingError: the file is missing, is no checkpoint, or fits less than half of this network.
    """
    own = network.state_dict()
    shared = {
        name: tensor
        for name, tensor in load_checkpoint(path)['ema'].items()
        if name in own and own[name].shape == tensor.shape
    }
    if len(shared) < len(own) / 2:
        raise TrainingError(
            f'{path}: only {len(shared)} of {len(own)} tensors fit this student; start from a run of the same size'
        )
    network.load_state_dict({**own, **shared})
    return len(shared)


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW without weight decay on norms, biases and embeddings; the backbone at its own learning rate."""
    settings = recipe.optimizer
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        groups.setdefault((name.startswith('backbone.'), parameter.ndim > 1 and 'embedding' not in name), []).append(
            parameter
        )
    return torch.optim.AdamW(
        [
            {
                'params': parameters,
                'weight_decay': settings.weight_decay if decays else 0.0,
                'factor': settings.backbone_factor if is_backbone else 1.0,
            }
            for (is_backbone, decays), parameters in sorted(groups.items(), reverse=True)
        ],
        lr=settings.learning_rate,
    )


def learning_rate_at(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then polynomial decay to zero at the last step."""
    settings = recipe.optimizer
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, recipe.total_steps - settings.warmup_steps)
    return float(settings.learning_rate * (1 - progress) ** settings.power)


def stream(recipe: Recipe, samples: list[Sample], contract: StudentContract, first: int) -> Iterator[Batch]:
    """Yield the batches of every phase from step ``first`` on."""
    start = 0
    for phase in recipe.phases:
        end = start + phase.steps
        if first < end:
            rules = ViewRules(
                phase.height,
                phase.width,
                recipe.depth.focal_reference_px,
                recipe.depth.cap_m,
                contract.thing_ids,
                recipe.augmentation,
            )
            yield from batches(samples, rules, phase.batch, recipe.seed, max(first, start), end, recipe.run.workers)
        start = end


def losses_of(output: StudentOutput, batch: Batch, recipe: Recipe, thing_ids: tuple[int, ...]) -> dict[str, Tensor]:
    """All weighted terms of the supervised objective."""
    weights = recipe.losses
    terms = mask_set_loss(output.levels, batch.targets, weights)
    terms['centre'] = weights.centre * centre_loss(output.heat, batch.targets, thing_ids)
    terms['depth'] = weights.depth * depth_loss(output.log_depth, batch.targets)
    terms['composed_semantic'] = weights.composed_semantic * composed_semantic_loss(output.levels[-1], batch.targets)
    if output.dense_logits is not None:
        terms['dense_semantic'] = weights.dense_semantic * dense_semantic_loss(output.dense_logits, batch.targets)
    return terms


def train_step(
    network: Student,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage[Student],
    batch: Batch,
    recipe: Recipe,
    step: int,
) -> dict[str, float]:
    """One update of weights and average; returns the terms and the gradient norm.

    Raises:
        TrainingError: the loss is not finite.
    """
    for group in optimizer.param_groups:
        group['lr'] = learning_rate_at(step, recipe) * group['factor']
    network.train()
    terms = losses_of(network(batch.images), batch, recipe, network.thing_ids)
    total = torch.stack(list(terms.values())).sum()
    if not math.isfinite(total.item()):
        found = {name: round(value.item(), 4) for name, value in terms.items()}
        raise TrainingError(f'step {step}: the loss is not finite ({found}); lower optimizer.learning_rate and resume')
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), recipe.optimizer.clip_norm)
    optimizer.step()
    average.update(network)
    return {
        **{name: value.item() for name, value in terms.items()},
        'total': total.item(),
        'gradient_norm': norm.item(),
    }


def state_of(
    recipe: Recipe,
    network: Student,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage[Student],
    step: int,
) -> dict[str, Any]:
    """Everything that a run needs to go on as if it had never stopped."""
    return {
        'recipe': recipe.model_dump(mode='json'),
        'step': step,
        'network': network.state_dict(),
        'optimizer': optimizer.state_dict(),
        'ema': average.network.state_dict(),
        'ema_updates': average.updates,
        'random': torch.get_rng_state(),
        'saved': time.time(),
    }


def restore(
    path: Path,
    recipe: Recipe,
    network: Student,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage[Student],
    resume: bool,
) -> int:
    """Load the state in ``path`` if there is one, and return the step to go on with.

    Raises:
        TrainingError: there is a run and ``resume`` is off, or it was made by another recipe.
    """
    if not path.is_file():
        return 0
    if not resume:
        raise TrainingError(f'{path}: this folder already holds a run; go on with --resume, or choose another --out')
    state = load_checkpoint(path)
    changed = changed_keys(state['recipe'], recipe.model_dump(mode='json'))
    if changed:
        raise TrainingError(
            f'{path}: was made with other values of {", ".join(changed)}; use the same recipe, or another --out'
        )
    network.load_state_dict(state['network'])
    optimizer.load_state_dict(state['optimizer'])
    average.network.load_state_dict(state['ema'])
    average.updates = state['ema_updates']
    torch.set_rng_state(state['random'])
    return int(state['step'])


def changed_keys(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Top-level keys in which two recipes differ; how a run proceeds (``run``) and where the data lies may change."""

    def relevant(document: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in document.items() if key != 'run'}
        return {**kept, 'data': {key: value for key, value in document['data'].items() if key != 'root'}}

    before, after = relevant(old), relevant(new)
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
