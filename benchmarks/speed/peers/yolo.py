# SPDX-License-Identifier: Apache-2.0
"""YOLO11n-seg, built by ultralytics from its own description.

ultralytics is AGPL-3.0. It stands in .venv-peers alone, where it makes an ONNX file with random weights for this
comparison; nothing of it is in the package or in the repository.
"""

from __future__ import annotations

from torch import Tensor, nn
from ultralytics.nn.tasks import SegmentationModel

OUTPUTS = ('detections', 'prototypes')
CLASSES = 80


class Yolo(nn.Module):
    """Maps a picture 1×3×H×W in 0…1 to detections 1×(4+80+32)×A and mask prototypes 1×32×H/4×W/4.

    A detection is a box (centre x, y, width, height in pixels), class probabilities, and mask coefficients.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.network = SegmentationModel('yolo11n-seg.yaml', nc=CLASSES, verbose=False).eval().fuse(verbose=False)
        head = self.network.model[-1]
        head.export, head.format = True, 'onnx'

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Return detections and prototypes."""
        detections, prototypes = self.network(picture)
        return detections, prototypes
