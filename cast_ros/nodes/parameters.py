# SPDX-License-Identifier: Apache-2.0
"""The parameters of the perception node: what each may be, and their values as one whole.

A field of `Settings` is a parameter: what the node declares, the checks, docs/parameters.md and config/perception.yaml
come from it. As a program (`make docs`) it writes those two files. ROS is imported only where a value needs it: launch
files read the table under a Python that may not have it.
"""

from __future__ import annotations

import copy
import enum
import json
import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cast_ros.errors import ParameterError
from cast_ros.files import write_text
from cast_ros.nodes.topics import TOPICS
from cast_ros.package_files import DEFAULT_MODEL

if TYPE_CHECKING:
    from cast_ros.student import LoadOptions


class Changes(enum.Enum):
    """When a parameter may be set."""

    ANY_TIME = 'at any time; the next frame uses it'
    UNCONFIGURED = 'while the node is unconfigured; the next configure uses it'
    AT_START = 'at start only (read-only)'


ANY_TIME, UNCONFIGURED, AT_START = Changes
_TYPE_NAMES = {bool: 'bool', int: 'integer', float: 'double', str: 'string', list: 'string_array'}


@dataclass(frozen=True)
class Parameter:
    """What one parameter may be.

    `default` fixes the type, and whether it may be empty; `within` is inclusive, `choices` close a string.
    """

    name: str
    default: Any
    changes: Changes
    description: str
    within: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    is_topic: bool = False

    @property
    def type_name(self) -> str:
        """The type in ROS's words."""
        return _TYPE_NAMES[type(self.default)]

    @property
    def takes_other_types(self) -> bool:
        """Whether YAML makes a bool or a number of some of its words, unless somebody thinks of quotes."""
        return any(choice in ('true', 'false') or choice.isdecimal() for choice in self.choices)

    def understood(self, value: Any) -> Any:
        """The value as the node uses it."""
        return str(value).lower() if self.takes_other_types and isinstance(value, (bool, int)) else value

    @property
    def allowed(self) -> str:
        """The range in words."""
        if self.choices:
            return ' or '.join(f"'{choice}'" for choice in self.choices)
        if self.within is not None:
            return f'{self.within[0]} to {self.within[1]}'
        if self.is_topic:
            return 'a topic name'
        return 'not empty' if isinstance(self.default, (str, list)) and not _is_empty(self.default) else 'any'

    def problem(self, value: Any) -> str | None:
        """Why this value cannot be used, or None."""
        value = self.understood(value)
        if type(value) is not type(self.default):
            return f"parameter '{self.name}' must be of type {self.type_name}, not {value!r}"
        outside = self.within is not None and not self.within[0] <= value <= self.within[1]
        if outside or (isinstance(value, float) and math.isnan(value)):
            return f"parameter '{self.name}' must be {self.allowed}, not {value}"
        if self.choices and value not in self.choices:
            return f"parameter '{self.name}' must be {self.allowed}, not '{value}'"
        if _is_empty(value) and not _is_empty(self.default):
            return f"parameter '{self.name}' must not be empty"
        return self._topic_problem(value) if self.is_topic else None

    def _topic_problem(self, value: str) -> str | None:
        from rclpy.exceptions import InvalidTopicNameException
        from rclpy.validate_topic_name import validate_topic_name

        try:
            validate_topic_name(value)
        except InvalidTopicNameException as error:
            return f"parameter '{self.name}' must be a topic name: {' '.join(str(error).split())}"
        return None


def _is_empty(value: Any) -> bool:
    return value in ('', []) or (isinstance(value, list) and '' in value)


def parameter(default: Any, changes: Changes, description: str, **limits: Any) -> Any:
    """A field that is a parameter; `limits` are the other fields of `Parameter`."""
    about = {'default': default, 'changes': changes, 'description': description, **limits}
    return field(default_factory=lambda: copy.copy(default), metadata=about)


