# SPDX-License-Identifier: Apache-2.0
"""The data sets a recipe may name: a closed table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from cast_ros.student import ClassInfo
from cast_train.data import (
    acdc,
    camvid,
    cityscapes,
    dark_zurich,
    idd_lite,
    kitti_lidar,
    nyuv2,
    pennfudan,
    streets,
    synthia,
    vkitti2,
)
from cast_train.data.ade20k import Ade20k
from cast_train.data.class_maps import Mapped, class_map_of
from cast_train.data.coco import Coco
from cast_train.data.frames import Frames
from cast_train.data.pictures import Pictures
from cast_train.data.sample import Dataset
from cast_train.errors import DataError


@dataclass(frozen=True)
class Entry:
    """One kind of data set.

    Attributes:
        open: from root, split and domain.
        classes: of every tree of this kind; None where the tree itself says which classes it has.
    """

    open: Callable[[Path, str, str], Dataset]
    classes: tuple[ClassInfo, ...] | None = None


DATASETS: dict[str, Entry] = {
    'acdc': Entry(acdc.Acdc, acdc.Acdc.classes),
    'ade20k': Entry(Ade20k),
    'camvid': Entry(camvid.CamVid, camvid.CLASSES),
    'cityscapes': Entry(cityscapes.Cityscapes, cityscapes.CLASSES),
    'coco': Entry(Coco),
    'dark_zurich': Entry(dark_zurich.DarkZurich, dark_zurich.DarkZurich.classes),
    'frames': Entry(Frames),
    'idd_lite': Entry(idd_lite.IddLite, idd_lite.CLASSES),
    'kitti_lidar': Entry(kitti_lidar.KittiLidar, ()),
    'nyuv2': Entry(nyuv2.Nyuv2, nyuv2.CLASSES),
    'nyuv2_13': Entry(nyuv2.Nyuv2Of13, nyuv2.CLASSES_13),
    'pennfudan': Entry(pennfudan.PennFudan, pennfudan.CLASSES),
    'pictures': Entry(Pictures),
    'streets': Entry(streets.Streets, streets.CLASSES),
    'synthia': Entry(synthia.Synthia, synthia.CLASSES),
    'vkitti2': Entry(vkitti2.Vkitti2, vkitti2.CLASSES),
}


def open_dataset(name: str, root: Path, split: str, domain: str = '', class_map: str | None = None) -> Dataset:
    """Open one split and domain of a data set; ``domain`` stays empty where a data set has none.

    ``class_map`` gives it the classes of a map (``class_maps``) in place of its own.

    Raises:
        DataError: the name or the map is unknown, the tree is not as the loader expects, or the map has none of the
            classes of the data set.
    """
    if name not in DATASETS:
        raise DataError(f'unknown data set {name!r}; known are {", ".join(sorted(DATASETS))}')
    if not root.is_dir():
        raise DataError(f'{root}: no such folder; say where the {name} pictures lie')
    dataset = DATASETS[name].open(root, split, domain)
    return dataset if class_map is None else Mapped(dataset, class_map, name)


def classes_of(
    name: str, root: Path, split: str, domain: str = '', class_map: str | None = None
) -> tuple[ClassInfo, ...]:
    """Classes of a data set in the order of their ids; the tree is opened only if nothing else knows them."""
    classes = DATASETS[name].classes if class_map is None else class_map_of(class_map).classes
    return open_dataset(name, root, split, domain).classes if classes is None else classes


def common_classes(parts: Sequence[tuple[ClassInfo, ...]]) -> tuple[ClassInfo, ...]:
    """Classes of several parts of a data set, which must agree: class ids would silently mean different things.

    Raises:
        DataError: two parts differ, with the first class that does.
    """
    first = [entry.name for entry in parts[0]]
    for part in parts[1:]:
        names = [entry.name for entry in part]
        if names != first:
            one, other = next(pair for pair in zip_longest(first, names, fillvalue='nothing') if pair[0] != pair[1])
            raise DataError(
                f'two parts of the data disagree on a class, {one} and {other}; give both files the same categories'
            )
    return parts[0]
