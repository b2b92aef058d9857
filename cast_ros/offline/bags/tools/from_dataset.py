# SPDX-License-Identifier: Apache-2.0
"""A bag of pictures: of a plain folder, of a video, or of the layout of layout.py with calibration and ground truth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cast_ros.errors import BagError, ImageError
from cast_ros.images import decode_compressed, encode_jpeg
from cast_ros.offline.bags import BagWriter
from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.offline.bags.message_types import COMPRESSED_IMAGE_TYPE, LABEL_INFO_TYPE, STRING_TYPE, camera_info_beside
from cast_ros.offline.bags.messages import NANOSECONDS, compressed_image, label_info, text
from cast_ros.offline.bags.storage import natural_order, refuse_foreign
from cast_ros.offline.bags.tools.layout import (
    CALIBRATION,
    CITYSCAPES_NOTES,
    NOTES,
    PICTURE_SUFFIXES,
    PICTURES,
    Calibration,
    CameraFile,
    LabelNotes,
    Part,
    read_calibration,
    read_document,
)

START_NS = 1_750_000_000 * NANOSECONDS
# The calibration is recorded a little before its picture, so that a player hands it over first; the stamps are equal.
CALIBRATION_LEAD_NS = 5_000_000
FRAME_ID = 'camera_optical_frame'
JPEG = 'bgr8; jpeg compressed bgr8'
_PICTURE_PNG = 'bgr8; png compressed bgr8'
_LABEL_PNG = '16UC1; png compressed'
_PNG_START = b'\x89PNG'


@dataclass(frozen=True)
class LabelledFrame:
    """One moment; what there is no file of is None."""

    stamp_ns: int
    picture: Path
    camera: CameraFile | None = None
    instances: Path | None = None
    depth: Path | None = None


def dataset_to_bag(
    folder: Path,
    out: Path,
    rate_hz: float | None = None,
    part: str | None = None,
    calibration: Path | None = None,
    notes: LabelNotes | None = None,
    most: int | None = None,
) -> int:
    """Write a bag whose messages hold the bytes of the files unchanged; return the number of frames.

    Args:
        folder: of pictures, or one that holds ``leftImg8bit``.
        out: of the bag.
        rate_hz: of the frames; None for their own stamps, or 10 where they have none.
        part: SPLIT/DOMAIN, where a data set has several.
        calibration: JSON, or the ost.yaml of camera_calibration, for all pictures, whatever the data set says; None for
            what it says of each picture, or of all of them in camera_info.json.
        notes: how labels are read; None for ground_truth.json of the folder, else as Cityscapes has them.
        most: frames.

    Raises:
        BagError: there are no pictures, several parts, or a file that is no use; or ``out`` cannot be written.
    """
    frames = (
        _layout_frames(folder, part, rate_hz) if (folder / PICTURES).is_dir() else _plain_frames(folder, rate_hz)
    )[:most]
    given = None if calibration is None else read_calibration(calibration)
    standard = read_document(folder / CALIBRATION, Calibration) if (folder / CALIBRATION).is_file() else None
    if notes is None:
        notes = read_document(folder / NOTES, LabelNotes) if (folder / NOTES).is_file() else CITYSCAPES_NOTES
    with BagWriter(out) as writer:
        writer.add_topic(topics.IMAGE, COMPRESSED_IMAGE_TYPE)
        if any(frame.instances or frame.depth for frame in frames):
            _write_notes(writer, notes, frames[0].stamp_ns)
        for frame in frames:
            told = standard if frame.camera is None else frame.camera.calibration(standard)
            _write_frame(writer, frame, given or told)
    return len(frames)


def _layout_frames(root: Path, part: str | None, rate_hz: float | None) -> list[LabelledFrame]:
    parts = [
        Part(root, domain.parent.name, domain.name)
        for domain in sorted((root / PICTURES).glob('*/*'))
        if domain.is_dir() and part in (None, f'{domain.parent.name}/{domain.name}')
    ]
    if len(parts) != 1:
        there = ', '.join(f'{entry.split}/{entry.domain}' for entry in parts)
        problem = f'has several parts ({there}); choose one' if parts else f'has no {part or "SPLIT/DOMAIN"}; choose'
        raise BagError(f'{root / PICTURES} {problem} with --part SPLIT/DOMAIN')
    pictures = parts[0].pictures()
    cameras = [_existing(parts[0].path('camera', stem)) for stem, _ in pictures]
    files = [None if path is None else read_document(path, CameraFile) for path in cameras]
    stamps = _stamps(files, rate_hz)
    if not pictures:
        raise BagError(f'{root / PICTURES / parts[0].split / parts[0].domain} has no picture')
    return [
        LabelledFrame(
            stamp,
            picture,
            camera,
            _existing(parts[0].path('gtFine', stem)),
            _existing(parts[0].path('depth', stem)),
        )
        for stamp, (stem, picture), camera in zip(stamps, pictures, files, strict=True)
    ]


def _plain_frames(folder: Path, rate_hz: float | None) -> list[LabelledFrame]:
    if not folder.is_dir():
        raise BagError(f'{folder} is not a folder')
    files = [file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES]
    if not files:
        raise BagError(f'{folder} has no picture: neither leftImg8bit/ nor {", ".join(PICTURE_SUFFIXES)} files')
    ordered = sorted(files, key=natural_order)
    return [
        LabelledFrame(stamp, file) for stamp, file in zip(_stamps([None] * len(ordered), rate_hz), ordered, strict=True)
    ]


def _stamps(cameras: list[CameraFile | None], rate_hz: float | None) -> Iterator[int]:
    """The frames' own stamps where all have one and no rate is asked for."""
    own = [None if camera is None else _own_stamp(camera) for camera in cameras]
    step_ns = NANOSECONDS / (rate_hz or 10.0)
    for index, stamp in enumerate(own):
        if rate_hz is None and None not in own:
            assert stamp is not None
            yield stamp
        else:
            yield START_NS + round(index * step_ns)


