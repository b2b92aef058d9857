# SPDX-License-Identifier: Apache-2.0
"""launch/perception.launch.py, read and run by play-launch, and by ROS's own launch where that is installed.

play-launch is an independent interpreter of launch files; it needs no ROS on the machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import play_launch
import pytest
from launch_resolving import resolve
from ros_probe import RosProbe, ros_probe
from tiny_student import tiny_student

from cast_ros.nodes.topics import TOPICS

LAUNCH_FILE = 'perception.launch.py'
START_DEADLINE_S = 40.0
STOP_DEADLINE_S = 20.0


@pytest.fixture(scope='module')
def probe() -> Iterator[RosProbe]:
    with ros_probe() as made:
        yield made


def test_without_arguments_nothing_is_set_so_that_what_a_parent_sets_stays(
    launcher: play_launch.PlayLaunch, tmp_path: Path
) -> None:
    nodes = resolve(launcher, tmp_path, LAUNCH_FILE)
    assert list(nodes) == ['/perception']
    node = nodes['/perception']
    assert (node['pkg'], node['exec'], node['node_name']) == ('cast_ros', 'perception', 'perception')
    assert node.get('params', {}) == {}
    assert node.get('params_files', []) == []


@pytest.mark.parametrize(
    ('argument', 'value', 'parameter', 'expected'),
    [
        ('model', '/models/mine.onnx', 'model', '/models/mine.onnx'),
        ('image_transport', 'compressed', 'image_transport', 'compressed'),
        ('use_sim_time', 'true', 'use_sim_time', True),
        ('use_sim_time', 'false', 'use_sim_time', False),
        *((topic.parameter, f'mine/{topic.name}', topic.parameter, f'mine/{topic.name}') for topic in TOPICS),
    ],
)
def test_an_argument_becomes_exactly_one_parameter(
    launcher: play_launch.PlayLaunch, tmp_path: Path, argument: str, value: str, parameter: str, expected: object
) -> None:
    node = resolve(launcher, tmp_path, LAUNCH_FILE, **{argument: value})['/perception']
    assert node['params'] == {parameter: expected}


def test_namespace_log_level_and_parameter_file_are_passed_on(launcher: play_launch.PlayLaunch, tmp_path: Path) -> None:
    mine = tmp_path / 'mine.yaml'
    mine.write_text('/**:\n  ros__parameters:\n    score_threshold: 0.9\n', encoding='utf-8')
    nodes = resolve(
        launcher,
        tmp_path,
        LAUNCH_FILE,
        perception_namespace='left',
        log_level='debug',
        perception_params_file=str(mine),
    )
    assert list(nodes) == ['/left/perception']
    assert nodes['/left/perception']['args'] == ['--ros-args', '--log-level', 'debug']
    assert nodes['/left/perception']['params_files'] == [mine.read_text(encoding='utf-8')]


def test_what_a_parent_launch_file_sets_is_not_undone(
    launcher: play_launch.PlayLaunch, tmp_path: Path, project_root: Path
) -> None:
    parent = tmp_path / 'parent.launch.py'
    parent.write_text(f"""
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import SetParameter


def generate_launch_description():
    one = PythonLaunchDescriptionSource({str(project_root / 'launch' / LAUNCH_FILE)!r})
    return LaunchDescription([GroupAction([SetParameter('score_threshold', 0.9), IncludeLaunchDescription(one)])])
