# SPDX-License-Identifier: Apache-2.0
"""How good a student is, picture by picture and by brightness, and how good the labels that it would learn from are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cast_ros.evaluation.compare import Comparison, Scores
from cast_ros.metrics import SemanticMetrics
from cast_ros.student import Prediction
from cast_train.data import Sample, ViewRules, make_targets, make_view
from cast_train.engine.evaluate import Predictor, ground_truth_of, headline
from cast_train.methods.target_labels import TargetLabels
from cast_train.models import Student

# Edges of mean grey values, 0…255.
LUMINANCE_EDGES = (0, 30, 60, 90, 120, 256)


@dataclass(frozen=True, eq=False)
class JudgedPicture:
    """One picture, what the student says, and how well that agrees: its own mIoU, None without a class map."""

    sample: Sample
    prediction: Prediction
    luminance: float
    miou: float | None


@dataclass(frozen=True, eq=False)
class Judgement:
    """All pictures of one domain.

    Attributes:
        scores: of all together; each part is None where labels are missing.
        pictures: one by one.
        bins: (from, below, pictures, figures) of each range of brightness that has any.
    """

    scores: Scores
    pictures: list[JudgedPicture]
    bins: list[tuple[int, int, int, dict[str, float]]]

    @property
    def figures(self) -> dict[str, float]:
        """As tables show them."""
        return headline(self.scores)


def judge(student: Predictor, samples: Sequence[Sample]) -> Judgement:
    """Compare a student with all labels that the samples have."""
    whole = Comparison(student.contract)
    bins = [Comparison(student.contract) for _ in pairwise(LUMINANCE_EDGES)]
    counts = [0] * len(bins)
    pictures = []
    for sample in samples:
        prediction = student.predict(sample.image, fx_px=sample.fx_px)
        luminance = luminance_of(sample.image)
        place = int(np.searchsorted(LUMINANCE_EDGES, luminance, side='right')) - 1
        counts[place] += 1
        alone = Comparison(student.contract)
        for comparison in (whole, bins[place], alone):
            comparison.update(prediction, ground_truth_of(sample))
        semantic = alone.compute().semantic
        pictures.append(JudgedPicture(sample, prediction, luminance, None if semantic is None else semantic.miou))
    found = [
        (low, high, count, headline(comparison.compute()))
        for (low, high), count, comparison in zip(pairwise(LUMINANCE_EDGES), counts, bins, strict=True)
        if count
    ]
    return Judgement(whole.compute(), pictures, found)


def luminance_of(image: npt.NDArray[np.uint8]) -> float:
    """Mean of the luma of an H×W×3 RGB picture (ITU-R BT.601), 0…255."""
    return float(image.reshape(-1, 3).mean(0) @ (0.299, 0.587, 0.114))


@dataclass(frozen=True)
class PseudoLabelFigures:
    """What the target's labels are worth, as the student gets them; None where there is no truth to compare with.

    Attributes:
        sure_share: mean share of pixels of which the teacher is sure.
        instances: pseudo-instances a picture.
        raw_iou: IoU of each class of the teacher's own map.
        refined_iou: with all that corrects it.
        raw_miou, refined_miou: their means.
    """

    sure_share: float
    instances: float
    raw_iou: dict[str, float | None] | None
    refined_iou: dict[str, float | None] | None
    raw_miou: float | None
    refined_miou: float | None

    def as_document(self) -> dict[str, Any]:
        """JSON values."""
        return dict(vars(self))


@torch.no_grad()
def judge_pseudo_labels(
    teacher: Student,
    raw_labels: TargetLabels,
    refined_labels: TargetLabels,
    samples: Sequence[Sample],
    truths: Sequence[Sample],
    rules: ViewRules,
    class_names: Sequence[str],
) -> PseudoLabelFigures:
    """Make the pseudo-labels of whole pictures with and without masks, and compare them with labels if there are any.

    Args:
        teacher: in evaluation mode.
        raw_labels: makes labels of what it says alone.
        refined_labels: makes those that the student gets.
        samples: of the target, with what teachers say.
        truths: the same pictures with their labels, if they have some.
        rules: of the views; without augmentation.
        class_names: in the order of their ids.
    """
    metrics = {'raw': SemanticMetrics(class_names), 'refined': SemanticMetrics(class_names)}
    sure, instances, compared = 0.0, 0, 0
    for sample, truth in zip(samples, truths, strict=True):
        view = make_view(sample, rules.height, rules.width, rules.focal_reference_px, rules.cap_m, None, [0])
        given = replace(make_targets(view, rules.thing_ids), masks=None, labels=None, semantic=None)
        answer = teacher(view.image[None])
        (refined,), share = refined_labels.of(answer, [given])
        (raw,), _ = raw_labels.of(answer, [given])
        sure += share
        assert refined.labels is not None
        instances += sum(int(label) in rules.thing_ids for label in refined.labels)
        true_view = make_view(truth, rules.height, rules.width, rules.focal_reference_px, rules.cap_m, None, [0])
        if true_view.semantic is None:
            continue
        compared += 1
        for name, found in (('raw', raw), ('refined', refined)):
            assert found.semantic is not None
            metrics[name].update(found.semantic.numpy().astype(np.uint8), true_view.semantic.numpy())
    scores = {name: metric.compute() if compared else None for name, metric in metrics.items()}
    raw_scores, refined_scores = scores['raw'], scores['refined']
    return PseudoLabelFigures(
        sure_share=sure / max(len(samples), 1),
        instances=instances / max(len(samples), 1),
        raw_iou=None if raw_scores is None else raw_scores.per_class,
        refined_iou=None if refined_scores is None else refined_scores.per_class,
        raw_miou=None if raw_scores is None else raw_scores.miou,
        refined_miou=None if refined_scores is None else refined_scores.miou,
    )
