# SPDX-License-Identifier: Apache-2.0
"""Which pictures count as labelled: seeded, scene-disjoint and nested draws, or a published list of names.

A draw orders the scenes by a SHA-256 of seed and scene name and takes as many from the front as come closest to the
number asked for. So it is the same on every machine and Python, 5 % lies within 10 %, and a scene keeps its place when
others join the data set.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from cast_train.errors import DataError
from cast_train.settings import Settings

# Pictures with labels at so many per cent in the lists of Guided Distillation (docs/data.md), for all of Cityscapes
# train. Its lists are not ours to ship: without `labels.list` we draw our own list of the same length.
GUIDED_DISTILLATION_COUNTS = {5: 144, 10: 296, 20: 592, 30: 888}
CITYSCAPES_TRAIN_PICTURES = 2975
# What published lists write after the name of a picture.
LIST_ENDINGS = ('_gtFine_instanceIds', '_gtFine_labelIds', '_gtFine_polygons', '_leftImg8bit')


class LabelChoice(Settings):
    """Which training pictures show their labels; the others are unlabelled, whatever lies beside them on disk.

    Attributes:
        fraction: share of the training pictures.
        seed: of the draw; apart from the seed of the run, so that several runs can share one set of labels.
        list: file of picture names, one a line, in place of the draw.
        held_out: share of the labelled pictures that judge the refinement and are not learned from; 0 for none.
    """

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0)] = 1
    list: Path | None = None
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.0


@dataclass(frozen=True)
class LabelSplit:
    """Indices into the training pictures, each sorted; together they are all of them, and no two overlap.

    Attributes:
        labelled: to learn from with labels.
        held_out: labelled as well, but only for early stopping.
        unlabelled: the rest.
        source: where the labelled set comes from, for the manifest.
    """

    labelled: tuple[int, ...]
    held_out: tuple[int, ...]
    unlabelled: tuple[int, ...]
    source: str


def split_labels(names: Sequence[str], scenes: Sequence[str], choice: LabelChoice, dataset: str) -> LabelSplit:
    """Divide the training pictures as a recipe asks.

    Args:
        names: of all training pictures.
        scenes: of the same pictures.
        choice: the recipe's section.
        dataset: name in the registry; Cityscapes has published counts.

    Raises:
        DataError: the list is unreadable or names another picture, or there are too few scenes to divide.
    """
    if choice.list is not None:
        chosen, source = read_list(choice.list, names), f'list {choice.list.name}'
    else:
        count = labelled_count(dataset, choice.fraction, len(names))
        chosen = label_count(scenes, count, choice.seed)
        source = f'drawn by cast_train: seed {choice.seed}, {len(chosen)} of {len(names)} pictures, scene-disjoint'
    held = held_out(chosen, scenes, choice.held_out, choice.seed) if choice.held_out > 0 else []
    labelled = sorted(set(chosen) - set(held))
    unlabelled = sorted(set(range(len(names))) - set(chosen))
    return LabelSplit(tuple(labelled), tuple(held), tuple(unlabelled), source)


def labelled_count(dataset: str, fraction: float, pictures: int) -> int:
    """Number of labelled pictures at a fraction; Guided Distillation's own where its protocol applies."""
    percent = round(100 * fraction, 6)
    if dataset == 'cityscapes' and pictures == CITYSCAPES_TRAIN_PICTURES and percent in GUIDED_DISTILLATION_COUNTS:
        return GUIDED_DISTILLATION_COUNTS[int(percent)]
    return max(1, int(fraction * pictures + 0.5))


def label_fraction(scenes: Sequence[str], fraction: float, seed: int) -> list[int]:
    """Draw whole scenes until about ``fraction`` of the pictures is labelled; see ``label_count``."""
    return label_count(scenes, labelled_count('', fraction, len(scenes)), seed)


def label_count(scenes: Sequence[str], count: int, seed: int) -> list[int]:
    """Draw whole scenes with about ``count`` pictures and return the sorted indices of those pictures.

    The number is as close as whole scenes in the drawn order allow; at least one scene is labelled, and unless all
    pictures are asked for at least one is not.

    Raises:
        DataError: all pictures are of one scene, which cannot be divided.
    """
    if count >= len(scenes):
        return list(range(len(scenes)))
    return _draw(range(len(scenes)), scenes, count, f'labels:{seed}', 'set labels.fraction to 1')


