# SPDX-License-Identifier: Apache-2.0
"""Supervised training of any student with a critic beside it: do depth and classes, taken together, look like truth?

Their game is WGAN-GP's (papers.md §2.2, §2.4), with a gradient that reaches depth and classes. The published code gives
the critic the argmax of the classes, through which nothing flows back; here it gets their probabilities, and one-hot
maps for the truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cast_ros.student import UNLABELLED
from cast_train.data import Batch
from cast_train.data.augment import Targets
from cast_train.engine.task import Task
from cast_train.losses.supervised import LossSection, supervised_losses
from cast_train.methods.swinmtl.recipe import AdversarialSection
from cast_train.models import StudentNetwork, StudentOutput
from cast_train.ranks import mean_counts, mean_over_ranks

# Of the published code (papers.md §2.2), but for its batch norms: with them the score of a picture depends on its
# batch, and the gradient penalty is no longer one picture's (papers.md §2.4, quirk 4).
WIDTHS = (64, 128, 256, 512)
SLOPE = 0.2


class Critic(nn.Module):
    """Maps B×(1+C)×h×w to B scores of any size; h and w are at least 8.

    Three convolutions of stride 2 and two of stride 1, as published. The last two have kernels of 3 instead of 4, so
    that maps at a quarter of small pictures suffice, and the last has one channel in place of the mean of two.
    """

    def __init__(self, classes: int, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.layers = nn.Sequential(
            nn.Conv2d(1 + classes, first, 4, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(first, second, 4, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(second, third, 4, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(third, fourth, 3, 1, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(fourth, 1, 3, 1, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B,) scores: the mean over places."""
        scores: Tensor = self.layers(maps).mean((1, 2, 3))
        return scores


# Depth is shown between this and the cap of the recipe.
NEAREST_M = 0.1


class Pairs(NamedTuple):
    """What the critic compares: K×(1+C)×h×w maps of the student and of the truth, of the same pictures."""

    fake: Tensor
    real: Tensor


def critic_maps(output: StudentOutput, targets: Sequence[Targets], cap_m: float) -> Pairs:
    """Depth in 0…1 and class probabilities of the pictures that have both labels; the others enter neither side.

    Where a pixel has no class all classes are zero, where it has no depth the depth is, on both sides: the critic
    cannot tell them apart by what is unknown. K may be zero.

    Args:
        output: of B pictures.
        targets: theirs.
        cap_m: shown as 1.
    """
    rows = [row for row, one in enumerate(targets) if one.semantic is not None and one.depth_m is not None]
    size = output.log_depth.shape[-2:]
    shares = _shares(output)
    fake = torch.cat([_shown(output.log_depth.float(), cap_m)[:, None], _at_size(shares, size)], 1)[rows]
    if not rows:
        return Pairs(fake, fake.detach())
    real, known = zip(*(_truth(targets[row], shares.shape[1], size, cap_m) for row in rows), strict=True)
    return Pairs(fake * torch.stack(known), torch.stack(real).to(fake.dtype))


def student_loss(critic: nn.Module, fake: Tensor) -> Tensor:
    """Σ −C(fake) over pictures; zero without any."""
    return -critic(fake).sum() if len(fake) else fake.sum()


def critic_loss(critic: nn.Module, pairs: Pairs, penalty: float) -> Tensor:
    """Σ over pictures of C(fake) − C(real) + penalty·(‖∇C‖ − 1)², the gradient taken at random between the two."""
    fake, real = pairs.fake.detach(), pairs.real
    share = torch.rand(len(fake), 1, 1, 1, device=fake.device, dtype=fake.dtype)
    between = torch.lerp(real, fake, share)
    gap: Tensor = (critic(fake) - critic(real)).sum()
    return gap + penalty * (gradient_norms(critic, between) - 1).square().sum()


def gradient_norms(critic: nn.Module, maps: Tensor) -> Tensor:
    """(K,) Euclidean norms of the gradient of each picture's score with respect to its own maps."""
    maps = maps.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(maps).sum(), maps, create_graph=True)
    # The guard keeps the slope of the root finite where the critic is flat.
    norms: Tensor = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
    return norms


def _shares(output: StudentOutput) -> Tensor:
    """B×C×h×w class probabilities: of the queries' map, or of the logits of a student without queries."""
    scores = output.class_scores().float()
    return scores / scores.sum(1, keepdim=True).clamp(min=1e-6) if output.levels else scores.softmax(1)


