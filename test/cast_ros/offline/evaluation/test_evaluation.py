# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cast_ros.errors import BagError, ImageError, MetricError, StudentError
from cast_ros.images import decode_compressed, encode_png
from cast_ros.offline.bags import BagReader, BagWriter
from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.offline.bags.messages import compressed_image, image, label_info, text
from cast_ros.offline.evaluation.answers import prediction_from_messages
from cast_ros.offline.evaluation.compare import Comparison
from cast_ros.offline.evaluation.ground_truth import (
    GroundTruth,
    LabelKey,
    decode_depth,
    decode_instances,
    read_ground_truth,
)
from cast_ros.offline.metrics.panoptic import PanopticQuality
from cast_ros.offline.metrics.temporal import TemporalMetrics
from cast_ros.student import ClassInfo, DepthSpec, InputSpec, Prediction, StudentContract

NAMES = {7: 'road', 23: 'sky', 24: 'person', 26: 'car', 27: 'truck'}
ABOUT = topics.About(
    schema='1.0', depth_unit_m=0.01, depth_sky=65535, depth_invalid=0, thing_names=('person', 'car', 'truck')
)
# A student that knows neither truck nor the order of the bag.
CONTRACT = StudentContract(
    name='tiny',
    version='1',
    license='Apache-2.0',
    input=InputSpec(height=64, width=128),
    classes=(
        ClassInfo(id=0, name='car', is_thing=True, color=(0, 0, 142)),
        ClassInfo(id=1, name='sky', is_thing=False, color=(70, 130, 180)),
        ClassInfo(id=2, name='person', is_thing=True, color=(220, 20, 60)),
        ClassInfo(id=3, name='road', is_thing=False, color=(128, 64, 128)),
    ),
    outputs=('scores', 'labels', 'masks', 'semantic', 'depth'),
    depth=DepthSpec(cap_m=80.0, focal_reference_px=100.0),
)
KEY = LabelKey.by_name(ABOUT, NAMES, CONTRACT)
RAW = np.array([[7, 7, 24001, 24001], [7, 26000, 26002, 26], [23, 27001, 99, 0]], np.uint16)


def test_classes_meet_by_name() -> None:
    parts = decode_instances(RAW, KEY.class_ids, KEY.thing_ids)
    assert parts.semantic.tolist() == [[3, 3, 2, 2], [3, 0, 0, 0], [1, 255, 255, 255]]
    assert parts.semantic.dtype == np.uint8


def test_each_numbered_thing_is_an_instance_and_an_unnumbered_one_a_crowd() -> None:
    parts = decode_instances(RAW, KEY.class_ids, KEY.thing_ids)
    assert parts.ids.tolist() == [[0, 0, 2, 2], [0, 3, 4, 1], [0, 0, 0, 0]]
    assert parts.labels.tolist() == [0, 2, 0, 0]
    assert parts.is_crowd.tolist() == [True, False, False, False]


def test_a_picture_without_things_has_no_instance() -> None:
    parts = decode_instances(np.full((2, 2), 7, np.uint16), KEY.class_ids, KEY.thing_ids)
    assert parts.labels.shape == (0,)
    assert not parts.ids.any()


def test_depth_is_metres_with_sky_and_holes() -> None:
    depth = decode_depth(np.array([[0, 100, 8000, 65534, 65535]], np.uint16), ABOUT)
    np.testing.assert_allclose(depth, [[np.nan, 1.0, 80.0, 655.34, np.inf]], rtol=1e-6)
    assert depth.dtype == np.float32


def write_truth(path: Path, about: str | None = None, depth_shift_ns: int = 0, frames: int = 3) -> Path:
    with BagWriter(path) as writer:
        writer.write(topics.ABOUT, 0, text(about if about is not None else ABOUT.model_dump_json(by_alias=True)))
        writer.write(topics.LABEL_INFO, 0, label_info(0, '', NAMES))
        for at_ns in range(0, frames * 10, 10):
            writer.write(topics.INSTANCES, at_ns, compressed_image(at_ns, '', encode_png(RAW), 'png'))
            metres = encode_png(np.full(RAW.shape, 100 + at_ns, np.uint16))
            writer.write(topics.DEPTH, at_ns, compressed_image(at_ns + depth_shift_ns, '', metres, 'png'))
    return path


