# SPDX-License-Identifier: Apache-2.0
"""frames.json: what lies in a folder of frames that were imported from a bag, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from cast_ros.files import write_text
from cast_ros.offline.bags.ground_truth_topics import About
from cast_ros.student import ClassInfo
from cast_train.errors import DataError

MANIFEST = 'frames.json'
LabelKind = Literal['instances', 'depth']
LABEL_KINDS: tuple[LabelKind, ...] = ('instances', 'depth')
# Names become file names, and a manifest may come from anywhere.
SafeName = Annotated[str, Field(pattern=r'^[A-Za-z0-9_][A-Za-z0-9_.-]*$', max_length=200)]
Pixels = Annotated[int, Field(gt=0)]


class _Document(BaseModel):
    """Unknown fields are ignored, so that an older trainer reads the folder of a newer one."""

    model_config = ConfigDict(frozen=True, extra='ignore', allow_inf_nan=False, populate_by_name=True)


class Camera(_Document):
    """A calibration in pixels of the kept pictures; the distortion as the bag has it."""

    fx_px: Annotated[float, Field(gt=0)]
    fy_px: Annotated[float, Field(gt=0)]
    cx_px: float
    cy_px: float
    distortion_model: str = ''
    distortion: tuple[float, ...] = ()


class FrameEntry(_Document):
    """One kept picture.

    Attributes:
        name: of its files, without the extension.
        message: number of its message on the topic, from 0.
        stamp_ns: header stamp; time of recording where the driver left the stamp empty.
        scene: its time block.
        height: of the kept picture; width likewise.
        source_height: of the recorded picture; source_width likewise.
        camera: place in ``Manifest.cameras``, None if unknown.
        instances: whether it has a label picture; depth likewise.
    """

    name: SafeName
    message: int
    stamp_ns: int
    scene: SafeName
    split: Literal['train', 'val']
    height: Pixels
    width: Pixels
    source_height: Pixels
    source_width: Pixels
    camera: int | None = None
    instances: bool = False
    depth: bool = False

    def has(self, kind: LabelKind) -> bool:
        """Whether there is a label of this kind."""
        return self.instances if kind == 'instances' else self.depth


class BagIdentity(_Document):
    """Which bag; the fingerprint is SHA-256 over names, sizes, beginnings and ends of its files."""

    name: SafeName
    fingerprint: str
    size_bytes: int


class LabelTable(_Document):
    """How labels are to be read: numbers in the pictures of instances by ``class_ids``, depth as ``about`` says.

    Numbers without a class are unlabelled.
    """

    about: About
    class_ids: dict[int, int]

    def thing_numbers(self, classes: Sequence[ClassInfo]) -> list[int]:
        """Numbers of the things that the bag tells apart."""
        return [
            number
            for number, label in self.class_ids.items()
            if classes[label].is_thing and classes[label].name in self.about.thing_names
        ]


class Manifest(_Document):
    """All of frames.json.

    Attributes:
        domain: as named at the import.
        pictures: extension of the files below image/.
        settings: everything that decided which frames are here and how they look.
        counts: number of messages, of kept frames of each split, and of dropped ones by reason.
        notes: what a user should know about this import, sentence by sentence.
        classes: in the order of their ids; empty if neither the bag nor the user named any.
        labels: None where the bag had no ground truth.
    """

    schema_version: str = Field(default='1.0', alias='schema', pattern=r'^1\.')
    bag: BagIdentity
    topic: str
    domain: str = ''
    pictures: Literal['.png', '.jpg'] = '.png'
    settings: dict[str, JsonValue] = {}
    counts: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    classes: tuple[ClassInfo, ...] = ()
    labels: LabelTable | None = None
    cameras: tuple[Camera, ...] = ()
    frames: tuple[FrameEntry, ...]

    def picture_path(self, folder: Path, frame: FrameEntry) -> Path:
        """Where a picture lies below the folder of the manifest."""
        return folder / 'image' / f'{frame.name}{self.pictures}'


def label_path(folder: Path, kind: LabelKind, frame: FrameEntry) -> Path:
    """Where a label lies."""
    return folder / kind / f'{frame.name}.png'


def read_manifest(path: Path) -> Manifest:
    """Read and check frames.json.

    Raises:
        DataError: missing, not JSON, or not of this form.
    """
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f'{path}: cannot be read ({error}); import the bag again') from error
    except ValidationError as error:
        raise DataError(f'{path}: {first_problem(error)}; import the bag into a new folder') from error
    known = range(len(manifest.classes))
    if [entry.id for entry in manifest.classes] != [*known]:
        raise DataError(f'{path}: class ids must run from 0 without gaps; import the bag again')
    if manifest.labels is not None and not {*manifest.labels.class_ids.values()} <= {*known}:
        raise DataError(f'{path}: labels.class_ids names a class that is not there; import the bag again')
    last = len(manifest.cameras)
    for frame in manifest.frames:
        if frame.camera is not None and not 0 <= frame.camera < last:
            raise DataError(f'{path}: frame {frame.name} has camera {frame.camera} of {last}; import the bag again')
        if (frame.instances or frame.depth) and manifest.labels is None:
            raise DataError(f'{path}: frame {frame.name} has labels, but nothing says how to read them')
    return manifest


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write it so that it is there whole or not at all.

    Raises:
        OSError: the disk is full or not writable.
    """
    write_text(path, manifest.model_dump_json(by_alias=True, indent=1))


def first_problem(error: ValidationError) -> str:
    """What pydantic found first, in a line."""
    problem = error.errors(include_url=False)[0]
    where = '.'.join(str(part) for part in problem['loc'])
    return f'{where}: {problem["msg"]}' if where else str(problem['msg'])
