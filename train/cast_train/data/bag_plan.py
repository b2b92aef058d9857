# SPDX-License-Identifier: Apache-2.0
"""Decides which frames an import has, their splits, scenes, sizes and cameras, before the first is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, ValidationError

from cast_ros.errors import BagError
from cast_ros.images.camera_info import Rectified
from cast_ros.offline.bags import BagReader
from cast_ros.offline.bags.ground_truth_topics import LABEL_INFO, About, read_label_notes
from cast_ros.offline.bags.message_types import COMPRESSED_IMAGE_TYPE, camera_info_beside
from cast_ros.offline.bags.pictures import find_camera_info_topic
from cast_ros.student import ClassInfo
from cast_train.data.bag_survey import LABEL_TOPICS, Picture, Survey, survey
from cast_train.data.class_maps import targets_into
from cast_train.data.colors import color_of
from cast_train.data.frame_selection import SelectionRules, select
from cast_train.data.frames_manifest import (
    BagIdentity,
    Camera,
    FrameEntry,
    LabelKind,
    LabelTable,
    Manifest,
    first_problem,
)
from cast_train.data.registry import DATASETS
from cast_train.data.time_blocks import BlockRules, divide
from cast_train.errors import DataError
from cast_train.settings import Positive, Settings


class ImportSettings(Settings):
    """All that decides which frames an import has and how they look.

    Attributes:
        topic: Image or CompressedImage.
        camera_info: topic; None for the one beside the pictures, if it is there.
        rectified: as the node's parameter.
        domain: for recipes, for example ``night``.
        labels: whether ground truth of the bag is taken along.
        classes: those that the frames are to have, or the data set whose they are; None for those of the bag's ground
            truth.
        max_width: wider pictures are shrunk to it, in proportion.
        height: of all kept pictures, with ``width`` and instead of ``max_width``.
        jpeg_quality: JPEG instead of PNG.
    """

    topic: str
    camera_info: str | None = None
    rectified: Rectified = 'auto'
    domain: str = ''
    labels: bool = True
    classes: str | tuple[ClassInfo, ...] | None = None
    selection: SelectionRules = SelectionRules()
    blocks: BlockRules = BlockRules()
    max_width: Positive | None = None
    height: Positive | None = None
    width: Positive | None = None
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] | None = None

    def kept_px(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that a picture is kept in."""
        if self.width is not None and self.height is not None:
            return self.width, self.height
        if self.max_width is None or width <= self.max_width:
            return width, height
        return self.max_width, max(1, round(height * self.max_width / width))


class Chosen(NamedTuple):
    """A kept picture, the number of its time block, and its split."""

    picture: Picture
    block: int
    split: Literal['train', 'val']


def plan_import(reader: BagReader, bag: BagIdentity, settings: ImportSettings, advance: Callable[[], None]) -> Manifest:
    """Survey an open bag and choose; the plan has every label whose stamp fits, readable or not.

    Raises:
        DataError: no picture is left, or the settings do not fit the bag.
        BagError: the bag is damaged.
    """
    camera_topic = find_camera_info_topic(reader, settings.topic, settings.camera_info)
    label_topics, notes = _label_topics(reader) if settings.labels else ({}, [])
    classes, labels = _fixed_classes(settings.classes), None
    if label_topics:
        classes, labels, strangers = _label_table(reader, classes)
        notes += strangers
    found = survey(reader, settings.topic, camera_topic, label_topics, settings.rectified, advance)
    chosen, dropped = _choose(found, settings)
    notes += map(str, reader.damages)
    if found.first_problem:
        notes.append(f'first unreadable picture: {found.first_problem}')
    if not chosen:
        reasons = ', '.join([*(f'{count} {reason}' for reason, count in dropped.items() if count), *notes])
        raise DataError(f'{reader.path}: no picture of {settings.topic} is left: {reasons}; loosen what dropped them')
    frames, cameras = _frames(found, chosen, bag.name, settings)
    splits = Counter(frame.split for frame in frames)
    if 0 < settings.blocks.val < 1 and not splits['val']:
        notes.append('nothing validates: the recording is too short or stands still; import another one with --val 1')
    notes += _camera_notes(found, camera_topic or camera_info_beside(settings.topic), frames)
    notes += [
        f'{topic}: no message has the stamp of a kept picture'
        for kind, topic in label_topics.items()
        if not any(frame.has(kind) for frame in frames)
    ]
    return Manifest(
        bag=bag,
        topic=settings.topic,
        domain=settings.domain,
        pictures='.png' if settings.jpeg_quality is None else '.jpg',
        settings=settings.model_dump(mode='json'),
        counts={'messages': found.messages, 'train': splits['train'], 'val': splits['val'], **dropped},
        notes=tuple(notes),
        classes=classes,
        labels=labels,
        cameras=cameras,
        frames=frames,
    )


def _choose(found: Survey, settings: ImportSettings) -> tuple[list[Chosen], dict[str, int]]:
    """Kept pictures, and the number of dropped ones by reason."""
    selection = select([picture.measurement for picture in found.pictures], settings.selection)
    blocks = divide(selection.clock_ns, settings.blocks)
    chosen = [
        Chosen(found.pictures[index], block, 'val' if block in blocks.val else 'train')
        for index, block in zip(selection.kept, blocks.of_frame, strict=True)
        if block is not None
    ]
    unreadable = found.messages - len(found.pictures)
    return chosen, {'unreadable': unreadable, **selection.dropped, 'guard_gap': len(selection.kept) - len(chosen)}