def _shown(log_depth: Tensor, cap_m: float) -> Tensor:
    nearest = math.log(NEAREST_M)
    return ((log_depth - nearest) / (math.log(cap_m) - nearest)).clamp(0, 1)


def _truth(target: Targets, classes: int, size: torch.Size, cap_m: float) -> tuple[Tensor, Tensor]:
    """(1+C)×h×w: what is true, and 1 where it is known."""
    assert target.semantic is not None
    assert target.depth_m is not None
    semantic = F.interpolate(target.semantic[None, None].float(), size=size, mode='nearest-exact')[0, 0].long()
    depth_m = F.interpolate(target.depth_m[None, None].float(), size=size, mode='nearest-exact')[0, 0]
    has_class, has_depth = semantic != UNLABELLED, depth_m.isfinite() & (depth_m > 0)
    hot = F.one_hot(semantic.where(has_class, 0), classes).permute(2, 0, 1) * has_class
    shown = _shown(depth_m.where(has_depth, NEAREST_M).log(), cap_m) * has_depth
    known = torch.cat([has_depth[None], has_class[None].expand(classes, -1, -1)]).float()
    return torch.cat([shown[None], hot.float()]), known


def _at_size(maps: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(maps, size=size, mode='bilinear', align_corners=False)


class AdversarialTask(Task):
    """L = L_sup − weight·E[C(fake)], and one step of the critic after each step of the student.

    The critic's gradient is taken with the student's in ``forward`` and applied in ``after_step``: a step that is not
    finite moves neither. Its weights need no gradient outside of that, so that the loop's optimizer leaves them alone;
    its own optimizer is saved with the task.

    Args:
        student: any size of ours.
        losses: weights of the supervised terms.
        settings: of the critic.
        cap_m: of the depth that the critic sees.
        widths: of the critic.
    """

    def __init__(
        self,
        student: StudentNetwork,
        losses: LossSection,
        settings: AdversarialSection,
        cap_m: float,
        widths: tuple[int, int, int, int] = WIDTHS,
    ) -> None:
        super().__init__(student)
        self.critic = Critic(student.classes, widths).requires_grad_(False)
        self._losses, self._settings, self._cap_m = losses, settings, cap_m
        self._optimizer = torch.optim.Adam(
            self.critic.parameters(), settings.learning_rate, (0.9, 0.999), weight_decay=settings.weight_decay
        )
        self._gradients: list[Tensor] = []
        self._gradients_of, self._parts = -1, 0

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """See ``Task``."""
        output = self.network(batch.images)
        terms = supervised_losses(output, batch.targets, self._losses, self.network.thing_ids)
        with torch.autocast(batch.images.device.type, enabled=False):
            dtype = next(self.critic.parameters()).dtype
            pairs = Pairs(*(maps.to(dtype) for maps in critic_maps(output, batch.targets, self._cap_m)))
            count = mean_counts(torch.tensor(float(len(pairs.real)), device=pairs.real.device))
            terms['critic'] = self._settings.weight * student_loss(self.critic, pairs.fake) / count
            if torch.is_grad_enabled():
                self._learn(pairs, count, step)
        return terms

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move the critic."""
        if self._gradients_of != step:
            return
        for parameter, gradient in zip(self.critic.parameters(), self.critic_gradients(), strict=True):
            parameter.grad = mean_over_ranks(gradient)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def critic_gradients(self) -> list[Tensor]:
        """Of this rank's part of the latest batch, in the order of the critic's parameters.

        As the loop does with the student's: each part is divided by its share of the whole batch's count.
        """
        return [gradient / self._parts for gradient in self._gradients]

    def get_extra_state(self) -> dict[str, Any]:
        """The critic's optimizer, for ``state_dict``."""
        return self._optimizer.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the critic's optimizer back."""
        self._optimizer.load_state_dict(state)

    def _learn(self, pairs: Pairs, count: Tensor, step: int) -> None:
        """Add this part of the batch to the critic's gradient of the step."""
        parameters = list(self.critic.parameters())
        if self._gradients_of != step:
            self._gradients = [torch.zeros_like(one) for one in parameters]
            self._gradients_of, self._parts = step, 0
        self._parts += 1
        if not len(pairs.real):
            return
        self.critic.requires_grad_(True)
        loss = critic_loss(self.critic, pairs, self._settings.penalty) / count
        for total, gradient in zip(self._gradients, torch.autograd.grad(loss, parameters), strict=True):
            total += gradient
        self.critic.requires_grad_(False)
