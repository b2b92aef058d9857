# SPDX-License-Identifier: Apache-2.0
"""Supervised training of any student with a critic beside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cast_train.data import Batch
from cast_train.engine.task import Task
from cast_train.losses.supervised import LossSection, supervised_losses
from cast_train.methods.swinmtl.critic import (
    WIDTHS,
    AdversarialSection,
    Critic,
    Pairs,
    critic_loss,
    critic_maps,
    student_loss,
)
from cast_train.models import Student
from cast_train.ranks import mean_counts, mean_over_ranks


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
        student: Student,
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
