# SPDX-License-Identifier: Apache-2.0
"""`depth_scale` from bags whose true scale is known."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compressed_depth import compressed_depth_png, compressed_depth_rvl
from drawn_bags import promise_more
from tiny_student import FOCAL_REFERENCE_PX, tiny_student

from cast_ros.errors import CalibrationError
from cast_ros.offline.bags import BagReader, BagWriter
from cast_ros.offline.bags.message_types import typestore
from cast_ros.offline.bags.messages import camera_info, compressed_image, header, image
from cast_ros.offline.calibration import Reference, calibrate
from cast_ros.offline.calibration.frames import StaticTransforms, moved
from cast_ros.offline.calibration.run import points_of, scale_from_depth, scale_from_ground, scale_from_points
from cast_ros.scene import Pinhole
from cast_ros.student import Student

HEIGHT, WIDTH, STEP_NS, START_NS = 64, 128, 100_000_000, 10**18
CAMERA = Pinhole(100.0, 100.0, 64.0, 32.0)
GREY = 38
PREDICTED_M = 1 + 99 * GREY / 255  # what the tiny student says of that grey
TRUE_SCALE = 1.25


def plane(camera_height_m: float, pitch: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Depth of flat ground below the horizon, and where it is."""
    rows = np.arange(HEIGHT)[:, None] + np.zeros((1, WIDTH))
    slope = (rows - CAMERA.cy_px) / CAMERA.fy_px
    down = np.cos(pitch) * slope + np.sin(pitch)
    depth_m = np.where(down > 0.02, camera_height_m / np.maximum(down, 0.02), np.nan)
    return depth_m.astype(np.float32), down > 0.05


@pytest.mark.parametrize('pitch', [0.0, 0.1, -0.05])
def test_the_height_of_the_camera_tells_the_scale(pitch: float) -> None:
    depth_m, is_ground = plane(1.5, pitch)
    assert scale_from_ground(depth_m / 1.25, is_ground, CAMERA, 1.5) == pytest.approx(1.25, rel=1e-3)
    noisy = depth_m / 1.25 * np.random.default_rng(0).normal(1, 0.03, depth_m.shape).astype(np.float32)
    assert scale_from_ground(noisy, is_ground, CAMERA, 1.5) == pytest.approx(1.25, rel=0.03)


def test_a_wall_or_too_little_ground_tells_nothing() -> None:
    wall = np.full((HEIGHT, WIDTH), 5.0, np.float32)
    assert scale_from_ground(wall, np.ones_like(wall, bool), CAMERA, 1.5) is None
    depth_m, is_ground = plane(1.5)
    assert scale_from_ground(depth_m, is_ground & (np.arange(WIDTH) < 2), CAMERA, 1.5) is None


def test_pixels_that_both_know_are_compared() -> None:
    predicted, true = np.full((30, 30), 8.0, np.float32), np.full((30, 30), 10.0, np.float32)
    true[:5], true[5:8], predicted[9:10] = np.nan, 60.0, np.inf
    assert scale_from_depth(predicted, true) == pytest.approx(1.25)
    assert scale_from_depth(predicted, np.full_like(true, np.nan)) is None


def test_points_are_projected_and_the_nearest_counts() -> None:
    rng = np.random.default_rng(0)
    columns, rows = rng.uniform(0, WIDTH - 1, 3000), rng.uniform(0, HEIGHT - 1, 3000)
    front = np.stack([(columns - 64) / 100 * 10, (rows - 32) / 100 * 10, np.full(3000, 10.0)], 1)
    behind, back = front * 3, -front
    points = np.concatenate([behind, front, back, [[np.nan] * 3]])
    predicted = np.full((HEIGHT, WIDTH), 8.0, np.float32)
    assert scale_from_points(predicted, points, CAMERA) == pytest.approx(1.25)


def transform(parent: str, child: str, xyz: tuple[float, ...], xyzw: tuple[float, ...]) -> Any:
    types = typestore().types
    vector, turn = types['geometry_msgs/msg/Vector3'](*xyz), types['geometry_msgs/msg/Quaternion'](*xyzw)
    return types['geometry_msgs/msg/TransformStamped'](
        header(START_NS, parent), child, types['geometry_msgs/msg/Transform'](vector, turn)
    )


