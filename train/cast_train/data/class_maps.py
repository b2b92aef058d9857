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

from cast_ros.student import UNLABELLED, ClassInfo
from cast_train.data import camvid, cityscapes
from cast_train.data.sample import Dataset, Sample, keep_instances
from cast_train.errors import DataError


@dataclass(frozen=True)
class ClassMap:
    """Classes, and which classes of a data set become them; all others become unlabelled.

    Attributes:
        classes: in the order of their ids.
        targets: name of a class here, for each name in a data set.
        extra: more of those for one data set, by its name in the registry.
        unions: names in a data set that stand for one of several classes here; by the name of the data set, '' for all.
            They go before ``targets``.
    """

    classes: tuple[ClassInfo, ...]
    targets: Mapping[str, str]
    extra: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    unions: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    def ids_for(self, classes: Sequence[ClassInfo], dataset: str) -> dict[int, int]:
        """Class id here of each class of a data set that has exactly one."""
        targets = {**self.targets, **self.extra.get(dataset, {})}
        unions = self.unions_for(classes, dataset)
        id_of = {entry.name: entry.id for entry in self.classes}
        return {
            entry.id: id_of[targets[entry.name]]
            for entry in classes
            if entry.name in targets and entry.id not in unions
        }

    def unions_for(self, classes: Sequence[ClassInfo], dataset: str) -> dict[int, tuple[int, ...]]:
        """Class ids here of each class of a data set that stands for several."""
        unions = {**self.unions.get('', {}), **self.unions.get(dataset, {})}
        id_of = {entry.name: entry.id for entry in self.classes}
        return {
            entry.id: tuple(id_of[name] for name in unions[entry.name]) for entry in classes if entry.name in unions
        }


class Mapped:
    """A data set with the classes of a map.

    An object stays one object as long as its new class is a thing; the others lose their row, and the rows that are
    left are numbered anew without gaps. A label that stands for several classes becomes a union (see ``Sample``); an
    object with such a label loses its row, and none of those classes is complete any more.

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
        unions = chosen.unions_for(dataset.classes, source)
        if dataset.classes and not (ids or unions):
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
        self._sources = [set(np.flatnonzero(self._ids == entry.id).tolist()) for entry in self.classes]
        self._unions = tuple(dict.fromkeys(unions.values()))
        self._groups = tuple(members for members in self._unions if not {*members} & {*ids.values()})
        self._union_ids = np.zeros(UNLABELLED + 1, np.uint8)
        for own, members in unions.items():
            self._union_ids[own] = self._unions.index(members) + 1
        self._open = {label for own, members in unions.items() if dataset.classes[own].is_thing for label in members}

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
            if self._unions:
                union_ids = self._union_ids[sample.semantic]
                sample = replace(sample, union_ids=union_ids, unions=self._unions, groups=self._groups)
            sample = replace(sample, semantic=self._ids[sample.semantic])
        if sample.complete is not None or (self._open and sample.instance_ids is not None):
            sample = replace(sample, complete=self._complete(sample.complete))
        if sample.instance_ids is not None and sample.instance_labels is not None:
            labels = self._ids[sample.instance_labels]
            sample = replace(sample, instance_labels=labels.astype(np.int64))
            sample = keep_instances(sample, self._is_thing[labels])
        return sample

    def _complete(self, own: tuple[int, ...] | None) -> tuple[int, ...]:
        """The things of which all objects still have a row: all of whose sources were complete, in no union."""
        things = np.flatnonzero(self._is_thing).tolist()
        if own is not None:
            things = [thing for thing in things if self._sources[thing] and self._sources[thing] <= set(own)]
        return tuple(thing for thing in things if thing not in self._open)


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
    unions: Mapping[str, Mapping[str, tuple[str, ...]]] | None = None,
) -> ClassMap:
    """From rows of name, whether it is a thing, colour, and the names that become it."""
    classes = _numbered([entry[:3] for entry in entries])
    targets = {source: name for name, _, _, sources in entries for source in sources}
    return ClassMap(classes, targets, extra or {}, unions or {})


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
    # Real roads, from data sets that cut the street up in different ways. A rider is a person, as in IDD and COCO; but
    # CamVid calls a cyclist and the cycle one thing, which here is the cycle. Whatever flat ground beside the road IDD
    # has (verges as well) is a sidewalk. Trains are nobody's.
    'road': _merged(
        [
            ('road', False, (128, 64, 128), ('road', 'lane marking', 'drivable')),
            ('sidewalk', False, (244, 35, 232), ('sidewalk', 'non-drivable')),
            ('building', False, (70, 70, 70), ('building',)),
            ('fence', False, (190, 153, 153), ('fence', 'guard rail')),
            ('pole', False, (153, 153, 153), ('pole',)),
            ('traffic sign', False, (220, 220, 0), ('traffic sign', 'traffic light')),
            ('vegetation', False, (107, 142, 35), ('vegetation', 'terrain', 'tree')),
            ('sky', False, (70, 130, 180), ('sky',)),
            ('person', True, (220, 20, 60), ('person', 'rider', 'living things')),
            ('car', True, (0, 0, 142), ('car', 'van')),
            ('truck', True, (0, 0, 70), ('truck',)),
            ('bus', True, (0, 60, 100), ('bus',)),
            ('motorcycle', True, (0, 0, 230), ('motorcycle',)),
            ('bicycle', True, (119, 11, 32), ('bicycle',)),
        ],
        unions={
            # CamVid's walls are buildings, IDD's are beside the road like fences.
            '': {'wall': ('building', 'fence')},
            'camvid': {'car': ('car', 'truck', 'bus'), 'bicycle': ('motorcycle', 'bicycle')},
            'idd_lite': {
                'vehicles': ('car', 'truck', 'bus', 'motorcycle', 'bicycle'),
                'roadside objects': ('fence', 'pole', 'traffic sign'),
                'far objects': ('building', 'vegetation'),
            },
        },
    ),
}