@dataclass(frozen=True)
class Settings:
    """The values of all parameters; a frame is processed with the same Settings from end to end.

    Attributes:
        topics: name of a topic to the value of its parameter `<name>_topic`.
    """

    model: str = parameter(
        '',
        UNCONFIGURED,
        'Path of the student, an ONNX file with its contract, or the name of one that comes with this package: '
        'streets-small (rendered streets) or road-medium (real streets by day; for research). '
        f'Empty: {DEFAULT_MODEL}.',
    )
    providers: list[str] = parameter(
        ['CPUExecutionProvider'],
        UNCONFIGURED,
        'ONNX Runtime execution providers, the preferred one first: ["CUDAExecutionProvider", "CPUExecutionProvider"].',
    )
    require_provider: bool = parameter(
        True,
        UNCONFIGURED,
        'Refuse to configure if the first of `providers` is not the one in use. '
        'If false, a fallback is a warning in /diagnostics.',
    )
    engine_cache_dir: str = parameter(
        '',
        UNCONFIGURED,
        'Folder where TensorRT and OpenVINO keep compiled engines, for this user alone; `cast warm` fills it. Empty: '
        '~/.cache/cast_ros/engines.',
    )
    engine_fp16: bool = parameter(
        False, UNCONFIGURED, 'TensorRT may compute in 16 bits where that is faster; answers change a little.'
    )
    threads: int = parameter(0, UNCONFIGURED, 'CPU threads of one inference. 0: one per core.', within=(0, 256))
    score_threshold: float = parameter(
        0.5, ANY_TIME, 'Instances with a lower score are left out of every output.', within=(0.0, 1.0)
    )
    depth_scale: float = parameter(
        1.0,
        ANY_TIME,
        'Factor on every depth: the ratio of true distance to published distance, measured once per robot '
        '(`cast calibrate-depth`).',
        within=(0.01, 100.0),
    )
    output_size: str = parameter(
        'image',
        ANY_TIME,
        "Size of masks, semantic map and depth: 'image' as the picture, 'network' as the student sees it (smaller "
        'messages). The depth camera_info follows.',
        choices=('image', 'network'),
    )
    rectified: str = parameter(
        'auto',
        ANY_TIME,
        'Whether the pictures are rectified, so that P of camera_info holds and not K. auto: by the name image_rect* '
        'of the topic, and where camera_info has no distortion and its matrices differ; /diagnostics says which.',
        choices=('auto', 'true', 'false'),
    )
    overlay_alpha: float = parameter(0.5, ANY_TIME, 'Opacity of the masks in the overlay picture.', within=(0.0, 1.0))
    points_stride: int = parameter(
        4,
        ANY_TIME,
        'Pixels of the depth image between two points of the cloud, in rows and in columns.',
        within=(1, 64),
    )
    points_left_out: list[str] = parameter(
        [''], UNCONFIGURED, 'Names of classes without points. With ["road", "sidewalk"] the cloud is one of obstacles.'
    )
    classes: list[str] = parameter(
        [''],
        UNCONFIGURED,
        'Names of the classes whose instances are shown, in every output; the semantic map keeps all. Empty: all.',
    )
    target_frame: str = parameter(
        '',
        UNCONFIGURED,
        'Frame of the robot, such as base_link, in which detections_3d, nearest, points, points_clearing and markers '
        'are published; needs tf2_ros. Empty: the optical frame of the image.',
    )
    target_frame_timeout_s: float = parameter(
        0.05,
        ANY_TIME,
        'Seconds that an image waits for its transform. Without one nothing is said of space, and /diagnostics says '
        'why.',
        within=(0.0, 1.0),
    )
    tracking: bool = parameter(
        False,
        UNCONFIGURED,
        'Give an instance the same id from picture to picture (ByteTrack; needs the extra `tracking`).',
    )
    max_pixels: int = parameter(
        50_000_000,
        ANY_TIME,
        'Pictures with more pixels are refused before anything is allocated for them.',
        within=(1, 2_000_000_000),
    )
    sixteen_bit_range: str = parameter(
        'auto',
        ANY_TIME,
        'Bits that are used in pictures of 16 bits (mono16, bayer_*16, PNG): a number from 9 to 16, full, or auto, '
        'which goes by the brightest value so far.',
        choices=('auto', 'full', *(str(bits) for bits in range(9, 17))),
    )
    max_age_s: float = parameter(
        0.0,
        ANY_TIME,
        'Pictures whose stamp is older than this when their turn comes are dropped, seconds. 0: none.',
        within=(0.0, 3600.0),
    )
    stale_after_s: float = parameter(
        5.0,
        ANY_TIME,
        'Seconds without a picture until the node warns which topic it waits for and /diagnostics says STALE.',
        within=(0.1, 3600.0),
    )
    shift_warn: float = parameter(
        1.1,
        UNCONFIGURED,
        'Distance of the pictures from those of training at which /diagnostics warns; 1 is the 99th percentile of '
        'training.',
        within=(0.1, 1000.0),
    )
    shift_error: float = parameter(
        2.0, UNCONFIGURED, 'The same for an error; not below `shift_warn`.', within=(0.1, 1000.0)
    )
    shift_window_s: float = parameter(
        1.0, UNCONFIGURED, 'Time constant over which that distance is averaged, seconds.', within=(0.05, 600.0)
    )
    snapshot_service: str = parameter(
        '',
        UNCONFIGURED,
        "Service of a rosbag2 recorder in snapshot mode, for example '/rosbag2_recorder/snapshot', that is called when "
        'pictures become strange; at most once a minute. Empty: none.',
    )
    image_transport: str = parameter(
        'raw',
        UNCONFIGURED,
        "'raw' subscribes to sensor_msgs/Image on the image topic, 'compressed' to sensor_msgs/CompressedImage on "
        '`<image topic>/compressed`.',
        choices=('raw', 'compressed'),
    )
    input_reliability: str = parameter(
        'best_effort',
        UNCONFIGURED,
        "Reliability of both input subscriptions. 'best_effort' matches every publisher; 'reliable' matches reliable "
        'ones alone, and loses fewer large pictures where shared memory is small.',
        choices=('best_effort', 'reliable'),
    )
    autostart: bool = parameter(True, AT_START, 'Configure and activate at start, without a lifecycle manager.')
    topics: Mapping[str, str] = field(default_factory=lambda: {topic.name: topic.default for topic in TOPICS})

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Settings:
        """Of every parameter's value; raises ParameterError for the first one that is not allowed."""
        refuse(values.items())
        own = {row.name: row.understood(values[row.name]) for row in PARAMETERS if not row.is_topic}
        return cls(**own, topics={topic.name: values[topic.parameter] for topic in TOPICS})

    @property
    def load_options(self) -> LoadOptions:
        """How the student is loaded; raises ParameterError for a home that does not exist."""
        from cast_ros.student import LoadOptions

        try:
            cache = Path(self.engine_cache_dir).expanduser() if self.engine_cache_dir else None
        except RuntimeError as error:
            raise ParameterError(
                f"parameter 'engine_cache_dir' is below a home that does not exist: {self.engine_cache_dir}; name "
                'another folder'
            ) from error
        return LoadOptions(tuple(self.providers), self.require_provider, self.threads, cache, self.engine_fp16)


