# SPDX-License-Identifier: Apache-2.0
"""What is compared: one line for each network, and the pairs that a user would run for masks and depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Size = tuple[int, int]
Family = Literal['student', 'yolo', 'depth', 'queries', 'detr']

# Height and width of the picture, which is also what a network sees unless its row says otherwise.
SIZES: tuple[Size, ...] = ((256, 512), (384, 640), (512, 1024))
LARGE = SIZES[-1:]
# A patch of 14 pixels divides none of them. The nearest multiples; 518×1036 is what Depth Anything makes of 2:1 itself.
PATCH_14: Mapping[Size, Size] = {(256, 512): (252, 504), (384, 640): (378, 644), (512, 1024): (518, 1036)}

INT8_NOTE = 'ours, `{}` in int8: convolutions of backbone and pyramid in 8 bits, all else in float32'


@dataclass(frozen=True)
class Row:
    """One network.

    Attributes:
        family: how its answer is read; students read themselves.
        architecture: name for the exporter, where it is not the row's.
        inputs: picture size to what the network takes, where that differs.
        file: an ONNX file that exists already, instead of an export.
        is_int8: a student whose export is quantised.
        note: a sentence for the table.
    """

    name: str
    family: Family
    note: str = ''
    sizes: tuple[Size, ...] = SIZES
    inputs: Mapping[Size, Size] = field(default_factory=dict)
    architecture: str = ''
    file: Path | None = None
    is_int8: bool = False

    def input_of(self, size: Size) -> Size:
        """Height and width that the network takes for a picture of this size."""
        return self.inputs.get(size, size)

    @property
    def exporter_name(self) -> str:
        """What the exporter calls it."""
        return self.architecture or self.name


@dataclass(frozen=True)
class Pair:
    """Two networks that run one after the other: times and costs are sums, memory too."""

    name: str
    parts: tuple[str, str]
    note: str = ''


ROWS: tuple[Row, ...] = (
    Row('nano', 'student', 'ours'),
    Row('small', 'student', 'ours; the size of models/streets-small.onnx'),
    Row('base', 'student', 'ours'),
    Row('vits', 'student', 'ours, DINOv2-S/14 with DPT and nine query layers'),
    Row('swinmtl', 'student', 'ours, SwinMTL with Swin v2 base: semantic map and depth, no instances'),
    Row('nano-int8', 'student', INT8_NOTE.format('nano'), architecture='nano', is_int8=True),
    Row('small-int8', 'student', INT8_NOTE.format('small'), architecture='small', is_int8=True),
    Row('yolo11n-seg', 'yolo', 'ultralytics; instances alone'),
    Row('depth-anything-v2-small', 'depth', 'transformers; depth alone, on multiples of 14', inputs=PATCH_14),
    Row(
        'depth-anything-v2-small-518x518',
        'depth',
        'Depth Anything on a picture that is squashed into a square',
        sizes=LARGE,
        inputs={(512, 1024): (518, 518)},
        architecture='depth-anything-v2-small',
    ),
    Row('light-depth', 'depth', 'FastDepth with MobileNet v1 of timm; depth alone, coarse'),
    Row(
        'rf-detr-seg-nano',
        'detr',
        'rfdetr; instances alone, always on its own square of 312×312',
        inputs=dict.fromkeys(SIZES, (312, 312)),
    ),
    Row('mask2former-swin-tiny', 'queries', 'transformers; instances or a semantic map'),
    Row('eomt-s', 'queries', 'EoMT with ViT-S/16, our own words; instances or a semantic map'),
    Row(
        'cast-dinov2-s',
        'queries',
        "CAST's own student (DINOv2-S, DPT, Mask2Former's decoder) at 52 M; instances alone",
        inputs=PATCH_14,
    ),
)
PAIRS: tuple[Pair, ...] = (
    Pair('pair', ('yolo11n-seg', 'depth-anything-v2-small'), 'instances and depth from two networks'),
    Pair('pair-518x518', ('yolo11n-seg', 'depth-anything-v2-small-518x518'), 'the same with the square'),
    Pair('pair-light', ('yolo11n-seg', 'light-depth'), 'the same with the light depth network'),
)
# All ratios are to this one.
REFERENCE = 'small'
