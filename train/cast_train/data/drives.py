# SPDX-License-Identifier: Apache-2.0
"""Drives through bad light and weather with Cityscapes' classes, as the archives of ACDC and Dark Zurich unpack.

rgb_anon/FOLDER/DRIVE/STEM_rgb_anon.png (or STEM_rgb_ref_anon.png)
gt/FOLDER/DRIVE/STEM_gt_labelIds.png (uint8; a FOLDER that gt/ lacks is unlabelled as a whole)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cast_train.data import cityscapes
from cast_train.data.folders import list_pictures, read_rgb, require_files
from cast_train.data.sample import Sample
from cast_train.errors import DataError

PICTURE_SUFFIX, REFERENCE_SUFFIX, LABEL_SUFFIX = '_rgb_anon.png', '_rgb_ref_anon.png', '_gt_labelIds.png'


@dataclass(frozen=True)
class _Frame:
    name: str
    picture: Path
    labels: Path | None
    domain: str


class Drives:
    """Pictures of some folders, one for each domain.

    Args:
        dataset: its name, for errors.
        root: folder that holds ``rgb_anon`` and, for labels, ``gt``.
        folders: of every domain, below ``rgb_anon`` and ``gt``.
        domain: one of them; empty for all that are there.
        tree: what the tree should look like, for errors.

    Raises:
        DataError: a folder or file is missing, has the wrong shape, or holds an unknown label.
    """

    classes = cityscapes.CLASSES

    def __init__(self, dataset: str, root: Path, folders: Mapping[str, str], domain: str, tree: str) -> None:
        if domain and domain not in folders:
            raise DataError(f'{dataset} has the domains {", ".join(folders)}, not {domain!r}; leave it out for all')
        pictures = root / 'rgb_anon'
        chosen = [domain] if domain else [name for name, folder in folders.items() if (pictures / folder).is_dir()]
        if not chosen:
            raise DataError(f'{pictures}: holds none of {", ".join(folders.values())}; {tree}')
        self._frames = [frame for name in chosen for frame in _frames(root, folders[name], name, tree)]

    @property
    def names(self) -> Sequence[str]:
        """DRIVE_frame_NUMBER of each picture; of a reference picture with ``_ref`` behind it."""
        return [frame.name for frame in self._frames]

    @property
    def scenes(self) -> Sequence[str]:
        """The drive of each picture."""
        return [frame.picture.parent.name for frame in self._frames]

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        frame = self._frames[index]
        image = read_rgb(frame.picture)
        shape = image.shape[0], image.shape[1]
        semantic = None if frame.labels is None else cityscapes.read_label_ids(frame.labels, shape)
        return Sample(frame.name, image, semantic=semantic, domain=frame.domain)


def _frames(root: Path, folder: str, domain: str, tree: str) -> list[_Frame]:
    pictures, labels = root / 'rgb_anon' / folder, root / 'gt' / folder
    drives = sorted(path for path in pictures.iterdir() if path.is_dir()) if pictures.is_dir() else []
    if not drives:
        raise DataError(f'{pictures}: no folder of a drive; {tree}')
    found = []
    for drive in drives:
        frames = [
            _frame(path, labels / drive.name if labels.is_dir() else None, domain)
            for path in list_pictures(drive, '_anon.png', tree)
        ]
        if labels.is_dir():
            require_files(labels / drive.name, (frame.labels.name for frame in frames if frame.labels), tree)
        found += frames
    return found


def _frame(picture: Path, labels: Path | None, domain: str) -> _Frame:
    stem = picture.name.removesuffix(REFERENCE_SUFFIX).removesuffix(PICTURE_SUFFIX)
    name = f'{stem}_ref' if picture.name.endswith(REFERENCE_SUFFIX) else stem
    return _Frame(name, picture, None if labels is None else labels / f'{stem}{LABEL_SUFFIX}', domain)