def held_out(indices: Sequence[int], scenes: Sequence[str], share: float, seed: int) -> list[int]:
    """Draw whole scenes with about ``share`` of the labelled pictures, for early stopping; at least one, never all.

    Args:
        indices: the labelled pictures.
        scenes: of all pictures.
        share: over 0, below 1.
        seed: of the draw, which is independent of the draw of the labels.

    Raises:
        DataError: the labelled pictures are of one scene.
    """
    count = int(share * len(indices) + 0.5)
    return _draw(indices, scenes, count, f'held out:{seed}', 'label more pictures or set labels.held_out to 0')


def read_list(path: Path, names: Sequence[str]) -> list[int]:
    """Read a list of picture names and return the sorted indices of those pictures.

    One name a line; folders, extensions and the endings of Cityscapes files are ignored, as are empty lines and
    comments after ``#``. A list may divide a scene: it is somebody's protocol.

    Raises:
        DataError: unreadable, empty, a name twice, a name that is no training picture (with the nearest), or
            names that the data itself has twice.
    """
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'{path}: cannot be read as a list of picture names, one a line ({error})') from error
    place = {name: index for index, name in enumerate(names)}
    if len(place) < len(names):
        raise DataError(f'{path}: the parts of the data share picture names, so a list cannot tell them apart; use one')
    found: dict[int, int] = {}
    for number, line in enumerate(lines, 1):
        text = line.partition('#')[0].strip()
        if not text:
            continue
        name = _picture_name(text, place)
        if name not in place:
            near = difflib.get_close_matches(name, names, 1, 0.0)
            raise DataError(
                f'{path} line {number}: {name!r} is no training picture; the nearest is {near[0] if near else None!r}'
            )
        if place[name] in found:
            raise DataError(f'{path} line {number}: {name!r} stands in line {found[place[name]]} already; remove one')
        found[place[name]] = number
    if not found:
        raise DataError(f'{path}: names no picture; write one name a line')
    return sorted(found)


def part_of(scenes: Sequence[str], split: str, share: float) -> list[int]:
    """Indices of ``train``, ``val`` or ``all`` of a data set that comes in one piece; no scene is divided.

    Args:
        scenes: of all pictures, sorted or not: the draw does not depend on their order.
        split: one of the three.
        share: of the pictures in ``val``.

    Raises:
        DataError: there is no such split, or only one scene.
    """
    everything = list(range(len(scenes)))
    if split == 'all':
        return everything
    if split not in ('train', 'val'):
        raise DataError(f'there is no split {split!r}; a data set in one piece has train, val and all')
    value = set(_draw(everything, scenes, int(share * len(scenes) + 0.5), 'val', 'take the split all'))
    return [index for index in everything if (index in value) == (split == 'val')]


def _picture_name(text: str, known: dict[str, int]) -> str:
    """The name as the data set writes it, from a path of its picture or of its labels."""
    path = text.replace('\\', '/')
    name = path.rsplit('/', 1)[-1]
    bare = name.rsplit('.', 1)[0]
    for ending in LIST_ENDINGS:
        bare = bare.removesuffix(ending)
    return next((form for form in (path, path.rsplit('.', 1)[0], name, bare) if form in known), bare)


def _draw(indices: Sequence[int], scenes: Sequence[str], count: int, key: str, remedy: str) -> list[int]:
    members: dict[str, list[int]] = {}
    for index in indices:
        members.setdefault(scenes[index], []).append(index)
    if len(members) < 2:
        raise DataError(f'{len(indices)} pictures of {len(members)} scene cannot be divided by scene; {remedy}')
    order = sorted(members, key=lambda scene: (hashlib.sha256(f'{key}:{scene}'.encode()).digest(), scene))
    taken: list[int] = []
    for scene in order[:-1]:
        with_it = len(taken) + len(members[scene])
        if taken and abs(with_it - count) >= abs(len(taken) - count):
            break
        taken += members[scene]
    return sorted(taken)
