# SPDX-License-Identifier: Apache-2.0
"""Cityscapes AP, by hand and against the benchmark's own evaluator on random streets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.cityscapes import CityscapesInstanceMetrics, CityscapesScores
from cast_ros.offline.metrics.frames import InstanceFrame

# Ids of labels as Cityscapes numbers them, not as it trains them.
CATEGORIES = {
    24: 'person', 25: 'rider', 26: 'car', 27: 'truck', 28: 'bus', 31: 'train', 32: 'motorcycle', 33: 'bicycle'
}  # fmt: skip
PERSON, CAR, TRUCK, VOID, ROAD = 24, 26, 27, 0, 7


def measure(*frames: InstanceFrame) -> CityscapesScores:
    metrics = CityscapesInstanceMetrics(CATEGORIES)
    for one in frames:
        metrics.update(one)
    return metrics.compute()


def squares(*boxes: tuple[int, int, int, int]) -> Any:
    painted = np.zeros((100, 200), np.uint16)
    for number, (y0, y1, x0, x1) in enumerate(boxes, start=1):
        painted[y0:y1, x0:x1] = number
    return painted


def cars(answers: Any, scores: list[float], truth: Any, **more: Any) -> InstanceFrame:
    return InstanceFrame(
        answers, np.full(len(scores), CAR), np.array(scores), truth, np.full(int(truth.max()), CAR), **more
    )


LEFT, RIGHT = (0, 40, 0, 40), (50, 90, 100, 140)


def test_exact_masks_are_perfect_and_half_of_them_is_a_half() -> None:
    assert measure(cars(squares(LEFT, RIGHT), [0.9, 0.8], squares(LEFT, RIGHT))).ap == 1.0
    half = measure(cars(squares(LEFT), [0.9], squares(LEFT, RIGHT)))
    assert (half.ap, half.ap50) == (0.5, 0.5)
    assert half.per_class['person'] is None


def test_an_overlap_must_be_above_the_threshold() -> None:
    """Exactly one half does not count, where COCO would count it."""
    scores = measure(cars(squares((0, 40, 0, 20)), [0.9], squares(LEFT)))
    assert scores.ap50 == 0.0


def test_a_true_instance_below_a_hundred_pixels_is_not_asked_for() -> None:
    small = (0, 9, 0, 11)
    assert measure(cars(squares(), [], squares(small))).ap is None
    found = measure(cars(squares(small, RIGHT), [0.9, 0.8], squares(small, RIGHT)))
    assert found.ap == 1.0


def test_answers_on_void_and_on_crowds_are_forgiven() -> None:
    void = np.zeros((100, 200), bool)
    void[:40, :40] = True
    assert measure(cars(squares(LEFT, RIGHT), [0.9, 0.8], squares(RIGHT), void=void)).ap == 1.0
    # Else the curve is (recall 1, precision 1/2) and (0, 0), and each covers half of the way.
    assert measure(cars(squares(LEFT, RIGHT), [0.9, 0.8], squares(RIGHT))).ap == pytest.approx(0.25)
    crowd = np.array([True, False])
    assert measure(cars(squares(LEFT, RIGHT), [0.9, 0.8], squares(LEFT, RIGHT), true_is_crowd=crowd)).ap == 1.0


def test_nothing_to_find_is_undefined_and_no_picture_is_an_error() -> None:
    assert measure(cars(squares(LEFT), [0.9], squares())).ap is None
    assert measure(cars(squares(), [], squares(LEFT))).as_dict()['ap'] == 0.0
    with pytest.raises(MetricError, match='no picture'):
        measure()
    with pytest.raises(MetricError, match='no category'):
        CityscapesInstanceMetrics({})


def random_frame(random: np.random.Generator) -> InstanceFrame:
    """Overlapping ellipses, some of them crowds or tiny, and answers that are shifted copies, some mislabelled."""
    size, void = (120, 240), np.zeros((120, 240), bool)
    void[:, :30] = True
    truth, answers = np.zeros(size, np.uint16), np.zeros(size, np.uint16)
    true_labels = random.choice([PERSON, CAR, TRUCK], 9)
    labels, scores = [], []
    for number, label in enumerate(true_labels, start=1):
        centre = (int(random.integers(0, 240)), int(random.integers(0, 120)))
        axes = (int(random.integers(2, 25)), int(random.integers(2, 25)))
        cv2.ellipse(truth, centre, axes, 0, 0, 360, number, -1)
        for _ in range(random.integers(0, 3)):
            shift = random.integers(-1, 2, 4)
            moved = (centre[0] + int(shift[0]), centre[1] + int(shift[1]))
            grown = (max(1, axes[0] + int(shift[2])), max(1, axes[1] + int(shift[3])))
            labels.append(label if random.random() < 0.8 else CAR)
            # Few distinct scores, so that ties occur.
            scores.append(float(random.integers(1, 10)) / 10)
            cv2.ellipse(answers, moved, grown, 0, 0, 360, len(labels), -1)
    truth[void] = 0
    return InstanceFrame(
        answers,
        np.array(labels, np.int64),
        np.array(scores),
        truth,
        np.array(true_labels, np.int64),
        one_crowd_per_class(true_labels, random),
        void,
    )


def one_crowd_per_class(labels: Any, random: np.random.Generator) -> Any:
    """An id map of Cityscapes can hold one crowd of a class, since its pixels carry the bare label."""
    crowd = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        if random.random() < 0.5:
            crowd[random.choice(np.flatnonzero(labels == label))] = True
    return crowd


def write(frame: InstanceFrame, folder: Path, number: int) -> tuple[str, str]:
    """The frame in the files of the benchmark: an instanceIds picture, and a list of masks with labels and scores."""
    pixels = np.full(frame.true_instance_ids.shape, ROAD, np.int32)
    for row, label in enumerate(frame.true_labels):
        value = label if frame.true_is_crowd[row] else label * 1000 + row
        pixels[frame.true_instance_ids == row + 1] = value
    assert frame.void is not None
    pixels[frame.void] = VOID
    truth = folder / f'town_{number:06}_000000_gtFine_instanceIds.png'
    cv2.imwrite(str(truth), pixels.astype(np.uint16))
    lines = []
    for row, label in enumerate(frame.labels):
        mask = folder / f'town_{number:06}_mask_{row}.png'
        cv2.imwrite(str(mask), (frame.instance_ids == row + 1).astype(np.uint8) * 255)
        lines.append(f'{mask.name} {label} {frame.scores[row]}')
    answers = folder / f'town_{number:06}_000000_pred.txt'
    answers.write_text('\n'.join(lines) + '\n')
    return str(answers), str(truth)


@pytest.mark.parametrize('seed', range(4))
def test_agrees_with_the_evaluator_of_the_benchmark(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = pytest.importorskip(
        'cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling', reason='needs cityscapesscripts'
    )
    if not hasattr(np, 'in1d'):
        # The evaluator calls the old name, which NumPy 2.4 took away.
        monkeypatch.setattr(np, 'in1d', np.isin, raising=False)
    # Its dumps for debugging stumble over the integers of NumPy 2, and would lie in the working directory.
    monkeypatch.setattr(evaluator, 'writeDict2JSON', lambda *_: None)
    arguments = evaluator.args
    # By default it caches the ground truth beside its own code, and takes a stale one for ours.
    monkeypatch.setattr(arguments, 'gtInstancesFile', str(tmp_path / 'gtInstances.json'))
    monkeypatch.setattr(arguments, 'predictionPath', str(tmp_path))
    monkeypatch.setattr(arguments, 'JSONOutput', False)
    monkeypatch.setattr(arguments, 'quiet', True)

    random = np.random.default_rng(seed)
    frames = [random_frame(random) for _ in range(6)]
    files = [write(frame, tmp_path, number) for number, frame in enumerate(frames)]
    expected = evaluator.evaluateImgLists([pair[0] for pair in files], [pair[1] for pair in files], arguments)
    scores = measure(*frames)

    averages = expected['averages']
    assert 0.1 < averages['allAp'] < 0.9
    assert scores.ap == pytest.approx(averages['allAp'], abs=1e-9)
    assert scores.ap50 == pytest.approx(averages['allAp50%'], abs=1e-9)
    for name, theirs in averages['classes'].items():
        ours, ours_50 = scores.per_class[name], scores.per_class_ap50[name]
        assert (np.nan if ours is None else ours) == pytest.approx(theirs['ap'], abs=1e-9, nan_ok=True)
        assert (np.nan if ours_50 is None else ours_50) == pytest.approx(float(theirs['ap50%']), abs=1e-9, nan_ok=True)
