# SPDX-License-Identifier: Apache-2.0
"""Networks."""

from cast_train.models.depth import DepthForm
from cast_train.models.graph import StudentGraph, TorchStudent
from cast_train.models.queries import QueryPrediction, compose_semantic
from cast_train.models.student import SIZES, StudentNetwork, StudentOutput, StudentSize

__all__ = [
    'SIZES',
    'DepthForm',
    'QueryPrediction',
    'StudentGraph',
    'StudentNetwork',
    'StudentOutput',
    'StudentSize',
    'TorchStudent',
    'compose_semantic',
]
