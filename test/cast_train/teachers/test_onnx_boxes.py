# SPDX-License-Identifier: Apache-2.0
"""Instances by an ONNX detector of others and our network from boxes to masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tiny_masks import TINY

from cast_ros.student import InputSpec
from cast_train.data.class_maps import class_map_of
from cast_train.errors import TeacherError
from cast_train.models.promptable import PromptableMasks, PromptableSize
from cast_train.teachers.onnx_boxes import COCO, OnnxBoxes, OnnxBoxesSettings
from cast_train.teachers.registry import TEACHERS, open_teacher

CLASSES = class_map_of('road').classes
ROAD = {entry.name: entry.id for entry in CLASSES}
SIDE, CELLS = 64, 64 + 16 + 4
Row = tuple[int, str, float, tuple[float, float, float, float]]
# Cell 19 of the finest grid is the fourth of the third row.
CAR: Row = (19, 'car', 0.9, (0.5, 0.5, np.log(4), np.log(2)))


def detector(path: Path, *rows: Row, columns: int = 85, sees_above: float = -1.0) -> Path:
    """Answers these rows (cell, class, score, box) for every picture that is brighter than that in the mean."""
    answer = np.zeros((1, CELLS, columns), np.float32)
    for cell, name, score, box in rows:
        answer[0, cell, :4] = box
        answer[0, cell, 4], answer[0, cell, 5 + COCO.index(name)] = 1.0, score
    nodes = [
        helper.make_node('ReduceMean', ['image'], ['mean'], keepdims=0),
        helper.make_node('Greater', ['mean', 'least'], ['is_bright']),
        helper.make_node('Cast', ['is_bright'], ['factor'], to=TensorProto.FLOAT),
        helper.make_node('Mul', ['rows', 'factor'], ['output']),
    ]
    graph = helper.make_graph(
        nodes,
        'detector',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info('output', TensorProto.FLOAT, list(answer.shape))],
        [numpy_helper.from_array(answer, 'rows'), numpy_helper.from_array(np.float32(sees_above), 'least')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def teacher(file: Path, classes: Any = CLASSES, **settings: Any) -> OnnxBoxes:
    torch.manual_seed(0)
    masks = PromptableMasks(PromptableSize.model_validate(TINY))
    values = OnnxBoxesSettings(network=file, masks=Path('unused'), **settings)
    return OnnxBoxes(values, classes, masks, InputSpec(height=64, width=96))


def picture(height: int = 64, width: int = 128, value: int = 100) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_a_cell_becomes_a_box_in_pixels_of_the_picture(tmp_path: Path) -> None:
    scores, labels, boxes = teacher(detector(tmp_path / 'a.onnx', CAR)).detect(picture())
    assert labels.tolist() == [ROAD['car']]
    assert scores.tolist() == pytest.approx([0.9])
    # Middle (3.5, 2.5) cells of 8 pixels, 32 by 16 large, in an input half as fine as the picture.
    assert boxes.tolist() == [pytest.approx([24, 24, 88, 56], abs=1e-3)]


def test_boxes_that_are_pixels_already_are_taken_as_they_are(tmp_path: Path) -> None:
    file = detector(tmp_path / 'a.onnx', (0, 'bus', 0.8, (28.0, 20.0, 32.0, 16.0)))
    _, labels, boxes = teacher(file, boxes='decoded').detect(picture())
    assert labels.tolist() == [ROAD['bus']]
    assert boxes.tolist() == [pytest.approx([24, 24, 88, 56])]


def test_what_is_no_thing_here_or_unsure_or_seen_twice_is_left_out(tmp_path: Path) -> None:
    cell, _, _, box = CAR
    rows: tuple[Row, ...] = (
        CAR,
        (cell + 1, 'car', 0.6, (-0.4, 0.5, box[2], box[3])),
        (30, 'giraffe', 0.95, box),
        (40, 'person', 0.1, box),
        (21, 'truck', 0.5, box),
    )
    _, labels, _ = teacher(detector(tmp_path / 'a.onnx', *rows)).detect(picture())
    assert labels.tolist() == [ROAD['car'], ROAD['truck']]


def test_a_second_look_at_a_brightened_picture_finds_what_the_night_hid(tmp_path: Path) -> None:
    file = detector(tmp_path / 'a.onnx', CAR, sees_above=80)
    night = picture(64, 64, 30)
    assert len(teacher(file).detect(night)[0]) == 0
    assert len(teacher(file, brightened=True).detect(night)[0]) == 1
    assert len(teacher(file, brightened=True).detect(picture(64, 64, 200))[0]) == 1, 'seen by both looks, kept once'


def test_labels_have_masks_within_their_boxes(tmp_path: Path) -> None:
    asked = teacher(detector(tmp_path / 'a.onnx', CAR))
    # So that the random network sees something in every box.
    last = [parameter for name, parameter in asked.masks.named_parameters() if name.endswith('bias')][-1]
    last.data.fill_(8.0)
    empty, labels = asked.label([picture(64, 64, 0), picture()], [None, 500.0])
    assert (labels.height, labels.width, labels.semantic) == (64, 128, None)
    assert labels.labels.tolist() == [ROAD['car']]
    assert labels.soft_masks.shape[0] == 1
    mask = cv2.resize(labels.soft_masks[0], (128, 64), interpolation=cv2.INTER_NEAREST)
    assert mask[:, :20].max() == 0
    assert mask[:, 92:].max() == 0
    assert (empty.height, empty.width) == (64, 64)


def test_the_fingerprint_follows_file_masks_and_settings(tmp_path: Path) -> None:
    file = detector(tmp_path / 'a.onnx', CAR)
    one = teacher(file)
    assert one.fingerprint == teacher(file).fingerprint
    others = [teacher(file, brightened=True), teacher(file, nms_iou=0.5), teacher(detector(tmp_path / 'b.onnx'))]
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert one.parameters_m > 0


@pytest.mark.parametrize(
    ('make', 'settings', 'reason'),
    [
        (lambda path: detector(path, columns=90), {}, r'answers \(1, 84, 90\); wanted are 1×N×85'),
        (lambda path: detector(path, (0, 'car', float('nan'), CAR[3])), {}, 'wanted are 1×N×85 finite numbers'),
    ],
)
def test_an_answer_of_another_form_is_named(tmp_path: Path, make: Any, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(TeacherError, match=reason):
        teacher(make(tmp_path / 'a.onnx'), **settings).detect(picture())


def test_things_that_coco_has_not_are_named(tmp_path: Path) -> None:
    others = [entry.model_copy(update={'name': f'x{entry.id}'}) for entry in CLASSES]
    with pytest.raises(TeacherError, match='none of which is among the things x'):
        teacher(detector(tmp_path / 'a.onnx', CAR), others)


def test_it_is_opened_by_name_and_a_missing_run_of_masks_is_named(tmp_path: Path) -> None:
    assert TEACHERS['onnx_boxes'].asks
    settings = {'network': str(detector(tmp_path / 'a.onnx', CAR)), 'masks': str(tmp_path / 'run')}
    with pytest.raises(TeacherError, match='no such file; train the mask network'):
        open_teacher('onnx_boxes', settings, CLASSES)


def test_yolox_finds_who_walks_by(project_root: Path) -> None:
    road = project_root.parent / 'shared' / 'data' / 'road'
    file = road / 'teachers' / 'yolox_nano.onnx'
    if not file.is_file():
        pytest.skip(f'needs {file.name} of the shared data')
    images = sorted((road / 'pennfudan' / 'images').glob('*.jpg'))[:12]
    asked, found = teacher(file, score_floor=0.4), 0
    for path in images:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        instances = cv2.imread(str(path.parent.parent / 'instances' / f'{path.stem}.png'), cv2.IMREAD_UNCHANGED)
        _, labels, boxes = asked.detect(image)
        ys, xs = np.nonzero(instances == 1)
        true = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        low, high = np.maximum(boxes[:, :2], true[:2]), np.minimum(boxes[:, 2:], true[2:])
        shared = (high - low).clip(0).prod(1)
        union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (true[2:] - true[:2]).prod() - shared
        found += bool(((shared / union > 0.5) & (labels.numpy() == ROAD['person'])).any())
    assert found >= 9
