# SPDX-License-Identifier: Apache-2.0
"""The perception node over the real middleware, with a tiny real student whose answers are known."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from node_case import (
    CAR,
    FX,
    GREY_M,
    HEIGHT,
    LATCHED,
    PERSON,
    RED,
    ROAD,
    SKY,
    WIDTH,
    Case,
    street,
)
from rcl_interfaces.msg import Log
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import SetBool
from tiny_student import tiny_student
from vision_msgs.msg import Detection2DArray, LabelInfo

from cast_ros.images import decode_image
from cast_ros.nodes.image_codec import CvBridge
from cast_ros.nodes.parameters import PARAMETERS
from cast_ros.nodes.perception_node import PerceptionNode
from cast_ros.nodes.topics import INPUTS
from cast_ros.student import LoadOptions


def test_every_output_answers_one_picture_with_the_right_values_and_its_header(case: Case) -> None:
    case.start()
    case.probe.until_state(case.name, 'active')
    case.calibrate(case.camera_info())
    types = {
        'detections': Detection2DArray,
        'instances': Image,
        'semantic': Image,
        'depth/image': Image,
        'depth/image_raw': Image,
        'depth/camera_info': CameraInfo,
        'overlay': Image,
    }
    inboxes = [case.listen(message_type, name) for name, message_type in types.items()]
    answers = dict(zip(types, case.ask(*inboxes), strict=True))

    for name, answer in answers.items():
        assert answer.header in case.sent, name
        assert answer.header.frame_id == 'front_optical', name
    encodings = {name: answer.encoding for name, answer in answers.items() if types[name] is Image}
    assert encodings == {
        'instances': '16UC1',
        'semantic': 'mono8',
        'depth/image': '32FC1',
        'depth/image_raw': '16UC1',
        'overlay': 'bgr8',
    }
    ids, semantic, depth, millimetres, overlay = (decode_image(answers[name]) for name in encodings)

    found = {entry.results[0].hypothesis.class_id: entry for entry in answers['detections'].detections}
    assert set(found) == {'car', 'person'}
    car = found['car']
    assert car.header == answers['detections'].header
    assert car.results[0].hypothesis.score > 0.99
    assert (car.bbox.center.position.x, car.bbox.center.position.y) == pytest.approx((96, 72), abs=3)
    assert (car.bbox.size_x, car.bbox.size_y) == pytest.approx((64, 48), abs=6)
    assert [int(entry.id) for entry in answers['detections'].detections] == [1, 2]
    assert ids[72, 96] == int(car.id)
    assert ids[72, 216] == int(found['person'].id)
    assert ids[110, 20] == 0
    assert (ids == int(car.id)).sum() == pytest.approx(64 * 48, rel=0.15)

    assert semantic[72, 96] == CAR
    assert semantic[72, 216] == PERSON
    assert semantic[4, 100] == SKY
    assert semantic[110, 20] == ROAD
    assert depth[110, 20] == pytest.approx(GREY_M, rel=1e-4)
    assert depth[72, 96] == pytest.approx(1 + 99 * 0.299, rel=1e-4)
    assert math.isinf(depth[4, 100])
    assert millimetres[110, 20] == round(float(depth[110, 20]) * 1000)
    assert millimetres[4, 100] == 0
    assert tuple(overlay.shape) == (HEIGHT, WIDTH, 3)
    red_in_car = overlay[72, 96]
    assert not np.array_equal(red_in_car, RED[::-1]), 'the mask is drawn'
    assert answers['depth/camera_info'].k.tolist() == case.camera_info().k.tolist()


def test_labels_reach_whoever_comes_late(case: Case) -> None:
    case.start(score_threshold=0.25)
    case.probe.until_state(case.name, 'active')
    inbox = case.listen(LabelInfo, 'label_info', LATCHED)
    labels = case.probe.until(lambda: inbox and inbox[0], 'label_info')
    assert [(entry.class_id, entry.class_name) for entry in labels.class_map] == [
        (0, 'road'),
        (1, 'sky'),
        (2, 'person'),
        (3, 'car'),
    ]
    assert labels.threshold == pytest.approx(0.25)


def test_without_a_listener_nothing_is_computed_and_then_only_what_is_listened_to(case: Case) -> None:
    node = case.start()
    status = case.probe.diagnostics(case.name)
    asked = _watch_heads(node, case)
    camera = case.camera()
    case.probe.publish_until(
        lambda: camera.publish(case.picture()),
        lambda: status and int(status[-1]['frames idle (no subscriber)']) >= 3,
        'idle frames in /diagnostics',
    )
    assert status[-1]['frames answered'] == '0'
    assert asked == []

    case.ask(case.listen(Image, 'semantic'))
    assert set(asked) == {frozenset({'semantic'})}
    case.ask(case.listen(Detection2DArray, 'detections'))
    assert asked[-1] == {'semantic', 'instances'}


def _watch_heads(node: PerceptionNode, case: Case) -> list[frozenset[str]]:
    """The heads of every prediction from here on."""
    case.probe.until_state(case.name, 'active')
    student = node._student
    assert student is not None
    predict, asked = student.predict, []

    def watched(rgb: Any, **arguments: Any) -> Any:
        asked.append(frozenset(arguments['heads']))
        return predict(rgb, **arguments)

    student.predict = watched  # type: ignore[method-assign]
    return asked


@pytest.mark.parametrize('suffix', ['png', 'jpg'])
def test_compressed_pictures_are_read_from_the_compressed_topic(case: Case, suffix: str) -> None:
    case.start('-r', 'image:=camera/color', image_transport='compressed')
    inbox = case.listen(Image, 'semantic')
    camera = case.camera(CompressedImage, 'camera/color/compressed')
    picture = CvBridge().cv2_to_compressed_imgmsg(cv2.cvtColor(street(), cv2.COLOR_RGB2BGR), suffix)

    def publish() -> None:
        picture.header = case.header()
        camera.publish(picture)

    answer = case.probe.publish_until(publish, lambda: inbox and inbox[0], 'a semantic map')
    semantic = decode_image(answer)
    assert (semantic[72, 96], semantic[72, 216], semantic[110, 20]) == (CAR, PERSON, ROAD)
    assert answer.header in case.sent


@pytest.mark.parametrize(('output_size', 'width', 'height'), [('image', WIDTH, HEIGHT), ('network', 128, 64)])
def test_depth_camera_info_fits_the_depth_image(case: Case, output_size: str, width: int, height: int) -> None:
    case.start(output_size=output_size)
    # The sensor is 600 x 400; a region of 512 x 256 at (40, 20) is read with binning 2: the picture has 256 x 128.
    info = case.camera_info(fx=2 * FX, width=600, height=400)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 40, 20, 2 * WIDTH, 2 * HEIGHT
    info.binning_x = info.binning_y = 2
    case.calibrate(info)
    depth, scaled = case.ask(case.listen(Image, 'depth/image'), case.listen(CameraInfo, 'depth/camera_info'))
    assert (depth.width, depth.height) == (scaled.width, scaled.height) == (width, height)
    assert scaled.header == depth.header
    factor = width / (2 * WIDTH)
    fx, cx, cy = 2 * FX * factor, (130 - 40) * factor, (60 - 20) * factor
    assert scaled.k.tolist() == pytest.approx([fx, 0, cx, 0, fx, cy, 0, 0, 1])
    assert scaled.p.tolist() == pytest.approx([fx, 0, cx, -20 * factor, 0, fx, cy, 0, 0, 0, 1, 0])
    assert (scaled.binning_x, scaled.roi.width, scaled.roi.x_offset) == (0, 0, 0)
    assert list(scaled.d) == list(info.d)
    assert decode_image(depth)[height - 4, 4] == pytest.approx(GREY_M, rel=1e-3)


def test_depth_follows_the_focal_length_and_depth_scale(case: Case) -> None:
    case.start()
    inbox = case.listen(Image, 'depth/image')
    case.probe.until_state(case.name, 'active')
    (uncalibrated,) = case.ask(inbox)
    assert decode_image(uncalibrated)[110, 20] == pytest.approx(GREY_M, rel=1e-3)
    status = case.probe.diagnostics(case.name)
    case.probe.until(lambda: status, 'diagnostics')
    assert status[-1]['level'] == 'WARN'
    assert "no camera_info for frame 'front_optical' with 256x128 pixels" in status[-1]['message']

    case.calibrate(case.camera_info(fx=FX / 2))
    (calibrated,) = case.ask(inbox)
    assert decode_image(calibrated)[110, 20] == pytest.approx(GREY_M / 2, rel=1e-3)
    assert case.probe.set_parameter(case.name, 'depth_scale', 1.5) == (True, '')
    (scaled,) = case.ask(inbox)
    assert decode_image(scaled)[110, 20] == pytest.approx(GREY_M * 0.75, rel=1e-3)


def test_rectified_pictures_are_measured_by_p(case: Case) -> None:
    case.start(rectified=True)  # as YAML reads true
    info = case.camera_info()
    info.p = [0.8 * FX, 0.0, 128.0, 0.0, 0.0, 0.8 * FX, 64.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    case.calibrate(info)
    depth, scaled = case.ask(case.listen(Image, 'depth/image'), case.listen(CameraInfo, 'depth/camera_info'))
    assert decode_image(depth)[110, 20] == pytest.approx(0.8 * GREY_M, rel=1e-3)
    assert scaled.k.tolist() == [0.8 * FX, 0.0, 128.0, 0.0, 0.8 * FX, 64.0, 0.0, 0.0, 1.0]
    assert not any(scaled.d)
    status = case.probe.diagnostics(case.name)
    case.probe.until(lambda: status, 'diagnostics')
    assert status[-1]['intrinsics'] == 'P of camera_info: rectified is true'
    assert case.probe.set_parameter(case.name, 'rectified', 'false') == (True, '')
    (depth,) = case.ask(case.listen(Image, 'depth/image'))
    assert decode_image(depth)[110, 20] == pytest.approx(GREY_M, rel=1e-3)


def test_which_matrix_holds_is_said_once_though_two_cameras_take_turns(case: Case) -> None:
    case.start()
    logs = case.probe.listen(Log, '/rosout', QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    inbox, camera = case.listen(Image, 'depth/image'), case.camera()
    rear = case.camera_info()
    rear.header.frame_id, rear.d = 'rear_optical', [0.0] * 5
    rear.p = [0.5 * FX, 0.0, 128.0, 0.0, 0.0, 0.5 * FX, 64.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    for number, info in enumerate((case.camera_info(), rear), 1):
        infos = case.camera(CameraInfo, 'camera_info')
        case.probe.publish_until(
            lambda infos=infos, info=info: infos.publish(info),
            lambda number=number: len(case.node._camera_infos) == number,
            'a calibration',
        )

    def send() -> None:
        picture = case.picture()
        picture.header.frame_id = ('front_optical', 'rear_optical')[len(case.sent) % 2]
        camera.publish(picture)

    def turns() -> int:
        frames = [message.header.frame_id for message in inbox]
        return sum(one != other for one, other in itertools.pairwise(frames))

    case.probe.publish_until(send, lambda: turns() >= 4, 'both cameras in turn')
    depths = {message.header.frame_id: decode_image(message)[110, 20] for message in inbox}
    assert depths['rear_optical'] == pytest.approx(0.5 * depths['front_optical'], rel=1e-3)
    said = case.probe.until(lambda: len(found := _texts(logs, case, 'intrinsics are')) >= 2 and found, 'the log')
    assert sorted(said) == [
        'intrinsics are K of camera_info: K and P are equal',
        'intrinsics are P of camera_info: camera_info has no distortion, and K differs from P',
    ]


def test_only_the_classes_that_were_asked_for_are_instances(case: Case) -> None:
    case.start(classes=['person'], tracking=False)
    found, ids, semantic = case.ask(
        case.listen(Detection2DArray, 'detections'), case.listen(Image, 'instances'), case.listen(Image, 'semantic')
    )
    assert [entry.results[0].hypothesis.class_id for entry in found.detections] == ['person']
    assert [entry.id for entry in found.detections] == ['1']
    numbers = decode_image(ids)
    assert (numbers[72, 96], numbers[72, 216]) == (0, 1)
    assert decode_image(semantic)[72, 96] == CAR


@pytest.mark.parametrize(('name', 'why'), [('lava', 'which is no class'), ('road', 'these are person, car')])
def test_classes_without_instances_cannot_be_asked_for(case: Case, name: str, why: str) -> None:
    case.start(classes=[name], autostart=False)
    assert case.probe.change_state(case.name, 'configure') is False
    assert f"parameter 'classes' names '{name}'" in case.node.failure
    assert why in case.node.failure


def test_a_service_pauses_the_node_and_lets_it_go_on(case: Case) -> None:
    case.start()
    inbox = case.listen(Detection2DArray, 'detections')
    case.ask(inbox)
    status = case.probe.diagnostics(case.name)
    assert case.probe.call(SetBool, f'{case.name}/enable', SetBool.Request(data=False)).success
    answered = case.node.statistics.snapshot().answered
    camera = case.camera()
    case.probe.publish_until(
        lambda: camera.publish(case.picture()), lambda: case.node.statistics.snapshot().idle >= 5, 'idle pictures'
    )
    assert case.node.statistics.snapshot().answered <= answered + 1  # the one that was in work
    case.probe.until(lambda: status and status[-1]['enabled'] == 'false', 'a pause in /diagnostics')
    assert case.probe.call(SetBool, f'{case.name}/enable', SetBool.Request(data=True)).success
    case.ask(inbox)


def test_lists_without_entries_are_those_of_nothing(case: Case) -> None:
    case.start('-p', 'points_left_out:=[]', '-p', 'classes:=[]')
    (found,) = case.ask(case.listen(Detection2DArray, 'detections'))
    assert len(found.detections) == 2


def test_a_mistyped_parameter_is_named_with_the_nearest(case: Case) -> None:
    logs = case.probe.listen(Log, '/rosout', QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    case.start('-p', 'scoer_threshold:=0.3', '-p', 'fps:=30', '-p', 'qos_overrides./x.publisher.depth:=1')
    said = case.probe.until(lambda: len(found := _texts(logs, case, "parameter '")) == 2 and found, 'warnings')
    assert said[0] == "parameter 'fps' is not known here and does nothing"
    assert said[1] == "parameter 'scoer_threshold' is not known here and does nothing: did you mean 'score_threshold'?"


def test_a_second_node_of_the_same_name_is_noticed(case: Case) -> None:
    case.start()
    twin = rclpy.create_node('perception', context=case.probe.context, namespace=case.namespace)
    status = case.probe.diagnostics(case.name)
    try:
        case.probe.until(lambda: status and 'nodes are called' in status[-1]['message'], 'a warning in /diagnostics')
        assert f'2 nodes are called {case.name}: give each its own name' in status[-1]['message']
    finally:
        twin.destroy_node()


def test_a_relative_model_path_says_where_it_was_looked_for(case: Case) -> None:
    case.start(model='mine/student.onnx', autostart=False)
    assert case.probe.change_state(case.name, 'configure') is False
    assert (
        f"parameter 'model' is 'mine/student.onnx', and there is no such file below {Path.cwd()}" in case.node.failure
    )


def test_a_malformed_picture_is_named_counted_and_survived(case: Case) -> None:
    case.start()
    logs = case.probe.listen(Log, '/rosout', QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    inbox = case.listen(Detection2DArray, 'detections')
    status = case.probe.diagnostics(case.name)
    camera = case.camera()

    def publish_broken() -> None:
        broken = case.picture()
        broken.step = 5
        camera.publish(broken)

    case.probe.publish_until(
        publish_broken,
        lambda: status and int(status[-1]['frames dropped: malformed']) >= 2,
        'malformed pictures in /diagnostics',
    )
    assert status[-1]['level'] == 'WARN'
    warnings = case.probe.until(lambda: _texts(logs, case, 'refused a picture'), 'a warning in the log')
    assert len(warnings) == 1, 'throttled'
    assert f'{case.namespace}/image' in warnings[0]
    assert 'step 5' in warnings[0]
    (answer,) = case.ask(inbox)
    assert len(answer.detections) == 2


def _texts(logs: list[Any], case: Case, beginning: str) -> list[str]:
    logger = case.name.strip('/').replace('/', '.')
    return [entry.msg for entry in logs if entry.name == logger and entry.msg.startswith(beginning)]


def test_a_picture_above_max_pixels_is_refused(case: Case) -> None:
    case.start(max_pixels=HEIGHT * WIDTH - 1)
    case.listen(Detection2DArray, 'detections')
    status = case.probe.diagnostics(case.name)
    camera = case.camera()
    case.probe.publish_until(
        lambda: camera.publish(case.picture()),
        lambda: status and int(status[-1]['frames dropped: malformed']) >= 1,
        'a refused picture in /diagnostics',
    )
    assert status[-1]['frames answered'] == '0'


def test_a_bad_model_path_is_explained_and_can_be_corrected(case: Case, model: Path, tmp_path: Path) -> None:
    missing = tmp_path / 'missing.onnx'
    case.start(model=str(missing))
    inbox = case.listen(Detection2DArray, 'detections')
    status = case.probe.diagnostics(case.name)
    case.probe.until(lambda: status and status[-1]['level'] == 'ERROR', 'an error in /diagnostics')
    assert str(missing) in status[-1]['message']
    assert case.probe.state(case.name) == 'unconfigured'
    assert not case.probe.change_state(case.name, 'configure')
    assert case.probe.state(case.name) == 'unconfigured'

    assert case.probe.set_parameter(case.name, 'model', str(model)) == (True, '')
    assert case.probe.change_state(case.name, 'configure')
    assert case.probe.change_state(case.name, 'activate')
    (answer,) = case.ask(inbox)
    assert len(answer.detections) == 2
    status.clear()
    case.probe.until(lambda: status, 'diagnostics')
    assert status[-1]['level'] != 'ERROR'


def test_a_provider_that_is_not_there_is_an_error_or_a_warning_as_asked(case: Case) -> None:
    case.start(providers=['CUDAExecutionProvider', 'CPUExecutionProvider'])
    status = case.probe.diagnostics(case.name)
    case.probe.until(lambda: status and status[-1]['level'] == 'ERROR', 'an error in /diagnostics')
    assert 'CUDAExecutionProvider' in status[-1]['message']
    assert case.probe.set_parameter(case.name, 'require_provider', False) == (True, '')
    assert case.probe.change_state(case.name, 'configure')
    assert case.probe.change_state(case.name, 'activate')
    case.probe.until(lambda: status[-1]['level'] == 'WARN', 'a warning in /diagnostics')
    assert status[-1]['message'] == 'running on CPUExecutionProvider instead of CUDAExecutionProvider'
    assert status[-1]['provider'] == 'CPUExecutionProvider'


def test_engines_are_kept_where_the_parameters_say_and_the_cpu_keeps_none(case: Case, tmp_path: Path) -> None:
    node = case.start(engine_cache_dir=str(tmp_path / 'engines'), engine_fp16=True)
    case.probe.until_state(case.name, 'active')
    assert node._settings.load_options == LoadOptions(
        threads=node._settings.threads, cache=tmp_path / 'engines', fp16=True
    )
    assert not (tmp_path / 'engines').exists()
    accepted, reason = case.probe.set_parameter(case.name, 'engine_cache_dir', str(tmp_path))
    assert not accepted
    assert 'clean up first' in reason


def test_threads_reach_the_runtime(case: Case) -> None:
    node = case.start(threads=3)
    case.probe.until_state(case.name, 'active')
    assert node._student is not None
    assert node._student._session is not None
    assert node._student._session.get_session_options().intra_op_num_threads == 3


def test_the_lifecycle_can_go_round_and_refuses_what_its_state_does_not_have(case: Case) -> None:
    case.start(autostart=False)
    inbox = case.listen(Detection2DArray, 'detections')
    case.probe.until_state(case.name, 'unconfigured')
    assert not case.probe.change_state(case.name, 'activate')
    for _ in range(2):
        assert case.probe.change_state(case.name, 'configure')
        assert case.probe.change_state(case.name, 'activate')
        assert not case.probe.change_state(case.name, 'activate')
        case.ask(inbox)
        assert case.probe.change_state(case.name, 'deactivate')
        assert case.probe.node.count_subscribers(f'{case.namespace}/image') == 0 or case.probe.until(
            lambda: case.probe.node.count_subscribers(f'{case.namespace}/image') == 0, 'the end of the subscription'
        )
        assert case.probe.change_state(case.name, 'cleanup')
    assert case.probe.change_state(case.name, 'unconfigured_shutdown')
    assert case.probe.state(case.name) == 'finalized'


def test_topics_can_be_set_by_parameter_file(case: Case, tmp_path: Path) -> None:
    path = tmp_path / 'robot.yaml'
    path.write_text(
        '/**:\n  ros__parameters:\n    image_topic: cameras/left/color\n    semantic_topic: /labels/left\n',
        encoding='utf-8',
    )
    case.start('--params-file', str(path))
    _assert_semantic_between(case, f'{case.namespace}/cameras/left/color', '/labels/left')


def test_topics_can_be_set_by_remapping(case: Case) -> None:
    case.start('-r', 'image:=/cameras/right/color', '-r', '~/semantic:=/labels/right')
    _assert_semantic_between(case, '/cameras/right/color', '/labels/right')


def test_every_topic_has_a_parameter(case: Case) -> None:
    names = {row.name: f'{case.namespace}/mine/{row.name}' for row in PARAMETERS if row.is_topic}
    case.start(**names)
    case.probe.until_state(case.name, 'active')
    graph = case.probe.node
    for parameter, topic in names.items():
        is_input = parameter in {one.parameter for one in INPUTS}
        count = graph.count_subscribers if is_input else graph.count_publishers
        case.probe.until(lambda topic=topic, count=count: count(topic) == 1, topic)
    status = case.probe.diagnostics(case.name, names['diagnostics_topic'])
    case.probe.until(lambda: status, 'diagnostics on their own topic')
    assert status[-1]['image topic'] == names['image_topic']


def _assert_semantic_between(case: Case, image_topic: str, semantic_topic: str) -> None:
    inbox = case.probe.listen(Image, semantic_topic)
    camera = case.camera(topic=image_topic)
    answer = case.probe.publish_until(
        lambda: camera.publish(case.picture()), lambda: inbox and inbox[0], f'an answer on {semantic_topic}'
    )
    assert decode_image(answer)[72, 96] == CAR


def test_the_score_threshold_changes_at_run_time(case: Case) -> None:
    case.start()
    inbox = case.listen(Detection2DArray, 'detections')
    labels = case.listen(LabelInfo, 'label_info', LATCHED)
    (before,) = case.ask(inbox)
    assert len(before.detections) == 2
    assert case.probe.set_parameter(case.name, 'score_threshold', 1.0) == (True, '')
    (after,) = case.ask(inbox)
    assert after.detections == []
    case.probe.until(lambda: labels and labels[-1].threshold == 1.0, 'the new threshold in label_info')


def test_parameters_are_refused_with_a_reason(case: Case) -> None:
    case.start()
    case.probe.until_state(case.name, 'active')

    def reason(name: str, value: Any) -> str:
        done, text = case.probe.set_parameter(case.name, name, value)
        assert not done
        return text

    assert 'read-only' in reason('image_topic', '/other')
    assert 'out of range' in reason('score_threshold', 1.5)
    assert "parameter 'model' is used by configure and the node is active" in reason('model', 'x.onnx')
    assert "must be 'image' or 'network', not 'huge'" in reason('output_size', 'huge')
    assert 'score_threshold' in reason('score_threshold', math.nan)
    assert 'type' in reason('max_pixels', 'many')


def test_the_newest_picture_wins_and_services_answer_during_inference(case: Case) -> None:
    node = case.start()
    case.probe.until_state(case.name, 'active')
    inbox = case.listen(Detection2DArray, 'detections')
    gate, started = threading.Event(), threading.Event()
    _hold_inference(node, gate, started)
    camera = case.camera()
    case.probe.until_matched(camera)
    case.probe.until(lambda: node._outputs is not None and node._outputs.wanted(), 'the listener to be known')
    first = case.picture()
    camera.publish(first)
    case.probe.until(started.is_set, 'the first inference')
    for received in (2, 3, 4):
        last = case.picture()
        camera.publish(last)
        case.probe.until(lambda n=received: node.statistics.snapshot().received == n, f'frame {received}')
    assert case.probe.set_parameter(case.name, 'depth_scale', 2.0) == (True, ''), 'answered while inference runs'
    gate.set()
    case.probe.until(lambda: len(inbox) == 2, 'two answers')
    assert [answer.header for answer in inbox] == [first.header, last.header]
    assert node.statistics.snapshot().drops['superseded'] == 2


def _hold_inference(node: PerceptionNode, gate: threading.Event, started: threading.Event) -> None:
    student = node._student
    assert student is not None
    predict: Callable[..., Any] = student.predict

    def held(rgb: Any, **arguments: Any) -> Any:
        started.set()
        assert gate.wait(10)
        return predict(rgb, **arguments)

    student.predict = held  # type: ignore[method-assign]


def test_a_silent_camera_is_named_and_the_other_transport_is_suggested(case: Case) -> None:
    case.start(stale_after_s=0.2)
    logs = case.probe.listen(Log, '/rosout', QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    status = case.probe.diagnostics(case.name)
    case.camera(CompressedImage, 'image/compressed')
    case.probe.until(lambda: status and status[-1]['level'] == 'STALE', 'STALE in /diagnostics')
    warning = case.probe.until(lambda: _texts(logs, case, 'waiting for'), 'a warning')[0]
    assert f'waiting for {case.namespace}/image (raw), 0 publishers' in warning
    assert "set parameter image_transport to 'compressed'" in warning
    case.ask(case.listen(Detection2DArray, 'detections'))
    status.clear()
    assert case.probe.set_parameter(case.name, 'stale_after_s', 60.0) == (True, '')
    case.probe.until(lambda: status and status[-1]['level'] != 'STALE', 'recovery')


def test_an_incompatible_publisher_is_explained_with_the_fix(case: Case) -> None:
    case.start(input_reliability='reliable')
    case.probe.until_state(case.name, 'active')
    logs = case.probe.listen(Log, '/rosout', QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    case.camera(reliable=False)
    warning = case.probe.until(lambda: _texts(logs, case, 'a publisher on'), 'a warning')[0]
    assert f'{case.namespace}/image' in warning
    assert "set parameter input_reliability to 'best_effort'" in warning


SEMANTIC_ALONE = ('semantic', 'semantic_color', 'overlay', 'overlay/compressed', 'label_info')


def test_a_student_without_a_head_has_no_topic_for_it(case: Case, tmp_path: Path) -> None:
    case.start(model=str(tiny_student(tmp_path / 'semantic.onnx', heads=('semantic',))))
    case.probe.until_state(case.name, 'active')
    inbox = case.listen(Image, 'overlay')
    (overlay,) = case.ask(inbox)
    assert overlay.encoding == 'bgr8'
    topics = {name for name, _ in case.probe.node.get_topic_names_and_types() if name.startswith(f'{case.name}/')}
    offered = {name for name in topics if case.probe.node.count_publishers(name)} - {f'{case.name}/transition_event'}
    assert offered == {f'{case.name}/{name}' for name in SEMANTIC_ALONE}


def test_the_node_works_on_simulated_time_that_has_not_begun(case: Case) -> None:
    case.start(use_sim_time=True)
    (answer,) = case.ask(case.listen(Detection2DArray, 'detections'))
    assert len(answer.detections) == 2


def test_overlay_alpha_decides_how_much_of_the_picture_shows_through(case: Case) -> None:
    case.start(overlay_alpha=0.0)
    inbox = case.listen(Image, 'overlay')
    (clear,) = case.ask(inbox)
    assert case.probe.set_parameter(case.name, 'overlay_alpha', 1.0) == (True, '')
    (opaque,) = case.ask(inbox)
    inside = (slice(64, 90), slice(80, 110))
    assert not np.array_equal(decode_image(clear)[inside], decode_image(opaque)[inside])
