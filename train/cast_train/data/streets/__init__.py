# SPDX-License-Identifier: Apache-2.0
"""The street benchmark: its loader, and the renderer that makes its pictures."""

from cast_train.data.streets.dataset import CLASS_OF_LABEL, CLASSES, LABEL_IDS, SKY_CM, THING_LABELS, Streets

__all__ = ['CLASSES', 'CLASS_OF_LABEL', 'LABEL_IDS', 'SKY_CM', 'THING_LABELS', 'Streets']
