# SPDX-License-Identifier: Apache-2.0
"""The parameters of the perception node: one table that the node declares, checks values by and is documented from.

`python -m cast_ros.nodes.parameters` prints docs/parameters.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from cast_ros.nodes.parameter import Changes, Parameter
from cast_ros.package_files import DEFAULT_MODEL


def _topic(name: str, default: str, description: str) -> Parameter:
    return Parameter(name, default, description, Changes.AT_START, is_topic=True)


PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        'model',
        '',
        'Path of the student, an ONNX file with its contract, or the name of one that comes with this package. '
        f'Empty: {DEFAULT_MODEL}.',
        Changes.UNCONFIGURED,
        may_be_empty=True,
    ),
    Parameter(
        'providers',
        ['CPUExecutionProvider'],
        'ONNX Runtime execution providers in order of preference.',
        Changes.UNCONFIGURED,
    ),
    Parameter(
        'require_provider',
        True,
        'Refuse to configure if the first of `providers` is not the one in use. '
        'If false, a fallback is a warning in /diagnostics.',
        Changes.UNCONFIGURED,
    ),
    Parameter(
        'engine_cache_dir',
        '',
        'Folder where TensorRT and OpenVINO keep compiled engines, for this user alone; `cast warm` fills it. Empty: '
        '~/.cache/cast_ros/engines.',
        Changes.UNCONFIGURED,
        may_be_empty=True,
    ),
    Parameter(
        'engine_fp16',
        False,
        'TensorRT may compute in 16 bits where that is faster; answers change a little.',
        Changes.UNCONFIGURED,
    ),
    Parameter(
        'threads',
        0,
        'CPU threads of one inference. 0: one per core.',
        Changes.UNCONFIGURED,
        minimum=0,
        maximum=256,
    ),
    Parameter(
        'score_threshold',
        0.5,
        'Instances with a lower score are left out of every output.',
        Changes.ANY_TIME,
        minimum=0.0,
        maximum=1.0,
    ),
    Parameter(
        'depth_scale',
        1.0,
        'Factor on every depth: the ratio of true distance to published distance, measured once per robot '
        '(`cast calibrate-depth`).',
        Changes.ANY_TIME,
        minimum=0.01,
        maximum=100.0,
    ),
    Parameter(
        'output_size',
        'image',
        "Size of masks, semantic map and depth: 'image' as the picture, 'network' as the student sees it (smaller "
        'messages). The depth camera_info follows.',
        Changes.ANY_TIME,
        choices=('image', 'network'),
    ),
    Parameter(
        'overlay_alpha',
        0.5,
        'Opacity of the masks in the overlay picture.',
        Changes.ANY_TIME,
        minimum=0.0,
        maximum=1.0,
    ),
    Parameter(
        'points_stride',
        4,
        'Pixels of the depth image between two points of the cloud, in rows and in columns.',
        Changes.ANY_TIME,
        minimum=1,
        maximum=64,
    ),
    Parameter(
        'points_left_out',
        [''],
        'Names of classes without points. Without road and sidewalk the cloud is one of obstacles.',
        Changes.UNCONFIGURED,
        may_be_empty=True,
    ),
    Parameter(
        'tracking',
        False,
        'Give an instance the same id from picture to picture (ByteTrack; needs the extra `tracking`).',
        Changes.UNCONFIGURED,
    ),
    Parameter(
        'max_pixels',
        50_000_000,
        'Pictures with more pixels are refused before anything is allocated for them.',
        Changes.ANY_TIME,
        minimum=1,
        maximum=2_000_000_000,
    ),
    Parameter(
        'max_age_s',
        0.0,
        'Pictures whose stamp is older than this when their turn comes are dropped, seconds. 0: none.',
        Changes.ANY_TIME,
        minimum=0.0,
        maximum=3600.0,
    ),
    Parameter(
        'stale_after_s',
        5.0,
        'Seconds without a picture until the node warns which topic it waits for and /diagnostics says STALE.',
        Changes.ANY_TIME,
        minimum=0.1,
        maximum=3600.0,
    ),
    Parameter(
        'shift_warn',
        1.1,
        'Distance of the pictures from those of training at which /diagnostics warns; 1 is the 99th percentile of '
        'training.',
        Changes.UNCONFIGURED,
        minimum=0.1,
        maximum=1000.0,
    ),
    Parameter(
        'shift_error',
        2.0,
        'The same for an error; not below `shift_warn`.',
        Changes.UNCONFIGURED,
        minimum=0.1,
        maximum=1000.0,
    ),
    Parameter(
        'shift_window_s',
        1.0,
        'Time constant over which that distance is averaged, seconds.',
        Changes.UNCONFIGURED,
        minimum=0.05,
        maximum=600.0,
    ),
    Parameter(
        'snapshot_service',
        '',
        "Service of a rosbag2 recorder in snapshot mode, for example '/rosbag2_recorder/snapshot', that is called when "
        'pictures become strange; at most once a minute. Empty: none.',
        Changes.UNCONFIGURED,
        may_be_empty=True,
    ),
    Parameter(
        'image_transport',
        'raw',
        "'raw' subscribes to sensor_msgs/Image on the image topic, 'compressed' to sensor_msgs/CompressedImage on "
        '`<image topic>/compressed`.',
        Changes.UNCONFIGURED,
        choices=('raw', 'compressed'),
    ),
    Parameter(
        'input_reliability',
        'best_effort',
        "Reliability of both input subscriptions. 'best_effort' matches every publisher; 'reliable' matches reliable "
        'ones alone, and loses fewer large pictures where shared memory is small.',
        Changes.UNCONFIGURED,
        choices=('best_effort', 'reliable'),
    ),
    Parameter('autostart', True, 'Configure and activate at start, without a lifecycle manager.', Changes.AT_START),
    _topic('image_topic', 'image', 'Input picture (sensor_msgs/Image).'),
    _topic('camera_info_topic', 'camera_info', 'Input calibration (sensor_msgs/CameraInfo); cached, never waited for.'),
    _topic('detections_topic', '~/detections', 'Boxes, class names and scores (vision_msgs/Detection2DArray).'),
    _topic('instances_topic', '~/instances', 'Instance ids (sensor_msgs/Image, 16UC1).'),
    _topic('semantic_topic', '~/semantic', 'Class ids (sensor_msgs/Image, mono8).'),
    _topic('label_info_topic', '~/label_info', 'Names of the class ids (vision_msgs/LabelInfo).'),
    _topic('depth_topic', '~/depth/image', 'Depth in metres (sensor_msgs/Image, 32FC1).'),
    _topic('depth_raw_topic', '~/depth/image_raw', 'Depth in millimetres (sensor_msgs/Image, 16UC1).'),
    _topic(
        'depth_camera_info_topic',
        '~/depth/camera_info',
        'Calibration of the depth image (sensor_msgs/CameraInfo).',
    ),
    _topic('overlay_topic', '~/overlay', 'Picture for people (sensor_msgs/Image, bgr8).'),
    _topic(
        'detections_3d_topic',
        '~/detections_3d',
        'Place and extent of every instance in metres (vision_msgs/Detection3DArray).',
    ),
    _topic('nearest_topic', '~/nearest', 'The nearest instance of each class (vision_msgs/Detection3DArray).'),
    _topic('points_topic', '~/points', 'Depth as points x y z rgb label instance (sensor_msgs/PointCloud2).'),
    _topic('diagnostics_topic', '/diagnostics', 'State, rates and latencies (diagnostic_msgs/DiagnosticArray).'),
)
"""Every parameter that the node declares."""

BY_NAME: Mapping[str, Parameter] = {row.name: row for row in PARAMETERS}


def reference_page() -> str:
    """docs/parameters.md."""
    lines = [
        '# Parameters of the perception node',
        '',
        'Written by `python -m cast_ros.nodes.parameters` from the table in `cast_ros/nodes/parameters.py`; a test',
        'checks that it is current. `config/perception.yaml` is a file to start from.',
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


if __name__ == '__main__':
    sys.stdout.write(reference_page())