def test_frames_come_in_order_with_both_halves_of_one_stamp(tmp_path: Path) -> None:
    frames = list(read_ground_truth(write_truth(tmp_path / 'truth.mcap'), CONTRACT))
    assert [frame.stamp_ns for frame in frames] == [0, 10, 20]
    assert [float(frame.depth[0, 0]) for frame in frames if frame.depth is not None] == pytest.approx([1.0, 1.1, 1.2])
    assert all(frame.instance_labels is not None and len(frame.instance_labels) == 4 for frame in frames)


def test_stamps_that_never_meet_are_an_error(tmp_path: Path) -> None:
    path = write_truth(tmp_path / 'truth.mcap', depth_shift_ns=1)
    with pytest.raises(BagError, match='6 frames have only one of'):
        list(read_ground_truth(path, CONTRACT))


@pytest.mark.parametrize(
    ('about', 'sentence'),
    [
        ('not json', 'Invalid JSON'),
        ('{"schema": "2.0", "depth_unit_m": 1, "thing_names": []}', 'schema'),
        ('{"schema": "1.0", "depth_unit_m": 0, "thing_names": []}', 'depth_unit_m'),
        ('{"schema": "1.0", "depth_unit_m": 1}', 'thing_names'),
    ],
)
def test_a_note_that_cannot_be_used_is_named(tmp_path: Path, about: str, sentence: str) -> None:
    with pytest.raises(BagError, match=sentence):
        list(read_ground_truth(write_truth(tmp_path / 'truth.mcap', about), CONTRACT))


def test_a_bag_without_ground_truth_says_what_it_has(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'plain.mcap') as writer:
        writer.write('/note', 1, text('x'))
    with pytest.raises(BagError, match=r'no ground truth.*it has: /note'):
        list(read_ground_truth(tmp_path / 'plain.mcap', CONTRACT))


def test_instances_alone_are_ground_truth_too(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'half.mcap') as writer:
        writer.write(topics.ABOUT, 0, text(ABOUT.model_dump_json(by_alias=True)))
        writer.write(topics.LABEL_INFO, 0, label_info(0, '', NAMES))
        writer.write(topics.INSTANCES, 5, compressed_image(5, '', encode_png(RAW), 'png'))
    (frame,) = read_ground_truth(tmp_path / 'half.mcap', CONTRACT)
    assert frame.depth is None
    assert frame.semantic is not None


def truth_as_prediction(truth: GroundTruth) -> Prediction:
    assert truth.instance_ids is not None
    assert truth.instance_labels is not None
    height, width = truth.instance_ids.shape
    count = len(truth.instance_labels)
    return Prediction(
        height,
        width,
        height,
        width,
        boxes=np.zeros((count, 4), np.float32),
        labels=truth.instance_labels,
        scores=np.linspace(1, 0.5, count).astype(np.float32),
        instance_ids=truth.instance_ids,
        semantic=truth.semantic,
        depth=truth.depth,
    )


def full_contract() -> StudentContract:
    names = ('road', 'sidewalk', 'building', 'pole', 'traffic sign', 'vegetation', 'terrain', 'sky')
    stuff = [ClassInfo(id=k, name=name, is_thing=False, color=(k, k, k)) for k, name in enumerate(names)]
    things = [
        ClassInfo(id=8 + k, name=name, is_thing=True, color=(k, k, k)) for k, name in enumerate(ABOUT.thing_names)
    ]
    return CONTRACT.model_copy(update={'classes': tuple(stuff + things)})


def test_the_street_drive_compared_with_itself_is_perfect(project_root: Path) -> None:
    contract = full_contract()
    comparison = Comparison(contract)
    frames = 0
    for truth in read_ground_truth(project_root / 'assets' / 'street_drive.mcap', contract):
        comparison.update(truth_as_prediction(truth), truth)
        frames += 1
    scores = comparison.compute()
    assert frames == 40
    assert scores.instances is not None
    assert scores.semantic is not None
    assert scores.depth is not None
    assert (scores.instances.ap, scores.instances.ap50) == (1.0, 1.0)
    assert scores.semantic.miou == 1.0
    assert (scores.depth.abs_rel, scores.depth.delta1) == (0.0, 1.0)
    assert {name for name, iou in scores.semantic.per_class.items() if iou is not None} == set(contract.class_names)


