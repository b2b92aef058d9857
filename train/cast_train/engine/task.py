# SPDX-License-Identifier: Apache-2.0
"""What is trained: a network, whatever trains beside it, and how a batch becomes loss terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol

import torch
from torch import Tensor, nn
from typing_extensions import Self, TypeVar

from cast_train.data import Batch
from cast_train.engine.optimizer import learning_rate_at, make_optimizer
from cast_train.engine.recipe import OptimizerSection, Plan
from cast_train.losses.supervised import LossSection, supervised_losses
from cast_train.models import StudentNetwork


class AnyBatch(Protocol):
    """What the loop needs of a batch; a dataclass, so that one that breaks a step can be written down."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __len__(self) -> int:
        """Number of pictures."""

    def parts(self, count: int) -> Sequence[Self]:
        """Cut into ``count`` batches of equal size."""

    def to(self, device: torch.device) -> Self:
        """The same batch on a device."""


@dataclass(frozen=True)
class Rows:
    """A batch of pictures, each with all that its task wants to know of it, as tensors by name."""

    rows: list[dict[str, Tensor]]

    def __len__(self) -> int:
        return len(self.rows)

    def parts(self, count: int) -> list[Rows]:
        """See ``AnyBatch``."""
        each = len(self) // count
        return [Rows(self.rows[first : first + each]) for first in range(0, len(self), each)]

    def to(self, device: torch.device) -> Rows:
        """See ``AnyBatch``."""
        return Rows([{name: tensor.to(device) for name, tensor in row.items()} for row in self.rows])


# A plain ``Task`` trains a student on batches of labelled pictures.
Network = TypeVar('Network', bound=nn.Module, default=StudentNetwork)
Given = TypeVar('Given', bound=AnyBatch, default=Batch)


class Task(nn.Module, Generic[Network, Given]):
    """One method of training.

    Further submodules train beside the network and are saved with it; parameters without ``requires_grad`` are saved
    only. A task must ask the other processes for the same sums in the same order whatever its batch holds
    (``cast_train.ranks``).

    Args:
        network: what is averaged, judged and exported.
    """

    # Convolutions are faster so; false for networks of others, which may count on the usual order in memory.
    channels_last: ClassVar[bool] = True

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def train(self, mode: bool = True) -> Self:
        """Switch what learns; what is frozen always predicts."""
        super().train(mode)
        for child in self.children():
            parameters = list(child.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                child.eval()
        return self

    def forward(self, batch: Given, step: int) -> dict[str, Tensor]:
        """Weighted loss terms (scalars) of a batch, the same names at every step.

        Where none of them needs a gradient, the batch teaches nothing and no weight moves.
        """
        raise NotImplementedError

    def make_optimizer(self, settings: OptimizerSection) -> torch.optim.Optimizer:
        """Of all that learns; each group tells its share of the learning rate as ``factor``."""
        return make_optimizer(self, settings)

    def learning_rate(self, step: int, plan: Plan) -> float:
        """Of one step."""
        return learning_rate_at(step, plan.optimizer, plan.total_steps)

    def after_step(self, step: int) -> None:
        """Called after each update of the weights; for teachers that move with the student."""

    def observations(self, step: int) -> dict[str, float]:
        """What the log should tell of this step beside its losses; nothing at most steps."""
        return {}

    def companions(self) -> dict[str, Tensor]:
        """The state of everything but the network, for the checkpoint."""
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith('network.')}


class SupervisedTask(Task):
    """Labels alone: L_sup of CAST.

    Args:
        student: to be trained.
        losses: weights of the terms.
    """

    def __init__(self, student: StudentNetwork, losses: LossSection) -> None:
        super().__init__(student)
        self._losses = losses

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """See ``Task``."""
        return supervised_losses(self.network(batch.images), batch.targets, self._losses, self.network.thing_ids)
