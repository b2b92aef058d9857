# SPDX-License-Identifier: Apache-2.0
"""Steps of fine-tuning a pretrained network on samples of any size: small, resumable, and free of its kind.

A loop of its own beside the engine's, which trains students: here are no exported contract, no average of weights, and
pictures keep their sizes. Every step draws pictures, views and dropout from its own seed, so a run that goes on after a
kill repeats what an undisturbed one does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from cast_train.data.batches import pick
from cast_train.data.sample import Sample
from cast_train.engine.checkpoint import save_checkpoint
from cast_train.errors import UNREADABLE, TrainingError
from cast_train.settings import Positive, Settings, Share, Weight

Report = Callable[[int, dict[str, float]], None]


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
    seed: Annotated[int, Field(ge=0)] = 1


class FineTuning:
    """One network on its way from pretrained to adapted weights; what does not learn must be frozen already.

    Args:
        network: its parameters that require gradients learn.
        factors: prefix of a parameter's name to the factor of its learning rate; 1 without one.
        settings: see there.
        progress: checkpoint of an unfinished run, continued if it is of the same ``origin``.
        origin: everything that decides what is learned, as one text.
        report: called with the number of each finished step and its terms.
    """

    def __init__(
        self,
        network: nn.Module,
        factors: dict[str, float],
        settings: AdaptationSettings,
        progress: Path,
        origin: str,
        report: Report | None,
    ) -> None:
        self._settings, self._progress, self._origin, self._report = settings, progress, origin, report
        self._learned = {name: value for name, value in network.named_parameters() if value.requires_grad}
        groups: dict[float, list[nn.Parameter]] = {}
        for name, value in self._learned.items():
            factor = next((factor for prefix, factor in factors.items() if name.startswith(prefix)), 1.0)
            groups.setdefault(factor, []).append(value)
        self._optimizer = torch.optim.AdamW(
            [{'params': parameters, 'factor': factor} for factor, parameters in groups.items()],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self._first = self._restored()

    def steps(self, samples: Sequence[Sample]) -> Iterator[tuple[int, list[Sample], np.random.Generator]]:
        """Yield number, pictures and random numbers of every step that is left; gradients are zero.

        Raises:
            TrainingError: no sample has instance labels.
        """
        settings = self._settings
        usable = [index for index, sample in enumerate(samples) if sample.instance_ids is not None]
        if not usable:
            raise TrainingError('no sample with instance labels to adapt the teacher to; check the labelled split')
        with torch.random.fork_rng():
            for step in range(self._first, settings.steps):
                torch.manual_seed(int(np.random.default_rng([settings.seed, step, 0]).integers(2**62)))
                positions = range(step * settings.batch, (step + 1) * settings.batch)
                chosen = [samples[usable[pick(position, len(usable), settings.seed)]] for position in positions]
                self._optimizer.zero_grad(set_to_none=True)
                yield step, chosen, np.random.default_rng([settings.seed, step, 1])

    def update(self, step: int, terms: dict[str, float]) -> None:
        """Change the weights by the gradients of a step.

        Raises:
            TrainingError: the loss or its gradient is not finite, or the checkpoint cannot be written.
        """
        settings = self._settings
        passed = sum(step >= milestone * settings.steps for milestone in settings.milestones)
        for group in self._optimizer.param_groups:
            group['lr'] = settings.learning_rate * group['factor'] * 0.1**passed
        norm = nn.utils.clip_grad_norm_(self._learned.values(), settings.clip_norm).item()
        if not all(math.isfinite(value) for value in (norm, *terms.values())):
            raise TrainingError(
                f'step {step}: loss or gradient of the teacher is not finite ({terms}, norm {norm}); '
                'lower its learning_rate'
            )
        self._optimizer.step()
        if self._report is not None:
            self._report(step, {**terms, 'gradient_norm': norm})
        if (step + 1) % settings.checkpoint_every == 0:
            self._save(step + 1)

    def finish(self) -> None:
        """Forget the checkpoint, once the adapted network is on disk."""
        self._progress.unlink(missing_ok=True)

    def _save(self, step: int) -> None:
        weights = {name: value.detach() for name, value in self._learned.items()}
        state = {
            'origin': self._origin,
            'step': step,
            'weights': weights,
            'optimizer': self._optimizer.state_dict(),
        }
        save_checkpoint(state, self._progress)

    def _restored(self) -> int:
        """Steps that are done already; a checkpoint of something else is of no use and will be replaced."""
        if not self._progress.is_file():
            return 0
        try:
            state = torch.load(self._progress, map_location='cpu', weights_only=True)
        except UNREADABLE as error:
            raise TrainingError(f'{self._progress}: cannot be read ({error}); delete it to begin anew') from error
        if not isinstance(state, dict) or state.get('origin') != self._origin:
            return 0
        with torch.no_grad():
            for name, value in self._learned.items():
                value.copy_(state['weights'][name])
        self._optimizer.load_state_dict(state['optimizer'])
        return int(state['step'])


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
