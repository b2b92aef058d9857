# SPDX-License-Identifier: Apache-2.0
"""Classes that several data sets can share: named maps from the names of classes to fewer, or other, classes.

A map goes by names, so it fits every data set whose loader uses them: Cityscapes' own, and ``tree``, ``van``, ``guard
rail`` (Virtual KITTI 2) and ``lane marking`` (SYNTHIA) for what Cityscapes calls otherwise. The class sets of domain
adaptation are those of the published protocols (docs/data.md says of which).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from cast_ros.student import UNLABELLED, ClassInfo
from cast_train.data import camvid, cityscapes
from cast_train.data.sample import Dataset, Sample
from cast_train.errors import DataError


@dataclass(frozen=True)
class ClassMap:
    """Classes, and which classes of a data set become them; all others become unlabelled.

    Attributes:
        classes: in the order of their ids.
        targets: name of a class here, for each name in a data set.
        extra: more of those for one data set, by its name in the registry.
    """

    classes: tuple[ClassInfo, ...]
    targets: Mapping[str, str]
    extra: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def ids_for(self, classes: Sequence[ClassInfo], dataset: str) -> dict[int, int]:
        """Class id here of each class of a data set that has one."""
        targets = {**self.targets, **self.extra.get(dataset, {})}
        id_of = {entry.name: entry.id for entry in self.classes}
        return {entry.id: id_of[targets[entry.name]] for entry in classes if entry.name in targets}


class Mapped:
    """A data set with the classes of a map.

    An object stays one object as long as its new class is a thing; the others lose their row, and the rows that are
    left are numbered anew without gaps.

    Args:
        dataset: any.
        class_map: name in ``CLASS_MAPS``.
        source: name of the data set in the registry.

    Raises:
        DataError: the map is unknown, or has none of the classes of the data set.
    """

    def __init__(self, dataset: Dataset, class_map: str, source: str) -> None:
        chosen = class_map_of(class_map)
        self.classes = chosen.classes
        ids = chosen.ids_for(dataset.classes, source)
        if not ids:
            some = ', '.join(entry.name for entry in dataset.classes[:5])
            raise DataError(
                f'class map {class_map!r} has none of the classes of {source} ({some}, …); leave it out or take '
                f'another: {", ".join(sorted(CLASS_MAPS))}'
            )
        self._dataset = dataset
        self._ids = np.full(UNLABELLED + 1, UNLABELLED, np.uint8)
        self._ids[list(ids)] = list(ids.values())
        self._is_thing = np.zeros(UNLABELLED + 1, np.bool_)
        self._is_thing[[entry.id for entry in self.classes if entry.is_thing]] = True

    @property
    def names(self) -> Sequence[str]:
        """Those of the data set."""
        return self._dataset.names

    @property
    def scenes(self) -> Sequence[str]:
        """Those of the data set."""
        return self._dataset.scenes

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        if sample.semantic is not None:
            sample = replace(sample, semantic=self._ids[sample.semantic])
        if sample.instance_ids is not None and sample.instance_labels is not None:
            sample = self._with_instances(sample, sample.instance_ids, sample.instance_labels)
        return sample

    def _with_instances(self, sample: Sample, ids: npt.NDArray[np.uint16], labels: npt.NDArray[np.int64]) -> Sample:
        mapped = self._ids[labels]
        kept = self._is_thing[mapped]
        # Row 0 is no object; a row that goes becomes 0.
        rows = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)]).astype(np.uint16)
        crowd = sample.instance_is_crowd
        return replace(
            sample,
            instance_ids=rows[ids],
            instance_labels=mapped[kept].astype(np.int64),
            instance_is_crowd=None if crowd is None else crowd[kept],
        )


def targets_into(classes: Sequence[ClassInfo]) -> Mapping[str, str]:
    """The class that each name becomes in the map into exactly these classes; empty if there is no such map."""
    names = [entry.name for entry in classes]
    for known in CLASS_MAPS.values():
        if [entry.name for entry in known.classes] == names:
            return known.targets
    return {}


def class_map_of(name: str) -> ClassMap:
    """Look a map up.

    Raises:
        DataError: there is none of that name.
    """
    if name not in CLASS_MAPS:
        raise DataError(f'unknown class map {name!r}; known are {", ".join(sorted(CLASS_MAPS))}')
    return CLASS_MAPS[name]


def _numbered(entries: Sequence[tuple[str, bool, tuple[int, int, int]]]) -> tuple[ClassInfo, ...]:
    return tuple(
        ClassInfo(id=index, name=name, is_thing=is_thing, color=color)
        for index, (name, is_thing, color) in enumerate(entries)
    )


# What others call apart and Cityscapes does not.
_SYNONYMS = {'tree': 'vegetation', 'van': 'car'}


def _cityscapes_without(*left_out: str) -> ClassMap:
    kept = [entry for entry in cityscapes.CLASSES if entry.name not in left_out]
    classes = _numbered([(entry.name, entry.is_thing, entry.color) for entry in kept])
    return ClassMap(classes, {**{entry.name: entry.name for entry in kept}, **_SYNONYMS})


def _merged(
    entries: Sequence[tuple[str, bool, tuple[int, int, int], Sequence[str]]],
    extra: Mapping[str, Mapping[str, str]] | None = None,
) -> ClassMap:
    """From rows of name, whether it is a thing, colour, and the names that become it."""
    classes = _numbered([entry[:3] for entry in entries])
    return ClassMap(classes, {source: name for name, _, _, sources in entries for source in sources}, extra or {})


_NOT_IN_16 = ('truck', 'terrain', 'train')
_NOT_IN_13 = (*_NOT_IN_16, 'wall', 'fence', 'pole')

# From SegNet's grouping of CamVid's 32 classes, by what those mean in Cityscapes' words; a cyclist is one class there.
_CAMVID_SOURCES = {
    'sky': ('sky',),
    'building': ('building', 'wall'),
    'pole': ('pole',),
    'road': ('road', 'lane marking'),
    'sidewalk': ('sidewalk',),
    'vegetation': ('vegetation', 'terrain', 'tree'),
    'traffic sign': ('traffic sign', 'traffic light'),
    'fence': ('fence', 'guard rail'),
    'car': ('car', 'truck', 'bus', 'train', 'van'),
    'person': ('person',),
    'bicycle': ('bicycle', 'rider', 'motorcycle'),
}
_CAMVID_THINGS = ('car', 'person', 'bicycle')

CLASS_MAPS: dict[str, ClassMap] = {
    'camvid11': _merged([(e.name, e.name in _CAMVID_THINGS, e.color, _CAMVID_SOURCES[e.name]) for e in camvid.CLASSES]),
    'cityscapes13': _cityscapes_without(*_NOT_IN_13),
    'cityscapes16': _cityscapes_without(*_NOT_IN_16),
    'cityscapes19': _cityscapes_without(),
    # CTRL's (SPIGAN's) seven groups. Wall, terrain, rider, truck, bus, train and motorcycle are in none of them.
    'cityscapes7': _merged(
        [
            ('flat', False, (128, 64, 128), ('road', 'sidewalk', 'lane marking')),
            ('construction', False, (70, 70, 70), ('building', 'fence')),
            ('object', False, (153, 153, 153), ('pole', 'traffic light', 'traffic sign')),
            ('nature', False, (107, 142, 35), ('vegetation', 'tree')),
            ('sky', False, (70, 130, 180), ('sky',)),
            ('human', True, (220, 20, 60), ('person',)),
            ('vehicle', True, (0, 0, 142), ('car', 'bicycle', 'van')),
        ]
    ),
    # DenseMTL's eight for Virtual KITTI 2 to Cityscapes. Its trucks are vehicles, Cityscapes' trucks are unlabelled:
    # so it was published, and another rule would give figures that compare with nothing.
    'cityscapes8': _merged(
        [
            ('road', False, (128, 64, 128), ('road',)),
            ('building', False, (70, 70, 70), ('building',)),
            ('pole', False, (153, 153, 153), ('pole',)),
            ('traffic light', False, (250, 170, 30), ('traffic light',)),
            ('traffic sign', False, (220, 220, 0), ('traffic sign',)),
            ('vegetation', False, (107, 142, 35), ('vegetation', 'tree')),
            ('sky', False, (70, 130, 180), ('sky',)),
            ('vehicle', True, (0, 0, 142), ('car', 'bus', 'van')),
        ],
        extra={'vkitti2': {'truck': 'vehicle'}},
    ),
}