def test_details_come_on_request_and_change_nothing_else(project_root: Path) -> None:
    contract = full_contract()
    plain, detailed = Comparison(contract), Comparison(contract, detailed=True)
    for truth in itertools.islice(read_ground_truth(project_root / 'assets' / 'street_drive.mcap', contract), 3):
        for comparison in (plain, detailed):
            comparison.update(truth_as_prediction(truth), truth)
    without, scores = plain.compute(), detailed.compute()
    assert (without.panoptic, without.boundary, without.calibration, without.depth_by) == (None,) * 4
    assert scores.instances == without.instances
    assert scores.depth == without.depth
    assert scores.panoptic is not None
    assert scores.panoptic.all == PanopticQuality(1.0, 1.0, 1.0)
    assert scores.boundary is not None
    assert scores.boundary.mean_f == 1.0
    assert scores.depth_by is not None
    near = scores.depth_by.by_distance['5-10 m']
    assert (near.abs_rel, near.pixels > 1000) == (0.0, True)
    assert scores.depth_by.by_class['car'].pixels > 100
    # All are right, and their scores fall from 1 to 0.5.
    assert scores.calibration is not None
    assert scores.calibration.overconfidence == pytest.approx(-0.25, abs=0.02)


def test_the_truth_of_the_street_drive_is_steady_but_for_what_the_flow_loses(project_root: Path) -> None:
    """What docs/metrics.md states: no student can be expected above it, thin poles least of all."""
    contract = full_contract()
    bag = project_root / 'assets' / 'street_drive.mcap'
    with BagReader(bag) as reader:
        pictures = [decode_compressed(entry.message) for entry in reader.messages(['/camera/image_raw/compressed'])]
    metrics = TemporalMetrics(contract.class_names)
    for truth, rgb in zip(read_ground_truth(bag, contract), pictures, strict=True):
        metrics.update(truth.stamp_ns, rgb, truth_as_prediction(truth))
    scores = metrics.compute()
    assert (scores.pairs, scores.restarts) == (39, 0)
    assert scores.mask_consistency == pytest.approx(0.83, abs=0.03)
    assert scores.instance_consistency == pytest.approx(0.82, abs=0.03)
    assert scores.depth_flicker == pytest.approx(0.063, abs=0.01)
    assert scores.per_class['road'] == pytest.approx(0.97, abs=0.02)
    assert scores.per_class['pole'] == pytest.approx(0.28, abs=0.1)


def test_details_without_labels_are_none() -> None:
    comparison = Comparison(CONTRACT, detailed=True)
    comparison.update(Prediction(2, 2, 2, 2), GroundTruth(0, semantic=np.zeros((2, 2), np.uint8)))
    scores = comparison.compute()
    assert (scores.panoptic, scores.boundary, scores.calibration, scores.depth_by) == (None,) * 4
    zeros = np.zeros((2, 2), np.uint8)
    comparison.update(Prediction(2, 2, 2, 2, semantic=zeros), GroundTruth(0, semantic=zeros))
    assert comparison.compute().boundary is not None
    assert comparison.compute().panoptic is None


def test_what_is_missing_on_either_side_is_not_judged() -> None:
    comparison = Comparison(CONTRACT)
    comparison.update(Prediction(2, 2, 2, 2), GroundTruth(0, semantic=np.zeros((2, 2), np.uint8)))
    scores = comparison.compute()
    assert (scores.instances, scores.semantic, scores.depth) == (None, None, None)


