# SPDX-License-Identifier: Apache-2.0
"""Teachers: networks that label what people did not."""

from cast_train.teachers.teacher import PseudoLabels, Teacher

__all__ = ['PseudoLabels', 'Teacher']
