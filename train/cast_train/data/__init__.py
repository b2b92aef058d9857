# SPDX-License-Identifier: Apache-2.0
"""Samples, data sets, views."""

from cast_train.data.augment import Augmentation, Targets, View, make_targets, make_view
from cast_train.data.batches import Batch, ViewRules, batches, load_samples
from cast_train.data.registry import DATASETS, open_dataset
from cast_train.data.sample import Dataset, Sample

__all__ = [
    'DATASETS',
    'Augmentation',
    'Batch',
    'Dataset',
    'Sample',
    'Targets',
    'View',
    'ViewRules',
    'batches',
    'load_samples',
    'make_targets',
    'make_view',
    'open_dataset',
]
