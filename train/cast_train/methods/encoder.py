# SPDX-License-Identifier: Apache-2.0
"""A small encoder learns what a large pretrained one sees, from pictures without any labels.

Nobody publishes weights for the smallest backbones. DINOv2-S, the encoder of CAST's own student, was itself distilled
from a larger network; this is the same step in miniature: the features of a pretrained backbone, standardised channel
by channel, are regressed at strides 8, 16 and 32.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from cast_train.data import Augmentation, Batch, Source, ViewRules, batches, load_samples
from cast_train.engine.loop import train
from cast_train.engine.recipe import DataSection, Phase, Plan
from cast_train.engine.task import Task
from cast_train.engine.validation import Finding, check_data, check_files
from cast_train.methods.pipeline import Method, Say, in_one_go
from cast_train.models import SIZES, StudentNetwork
from cast_train.models.backbones import BACKBONES, make_backbone
from cast_train.settings import Settings, one_of

LEVELS = (1, 2, 3)  # strides 8, 16 and 32
# Views carry no depth, so that any number will do.
ANY_PX = 1.0


class GuideSection(Settings):
    """The pretrained backbone whose features are learned, and its weights."""

    backbone: Annotated[str, one_of(BACKBONES)]
    weights: Path


class EncoderRecipe(Plan):
    """How an encoder is pretrained; sections as in a recipe of ``cast-train fit``."""

    method: Literal['encoder']
    size: Annotated[str, one_of(SIZES)]
    guide: GuideSection
    data: DataSection
    augmentation: Augmentation = Augmentation()
    phases: Annotated[tuple[Phase, ...], Field(min_length=1, max_length=1)]


class EncoderTask(Task):
    """Mean squared error between the guide's standardised features and a 1×1 projection of the student's.

    Args:
        student: whose backbone learns; the rest of it stays as it is.
        guide: maps pictures, normalised as the student's are, to features at strides 4, 8, 16 and 32.
        channels: of the guide's features.
    """

    def __init__(self, student: StudentNetwork, guide: nn.Module, channels: list[int]) -> None:
        super().__init__(student)
        student.requires_grad_(False)
        student.backbone.requires_grad_(True)
        self.guide = guide.eval().requires_grad_(False)
        self.projections = nn.ModuleList(
            nn.Conv2d(student.encoder_channels[level], channels[level], 1) for level in LEVELS
        )
        self.standards = nn.ModuleList(nn.BatchNorm2d(channels[level], affine=False) for level in LEVELS)

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """One term for each level."""
        with torch.no_grad():
            wanted = self.guide((batch.images.float() - self.network.mean) / self.network.std)
        seen = self.network.encode(batch.images)
        terms = {}
        for level, projection, standard in zip(LEVELS, self.projections, self.standards, strict=True):
            terms[f'stride_{4 * 2**level}'] = F.mse_loss(projection(seen[level]), standard(wanted[level]))
        return terms


def fit_encoder(recipe: EncoderRecipe, run: Path, out: Path, resume: bool) -> None:
    """Train in ``run`` and write the averaged backbone to ``out``, for ``student.backbone_weights``.

    Raises:
        TrainingError: the guide's weights are missing, the folder holds another run, or training diverged.
        DataError: the data set is not as expected.
    """
    data, (phase,) = recipe.data, recipe.phases
    opened = data.open_all('train')
    samples = load_samples(opened)
    torch.manual_seed(recipe.seed)
    student = StudentNetwork(recipe.size, len(opened[0].classes), tuple(e.id for e in opened[0].classes if e.is_thing))
    guide, channels = make_backbone(recipe.guide.backbone, recipe.guide.weights)
    rules = ViewRules(phase.height, phase.width, ANY_PX, ANY_PX, student.thing_ids, recipe.augmentation)

    def stream(first: int) -> Iterator[Batch]:
        return batches([Source(samples, phase.batch)], rules, recipe.seed, first, phase.steps, recipe.run.workers)

    average: dict[str, Tensor] = {}

    def keep(student: StudentNetwork) -> dict[str, float]:
        """A judge that measures nothing and keeps the last average it was shown."""
        average.update({name: tensor.clone().contiguous() for name, tensor in student.backbone.state_dict().items()})
        return {}

    train(EncoderTask(student, guide, channels), recipe, stream, run, keep, resume)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(average, out)


def _check(recipe: EncoderRecipe) -> list[Finding]:
    return [*check_files([('guide.weights', recipe.guide.weights)]), *check_data(recipe.data)[1]]


def _run(recipe: EncoderRecipe, folder: Path, resume: bool, _: Say) -> str:
    file = folder / f'{recipe.name}.safetensors'
    fit_encoder(recipe, folder, file, resume)
    return f'{file}: use it with --set student.backbone_weights={file}'


METHOD = Method(_check, in_one_go(_run))
