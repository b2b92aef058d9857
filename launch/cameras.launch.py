# SPDX-License-Identifier: Apache-2.0
"""One perception node for each of several cameras, in a namespace of its own.

    ros2 launch cast_ros cameras.launch.py cameras:=front,left,rear
    ros2 launch cast_ros cameras.launch.py cameras:=front,rear model:='{front: road-medium, rear: streets-small}'

A camera `front` is expected to publish /front/image_raw and /front/camera_info; the answers are in /front/perception/.
Every argument of perception.launch.py holds for all cameras, or for those that a list in braces names. Every node loads
its own student: count the memory. The cores are shared among the nodes unless `threads` is given.
"""

import os

from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from cast_ros.nodes import launching
from launch import LaunchDescription

WITHIN = {'image_topic': 'image_raw', 'camera_info_topic': 'camera_info'}


def generate_launch_description():
    """What ros2 launch asks for."""
    arguments = {name: text for name, (text, _) in launching.arguments().items() if name != 'perception_namespace'}
    return LaunchDescription(
        [
            DeclareLaunchArgument('cameras', description='namespaces, separated by commas: front,rear'),
            *(
                DeclareLaunchArgument(name, default_value=WITHIN.get(name, ''), description=text)
                for name, text in arguments.items()
            ),
            OpaqueFunction(function=_nodes),
        ]
    )


def _nodes(context):
    given = dict(context.launch_configurations)
    cameras = [name.strip() for name in given['cameras'].split(',')]
    twice = {name for name in cameras if cameras.count(name) > 1}
    if '' in cameras or twice:
        raise RuntimeError(f'cameras must name different namespaces, separated by commas, not {",".join(cameras)!r}')
    one = PathJoinSubstitution([FindPackageShare('cast_ros'), 'launch', 'perception.launch.py'])
    threads = launching.shared_threads(given, len(cameras), os.cpu_count() or 1)
    found = []
    for camera in cameras:
        own = {name: launching.of_camera(given.get(name, ''), camera) for name in launching.arguments()}
        handed_on = {**own, **threads, 'perception_namespace': camera}
        include = IncludeLaunchDescription(PythonLaunchDescriptionSource(one), launch_arguments=handed_on.items())
        found.append(GroupAction([include], scoped=True))
    return found
