# SPDX-License-Identifier: Apache-2.0
"""Whether the exported file says what the network in memory says, as far as float32 can say it.

Both round, in an order of sums that hangs on the processor, so neither judges the other: the same network in float64
judges both. A good file is about as far from it as the network in float32 is, whatever its weights make of rounding.

What comparisons decide may come out otherwise where float64 says that it was close: a class counts by how far float64
puts it below the best one, a score by the mask that stands beside it, and a detection that is missing by how far its
score lies above the last one that is there.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from cast_ros.student import InputGeometry
from cast_train.data import Sample
from cast_train.errors import ExportError
from cast_train.models.graph import TorchStudent, mask_quality
from cast_train.models.queries import QueryPrediction
from cast_train.models.student import StudentOutput

# Files of trained networks were 0.9 to 1.2 times as far from float64 as float32 was, at 1e-5 or less, so that the
# floor decides; with exploded weights, as an export folds norms, up to 6 times. The floor is for networks that hardly
# learned: one cell that rounding lets into a query's attention moves an output by up to 9e-4, in one picture of a
# hundred, and not always in float32 as well. A wrong weight is off by more than either.
LARGEST_MULTIPLE, FLOOR = 30.0, 1e-3


@dataclass(frozen=True)
class Parity:
    """How far the file, and the network in float32, are from the network in float64.

    Attributes:
        file: by name (depth, semantic, instances) the largest error over all pictures, see ``errors_of``.
        network: the same of the network; of its class map, how far the scores are off that decide it.
    """

    file: dict[str, float]
    network: dict[str, float]

    @property
    def summary(self) -> str:
        """The largest error of each."""
        return f'relative error {max(self.file.values()):.1e}, of float32 alone {max(self.network.values()):.1e}'

    @property
    def unexplained(self) -> str | None:
        """The first error that rounding does not explain, in words; what is not finite it never explains."""
        for name, error in self.file.items():
            limit = largest_error(self.network[name])
            if not error <= limit < np.inf:
                return f'{error:.2e} in {name} (float32 alone: {self.network[name]:.2e}, limit {limit:.2e})'
        return None

    def require(self, path: Path) -> None:
        """Raise ``ExportError`` unless rounding explains every error."""
        if self.unexplained is not None:
            raise ExportError(f'{path}: outputs differ from the network by {self.unexplained}; do not use this file')


def largest_error(of_float32: float) -> float:
    """How far off a file may be whose network is so far off in float32."""
    return LARGEST_MULTIPLE * of_float32 + FLOOR


def check_parity(path: Path, student: TorchStudent, samples: Iterable[Sample]) -> Parity:
    """Run an exported student, and the network that it came from in both precisions, on real pictures."""
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    graph, exact = student.graph, copy.deepcopy(student.graph).double()
    file, network = dict[str, float](), dict[str, float]()
    for sample in samples:
        height, width = sample.image.shape[:2]
        geometry = InputGeometry.for_image(height, width, student.contract.input)
        picture = geometry.to_network(sample.image)[None]
        with torch.no_grad():
            own, truth = (each.predict(torch.from_numpy(picture)) for each in (graph, exact))
            of_network = errors_of(dict(zip(graph.outputs, graph.answer(own), strict=True)), truth, graph.things)
            # Its class map is nearly always that of float64, which says nothing of how near it came to another.
            of_network['semantic'] = _error(own.class_scores(), truth.class_scores())
            answers = map(torch.from_numpy, session.run(list(graph.outputs), {'image': picture}))
            of_file = errors_of(dict(zip(graph.outputs, answers, strict=True)), truth, graph.things)
        for largest, errors in ((file, of_file), (network, of_network)):
            largest.update({name: max(error, largest.get(name, 0.0)) for name, error in errors.items()})
    return Parity(file, network)


def errors_of(answer: dict[str, Tensor], truth: StudentOutput, things: Tensor) -> dict[str, float]:
    """How far the outputs of a graph for one picture are from what the network says in float64.

    Returns:
        depth: largest difference, as a share of the largest depth.
        semantic: how far the class of a cell lies below its best one, as a share of the largest score.
        instances: see ``_instance_error``; left out without masks.

        Each is infinite if a value of either side is not finite.
    """
    scores = truth.class_scores()
    chosen = scores.gather(1, answer['semantic'].long()[:, None])[:, 0]
    errors = {'depth': _error(answer['depth'], truth.log_depth.exp()), 'semantic': _error(chosen, scores.amax(1))}
    if 'masks' in answer:
        errors['instances'] = _instance_error(answer, truth.levels[-1], things)
    return errors


def _instance_error(answer: dict[str, Tensor], truth: QueryPrediction, things: Tensor) -> float:
    """Largest error of a detection, each compared with a pair of query and class of its own, those that fit best.

    A mask is off by the largest difference as a share of the largest magnitude, times its score: a mask without cells
    that nobody will see is where rounding shows most. A score is off by its distance to the class's probability times
    the mean inside the mask beside it, so that it may jump with a cell that crosses zero. A pair that is left over is
    off by how far its score lies above the last one, with all cells that rounding may move taken against it.
    """
    found, scores, labels = (answer[name][0] for name in ('masks', 'scores', 'labels'))
    masks, probabilities = truth.mask_logits[0], truth.class_logits[0].softmax(-1)[:, things]
    if not all(bool(values.isfinite().all()) for values in (found, scores, masks, probabilities)):
        return np.inf
    found, scores, scale = found.double(), scores.double()[:, None, None], float(masks.abs().max().clamp(min=1e-12))
    # Detection × query × thing.
    apart = torch.cdist(found.flatten(1), masks.flatten(1), p=torch.inf)[..., None] / scale
    weight = torch.maximum(scores, probabilities * mask_quality(masks)[:, None])
    of_score = (scores - probabilities * mask_quality(found)[:, None, None]).abs()
    errors = torch.where(labels[:, None, None] == things, torch.maximum(weight * apart, of_score), 1.0).flatten(1)
    rows, pairs = linear_sum_assignment(errors.numpy())
    error = float(errors[rows, pairs].max())
    doubt = largest_error(error) * scale
    least = mask_quality(masks, -doubt) * (masks.amax((-2, -1)) > doubt)
    above = (probabilities * least[:, None]).flatten() - scores.min()
    above[pairs] = 0.0
    return max(error, float(above.max()))


def _error(found: Tensor, truth: Tensor) -> float:
    """Largest difference as a share of the largest magnitude; infinite unless all is finite: NaN passes comparisons."""
    if not (found.isfinite().all() and truth.isfinite().all()):
        return np.inf
    return float((found - truth).abs().max() / truth.abs().max().clamp(min=1e-12))
