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

from pydantic import BaseModel, ConfigDict, Field

IMAGE = '/camera/image_raw/compressed'
CAMERA_INFO = '/camera/camera_info'
INSTANCES = '/ground_truth/instances'
DEPTH = '/ground_truth/depth'
LABEL_INFO = '/ground_truth/label_info'
ABOUT = '/ground_truth/about'

INSTANCES_PER_CLASS = 1000

COMPRESSED_IMAGE_TYPE = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO_TYPE = 'sensor_msgs/msg/CameraInfo'
LABEL_INFO_TYPE = 'vision_msgs/msg/LabelInfo'
STRING_TYPE = 'std_msgs/msg/String'


class About(BaseModel):
    """How the numbers of a bag's ground truth are to be read."""

    model_config = ConfigDict(frozen=True, extra='ignore')

    schema_version: str = Field(default='1.0', alias='schema', pattern=r'^1\.')
    depth_unit_m: float = Field(gt=0, description='metres of one step of the depth picture')
    depth_sky: int | None = Field(default=None, description='value that means: nothing in range')
    depth_invalid: int | None = Field(default=None, description='value that means: not measured')
    thing_names: tuple[str, ...] = Field(description='classes whose instances are told apart')
    source: str = ''
