# SPDX-License-Identifier: Apache-2.0
"""Pseudo-labels on disk, one file for each picture, found by what was labelled and by whom.

A file is named after the digest of the picture's pixels, its focal length and the teacher's fingerprint. So a folder
may hold the labels of several teachers, files of several machines may be copied together, and nothing is ever stale.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from cast_ros.files import replacing
from cast_train.data.segments import Segments
from cast_train.errors import TeacherError
from cast_train.teachers.teacher import PseudoLabels

# Raise it whenever files written before could not be read any more: they are then not found.
FORMAT = 1
REQUIRED = {'key', 'parts', 'size', 'labels', 'scores', 'soft_masks'}
# What reading a damaged archive raises; RuntimeError is a bit that claims encryption.
DAMAGE = (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


class LabelCache:
    """The labels of one teacher in a folder, which other teachers and processes may share.

    Args:
        folder: made when the first label is stored.
        fingerprint: of the teacher, settings included.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self._fingerprint = fingerprint

    def key(self, image: npt.NDArray[np.uint8], fx_px: float | None) -> str:
        """Name of the picture's labels: hexadecimal digest of pixels, focal length and teacher."""
        found = hashlib.sha256(f'{FORMAT} {self._fingerprint} {image.shape} {fx_px!r}'.encode())
        found.update(np.ascontiguousarray(image).data)
        return found.hexdigest()

    def path(self, key: str) -> Path:
        """Where the labels of ``key`` lie; subfolders keep listings of large fleets short."""
        return self.folder / 'labels' / key[:2] / f'{key}.npz'

    def load(self, key: str) -> PseudoLabels | None:
        """The labels of ``key``, None if nobody stored them.

        Raises:
            TeacherError: there is a file, but it is damaged or another's.
        """
        path = self.path(key)
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except FileNotFoundError:
            return None
        except DAMAGE as error:
            raise TeacherError(f'{path}: damaged label file ({error}); delete it and label again') from error
        return _checked(arrays, key, path)

    def store(self, key: str, answer: PseudoLabels) -> PseudoLabels:
        """Write labels so that they are there whole or not at all, and return them as they will be read.

        Depth keeps eleven bits: a relative error of 0.05 %, far below any teacher's own.

        Raises:
            TeacherError: the disk is full or not writable.
        """
        arrays: dict[str, Any] = {
            'key': np.array(key),
            'size': np.array([answer.height, answer.width], np.int64),
            'labels': answer.labels.astype(np.int64),
            'scores': answer.scores.astype(np.float32),
            'soft_masks': answer.soft_masks,
        }
        if not answer.knows_instances:
            arrays['without_instances'] = np.array(True)
        if answer.semantic is not None:
            arrays['semantic'] = answer.semantic
        if answer.depth_m is not None:
            arrays['depth_m'] = answer.depth_m.astype(np.float16)
        if answer.disparity is not None:
            arrays['disparity'] = answer.disparity.astype(np.float32)
        if answer.segments is not None:
            arrays['segment_boxes'] = answer.segments.boxes
            arrays['segment_runs'] = np.frombuffer(b' '.join(answer.segments.runs), np.uint8)
        # The archive checks what is in its parts, but one flipped bit of its directory can hide the last of them.
        arrays['parts'] = np.array(sorted(arrays))
        path = self.path(key)
        write_whole(path, lambda file: np.savez_compressed(file, **arrays), 'labels')
        return _checked(arrays, key, path)

    def sweep(self) -> None:
        """Remove what killed processes left half written; only for a process that has the folder to itself."""
        for temporary in self.folder.glob('labels/*/*.tmp'):
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, write: Callable[[BinaryIO], object], what: str) -> None:
    """Write a file so that it is there whole or not at all, whoever else writes it at the same time.

    Raises:
        TeacherError: the disk is full or not writable.
    """
    # The process is part of the name: two ranks may be given the same picture twice under different names.
    own = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    try:
        with replacing(own) as file:
            write(file)
        own.replace(path)
    except OSError as error:
        raise TeacherError(f'{path}: cannot write {what} ({error}); free some space and start again') from error


def _checked(arrays: dict[str, Any], key: str, path: Path) -> PseudoLabels:
    """Arrays of a file as labels, or an error when they do not fit together."""

    def damaged(what: str) -> TeacherError:
        return TeacherError(f'{path}: damaged label file ({what}); delete it and label again')

    missing = REQUIRED - arrays.keys() or set(arrays['parts'].tolist()) - arrays.keys()
    if missing:
        raise damaged(f'no {", ".join(sorted(missing))}')
    if str(arrays['key']) != key:
        raise damaged('it belongs to another picture or teacher')
    height, width = (int(side) for side in arrays['size'])
    labels, scores, masks = arrays['labels'], arrays['scores'], arrays['soft_masks']
    if labels.shape != scores.shape or labels.ndim != 1 or masks.ndim != 3 or len(masks) != len(labels):
        raise damaged(f'{labels.shape} labels, {scores.shape} scores and {masks.shape} masks')
    semantic, depth, disparity = (arrays.get(name) for name in ('semantic', 'depth_m', 'disparity'))
    for name, plane in (('semantic', semantic), ('depth_m', depth), ('disparity', disparity)):
        if plane is not None and plane.shape != (height, width):
            raise damaged(f'{name} of {plane.shape} for a picture of {(height, width)}')
    segments = None
    if 'segment_boxes' in arrays:
        runs = tuple(arrays['segment_runs'].tobytes().split())
        if len(runs) != len(arrays['segment_boxes']):
            raise damaged(f'{len(runs)} segments and {len(arrays["segment_boxes"])} boxes')
        segments = Segments(height, width, arrays['segment_boxes'], runs)
    return PseudoLabels(
        height=height,
        width=width,
        labels=labels,
        scores=scores,
        soft_masks=masks,
        semantic=semantic,
        depth_m=None if depth is None else depth.astype(np.float32),
        disparity=disparity,
        segments=segments,
        knows_instances='without_instances' not in arrays,
    )