def test_a_student_of_stuff_alone_is_judged_by_its_map() -> None:
    stuff = tuple(ClassInfo(id=row, name=name, is_thing=False, color=(0, 0, 0)) for row, name in enumerate(('a', 'b')))
    contract = CONTRACT.model_copy(update={'classes': stuff, 'outputs': ('semantic',), 'depth': None})
    comparison = Comparison(contract)
    zeros = np.zeros((2, 2), np.uint8)
    comparison.update(Prediction(2, 2, 2, 2, semantic=zeros), GroundTruth(0, semantic=zeros))
    scores = comparison.compute()
    assert (scores.instances, scores.depth) == (None, None)
    assert scores.semantic is not None
    assert scores.semantic.per_class == {'a': 1.0, 'b': None}


def test_maps_of_another_size_are_refused() -> None:
    comparison = Comparison(CONTRACT)
    small = Prediction(2, 2, 4, 4, semantic=np.zeros((2, 2), np.uint8))
    with pytest.raises(MetricError, match='one size'):
        comparison.update(small, GroundTruth(0, semantic=np.zeros((4, 4), np.uint8)))


def detection(name: str, score: float, centre: tuple[float, float], size: tuple[float, float], number: int) -> Any:
    position = SimpleNamespace(x=centre[0], y=centre[1])
    box = SimpleNamespace(center=SimpleNamespace(position=position), size_x=size[0], size_y=size[1])
    hypothesis = SimpleNamespace(class_id=name, score=score)
    return SimpleNamespace(results=[SimpleNamespace(hypothesis=hypothesis)], bbox=box, id=str(number))


@pytest.mark.parametrize('numbers', [(1, 2), (417, 65535)], ids=['rows', 'tracks'])
def test_messages_become_the_prediction_they_were_made_from(numbers: tuple[int, int]) -> None:
    ids = np.array([[0, 1], [2, 2]], np.uint16)
    metres = np.array([[1, np.nan], [np.inf, 4]], np.float32)
    rows = [
        detection('person', 0.9, (1.5, 0.5), (1, 1), numbers[0]),
        detection('car', 0.8, (1, 1.5), (2, 1), numbers[1]),
    ]
    messages = {
        'detections': SimpleNamespace(detections=rows),
        'instances': image(0, '', np.array([0, *numbers], np.uint16)[ids], '16UC1'),
        'semantic': image(0, '', np.array([[3, 2], [0, 0]], np.uint8), 'mono8'),
        'depth': image(0, '', metres, '32FC1'),
    }
    prediction = prediction_from_messages(messages, (4, 2), CONTRACT)
    assert prediction.boxes is not None
    # The picture is twice as wide as the maps, and boxes on the wire are in its pixels.
    np.testing.assert_allclose(prediction.boxes, [[0.5, 0, 1, 1], [0, 1, 1, 2]])
    assert prediction.labels is not None
    assert prediction.labels.tolist() == [2, 0]
    np.testing.assert_array_equal(prediction.instance_ids, ids)
    np.testing.assert_array_equal(prediction.depth, metres)
    assert (prediction.height, prediction.width, prediction.image_width) == (2, 2, 4)


def test_a_student_with_one_head_gives_one_map() -> None:
    messages = {'depth': image(0, '', np.ones((2, 3), np.float32), '32FC1')}
    prediction = prediction_from_messages(messages, (3, 2), CONTRACT)
    assert prediction.instance_ids is None
    assert prediction.semantic is None
    assert prediction.depth is not None


def test_maps_that_do_not_fit_each_other_are_refused() -> None:
    messages = {
        'semantic': image(0, '', np.zeros((2, 2), np.uint8), 'mono8'),
        'depth': image(0, '', np.ones((2, 3), np.float32), '32FC1'),
    }
    with pytest.raises(ImageError, match=r'one size.*\(2, 2\), \(2, 3\)'):
        prediction_from_messages(messages, (3, 2), CONTRACT)
    with pytest.raises(ImageError, match='none came'):
        prediction_from_messages({}, (3, 2), CONTRACT)


def test_a_class_that_the_student_lacks_is_refused() -> None:
    messages = {
        'detections': SimpleNamespace(detections=[detection('zebra', 0.9, (1, 1), (1, 1), 1)]),
        'instances': image(0, '', np.ones((2, 2), np.uint16), '16UC1'),
    }
    with pytest.raises(StudentError, match='zebra'):
        prediction_from_messages(messages, (2, 2), CONTRACT)
