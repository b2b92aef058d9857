# SPDX-License-Identifier: Apache-2.0
"""Whether the exported file says what the network in memory says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from cast_ros.offline.evaluation.compare import Scores
from cast_ros.student import InputGeometry
from cast_ros.student import Student as RuntimeStudent
from cast_train.data import Sample
from cast_train.engine.evaluate import evaluate, headline
from cast_train.errors import ExportError
from cast_train.models.graph import StudentGraph, TorchStudent

LARGEST_RELATIVE_ERROR = 1e-3
LARGEST_AP_GAP = 0.002
# Rounding may move a pixel between two classes that are almost equal there; real exports print 100.00 %.
LEAST_SEMANTIC_AGREEMENT = 0.99

Tensors = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Parity:
    """How far the file is from the network.

    Attributes:
        relative_error: over all pictures and floating-point outputs, the largest difference divided by the largest
            magnitude of that output.
        semantic_agreement: share of pixels with the same class.
        ap_gap: largest difference in AP and AP50, fraction of 1; None without instances.
        scores: all metrics of the file.
    """

    relative_error: float
    semantic_agreement: float
    ap_gap: float | None
    scores: Scores

    def require(self, path: Path) -> None:
        """Raise ``ExportError`` unless every limit holds; NaN holds none."""
        if not (self.relative_error <= LARGEST_RELATIVE_ERROR):
            raise ExportError(
                f'{path}: outputs differ from the network by {self.relative_error:.2e} '
                f'(limit {LARGEST_RELATIVE_ERROR:.0e}); '
                'do not use this file'
            )
        if not (self.semantic_agreement >= LEAST_SEMANTIC_AGREEMENT):
            raise ExportError(
                f'{path}: {100 * self.semantic_agreement:.2f} % of the pixels have the class that the network gives '
                f'them (limit {100 * LEAST_SEMANTIC_AGREEMENT:.0f}); '
                'do not use this file'
            )
        if self.ap_gap is not None and not (self.ap_gap <= LARGEST_AP_GAP):
            raise ExportError(
                f'{path}: AP differs from the network by {100 * self.ap_gap:.2f} points '
                f'(limit {100 * LARGEST_AP_GAP:.1f}); '
                'do not use this file'
            )


def check_parity(path: Path, network: TorchStudent, samples: Sequence[Sample]) -> Parity:
    """Compare an exported student with the network it came from, raw outputs and metrics, on real pictures."""
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    errors, agreement = [0.0], []
    for sample in samples:
        geometry = InputGeometry.for_image(sample.image.shape[0], sample.image.shape[1], network.contract.input)
        picture = geometry.to_network(sample.image)[None]
        file = dict(
            zip(network.graph.outputs, session.run(list(network.graph.outputs), {'image': picture}), strict=True)
        )
        memory = raw_outputs(network.graph, picture)
        errors.append(relative_error(memory, file))
        agreement.append(float((memory['semantic'] == file['semantic']).mean()))
    with RuntimeStudent.load(path) as exported:
        scores = evaluate(exported, samples)
    ours, theirs = headline(scores), headline(evaluate(network, samples))
    gaps = [abs(ours[name] - theirs[name]) for name in ('ap', 'ap50') if name in ours and name in theirs]
    # numpy's maximum keeps a NaN that Python's may lose.
    return Parity(max(errors), float(np.mean(agreement)), float(np.max(gaps)) if gaps else None, scores)


def raw_outputs(graph: StudentGraph, picture: npt.NDArray[np.uint8]) -> Tensors:
    """Run the graph in torch."""
    with torch.no_grad():
        outputs = graph(torch.from_numpy(picture))
    return {name: tensor.numpy() for name, tensor in zip(graph.outputs, outputs, strict=True)}


def relative_error(network: Tensors, file: Tensors) -> float:
    """Largest |difference| / largest |value| over depth and masks, these row by row and both ways (``_row_error``).

    A value that is not finite on either side makes it infinite.
    """
    found = []
    if 'depth' in network:
        found.append(_error(network['depth'], file['depth'], float(np.abs(network['depth']).max())))
    if 'masks' in network:
        for one, other in ((network, file), (file, network)):
            found += [_row_error(one, other, row) for row in range(other['scores'].shape[1])]
    return max(found)


def _row_error(expected: Tensors, found: Tensors, row: int) -> float:
    """Distance of one detection found to the expected one of its class and score that fits best; inf without one.

    Detections of almost equal score may swap places, or the last place, without any error. A score is the class's
    probability times the mean inside the mask, so that it jumps by up to its share when one cell crosses zero: scores
    may differ by what the cells within rounding of zero can make of them. So may the row of a mask of such cells alone
    be missing: its score is 0, or might be, and of several such rows any may be among the best.
    """
    scores, mask = expected['scores'][0].astype(np.float64), found['masks'][0, row]
    score = float(found['scores'][0, row])
    if not np.isfinite(score):
        return np.inf
    scale = float(np.abs(expected['masks']).max())
    doubtful = int((np.abs(mask) <= LARGEST_RELATIVE_ERROR * scale).sum()) / max(int((mask > 0).sum()), 1)
    tie = LARGEST_RELATIVE_ERROR * float(scores[0]) + score * min(doubtful, 1.0)
    rows = np.flatnonzero((np.abs(scores - score) <= tie) & (expected['labels'][0] == found['labels'][0, row]))
    is_empty = mask.max() <= LARGEST_RELATIVE_ERROR * scale
    if is_empty and score <= tie:
        return 0.0
    missing = 0.0 if score <= scores[-1] + tie else np.inf
    return min((_error(expected['masks'][0, other], mask, scale) for other in rows), default=missing)


def _error(network: npt.NDArray[np.generic], file: npt.NDArray[np.generic], scale: float) -> float:
    """Largest difference as a share of the scale; inf where it is not finite, since NaN passes every comparison."""
    if not (np.isfinite(network).all() and np.isfinite(file).all()):
        return np.inf
    difference = np.abs(network.astype(np.float64) - file.astype(np.float64))
    return float(difference.max(initial=0.0) / max(scale, 1e-12))
