# SPDX-License-Identifier: Apache-2.0
"""Training the promptable mask network once, on boxes around true instances; afterwards it stays frozen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from cast_ros.student import InputSpec
from cast_train.data import Augmentation, Sample, load_samples
from cast_train.data.augment import make_targets, make_view
from cast_train.engine.checkpoint import LAST, load_checkpoint
from cast_train.engine.loop import train
from cast_train.engine.recipe import DataSection, InputSection, Phase, Plan
from cast_train.engine.recipe_file import parse
from cast_train.engine.task import Rows, Task
from cast_train.errors import RecipeError, TeacherError, TrainingError
from cast_train.models.promptable import (
    PromptableMasks,
    PromptableSize,
    boxes_around,
    jitter,
    mask_loss,
    paste,
    read_targets,
)
from cast_train.ranks import mean_counts
from cast_train.settings import Positive, Settings, Weight

# Separates the draws of boxes from those of views.
BOX_DRAWS = 7


class BoxSection(Settings):
    """``jitter`` is the noise on a box in shares of its size; at most ``most`` boxes of a view are learned at once."""

    jitter: Weight = 0.1
    most: Positive = 10


class PromptableRecipe(Plan):
    """How the mask network is trained; sections as in a recipe of ``cast-train fit``.

    ``backbone_weights`` is a safetensors file for the backbone, or null.
    """

    method: Literal['masks'] = 'masks'
    network: PromptableSize = PromptableSize()
    backbone_weights: Path | None = None
    input: InputSection
    data: DataSection
    augmentation: Augmentation = Augmentation()
    boxes: BoxSection = BoxSection()
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]

    @property
    def spec(self) -> InputSpec:
        """The input of the network."""
        return InputSpec(**self.input.model_dump())


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
        recipe = parse(PromptableRecipe, state['recipe'], str(file))
        network = PromptableMasks(recipe.network)
        network.load_state_dict(state['ema'])
    except (RecipeError, RuntimeError) as error:
        raise TeacherError(f'{file}: is not a run of cast-train fit-masks of this version ({error})') from error
    return network.eval(), recipe.spec


class PromptableTask(Task[PromptableMasks, Rows]):
    """Cross entropy and Dice loss of the masks, in the mean over all boxes; a batch without any teaches nothing."""

    def forward(self, batch: Rows, step: int) -> dict[str, Tensor]:
        """See ``Task``; a row is a view 3×H×W, M×4 boxes, and M×S×S masks on the grids of their regions."""
        wanted = torch.cat([row['masks'] for row in batch.rows])
        share = len(wanted) / mean_counts(torch.tensor(len(wanted), device=wanted.device))
        if not len(wanted):
            return {'mask': share, 'dice': share}
        images = torch.stack([row['image'] for row in batch.rows])
        terms = mask_loss(self.network(images, [row['boxes'] for row in batch.rows]), wanted)
        return {name: share * value for name, value in terms.items()}

    def learning_rate(self, step: int, plan: Plan) -> float:
        """Linear warm-up, and all the while polynomial decay to zero after the last step."""
        settings = plan.optimizer
        warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
        return float(settings.learning_rate * warm * (1 - step / plan.total_steps) ** settings.power)


def fit_promptable(recipe: PromptableRecipe, run: Path, resume: bool) -> dict[str, float]:
    """Train, and return the mean IoU of the averaged weights on the validation part (``measure_iou``).

    Args:
        recipe: what to do.
        run: output folder, as of ``cast_train.engine.loop.train``.
        resume: go on from the checkpoint there; otherwise the folder must not hold one.

    Raises:
        TrainingError: the folder holds another run, or training diverged.
        DataError: the data set is not as expected.
    """
    torch.manual_seed(recipe.seed)
    samples, things = _read(recipe, 'train')
    validation, _ = _read(recipe, 'validation')
    network = PromptableMasks(recipe.network, recipe.backbone_weights)

    def judge(average: PromptableMasks) -> dict[str, float]:
        return measure_iou(average, recipe.spec, validation, things, recipe.boxes.jitter)

    def stream(first: int) -> Iterator[Rows]:
        phases = [phase for phase in recipe.phases for _ in range(phase.steps)]
        for step in range(first, len(phases)):
            yield _batch(recipe, phases[step], network, samples, things, step)

    return train(PromptableTask(network), recipe, stream, run, judge, resume, note=f'{len(samples)} pictures')


@torch.no_grad()
def measure_iou(
    network: PromptableMasks, spec: InputSpec, samples: Sequence[Sample], things: tuple[int, ...], noise: float
) -> dict[str, float]:
    """Mean IoU over all true instances of 12 pixels and more, in the network's input: exact boxes, jittered boxes."""
    found: dict[str, list[float]] = {'iou': [], 'iou_jittered': []}
    device = next(network.parameters()).device
    for number, sample in enumerate(samples):
        image, masks = _view(sample, spec.height, spec.width, None, things, [number])
        if not len(masks):
            continue
        exact = boxes_around(masks)
        noisy = jitter(exact, noise, torch.Generator().manual_seed(number))
        for name, boxes in (('iou', exact), ('iou_jittered', noisy)):
            extent = spec.height, spec.width
            logits = network(image[None].to(device), [boxes]).float().cpu()
            drawn = paste(logits.sigmoid(), network.regions(boxes), extent, extent) >= 0.5
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


def _batch(
    recipe: PromptableRecipe,
    phase: Phase,
    network: PromptableMasks,
    samples: Sequence[Sample],
    things: tuple[int, ...],
    step: int,
) -> Rows:
    """The views of a step and up to ``boxes.most`` masks of each; step n is the same however the run got there."""
    draws = np.random.default_rng([recipe.seed, step, BOX_DRAWS])
    noise = torch.Generator().manual_seed(int(draws.integers(2**62)))
    rows = []
    for slot in range(phase.batch):
        rng = np.random.default_rng([recipe.seed, step, slot, BOX_DRAWS])
        sample, seed = samples[int(rng.integers(len(samples)))], [recipe.seed, step, slot]
        image, masks = _view(sample, phase.height, phase.width, recipe.augmentation, things, seed)
        masks = masks[torch.from_numpy(rng.permutation(len(masks))[: recipe.boxes.most])]
        boxes = jitter(boxes_around(masks), recipe.boxes.jitter, noise)
        wanted = read_targets([masks], [network.regions(boxes)], network.mask_side)
        rows.append({'image': image, 'boxes': boxes, 'masks': wanted})
    return Rows(rows)
