# SPDX-License-Identifier: Apache-2.0
"""One case for each fault that a camera, a link, a model or a person can inject, against the real node over DDS.

What the node did becomes docs/faults.md, which the last test compares; `python -m pytest test/system/test_faults.py
--write-faults` writes it anew.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

import numpy as np
import onnxruntime
from faults import ANSWERED, COMPRESSED_FAULTS, IMAGE_FAULTS, Fault
from node_case import FX, GREY_M, HEIGHT, WIDTH, Case
from onnx import ModelProto, TensorProto, helper, numpy_helper
from ros_probe import RosProbe
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tiny_student import tiny_student
from vision_msgs.msg import Detection2DArray

from cast_ros.images import decode_image

TITLE = """# What the perception node does with faults

Written by `test/system/test_faults.py` from its own run against the real node over DDS; a test keeps it current.

| area | fault | what the node did |
| --- | --- | --- |
"""
Record = Callable[[str, str, str], None]


@pytest.fixture(scope='module')
def rows() -> list[tuple[str, str, str]]:
    return []


@pytest.fixture
def record(rows: list[tuple[str, str, str]]) -> Record:
    return lambda area, fault, did: rows.append((area, fault, did))


@pytest.fixture(scope='module')
def raw(probe: RosProbe, model: Path) -> Iterator[Case]:
    yield from _listening(probe, model)


@pytest.fixture(scope='module')
def compressed(probe: RosProbe, model: Path) -> Iterator[Case]:
    yield from _listening(probe, model, image_transport='compressed')


def _listening(probe: RosProbe, model: Path, **parameters: Any) -> Iterator[Case]:
    with ExitStack() as stack:
        case = Case(probe, stack, model)
        case.start(**parameters)
        case.probe.until_state(case.name, 'active')
        case.listen(Detection2DArray, 'detections')
        probe.until(lambda: case.node._outputs is not None and case.node._outputs.wanted(), 'the listener to be known')
        yield case


def counts(case: Case) -> tuple[int, int, int]:
    """Answered, malformed, failed."""
    snapshot = case.node.statistics.snapshot()
    return snapshot.answered, snapshot.drops['malformed'], snapshot.drops['inference failed']


def inject(case: Case, camera: Any, fault: Fault) -> str:
    """Publishes the faulty picture until the node has done something with it, and says what."""
    before = counts(case)
    after = case.probe.publish_until(
        lambda: camera.publish(fault.make(case)), lambda: (now := counts(case)) != before and now, fault.name
    )
    assert after[2] == before[2], 'inference failed'
    if after[0] > before[0]:
        return ANSWERED
    snapshot = case.node.statistics.snapshot()
    assert fault.does != ANSWERED, snapshot.last_malformed
    assert snapshot.last_malformed.startswith(fault.does)
    assert snapshot.malformed[fault.field or 'data'] > 0
    return f'refused, blames `{fault.field or "data"}`: “{fault.does} …”'


@pytest.mark.parametrize('fault', IMAGE_FAULTS, ids=lambda fault: fault.name)
def test_picture(raw: Case, record: Record, fault: Fault) -> None:
    camera = raw.camera()
    did = inject(raw, camera, fault)
    assert (did == ANSWERED) == (fault.does == ANSWERED)
    healthy = Fault('', 'a healthy picture afterwards', lambda case: case.picture())
    assert inject(raw, camera, healthy) == ANSWERED
    raw.probe.node.destroy_publisher(camera)
    record(fault.area, fault.name, did)


@pytest.mark.parametrize('fault', COMPRESSED_FAULTS, ids=lambda fault: fault.name)
def test_compressed_picture(compressed: Case, record: Record, fault: Fault) -> None:
    camera = compressed.camera(CompressedImage, 'image/compressed')
    did = inject(compressed, camera, fault)
    assert (did == ANSWERED) == (fault.does == ANSWERED)
    healthy = next(one for one in COMPRESSED_FAULTS if one.name == 'format empty')
    assert inject(compressed, camera, healthy) == ANSWERED
    compressed.probe.node.destroy_publisher(camera)
    record(fault.area, fault.name, did)


def stamped(case: Case, seconds: float) -> Image:
    message = case.picture()
    message.header.stamp.sec, message.header.stamp.nanosec = int(seconds), int(seconds % 1 * 1e9)
    return message


@pytest.mark.parametrize(
    ('name', 'stamps'),
    [
        ('stamp 0', (0.0,)),
        ('stamp in the future', (2_000_000_000.0,)),
        ('stamps that go back, as in a bag that loops', (2000.0, 1000.0)),
        ('the same stamp twice', (3000.0, 3000.0)),
    ],
)
def test_stamps(raw: Case, record: Record, name: str, stamps: tuple[float, ...]) -> None:
    camera = raw.camera()
    for stamp in stamps:
        fault = Fault('time', name, lambda case, stamp=stamp: stamped(case, stamp))
        assert inject(raw, camera, fault) == ANSWERED
    raw.probe.node.destroy_publisher(camera)
    record('time', name, f'{ANSWERED}, the stamp as it came')


def test_pictures_older_than_allowed(raw: Case, record: Record) -> None:
    assert raw.probe.set_parameter(raw.name, 'max_age_s', 0.5) == (True, '')
    camera = raw.camera()
    raw.probe.publish_until(
        lambda: camera.publish(stamped(raw, 1000.0)),
        lambda: raw.node.statistics.snapshot().drops['too old'] > 0,
        'a picture that is too old',
    )
    fresh = Fault('', 'fresh', lambda case: stamped(case, time.time()))
    assert inject(raw, camera, fresh) == ANSWERED
    assert raw.probe.set_parameter(raw.name, 'max_age_s', 0.0) == (True, '')
    raw.probe.node.destroy_publisher(camera)
    record('time', 'older than `max_age_s`', 'dropped, counted as `too old`; /diagnostics warns')


def test_simulated_time_that_never_begins(case: Case, record: Record) -> None:
    case.start(use_sim_time=True)
    (answer,) = case.ask(case.listen(Detection2DArray, 'detections'))
    assert len(answer.detections) == 2
    record('time', '`use_sim_time` without /clock', ANSWERED)


def test_ten_times_what_it_can_do(case: Case, record: Record) -> None:
    node = case.start()
    case.probe.until_state(case.name, 'active')
    inbox = case.listen(Detection2DArray, 'detections')
    case.probe.until(lambda: node._outputs is not None and node._outputs.wanted(), 'the listener to be known')
    student = node._student
    assert student is not None
    predict: Callable[..., Any] = student.predict

    def slow(rgb: Any, **arguments: Any) -> Any:
        time.sleep(0.1)
        return predict(rgb, **arguments)

    student.predict = slow  # type: ignore[method-assign]
    camera = case.camera()
    case.probe.until_matched(camera)
    for _ in range(100):
        camera.publish(case.picture())
        case.probe.until(lambda: True, 'a moment')
        time.sleep(0.01)
    newest = case.sent[-1]
    case.probe.until(lambda: any(answer.header == newest for answer in inbox), 'an answer to the newest picture')
    snapshot = node.statistics.snapshot()
    assert snapshot.drops['superseded'] >= 50
    assert snapshot.received == snapshot.answered + snapshot.drops['superseded']
    record('load', 'ten times as many pictures as it can answer', 'the newest is answered, the others are `superseded`')


def test_a_camera_that_stops_and_returns(case: Case, record: Record) -> None:
    case.start(stale_after_s=0.3)
    case.listen(Detection2DArray, 'detections')
    status = case.probe.diagnostics(case.name)
    camera = case.camera()

    def level(wanted: str) -> Callable[[], Any]:
        return lambda: status and status[-1]['level'] == wanted

    case.probe.publish_until(lambda: camera.publish(case.picture()), level('WARN'), 'pictures')
    case.probe.until(level('STALE'), 'STALE')
    assert 'but no picture comes' in status[-1]['message']
    case.probe.publish_until(lambda: camera.publish(case.picture()), level('WARN'), 'pictures again')
    record('load', 'the camera stops, and returns', 'STALE with the awaited topic, then as before')


def test_a_publisher_that_returns_with_another_quality(case: Case, record: Record) -> None:
    case.start()
    inbox = case.listen(Detection2DArray, 'detections')
    case.ask(inbox)
    best_effort = case.camera(reliable=False)
    inbox.clear()
    case.probe.publish_until(lambda: best_effort.publish(case.picture()), lambda: inbox, 'an answer')
    record('load', 'the publisher returns as best effort', ANSWERED)


def test_two_publishers(case: Case, record: Record) -> None:
    case.start()
    inbox = case.listen(Detection2DArray, 'detections')
    cameras = [case.camera(), case.camera()]
    sent: list[list[Any]] = [[], []]

    def publish() -> None:
        for number, camera in enumerate(cameras):
            message = case.picture()
            sent[number].append(message.header)
            camera.publish(message)

    case.probe.publish_until(
        publish,
        lambda: all(any(answer.header in headers for answer in inbox) for headers in sent),
        'answers to both publishers',
    )
    record('load', 'two publishers on the topic', 'both are answered')


def test_nobody_listens(case: Case, record: Record) -> None:
    node = case.start()
    case.probe.until_state(case.name, 'active')
    camera = case.camera()
    case.probe.publish_until(
        lambda: camera.publish(case.picture()), lambda: node.statistics.snapshot().idle >= 3, 'idle pictures'
    )
    assert node.statistics.snapshot().answered == 0
    record('load', 'nobody listens', 'no inference; counted as idle')


def calibration(case: Case, **changes: Any) -> CameraInfo:
    info = case.camera_info()
    for name, value in changes.items():
        target, _, attribute = name.rpartition('__')
        setattr(getattr(info, target) if target else info, attribute, value)
    return info


@pytest.mark.parametrize(
    ('name', 'changes', 'warning'),
    [
        ('missing', None, 'no camera_info for frame'),
        ('K and P all zero', {'k': [0.0] * 9, 'p': [0.0] * 12}, 'is not calibrated (K is zero)'),
        ('K all zero, P good', {'k': [0.0] * 9}, ''),
        ('P all zero, K good', {'p': [0.0] * 12}, ''),
        ('of another size', {'width': WIDTH * 2, 'height': HEIGHT * 2}, 'camera_info is for 512x256 pixels'),
        ('of another frame', {'header__frame_id': 'rear_optical'}, "camera_info is of frame 'rear_optical'"),
        ('of the same frame with the slash of ROS 1', {'header__frame_id': '/front_optical'}, ''),
        ('without a size', {'width': 0, 'height': 0}, 'the driver leaves its size empty'),
        ('K with NaN', {'k': [math.nan, *[0.0] * 8]}, 'is not calibrated (K[0] is nan)'),
        (
            'K with NaN beside the focal length',
            {'k': [FX, math.nan, 130.0, 0.0, FX, 60.0, 0.0, 0.0, 1.0]},
            'is not calibrated (K[1] is nan)',
        ),
        ('P with NaN', {'p': [math.nan, *[0.0] * 11]}, 'is not calibrated (P[0] is nan)'),
        ('a negative focal length', {'k': [-FX, *[0.0] * 3, FX, *[0.0] * 4]}, 'the focal length K[0] is -'),
        (
            'distortion, and K and P differ',
            {'d': [-0.3, 0.1, 0.0, 0.0, 0.0], 'p': [0.8 * FX, 0.0, 128.0, 0.0, 0.0, 0.8 * FX, 64.0, *[0.0] * 5]},
            "if the pictures are rectified, set rectified to 'true'",
        ),
        ('binning 0', {'binning_x': 0, 'binning_y': 0}, ''),
        ('fisheye', {'distortion_model': 'equidistant', 'd': [0.1, 0.0, 0.0, 0.0]}, ''),
        ('without distortion', {'distortion_model': '', 'd': []}, ''),
        (
            'binned pictures of a sensor twice as large',
            {'width': 2 * WIDTH, 'height': 2 * HEIGHT, 'binning_x': 2, 'binning_y': 2},
            '',
        ),
        (
            'region of interest',
            {
                'width': 2 * WIDTH,
                'height': 2 * HEIGHT,
                'roi__width': WIDTH,
                'roi__height': HEIGHT,
                'roi__x_offset': 9,
            },
            '',
        ),
    ],
)
def test_camera_info(case: Case, record: Record, name: str, changes: dict[str, Any] | None, warning: str) -> None:
    node = case.start()
    inbox = case.listen(Image, 'depth/image')
    if changes is not None:
        info = calibration(case, **changes)
        publisher = case.camera(CameraInfo, 'camera_info')
        case.probe.publish_until(lambda: publisher.publish(info), lambda: len(node._camera_infos), 'calibration')
    (depth,) = case.ask(inbox)
    assert np.isfinite(decode_image(depth)[110, 20])
    warnings = ' '.join(node._warnings())
    assert warning in warnings
    assert bool(warnings) == bool(warning)
    did = f'{ANSWERED}; /diagnostics warns' if warning else ANSWERED
    record('camera_info', name, f'{did}: “… {warning} …”' if warning else did)


def test_pictures_that_are_rectified_by_their_name(case: Case, record: Record) -> None:
    case.start(image_topic='image_rect')
    inbox = case.listen(Image, 'depth/image')
    case.calibrate(calibration(case, p=[0.8 * FX, 0.0, 128.0, 0.0, 0.0, 0.8 * FX, 64.0, *[0.0] * 5]))
    camera = case.camera(topic='image_rect')
    case.probe.publish_until(lambda: camera.publish(case.picture()), lambda: inbox, 'an answer')
    assert decode_image(inbox[-1])[110, 20] == pytest.approx(0.8 * GREY_M, rel=1e-3)
    record('camera_info', 'distortion, and K and P differ; the topic is image_rect', 'answered, with depth by P')


def test_a_calibration_that_comes_late(case: Case, record: Record) -> None:
    case.start()
    inbox = case.listen(Image, 'depth/image')
    (before,) = case.ask(inbox)
    case.calibrate(case.camera_info(fx=FX / 2))
    (after,) = case.ask(inbox)
    assert decode_image(after)[110, 20] == pytest.approx(decode_image(before)[110, 20] / 2, rel=1e-3)
    record('camera_info', 'late', 'answered without it, and with it from then on')


def _without_metadata(model: ModelProto) -> None:
    del model.metadata_props[:]


def _nan_weights(model: ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = np.full_like(numpy_helper.to_array(tensor), np.nan)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _another_output(model: ModelProto) -> None:
    model.graph.output[-1].name = 'elsewhere'
    model.graph.node.append(helper.make_node('Identity', ['depth'], ['elsewhere']))


def _bytes(content: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return write


def _cut(path: Path) -> Path:
    whole = tiny_student(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


MODELS: tuple[tuple[str, Callable[[Path], Path], str], ...] = (
    ('no such file', lambda path: path, 'no such file'),
    ('a folder', _folder, 'is a directory'),
    ('an empty file', _bytes(b''), 'an empty file'),
    ('a text', _bytes(b'# readme\n' * 20), 'a text file'),
    ('a git LFS pointer', _bytes(b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n'), 'git LFS'),
    ('a PyTorch checkpoint', _bytes(b'PK\x03\x04' + bytes(200)), 'a zip archive'),
    ('random bytes', _bytes(np.random.default_rng(0).bytes(4000)), 'is not an ONNX file'),
    ('an ONNX file cut in half', _cut, ''),
    ('an ONNX model without contract', lambda path: tiny_student(path, contract=None), 'without a contract'),
    ('a contract that is not JSON', lambda path: tiny_student(path, contract='{'), 'contract'),
    ('a contract of a later version', lambda path: tiny_student(path, contract={'schema': '9.0'}), '9.0'),
    ('a contract without classes', lambda path: tiny_student(path, contract={'classes': []}), 'classes'),
    (
        'a contract of another input size',
        lambda path: tiny_student(path, contract={'input': {'height': 96, 'width': 128, 'resize': 'stretch'}}),
        'image',
    ),
    (
        'a contract that promises a head too many',
        lambda path: tiny_student(path, heads=('semantic',), contract={'outputs': ['semantic', 'depth']}),
        'depth',
    ),
    ('weights that are NaN', lambda path: tiny_student(path, edit=_nan_weights), 'NaN'),
    ('an output of another name', lambda path: tiny_student(path, edit=_another_output), ''),
)


@pytest.mark.parametrize(('name', 'make', 'sentence'), MODELS, ids=[row[0] for row in MODELS])
def test_model(
    case: Case, record: Record, model: Path, tmp_path: Path, name: str, make: Callable[[Path], Path], sentence: str
) -> None:
    path = make(tmp_path / 'student.onnx')
    case.start(autostart=False, model=str(path))
    assert case.probe.change_state(case.name, 'configure') is False
    assert case.node.failure.startswith('configure failed: ')
    assert sentence in case.node.failure
    assert 'Traceback' not in case.node.failure
    assert case.probe.state(case.name) == 'unconfigured'
    assert case.probe.set_parameter(case.name, 'model', str(model)) == (True, '')
    assert case.probe.change_state(case.name, 'configure') is True
    why = f'says “… {sentence} …”' if sentence else 'says why'
    record('model', name, f'not configured, {why}; a good model configures afterwards')


PARAMETERS_REFUSED: tuple[tuple[str, str, Any, str], ...] = (
    ('out of range', 'score_threshold', 1.5, 'out of range'),
    ('below range', 'points_stride', 0, 'out of range'),
    ('NaN', 'depth_scale', math.nan, 'depth_scale'),
    ('infinity', 'depth_scale', math.inf, 'depth_scale'),
    ('of another type', 'max_pixels', 'many', 'type'),
    ('none of the choices', 'output_size', 'huge', "must be 'image' or 'network'"),
    ('empty text', 'output_size', '', "must be 'image' or 'network'"),
    ('read-only', 'image_topic', '/other', 'read-only'),
    ('used by configure, while active', 'threads', 2, 'clean up first'),
    ('unknown', 'scoer_threshold', 0.5, 'undeclared'),
)


@pytest.mark.parametrize(
    ('name', 'parameter', 'value', 'reason'), PARAMETERS_REFUSED, ids=lambda value: str(value)[:30]
)
def test_parameter(raw: Case, record: Record, name: str, parameter: str, value: Any, reason: str) -> None:
    done, said = raw.probe.set_parameter(raw.name, parameter, value)
    assert done is False
    assert reason in said
    record('parameters', name, f'refused: “… {reason} …”')


def test_activate_twice_and_other_impossible_transitions(case: Case, record: Record) -> None:
    case.start(autostart=False)
    assert case.probe.change_state(case.name, 'activate') is False
    assert case.probe.change_state(case.name, 'configure') is True
    assert case.probe.change_state(case.name, 'activate') is True
    assert case.probe.change_state(case.name, 'activate') is False
    assert case.probe.change_state(case.name, 'cleanup') is False
    (answer,) = case.ask(case.listen(Detection2DArray, 'detections'))
    assert len(answer.detections) == 2
    record('lifecycle', 'activate before configure, activate twice, cleanup while active', 'refused; answers as before')


def test_deactivate_during_inference(case: Case, record: Record) -> None:
    node = case.start()
    case.probe.until_state(case.name, 'active')
    case.listen(Detection2DArray, 'detections')
    case.probe.until(lambda: node._outputs is not None and node._outputs.wanted(), 'the listener to be known')
    student, started = node._student, threading.Event()
    assert student is not None
    predict: Callable[..., Any] = student.predict

    def slow(rgb: Any, **arguments: Any) -> Any:
        started.set()
        time.sleep(0.5)
        return predict(rgb, **arguments)

    student.predict = slow  # type: ignore[method-assign]
    camera = case.camera()
    case.probe.publish_until(lambda: camera.publish(case.picture()), started.is_set, 'an inference')
    assert case.probe.change_state(case.name, 'deactivate') is True
    assert node.statistics.snapshot().answered >= 1
    assert case.probe.state(case.name) == 'inactive'
    record('lifecycle', 'deactivate during an inference', 'the picture is answered first')


def test_round_and_round(case: Case, record: Record) -> None:
    case.start(autostart=False)
    before = threading.active_count()
    resident_mb = []
    for _ in range(50):
        for transition in ('configure', 'activate', 'deactivate', 'cleanup'):
            assert case.probe.change_state(case.name, transition) is True, transition
        resident_mb.append(int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGESIZE') / 2**20)
    assert threading.active_count() == before
    assert np.mean(resident_mb[-5:]) - np.mean(resident_mb[10:15]) < 8
    record(
        'lifecycle',
        'configure, activate, deactivate, cleanup, fifty times',
        'works each time; no thread is left, memory stays',
    )


def test_another_model_without_a_restart(case: Case, record: Record, tmp_path: Path) -> None:
    case.start()
    inbox = case.listen(Detection2DArray, 'detections')
    case.ask(inbox)
    other = tiny_student(tmp_path / 'other.onnx', name='other', height=32, width=64)
    for transition in ('deactivate', 'cleanup'):
        assert case.probe.change_state(case.name, transition) is True
    assert case.probe.set_parameter(case.name, 'model', str(other)) == (True, '')
    for transition in ('configure', 'activate'):
        assert case.probe.change_state(case.name, transition) is True
    (answer,) = case.ask(case.listen(Detection2DArray, 'detections'))
    assert len(answer.detections) == 2
    assert case.node._student is not None
    assert case.node._student.contract.name == 'other'
    record('lifecycle', 'another model by parameter', 'answers with it after deactivate, cleanup, configure, activate')


def test_a_provider_that_fails_in_the_middle(case: Case, record: Record) -> None:
    """As a GPU that ran out of memory: onnxruntime raises from run."""
    node = case.start()
    case.probe.until_state(case.name, 'active')
    inbox = case.listen(Detection2DArray, 'detections')
    case.ask(inbox)
    status = case.probe.diagnostics(case.name)
    session = node._student._session  # type: ignore[union-attr]

    class Failing:
        def run(self, *_: Any) -> Any:
            raise RuntimeError('CUDA failure 2: out of memory')

        def __getattr__(self, name: str) -> Any:
            return getattr(session, name)

    node._student._session = Failing()  # type: ignore[union-attr]
    camera = case.camera()
    case.probe.publish_until(
        lambda: camera.publish(case.picture()), lambda: status and status[-1]['level'] == 'ERROR', 'ERROR'
    )
    node._student._session = session  # type: ignore[union-attr]
    case.ask(inbox)
    record('provider', 'out of memory in the middle of the stream', 'ERROR in /diagnostics; answers again once it can')


def test_a_provider_without_memory_at_load(case: Case, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child process that tries first has had the memory; then somebody else took it."""
    attempts = []

    def session(*_: Any, **__: Any) -> Any:
        attempts.append(1)
        raise RuntimeError('CUDA failure 2: out of memory')

    with monkeypatch.context() as patch:
        patch.setattr(onnxruntime, 'InferenceSession', session)
        node = case.start()
        status = case.probe.diagnostics(case.name)
        case.probe.until(lambda: status and 'out of memory' in status[-1]['message'], 'the reason in /diagnostics')
        assert status[-1]['level'] == 'ERROR'
        # A crash loop would try again before the third report.
        case.probe.until(lambda: len(status) >= 3, 'three reports')
        assert (node.state, len(attempts)) == ('unconfigured', 1)
    for transition in ('configure', 'activate'):
        assert case.probe.change_state(case.name, transition) is True
    case.ask(case.listen(Detection2DArray, 'detections'))
    record(
        'provider',
        'out of memory at load',
        'ERROR in /diagnostics with the reason; unconfigured, tried once; works after the next configure',
    )


