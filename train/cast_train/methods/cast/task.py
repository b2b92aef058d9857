# SPDX-License-Identifier: Apache-2.0
"""What the stages train: the unified objective of CAST, and Guided Distillation's step beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cast_train.data import Batch
from cast_train.data.augment import Targets
from cast_train.engine.ema import MovingAverage
from cast_train.engine.task import Task
from cast_train.losses.supervised import LossSection, supervised_losses
from cast_train.methods.cast.pixel_contrast import ContrastHead, contrast_curves, encode_strong, pixel_contrast
from cast_train.methods.cast.recipe import GuidedSection, PixelContrast
from cast_train.models import StudentNetwork, StudentOutput
from cast_train.models.queries import QueryPrediction

# Steps between looks at how well the contrast tells pixels apart; one costs about as much as the contrast of a step.
OBSERVED_EVERY = 20
NOTHING_KNOWN = Targets(None, None, None, None)

# Weighted terms of what labels teach, true ones and pseudo-labels alike, for B pictures; B may be zero.
Supervised = Callable[[StudentOutput, Sequence[Targets]], dict[str, Tensor]]


class ContrastInputs(NamedTuple):
    """What L_pxl takes beside the student's output; see ``pixel_contrast``."""

    weak: Tensor
    strong: Tensor
    progress: float
    settings: PixelContrast


def objective(
    output: StudentOutput, batch: Batch, supervised: Supervised, semi: float, contrast: ContrastInputs | None
) -> dict[str, Tensor]:
    """Return the weighted terms of J = L_sup(D_l) + λ_semi·L_semi(D_u) + λ_pxl·L_pxl(D_l ∪ D_u); their sum is J.

    Each stage of CAST is a choice of λ and of what the batch holds (papers.md §1.1, §1.3).
    Terms of λ = 0 are left out. Whether a term is there depends on λ alone, not on what the batch holds: the parts of
    a batch that several processes share must all ask for the same counts (``cast_train.ranks``).

    Args:
        output: of the weak views of the whole batch.
        batch: labelled pictures first, then those with pseudo-labels, which L_semi takes for the truth.
        supervised: the loss of pictures with labels of either kind.
        semi: λ_semi.
        contrast: for the whole batch; λ_pxl is the weight in its settings. None switches it off.

    Returns:
        ``supervised_*``, ``semi_*`` and ``contrast``.
    """
    labelled, pictures = batch.labelled, len(batch.images)
    terms = {
        f'supervised_{name}': term
        for name, term in supervised(output.rows(0, labelled), batch.targets[:labelled]).items()
    }
    if semi > 0:
        found = supervised(output.rows(labelled, pictures), batch.targets[labelled:])
        terms |= {f'semi_{name}': semi * term for name, term in found.items()}
    if contrast is not None and contrast.settings.weight > 0:
        weak, strong, progress, settings = contrast
        terms['contrast'] = settings.weight * pixel_contrast(weak, strong, output.levels[-1], progress, settings)
    return terms


