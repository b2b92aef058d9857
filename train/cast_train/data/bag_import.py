# SPDX-License-Identifier: Apache-2.0
"""Makes training data of a recorded bag: chosen frames, divided into scenes, with what the bag knows about each.

First the bag is surveyed and the plan written down (import.json); then every planned file is written, each whole or not
at all; then the plan, without the labels that turned out damaged, becomes frames.json. So an import that was killed
goes on where it was, and leaves the same folder as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console

from cast_ros.errors import BagError, ImageError
from cast_ros.files import replacing
from cast_ros.images import decode_compressed, encode_jpeg, encode_png
from cast_ros.offline.bags import BagReader, RawMessage
from cast_ros.offline.bags.messages import stamp_ns
from cast_ros.offline.bags.pictures import find_picture_topic, read_picture
from cast_train.data.bag_plan import ImportSettings, plan_import
from cast_train.data.bag_survey import LABEL_TOPICS, identity_of
from cast_train.data.frames_manifest import (
    LABEL_KINDS,
    MANIFEST,
    BagIdentity,
    FrameEntry,
    LabelKind,
    Manifest,
    label_path,
    read_manifest,
    write_manifest,
)
from cast_train.errors import DataError
from cast_train.progress import progress_on

PLAN = 'import.json'
# The noise of a camera hardly compresses: higher levels take several times as long for some per cent.
PNG_COMPRESSION = 3


@dataclass(frozen=True)
class ImportReport:
    """What lies in the folder now, and how many of its pictures and labels are new."""

    manifest: Manifest
    written: int

    def summary(self) -> str:
        """For people: the result in one line, then a line for each thing to know."""
        counts = dict(self.manifest.counts)
        messages, train, val = (counts.pop(key) for key in ('messages', 'train', 'val'))
        dropped = ', '.join(f'{count} {reason}' for reason, count in counts.items() if count)
        frames = self.manifest.frames
        known = {kind: sum(frame.has(kind) for frame in frames) for kind in LABEL_KINDS}
        result = (
            f'{train + val} of {messages} pictures: train {train}, val {val}, scenes {len({f.scene for f in frames})}; '
            f'dropped: {dropped or "none"}; with instances {known["instances"]}, depth {known["depth"]}, '
            f'fx {sum(frame.camera is not None for frame in frames)}; {self.written} files written'
        )
        return '\n'.join([result, *self.manifest.notes])


def import_bag(bag: Path, out: Path, settings: ImportSettings, console: Console) -> ImportReport:
    """Import a bag, or go on with an import that was stopped; one that is complete is left as it is.

    Raises:
        DataError: topic, settings or folder do not fit, no picture is left, or the disk is full.
        BagError: the bag cannot be read.
    """
    if (settings.height is None) != (settings.width is None) or (settings.height and settings.max_width):
        raise DataError('--height and --width belong together and exclude --max-width; give both, or --max-width alone')
    with BagReader(bag) as reader, progress_on(console) as progress:
        identity = identity_of(bag)
        topic = find_picture_topic(reader, settings.topic, LABEL_TOPICS.values())
        messages = reader.topics()[topic].message_count
        plan = _earlier(out, identity, settings)
        if plan is None:
            looking = progress.add_task('looking at pictures', total=messages)
            plan = plan_import(reader, identity, settings, lambda: progress.advance(looking))
            _save(out / PLAN, plan)
        expected = list(_files(out, plan))
        missing = [path for path in expected if not path.exists()]
        if missing or not (out / MANIFEST).exists():
            writing = progress.add_task('writing files', total=len(missing))
            writer = _Writer(reader, out, plan, settings, lambda: progress.advance(writing))
            plan = writer.write_missing()
            _save(out / MANIFEST, plan)
        (out / PLAN).unlink(missing_ok=True)
    return ImportReport(plan, sum(path.exists() for path in missing))


def _earlier(out: Path, bag: BagIdentity, settings: ImportSettings) -> Manifest | None:
    """What an earlier run left: a finished import, a plan, or nothing.

    Raises:
        DataError: the folder belongs to another import, or to something else.
    """
    path = next((out / name for name in (MANIFEST, PLAN) if (out / name).exists()), None)
    if path is None:
        if out.exists() and (not out.is_dir() or {entry.name for entry in out.iterdir()} - {f'{PLAN}.tmp'}):
            raise DataError(f'{out}: is there already and is no import; choose another --out')
        return None
    found = read_manifest(path)
    if found.bag != bag:
        raise DataError(f'{out}: holds frames of another bag, {found.bag.name}; choose another --out')
    wanted = settings.model_dump(mode='json')
    for key in sorted({*wanted, *found.settings}):
        if wanted.get(key) != found.settings.get(key):
            raise DataError(
                f'{out}: was imported with {key} {found.settings.get(key)}, asked for {wanted.get(key)}; '
                'choose another --out, or remove the folder'
            )
    return found


def _files(out: Path, plan: Manifest) -> list[Path]:
    pictures = [plan.picture_path(out, frame) for frame in plan.frames]
    return pictures + [label_path(out, kind, frame) for kind in LABEL_KINDS for frame in plan.frames if frame.has(kind)]


class _Writer:
    """Writes what is missing of a plan, in one pass over the bag; every message is handled on its own."""

    def __init__(
        self, reader: BagReader, out: Path, plan: Manifest, settings: ImportSettings, advance: Callable[[], None]
    ) -> None:
        self._reader, self._out, self._plan, self._settings, self._advance = reader, out, plan, settings, advance
        self._by_message = {frame.message: frame for frame in plan.frames}
        self._by_stamp = {frame.stamp_ns: frame for frame in plan.frames}
        self._first_damage: dict[LabelKind, str] = {}

    def write_missing(self) -> Manifest:
        """Write, and return the manifest of what is really there."""
        plan = self._plan
        kinds = {LABEL_TOPICS[kind]: kind for kind in LABEL_KINDS if any(frame.has(kind) for frame in plan.frames)}
        number = -1
        for raw in self._reader.raw_messages([plan.topic, *kinds]):
            if raw.topic == plan.topic:
                number += 1
                if number in self._by_message:
                    self._write_picture(raw, self._by_message[number])
            else:
                self._write_label(raw, kinds[raw.topic])
        return self._manifest()

    def _write_picture(self, raw: RawMessage, frame: FrameEntry) -> None:
        path = self._plan.picture_path(self._out, frame)
        if path.exists():
            return
        rgb = read_picture(self._reader, raw)[1]
        size = frame.width, frame.height
        if size != (frame.source_width, frame.source_height):
            shrinks = size[0] <= frame.source_width and size[1] <= frame.source_height
            rgb = _resized(rgb, size, cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        quality = self._settings.jpeg_quality
        self._save_bytes(path, encode_png(rgb, PNG_COMPRESSION) if quality is None else encode_jpeg(rgb, quality))

    def _write_label(self, raw: RawMessage, kind: LabelKind) -> None:
        try:
            message = self._reader.decode(raw)
            frame = self._by_stamp.get(stamp_ns(message))
            if frame is None or not frame.has(kind) or label_path(self._out, kind, frame).exists():
                return
            array = decode_compressed(message)
        except (BagError, ImageError) as error:
            self._first_damage.setdefault(kind, str(error))
            return
        source = frame.source_height, frame.source_width
        if array.shape != source:
            self._first_damage.setdefault(kind, f'shape {array.shape} for a picture of {source}')
            return
        label = _resized(array.astype(np.uint16), (frame.width, frame.height), cv2.INTER_NEAREST_EXACT)
        self._save_bytes(label_path(self._out, kind, frame), encode_png(label))

    def _save_bytes(self, path: Path, content: bytes) -> None:
        try:
            with replacing(path) as file:
                file.write(content)
        except OSError as error:
            raise _cannot_write(path, error) from error
        self._advance()

    def _manifest(self) -> Manifest:
        lost = dict.fromkeys(LABEL_KINDS, 0)
        frames = []
        for frame in self._plan.frames:
            there: dict[str, bool] = {
                kind: frame.has(kind) and label_path(self._out, kind, frame).exists() for kind in LABEL_KINDS
            }
            for kind in LABEL_KINDS:
                lost[kind] += frame.has(kind) and not there[kind]
            frames.append(frame.model_copy(update=there))
        notes = [
            f'{count} labels of {LABEL_TOPICS[kind]} cannot be used; the first: {self._first_damage.get(kind, "gone")}'
            for kind, count in lost.items()
            if count
        ]
        return self._plan.model_copy(update={'frames': tuple(frames), 'notes': (*self._plan.notes, *notes)})


def _resized(array: npt.NDArray[Any], size: tuple[int, int], interpolation: int) -> npt.NDArray[Any]:
    return np.asarray(cv2.resize(array, size, interpolation=interpolation))


def _save(path: Path, manifest: Manifest) -> None:
    try:
        write_manifest(path, manifest)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> DataError:
    return DataError(f'{path}: cannot be written ({error}); free some space or choose another --out, and start again')
