# SPDX-License-Identifier: Apache-2.0
"""COCO average precision of instance masks, through faster-coco-eval.

Not the number that Cityscapes calls AP: that one is in `cast_ros.offline.metrics.cityscapes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.frames import IdMap, InstanceFrame
from cast_ros.offline.metrics.scores import FloatArray, Result, mean_known

MAX_DETECTIONS = 100
_ALL, _SMALL, _MEDIUM, _LARGE = range(4)
_AP50, _AP75 = 0, 5


@dataclass(frozen=True)
class ClassPrecision:
    """Average precision of one class, fractions of 1; None without ground truth."""

    ap: float | None
    ap50: float | None
    true_count: int


@dataclass(frozen=True)
class InstanceScores(Result):
    """COCO's numbers on masks, fractions of 1; None where no ground truth makes them meaningless.

    Attributes:
        ap: mean over IoU 0.50:0.05:0.95 and over the classes that have ground truth.
        ap50: at IoU 0.50.
        ap75: at IoU 0.75.
        ap_small: true masks below 32 x 32 pixels.
        ap_medium: from there to 96 x 96 pixels.
        ap_large: above.
        ar100: average recall with at most 100 detections in a picture.
        per_class: by class name.
        frames: pictures that were compared.
        true_count: true instances, crowds left out.
        predicted_count: predicted instances.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar100: float | None
    per_class: dict[str, ClassPrecision]
    frames: int
    true_count: int
    predicted_count: int


class InstanceMetrics:
    """Collects pictures, then computes COCO's mask AP once.

    Rows whose label is not one of the categories, and rows without a pixel, are left out.
    """

    def __init__(self, categories: Mapping[int, str]) -> None:
        """Start without a picture.

        Args:
            categories: class ids that are evaluated, and their names.
        """
        if not categories:
            raise MetricError('no category to evaluate; name the classes that can be counted')
        self._categories = dict(categories)
        self._images: list[dict[str, Any]] = []
        self._truth: list[dict[str, Any]] = []
        self._answers: list[dict[str, Any]] = []

    def update(self, frame: InstanceFrame) -> None:
        """Add one picture."""
        image_id = len(self._images) + 1
        height, width = frame.instance_ids.shape
        self._images.append({'id': image_id, 'height': height, 'width': width})
        for row, mask in _encoded_rows(frame.true_instance_ids, len(frame.true_labels)):
            if int(frame.true_labels[row]) in self._categories:
                self._truth.append(
                    {
                        'id': len(self._truth) + 1,
                        'image_id': image_id,
                        'category_id': int(frame.true_labels[row]),
                        'iscrowd': int(frame.true_is_crowd[row]),
                        **mask,
                    }
                )
        for row, mask in _encoded_rows(frame.instance_ids, len(frame.labels)):
            if int(frame.labels[row]) in self._categories:
                self._answers.append(
                    {
                        'id': len(self._answers) + 1,
                        'image_id': image_id,
                        'category_id': int(frame.labels[row]),
                        'iscrowd': 0,
                        'score': float(frame.scores[row]),
                        **mask,
                    }
                )

    def compute(self) -> InstanceScores:
        """The numbers over all pictures so far.

        Raises:
            MetricError: no picture was added.
        """
        if not self._images:
            raise MetricError('no picture was compared, so there is no AP')
        precision, recall = self._evaluate()
        return InstanceScores(
            ap=mean_known(precision[:, :, :, _ALL]),
            ap50=mean_known(precision[_AP50, :, :, _ALL]),
            ap75=mean_known(precision[_AP75, :, :, _ALL]),
            ap_small=mean_known(precision[:, :, :, _SMALL]),
            ap_medium=mean_known(precision[:, :, :, _MEDIUM]),
            ap_large=mean_known(precision[:, :, :, _LARGE]),
            ar100=mean_known(recall[:, :, _ALL]),
            per_class=self._per_class(precision),
            frames=len(self._images),
            true_count=sum(not entry['iscrowd'] for entry in self._truth),
            predicted_count=len(self._answers),
        )

    def _per_class(self, precision: FloatArray) -> dict[str, ClassPrecision]:
        scores = {}
        for column, class_id in enumerate(sorted(self._categories)):
            count = sum(entry['category_id'] == class_id and not entry['iscrowd'] for entry in self._truth)
            scores[self._categories[class_id]] = ClassPrecision(
                ap=mean_known(precision[:, :, column, _ALL]),
                ap50=mean_known(precision[_AP50, :, column, _ALL]),
                true_count=count,
            )
        return scores

    def _evaluate(self) -> tuple[FloatArray, FloatArray]:
        """Precision (IoU, recall step, class, area) and recall (IoU, class, area); NaN where undefined."""
        from faster_coco_eval import COCO, COCOeval_faster

        categories = [{'id': key, 'name': name} for key, name in sorted(self._categories.items())]
        truth, answers = (
            COCO({'images': self._images, 'annotations': rows, 'categories': categories}, use_deepcopy=True)
            for rows in (self._truth, self._answers)
        )
        evaluation = COCOeval_faster(truth, answers, 'segm', print_function=_silent)
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
        tables = (np.asarray(evaluation.eval[name])[..., 0] for name in ('precision', 'recall'))
        precision, recall = (np.where(table > -1, table, np.nan) for table in tables)
        return precision, recall


def _encoded_rows(ids: IdMap, rows: int) -> list[tuple[int, dict[str, Any]]]:
    """Row numbers of the ids that own a pixel, each with its run-length code and area."""
    from faster_coco_eval import mask as run_lengths

    encoded = []
    present = np.bincount(ids.ravel(), minlength=rows + 1)[1:]
    for row in np.flatnonzero(present):
        code = run_lengths.encode(np.asfortranarray(ids == row + 1, dtype=np.uint8))
        encoded.append((int(row), {'segmentation': code, 'area': int(present[row])}))
    return encoded


def _silent(*_: object) -> None:
    """faster-coco-eval would log every step."""
