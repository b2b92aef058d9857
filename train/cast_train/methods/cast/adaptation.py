# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning a pretrained network of any kind on samples that keep their sizes, in the loop that trains students.

Weights are not averaged. Every step draws pictures, views and dropout from its own seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from cast_train.data.batches import pick
from cast_train.data.sample import Sample
from cast_train.engine.loop import train
from cast_train.engine.recipe import OptimizerSection, Plan, RunSection, Stretch
from cast_train.engine.task import Rows, Task
from cast_train.errors import TrainingError
from cast_train.settings import Positive, Settings, Share, Weight
from cast_train.teachers.network import Device, torch_device


class AdaptationSettings(Settings):
    """What both adaptations share.

    Attributes:
        steps: of the optimiser.
        batch: pictures of a step.
        learning_rate: of AdamW at the start; ×0.1 at each milestone.
        milestones: shares of the steps.
        weight_decay: of AdamW.
        clip_norm: largest norm of a step's gradient.
        flip: chance of a mirrored picture.
        smallest_px: instances of fewer pixels are not learned.
        checkpoint_every: steps between checkpoints; at most so many are lost when a run dies.
        log_every: steps between reports.
        seed: of pictures, views and dropout: each step draws from its own.
    """

    steps: Positive = 1000
    batch: Positive = 8
    learning_rate: Annotated[float, Field(gt=0)] = 5e-5
    milestones: tuple[Share, ...] = (0.7, 0.9)
    weight_decay: Weight = 0.01
    clip_norm: Annotated[float, Field(gt=0)] = 0.1
    flip: Share = 0.5
    smallest_px: Positive = 16
    checkpoint_every: Positive = 100
    log_every: Positive = 20
    seed: Annotated[int, Field(ge=0)] = 1


class AdaptationTask(Task[Any, Rows]):
    """What both adaptations share; what does not learn must be frozen already, and is not saved.

    Args:
        network: what learns.
        settings: see there.
        factors: prefix of a parameter's name to the factor of its learning rate; 1 without one.
    """

    channels_last = False
    # Whether a batch is computed at once, or picture by picture.
    at_once: ClassVar[bool] = True

    def __init__(self, network: Any, settings: AdaptationSettings, factors: Mapping[str, float] | None = None) -> None:
        super().__init__(network)
        self.settings, self._factors = settings, factors or {}

    def batch_of(self, step: int, samples: Sequence[Sample], rng: np.random.Generator) -> Rows:
        """The batch of a step, from its pictures and random numbers."""
        raise NotImplementedError

    def make_optimizer(self, settings: OptimizerSection) -> torch.optim.Optimizer:
        """AdamW with weight decay on everything, as the published code has it."""
        groups: dict[float, list[Tensor]] = {}
        for name, value in self.network.named_parameters():
            if value.requires_grad:
                factor = next((factor for prefix, factor in self._factors.items() if name.startswith(prefix)), 1.0)
                groups.setdefault(factor, []).append(value)
        grouped = [{'params': parameters, 'factor': factor} for factor, parameters in groups.items()]
        return torch.optim.AdamW(grouped, lr=settings.learning_rate, weight_decay=settings.weight_decay)

    def learning_rate(self, step: int, plan: Plan) -> float:
        """Falls to a tenth at each milestone."""
        passed = sum(step >= milestone * plan.total_steps for milestone in self.settings.milestones)
        return plan.optimizer.learning_rate * 0.1**passed

    def companions(self) -> dict[str, Tensor]:
        """Nothing: what is frozen is in the pretrained folder."""
        return {}


def adapt(task: AdaptationTask, samples: Sequence[Sample], folder: Path, origin: str, device: Device) -> None:
    """Train in a folder of its own beside ``folder``, going on with an unfinished run of the same ``origin``.

    Args:
        task: with the pretrained weights.
        samples: those without instance labels are left out.
        folder: where the adapted network will be written.
        origin: digest of everything that decides what is learned.
        device: where to learn.

    Raises:
        TeacherError: there is no such device.
        TrainingError: no sample has instance labels, an earlier version has begun, or see ``train``.
    """
    settings = task.settings
    usable = [index for index, sample in enumerate(samples) if sample.instance_ids is not None]
    if not usable:
        raise TrainingError('no sample with instance labels to adapt the teacher to; check the labelled split')
    older = folder.with_name(f'{folder.name}.progress.pt')
    if older.is_file():
        raise TrainingError(f'{older}: of an earlier version; finish it with that one, or delete it to begin anew')

    def stream(first: int) -> Iterator[Rows]:
        for step in range(first, settings.steps):
            positions = range(step * settings.batch, (step + 1) * settings.batch)
            chosen = [samples[usable[pick(position, len(usable), settings.seed)]] for position in positions]
            yield task.batch_of(step, chosen, np.random.default_rng([settings.seed, step, 1]))

    rates = settings.model_dump(include={'learning_rate', 'weight_decay', 'clip_norm'})
    reports = settings.model_dump(include={'checkpoint_every', 'log_every'})
    parts = 1 if task.at_once else settings.batch
    plan = Plan(
        name=folder.name,
        seed=settings.seed,
        phases=(Stretch(batch=settings.batch, steps=settings.steps),),
        optimizer=OptimizerSection(**rates, ema_decay=None),
        run=RunSection(**reports, threads=torch.get_num_threads(), accumulate=parts),
    )
    run = folder.with_name(f'{folder.name}.run-{origin[:12]}')
    note, accelerator = f'{folder.name}, adapted to {len(usable)} pictures', torch_device(device).type
    with torch.random.fork_rng():
        train(task, plan, stream, run, None, True, {'origin': origin}, note=note, accelerator=accelerator)


def forget_checkpoints(folder: Path) -> None:
    """Remove what is of no use once the adapted network is in ``folder``; the logs of its runs stay."""
    for path in (*folder.parent.glob(f'{folder.name}.run-*/*.pt'), folder.with_name(f'{folder.name}.progress.pt')):
        path.unlink(missing_ok=True)


def view_of(
    sample: Sample, settings: AdaptationSettings, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], Tensor, Tensor]:
    """A picture, mirrored or not, its M×H×W bool masks and (M,) class ids; crowds and specks left out."""
    assert sample.instance_ids is not None
    assert sample.instance_labels is not None
    image, ids = sample.image, sample.instance_ids.astype(np.int64)
    if rng.random() < settings.flip:
        image, ids = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(ids[:, ::-1])
    crowd = sample.instance_is_crowd
    sizes = np.bincount(ids.ravel(), minlength=len(sample.instance_labels) + 1)[1:]
    kept = (sizes >= settings.smallest_px) & (True if crowd is None else ~crowd)
    rows = np.flatnonzero(kept)
    masks = torch.from_numpy(ids)[None] == torch.from_numpy(rows + 1)[:, None, None]
    return image, masks, torch.from_numpy(sample.instance_labels[rows].astype(np.int64))