class CastTask(Task):
    """J = L_sup(labelled) + λ_semi·L_semi(pseudo-labelled) + λ_pxl·L_pxl(all), papers §1.3.

    Args:
        student: the network that learns; a teacher's detector counts as one here.
        losses: weights of the supervised terms.
        semi: λ_semi.
        contrast: settings of L_pxl; None switches it off.
        steps: length of the stage, over which the temperature falls.
    """

    def __init__(
        self, student: StudentNetwork, losses: LossSection, semi: float, contrast: PixelContrast | None, steps: int
    ) -> None:
        super().__init__(student)
        self._losses, self._semi, self._contrast, self._steps = losses, semi, contrast, steps
        self._observed: dict[str, float] = {}
        self.head = None
        if contrast is not None:
            channels = student.encoder_channels[contrast.level]
            self.head = ContrastHead(channels, published=contrast.sampler == 'published')

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Weighted terms of J for a batch."""
        output = self.network(batch.images)

        def supervised(part: StudentOutput, targets: Sequence[Targets]) -> dict[str, Tensor]:
            return supervised_losses(part, targets, self._losses, self.network.thing_ids)

        return objective(output, batch, supervised, self._semi, self._contrast_inputs(output, batch, step))

    def observations(self, step: int) -> dict[str, float]:
        """Margin and false-negative rate of the contrast (papers §1.3) at every ``OBSERVED_EVERY``-th step."""
        return self._observed

    def _contrast_inputs(self, output: StudentOutput, batch: Batch, step: int) -> ContrastInputs | None:
        if self._contrast is None or self.head is None:
            return None
        assert batch.strong is not None
        level = self._contrast.level
        weak = self.head.weak(output.encoded[level])
        strong = self.head.strong(encode_strong(self.network, batch.strong)[level])
        self._observed = {}
        if (step + 1) % OBSERVED_EVERY == 0:
            # By true labels alone: what a teacher says would judge the sampler by its own mistakes.
            unknown = [NOTHING_KNOWN] * (len(batch.targets) - batch.labelled)
            known = [*batch.targets[: batch.labelled], *unknown]
            things = self.network.thing_ids
            curves = contrast_curves(weak, strong, output.levels[-1], known, things, self._contrast)
            found = curves._asdict().items()
            self._observed = {f'contrast_{name}': value for name, value in found if math.isfinite(value)}
        return ContrastInputs(weak, strong, step / self._steps, self._contrast)


class GuidedTask(Task):
    """Guided Distillation (papers §4.3): a teacher labels each batch's pictures while the student learns from them.

    The teacher is fixed during burn-in, and a moving average of the student afterwards. It sees the weak view, the
    student the strong one.

    Args:
        student: starts afresh.
        teacher: trained on the labels alone, of the same size.
        losses: weights of the supervised terms.
        settings: thresholds, length of the burn-in, decay.
    """

    def __init__(
        self, student: StudentNetwork, teacher: StudentNetwork, losses: LossSection, settings: GuidedSection
    ) -> None:
        super().__init__(student)
        self._average = MovingAverage(teacher, settings.decay, warm_up=False)
        self.teacher = self._average.network
        self._losses, self._settings = losses, settings

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Supervised terms of the labelled rows, and weighted terms of the others against the teacher's labels."""
        labelled = batch.labelled
        with torch.no_grad():
            answer = self.teacher(batch.images[labelled:]).levels[-1]
            height, width = batch.images.shape[-2:]
            pseudo = confident_queries(answer, (height, width), self._settings.score, self._settings.area)
        strong = batch.images if batch.strong is None else batch.strong
        output = self.network(torch.cat([batch.images[:labelled], strong[labelled:]]))
        things = self.network.thing_ids
        terms = supervised_losses(output.rows(0, labelled), batch.targets[:labelled], self._losses, things)
        guided = supervised_losses(output.rows(labelled, len(strong)), pseudo, self._losses, things)
        weight = self._settings.stage.semi
        return {**terms, **{f'semi_{name}': weight * value for name, value in guided.items()}}

    def after_step(self, step: int) -> None:
        """Move the teacher: to the student when the burn-in ends, then by its moving average."""
        done = step + 1
        if done == self._settings.burn_in:
            self.teacher.load_state_dict(self.network.state_dict())
        elif done > self._settings.burn_in:
            self._average.update(self.network)


def confident_queries(answer: QueryPrediction, size: tuple[int, int], score: float, area: float) -> list[Targets]:
    """Turn a teacher's queries into targets: those whose best class is sure enough and whose mask is large enough.

    Args:
        answer: of B pictures.
        size: height and width of the targets.
        score: least class probability; a query whose best class is no-object never counts.
        area: least sum of mask probabilities over the cells of the mask grid.
    """
    probabilities = answer.class_logits.float().softmax(-1)
    best, labels = probabilities.max(-1)
    masks = answer.mask_logits.float().sigmoid()
    sure = (labels < probabilities.shape[-1] - 1) & (best > score) & (masks.sum((-2, -1)) > area)
    found = []
    for index in range(len(masks)):
        # One mask a row of the batch: torch enlarges a batch of none, but no picture without channels.
        kept = masks[index, sure[index]][:, None]
        full = torch.nn.functional.interpolate(kept, size=size, mode='bilinear', align_corners=False)[:, 0]
        binary = full > 0.5
        visible = binary.flatten(1).any(1)
        found.append(Targets(binary[visible], labels[index, sure[index]][visible], None, None))
    return found
