# SPDX-License-Identifier: Apache-2.0
"""The student with its post-processing as one graph: uint8 picture in, the five tensors of the contract out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cast_ros.student import Prediction, Student, StudentContract
from cast_ros.student.contract import OutputName
from cast_train.models.student import StudentNetwork, StudentOutput

MAX_DETECTIONS = 50
OUTPUTS: tuple[OutputName, ...] = ('scores', 'labels', 'masks', 'semantic', 'depth')


def outputs_of(has_instances: bool) -> tuple[OutputName, ...]:
    """The outputs of a student with or without instances, in their order."""
    return OUTPUTS if has_instances else OUTPUTS[3:]


class StudentGraph(nn.Module):
    """What is exported; see docs/architecture.md for shapes and meaning of each tensor.

    Args:
        student: in evaluation mode; one without queries has no instance outputs.
        thing_ids: class ids that can be counted; empty leaves the instance outputs out.
    """

    things: Tensor

    def __init__(self, student: StudentNetwork, thing_ids: tuple[int, ...]) -> None:
        super().__init__()
        self.student = student
        self.outputs = outputs_of(bool(thing_ids) and student.decoder is not None)
        self.register_buffer('things', torch.tensor(thing_ids, dtype=torch.int64), persistent=False)
        # The whole module: the exporter puts back the mode that it found outermost.
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map 1×H×W×3 uint8 RGB to the outputs, in the order of ``outputs``."""
        return self.answer(self.predict(image))

    def predict(self, image: Tensor) -> StudentOutput:
        """What the network says about 1×H×W×3 uint8 RGB, in the precision of its weights."""
        output: StudentOutput = self.student(image.permute(0, 3, 1, 2).to(self.student.mean.dtype))
        return output

    def answer(self, output: StudentOutput) -> tuple[Tensor, ...]:
        """Choose from it what the contract promises, in the order of ``outputs``."""
        semantic = output.class_scores().argmax(1).to(torch.uint8)
        dense = (semantic, output.log_depth.exp())
        if 'scores' not in self.outputs:
            return dense
        final = output.levels[-1]
        scores, labels, queries = best_instances(final.class_logits, final.mask_logits, self.things)
        return (scores, labels, final.mask_logits.index_select(1, queries[0]), *dense)


def best_instances(class_logits: Tensor, mask_logits: Tensor, things: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The best (query, class) pairs by class probability × mean probability inside the mask (Mask2Former).

    Args:
        class_logits: …×N×(C+1).
        mask_logits: …×N×h×w.
        things: class ids that can be counted.

    Returns:
        Scores, class ids and queries of up to ``MAX_DETECTIONS`` pairs, best first, each …×K.
    """
    pairs = (class_logits.softmax(-1)[..., things] * mask_quality(mask_logits)[..., None]).flatten(-2)
    count = min(MAX_DETECTIONS, pairs.shape[-1])
    scores, order = pairs.topk(count)
    queries = torch.div(order, len(things), rounding_mode='floor')
    return scores, things[order - queries * len(things)], queries


def mask_quality(mask_logits: Tensor, border: float = 0.0) -> Tensor:
    """Mean probability of the cells above ``border``, the inside of a mask, …×h×w to …; 0 where there are none."""
    inside = (mask_logits > border).to(mask_logits.dtype)
    quality: Tensor = (mask_logits.sigmoid() * inside).sum((-2, -1)) / (inside.sum((-2, -1)) + 1e-6)
    return quality


class _TorchSession:
    """Stands where onnxruntime's session stands, so that a network in training is judged by the robot's own code."""

    def __init__(self, graph: StudentGraph) -> None:
        self._graph = graph

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        # The student may have moved since the graph was made; what is the graph's own then follows.
        device = next(self._graph.student.parameters()).device
        graph = self._graph.to(device)
        with torch.no_grad():
            outputs = dict(zip(graph.outputs, graph(torch.from_numpy(feed['image']).to(device)), strict=True))
        return [outputs[name].cpu().numpy() for name in names]

    def get_outputs(self) -> list[Any]:
        return []

    def get_providers(self) -> list[str]:
        return ['torch']


class TorchStudent:
    """Predicts with a network in memory exactly as ``cast_ros.student.Student`` does with an exported one."""

    def __init__(self, student: StudentNetwork, contract: StudentContract) -> None:
        self.contract = contract
        self.network = student
        self.graph = StudentGraph(student, contract.thing_ids)
        session: Any = _TorchSession(self.graph)
        self._runtime = Student(Path('in-memory'), '', contract, session)

    def predict(self, rgb: np.ndarray, fx_px: float | None = None) -> Prediction:
        """See ``cast_ros.student.Student.predict``."""
        return self._runtime.predict(rgb, fx_px=fx_px)
