# SPDX-License-Identifier: Apache-2.0
"""The pictures of a bag as files, with calibration and ground truth; the layout is that of layout.py."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from cast_ros.errors import BagError, ImageError
from cast_ros.images import decode_compressed, decode_rgb, encode_png
from cast_ros.images.camera_info import CameraModel, Rectified, frame_of
from cast_ros.images.camera_infos import RecordedCameraInfos
from cast_ros.images.compressed import is_stored_as_shown, rgb_of
from cast_ros.images.sixteen_bits import SixteenBits
from cast_ros.offline.bags import BagReader, Damage, RawMessage
from cast_ros.offline.bags.ground_truth_topics import DEPTH, INSTANCES, read_label_notes
from cast_ros.offline.bags.message_types import CAMERA_INFO_TYPE, IMAGE_TYPE, PICTURE_TYPES, camera_info_beside
from cast_ros.offline.bags.messages import stamp_ns
from cast_ros.offline.bags.tools.layout import (
    CALIBRATION,
    NOTES,
    PICTURES,
    Calibration,
    CameraFile,
    Kind,
    LabelNotes,
    Part,
)

_LABELS: dict[str, Kind] = {INSTANCES: 'gtFine', DEPTH: 'depth'}
_PNG_START = b'\x89PNG'


@dataclass
class DatasetReport:
    """What was written.

    Attributes:
        pictures: files.
        labels: files by topic.
        skipped: pictures and labels that do not decode.
        uncalibrated: pictures without a usable camera_info of their frame and size.
        doubt: what a person should settle about the matrix that was taken; '' if nothing.
        first_problem: of those.
        damages: of the bag.
    """

    pictures: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    uncalibrated: int = 0
    doubt: str = ''
    first_problem: str = ''
    damages: tuple[Damage, ...] = ()

    def skip(self, problem: str) -> None:
        """Count one that does not decode."""
        self.skipped += 1
        self.first_problem = self.first_problem or problem


def bag_to_dataset(
    path: Path, topic: str, out: Path, every: int = 1, split: str = 'drive', rectified: Rectified = 'auto'
) -> DatasetReport:
    """Write every ``every``-th picture of a topic, and what the bag knows about it; all of it or nothing.

    JPEG and PNG keep their bytes, others become PNG: mosaics, too, and what has more than 8 bits. Labels keep their
    bytes as well. A damaged bag is read up to the damage; a picture that does not decode is left out. `rectified` is
    as the node's parameter.

    Raises:
        BagError: the bag cannot be read or has no such pictures, or ``out`` exists or cannot be written.
    """
    if out.exists():
        raise BagError(f'{out} exists already and is not overwritten; choose another name or remove it')
    with BagReader(path, salvage=True) as reader:
        entry = reader.topics().get(topic)
        if entry is None or entry.msgtype not in PICTURE_TYPES:
            pictures = [known.name for known in reader.topics().values() if known.msgtype in PICTURE_TYPES]
            raise BagError(f"{path} has no pictures on '{topic}'; it has them on: {', '.join(pictures) or 'no topic'}")
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f'.{out.name}.', dir=out.parent) as folder:
                # The folder of a city must be the beginning of its files' names, up to the first underscore.
                domain = re.sub(r'[^A-Za-z0-9]+', '-', path.resolve().stem).strip('-') or 'bag'
                report = _Export(reader, Part(Path(folder) / out.name, split, domain), rectified).run(topic, every)
                (Path(folder) / out.name).replace(out)
        except OSError as error:
            raise BagError(f'{out} cannot be written: {error}') from error
        report.damages = reader.damages
    return report


class _Export:
    """Two passes: pictures, whose stamps then say which labels and calibrations are wanted."""

    def __init__(self, reader: BagReader, part: Part, rectified: Rectified) -> None:
        self._reader, self._part, self._rectified = reader, part, rectified
        self._sixteen_bits = SixteenBits()
        self._report = DatasetReport()
        self._stems: dict[int, str] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._frames: dict[str, str] = {}

    def run(self, topic: str, every: int) -> DatasetReport:
        """Write all."""
        for number, raw in enumerate(self._reader.raw_messages([topic])):
            if number % every == 0:
                self._write_picture(raw, f'{self._part.domain}_000000_{number:06d}')
        if not self._stems:
            problem = self._report.first_problem or 'it has no message'
            raise BagError(f'{self._reader.path}: no picture of {topic} can be written: {problem}')
        self._write_cameras(topic)
        present = self._reader.topics()
        labels = [name for name in _LABELS if name in present and present[name].message_count]
        if labels:
            about, names = read_label_notes(self._reader)
            _save_document(self._part.root / NOTES, LabelNotes(about=about, names=names))
            for raw in self._reader.raw_messages(labels):
                self._write_label(raw)
        return self._report

    def _write_picture(self, raw: RawMessage, stem: str) -> None:
        try:
            message = self._reader.decode(raw)
            if raw.msgtype == IMAGE_TYPE:
                rgb = decode_rgb(message, sixteen_bits=self._sixteen_bits)
                payload, suffix, shape = encode_png(rgb), '.png', rgb.shape
            else:
                array = decode_compressed(message)
                # What a reader of the file would see as the robot does keeps its bytes.
                if is_stored_as_shown(array, message):
                    payload = bytes(message.data)
                else:
                    payload = encode_png(rgb_of(array, message, self._sixteen_bits))
                suffix, shape = '.png' if payload.startswith(_PNG_START) else '.jpg', array.shape
        except (BagError, ImageError) as error:
            self._report.skip(str(error))
            return
        _save(self._part.path(PICTURES, stem, suffix), payload)
        # A driver that leaves the stamp empty gets the time of recording.
        self._stems.setdefault(stamp_ns(message) or raw.recorded_ns, stem)
        self._sizes[stem], self._frames[stem] = (shape[1], shape[0]), frame_of(message.header)
        self._report.pictures += 1

    def _write_label(self, raw: RawMessage) -> None:
        try:
            message = self._reader.decode(raw)
            stem = self._stems.get(stamp_ns(message))
            if stem is None:
                return
            decode_compressed(message)
        except (BagError, ImageError) as error:
            self._report.skip(str(error))
            return
        _save(self._part.path(_LABELS[raw.topic], stem), bytes(message.data))
        self._report.labels[raw.topic] += 1

    def _write_cameras(self, topic: str) -> None:
        calibrations, first = self._calibrations(topic), None
        for stamp, stem in self._stems.items():
            width, height = self._sizes[stem]
            found = calibrations.nearest(stamp, self._frames[stem], width, height)
            first = first or found
            if found is None:
                self._report.uncalibrated += 1
                camera = CameraFile(stamp_ns=stamp, width=width, height=height)
            else:
                camera = CameraFile.of_calibration(stamp, found)
            _save_document(self._part.path('camera', stem), camera)
        # That of another camera would be given to the pictures that have none.
        if first is not None:
            _save_document(self._part.root / CALIBRATION, first)

    def _calibrations(self, picture_topic: str) -> RecordedCameraInfos[Calibration]:
        """What is told of the pictures by every camera_info that can be used."""
        topic, found = camera_info_beside(picture_topic), RecordedCameraInfos[Calibration]()
        entry = self._reader.topics().get(topic)
        if entry is None or entry.msgtype != CAMERA_INFO_TYPE:
            return found
        for raw in self._reader.raw_messages([topic]):
            try:
                info = self._reader.decode(raw)
                camera = CameraModel.of(info, picture_topic, self._rectified)
                if not camera.problem:
                    found.add(stamp_ns(info), info, Calibration.of_camera(camera))
                    self._report.doubt = self._report.doubt or camera.doubt
            except BagError as error:
                self._report.skip(str(error))
        return found


def _save_document(path: Path, document: BaseModel) -> None:
    _save(path, document.model_dump_json(by_alias=True, exclude_none=True, indent=1).encode())


def _save(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
