# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from geometry_msgs.msg import Quaternion, TransformStamped
from sensor_msgs.msg import CameraInfo, PointField
from std_msgs.msg import Header
from tiny_student import CAP_M, CLASSES, FOCAL_REFERENCE_PX
from visualization_msgs.msg import Marker

from cast_ros.images import decode_compressed_rgb, decode_image
from cast_ros.images.camera_info import CameraModel
from cast_ros.nodes import outputs
from cast_ros.nodes.outputs import MAKERS, Answer, needed_heads
from cast_ros.nodes.parameters import Settings
from cast_ros.nodes.target_frame import Placement
from cast_ros.nodes.topics import ANSWERS
from cast_ros.scene import depth_to_millimetres
from cast_ros.student import DepthSpec, InputSpec, Prediction, StudentContract

SETTINGS = Settings()
CONTRACT = StudentContract(
    name='two heads',
    version='1',
    license='Apache-2.0',
    input=InputSpec(height=4, width=8),
    classes=CLASSES,
    outputs=('scores', 'labels', 'masks', 'semantic', 'depth'),
    depth=DepthSpec(cap_m=CAP_M, focal_reference_px=FOCAL_REFERENCE_PX),
)


def answer(camera_info: CameraInfo | None = None) -> Answer:
    """Half the size of an 8 x 16 picture; one person in the right half."""
    ids = np.zeros((4, 8), np.uint16)
    ids[:, 4:] = 1
    depth = np.full((4, 8), 2.0, np.float32)
    depth[0] = np.inf
    prediction = Prediction(
        height=4,
        width=8,
        image_height=8,
        image_width=16,
        boxes=np.array([[4, 0, 8, 4]], np.float32),
        labels=np.array([2]),
        scores=np.array([0.75], np.float32),
        instance_ids=ids,
        semantic=np.where(ids > 0, 2, 255).astype(np.uint8),
        depth=depth,
    )
    header = Header(frame_id='camera')
    header.stamp.sec, header.stamp.nanosec = 12, 34
    camera = None if camera_info is None else CameraModel.of(camera_info, '/camera/image_raw')
    return Answer(header, np.zeros((8, 16, 3), np.uint8), prediction, CONTRACT, camera, SETTINGS)


def test_detections_are_in_pixels_of_the_picture_with_class_names_and_ids() -> None:
    message = outputs.detections_message(answer())
    assert (message.header.frame_id, message.header.stamp.sec, message.header.stamp.nanosec) == ('camera', 12, 34)
    (detection,) = message.detections
    assert detection.header == message.header
    assert detection.id == '1'
    assert detection.results[0].hypothesis.class_id == 'person'
    assert detection.results[0].hypothesis.score == 0.75
    centre = detection.bbox.center.position
    assert (centre.x, centre.y, detection.bbox.size_x, detection.bbox.size_y) == (12.0, 4.0, 8.0, 8.0)


def test_maps_keep_their_values() -> None:
    given = answer()
    np.testing.assert_array_equal(decode_image(outputs.instances_message(given)), given.prediction.instance_ids)
    np.testing.assert_array_equal(decode_image(outputs.semantic_message(given)), given.prediction.semantic)
    np.testing.assert_array_equal(decode_image(outputs.depth_message(given)), given.prediction.depth)
    assert decode_image(outputs.depth_raw_message(given))[:, 0].tolist() == [0, 2000, 2000, 2000]


def test_the_overlay_has_the_size_of_the_picture() -> None:
    message = outputs.overlay_message(answer())
    assert (message.width, message.height, message.encoding) == (16, 8, 'bgr8')


def test_depth_camera_info_waits_for_a_calibration_and_then_fits_the_map() -> None:
    assert outputs.depth_camera_info_message(answer()) is None
    info = CameraInfo(width=16, height=8, k=[10.0, 0.0, 8.0, 0.0, 10.0, 4.0, 0.0, 0.0, 1.0])
    message = outputs.depth_camera_info_message(answer(info))
    assert message is not None
    assert (message.width, message.height) == (8, 4)
    assert message.k.tolist() == [5.0, 0.0, 4.0, 0.0, 5.0, 2.0, 0.0, 0.0, 1.0]


INFO = CameraInfo(width=16, height=8, k=[10.0, 0.0, 8.0, 0.0, 10.0, 4.0, 0.0, 0.0, 1.0])


def test_space_waits_for_a_calibration() -> None:
    uncalibrated = answer(CameraInfo(width=16, height=8))
    for make in (outputs.instances_3d_message, outputs.nearest_message, outputs.points_message):
        assert make(answer()) is None
        assert make(uncalibrated) is None


