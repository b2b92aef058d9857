# SPDX-License-Identifier: Apache-2.0
"""Training the promptable mask network once, on boxes around true instances; afterwards it stays frozen.

It has a loop of its own, since the engine's trains students: classes, a contract and their metrics mean nothing here.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import yaml
from pydantic import Field
from torch import Tensor, nn

from cast_ros.student import InputSpec
from cast_train.data import DATASETS, Augmentation, Sample, load_samples
from cast_train.data.augment import make_targets, make_view
from cast_train.engine.checkpoint import load_checkpoint, save_checkpoint
from cast_train.engine.ema import MovingAverage
from cast_train.engine.recipe import DataSection, InputSection, OptimizerSection, Phase, RunSection
from cast_train.engine.recipe_file import load_document, parse, require_known
from cast_train.errors import RecipeError, TeacherError, TrainingError
from cast_train.models.backbones import BACKBONES
from cast_train.models.promptable import (
    PromptableMasks,
    PromptableSize,
    boxes_around,
    jitter,
    mask_loss,
    paste,
    read_targets,
)
from cast_train.settings import Positive, Settings, Weight

LAST = 'last.pt'
# Separates the draws of boxes from those of views.
BOX_DRAWS = 7

Say = Callable[[str], None]


class BoxSection(Settings):
    """``jitter`` is the noise on a box in shares of its size; at most ``most`` boxes of a view are learned at once."""

    jitter: Weight = 0.1
    most: Positive = 10


class PromptableRecipe(Settings):
    """How the mask network is trained; sections as in a recipe of ``cast-train fit``.

    ``backbone_weights`` is a safetensors file for the backbone, or null.
    """

    method: Literal['masks'] = 'masks'
    name: Annotated[str, Field(min_length=1, pattern=r'^[a-z0-9][a-z0-9._-]*$')]
    seed: Annotated[int, Field(ge=0)] = 1
    network: PromptableSize = PromptableSize()
    backbone_weights: Path | None = None
    input: InputSection
    data: DataSection
    augmentation: Augmentation = Augmentation()
    boxes: BoxSection = BoxSection()
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    optimizer: OptimizerSection = OptimizerSection()
    run: RunSection = RunSection()

    @property
    def total_steps(self) -> int:
        """Steps of all phases together."""
        return sum(phase.steps for phase in self.phases)


def load_promptable_recipe(path: Path, overrides: tuple[str, ...] = ()) -> PromptableRecipe:
    """Read a YAML recipe and apply ``key.sub=value`` overrides.

    Raises:
        RecipeError: unreadable, not YAML, an unknown key, or a value out of range.
    """
    return parse_promptable_recipe(load_document(path, overrides), str(path))


def parse_promptable_recipe(document: dict[str, Any], source: str) -> PromptableRecipe:
    """Check a recipe that is already a mapping; ``source`` names it in errors."""
    recipe = parse(PromptableRecipe, document, source)
    require_known(source, 'data.dataset', recipe.data.dataset, DATASETS)
    require_known(source, 'network.backbone', recipe.network.backbone, BACKBONES)
    return recipe


def open_promptable(path: Path) -> tuple[PromptableMasks, InputSpec]:
    """Return the averaged weights of a run of ``cast-train fit-masks``, and the size of its input.

    Raises:
        TeacherError: there is no such run, or it is one of another network.
        TrainingError: the file cannot be read.
    """
    file = path / LAST if path.is_dir() else path
    if not file.is_file():
        raise TeacherError(f'{file}: no such file; train the mask network with cast-train fit-masks, or name its run')
    state = load_checkpoint(file)
    try:
        recipe = parse_promptable_recipe(state['recipe'], str(file))
        network = PromptableMasks(recipe.network)
        network.load_state_dict(state['ema'])
    except (RecipeError, RuntimeError) as error:
        raise TeacherError(f'{file}: is not a run of cast-train fit-masks of this version ({error})') from error
    return network.eval(), InputSpec(height=recipe.input.height, width=recipe.input.width, resize=recipe.input.resize)


def fit_promptable(recipe: PromptableRecipe, run: Path, resume: bool, say: Say) -> dict[str, float]:
    """Train, and return the mean IoU on the validation part.

    Args:
        recipe: what to do.
        run: output folder; ends up with ``last.pt``, ``log.jsonl`` and ``recipe.yaml``.
        resume: go on from ``last.pt`` there; otherwise the folder must not hold one.
        say: told how far it is.

    Raises:
        TrainingError: the folder holds another run, or training diverged.
        DataError: the data set is not as expected.
    """
    torch.set_num_threads(recipe.run.threads)
    torch.manual_seed(recipe.seed)
    samples, things = _read(recipe, 'train')
    network = PromptableMasks(recipe.network, recipe.backbone_weights).to(memory_format=torch.channels_last)
    optimizer = _make_optimizer(network, recipe)
    average = MovingAverage(network, recipe.optimizer.ema_decay)
    first = _restore(run / LAST, recipe, network, optimizer, average, resume)
    run.mkdir(parents=True, exist_ok=True)
    (run / 'recipe.yaml').write_text(yaml.safe_dump(recipe.model_dump(mode='json'), sort_keys=False))
    parameters_m = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    say(f'{len(samples)} pictures, {parameters_m:.2f} M parameters, step {first} of {recipe.total_steps}')
    with (run / 'log.jsonl').open('a') as log:
        sums: dict[str, float] = {}
        since = time.perf_counter()
        for step in range(first, recipe.total_steps):
            for name, value in _train_step(network, optimizer, average, recipe, samples, things, step).items():
                sums[name] = sums.get(name, 0.0) + value
            done = step + 1
            if done % recipe.run.log_every == 0:
                means = {name: round(value / recipe.run.log_every, 5) for name, value in sums.items()}
                seconds = round((time.perf_counter() - since) / recipe.run.log_every, 3)
                _write(log, {'step': done, 'seconds_per_step': seconds, **means})
                say(f'step {done}/{recipe.total_steps}  ' + '  '.join(f'{k} {v:.3f}' for k, v in means.items()))
                sums, since = {}, time.perf_counter()
            if done % recipe.run.checkpoint_every == 0 or done == recipe.total_steps:
                save_checkpoint(_state(recipe, network, optimizer, average, done), run / LAST)
        validation, _ = _read(recipe, 'validation')
        spec = InputSpec(height=recipe.input.height, width=recipe.input.width, resize=recipe.input.resize)
        result = measure_iou(average.network, spec, validation, things, recipe.boxes.jitter)
        _write(log, {'step': recipe.total_steps, 'validation': {k: round(v, 5) for k, v in result.items()}})
    return result


@torch.no_grad()
def measure_iou(
    network: PromptableMasks, spec: InputSpec, samples: Sequence[Sample], things: tuple[int, ...], noise: float
) -> dict[str, float]:
    """Mean IoU over all true instances of 12 pixels and more, in the network's input: exact boxes, jittered boxes."""
    found: dict[str, list[float]] = {'iou': [], 'iou_jittered': []}
    for number, sample in enumerate(samples):
        image, masks = _view(sample, spec.height, spec.width, None, things, [number])
        if not len(masks):
            continue
        exact = boxes_around(masks)
        noisy = jitter(exact, noise, torch.Generator().manual_seed(number))
        for name, boxes in (('iou', exact), ('iou_jittered', noisy)):
            extent = spec.height, spec.width
            drawn = paste(network(image[None], [boxes]).sigmoid(), network.regions(boxes), extent, extent) >= 0.5
            union = (drawn | masks).sum((1, 2))
            found[name] += ((drawn & masks).sum((1, 2)) / union).tolist()
    return {name: float(np.mean(values)) if values else math.nan for name, values in found.items()}