def _frames(
    found: Survey, chosen: Sequence[Chosen], bag: str, settings: ImportSettings
) -> tuple[tuple[FrameEntry, ...], tuple[Camera, ...]]:
    """An entry for each chosen picture, and the cameras that they name."""
    places: dict[Camera, int] = {}
    frames = []
    for picture, block, split in chosen:
        stamp = picture.measurement.stamp_ns
        width, height = settings.kept_px(picture.width, picture.height)
        calibration = found.calibrations.nearest(stamp, picture.frame, (picture.width, picture.height))
        camera = None if calibration is None else calibration.camera((width, height))
        frames.append(
            FrameEntry(
                name=f'{bag}_{stamp}',
                message=picture.message,
                stamp_ns=stamp,
                scene=f'{bag}_{block:04d}',
                split=split,
                height=height,
                width=width,
                source_height=picture.height,
                source_width=picture.width,
                camera=None if camera is None else places.setdefault(camera, len(places)),
                **{kind: stamp in stamps for kind, stamps in found.label_stamps.items()},
            )
        )
    return tuple(frames), tuple(places)


def _label_topics(reader: BagReader) -> tuple[dict[LabelKind, str], list[str]]:
    """Topics of ground truth that can be used, and a note on each that cannot."""
    present = reader.topics()
    there = {kind: present[topic] for kind, topic in LABEL_TOPICS.items() if topic in present}
    usable = {kind: entry.name for kind, entry in there.items() if entry.msgtype == COMPRESSED_IMAGE_TYPE}
    notes = [
        f'{entry.name} is left out: {entry.msgtype} where {COMPRESSED_IMAGE_TYPE} is expected'
        for kind, entry in there.items()
        if kind not in usable
    ]
    return usable, notes


def _label_table(
    reader: BagReader, asked: tuple[ClassInfo, ...]
) -> tuple[tuple[ClassInfo, ...], LabelTable, list[str]]:
    """The classes, those of the bag if none were asked for; which number in its labels is which; notes.

    Labels go by name, and where a class map leads into these classes, by its names as well.

    Raises:
        DataError: the bag does not say what its labels mean, or means nothing that was asked for.
    """
    try:
        about, names = read_label_notes(reader)
        classes = asked or _classes_of(names, about)
    except (BagError, DataError) as error:
        raise DataError(f'{error}; --no-labels imports the pictures alone') from error
    ids = {entry.name: entry.id for entry in classes}
    into = targets_into(classes)
    meant = {number: into.get(name, name) for number, name in sorted(names.items())}
    class_ids = {number: ids[name] for number, name in meant.items() if name in ids}
    strangers = [name for number, name in sorted(names.items()) if number not in class_ids]
    if not class_ids:
        raise DataError(
            f'none of the labels ({", ".join(strangers)}) is a class that was asked for ({", ".join(ids)}); choose '
            'other --classes, or --no-labels'
        )
    notes = [f'labels that are no class here, and stay unlabelled: {", ".join(strangers)}'] if strangers else []
    return classes, LabelTable(about=about, class_ids=class_ids), notes


def _classes_of(names: Mapping[int, str], about: About) -> tuple[ClassInfo, ...]:
    """A bag's classes in the order of its numbers."""
    if len(set(names.values())) != len(names):
        raise DataError(f'{LABEL_INFO} names a class twice: {", ".join(sorted(names.values()))}')
    try:
        return tuple(
            ClassInfo(id=place, name=name, is_thing=name in about.thing_names, color=color_of(place))
            for place, (_, name) in enumerate(sorted(names.items()))
        )
    except ValidationError as error:
        raise DataError(f'{LABEL_INFO} cannot be used: {first_problem(error)}') from error


def _fixed_classes(name: str | tuple[ClassInfo, ...] | None) -> tuple[ClassInfo, ...]:
    """Classes of a kind of data set, which are the same for each of its trees; none for None."""
    if name is None:
        return ()
    if isinstance(name, tuple):
        return name
    entry = DATASETS.get(name)
    if entry is None or entry.classes is None:
        fixed = sorted(known for known, each in DATASETS.items() if each.classes is not None)
        raise DataError(
            f'--classes {name}: must be one of {", ".join(fixed)}, whose classes are fixed, or the file of a student'
        )
    return entry.classes


def _camera_notes(found: Survey, topic: str, frames: Sequence[FrameEntry]) -> list[str]:
    notes = [found.calibrations.doubt] if found.calibrations.doubt else []
    unknown = sum(frame.camera is None for frame in frames)
    if not unknown:
        return notes
    if not len(found.calibrations):
        return [f'fx is unknown: nothing on {topic}; depth cannot be learned in metres without (--camera-info TOPIC)']
    reason = f'what {topic} says is empty, or of another frame or size'
    return [*notes, f'fx of {unknown} frames is unknown: {reason}']