def test_an_instance_in_space_is_its_box_and_its_nearest_point() -> None:
    for make in (outputs.instances_3d_message, outputs.nearest_message):
        message = make(answer(INFO))
        assert message is not None
        assert message.header.frame_id == 'camera'
        (detection,) = message.detections
        assert (detection.id, detection.results[0].hypothesis.class_id) == ('1', 'person')
        # Columns 4…7 of a map with 5 px of focal length and its middle at 4, all at 2 m.
        centre, size = detection.bbox.center.position, detection.bbox.size
        assert (centre.x, centre.z) == (pytest.approx(0.6, abs=0.01), 2.0)
        assert (size.x, size.z) == (pytest.approx(1.2, abs=0.01), 0.0)
        assert detection.results[0].pose.pose.position.z == 2.0


def test_all_outputs_in_space_tell_of_the_same_objects_found_once() -> None:
    given = answer(INFO)
    every = outputs.instances_3d_message(given)
    assert every is not None
    assert given.prediction.depth is not None
    # Whoever looked again would find nothing.
    given.prediction.depth[:] = np.nan
    nearest = outputs.nearest_message(given)
    assert nearest is not None
    assert len(every.detections) == 1
    assert nearest.detections == every.detections


def dtype_of(fields: list[PointField], point_step: int) -> np.dtype[np.void]:
    """As a reader of point clouds takes them, by what the message says of itself."""
    formats = {PointField.FLOAT32: '<f4', PointField.UINT16: '<u2'}
    return np.dtype(
        {
            'names': [field.name for field in fields],
            'formats': [formats[field.datatype] for field in fields],
            'offsets': [field.offset for field in fields],
            'itemsize': point_step,
        }
    )


def test_the_cloud_can_be_read_by_its_fields() -> None:
    given = answer(INFO)
    settings = dataclasses.replace(SETTINGS, points_stride=1)
    message = outputs.points_message(dataclasses.replace(given, settings=settings))
    assert message is not None
    assert [field.name for field in message.fields] == ['x', 'y', 'z', 'rgb', 'label', 'instance']
    points = np.frombuffer(message.data, dtype_of(message.fields, message.point_step))
    assert len(points) == message.width == 3 * 8
    assert message.row_step == len(message.data) == message.width * message.point_step
    person = points[points['instance'] == 1]
    assert (len(person), set(person['label'].tolist()), set(person['z'].tolist())) == (12, {2}, {2.0})
    people = dataclasses.replace(settings, points_left_out=['person'])
    obstacles = outputs.points_message(dataclasses.replace(given, settings=people))
    assert obstacles is not None
    assert obstacles.width == 12


def test_what_is_beyond_range_ends_a_free_ray_and_is_no_obstacle() -> None:
    settings = dataclasses.replace(SETTINGS, points_stride=1, points_left_out=['person'])
    rays = outputs.points_clearing_message(dataclasses.replace(answer(INFO), settings=settings))
    assert rays is not None
    points = np.frombuffer(rays.data, dtype_of(rays.fields, rays.point_step))
    assert sorted(set(points['z'].tolist())) == [2.0, CAP_M]
    assert len(points) == 4 * 8
    assert (points['z'] == CAP_M).sum() == 8


def test_markers_are_boxes_with_names_after_a_sweep() -> None:
    assert outputs.markers_message(answer()) is None
    given = answer(INFO)
    assert given.objects is not None
    message = outputs.markers_message(given)
    assert message is not None
    sweep, box, name = message.markers
    assert sweep.action == Marker.DELETEALL
    assert (box.type, name.type, name.text) == (Marker.CUBE, Marker.TEXT_VIEW_FACING, name.text)
    (one,) = given.objects
    assert [box.pose.position.x, box.pose.position.y, box.pose.position.z] == one.centre_m.tolist()
    assert min(box.scale.x, box.scale.y, box.scale.z) > 0
    assert name.text == f'person {one.distance_m:.1f} m'
    assert name.pose.position.y < box.pose.position.y - box.scale.y / 2
    colour = [round(255 * value) for value in (box.color.r, box.color.g, box.color.b)]
    assert tuple(colour) == CONTRACT.classes[2].color


def in_base_link() -> Placement:
    """The camera 1.2 m above the robot's base, looking ahead."""
    transform = TransformStamped(header=Header(frame_id='base_link'))
    transform.transform.translation.z = 1.2
    transform.transform.rotation = Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5)
    return Placement.of(answer().header, transform)