def _read(recipe: PromptableRecipe, role: Literal['train', 'validation']) -> tuple[list[Sample], tuple[int, ...]]:
    opened = recipe.data.open_all(role)
    things = tuple(entry.id for entry in opened[0].classes if entry.is_thing)
    return load_samples(opened)[: recipe.data.limit], things


def _view(
    sample: Sample, height: int, width: int, augmentation: Augmentation | None, things: tuple[int, ...], seed: list[int]
) -> tuple[Tensor, Tensor]:
    """A view 3×H×W and the masks M×H×W of the instances in it; depth plays no part, so any focal length does."""
    view = make_view(sample, height, width, 1.0, 1.0, augmentation, seed)
    targets = make_targets(view, things)
    if targets.masks is None or targets.labels is None:
        raise TrainingError(f'{sample.name}: has no instance masks; train the mask network on a data set with masks')
    return view.image, targets.masks[torch.isin(targets.labels, torch.tensor(things))]


def _train_step(
    network: PromptableMasks,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage[PromptableMasks],
    recipe: PromptableRecipe,
    samples: Sequence[Sample],
    things: tuple[int, ...],
    step: int,
) -> dict[str, float]:
    """One update; a batch without any instance changes nothing."""
    for group in optimizer.param_groups:
        group['lr'] = _learning_rate_at(step, recipe)
    images, masks = zip(*_batch(recipe, samples, things, step), strict=True)
    generator = torch.Generator().manual_seed(
        int(np.random.default_rng([recipe.seed, step, BOX_DRAWS]).integers(2**62))
    )
    boxes = [jitter(boxes_around(own), recipe.boxes.jitter, generator) for own in masks]
    if not sum(len(own) for own in boxes):
        return {}
    network.train()
    logits = network(torch.stack(images), boxes)
    terms = mask_loss(logits, read_targets(masks, [network.regions(own) for own in boxes], network.mask_side))
    total = torch.stack(list(terms.values())).sum()
    if not math.isfinite(total.item()):
        raise TrainingError(f'step {step}: the loss is not finite; lower optimizer.learning_rate and resume')
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    nn.utils.clip_grad_norm_(network.parameters(), recipe.optimizer.clip_norm)
    optimizer.step()
    average.update(network)
    return {name: value.item() for name, value in terms.items()}


