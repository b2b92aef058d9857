# SPDX-License-Identifier: Apache-2.0
"""Losses; each works with any subset of the labels."""

from cast_train.losses.centre import centre_loss
from cast_train.losses.depth import depth_loss, silog_loss
from cast_train.losses.mask_set import MaskSetWeights, mask_set_loss, match
from cast_train.losses.semantic import composed_semantic_loss, dense_semantic_loss
from cast_train.losses.supervised import LossSection, supervised_losses

__all__ = [
    'LossSection',
    'MaskSetWeights',
    'centre_loss',
    'composed_semantic_loss',
    'dense_semantic_loss',
    'depth_loss',
    'mask_set_loss',
    'match',
    'silog_loss',
    'supervised_losses',
]