PARAMETERS: tuple[Parameter, ...] = (
    *(Parameter(one.name, **one.metadata) for one in fields(Settings) if one.metadata),
    *(Parameter(topic.parameter, topic.default, AT_START, topic.description, is_topic=True) for topic in TOPICS),
)
"""Every parameter that the node declares."""

BY_NAME: Mapping[str, Parameter] = {row.name: row for row in PARAMETERS}


def refuse(values: Iterable[tuple[str, Any]]) -> None:
    """Raises ParameterError for the first (name, value) that is not allowed; names that are no parameter pass."""
    for name, value in values:
        row = BY_NAME.get(name)
        problem = row.problem(value) if row else None
        if problem:
            raise ParameterError(problem)


def reference_page() -> str:
    """docs/parameters.md."""
    lines = [
        '# Parameters of the perception node',
        '',
        'Written by `make docs` from `cast_ros/nodes/parameters.py`; a test checks that it is current.',
        '`config/perception.yaml` is a file to start from.',
        '',
        '| parameter | type | default | allowed | can be set | meaning |',
        '| --- | --- | --- | --- | --- | --- |',
    ]
    for row in PARAMETERS:
        default = str(row.default).lower() if isinstance(row.default, bool) else repr(row.default)
        lines.append(
            f'| `{row.name}` | {row.type_name} | `{default}` | {row.allowed} | {row.changes.value} | '
            f'{row.description.replace("|", chr(92) + "|")} |'
        )
    lines += [
        '',
        'A value that is refused is refused with its reason, at start and at run time. Topic names go through the',
        'usual rules: relative names get the namespace, `~` becomes the node name, and remapping works on top. Quality',
        'of service of every output can be overridden at start by',
        '`qos_overrides.<topic>.publisher.<history|depth|reliability>`, of the inputs by',
        '`qos_overrides.<topic>.subscription.<history|depth>`.',
        '',
    ]
    return '\n'.join(lines)


def parameter_file() -> str:
    """config/perception.yaml."""
    lines = [
        '# Parameters of the perception node; docs/parameters.md has types, ranges and when they may be set.',
        '# The key /** fits a node of any name in any namespace. The values below are the defaults.',
        '# Written by `make docs`, from cast_ros/nodes/parameters.py; copy it, and leave out what you do not change.',
        '',
        '/**:',
        '  ros__parameters:',
    ]
    for row in PARAMETERS:
        if not row.is_topic:
            lines += textwrap.wrap(
                row.description, 116, initial_indent='    # ', subsequent_indent='    # ', break_on_hyphens=False
            )
            lines.append(f'    {row.name}: {json.dumps(row.default)}')
    lines += ['', "    # Topics. Relative names get the namespace, ~ becomes the node's name; remapping works on top."]
    lines += [f'    {row.name}: {json.dumps(row.default)}' for row in PARAMETERS if row.is_topic]
    return '\n'.join([*lines, ''])


def main() -> None:
    """Writes both files into the source tree that this module lies in."""
    root = Path(__file__).parents[2]
    for name, text in (('docs/parameters.md', reference_page()), ('config/perception.yaml', parameter_file())):
        write_text(root / name, text)


if __name__ == '__main__':
    main()