def _batch(
    recipe: PromptableRecipe, samples: Sequence[Sample], things: tuple[int, ...], step: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The views of a step and up to ``boxes.most`` masks of each; step n is the same however the run got there."""
    phase = _phase_at(recipe, step)
    for slot in range(phase.batch):
        rng = np.random.default_rng([recipe.seed, step, slot, BOX_DRAWS])
        sample = samples[int(rng.integers(len(samples)))]
        image, masks = _view(sample, phase.height, phase.width, recipe.augmentation, things, [recipe.seed, step, slot])
        yield image, masks[torch.from_numpy(rng.permutation(len(masks))[: recipe.boxes.most])]


def _phase_at(recipe: PromptableRecipe, step: int) -> Phase:
    for phase in recipe.phases:
        if step < phase.steps:
            return phase
        step -= phase.steps
    raise IndexError(step)


def _learning_rate_at(step: int, recipe: PromptableRecipe) -> float:
    """Linear warm-up, then polynomial decay to zero at the last step."""
    settings = recipe.optimizer
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    return float(settings.learning_rate * warm * (1 - step / recipe.total_steps) ** settings.power)


def _make_optimizer(network: nn.Module, recipe: PromptableRecipe) -> torch.optim.Optimizer:
    """AdamW without weight decay on norms and biases."""
    decays = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return torch.optim.AdamW(
        [{'params': decays, 'weight_decay': recipe.optimizer.weight_decay}, {'params': others, 'weight_decay': 0.0}],
        lr=recipe.optimizer.learning_rate,
    )


def _state(
    recipe: PromptableRecipe,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage[PromptableMasks],
    step: int,
) -> dict[str, Any]:
    return {
        'recipe': recipe.model_dump(mode='json'),
        'step': step,
        'network': network.state_dict(),
        'optimizer': optimizer.state_dict(),
        'ema': average.network.state_dict(),
        'ema_updates': average.updates,
        'saved': time.time(),
    }


def _restore(
    path: Path,
    recipe: PromptableRecipe,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage[PromptableMasks],
    resume: bool,
) -> int:
    """Load the state in ``path`` if there is one, and return the step to go on with."""
    if not path.is_file():
        return 0
    if not resume:
        raise TrainingError(f'{path}: this folder already holds a run; go on with --resume, or choose another --out')
    state = load_checkpoint(path)
    if state['recipe'] != recipe.model_dump(mode='json'):
        raise TrainingError(f'{path}: was made by another recipe; use the same one, or another --out')
    network.load_state_dict(state['network'])
    optimizer.load_state_dict(state['optimizer'])
    average.network.load_state_dict(state['ema'])
    average.updates = state['ema_updates']
    return int(state['step'])


def _write(log: Any, record: dict[str, object]) -> None:
    log.write(json.dumps(record) + '\n')
    log.flush()