""")
    node = resolve(launcher, tmp_path, str(parent))['/perception']
    assert node.get('params_files', []) == []
    said = {**dict(node.get('global_params') or {}), **dict(node.get('params') or {})}
    assert float(said['score_threshold']) == 0.9


def test_a_parameter_file_that_is_not_there_is_named(launcher: play_launch.PlayLaunch, tmp_path: Path) -> None:
    with pytest.raises(
        AssertionError, match=r"perception_params_file is '/nowhere/mine.yaml', and there is no such file"
    ):
        resolve(launcher, tmp_path, LAUNCH_FILE, perception_params_file='/nowhere/mine.yaml')


def test_each_camera_gets_a_node_in_its_namespace(launcher: play_launch.PlayLaunch, tmp_path: Path) -> None:
    nodes = resolve(launcher, tmp_path, 'cameras.launch.py', cameras='front,rear', model='/models/mine.onnx')
    assert sorted(nodes) == ['/front/perception', '/rear/perception']
    for node in nodes.values():
        assert node['params'] == {
            'image_topic': 'image_raw',
            'camera_info_topic': 'camera_info',
            'model': '/models/mine.onnx',
            'threads': max(1, (os.cpu_count() or 1) // 2),
        }


def test_one_camera_may_have_what_the_others_have_not(launcher: play_launch.PlayLaunch, tmp_path: Path) -> None:
    given = {'model': '{front: road-medium, rear: streets-small}', 'score_threshold': '{rear: 0.7}', 'threads': '3'}
    nodes = resolve(launcher, tmp_path, 'cameras.launch.py', cameras='front,left,rear', **given)
    told = {name: node['params'] for name, node in nodes.items()}
    assert {name: entry.get('model') for name, entry in told.items()} == {
        '/front/perception': 'road-medium',
        '/left/perception': None,
        '/rear/perception': 'streets-small',
    }
    assert [entry.get('score_threshold') for entry in told.values()].count(0.7) == 1
    assert {entry['threads'] for entry in told.values()} == {3}


@pytest.mark.parametrize(
    ('argument', 'value', 'expected'),
    [
        ('score_threshold', '0.4', {'score_threshold': 0.4}),
        ('score_threshold', '1', {'score_threshold': 1.0}),
        ('device', 'cuda', {'providers': ['CUDAExecutionProvider', 'CPUExecutionProvider']}),
        ('providers', 'CPUExecutionProvider', {'providers': ['CPUExecutionProvider']}),
        ('points_left_out', '["road", "sidewalk"]', {'points_left_out': ['road', 'sidewalk']}),
        ('tracking', 'true', {'tracking': True}),
        ('threads', '2', {'threads': 2}),
        ('output_size', 'network', {'output_size': 'network'}),
        ('input_reliability', 'reliable', {'input_reliability': 'reliable'}),
        ('depth_scale', '1.2', {'depth_scale': 1.2}),
        ('autostart', 'False', {'autostart': False}),
        ('rectified', 'true', {'rectified': 'true'}),
        ('model', '12', {'model': '12'}),
    ],
)
def test_daily_knobs_are_arguments_of_the_right_type(
    launcher: play_launch.PlayLaunch, tmp_path: Path, argument: str, value: str, expected: dict[str, object]
) -> None:
    said = resolve(launcher, tmp_path, LAUNCH_FILE, **{argument: value})['/perception']['params']
    assert {name: str(one) for name, one in said.items()} == {name: str(one) for name, one in expected.items()}


@pytest.mark.parametrize(
    ('argument', 'value', 'reason'),
    [
        ('use_sim_time', 'maybe', "use_sim_time is 'maybe'; it must be true or false"),
        ('tracking', 'yes', 'tracking'),
        ('score_threshold', '1.5', 'must be 0.0 to 1.0, not 1.5'),
        ('score_threshold', 'high', "argument 'score_threshold' must be of type double, not 'high'"),
        ('output_size', 'huge', 'output_size'),
        ('device', 'tpu', 'device'),
        ('providers', '[]', "parameter 'providers' must not be empty"),
    ],
)
def test_a_value_that_cannot_be_used_ends_the_launch_with_a_sentence(
    launcher: play_launch.PlayLaunch, tmp_path: Path, argument: str, value: str, reason: str
) -> None:
    with pytest.raises(AssertionError, match=reason):
        resolve(launcher, tmp_path, LAUNCH_FILE, **{argument: value})


def test_name_and_enclave_reach_the_node(launcher: play_launch.PlayLaunch, tmp_path: Path) -> None:
    nodes = resolve(launcher, tmp_path, LAUNCH_FILE, name='eyes', enclave='/front/eyes')
    assert list(nodes) == ['/eyes']
    assert nodes['/eyes']['args'][-2:] == ['--enclave', '/front/eyes']


PARENT = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace

ONE = PythonLaunchDescriptionSource({file!r})


def generate_launch_description():
    return LaunchDescription([{actions}])
"""


def parent(folder: Path, file: Path, *actions: str) -> str:
    path = folder / 'parent.launch.py'
    path.write_text(PARENT.format(file=str(file), actions=', '.join(actions)), encoding='utf-8')
    return str(path)


def test_arguments_of_another_s_launch_file_are_not_ours(
    launcher: play_launch.PlayLaunch, tmp_path: Path, project_root: Path
) -> None:
    """As of a robot that has a depth camera, nav2's parameter file and a namespace of its own."""
    others = {'depth': 'false', 'points': 'true', 'params_file': '/etc/nav2.yaml', 'namespace': 'robot', 'image': '/x'}
    path = parent(
        tmp_path,
        project_root / 'launch' / LAUNCH_FILE,
        *(f'DeclareLaunchArgument({name!r}, default_value={value!r})' for name, value in others.items()),
        "GroupAction([PushRosNamespace('robot'), IncludeLaunchDescription(ONE)])",
    )
    nodes = resolve(launcher, tmp_path, path)
    assert list(nodes) == ['/robot/perception']
    assert nodes['/robot/perception'].get('params', {}) == {}
    assert nodes['/robot/perception'].get('params_files', []) == []


