# SPDX-License-Identifier: Apache-2.0
"""DINOv2's weights from a local file, under timm's names (which are Meta's own) or under Hugging Face's."""

from __future__ import annotations

from functools import reduce
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cast_train.errors import UNREADABLE, TrainingError

# Of training alone, or of a classifier.
LEFT_OUT = ('mask_token', 'head.', 'classifier.')
HUGGING_FACE = 'embeddings.position_embeddings'
# Parts of Hugging Face's names, and timm's; the order matters.
RENAMED = (
    ('embeddings.patch_embeddings.projection', 'patch_embed.proj'),
    ('embeddings.position_embeddings', 'pos_embed'),
    ('embeddings.', ''),
    ('encoder.layer.', 'blocks.'),
    ('layernorm.', 'norm.'),
    ('attention.output.dense', 'attn.proj'),
    ('layer_scale1.lambda1', 'ls1.gamma'),
    ('layer_scale2.lambda1', 'ls2.gamma'),
)


def load_vit_weights(network: nn.Module, path: Path, name: str) -> None:
    """Fill ``network``, a timm transformer, from a ``.safetensors`` file or a ``.pth`` of plain tensors.

    Raises:
        TrainingError: the file is missing, unreadable, or of another network.
    """
    if not path.is_file():
        raise TrainingError(
            f'{path}: no such file; backbone {name} expects its weights there, as model.safetensors of '
            'timm/vit_small_patch14_dinov2.lvd142m, dinov2_vits14_pretrain.pth or model.safetensors of '
            'facebook/dinov2-small'
        )
    found = _timm_names(_read(path))
    own = network.state_dict()
    unfit = [key for key, tensor in own.items() if key not in found or found[key].shape != tensor.shape]
    unknown = [key for key in found if key not in own and not key.startswith(LEFT_OUT)]
    if unfit or unknown:
        first = f', first {(unfit or unknown)[0]}'
        raise TrainingError(
            f'{path}: not the weights of {name}: {len(unfit)} tensors are missing or of another shape, '
            f"{len(unknown)} are unknown{first}; timm's names are expected, as in blocks.0.attn.qkv.weight"
        )
    network.load_state_dict({key: found[key] for key in own})


def _read(path: Path) -> dict[str, Tensor]:
    try:
        state = load_file(path) if path.suffix == '.safetensors' else torch.load(path, 'cpu', weights_only=True)
    except (SafetensorError, *UNREADABLE) as error:
        kind = 'safetensors' if path.suffix == '.safetensors' else 'named tensors alone'
        reason = str(error).partition('\n')[0] or type(error).__name__
        raise TrainingError(f'{path}: cannot be read as {kind} ({reason}); download it again') from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise TrainingError(f'{path}: holds more than named tensors; save the state of the network alone')
    return state


def _timm_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {key.removeprefix('dinov2.'): tensor for key, tensor in state.items()}
    if HUGGING_FACE not in state:
        return state
    renamed: dict[str, Tensor] = {}
    for key, tensor in state.items():
        renamed[reduce(lambda name, pair: name.replace(*pair), RENAMED, key)] = tensor
    for part in ('weight', 'bias'):
        for query in [key for key in renamed if key.endswith(f'attention.attention.query.{part}')]:
            block = query.removesuffix(f'attention.attention.query.{part}')
            parts = [renamed.pop(f'{block}attention.attention.{kind}.{part}') for kind in ('query', 'key', 'value')]
            renamed[f'{block}attn.qkv.{part}'] = torch.cat(parts)
    return renamed