def test_frames_are_connected_over_several_steps_in_both_directions() -> None:
    transforms = StaticTransforms()
    half = 0.5**0.5
    transforms.add(
        [
            transform('base', 'lidar', (1.0, 0.0, 2.0), (0.0, 0.0, half, half)),
            transform('base', 'camera', (0.0, 3.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
        ]
    )
    to_camera = transforms.between('lidar', '/camera')
    assert to_camera is not None
    np.testing.assert_allclose(moved(np.array([[1.0, 0.0, 0.0]]), to_camera), [[1.0, -2.0, 2.0]], atol=1e-9)
    assert transforms.between('lidar', 'moon') is None


def cloud(points: np.ndarray, frame: str, at_ns: int) -> Any:
    types = typestore().types
    field = types['sensor_msgs/msg/PointField']
    packed = np.zeros(len(points), np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('intensity', '<f4')]))
    packed['x'], packed['y'], packed['z'] = points.T
    fields = [field(name, 4 * place, 7, 1) for place, name in enumerate(('x', 'y', 'z', 'intensity'))]
    data = np.frombuffer(packed.tobytes(), np.uint8)
    return types['sensor_msgs/msg/PointCloud2'](
        header(at_ns, frame), 1, len(points), fields, False, 16, 16 * len(points), data, True
    )


def test_points_are_read_by_their_fields_and_others_refused() -> None:
    points = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    message = cloud(points, 'lidar', START_NS)
    np.testing.assert_array_equal(points_of(message), points)
    message.data = message.data[:-1]
    with pytest.raises(CalibrationError, match='has 111 bytes, too few for 1 rows of 7 points'):
        points_of(message)
    message.fields = message.fields[:2]
    with pytest.raises(CalibrationError, match='has the fields x, y; x, y and z must be floats'):
        points_of(message)


def unchanged(info: Any) -> None:
    """As the driver of a whole, calibrated sensor sends it."""