def test_a_folder_of_engines_that_cannot_be(case: Case, record: Record) -> None:
    case.start(autostart=False, engine_cache_dir='~nobody-has-this-name/engines')
    assert case.probe.change_state(case.name, 'configure') is False
    assert case.node.failure.startswith("configure failed: parameter 'engine_cache_dir' is below a home that does not")
    assert case.probe.state(case.name) == 'unconfigured'
    assert case.probe.set_parameter(case.name, 'engine_cache_dir', '') == (True, '')
    assert case.probe.change_state(case.name, 'configure') is True
    record(
        'provider',
        '`engine_cache_dir` below a home that does not exist',
        'not configured, names the parameter; configures with another folder afterwards',
    )


def test_the_table_is_current(
    rows: list[tuple[str, str, str]], project_root: Path, request: pytest.FixtureRequest
) -> None:
    collected = [item for item in request.session.items if item.fspath == request.node.fspath]
    if len(rows) < 70 or len(rows) < len(collected) - 1:
        pytest.skip('only a part of the suite ran')
    table = TITLE + ''.join(f'| {area} | {fault} | {did} |\n' for area, fault, did in rows)
    page = project_root / 'docs' / 'faults.md'
    if request.config.getoption('--write-faults'):
        page.write_text(table, encoding='utf-8')
    assert page.read_text(encoding='utf-8') == table
