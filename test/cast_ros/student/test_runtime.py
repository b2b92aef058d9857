# SPDX-License-Identifier: Apache-2.0
"""Loading and running a real, tiny student through the real onnxruntime."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_student import CAP_M, FOCAL_REFERENCE_PX, tiny_student

from cast_ros.errors import StudentError
from cast_ros.student import LoadOptions, Prediction, Student

ROAD, SKY, PERSON, CAR = range(4)
RED, GREEN, BLUE, GREY, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90), (255, 255, 255)
GREY_M = 1 + 99 * 90 / 255


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tiny_student(tmp_path / 'tiny.onnx')


@pytest.fixture
def student(path: Path) -> Student:
    return Student.load(path)


def street(height: int = 128, width: int = 256) -> npt.NDArray[np.uint8]:
    """Grey, with sky above, a red car on the left, a blue person on the right and a white wall below."""
    rgb = np.full((height, width, 3), GREY, np.uint8)
    rgb[: height // 8] = GREEN
    rgb[height // 2 : height * 3 // 4, width // 8 : width // 2] = RED
    rgb[height // 2 : height * 3 // 4, width * 3 // 4 : width * 7 // 8] = BLUE
    rgb[height * 7 // 8 :] = WHITE
    return rgb


def rows(prediction: Prediction) -> dict[int, list[float]]:
    assert prediction.boxes is not None
    assert prediction.labels is not None
    return {int(label): [float(v) for v in box] for label, box in zip(prediction.labels, prediction.boxes, strict=True)}


def test_answers_with_instances_semantic_map_and_depth_of_the_picture(student: Student) -> None:
    answer = student.predict(street())
    assert (answer.height, answer.width) == (128, 256)
    # Logits of pure colour and of grey are symmetric about zero, so boxes lie within two pixels of the colours.
    found = rows(answer)
    np.testing.assert_allclose(found[CAR], [32, 64, 128, 96], atol=2)
    np.testing.assert_allclose(found[PERSON], [192, 64, 224, 96], atol=2)
    assert answer.scores is not None
    assert (answer.scores > 0.99).all()
    assert answer.instance_ids is not None
    assert answer.labels is not None
    assert answer.labels[answer.instance_ids[80, 64] - 1] == CAR
    assert answer.labels[answer.instance_ids[80, 208] - 1] == PERSON
    assert answer.instance_ids[40, 64] == 0
    assert answer.semantic is not None
    assert [answer.semantic[y, x] for y, x in ((4, 4), (40, 40), (80, 64), (80, 208))] == [SKY, ROAD, CAR, PERSON]
    assert answer.depth is not None
    assert answer.depth[40, 40] == pytest.approx(GREY_M, rel=1e-4)
    assert np.isposinf(answer.depth[4, 4])
    assert np.isposinf(answer.depth[124, 40])


def test_types_are_those_of_the_contract(student: Student) -> None:
    answer = student.predict(street())
    arrays = (answer.boxes, answer.labels, answer.scores, answer.instance_ids, answer.semantic, answer.depth)
    types = [array.dtype for array in arrays if array is not None]
    assert types == [np.float32, np.int64, np.float32, np.uint16, np.uint8, np.float32]
    assert all(array is not None and array.flags.c_contiguous for array in arrays)


def test_knows_what_it_was_loaded_from(student: Student, path: Path) -> None:
    assert (student.path, student.provider) == (path, 'CPUExecutionProvider')
    assert student.contract.name == 'tiny'
    assert student.output_shapes['masks'] == (1, 2, 16, 32)
    assert student.last_timing is None
    student.predict(street())
    timing = student.last_timing
    assert timing is not None
    assert min(timing.preprocess_ms, timing.inference_ms, timing.postprocess_ms) > 0
    assert timing.total_ms == timing.preprocess_ms + timing.inference_ms + timing.postprocess_ms


EXTREME_SIZES = [(480, 640), (721, 1283), (2000, 100), (1, 1), (1, 500)]


@pytest.mark.parametrize('size', EXTREME_SIZES)
def test_any_picture_size_is_answered_in_its_own_geometry(student: Student, size: tuple[int, int]) -> None:
    answer = student.predict(np.full((*size, 3), RED, np.uint8))
    np.testing.assert_array_equal(answer.instance_ids, np.ones(size))
    np.testing.assert_array_equal(answer.semantic, np.full(size, CAR))
    np.testing.assert_allclose(answer.depth, np.full(size, 1 + 99 * 0.299), rtol=1e-4)
    assert rows(answer) == {CAR: [0, 0, size[1], size[0]]}


@pytest.mark.parametrize('size', EXTREME_SIZES)
def test_any_picture_size_fits_a_letterbox(tmp_path: Path, size: tuple[int, int]) -> None:
    with Student.load(tiny_student(tmp_path / 'student.onnx', resize='letterbox')) as student:
        answer = student.predict(np.full((*size, 3), RED, np.uint8))
    assert answer.instance_ids is not None
    assert answer.semantic is not None
    assert answer.depth is not None
    assert answer.instance_ids.shape == answer.semantic.shape == answer.depth.shape == size
    # Where the picture's edge cuts through a cell of the network, the padding dilutes the colour.
    if min(size) >= 100:
        assert (answer.semantic[: size[0] * 15 // 16, : size[1] * 15 // 16] == CAR).all()


def test_the_network_s_own_size_on_request(student: Student) -> None:
    answer = student.predict(street(512, 1024), size='network')
    assert (answer.height, answer.width, answer.image_height, answer.image_width) == (64, 128, 512, 1024)
    assert answer.depth is not None
    assert answer.depth.shape == (64, 128)
    np.testing.assert_allclose(rows(answer)[CAR], [16, 32, 64, 48], atol=2)
    boxes = answer.image_boxes()
    assert boxes is not None
    assert answer.labels is not None
    np.testing.assert_allclose(boxes[list(answer.labels).index(CAR)], [128, 256, 512, 384], atol=16)


def test_the_padding_of_a_letterbox_is_not_answered(tmp_path: Path) -> None:
    student = Student.load(tiny_student(tmp_path / 'student.onnx', resize='letterbox'))
    answer = student.predict(street(300, 400), size='network')
    assert (answer.height, answer.width) == (64, 85)
    assert answer.semantic is not None
    assert answer.semantic.shape == (64, 85)


def test_depth_follows_the_focal_length_and_the_scale(student: Student) -> None:
    rgb = np.full((128, 256, 3), GREY, np.uint8)

    def depth(**arguments: Any) -> float:
        answer = student.predict(rgb, **arguments)
        assert answer.depth is not None
        return float(answer.depth[64, 128])

    assert depth() == pytest.approx(GREY_M, rel=1e-4)
    # The picture is twice as wide as the input, so twice the reference is the reference.
    assert depth(fx_px=2 * FOCAL_REFERENCE_PX) == pytest.approx(GREY_M, rel=1e-4)
    assert depth(fx_px=3 * FOCAL_REFERENCE_PX) == pytest.approx(1.5 * GREY_M, rel=1e-4)
    assert depth(depth_scale=0.5) == pytest.approx(0.5 * GREY_M, rel=1e-4)
    assert depth(fx_px=3 * FOCAL_REFERENCE_PX, depth_scale=0.5) == pytest.approx(0.75 * GREY_M, rel=1e-4)
    assert 4 * GREY_M > CAP_M
    assert np.isposinf(depth(fx_px=4 * FOCAL_REFERENCE_PX, depth_scale=2)), 'the cap counts in the metres of the answer'


@pytest.mark.parametrize(
    ('heads', 'present'),
    [({'instances'}, 'instances'), ({'semantic'}, 'semantic'), (['depth'], 'depth'), ((), ''), ({'depth'}, 'depth')],
)
def test_heads_that_nobody_asked_for_are_none(student: Student, heads: Any, present: str) -> None:
    answer = student.predict(street(), heads=heads)
    assert (answer.instance_ids is not None) == (answer.boxes is not None) == (present == 'instances')
    assert (answer.labels is not None) == (answer.scores is not None) == (present == 'instances')
    assert (answer.semantic is not None) == (present == 'semantic')
    assert (answer.depth is not None) == (present == 'depth')


def test_sky_is_infinite_when_depth_alone_is_asked_for(student: Student) -> None:
    answer = student.predict(street(), heads={'depth'})
    assert answer.depth is not None
    assert np.isposinf(answer.depth[4, 4])


def test_a_student_without_a_head_answers_none_for_it(tmp_path: Path) -> None:
    student = Student.load(tiny_student(tmp_path / 'student.onnx', heads=('depth',)))
    answer = student.predict(street(), heads={'instances', 'depth'})
    assert answer.instance_ids is None
    assert answer.depth is not None
    assert np.isfinite(answer.depth[4, 4])


def test_the_threshold_keeps_weak_rows_away(student: Student) -> None:
    answer = student.predict(np.full((64, 128, 3), GREY, np.uint8), score_threshold=0.5)
    assert answer.scores is not None
    assert answer.scores.size == 0


@pytest.mark.parametrize(
    ('rgb', 'message'),
    [
        (np.zeros((8, 8), np.uint8), r'uint8 \(8, 8\)'),
        (np.zeros((8, 8, 4), np.uint8), r'uint8 \(8, 8, 4\)'),
        (np.zeros((8, 8, 3), np.float32), 'float32'),
        (np.zeros((0, 8, 3), np.uint8), 'the picture is empty: 8 x 0'),
        ([[[0, 0, 0]]], 'list'),
        (None, 'NoneType'),
    ],
)
def test_what_is_no_picture_is_refused(student: Student, rgb: Any, message: str) -> None:
    with pytest.raises(StudentError, match=message):
        student.predict(rgb)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'fx_px': 0.0}, 'fx_px must be a positive number'),
        ({'fx_px': float('nan')}, 'fx_px must be a positive number'),
        ({'depth_scale': -1.0}, 'depth_scale must be a positive number'),
        ({'size': 'huge'}, 'size must be "image" or "network"'),
        ({'heads': {'boxes'}}, 'there is no head boxes; ask for any of depth, instances, semantic'),
    ],
)
def test_arguments_that_mean_nothing_are_refused(student: Student, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(StudentError, match=message):
        student.predict(street(), **arguments)


def test_after_close_the_student_says_so(student: Student) -> None:
    student.close()
    student.close()
    with pytest.raises(StudentError, match='was closed; load it again'):
        student.predict(street())


def test_the_digest_can_be_demanded(path: Path) -> None:
    digest = Student.load(path).sha256
    assert Student.load(path, LoadOptions(sha256=digest.upper())).sha256 == digest
    with pytest.raises(StudentError, match=f'has sha256 {digest}'):
        Student.load(path, LoadOptions(sha256='0' * 64))


def _named(name: str, new: str) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node('Identity', [name], [new]))
        value = next(value for value in model.graph.output if value.name == name)
        value.name = new

    return edit


def _reshaped(name: str, axis: int, size: int | str) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        values = [*model.graph.input, *model.graph.output]
        dimension = next(value for value in values if value.name == name).type.tensor_type.shape.dim[axis]
        if isinstance(size, int):
            dimension.dim_value = size
        else:
            dimension.dim_param = size

    return edit


def _retyped(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node('Cast', ['semantic'], ['wide'], to=TensorProto.INT64))
    model.graph.node.append(helper.make_node('Identity', ['wide'], ['semantic_64']))
    value = next(value for value in model.graph.output if value.name == 'semantic')
    value.name = 'semantic_64'
    value.type.tensor_type.elem_type = TensorProto.INT64
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = {'semantic': 'semantic_8', 'semantic_64': 'semantic'}.get(name, name)
    value.name = 'semantic'


def _future_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def _unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = 'Telepathy'


def _too_many_rows(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 101), np.float32), 'many'))
    for node in model.graph.node:
        for i, name in enumerate(node.output):
            node.output[i] = 'few' if name == 'scores' else name
    model.graph.node.append(helper.make_node('Identity', ['many'], ['scores']))
    _reshaped('scores', 1, 101)(model)


@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (_named('depth', 'distance'), 'output depth is missing; output distance is not in the contract'),
        (_retyped, r'semantic is tensor\(int64\), must be tensor\(uint8\)'),
        (_too_many_rows, 'scores has 101 rows, must have 1 to 100'),
        (_future_opset, 'onnxruntime cannot load it'),
        (_unknown_operator, 'onnxruntime cannot load it'),
    ],
)
def test_a_graph_that_breaks_its_promise_is_refused(
    tmp_path: Path, edit: Callable[[onnx.ModelProto], None], message: str
) -> None:
    path = tiny_student(tmp_path / 'student.onnx', edit=edit)
    with pytest.raises(StudentError, match=message) as caught:
        Student.load(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('contract', 'message'),
    [
        ({'input': {'height': 128, 'width': 128}}, r'image has shape 1×64×128×3, must be 1×128×128×3'),
        ({'outputs': ['semantic', 'depth']}, 'output labels is not in the contract; output masks is not'),
        ({'outputs': ['semantic'], 'depth': None}, 'output depth is not in the contract'),
        (None, 'is an ONNX model without a contract'),
        ('surprise', 'the contract is not JSON'),
        ({'schema': '2.0'}, r"schema '2\.0', this cast_ros reads 1\.x"),
        ({'classes': []}, 'the contract is not valid: classes'),
    ],
)
def test_a_contract_that_does_not_fit_is_refused(tmp_path: Path, contract: Any, message: str) -> None:
    path = tiny_student(tmp_path / 'student.onnx', contract=contract)
    with pytest.raises(StudentError, match=message) as caught:
        Student.load(path)
    assert str(path) in str(caught.value)


def test_a_shape_that_is_not_static_is_refused(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'student.onnx', edit=_reshaped('image', 0, 'batch'))
    with pytest.raises(StudentError, match=r'image has shape .*×64×128×3, must be 1×64×128×3'):
        Student.load(path)


def test_weights_that_are_not_numbers_show_at_the_warm_up(tmp_path: Path) -> None:
    def poison(model: onnx.ModelProto) -> None:
        for initializer in model.graph.initializer:
            if initializer.name == 'depth_bias':
                initializer.CopyFrom(numpy_helper.from_array(np.full(1, np.nan, np.float32), 'depth_bias'))

    with pytest.raises(StudentError, match="output 'depth' is NaN or infinite for a black picture"):
        Student.load(tiny_student(tmp_path / 'student.onnx', edit=poison))


def test_random_bytes_in_the_middle_give_a_student_error_or_nothing(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'student.onnx')
    whole = path.read_bytes()
    for seed in range(20):
        random = np.random.default_rng(seed)
        broken = bytearray(whole)
        start = int(random.integers(0, len(whole) - 16))
        broken[start : start + 16] = random.bytes(16)
        path.write_bytes(broken)
        with contextlib.suppress(StudentError), Student.load(path) as student:
            student.predict(street())


def test_a_provider_that_is_not_there_is_refused_or_warned_about(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wanted = ('NonsenseExecutionProvider', 'CPUExecutionProvider')
    with pytest.raises(StudentError, match=r'has no NonsenseExecutionProvider, it has .*CPUExecutionProvider'):
        Student.load(path, LoadOptions(wanted))
    with caplog.at_level(logging.WARNING, logger='cast_ros.student'):
        student = Student.load(path, LoadOptions(wanted, require_provider=False))
    assert student.provider == 'CPUExecutionProvider'
    assert 'instead of NonsenseExecutionProvider' in caplog.text
    assert student.predict(street()).semantic is not None


@pytest.mark.parametrize(('arguments', 'message'), [({'providers': ()}, 'no execution'), ({'threads': -1}, 'threads')])
def test_settings_that_mean_nothing_are_refused(path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(StudentError, match=message):
        Student.load(path, LoadOptions(**arguments))


def test_both_packages_of_onnxruntime_are_named_with_the_cure(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their metadata are real; the folders are laid out as pip does, on a path of their own."""
    for name in ('onnxruntime', 'onnxruntime_gpu'):
        info = tmp_path / f'{name}-1.20.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name.replace("_", "-")}\nVersion: 1.20.0\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    assert metadata.version('onnxruntime-gpu') == '1.20.0'
    with caplog.at_level(logging.WARNING, logger='cast_ros.student'):
        assert Student.load(path).provider == 'CPUExecutionProvider'
    assert 'pip uninstall -y onnxruntime onnxruntime-gpu` and then `pip install onnxruntime`' in caplog.text


def test_without_onnxruntime_the_package_imports_and_names_the_cure(path: Path) -> None:
    script = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        'from cast_ros.student import Student, StudentError\n'
        f'try:\n    Student.load({str(path)!r})\nexcept StudentError as error:\n    print(error)\n'
    )
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
    assert 'onnxruntime is missing or broken' in done.stdout
    assert 'run `pip install onnxruntime`' in done.stdout


def test_importing_the_student_loads_no_runtime_no_torch_and_no_ros() -> None:
    script = (
        'import cast_ros.student, cast_ros.offline.metrics.instances, sys\n'
        "print([name for name in ('torch', 'rclpy', 'onnxruntime', 'faster_coco_eval') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'
