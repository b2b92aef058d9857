# SPDX-License-Identifier: Apache-2.0
"""One perception node for one camera; it configures and activates itself (parameter autostart).

    ros2 launch cast_ros perception.launch.py image_topic:=/front/image_raw camera_info_topic:=/front/camera_info

Every parameter of the node is an argument. One that is left empty changes nothing: what a parent launch file or
`perception_params_file` sets stays, else the default of the node holds. Launch hands arguments on to whatever is
included later: include this file in a GroupAction with scoped=True and forwarding=False, or use cameras.launch.py.
"""

from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from cast_ros.nodes import launching
from launch import LaunchDescription


def generate_launch_description():
    """What ros2 launch asks for."""
    arguments = [
        DeclareLaunchArgument(
            name, default_value='', description=text, **({'choices': list(choices)} if choices else {})
        )
        for name, (text, choices) in launching.arguments().items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_perception_node)])


def _perception_node(context):
    known = dict(context.launch_configurations)
    renamed, notices = launching.notices(getattr(context, 'argv', None) or [], known)
    given = {**{name: known.get(name, '') for name in launching.arguments()}, **renamed}
    values = launching.parameters(given)
    # Text stays text: launch would make a number of a model called 12.
    exact = {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in values.items()
    }
    enclave = ['--enclave', given['enclave']] if given['enclave'] else []
    return [
        *(LogInfo(msg=f'[perception] {notice}') for notice in notices),
        Node(
            package='cast_ros',
            executable='perception',
            name=given['name'] or 'perception',
            namespace=given['perception_namespace'],
            output='screen',
            # The shipped file restates every default: loaded here, it would undo a parent's SetParameter.
            parameters=[*launching.parameter_file(given['perception_params_file']), *([exact] if exact else [])],
            arguments=['--ros-args', '--log-level', given['log_level'] or 'info', *enclave],
            respawn=bool(given['respawn']) and launching.truth('respawn', given['respawn']),
        ),
    ]
