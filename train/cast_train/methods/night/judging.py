# SPDX-License-Identifier: Apache-2.0
"""How good a student is, picture by picture and by brightness, and how good the labels that it would learn from are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cast_ros.offline.evaluation.compare import Comparison, Scores
from cast_ros.offline.metrics.semantic import SemanticMetrics
from cast_ros.student import Prediction
from cast_train.data import Sample, Targets, View, make_targets, make_view
from cast_train.engine.evaluate import Predictor, ground_truth_of, headline
from cast_train.engine.trained import load_student, weights_in
from cast_train.methods.famda.labels import TargetLabels
from cast_train.methods.famda.stages import Famda
from cast_train.methods.stages import StoredStage

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


# The student before and after, on both domains: by WHEN and the name of the domain.
Judged = dict[tuple[str, str], Judgement]
WHEN = ('before', 'after')


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


def losing_classes(before: Judgement, after: Judgement, above_points: float) -> dict[str, float]:
    """By how many points the IoU of each class fell that lost more than so many, the worst first: a mean hides them."""
    if before.scores.semantic is None or after.scores.semantic is None:
        return {}
    losses = {
        name: 100 * (iou - (after.scores.semantic.per_class[name] or 0.0))
        for name, iou in before.scores.semantic.per_class.items()
        if iou is not None
    }
    return {name: loss for name, loss in sorted(losses.items(), key=lambda one: -one[1]) if loss > above_points}


def luminance_of(image: npt.NDArray[np.uint8]) -> float:
    """Mean of the luma of an H×W×3 RGB picture (ITU-R BT.601), 0…255."""
    return float(image.reshape(-1, 3).mean(0) @ (0.299, 0.587, 0.114))


@dataclass(frozen=True)
class PseudoLabelFigures:
    """What the target's labels are worth, but for class alignment, which follows a training; None without a truth.

    Attributes:
        sure_share: mean share of pixels of which the teacher is sure.
        instances: pseudo-instances a picture.
        raw_iou: IoU of each class of the teacher's own map.
        refined_iou: with all that corrects it.
        raw_miou, refined_miou: their means.
        precision: of the pixels that the corrected map gives a class, what part has the right one.
        class_precision: the same of each class that it gives; None for one that it gives nowhere.
        instance_precision: of the pseudo-instances, what part overlaps a true one of its class with an IoU of ½; None
            if there is none.
    """

    sure_share: float
    instances: float
    raw_iou: dict[str, float | None] | None = None
    refined_iou: dict[str, float | None] | None = None
    raw_miou: float | None = None
    refined_miou: float | None = None
    precision: float | None = None
    class_precision: dict[str, float | None] | None = None
    instance_precision: float | None = None


@torch.no_grad()
def judge_pseudo_labels(famda: Famda, stage: StoredStage) -> PseudoLabelFigures:
    """Make the pseudo-labels of the target's pictures, and compare them with its labels if there are any.

    Whole pictures, with and without what corrects the map.

    Args:
        famda: whose target it is.
        stage: whose student labels.
    """
    recipe, view = famda.recipe, famda.recipe.stages.adaptation
    depth, class_names = recipe.depth, famda.contract.class_names
    teacher = load_student(weights_in(stage.folder), recipe.target.root)[0].network.eval()
    plain = recipe.adaptation.model_copy(update={'refinement': None})
    raw_labels = TargetLabels(teacher, plain, (), depth.cap_m, None, None)
    refined_labels = TargetLabels(teacher, recipe.adaptation, famda.protected, depth.cap_m, famda.sky_id, None)
    samples, truths = famda.unlabelled_target(famda.segments(), famda.depth()), famda.domains.target.train
    thing_ids = famda.contract.thing_ids
    things = torch.tensor(thing_ids)

    def seen(sample: Sample) -> View:
        return make_view(sample, view.height, view.width, depth.focal_reference_px, depth.cap_m, None, [0])

    metrics = {'raw': SemanticMetrics(class_names), 'refined': SemanticMetrics(class_names)}
    sure, instances, right, judged, compared = 0.0, 0, 0, 0, 0
    for sample, truth in zip(samples, truths, strict=True):
        shown = seen(sample)
        given = replace(make_targets(shown, thing_ids), masks=None, labels=None, semantic=None)
        answer = teacher(shown.image[None])
        (refined,), share = refined_labels.of(answer, [given])
        (raw,), _ = raw_labels.of(answer, [given])
        sure += share
        found, labels = _things_of(refined, things)
        instances += len(labels)
        true_view = seen(truth)
        if true_view.semantic is None:
            continue
        compared += 1
        for name, answer_map in (('raw', raw.semantic), ('refined', refined.semantic)):
            assert answer_map is not None
            metrics[name].update(answer_map.numpy().astype(np.uint8), true_view.semantic.numpy())
        if true_view.instance_ids is not None:
            judged += len(labels)
            right += _right(found, labels, *_things_of(make_targets(true_view, thing_ids), things))
    count = max(len(samples), 1)
    if not compared:
        return PseudoLabelFigures(sure / count, instances / count)
    raw_scores, refined_scores = (metrics[name].compute() for name in ('raw', 'refined'))
    precision, class_precision = _precision(refined_scores.confusion, class_names)
    return PseudoLabelFigures(
        sure_share=sure / count,
        instances=instances / count,
        raw_iou=raw_scores.per_class,
        refined_iou=refined_scores.per_class,
        raw_miou=raw_scores.miou,
        refined_miou=refined_scores.miou,
        precision=precision,
        class_precision=class_precision,
        instance_precision=right / judged if judged else None,
    )


def _things_of(targets: Targets, things: Tensor) -> tuple[Tensor, Tensor]:
    """N×H×W bool masks and N labels of the targets that are things."""
    assert targets.masks is not None
    assert targets.labels is not None
    rows = torch.isin(targets.labels, things)
    return targets.masks[rows], targets.labels[rows]


def _right(masks: Tensor, labels: Tensor, true_masks: Tensor, true_labels: Tensor) -> int:
    """How many masks overlap a true one of their class with an IoU of at least ½."""
    found, true = masks.flatten(1).float(), true_masks.flatten(1).float()
    shared = found @ true.T
    union = found.sum(1, keepdim=True) + true.sum(1) - shared
    fits = (shared >= 0.5 * union) & (labels[:, None] == true_labels)
    return int(fits.any(1).sum())


def _precision(
    confusion: npt.NDArray[np.int64], class_names: Sequence[str]
) -> tuple[float | None, dict[str, float | None]]:
    """Of all pixels that were given a class, and of those of each class, what part has the right one."""
    right, given = confusion.diagonal(), confusion[:, : len(class_names)].sum(0)
    of_class = {name: float(right[row] / given[row]) if given[row] else None for row, name in enumerate(class_names)}
    return (float(right.sum() / given.sum()) if given.sum() else None), of_class