def write_drive(
    path: Path,
    frames: int = 12,
    fx: float = FOCAL_REFERENCE_PX,
    change_info: Callable[[Any], None] = unchanged,
    damage: Callable[[int, Any], None] = lambda number, picture: None,
    beside: Callable[[BagWriter, int], None] = lambda writer, at_ns: None,
) -> Path:
    """Grey pictures of something at ``TRUE_SCALE`` times what the tiny student says, with stereo depth and a LiDAR."""
    true_m = PREDICTED_M * TRUE_SCALE
    rng = np.random.default_rng(0)
    columns, rows = rng.uniform(0, WIDTH, 4000), rng.uniform(0, HEIGHT, 4000)
    points = np.stack([(columns - 64) / fx * true_m, (rows - 32) / fx * true_m, np.full(4000, true_m)], 1)
    types = typestore().types
    with BagWriter(path) as writer:
        moving = transform('camera', 'lidar', (0.0, 0.0, 0.5), (0.0, 0.0, 0.0, 1.0))
        writer.write('/tf_static', START_NS, types['tf2_msgs/msg/TFMessage']([moving]))
        for number in range(frames):
            at_ns = START_NS + number * STEP_NS
            info = camera_info(at_ns, 'camera', (WIDTH, HEIGHT), (fx, fx), (64.0, 32.0))
            change_info(info)
            writer.write('/camera/camera_info', at_ns, info)
            grey = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
            picture = image(at_ns, 'camera', grey, 'rgb8')
            damage(number, picture)
            writer.write('/camera/image_raw', at_ns, picture)
            depth_mm = np.full((HEIGHT // 2, WIDTH // 2), round(true_m * 1000), np.uint16)
            later_ns = at_ns + 20_000_000
            depth = image(later_ns, 'camera', depth_mm, '16UC1')
            damage(number, depth)
            writer.write('/stereo/depth', later_ns, depth)
            writer.write('/lidar/points', later_ns, cloud(points - [0, 0, 0.5], 'lidar', later_ns))
            beside(writer, later_ns)
    return path


@pytest.fixture(scope='module')
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_student(tmp_path_factory.mktemp('student') / 'tiny.onnx')


@pytest.mark.parametrize('reference', [Reference(depth_topic='/stereo/depth'), Reference(points_topic='/lidar/points')])
def test_a_bag_with_stereo_or_a_lidar_tells_the_scale(tmp_path: Path, student: Path, reference: Reference) -> None:
    bag = write_drive(tmp_path / 'drive')
    with Student.load(student) as loaded:
        result = calibrate(bag, loaded, '/camera/image_raw', '/camera/camera_info', reference)
    assert result.depth_scale == pytest.approx(TRUE_SCALE, rel=0.01)
    assert result.spread < 0.01
    assert (result.frames, result.looked_at) == (12, 12)


def test_a_bag_that_holds_less_than_it_promises_is_told_with_its_numbers(tmp_path: Path, student: Path) -> None:
    bag = write_drive(tmp_path / 'drive')
    promise_more(bag, '/camera/image_raw', 4)
    with Student.load(student) as loaded:
        result = calibrate(
            bag, loaded, '/camera/image_raw', '/camera/camera_info', Reference(depth_topic='/stereo/depth')
        )
    assert (result.frames, result.looked_at) == (12, 12)
    (damage,) = result.damages
    assert damage.reason == (
        "messages on '/camera/image_raw': metadata.yaml says 16, the index of the storage 12, reading gave 12"
    )


def binned_part_of_a_sensor(info: Any) -> None:
    """The same camera as a sensor of 400×300 pixels says it: a part of it, read out with binning 2."""
    info.width, info.height, info.binning_x, info.binning_y = 400, 300, 2, 2
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 60, 2 * WIDTH, 2 * HEIGHT
    info.k = np.array([2 * info.k[0], 0, 2 * 64 + 100, 0, 2 * info.k[4], 2 * 32 + 60, 0, 0, 1], np.float64)


@pytest.mark.parametrize('reference', [Reference(depth_topic='/stereo/depth'), Reference(points_topic='/lidar/points')])
def test_binning_and_region_of_interest_are_applied_as_in_the_node(
    tmp_path: Path, student: Path, reference: Reference
) -> None:
    bag = write_drive(tmp_path / 'drive', change_info=binned_part_of_a_sensor)
    with Student.load(student) as loaded:
        result = calibrate(bag, loaded, '/camera/image_raw', '/camera/camera_info', reference)
    assert result.depth_scale == pytest.approx(TRUE_SCALE, rel=0.01)
    assert (result.frames, result.uncalibrated) == (12, 0)


def twice_as_large(info: Any) -> None:
    info.width, info.height = 2 * info.width, 2 * info.height


def of_another_frame(info: Any) -> None:
    info.header.frame_id = 'rear'


@pytest.mark.parametrize(
    ('change', 'known'),
    [(twice_as_large, 'camera_info is for 256x128 pixels'), (of_another_frame, "camera_info is of frame 'rear'")],
)
def test_a_camera_info_that_the_node_would_not_take_tells_no_scale(
    tmp_path: Path, student: Path, change: Callable[[Any], None], known: str
) -> None:
    bag = write_drive(tmp_path / 'drive', change_info=change)
    expected = f"'/camera/camera_info': no camera_info for frame 'camera' with 128x64 pixels: {known}"
    with Student.load(student) as loaded, pytest.raises(CalibrationError, match=re.escape(expected)):
        calibrate(bag, loaded, '/camera/image_raw', '/camera/camera_info', Reference(depth_topic='/stereo/depth'))


def test_pictures_without_a_fitting_camera_info_are_left_out_and_counted(tmp_path: Path, student: Path) -> None:
    first_ns = START_NS + 4 * STEP_NS

    def change(info: Any) -> None:
        if info.header.stamp.sec * 10**9 + info.header.stamp.nanosec < first_ns:
            twice_as_large(info)

    bag = write_drive(tmp_path / 'drive', change_info=change)
    reference = Reference(depth_topic='/stereo/depth')
    with Student.load(student) as loaded:
        result = calibrate(bag, loaded, '/camera/image_raw', '/camera/camera_info', reference)
    assert (result.frames, result.looked_at, result.uncalibrated) == (8, 12, 4)
    assert result.depth_scale == pytest.approx(TRUE_SCALE, rel=0.01)


def cut_off(numbers: range, encoding: str) -> Callable[[int, Any], None]:
    """The last bytes of some pictures of an encoding are missing."""

    def damage(number: int, picture: Any) -> None:
        if number in numbers and picture.encoding == encoding:
            picture.data = picture.data[:-7]

    return damage


@pytest.mark.parametrize('encoding', ['rgb8', '16UC1'])
def test_damaged_pictures_are_left_out_and_counted(tmp_path: Path, student: Path, encoding: str) -> None:
    bag = write_drive(tmp_path / 'drive', damage=cut_off(range(3, 5), encoding))
    reference = Reference(depth_topic='/stereo/depth')
    with Student.load(student) as loaded:
        result = calibrate(bag, loaded, '/camera/image_raw', '/camera/camera_info', reference)
    assert (result.frames, result.looked_at, result.unreadable) == (10, 12, 2)
    assert result.depth_scale == pytest.approx(TRUE_SCALE, rel=0.01)


def test_a_bag_of_damaged_pictures_says_what_is_wrong_with_them(tmp_path: Path, student: Path) -> None:
    bag = write_drive(tmp_path / 'drive', damage=cut_off(range(8), 'rgb8'))
    said = r'only 4 of 12 pictures tell a scale \(8 cannot be read: .*24569.*\), 5 are needed'
    with Student.load(student) as loaded, pytest.raises(CalibrationError, match=said):
        calibrate(bag, loaded, '/camera/image_raw', '/camera/camera_info', Reference(depth_topic='/stereo/depth'))


@pytest.mark.parametrize(
    ('topics', 'reference', 'message'),
    [
        (
            ('/lidar/points', '/camera/camera_info'),
            Reference(camera_height_m=1.5),
            "'/lidar/points' is sensor_msgs/msg/P",
        ),
        (
            ('/camera/image_raw', '/tf_static'),
            Reference(camera_height_m=1.5),
            "'/tf_static' is tf2_msgs/msg/TFMessage; ",
        ),
        (
            ('/camera/image_raw', '/camera/camera_info'),
            Reference(depth_topic='/lidar/points'),
            'wanted is sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage, which the bag has on: '
            '/camera/image_raw, /stereo/depth',
        ),
        (
            ('/camera/image_raw', '/camera/camera_info'),
            Reference(points_topic='/stereo/depth'),
            'wanted is sensor_msgs/msg/PointCloud2, which the bag has on: /lidar/points',
        ),
    ],
)
def test_a_topic_of_another_type_is_named_with_those_that_would_do(
    tmp_path: Path, student: Path, topics: tuple[str, str], reference: Reference, message: str
) -> None:
    bag = write_drive(tmp_path / 'drive')
    with Student.load(student) as loaded, pytest.raises(CalibrationError, match=re.escape(message)):
        calibrate(bag, loaded, *topics, reference)


def test_pictures_for_people_are_no_depth(tmp_path: Path, student: Path) -> None:
    path = tmp_path / 'drive'
    with BagWriter(path) as writer:
        for number in range(6):
            at_ns = START_NS + number * STEP_NS
            info = camera_info(at_ns, 'camera', (WIDTH, HEIGHT), (100.0, 100.0), (64.0, 32.0))
            writer.write('/camera/camera_info', at_ns, info)
            grey = image(at_ns, 'camera', np.full((HEIGHT, WIDTH, 3), GREY, np.uint8), 'rgb8')
            writer.write('/camera/image_raw', at_ns, grey)
            writer.write('/stereo/left', at_ns, grey)
    reference = Reference(depth_topic='/stereo/left')
    with (
        Student.load(student) as loaded,
        pytest.raises(CalibrationError, match="the pictures on '/stereo/left' are 'rgb8'; depth is 32FC1 in metres"),
    ):
        calibrate(path, loaded, '/camera/image_raw', '/camera/camera_info', reference)


@pytest.mark.parametrize(
    ('reference', 'message'),
    [
        (Reference(depth_topic='/nowhere'), '/nowhere'),
        (Reference(camera_height_m=1.5, ground=('lava',)), 'knows none of the ground classes lava'),
        (Reference(camera_height_m=1.5), 'only 0 of 12 pictures tell a scale'),
    ],
)
def test_what_cannot_be_measured_is_said(tmp_path: Path, student: Path, reference: Reference, message: str) -> None:
    bag = write_drive(tmp_path / 'drive')
    with Student.load(student) as loaded, pytest.raises(Exception, match=message) as caught:
        calibrate(bag, loaded, '/camera/image_raw', '/camera/camera_info', reference)
    assert type(caught.value).__name__ in ('BagError', 'CalibrationError')


def test_one_reference_is_named() -> None:
    for arguments in ({}, {'camera_height_m': 1.0, 'depth_topic': '/depth'}):
        with pytest.raises(CalibrationError, match='name one reference'):
            Reference(**arguments)  # type: ignore[arg-type]


def test_on_the_command_line(tmp_path: Path, student: Path) -> None:
    bag = write_drive(tmp_path / 'drive')
    command = [sys.executable, '-c', 'from cast_ros.cli import main; main()', 'calibrate-depth', str(bag)]
    arguments = ['--model', str(student), '--depth-topic', '/stereo/depth']
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = re.match(r'depth_scale ([\d.]+) ', done.stdout)
    assert found is not None
    assert float(found[1]) == pytest.approx(TRUE_SCALE, rel=0.01)
    assert 'ros2 param set /perception depth_scale' in done.stdout


def test_the_rendered_drive_tells_the_height_of_its_camera(project_root: Path) -> None:
    """streets-small was trained on these streets, so that its scale is nearly right: 1.5 m over the road."""
    bag = project_root / 'assets' / 'street_drive.mcap'
    with Student.load(project_root / 'models' / 'streets-small.onnx') as student:
        result = calibrate(
            bag, student, '/camera/image_raw/compressed', '/camera/camera_info', Reference(camera_height_m=1.5)
        )
    assert result.frames >= 20
    assert 0.7 < result.depth_scale < 1.4


def test_without_calibration_there_is_no_scale(tmp_path: Path, student: Path) -> None:
    path = tmp_path / 'bare'
    with BagWriter(path) as writer:
        for number in range(6):
            at_ns = START_NS + number * STEP_NS
            info = camera_info(at_ns, 'camera', (WIDTH, HEIGHT), (0.0, 0.0), (0.0, 0.0))
            writer.write('/camera/camera_info', at_ns, info)
            grey = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
            writer.write('/camera/image_raw', at_ns, image(at_ns, 'camera', grey, 'rgb8'))
    with Student.load(student) as loaded, pytest.raises(CalibrationError, match='no calibrated camera_info'):
        calibrate(path, loaded, '/camera/image_raw', '/camera/camera_info', Reference(camera_height_m=1.5))


TRUE_MM = round(PREDICTED_M * TRUE_SCALE * 1000)
OTHER = '/depth/image_rect_raw'


def measured(tmp_path: Path, student: Path, beside: Callable[[BagWriter, int], None], topic: str = OTHER) -> float:
    bag = write_drive(tmp_path / 'drive', beside=beside)
    with Student.load(student) as loaded:
        return calibrate(
            bag, loaded, '/camera/image_raw', '/camera/camera_info', Reference(depth_topic=topic)
        ).depth_scale


def depth_camera(frame: str, with_info: bool, shape: tuple[int, int]) -> Callable[[BagWriter, int], None]:
    """A wall at the true distance for the right half of the depth camera's view, three times as far for the left."""
    depth_mm = np.full(shape, TRUE_MM, np.uint16)
    depth_mm[:, : shape[1] // 2] = 3 * TRUE_MM

    def write(writer: BagWriter, at_ns: int) -> None:
        writer.write(OTHER, at_ns, image(at_ns, frame, depth_mm, '16UC1'))
        if with_info:
            # Half as fine, and it looks from 0.5 m behind the camera.
            info = camera_info(at_ns, frame, shape[::-1], (FOCAL_REFERENCE_PX / 2,) * 2, (shape[1] / 2, shape[0] / 2))
            writer.write('/depth/camera_info', at_ns, info)

    return write


def test_depth_of_another_view_is_brought_into_the_camera_s(tmp_path: Path, student: Path) -> None:
    # The left half of its view is a wall three times as far; most of what the camera sees lies on the other half.
    scale = measured(tmp_path, student, depth_camera('lidar', True, (200, 100)))
    near, far = TRUE_SCALE * (1 + 500 / TRUE_MM), TRUE_SCALE * (3 + 500 / TRUE_MM)
    assert min(abs(scale - near), abs(scale - far)) < 0.01 * TRUE_SCALE


@pytest.mark.parametrize(
    ('beside', 'reason'),
    [
        (
            depth_camera('moon', True, (64, 128)),
            "frame 'moon', the picture of 'camera', and nothing on /tf_static",
        ),
        (depth_camera('lidar', False, (64, 128)), "is of frame 'lidar', the picture of 'camera', and no camera_info"),
        (depth_camera('camera', False, (100, 100)), 'has 100x100 pixels, the picture 128x64'),
    ],
)
def test_depth_that_nothing_connects_with_the_picture_is_refused(
    tmp_path: Path, student: Path, beside: Callable[[BagWriter, int], None], reason: str
) -> None:
    with pytest.raises(CalibrationError, match=re.escape(reason)):
        measured(tmp_path, student, beside)


def test_what_says_where_the_reference_is_may_be_recorded_late(tmp_path: Path, student: Path) -> None:
    """A recorder that starts with the robot meets /tf_static and the depth's camera_info after the first pictures."""
    write_drive(tmp_path / 'drive', beside=depth_camera('lidar', True, (200, 100)))
    late_ns = START_NS + 3 * STEP_NS
    with BagReader(tmp_path / 'drive') as reader, BagWriter(tmp_path / 'late') as writer:
        entries = [
            (raw.recorded_ns, raw)
            for raw in reader.raw_messages()
            if raw.topic != '/depth/camera_info' or raw.recorded_ns >= late_ns
        ]
        entries = [(late_ns if raw.topic == '/tf_static' else at_ns, raw) for at_ns, raw in entries]
        for at_ns, raw in sorted(entries, key=lambda entry: entry[0]):
            writer.write_raw(raw.topic, raw.msgtype, at_ns, raw.data)
    for reference in (Reference(depth_topic=OTHER), Reference(points_topic='/lidar/points')):
        found = []
        for bag in ('drive', 'late'):
            with Student.load(student) as loaded:
                result = calibrate(tmp_path / bag, loaded, '/camera/image_raw', '/camera/camera_info', reference)
            found.append((result.frames, result.depth_scale))
        assert found[0] == found[1]
        assert found[0][0] == 12


def test_what_the_pictures_are_says_nothing_about_the_depth_images(tmp_path: Path, student: Path) -> None:
    """Stereo depth is rectified, whatever the pictures of another camera are."""
    shape, topic = (64, 128), '/stereo/disparity/depth'
    depth_mm = np.full(shape, TRUE_MM, np.uint16)

    def beside(writer: BagWriter, at_ns: int) -> None:
        writer.write(topic, at_ns, image(at_ns, 'camera', depth_mm, '16UC1'))
        info = camera_info(at_ns, 'camera', shape[::-1], (FOCAL_REFERENCE_PX,) * 2, (64.0, 32.0))
        # Read by K, the whole view would fall on a few pixels in the middle.
        info.d, info.k = np.array([-0.3, 0.1, 0, 0, 0]), info.k * ([50] * 6 + [1] * 3)
        writer.write('/stereo/disparity/camera_info', at_ns, info)

    bag = write_drive(tmp_path / 'drive', beside=beside)
    with Student.load(student) as loaded:
        result = calibrate(
            bag, loaded, '/camera/image_raw', '/camera/camera_info', Reference(depth_topic=topic), rectified='false'
        )
    assert result.depth_scale == pytest.approx(TRUE_SCALE, rel=0.01)


def test_a_matrix_that_a_person_chose_is_named_when_it_is_empty(tmp_path: Path, student: Path) -> None:
    def change(info: Any) -> None:
        info.k = np.zeros(9)

    bag = write_drive(tmp_path / 'drive', change_info=change)
    reference = Reference(depth_topic='/stereo/depth')
    with Student.load(student) as loaded:
        assert calibrate(bag, loaded, '/camera/image_raw', '/camera/camera_info', reference).frames == 12
        with pytest.raises(CalibrationError, match="no calibrated camera_info on '/camera/camera_info': K is zero"):
            calibrate(bag, loaded, '/camera/image_raw', '/camera/camera_info', reference, rectified='false')


@pytest.mark.parametrize(('rectified', 'fx_factor', 'is_asked'), [('auto', 1, True), ('true', 2, False)])
def test_a_matrix_that_is_a_guess_is_said_until_a_person_settles_it(
    tmp_path: Path, student: Path, rectified: Any, fx_factor: int, is_asked: bool
) -> None:
    path = tmp_path / 'plain'
    with BagWriter(path) as writer:
        for number in range(6):
            at_ns = START_NS + number * STEP_NS
            info = camera_info(at_ns, 'camera', (WIDTH, HEIGHT), (FOCAL_REFERENCE_PX,) * 2, (64.0, 32.0))
            info.d, info.p = np.array([-0.3, 0.1, 0, 0, 0]), info.p * ([2] * 8 + [1] * 4)
            writer.write('/camera/camera_info', at_ns, info)
            grey = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
            writer.write('/camera/image', at_ns, image(at_ns, 'camera', grey, 'rgb8'))
            depth_mm = np.full((HEIGHT, WIDTH), TRUE_MM, np.uint16)
            writer.write('/stereo/depth', at_ns, image(at_ns, 'camera', depth_mm, '16UC1'))
    with Student.load(student) as loaded:
        reference = Reference(depth_topic='/stereo/depth')
        result = calibrate(path, loaded, '/camera/image', '/camera/camera_info', reference, rectified=rectified)
    assert result.depth_scale == pytest.approx(TRUE_SCALE / fx_factor, rel=0.01)
    assert ("set rectified to 'true'" in result.doubt) is is_asked


@pytest.mark.parametrize(
    ('payload', 'form'),
    [(compressed_depth_png, '16UC1; compressedDepth png'), (compressed_depth_rvl, '16UC1; compressedDepth rvl')],
)
def test_compressed_depth_tells_the_scale(
    tmp_path: Path, student: Path, payload: Callable[[np.ndarray], bytes], form: str
) -> None:
    topic, depth_mm = '/depth/image_raw/compressedDepth', np.full((HEIGHT, WIDTH), TRUE_MM, np.uint16)

    def beside(writer: BagWriter, at_ns: int) -> None:
        writer.write(topic, at_ns, compressed_image(at_ns, 'camera', payload(depth_mm), form))

    assert measured(tmp_path, student, beside, topic) == pytest.approx(TRUE_SCALE, rel=0.01)


def test_a_compressed_picture_is_no_depth(tmp_path: Path, student: Path) -> None:
    def beside(writer: BagWriter, at_ns: int) -> None:
        writer.write('/other/compressed', at_ns, compressed_image(at_ns, 'camera', b'x', 'rgb8; jpeg compressed bgr8'))

    with pytest.raises(CalibrationError, match="are 'rgb8; jpeg compressed bgr8'; depth is 32FC1"):
        measured(tmp_path, student, beside, '/other/compressed')
