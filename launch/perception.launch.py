# SPDX-License-Identifier: Apache-2.0
"""One perception node for one camera; it configures and activates itself (parameter autostart).

    ros2 launch cast_ros perception.launch.py namespace:=front image:=/front/image_raw camera_info:=/front/camera_info

An argument that is left empty changes nothing: the parameter file then decides. Several cameras: include this file
once per camera, each with its namespace.
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

TOPICS = {
    'image': 'input picture, without the ending /compressed; image if not given elsewhere',
    'camera_info': 'input calibration; camera_info if not given elsewhere',
    'detections': 'boxes, class names and scores; ~/detections if not given elsewhere',
    'instances': 'instance ids; ~/instances if not given elsewhere',
    'semantic': 'class ids; ~/semantic if not given elsewhere',
    'label_info': 'names of the class ids; ~/label_info if not given elsewhere',
    'depth': 'depth in metres; ~/depth/image if not given elsewhere',
    'depth_raw': 'depth in millimetres; ~/depth/image_raw if not given elsewhere',
    'depth_camera_info': 'calibration of the depth image; ~/depth/camera_info if not given elsewhere',
    'overlay': 'picture for people; ~/overlay if not given elsewhere',
    'detections_3d': 'place and extent of every instance; ~/detections_3d if not given elsewhere',
    'nearest': 'nearest instance of each class; ~/nearest if not given elsewhere',
    'points': 'depth as a point cloud; ~/points if not given elsewhere',
    'diagnostics': 'state, rates and latencies; /diagnostics if not given elsewhere',
}


def generate_launch_description():
    """What ros2 launch asks for."""
    default_params = PathJoinSubstitution([FindPackageShare('cast_ros'), 'config', 'perception.yaml'])
    arguments = [
        DeclareLaunchArgument('params_file', default_value=default_params, description='parameter file'),
        DeclareLaunchArgument('namespace', default_value='', description='namespace of the node, one per camera'),
        DeclareLaunchArgument(
            'model',
            default_value='',
            description='path of a student (ONNX), or streets-small (rendered streets) or road-medium (real ones)',
        ),
        DeclareLaunchArgument('image_transport', default_value='', description='raw or compressed'),
        DeclareLaunchArgument('use_sim_time', default_value='', description='true: take the time from /clock'),
        DeclareLaunchArgument('log_level', default_value='info', description='debug, info, warn, error or fatal'),
    ]
    arguments += [DeclareLaunchArgument(name, default_value='', description=text) for name, text in TOPICS.items()]
    return LaunchDescription([*arguments, OpaqueFunction(function=_perception_node)])


def _perception_node(context):
    def given(name):
        return LaunchConfiguration(name).perform(context)

    overrides = {f'{name}_topic': given(name) for name in TOPICS if given(name)}
    overrides.update({name: given(name) for name in ('model', 'image_transport') if given(name)})
    if given('use_sim_time'):
        overrides['use_sim_time'] = given('use_sim_time').lower() == 'true'
    return [
        Node(
            package='cast_ros',
            executable='perception',
            name='perception',
            namespace=given('namespace'),
            output='screen',
            parameters=[given('params_file'), overrides] if overrides else [given('params_file')],
            arguments=['--ros-args', '--log-level', given('log_level')],
        )
    ]
