# SPDX-License-Identifier: Apache-2.0
"""The unified objective: which pictures teach which term, and with which weight."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cast_train.data import Batch, Targets
from cast_train.losses.supervised import LossSection, supervised_losses
from cast_train.methods.cast.pixel_contrast import ContrastHead, encode_strong, pixel_contrast
from cast_train.methods.cast.recipe import PixelContrast
from cast_train.methods.cast.task import ContrastInputs, objective
from cast_train.models import StudentNetwork, StudentOutput


def target(seed: int) -> Targets:
    masks = torch.zeros(2, 32, 64, dtype=torch.bool)
    masks[0, :16], masks[1, 20:28, 8 * seed : 8 * seed + 12] = True, True
    semantic = torch.where(masks[1], 2, 0)
    return Targets(masks, torch.tensor([0, 2]), semantic, torch.full((32, 64), 5.0 + seed), seed)


@functools.lru_cache
def scene() -> tuple[StudentNetwork, ContrastHead, Batch]:
    torch.manual_seed(0)
    student = StudentNetwork('nano', 3, (1, 2)).train()
    images = torch.randint(0, 255, (4, 3, 32, 64), dtype=torch.uint8)
    return student, ContrastHead(48), Batch(images, [target(n) for n in range(4)], 1, images.flip(1))


def terms_of(output: StudentOutput, targets: Sequence[Targets]) -> dict[str, Tensor]:
    return supervised_losses(output, targets, LossSection(), (1, 2))


def run(semi: float, weight: float, labelled: int = 1) -> tuple[dict[str, Tensor], StudentOutput, ContrastInputs]:
    student, _, batch = scene()
    batch = replace(batch, labelled=labelled)
    output = student(batch.images)
    how = PixelContrast(weight=weight, negatives=20)
    torch.manual_seed(1)
    head = ContrastHead(output.encoded[how.level].shape[1])
    assert batch.strong is not None
    inputs = ContrastInputs(
        head.weak(output.encoded[how.level]), head.strong(encode_strong(student, batch.strong)[how.level]), 0.5, how
    )
    torch.manual_seed(2)
    return objective(output, batch, terms_of, semi, inputs), output, inputs


def test_labelled_rows_are_supervised_the_others_are_semi_and_all_are_contrasted() -> None:
    terms, output, inputs = run(semi=0.7, weight=0.3)
    _, _, batch = scene()
    names = {'classification', 'bce', 'dice', 'box', 'centre', 'depth', 'composed_semantic', 'dense_semantic'}
    assert set(terms) == {f'{part}_{name}' for part in ('supervised', 'semi') for name in names} | {'contrast'}
    for name, term in terms_of(output.rows(0, 1), batch.targets[:1]).items():
        assert terms[f'supervised_{name}'].item() == pytest.approx(term.item(), rel=1e-5)
    for name, term in terms_of(output.rows(1, 4), batch.targets[1:]).items():
        assert terms[f'semi_{name}'].item() == pytest.approx(0.7 * term.item(), rel=1e-5)
    torch.manual_seed(2)
    expected = pixel_contrast(inputs.weak, inputs.strong, output.levels[-1], 0.5, inputs.settings)
    assert terms['contrast'].item() == pytest.approx(0.3 * expected.item(), rel=1e-5)


def test_a_weight_of_zero_leaves_its_terms_out() -> None:
    terms, _, _ = run(semi=0.0, weight=0.0)
    assert all(name.startswith('supervised_') for name in terms)
    _, _, batch = scene()
    student, _, _ = scene()
    output = student(batch.images)
    assert set(objective(output, batch, terms_of, 0.0, None)) == set(terms)


@pytest.mark.parametrize('labelled', [0, 4])
def test_batches_of_one_kind_alone_have_the_same_terms_and_finite_gradients(labelled: int) -> None:
    terms, _, _ = run(semi=1.0, weight=0.1, labelled=labelled)
    usual, _, _ = run(semi=1.0, weight=0.1)
    assert set(terms) == set(usual)
    empty = 'supervised_' if labelled == 0 else 'semi_'
    assert all(term.item() == 0 for name, term in terms.items() if name.startswith(empty))
    student, _, _ = scene()
    student.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    gradients = [p.grad for p in student.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