def test_a_second_include_in_a_group_of_its_own_has_nothing_of_the_first(
    launcher: play_launch.PlayLaunch, tmp_path: Path, project_root: Path
) -> None:
    def include(arguments: dict[str, str]) -> str:
        one = f'IncludeLaunchDescription(ONE, launch_arguments={arguments!r}.items())'
        return f'GroupAction([{one}], scoped=True, forwarding=False)'

    path = parent(
        tmp_path,
        project_root / 'launch' / LAUNCH_FILE,
        include({'perception_namespace': 'front', 'image_topic': '/front/image', 'model': 'road-medium'}),
        include({'perception_namespace': 'rear'}),
    )
    nodes = resolve(launcher, tmp_path, path)
    assert nodes['/front/perception']['params'] == {'image_topic': '/front/image', 'model': 'road-medium'}
    assert nodes['/rear/perception'].get('params', {}) == {}


def test_a_launched_node_becomes_active_on_the_topics_it_was_given(
    launcher: play_launch.PlayLaunch, probe: RosProbe, tmp_path: Path
) -> None:
    model = tiny_student(tmp_path / 'tiny.onnx')
    arguments = [
        'perception_namespace:=launched',
        'image_topic:=/launched/camera',
        f'model:={model}',
        'detections_topic:=/launched/objects',
    ]
    command = [str(launcher.program), 'launch', '--disable-all', 'cast_ros', LAUNCH_FILE, *arguments]
    with running(command, tmp_path, {**os.environ, **launcher.variables}):
        wait_until_it_works(probe, '/launched')


def test_ros_own_launch_brings_the_node_up_as_well(probe: RosProbe, tmp_path: Path, project_root: Path) -> None:
    pytest.importorskip('launch_ros', reason='needs an installed ROS 2: launch_ros is in no package registry')
    model = tiny_student(tmp_path / 'tiny.onnx')
    launch_file = project_root / 'launch' / LAUNCH_FILE
    arguments = [
        'perception_namespace:=native',
        'image_topic:=/native/camera',
        f'model:={model}',
        'detections_topic:=/native/objects',
    ]
    command = ['ros2', 'launch', str(launch_file), *arguments]
    with running(command, tmp_path, dict(os.environ)):
        wait_until_it_works(probe, '/native')


def test_ros_own_launch_fails_when_the_replay_does(tmp_path: Path, project_root: Path) -> None:
    pytest.importorskip('launch_ros', reason='needs an installed ROS 2: launch_ros is in no package registry')
    launch_file = project_root / 'launch' / 'replay_evaluation.launch.py'
    command = ['ros2', 'launch', str(launch_file), 'bag:=/nowhere.mcap', 'model:=/nowhere.onnx', f'out:={tmp_path}']
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert 'cast replay ended with exit code 2' in done.stdout + done.stderr


def topics_in(namespace: str) -> list[str]:
    named = {'image_topic': 'camera', 'detections_topic': 'objects'}
    topics = [f'{name}:=/{namespace}/{topic}' for name, topic in named.items()]
    return [f'perception_namespace:={namespace}', *topics]


def wait_until_it_works(probe: RosProbe, namespace: str) -> None:
    """The node of this namespace is active, listens to its camera topic and publishes its detections."""
    node, camera, objects = probe.node, f'{namespace}/camera', f'{namespace}/objects'
    get_state = f'{namespace}/perception/get_state'
    probe.until(lambda: get_state in dict(node.get_service_names_and_types()), 'the launched node', START_DEADLINE_S)
    probe.until_state(f'{namespace}/perception', 'active')
    probe.until(lambda: node.count_subscribers(camera) == 1, f'a subscriber of {camera}')
    probe.until(lambda: node.count_publishers(objects) == 1, f'a publisher of {objects}')


@contextmanager
def running(command: list[str], folder: Path, variables: dict[str, str]) -> Iterator[None]:
    """Run a launcher, then end it as Ctrl-C does; it and its node must leave in time."""
    log = folder / 'launch.log'
    with log.open('w') as output:
        process = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield
        except AssertionError as error:
            raise AssertionError(f'{error}\n{log.read_text()}') from error
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise


def test_a_replay_is_started_with_what_it_is_given(launcher: play_launch.PlayLaunch, tmp_path: Path) -> None:
    nodes = resolve(launcher, tmp_path, 'replay_evaluation.launch.py', bag='x.mcap', model='m.onnx', rate='2.0')
    assert nodes['/cast']['exec'] == 'cast'
    assert nodes['/cast']['args'] == [
        *('replay', 'x.mcap', '--model', 'm.onnx', '--out', 'out/replay', '--live', '--rate', '2.0')
    ]
