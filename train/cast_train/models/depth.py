# SPDX-License-Identifier: Apache-2.0
"""The depth head, and what its number may stand for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from cast_train.models.decoder import ConvNormAct, SeparableConv

DepthForm = Literal['log', 'bounded_log', 'linear']

# 0.1 m to 1 km, so that the exponential stays finite.
LOG_NEAREST, LOG_FARTHEST = -2.3, 6.9
LINEAR_NEAREST_M, LINEAR_FARTHEST_M = 0.1, 100.0
START_LOG_DEPTH = 2.7


class _Form(NamedTuple):
    """From the head's number to ln metres, and the number that stands for ``START_LOG_DEPTH``."""

    log_depth: Callable[[Tensor], Tensor]
    start: float


def clamped_log(raw: Tensor) -> Tensor:
    """The number is ln metres itself."""
    return raw.clamp(LOG_NEAREST, LOG_FARTHEST)


def bounded_log(raw: Tensor) -> Tensor:
    """SwinMTL's log depth (papers.md §2.1), ln d = ln d_min + sigmoid(raw)·ln(d_max / d_min), as ln metres.

    The published code scales its targets from another d_min than its predictions (§2.4, quirk 1), so that its 10 m are
    14 m. Here one function leads to metres, and targets are compared in metres: there is no second scale to disagree.
    """
    return LOG_NEAREST + raw.sigmoid() * (LOG_FARTHEST - LOG_NEAREST)


def linear(raw: Tensor) -> Tensor:
    """Metres proportional to sigmoid(raw), as ln metres: what log depth is compared with."""
    return (LINEAR_NEAREST_M + raw.sigmoid() * (LINEAR_FARTHEST_M - LINEAR_NEAREST_M)).log()


FORMS: dict[DepthForm, _Form] = {
    'log': _Form(clamped_log, START_LOG_DEPTH),
    'bounded_log': _Form(bounded_log, math.log((START_LOG_DEPTH - LOG_NEAREST) / (LOG_FARTHEST - START_LOG_DEPTH))),
    'linear': _Form(
        linear,
        math.log((math.exp(START_LOG_DEPTH) - LINEAR_NEAREST_M) / (LINEAR_FARTHEST_M - math.exp(START_LOG_DEPTH))),
    ),
}


BODY_CHANNELS = 16


def light_body(fine_channels: int) -> nn.Module:
    """Half the work of the head's own body: a fifteenth less time for all of `small` at 512×1024."""
    return SeparableConv(fine_channels, BODY_CHANNELS)


class DepthHead(nn.Module):
    """Logarithm of metric depth at 1/4, for the reference focal length; starts near 15 m everywhere.

    Args:
        fine_channels: of its input.
        form: what the number that it computes stands for.
        body: from the input to ``body_channels``; a light one of its own by default.
        body_channels: see ``body``.
    """

    def __init__(
        self,
        fine_channels: int,
        form: DepthForm = 'log',
        body: nn.Module | None = None,
        body_channels: int = BODY_CHANNELS,
    ) -> None:
        super().__init__()
        self._form = FORMS[form]
        self.body = body or nn.Sequential(
            SeparableConv(fine_channels, fine_channels), ConvNormAct(fine_channels, body_channels, 3)
        )
        self.out = nn.Conv2d(body_channels, 1, 3, padding=1)
        nn.init.normal_(self.out.weight, std=0.01)
        self.out.bias = nn.Parameter(torch.full((1,), self._form.start))

    def forward(self, fine: Tensor) -> Tensor:
        """Return B×h×w natural logarithms of metres."""
        return self._form.log_depth(self.out(self.body(fine))[:, 0])
