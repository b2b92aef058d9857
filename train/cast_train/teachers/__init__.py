# SPDX-License-Identifier: Apache-2.0
"""Teachers: networks that label what people did not."""

from cast_train.teachers.teacher import (
    PseudoLabels,
    PseudoLabelSettings,
    Teacher,
    TeacherAsStudent,
    pseudo_sample,
)

__all__ = [
    'PseudoLabelSettings',
    'PseudoLabels',
    'Teacher',
    'TeacherAsStudent',
    'pseudo_sample',
]
