# SPDX-License-Identifier: Apache-2.0
"""What is trained: a student, whatever trains beside it, and how a batch becomes loss terms."""

from __future__ import annotations

from torch import Tensor, nn

from cast_train.data import Batch
from cast_train.losses import LossSection, supervised_losses
from cast_train.models import Student


class Task(nn.Module):
    """One method of training.

    Further submodules train beside the student and are saved with it; parameters without ``requires_grad`` are saved
    only. A task must ask the other processes for the same sums in the same order whatever its batch holds
    (``cast_train.ranks``).

    Args:
        student: what is averaged, judged and exported.
    """

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Weighted loss terms (scalars) of a batch, the same names at every step."""
        raise NotImplementedError

    def after_step(self, step: int, average: Student) -> None:
        """Called after each update of weights and average; for teachers that move with the student."""

    def observations(self, step: int) -> dict[str, float]:
        """What the log should tell of this step beside its losses; nothing at most steps."""
        return {}

    def companions(self) -> dict[str, Tensor]:
        """The state of everything but the student."""
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith('student.')}


class SupervisedTask(Task):
    """Labels alone: L_sup of CAST.

    Args:
        student: to be trained.
        losses: weights of the terms.
    """

    def __init__(self, student: Student, losses: LossSection) -> None:
        super().__init__(student)
        self._losses = losses

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """See ``Task``."""
        return supervised_losses(self.student(batch.images), batch.targets, self._losses, self.student.thing_ids)
