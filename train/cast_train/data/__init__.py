# SPDX-License-Identifier: Apache-2.0
"""Samples, data sets, views."""

from cast_train.data.augment import Augmentation, Targets, View, make_targets, make_view
from cast_train.data.batches import Batch, Source, ViewRules, batches, load_samples, read_samples
from cast_train.data.class_maps import CLASS_MAPS, ClassMap, Mapped
from cast_train.data.mixture import Stated, mixed_chances
from cast_train.data.registry import DATASETS, classes_of, common_classes, open_dataset
from cast_train.data.sample import Changed, Dataset, LazySamples, Sample, joined, subset_of
from cast_train.data.splits import LabelChoice, LabelSplit, held_out, label_fraction, split_labels
from cast_train.data.strong import StrongViews, strong_view

__all__ = [
    'CLASS_MAPS',
    'DATASETS',
    'Augmentation',
    'Batch',
    'Changed',
    'ClassMap',
    'Dataset',
    'LabelChoice',
    'LabelSplit',
    'LazySamples',
    'Mapped',
    'Sample',
    'Source',
    'Stated',
    'StrongViews',
    'Targets',
    'View',
    'ViewRules',
    'batches',
    'classes_of',
    'common_classes',
    'held_out',
    'joined',
    'label_fraction',
    'load_samples',
    'make_targets',
    'make_view',
    'mixed_chances',
    'open_dataset',
    'read_samples',
    'split_labels',
    'strong_view',
    'subset_of',
]