def _own_stamp(camera: CameraFile) -> int | None:
    if camera.stamp_ns is not None:
        return camera.stamp_ns
    return None if camera.stamp is None else START_NS + round(camera.stamp * NANOSECONDS)


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _write_notes(writer: BagWriter, notes: LabelNotes, at_ns: int) -> None:
    for latched, kind in ((topics.LABEL_INFO, LABEL_INFO_TYPE), (topics.ABOUT, STRING_TYPE)):
        writer.add_topic(latched, kind, latched=True)
    writer.write(topics.LABEL_INFO, at_ns, label_info(at_ns, FRAME_ID, notes.names))
    writer.write(topics.ABOUT, at_ns, text(notes.about.model_dump_json(by_alias=True)))


def _write_frame(writer: BagWriter, frame: LabelledFrame, calibration: Calibration | None) -> None:
    at_ns = frame.stamp_ns
    if calibration is not None:
        info = calibration.message(at_ns, FRAME_ID)
        writer.write(camera_info_beside(topics.IMAGE), at_ns - CALIBRATION_LEAD_NS, info)
    payload = _checked(frame.picture)
    kind = _PICTURE_PNG if payload.startswith(_PNG_START) else JPEG
    writer.write(topics.IMAGE, at_ns, compressed_image(at_ns, FRAME_ID, payload, kind))
    for topic, path in ((topics.INSTANCES, frame.instances), (topics.DEPTH, frame.depth)):
        if path is not None:
            writer.write(topic, at_ns, compressed_image(at_ns, FRAME_ID, _checked(path), _LABEL_PNG))


def _checked(path: Path) -> bytes:
    """The bytes of a JPEG or PNG that decodes."""
    refuse_foreign(path)
    try:
        payload = path.read_bytes()
        decode_compressed(compressed_image(0, '', payload, ''))
    except (OSError, ImageError) as error:
        raise BagError(f'{path} cannot be used: {error}') from error
    return payload


def video_to_bag(video: Path, out: Path, topic: str, rate_hz: float | None = None, quality: int = 90) -> int:
    """Write every frame as a JPEG; return how many there were.

    Args:
        video: what OpenCV reads.
        out: of the bag.
        topic: of the CompressedImages.
        rate_hz: of the frames; None for the video's own.
        quality: of the JPEGs, 1 to 100.

    Raises:
        BagError: the video cannot be read, has no rate of its own, or ``out`` cannot be written.
    """
    if not video.is_file():
        raise BagError(f'{video}: there is no such file')
    capture = cv2.VideoCapture(str(video))
    try:
        own_hz = capture.get(cv2.CAP_PROP_FPS) if capture.isOpened() else 0.0
        readable, bgr = capture.read()
        if not readable:
            raise BagError(f'{video}: no frame of this video can be decoded')
        hz = rate_hz or own_hz
        if not (math.isfinite(hz) and hz > 0):
            raise BagError(f'{video} does not tell its frame rate; give --rate')
        count = 0
        with BagWriter(out) as writer:
            writer.add_topic(topic, COMPRESSED_IMAGE_TYPE)
            while readable:
                at_ns = START_NS + round(count * NANOSECONDS / hz)
                payload = encode_jpeg(np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8, copy=False), quality)
                writer.write(topic, at_ns, compressed_image(at_ns, FRAME_ID, payload, JPEG))
                count += 1
                readable, bgr = capture.read()
    finally:
        capture.release()
    return count
