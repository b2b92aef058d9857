# SPDX-License-Identifier: Apache-2.0
"""One step of FAMDA: labels on the source; on the target what the student's moving average says, corrected by masks.

FAMDA is known by its abstract alone. The average as teacher, the majority vote of class-agnostic masks and the depth
teacher are the paper's; how they are put together is our reconstruction (papers.md §3.3), on the building blocks of
DAFormer, DACS and MIC. Instances on the target are ours.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from typing_extensions import Self

from cast_train.data import Batch
from cast_train.data.augment import Targets
from cast_train.engine.ema import MovingAverage
from cast_train.engine.task import Task
from cast_train.losses.supervised import LossSection, supervised_losses
from cast_train.methods.famda.classmix import Side, class_mix
from cast_train.methods.famda.labels import ClassAlignment, TargetLabels, class_shares
from cast_train.methods.famda.losses import feature_distance, hide_patches, relative_depth_loss
from cast_train.methods.famda.recipe import AdaptationSection
from cast_train.methods.famda.target import in_target_colours, norms_of
from cast_train.models import StudentNetwork, StudentOutput

# Steps between looks at the gradients of the two tasks; one costs a third of a step.
OBSERVED_EVERY = 50
# Terms of the losses that teach depth; all others teach masks and classes.
DEPTH_TERMS = ('depth', 'relative_depth')


class FamdaTask(Task):
    """L = L_sup(source) + λ·L(mixed target) [+ λ_masked·L(masked target) + λ_features·distance].

    Args:
        student: starts from what the source taught.
        losses: weights of the supervised terms.
        settings: of the adaptation.
        protected: class ids that the vote leaves alone.
        relative_depth: weight of the loss on disparity.
        cap_m: depth beyond it is not learned.
        sky_id: the class that endless depth stands for; None leaves the class map as it is.
    """

    def __init__(
        self,
        student: StudentNetwork,
        losses: LossSection,
        settings: AdaptationSection,
        protected: tuple[int, ...],
        relative_depth: float,
        cap_m: float,
        sky_id: int | None = None,
    ) -> None:
        super().__init__(student)
        self._average = MovingAverage(student, settings.decay)
        self.teacher = self._average.network
        self._own_norms = settings.norms == 'target'
        self.alignment: ClassAlignment | None = None
        if settings.class_alignment > 0:
            self.alignment = ClassAlignment(student.classes, settings.class_alignment)
        self.anchor: nn.Module | None = None
        if settings.feature_distance > 0:
            self.anchor = copy.deepcopy(student.backbone).eval().requires_grad_(False)
        self.labels = TargetLabels(student, settings, protected, cap_m, sky_id, self.alignment)
        self._losses, self._settings, self._relative_depth = losses, settings, relative_depth
        self._observed: dict[str, float] = {}

    def train(self, mode: bool = True) -> Self:
        """Switch the student, and norms of its own that the teacher may have."""
        super().train(mode)
        if self._own_norms:
            for norm in norms_of(self.teacher):
                norm.train(mode)
        return self

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Weighted terms; the target's rows come with class-agnostic masks and depth at most, never with its labels."""
        labelled, settings = batch.labelled, self._settings
        if settings.target_colours:
            batch = in_target_colours(batch)
        assert batch.strong is not None
        with torch.no_grad():
            answer = self.teacher(batch.images[labelled:])
            if self.alignment is not None:
                self.alignment.look(class_shares(answer), batch.targets[:labelled])
        pseudo, quality = self.labels.of(answer, batch.targets[labelled:])
        mixed = self._mixed(batch, pseudo, quality)
        if all(target.masks is None for target in batch.targets[:labelled]):
            # What no label teaches, guesses must not: alone, they outweigh the labels ten to one.
            pseudo = [_without_masks(target) for target in pseudo]
            mixed = [Side(side.image, _without_masks(side.targets)) for side in mixed]
        pictures = [torch.stack([side.image for side in mixed])]
        if settings.masked is not None:
            fill = self.network.mean.flatten()
            seeds = [target.seed for target in pseudo]
            pictures.append(
                hide_patches(batch.strong[labelled:], settings.masked.patch_px, settings.masked.share, fill, seeds)
            )
        source, target, encoded = self._answers(batch.images[:labelled], torch.cat(pictures))
        weight = settings.weight * min(1.0, (step + 1) / settings.warm_up) if settings.warm_up else settings.weight
        terms = self._named('source', source, batch.targets[:labelled], 1.0, 1.0)
        count = len(mixed)
        targets = [side.targets for side in mixed]
        terms |= self._named('target', target.rows(0, count), targets, weight, _mean_weight(targets, quality))
        if settings.masked is not None:
            trusted = [_trusted(one, quality) for one in pseudo]
            terms |= self._named(
                'masked', target.rows(count, 2 * count), trusted, weight * settings.masked.weight, quality
            )
        if self.anchor is not None:
            terms['features'] = settings.feature_distance * self._distance(batch, source)
        self._observe(step, terms, encoded, quality, pseudo)
        return terms

    def _answers(self, source: Tensor, target: Tensor) -> tuple[StudentOutput, StudentOutput, list[Tensor]]:
        """What the student says about the source's pictures and the target's, and the ends of its encoder for both."""
        if self._own_norms:
            first, second = self.network(source), self.network(target)
            return first, second, [first.encoded[-1], second.encoded[-1]]
        output = self.network(torch.cat([source, target]))
        ends = len(source), len(source) + len(target)
        return output.rows(0, ends[0]), output.rows(*ends), [output.encoded[-1]]

    def observations(self, step: int) -> dict[str, float]:
        """Share of sure pixels, pseudo-instances a picture, and the two tasks' gradients at the encoder's end."""
        return self._observed

    def after_step(self, step: int) -> None:
        """Move the teacher towards the student: α = min(decay, 1 − 1/(t + 1)), whichever steps were skipped."""
        self._average.updates = step
        self._average.update(self.network)

    def _mixed(self, batch: Batch, pseudo: Sequence[Targets], quality: float) -> list[Side]:
        """What the student sees of the target: strong views, with half of a source's classes pasted onto each."""
        assert batch.strong is not None
        labelled, found = batch.labelled, []
        for row, target in enumerate(pseudo):
            below = Side(batch.strong[labelled + row], target)
            if not self._settings.class_mix:
                found.append(Side(below.image, _trusted(target, quality)))
                continue
            other = row % labelled
            own = Side(batch.strong[other], batch.targets[other])
            found.append(class_mix(own, below, self.network.thing_ids, quality, target.seed or 0))
        return found

    def _named(
        self, name: str, output: StudentOutput, targets: Sequence[Targets], weight: float, trust: float
    ) -> dict[str, Tensor]:
        """Weighted terms of some rows; ``trust`` also weighs what no pixel weight reaches: masks, boxes and centres."""
        terms = supervised_losses(output, targets, self._losses, self.network.thing_ids)
        by_pixel = ('depth', 'composed_semantic', 'dense_semantic')
        terms = {key: value if key in by_pixel else trust * value for key, value in terms.items()}
        terms['relative_depth'] = self._relative_depth * relative_depth_loss(output.log_depth, targets)
        return {f'{name}_{key}': weight * value for key, value in terms.items()}

    def _distance(self, batch: Batch, output: StudentOutput) -> Tensor:
        assert self.anchor is not None
        labelled = batch.labelled
        normalised = (batch.images[:labelled].float() - self.network.mean) / self.network.std
        with torch.no_grad():
            anchor = self.anchor(normalised.contiguous(memory_format=torch.channels_last))[-1]
        return feature_distance(output.encoded[-1], anchor, batch.targets[:labelled], self.network.thing_ids)

    def _observe(
        self, step: int, terms: dict[str, Tensor], encoded: list[Tensor], quality: float, pseudo: Sequence[Targets]
    ) -> None:
        self._observed = {}
        if (step + 1) % OBSERVED_EVERY or not torch.is_grad_enabled():
            return
        things = self.network.thing_ids
        instances = sum(int(label) in things for one in pseudo if one.labels is not None for label in one.labels)
        self._observed = {'sure_share': quality, 'pseudo_instances': instances / max(len(pseudo), 1)}
        for task, value in split_by_task(terms).items():
            gradients = torch.autograd.grad(value, encoded, retain_graph=True, allow_unused=True)
            norm = math.hypot(*(float(gradient.norm()) for gradient in gradients if gradient is not None))
            if math.isfinite(norm):
                self._observed[f'gradient_{task}'] = norm


def split_by_task(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sums of the terms that teach depth, and of those that teach masks and classes."""
    depth = [value for name, value in terms.items() if name.partition('_')[2] in DEPTH_TERMS]
    others = [value for name, value in terms.items() if name.partition('_')[2] not in DEPTH_TERMS]
    return {'segmentation': torch.stack(others).sum(), 'depth': torch.stack(depth).sum()}


def _without_masks(target: Targets) -> Targets:
    return replace(target, masks=None, labels=None)


def _trusted(target: Targets, quality: float) -> Targets:
    """The same targets, every pixel weighed by ``quality``."""
    assert target.semantic is not None
    return replace(target, pixel_weights=torch.full(target.semantic.shape, quality, device=target.semantic.device))


def _mean_weight(targets: Sequence[Targets], otherwise: float) -> float:
    weights = [target.pixel_weights for target in targets if target.pixel_weights is not None]
    return float(torch.stack(weights).mean()) if weights else otherwise
