# SPDX-License-Identifier: Apache-2.0
"""DINOv2 as a backbone: a plain vision transformer whose taps are reassembled to strides 4, 8, 16 and 32 (DPT)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

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

    Its names are timm's, which are Meta's own, or Hugging Face's.

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


PATCH = 14
PRETRAINED_SIDE = 518  # its position embeddings are a grid of 37 × 37
# Each tap is brought to one of these strides; the last is halved from there.
REASSEMBLED = (4, 8, 16, 16)


@dataclass(frozen=True)
class VitShape:
    """A vision transformer and its taps.

    Attributes:
        width: length of a token. depth: number of blocks. heads: attention heads of a block.
        taps: four blocks, counted from 0, whose tokens become features.
        channels: of the features at strides 4, 8, 16 and 32.
    """

    width: int
    depth: int
    heads: int
    taps: tuple[int, int, int, int]
    channels: tuple[int, int, int, int]


# Width, depth and taps are those of CAST: ViT-S/14, blocks 2, 5, 8 and 11. The channels lie between those of the
# published code and of DPT-S, where the whole student comes to the 52 M parameters that the paper states.
DINOV2_SMALL = VitShape(384, 12, 6, (2, 5, 8, 11), (72, 144, 288, 576))
# For tests: no size uses it.
MINIATURE = VitShape(32, 4, 2, (0, 1, 2, 3), (16, 16, 24, 32))


def make_vit(shape: VitShape, name: str, weights: Path | None) -> tuple[nn.Module, list[int]]:
    """Return the backbone and its channel counts; see ``load_vit_weights`` for the file and its errors."""
    backbone = Vit(shape)
    if weights is not None:
        load_vit_weights(backbone.network, weights, name)
    return backbone, list(shape.channels)


class Vit(nn.Module):
    """Maps B×3×H×W, normalised, H and W multiples of 32, to four feature maps at strides 4, 8, 16 and 32.

    Patches have 14 pixels, so the picture is first resized to the nearest multiple of 14.
    """

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.taps = shape.taps
        self.network: Any = timm.create_model(
            'vit_small_patch14_dinov2',
            pretrained=False,
            img_size=PRETRAINED_SIDE,
            dynamic_img_size=True,
            embed_dim=shape.width,
            depth=shape.depth,
            num_heads=shape.heads,
        )
        self.project = nn.ModuleList(nn.Conv2d(shape.width, count, 1) for count in shape.channels)
        quarter, eighth, _, coarsest = shape.channels
        enlarging = nn.ConvTranspose2d(quarter, quarter, 4, 4), nn.ConvTranspose2d(eighth, eighth, 2, 2)
        self.enlarge = nn.ModuleList([*enlarging, nn.Identity(), nn.Identity()])
        self.halve = nn.Conv2d(coarsest, coarsest, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four maps, finest first."""
        # Plain numbers, which a tracer writes down as constants.
        height, width = int(images.shape[-2]), int(images.shape[-1])
        levels = [
            _resize(enlarge(project(tap)), height // stride, width // stride)
            for tap, project, enlarge, stride in zip(
                self._tapped(images, round(height / PATCH), round(width / PATCH)),
                self.project,
                self.enlarge,
                REASSEMBLED,
                strict=True,
            )
        ]
        return [*levels[:3], self.halve(levels[3])]

    def _tapped(self, images: Tensor, rows: int, columns: int) -> list[Tensor]:
        """Patch tokens after each tap as B×width×rows×columns, normalised by the network's last norm, as in DINOv2."""
        patches = self.network.patch_embed(_resize(images, rows * PATCH, columns * PATCH)).flatten(1, 2)
        tokens = torch.cat([self.network.cls_token.expand(patches.shape[0], -1, -1), patches], 1)
        tokens = tokens + self._positions(rows, columns)
        tapped = []
        for index, block in enumerate(self.network.blocks):
            tokens = block(tokens)
            if index in self.taps:
                tapped.append(self.network.norm(tokens)[:, 1:].transpose(1, 2).unflatten(2, (rows, columns)))
        return tapped

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Position embeddings 1×(1+rows·columns)×width for this grid."""
        embedding: Tensor = self.network.pos_embed
        side = PRETRAINED_SIDE // PATCH
        grid = embedding[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        # Without antialias, which ONNX lacks in opset 17 and with which DINOv2 was not evaluated either.
        grid = F.interpolate(grid, (rows, columns), mode='bicubic', align_corners=False, antialias=False)
        positions = torch.cat([embedding[:, :1], grid.flatten(2).transpose(1, 2)], 1)
        if torch.onnx.is_in_onnx_export():
            # Through numpy the tracer loses sight of it, and the file holds the result instead of its making.
            return torch.from_numpy(positions.detach().cpu().numpy())
        return positions


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(x, (height, width), mode='bilinear', align_corners=False)
