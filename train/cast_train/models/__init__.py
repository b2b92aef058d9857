# SPDX-License-Identifier: Apache-2.0
"""Networks."""

from cast_train.models.heads import QueryPrediction
from cast_train.models.student import SIZES, Student, StudentOutput, StudentSize

__all__ = ['SIZES', 'QueryPrediction', 'Student', 'StudentOutput', 'StudentSize']
