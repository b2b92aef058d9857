# SPDX-License-Identifier: Apache-2.0
"""One perception node for one camera; it configures and activates itself (parameter autostart).

    ros2 launch cast_ros perception.launch.py namespace:=front image:=/front/image_raw camera_info:=/front/camera_info

An argument that is left empty changes nothing: what a parent launch file or `params_file` sets stays, else the default
of the node holds. Several cameras: include this file once per camera, each with its namespace.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from cast_ros.nodes.parameters import BY_NAME
from cast_ros.nodes.topics import TOPICS
from launch import LaunchDescription

# Arguments that set a parameter; those of topics go without the ending of its name.
ARGUMENTS = {name: BY_NAME[name] for name in ('model', 'image_transport')}
ARGUMENTS |= {topic.name: BY_NAME[topic.parameter] for topic in TOPICS}


def generate_launch_description():
    """What ros2 launch asks for."""
    arguments = [
        DeclareLaunchArgument(
            'params_file', default_value='', description='parameter file; config/perception.yaml is one to start from'
        ),
        DeclareLaunchArgument('namespace', default_value='', description='namespace of the node, one per camera'),
        DeclareLaunchArgument('use_sim_time', default_value='', description='true: take the time from /clock'),
        DeclareLaunchArgument('log_level', default_value='info', description='debug, info, warn, error or fatal'),
    ]
    arguments += [
        DeclareLaunchArgument(
            name, default_value='', description=f'{row.description} If not given elsewhere: {row.default!r}.'
        )
        for name, row in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_perception_node)])


def _perception_node(context):
    def given(name):
        return LaunchConfiguration(name).perform(context)

    params_file = given('params_file')
    if params_file and not Path(params_file).is_file():
        raise RuntimeError(f'params_file is {params_file!r}, and there is no such file; name one, or leave it empty')
    # Topics as well, not as remappings: those would miss one that the parameter file has renamed.
    overrides = {row.name: given(name) for name, row in ARGUMENTS.items() if given(name)}
    if given('use_sim_time'):
        overrides['use_sim_time'] = given('use_sim_time').lower() == 'true'
    return [
        Node(
            package='cast_ros',
            executable='perception',
            name='perception',
            namespace=given('namespace'),
            output='screen',
            # The shipped file restates every default: loaded here, it would undo a parent's SetParameter.
            parameters=[*([params_file] if params_file else []), *([overrides] if overrides else [])],
            arguments=['--ros-args', '--log-level', given('log_level')],
        )
    ]
