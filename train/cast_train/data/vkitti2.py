# SPDX-License-Identifier: Apache-2.0
"""Virtual KITTI 2: five streets of KITTI rebuilt, each in ten variants of weather, light and view.

SCENE/VARIANT/frames/rgb/Camera_0/rgb_NNNNN.jpg
SCENE/VARIANT/frames/depth/Camera_0/depth_NNNNN.png (uint16 centimetres; 65535 sky or farther; optional)
SCENE/VARIANT/frames/classSegmentation/Camera_0/classgt_NNNNN.png (colours of SCENE/VARIANT/colors.txt; optional)
SCENE/VARIANT/frames/instanceSegmentation/Camera_0/instancegt_NNNNN.png (palette: track + 1, 0 no object; optional)
SCENE/VARIANT/intrinsic.txt (rows of: frame camera fx fy cx cy)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cast_ros.offline.evaluation.ground_truth import InstanceParts
from cast_ros.student import ClassInfo
from cast_train.data.folders import list_pictures, read_depth, read_indices, read_rgb, require_files
from cast_train.data.numbered import instances_of
from cast_train.data.sample import Sample
from cast_train.errors import DataError

TREE = 'the root must hold SCENE/VARIANT/frames/rgb/Camera_0/, as Scene01/clone/… (see docs/data.md)'
CAMERA, ALL = 0, 'all'
NATIVE_WIDTH = 1242
FAR_CM = 65535
UNDEFINED = 'Undefined'
PREFIXES = {'depth': 'depth', 'classSegmentation': 'classgt', 'instanceSegmentation': 'instancegt'}

# Name in colors.txt, name here (Cityscapes' where it has the class), whether objects are told apart, usual colour.
_TABLE = (
    ('Terrain', 'terrain', False, (210, 0, 200)),
    ('Sky', 'sky', False, (90, 200, 255)),
    ('Tree', 'tree', False, (0, 199, 0)),
    ('Vegetation', 'vegetation', False, (90, 240, 0)),
    ('Building', 'building', False, (140, 140, 140)),
    ('Road', 'road', False, (100, 60, 100)),
    ('GuardRail', 'guard rail', False, (250, 100, 255)),
    ('TrafficSign', 'traffic sign', False, (255, 255, 0)),
    ('TrafficLight', 'traffic light', False, (200, 200, 0)),
    ('Pole', 'pole', False, (255, 130, 0)),
    ('Misc', 'misc', False, (80, 80, 80)),
    ('Truck', 'truck', True, (160, 60, 60)),
    ('Car', 'car', True, (255, 127, 80)),
    ('Van', 'van', True, (0, 139, 139)),
)
CLASSES = tuple(
    ClassInfo(id=index, name=name, is_thing=is_thing, color=color)
    for index, (_, name, is_thing, color) in enumerate(_TABLE)
)
# Labels as ``instances_of`` wants them: 0 undefined, then the classes in order.
LABEL_OF = {UNDEFINED: 0, **{category: index + 1 for index, (category, *_) in enumerate(_TABLE)}}
CLASS_OF_LABEL = {entry.id + 1: entry.id for entry in CLASSES}
THING_LABELS = tuple(entry.id + 1 for entry in CLASSES if entry.is_thing)


@dataclass(frozen=True)
class _Take:
    """One scene in one variant; ``present`` are the kinds of labels that it has."""

    folder: Path
    present: frozenset[str]
    label_of_color: dict[int, int]
    fx_px: dict[int, float]

    def path(self, kind: str, frame: str) -> Path:
        return _folder(self.folder, kind) / f'{PREFIXES[kind]}_{frame}.png'


class Vkitti2:
    """Pictures of the left camera, of one scene or all, in one variant or all.

    Args:
        root: folder that holds ``Scene01`` and so on.
        split: ``all``, or the name of a scene.
        domain: a variant, such as ``clone`` or ``fog``; empty for all that are there.

    Raises:
        DataError: a folder or file is missing, has the wrong shape or number of bits, or holds an unknown colour.
    """

    classes = CLASSES

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        self._frames: list[tuple[_Take, Path]] = []
        for folder in _takes(root, split, domain):
            pictures = list_pictures(_folder(folder, 'rgb'), '.jpg', TREE)
            take = _open(folder, [_frame_of(path) for path in pictures])
            self._frames += [(take, path) for path in pictures]

    @property
    def names(self) -> Sequence[str]:
        """SCENE/VARIANT/NNNNN of each picture."""
        return [_name(take, path) for take, path in self._frames]

    @property
    def scenes(self) -> Sequence[str]:
        """The scene of each picture; its variants show the same street."""
        return [take.folder.parent.name for take, _ in self._frames]

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        take, path = self._frames[index]
        frame = _frame_of(path)
        image = read_rgb(path)
        shape = image.shape[0], image.shape[1]
        ids, labels, is_crowd, semantic = _read_labels(take, frame, shape)
        depth_m = read_depth(take.path('depth', frame), shape, 100, FAR_CM) if 'depth' in take.present else None
        native_fx = take.fx_px.get(int(frame))
        fx_px = None if native_fx is None else native_fx * shape[1] / NATIVE_WIDTH
        domain = take.folder.name
        return Sample(_name(take, path), image, ids, labels, is_crowd, semantic, depth_m, fx_px, domain)


def _takes(root: Path, split: str, domain: str) -> list[Path]:
    """Folders of the chosen scenes and variants, in order."""
    scenes = sorted(path for path in root.glob('Scene*') if path.is_dir())
    known = [path.name for path in scenes]
    if split != ALL and split not in known:
        raise DataError(f'{root}: has no scene {split!r}, but {", ".join(known) or "none at all"}; take one or all')
    chosen = [scene for scene in scenes if split in (ALL, scene.name)]
    variants = [path for scene in chosen for path in sorted(scene.iterdir()) if path.is_dir()]
    folders = [path for path in variants if domain in ('', path.name)]
    if not folders:
        found = ', '.join(sorted({path.name for path in variants})) or 'none'
        raise DataError(f'{root}: no variant {domain!r} of {split}; there are {found}; {TREE}')
    return folders


def _open(folder: Path, frames: list[str]) -> _Take:
    present = frozenset(kind for kind in PREFIXES if _folder(folder, kind).is_dir())
    for kind in present:
        require_files(_folder(folder, kind), (f'{PREFIXES[kind]}_{frame}.png' for frame in frames), TREE)
    colors = _read_colors(folder / 'colors.txt') if 'classSegmentation' in present else {}
    intrinsics = folder / 'intrinsic.txt'
    fx_px = _read_fx(intrinsics) if 'depth' in present or intrinsics.is_file() else {}
    missing = [frame for frame in frames if fx_px and int(frame) not in fx_px]
    if missing:
        raise DataError(f'{intrinsics}: has no row for frame {missing[0]}; unpack vkitti_2.0.3_textgt.tar.gz anew')
    return _Take(folder, present, colors, fx_px)


def _read_colors(path: Path) -> dict[int, int]:
    """Our label of each colour, the latter as one number."""
    try:
        rows = [line.split() for line in path.read_text(encoding='utf-8').splitlines()[1:] if line.strip()]
        found = {_color_number(np.array([[row[1:]]], np.int64)).item(): LABEL_OF[row[0]] for row in rows}
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise DataError(
            f'{path}: needs a line of heading, then rows of category, red, green, blue ({error!r}); '
            'unpack vkitti_2.0.3_textgt.tar.gz anew'
        ) from error
    # Black is undefined in every version, and not every version says so.
    return {0: LABEL_OF[UNDEFINED], **found}


def _read_fx(path: Path) -> dict[int, float]:
    """Focal length of each frame of the left camera, in pixels of the native size."""
    try:
        rows = [line.split() for line in path.read_text(encoding='utf-8').splitlines()[1:] if line.strip()]
        found = {int(row[0]): float(row[2]) for row in rows if int(row[1]) == CAMERA}
    except (OSError, ValueError, IndexError) as error:
        raise DataError(
            f'{path}: needs a line of heading, then rows of frame, camera, fx, fy, cx, cy ({error!r}); '
            'unpack vkitti_2.0.3_textgt.tar.gz'
        ) from error
    if not found or not all(0 < fx_px < np.inf for fx_px in found.values()):
        raise DataError(f'{path}: needs a positive fx for frames of camera {CAMERA}; unpack the original anew')
    return found


def _read_labels(
    take: _Take, frame: str, shape: tuple[int, int]
) -> InstanceParts | tuple[None, None, None, npt.NDArray[np.uint8] | None]:
    """Instances and semantic map; there are no instances without classes, which say what an object is."""
    if 'classSegmentation' not in take.present:
        return None, None, None, None
    path = take.path('classSegmentation', frame)
    picture = read_rgb(path)
    if picture.shape[:2] != shape:
        raise DataError(f'{path}: has shape {picture.shape[:2]}, its picture has {shape}; label and picture must match')
    numbers = _color_number(picture.astype(np.int64))
    known = np.array(sorted(take.label_of_color))
    place = np.searchsorted(known, numbers).clip(max=len(known) - 1)
    unknown = picture[known[place] != numbers]
    if unknown.size:
        raise DataError(
            f'{path}: holds colour {tuple(unknown[0].tolist())}, which {take.folder / "colors.txt"} does not; '
            'fetch the original, it was converted or resized with smoothing'
        )
    labels = np.array([take.label_of_color[number] for number in known.tolist()])[place]
    counted = 'instanceSegmentation' in take.present
    path = take.path('instanceSegmentation', frame) if counted else path
    objects = read_indices(path, shape) if counted else np.zeros(shape, np.uint8)
    parts = instances_of(labels, objects, CLASS_OF_LABEL, THING_LABELS, path)
    return parts if counted else (None, None, None, parts.semantic)


def _color_number(color: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Red, green and blue as one number: …×3 to …."""
    return color[..., 0] * 65536 + color[..., 1] * 256 + color[..., 2]


def _folder(take: Path, kind: str) -> Path:
    return take / 'frames' / kind / f'Camera_{CAMERA}'


def _frame_of(picture: Path) -> str:
    """The number of a frame as its file writes it."""
    frame = picture.stem.removeprefix('rgb_')
    if not frame.isdecimal():
        raise DataError(f'{picture}: is no rgb_NNNNN.jpg; remove it, or unpack the original anew')
    return frame


def _name(take: _Take, picture: Path) -> str:
    return f'{take.folder.parent.name}/{take.folder.name}/{_frame_of(picture)}'
