# SPDX-License-Identifier: Apache-2.0
"""The topics of a bag with ground truth, and the note in it that says how its numbers are to be read.

    /camera/image_raw/compressed   CompressedImage, JPEG
    /camera/camera_info            CameraInfo
    /ground_truth/instances        CompressedImage, 16-bit PNG: class id, or class id * 1000 + k for thing k of a class
    /ground_truth/depth            CompressedImage, 16-bit PNG: depth along the optical axis in steps of `depth_unit_m`
    /ground_truth/label_info       LabelInfo, latched: names of the class ids
    /ground_truth/about            String, latched: the note below as JSON

One frame's four messages share one stamp.
"""

from __future__ import annotations

from types import SimpleNamespace

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cast_ros.errors import BagError
from cast_ros.offline.bags.reader import BagReader

IMAGE = '/camera/image_raw/compressed'
CAMERA_INFO = '/camera/camera_info'
INSTANCES = '/ground_truth/instances'
DEPTH = '/ground_truth/depth'
LABEL_INFO = '/ground_truth/label_info'
ABOUT = '/ground_truth/about'
LABEL_TOPICS = (INSTANCES, DEPTH)

INSTANCES_PER_CLASS = 1000


class About(BaseModel):
    """How the numbers of a bag's ground truth are to be read."""

    model_config = ConfigDict(frozen=True, extra='ignore')

    schema_version: str = Field(default='1.0', alias='schema', pattern=r'^1\.')
    depth_unit_m: float = Field(gt=0, description='metres of one step of the depth picture')
    depth_sky: int | None = Field(default=None, description='value that means: nothing in range')
    depth_invalid: int | None = Field(default=None, description='value that means: not measured')
    thing_names: tuple[str, ...] = Field(description='classes whose instances are told apart')
    source: str = ''


def read_label_notes(reader: BagReader) -> tuple[About, dict[int, str]]:
    """How a bag's ground truth is to be read, and the names of its class ids.

    Raises:
        BagError: the bag says neither, or nonsense.
    """
    found = SimpleNamespace(about=None, label_info=None)
    present = reader.topics()
    # Depth needs no names of classes.
    needed = [ABOUT, *([LABEL_INFO] if INSTANCES in present else [])]
    for entry in reader.messages([name for name in needed if name in present]):
        if entry.topic == ABOUT:
            found.about = entry.message.data
        else:
            found.label_info = entry.message
        if found.about is not None and (found.label_info is not None or len(needed) == 1):
            break
    if found.about is None or (found.label_info is None and len(needed) > 1):
        raise BagError(f'{reader.path} has ground truth but no message on {" or ".join(needed)}')
    try:
        about = About.model_validate_json(found.about)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = '.'.join(str(part) for part in problem['loc'])
        raise BagError(f'{reader.path}: {ABOUT} cannot be used: {where}: {problem["msg"]}') from error
    names = [] if found.label_info is None else found.label_info.class_map
    return about, {int(entry.class_id): str(entry.class_name) for entry in names}
