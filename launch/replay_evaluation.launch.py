# SPDX-License-Identifier: Apache-2.0
"""Play a bag through DDS into the real node, and judge the answers: `cast replay --live`, from a launch system.

    ros2 launch cast_ros replay_evaluation.launch.py bag:=drive.mcap model:=student.onnx out:=/tmp/report

It starts a node of its own, on this machine alone and on a domain of its own unless this shell names one; results are
in the folder `out`.
"""

from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.substitutions import LaunchConfiguration

from cast_ros.nodes import launching
from launch import LaunchDescription


def _end(event, context):
    launching.refuse_failure('cast replay', event.returncode)


def generate_launch_description():
    """What ros2 launch asks for."""
    given = LaunchConfiguration
    return LaunchDescription(
        [
            DeclareLaunchArgument('bag', description='MCAP or sqlite3'),
            DeclareLaunchArgument('model', description='path of the student (ONNX)'),
            DeclareLaunchArgument('out', default_value='out/replay', description='folder of the report'),
            DeclareLaunchArgument('rate', default_value='1.0', description='speed of the bag, 1 as recorded'),
            ExecuteProcess(
                cmd=[
                    *('cast', 'replay', given('bag'), '--model', given('model')),
                    *('--out', given('out'), '--live', '--rate', given('rate')),
                ],
                output='screen',
                on_exit=_end,
            ),
        ]
    )
