# SPDX-License-Identifier: Apache-2.0
"""Semantic maps by ONNX networks of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cast_ros.student import UNLABELLED
from cast_train.data import Sample
from cast_train.data.class_maps import class_map_of
from cast_train.errors import TeacherError
from cast_train.teachers.cache import LabelCache
from cast_train.teachers.onnx_semantic import CITYSCAPES, OnnxSemantic
from cast_train.teachers.registry import open_teacher
from cast_train.teachers.report import CollapseRule, LabelReport
from cast_train.teachers.teacher import PseudoLabelSettings, pseudo_sample

CLASSES = class_map_of('road').classes
ROAD = {entry.name: entry.id for entry in CLASSES}
HEIGHT, WIDTH = 16, 16
RED, GREEN, BLUE = (CITYSCAPES.index(name) for name in ('car', 'vegetation', 'sky'))


def network(path: Path, answers: str, channels_first: bool = True, external: bool = False) -> Path:
    """Reads red as car, green as vegetation, blue as sky, from the largest channel; as ids, or scores ten times it."""
    shape = [1, 3, HEIGHT, WIDTH] if channels_first else [1, HEIGHT, WIDTH, 3]
    kernel = np.zeros((len(CITYSCAPES), 3, 1, 1), np.float32)
    kernel[RED, 0], kernel[GREEN, 1], kernel[BLUE, 2] = 10, 10, 10
    nodes = [helper.make_node('Cast', ['image'], ['pixels'], to=TensorProto.FLOAT)]
    source = 'pixels'
    if not channels_first:
        nodes.append(helper.make_node('Transpose', ['pixels'], ['planes'], perm=[0, 3, 1, 2]))
        source = 'planes'
    nodes.append(helper.make_node('Conv', [source, 'kernel'], ['scores']))
    kind, form = TensorProto.FLOAT, [1, len(CITYSCAPES), HEIGHT, WIDTH]
    if answers == 'probabilities':
        nodes[-1].output[0] = 'logits'
        nodes.append(helper.make_node('Softmax', ['logits'], ['scores'], axis=1))
    if answers == 'ids':
        nodes.append(helper.make_node('ArgMax', ['scores'], ['ids'], axis=1, keepdims=0))
        kind, form = TensorProto.INT64, [1, HEIGHT, WIDTH]
    graph = helper.make_graph(
        nodes,
        'colours',
        [helper.make_tensor_value_info('image', TensorProto.FLOAT if channels_first else TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info('ids' if answers == 'ids' else 'scores', kind, form)],
        [numpy_helper.from_array(kernel, 'kernel')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    if external:
        onnx.save_model(model, path, save_as_external_data=True, size_threshold=0)
    else:
        path.write_bytes(model.SerializeToString())
    return path


def teacher(*files: Path, **settings: Any) -> OnnxSemantic:
    values = {'networks': list(map(str, files)), 'mean': [0, 0, 0], 'std': [1, 1, 1], **settings}
    found = open_teacher('onnx_semantic', values, CLASSES)
    assert isinstance(found, OnnxSemantic)
    return found


def halves(left: tuple[int, int, int], right: tuple[int, int, int], height: int = 32, width: int = 32) -> np.ndarray:
    image = np.empty((height, width, 3), np.uint8)
    image[:, : width // 2], image[:, width // 2 :] = left, right
    return image


@pytest.mark.parametrize(('answers', 'channels_first'), [('ids', False), ('scores', True), ('ids', True)])
def test_classes_are_translated_by_name_at_the_size_of_the_picture(
    tmp_path: Path, answers: str, channels_first: bool
) -> None:
    asked = teacher(network(tmp_path / 'a.onnx', answers, channels_first))
    (labels,) = asked.label([halves((255, 0, 0), (0, 0, 255))], [None])
    assert labels.semantic is not None
    assert labels.semantic.shape == (32, 32)
    assert set(labels.semantic[:, :14].ravel().tolist()) == {ROAD['car']}
    assert set(labels.semantic[:, 18:].ravel().tolist()) == {ROAD['sky']}
    assert len(labels.labels) == 0


def test_what_a_network_with_scores_is_unsure_of_is_unlabelled(tmp_path: Path) -> None:
    asked = teacher(network(tmp_path / 'a.onnx', 'scores'))
    (labels,) = asked.label([halves((255, 0, 0), (120, 120, 0))], [None])
    assert labels.semantic is not None
    assert labels.semantic[5, 5] == ROAD['car']
    assert labels.semantic[5, 28] == UNLABELLED


def test_of_ids_alone_all_networks_must_agree(tmp_path: Path) -> None:
    one = network(tmp_path / 'a.onnx', 'ids', channels_first=False)
    other = network(tmp_path / 'b.onnx', 'ids', channels_first=True)
    image = halves((255, 0, 0), (0, 255, 0))
    both = teacher(one, other, colors='rgb')
    assert (both.semantic(image) != UNLABELLED).mean() > 0.9
    # The second one gets its channels in the other order: it calls red sky.
    swapped = teacher(one, colors='bgr')
    assert swapped.semantic(image)[5, 5] == ROAD['sky']


def test_a_wide_picture_is_asked_tile_by_tile(tmp_path: Path) -> None:
    file = network(tmp_path / 'a.onnx', 'ids', channels_first=False)
    stripes = np.zeros((16, 96, 3), np.uint8)
    stripes[..., 0] = 255
    stripes[:, 40:44] = (0, 255, 0)
    found = teacher(file).semantic(stripes)
    assert (found[:, 40:44] == ROAD['vegetation']).mean() > 0.8
    whole = teacher(file, tiles=False).semantic(stripes)
    assert (whole[:, 40:44] == ROAD['vegetation']).mean() < (found[:, 40:44] == ROAD['vegetation']).mean()


def test_the_fingerprint_follows_file_and_settings_and_not_the_folder(tmp_path: Path) -> None:
    (tmp_path / 'moved').mkdir()
    one, moved = network(tmp_path / 'a.onnx', 'ids'), network(tmp_path / 'moved' / 'b.onnx', 'ids')
    assert teacher(one).fingerprint == teacher(moved).fingerprint
    others = [teacher(network(tmp_path / 'c.onnx', 'scores')), teacher(one, tiles=False), teacher(one, colors='bgr')]
    assert len({teacher(one).fingerprint, *(other.fingerprint for other in others)}) == 4


def text(path: Path) -> Path:
    path.write_text('version https://git-lfs', encoding='utf-8')
    return path


@pytest.mark.parametrize(
    ('make', 'reason'),
    [
        (lambda folder: folder / 'absent.onnx', 'there is no such file'),
        (lambda folder: text(folder / 'a.onnx'), 'git LFS'),
        (lambda folder: network(folder / 'a.onnx', 'ids', external=True), 'keeps its weights in other files'),
    ],
)
def test_a_file_of_no_use_is_named(tmp_path: Path, make: Any, reason: str) -> None:
    with pytest.raises(TeacherError, match=reason):
        teacher(make(tmp_path))


def test_classes_that_it_does_not_know_are_named(tmp_path: Path) -> None:
    file = network(tmp_path / 'a.onnx', 'ids')
    other = [entry.model_copy(update={'name': f'x{entry.id}'}) for entry in CLASSES]
    with pytest.raises(TeacherError, match=r'knows road, sidewalk, .* and the pictures need x0'):
        open_teacher('onnx_semantic', {'networks': [str(file)]}, other)


def test_an_answer_of_another_form_is_named(tmp_path: Path) -> None:
    asked = teacher(network(tmp_path / 'a.onnx', 'scores'), answers='voc')
    with pytest.raises(TeacherError, match=r'answers float32 of shape \(19, 16, 16\); wanted are'):
        asked.semantic(halves((1, 2, 3), (4, 5, 6)))


def test_probabilities_are_taken_as_they_are(tmp_path: Path) -> None:
    image = halves((255, 0, 0), (120, 120, 0))
    logits, shares = (teacher(network(tmp_path / f'{kind}.onnx', kind)) for kind in ('scores', 'probabilities'))
    np.testing.assert_array_equal(shares.semantic(image), logits.semantic(image))
    assert shares.semantic(image)[5, 5] == ROAD['car']


def test_a_map_alone_says_nothing_of_objects_and_is_no_collapse(tmp_path: Path) -> None:
    asked = teacher(network(tmp_path / 'a.onnx', 'scores'))
    image = halves((255, 0, 0), (0, 0, 255))
    cache = LabelCache(tmp_path / 'cache', asked.fingerprint)
    key, (answer,) = cache.key(image, None), asked.label([image], [None])
    cache.store(key, answer)
    stored, report = cache.load(key), LabelReport()
    assert stored is not None
    assert not stored.knows_instances
    for _ in range(60):
        report.add(stored, 0.3)
    report.require_health(CollapseRule(), CLASSES)
    human = Sample(
        name='one',
        image=image,
        semantic=np.full((32, 32), UNLABELLED, np.uint8),
        instance_ids=np.zeros((32, 32), np.uint16),
        instance_labels=np.zeros(0, np.int64),
        union_ids=np.ones((32, 32), np.uint8),
        unions=((2, 6),),
        groups=((2, 6),),
    )
    taught = pseudo_sample(human, stored, PseudoLabelSettings())
    assert taught.instance_ids is None
    assert (taught.union_ids, taught.unions, taught.groups) == (None, (), ())
    assert taught.semantic is not None
    assert taught.semantic[5, 5] == ROAD['car']