def test_what_lies_in_space_comes_in_the_frame_of_the_robot() -> None:
    settings = dataclasses.replace(SETTINGS, target_frame='base_link', points_stride=1)
    plain = dataclasses.replace(answer(INFO), settings=dataclasses.replace(SETTINGS, points_stride=1))
    given = dataclasses.replace(answer(INFO), settings=settings, placement=in_base_link())
    assert given.objects is not None
    (one,) = given.objects
    right, down, ahead = one.centre_m.tolist()
    boxes = outputs.instances_3d_message(given)
    assert boxes is not None
    assert boxes.header.frame_id == boxes.detections[0].header.frame_id == 'base_link'
    centre, turn = boxes.detections[0].bbox.center.position, boxes.detections[0].bbox.center.orientation
    assert (centre.x, centre.y, centre.z) == pytest.approx((ahead, -right, 1.2 - down))
    assert (turn.x, turn.y, turn.z, turn.w) == (-0.5, 0.5, -0.5, 0.5)
    assert boxes.detections[0].bbox.size.z == pytest.approx(float(one.size_m[2]))
    clouds = [outputs.points_message(each) for each in (plain, given)]
    before, after = (np.frombuffer(cloud.data, dtype_of(cloud.fields, cloud.point_step)) for cloud in clouds if cloud)
    np.testing.assert_allclose(after['x'], before['z'], atol=1e-6)
    np.testing.assert_allclose(after['z'], 1.2 - before['y'], atol=1e-6)
    assert after['label'].tolist() == before['label'].tolist()
    markers = outputs.markers_message(given)
    assert markers is not None
    assert {marker.header.frame_id for marker in markers.markers} == {'base_link'}
    assert markers.markers[1].pose.position.x == pytest.approx(ahead)
    assert markers.markers[2].pose.position.z > markers.markers[1].pose.position.z


def test_nothing_is_said_of_space_while_nobody_knows_where_the_camera_is() -> None:
    given = dataclasses.replace(answer(INFO), settings=dataclasses.replace(SETTINGS, target_frame='base_link'))
    for name in ('detections_3d', 'nearest', 'points', 'points_clearing', 'markers'):
        assert MAKERS[name](given) is None, name
    assert outputs.depth_message(given).header.frame_id == 'camera'


def test_colours_of_the_semantic_map_are_those_of_its_classes() -> None:
    message = outputs.semantic_color_message(answer())
    pixels = decode_image(message)
    assert pixels.shape == (4, 8, 3)
    assert pixels[0, 7].tolist() == list(CONTRACT.classes[2].color[::-1])
    assert pixels[0, 0].tolist() == [0, 0, 0]


def test_the_compressed_overlay_shows_the_overlay() -> None:
    shown = decode_compressed_rgb(outputs.overlay_compressed_message(answer()))
    plain = decode_image(outputs.overlay_message(answer()))
    assert np.abs(shown.astype(int) - plain[..., ::-1]).mean() < 12


def test_outputs_of_several_heads_need_them_all() -> None:
    by_name = {topic.name: topic for topic in ANSWERS}
    depth_alone = CONTRACT.model_copy(update={'outputs': ('depth',)}).heads
    assert by_name['detections_3d'].suits(CONTRACT.heads)
    assert not by_name['detections_3d'].suits(depth_alone)
    assert by_name['points'].suits(depth_alone)
    assert not by_name['points'].suits(CONTRACT.model_copy(update={'outputs': ('semantic',), 'depth': None}).heads)
    assert by_name['overlay'].suits(depth_alone)
    assert not by_name['overlay'].suits(frozenset())


def test_every_topic_that_follows_the_pictures_has_a_maker_and_messages() -> None:
    assert list(MAKERS) == [topic.name for topic in ANSWERS]
    for topic in ANSWERS:
        message = MAKERS[topic.name](answer(INFO))
        assert type(message) is topic.message_class(), topic.name
        assert getattr(message, 'encoding', '') == topic.encoding, topic.name


def test_millimetres_are_rounded_and_zero_where_16_bits_have_no_answer() -> None:
    depth_m = np.array([[0.001, 1.0004, 1.0006, 65.535, 65.536, 80.0, np.inf, -np.inf, np.nan, 0.0, -3.0]], np.float32)
    expected = [1, 1000, 1001, 65535, 0, 0, 0, 0, 0, 0, 0]
    with np.errstate(all='raise'):
        assert depth_to_millimetres(depth_m)[0].tolist() == expected
        # Wide maps go through vector instructions, which treat what is no number in ways of their own.
        assert depth_to_millimetres(np.tile(depth_m, (2, 9))).tolist() == [9 * expected] * 2


def test_label_info_names_every_class() -> None:
    message = outputs.label_info_message(CONTRACT, Header().stamp, 0.4)
    assert [(entry.class_id, entry.class_name) for entry in message.class_map] == [
        (0, 'road'),
        (1, 'sky'),
        (2, 'person'),
        (3, 'car'),
    ]


def test_only_the_heads_of_wanted_outputs_are_needed() -> None:
    by_name = {topic.name: topic for topic in ANSWERS}
    assert needed_heads(()) == frozenset()
    assert needed_heads((by_name['depth'], by_name['depth_raw'])) == {'depth'}
    assert needed_heads((by_name['detections'], by_name['semantic'])) == {'instances', 'semantic'}
    assert needed_heads((by_name['overlay'],)) == {'instances', 'semantic', 'depth'}
