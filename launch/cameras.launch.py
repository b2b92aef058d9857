# SPDX-License-Identifier: Apache-2.0
"""One perception node for each of several cameras, in a namespace of its own.

    ros2 launch cast_ros cameras.launch.py cameras:=front,left,rear

A camera `front` is expected to publish /front/image_raw and /front/camera_info; the answers are in /front/perception/.
Every node loads its own student: count the memory, or give some of them a smaller one by a parameter file.
"""

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from cast_ros.nodes.parameters import BY_NAME
from launch import LaunchDescription

# Handed on to each camera's launch file as they are; empty ones change nothing there.
SHARED = {
    'model': BY_NAME['model'].description,
    'image_transport': BY_NAME['image_transport'].description,
    'use_sim_time': 'true: take the time from /clock',
}


def generate_launch_description():
    """What ros2 launch asks for."""
    return LaunchDescription(
        [
            DeclareLaunchArgument('cameras', description='namespaces, separated by commas: front,rear'),
            DeclareLaunchArgument('image', default_value='image_raw', description='picture within each namespace'),
            DeclareLaunchArgument(
                'camera_info', default_value='camera_info', description='calibration within each namespace'
            ),
            *(DeclareLaunchArgument(name, default_value='', description=text) for name, text in SHARED.items()),
            OpaqueFunction(function=_nodes),
        ]
    )


def _nodes(context):
    cameras = [name.strip() for name in LaunchConfiguration('cameras').perform(context).split(',')]
    twice = {name for name in cameras if cameras.count(name) > 1}
    if '' in cameras or twice:
        raise RuntimeError(f'cameras must name different namespaces, separated by commas, not {",".join(cameras)!r}')
    one = PathJoinSubstitution([FindPackageShare('cast_ros'), 'launch', 'perception.launch.py'])
    handed_on = {name: LaunchConfiguration(name).perform(context) for name in ('image', 'camera_info', *SHARED)}
    return [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(one), launch_arguments={**handed_on, 'namespace': name}.items()
        )
        for name in cameras
    ]
