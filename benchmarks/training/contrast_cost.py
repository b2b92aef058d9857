# SPDX-License-Identifier: Apache-2.0
"""What the pixel contrast costs: time of one forward and backward, and the memory that it adds at its peak.

    python benchmarks/training/contrast_cost.py [--key value]…      any setting of the contrast, e.g. --anchors null

The first row of the output is the batch of the miniature protocol, the second that of Cityscapes.
"""

from __future__ import annotations

import resource
import sys
import time

import torch
import yaml
from torch.nn import functional

from cast_train.methods.cast.pixel_contrast import pixel_contrast
from cast_train.methods.cast.recipe import PixelContrast
from cast_train.models.queries import QueryPrediction

QUERIES, CLASSES, DIMENSION = 64, 14, 128


def main() -> None:
    """Measure both batches on one thread."""
    torch.set_num_threads(1)
    keys = [argument.removeprefix('--') for argument in sys.argv[1::2]]
    values = [yaml.safe_load(argument) for argument in sys.argv[2::2]]
    how = PixelContrast.model_validate(dict(zip(keys, values, strict=True)))
    for pictures, height, width, times in ((16, 128, 256, 10), (8, 512, 1024, 2)):
        measure(how, pictures, height, width, times)


def measure(how: PixelContrast, pictures: int, height: int, width: int, times: int) -> None:
    """Print the best of several steps, in CPU time, and how far the peak of the process rose beyond its inputs."""
    torch.manual_seed(0)
    size = (height // how.stride, width // how.stride)
    said = QueryPrediction(
        torch.randn(pictures, QUERIES, CLASSES) * 3,
        torch.randn(pictures, QUERIES, height // 4, width // 4) * 3,
        torch.rand(pictures, QUERIES, 4),
    )
    weak, strong = (functional.normalize(torch.randn(pictures, DIMENSION, *size), dim=1) for _ in range(2))
    weak.requires_grad_()
    before = peak_mb()
    seconds = []
    for _ in range(times):
        start = time.process_time()
        pixel_contrast(weak, strong, said, 0.5, how).backward()
        seconds.append(time.process_time() - start)
        weak.grad = None
    sys.stdout.write(
        f'{pictures} x {height}x{width}, {size[0] * size[1]} cells each: {1e3 * min(seconds):.0f} ms, '
        f'peak +{peak_mb() - before:.0f} MB\n'
    )


def peak_mb() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == '__main__':
    main()
