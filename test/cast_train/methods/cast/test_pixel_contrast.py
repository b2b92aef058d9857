# SPDX-License-Identifier: Apache-2.0
"""The pixel contrast against slow, obvious references."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from cast_train.data import Targets
from cast_train.methods.cast.pixel_contrast import (
    PUBLISHED_HINGE,
    UNKNOWN_SEGMENT,
    contrast_curves,
    cross_entropy_of_draws,
    pixel_contrast,
    segments_of,
)
from cast_train.methods.cast.recipe import PixelContrast
from cast_train.methods.cast.samplers import draw_negatives
from cast_train.models import QueryPrediction

ALL: dict[str, Any] = {'anchors': None, 'candidates': None, 'negatives': 7}
SAMPLERS = ['uniform', 'mask', 'class', 'fusion', 'published']


def prediction(
    pictures: int = 2, height: int = 6, width: int = 8, queries: int = 4, classes: int = 3
) -> QueryPrediction:
    generator = torch.Generator().manual_seed(5)
    return QueryPrediction(
        torch.randn(pictures, queries, classes + 1, generator=generator) * 2,
        torch.randn(pictures, queries, height, width, generator=generator) * 3,
        torch.full((pictures, queries, 4), 0.5),
    )


def embeddings(pictures: int = 2, height: int = 3, width: int = 4, seed: int = 0, length: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(pictures, length, height, width, generator=generator, dtype=torch.float64), dim=1)


def slow_contrast(weak: Tensor, strong: Tensor, said: QueryPrediction, progress: float, how: PixelContrast) -> float:
    """The formula, one anchor and one negative at a time, with the same draws."""
    height, width = weak.shape[-2:]
    temperature = how.temperature_start + (how.temperature_end - how.temperature_start) * progress
    w = [row.tolist() for row in weak.permute(0, 2, 3, 1).flatten(0, 2)]
    s = [row.tolist() for row in strong.permute(0, 2, 3, 1).flatten(0, 2)]

    def dot(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    losses = []
    for draw in draw_negatives(said, height, width, how):
        for row, anchor in enumerate(draw.anchors.tolist()):
            positive = math.exp(dot(w[anchor], s[anchor]) / temperature)
            drawn = 0.0
            for count, candidate in zip(draw.counts[row].tolist(), draw.candidates.tolist(), strict=True):
                score = dot(w[anchor], w[candidate]) / temperature
                if how.sampler == 'published':
                    score = max(score - PUBLISHED_HINGE, 0.0)
                drawn += count * math.exp(score)
            if drawn > 0:
                losses.append(-math.log(positive / (positive + drawn)))
    return sum(losses) / max(1, len(losses))


@pytest.mark.parametrize('sampler', SAMPLERS)
@pytest.mark.parametrize('progress', [0.0, 0.6, 1.0])
def test_the_loss_is_the_formula(sampler: Any, progress: float) -> None:
    how = PixelContrast(sampler=sampler, **ALL)
    weak, strong, said = embeddings(seed=1), embeddings(seed=2), prediction()
    torch.manual_seed(3)
    found = pixel_contrast(weak, strong, said, progress, how)
    torch.manual_seed(3)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(slow_contrast(weak, strong, said, progress, how), rel=1e-9)
    torch.manual_seed(3)
    assert pixel_contrast(weak.float(), strong.float(), said, progress, how).item() == pytest.approx(
        found.item(), rel=1e-4
    )


@pytest.mark.parametrize('sampler', SAMPLERS)
@pytest.mark.parametrize('subset', [{}, {'anchors': 5, 'candidates': 6}, {'same_image': 0.5, 'candidates': 9}])
def test_the_gradient_is_that_of_the_value(sampler: Any, subset: dict[str, Any]) -> None:
    how = PixelContrast(sampler=sampler, chunk=4, **{**ALL, **subset})
    strong, said = embeddings(seed=2), prediction()

    def loss(weak: Tensor) -> Tensor:
        torch.manual_seed(3)
        return 3 * pixel_contrast(weak, strong, said, 0.4, how)

    assert torch.autograd.gradcheck(loss, embeddings(seed=1).requires_grad_(), fast_mode=True)


def test_derivatives_by_similarities_agree_with_autograd() -> None:
    torch.manual_seed(0)
    positive = torch.randn(3, dtype=torch.float64, requires_grad=True)
    negative = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    counts = torch.tensor([[0, 1, 2, 0, 3], [0, 0, 0, 0, 0], [5, 0, 0, 0, 0]]).double()
    plain = -(positive.exp() / (positive.exp() + (counts * negative.exp()).sum(1))).log()
    plain.sum().backward()
    losses, by_positive, by_negative = cross_entropy_of_draws(
        positive.detach(), negative.detach().clone(), counts, hinge=None
    )
    assert torch.allclose(losses, plain.detach())
    assert torch.allclose(by_positive, positive.grad)  # type: ignore[arg-type]
    assert torch.allclose(by_negative, negative.grad)  # type: ignore[arg-type]
    assert losses[1].item() == pytest.approx(0, abs=1e-12)


def test_similarities_that_overflow_alone_do_not_overflow_here() -> None:
    losses, _, _ = cross_entropy_of_draws(
        torch.tensor([-400.0]), torch.tensor([[400.0, 0.0]]), torch.tensor([[2.0, 9.0]]), hinge=None
    )
    assert losses.item() == pytest.approx(800 + math.log(2))


def test_gradients_reach_the_weak_view_as_anchor_and_as_negative_and_nothing_else() -> None:
    weak, strong, said = embeddings().requires_grad_(), embeddings(seed=1).requires_grad_(), prediction()
    for part in said:
        part.requires_grad_()
    how = PixelContrast(sampler='published', **ALL)
    torch.manual_seed(0)
    pixel_contrast(weak, strong, said, 0.5, how.model_copy(update={'sampler': 'fusion', 'anchors': 1})).backward()
    assert weak.grad is not None
    # One anchor in each picture, yet the seven that it was held against are pushed as well.
    assert (weak.grad.abs().sum(1) > 0).sum() > 8
    assert strong.grad is None
    assert all(part.grad is None for part in said)


def test_the_temperature_falls_linearly() -> None:
    how = PixelContrast()
    assert [how.temperature(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([0.3, 0.185, 0.07])
    assert (how.weight, how.negatives, how.sampler, how.level) == (0.1, 200, 'fusion', 1)
    assert [PixelContrast(stride=stride).level for stride in (4, 8, 16, 32)] == [0, 1, 2, 3]


@pytest.mark.parametrize('sampler', SAMPLERS)
def test_the_chunk_changes_nothing(sampler: Any) -> None:
    weak, strong, said = embeddings(), embeddings(seed=1), prediction()
    found = []
    for chunk in (1, 5, 1000):
        variable = weak.clone().requires_grad_()
        torch.manual_seed(1)
        loss = pixel_contrast(variable, strong, said, 0.2, PixelContrast(sampler=sampler, chunk=chunk, **ALL))
        loss.backward()
        found.append(torch.cat([loss.detach()[None], variable.grad.flatten()]))  # type: ignore[union-attr]
    assert torch.allclose(found[0], found[1], rtol=1e-9)
    assert torch.allclose(found[0], found[2], rtol=1e-9)


def test_half_precision_inputs_under_autocast_cost_no_precision() -> None:
    weak, strong, said = embeddings().bfloat16(), embeddings(seed=1).bfloat16(), prediction()
    torch.manual_seed(0)
    expected = pixel_contrast(weak.float(), strong.float(), said, 1.0, PixelContrast(**ALL))
    torch.manual_seed(0)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = pixel_contrast(weak.requires_grad_(), strong, said, 1.0, PixelContrast(**ALL))
    found.backward()
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert weak.grad is not None
    assert weak.grad.dtype == torch.bfloat16


@settings(max_examples=30, deadline=None)
@given(
    pictures=st.integers(1, 3),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    sampler=st.sampled_from(SAMPLERS),
    anchors=st.none() | st.integers(1, 20),
    candidates=st.none() | st.integers(1, 40),
    same_image=st.none() | st.floats(0, 1),
    negatives=st.integers(1, 30),
)
def test_every_shape_gives_a_finite_loss_and_gradient(
    pictures: int,
    size: tuple[int, int],
    sampler: Any,
    anchors: int | None,
    candidates: int | None,
    same_image: float | None,
    negatives: int,
) -> None:
    how = PixelContrast(
        sampler=sampler, anchors=anchors, candidates=candidates, same_image=same_image, negatives=negatives
    )
    weak = embeddings(pictures, *size).requires_grad_()
    loss = pixel_contrast(weak, embeddings(pictures, *size, seed=1), prediction(pictures), 0.5, how)
    loss.backward()
    assert loss.isfinite()
    assert loss >= -1e-9
    assert weak.grad is not None
    assert weak.grad.isfinite().all()


@pytest.mark.parametrize(('pictures', 'size', 'sampler'), [(1, (1, 1), 'fusion'), (1, (3, 4), 'published')])
def test_without_any_negative_the_loss_and_its_gradient_are_zero(
    pictures: int, size: tuple[int, int], sampler: Any
) -> None:
    weak = embeddings(pictures, *size).requires_grad_()
    loss = pixel_contrast(
        weak, embeddings(pictures, *size, seed=1), prediction(pictures), 0.5, PixelContrast(sampler=sampler)
    )
    loss.backward()
    assert loss.item() == 0
    assert weak.grad is not None
    assert not weak.grad.any()


def test_anchors_from_which_nothing_differs_are_left_out_of_the_mean() -> None:
    said = prediction(1)
    # Every cell is described alike, except for the first column of cells.
    masks = torch.full_like(said.mask_logits, 5.0)
    masks[..., :2] = -5.0
    masks[:, 0] = -masks[:, 0]
    weak, strong = embeddings(1), embeddings(1, seed=1)
    torch.manual_seed(0)
    found = pixel_contrast(weak, strong, said._replace(mask_logits=masks), 0.0, PixelContrast(sampler='mask', **ALL))
    assert found.item() > 0
    flat = said._replace(mask_logits=torch.zeros_like(said.mask_logits))
    nothing = pixel_contrast(weak, strong, flat, 0.0, PixelContrast(sampler='mask', **ALL))
    assert nothing.item() < 10


def test_a_nan_is_not_hidden() -> None:
    weak, strong, said = embeddings(), embeddings(seed=1), prediction()
    for sampler in ('mask', 'class', 'fusion'):
        broken = said._replace(mask_logits=said.mask_logits.clone())
        broken.mask_logits[1, 2, 3, 3] = torch.nan
        assert pixel_contrast(weak, strong, broken, 0.5, PixelContrast(sampler=sampler, **ALL)).isnan()
    weak[0, 0, 0, 0] = torch.nan
    assert pixel_contrast(weak, strong, said, 0.5, PixelContrast(**ALL)).isnan()


def test_queries_that_claim_nothing_are_survived() -> None:
    said = prediction()
    silent = said._replace(mask_logits=torch.full_like(said.mask_logits, -200.0))
    for sampler in SAMPLERS:
        how = PixelContrast(sampler=sampler, object_queries=True, **ALL)  # type: ignore[arg-type]
        assert pixel_contrast(embeddings(), embeddings(seed=1), silent, 0.5, how).isfinite()


def test_training_on_it_tells_pixels_apart() -> None:
    said, how = prediction(), PixelContrast(**ALL)
    torch.manual_seed(0)
    raw = torch.randn(2, 6, 3, 4, requires_grad=True)
    strong = normalize(raw.detach() + 0.3 * torch.randn_like(raw), dim=1)
    optimizer = torch.optim.Adam([raw], 0.05)
    targets = [Targets(None, None, None, None)] * 2
    before = contrast_curves(normalize(raw, dim=1), strong, said, targets, (), how)
    for step in range(40):
        optimizer.zero_grad()
        pixel_contrast(normalize(raw, dim=1), strong, said, step / 40, how).backward()
        optimizer.step()
    after = contrast_curves(normalize(raw, dim=1), strong, said, targets, (), how)
    assert after.margin > before.margin + 0.02
    assert math.isnan(after.false_negative_rate)


def streets() -> tuple[list[Targets], QueryPrediction]:
    """Two pictures of 6×8 with two persons (class 1) each and road (class 0), and what a perfect student says."""
    masks = torch.zeros(3, 6, 8, dtype=torch.bool)
    masks[1, :4, :2] = True
    masks[2, :4, 4:6] = True
    masks[0] = ~(masks[1] | masks[2])
    target = Targets(masks, torch.tensor([0, 1, 1]), None, None)
    class_logits = torch.full((1, 4, 3), -9.0)
    for query, label in enumerate((0, 1, 1, 2)):
        class_logits[0, query, label] = 9.0
    mask_logits = torch.cat([masks.float() * 18 - 9, torch.full((1, 6, 8), -9.0)])[None]
    said = QueryPrediction(class_logits, mask_logits, torch.full((1, 4, 4), 0.5))
    return [target, target], QueryPrediction(*(torch.cat([part, part]) for part in said))


def test_segments_number_instances_apart_and_stuff_by_class() -> None:
    targets, _ = streets()
    segments = segments_of([*targets, Targets(None, None, None, None)], 3, 4, thing_ids=(1,))
    assert segments[0].tolist() == [[65537, 0, 65538, 0], [65537, 0, 65538, 0], [0, 0, 0, 0]]
    assert segments[1, 0].tolist() == [65540, 0, 65541, 0]
    assert (segments[2] == UNKNOWN_SEGMENT).all()


def test_the_curves_agree_with_loops_and_leave_the_random_generator_alone() -> None:
    targets, said = streets()
    weak, strong, how = embeddings(), embeddings(seed=1), PixelContrast(sampler='uniform', **ALL)
    torch.manual_seed(0)
    found = contrast_curves(weak, strong, said, targets, (1,), how)
    segments = segments_of(targets, 3, 4, (1,)).flatten().tolist()
    w, s = (part.permute(0, 2, 3, 1).flatten(0, 2) for part in (weak, strong))
    near, far, false = [], [], []
    for draw in draw_negatives(said, 3, 4, how):
        for row, anchor in enumerate(draw.anchors.tolist()):
            near.append(1 - float(w[anchor] @ s[anchor]))
            for count, candidate in zip(draw.counts[row].tolist(), draw.candidates.tolist(), strict=True):
                far += [1 - float(w[anchor] @ w[candidate])] * int(count)
                false += [segments[anchor] == segments[candidate]] * int(count)
    assert found.margin == pytest.approx(sum(far) / len(far) - sum(near) / len(near), rel=1e-6)
    assert found.false_negative_rate == pytest.approx(sum(false) / len(false))


def test_a_good_student_draws_fewer_false_negatives_with_the_debiased_samplers() -> None:
    targets, said = streets()
    # Without replacement, more draws than there are cells of the other class would have to be false.
    few = {**ALL, 'negatives': 3}
    rates = {}
    for sampler in SAMPLERS:
        how = PixelContrast.model_validate({'sampler': sampler, **few})
        rates[sampler] = contrast_curves(embeddings(), embeddings(seed=1), said, targets, (1,), how).false_negative_rate
    assert rates['uniform'] > 0.4
    assert rates['class'] < 0.05
    assert rates['published'] < 0.05
    assert rates['fusion'] < rates['uniform'] - 0.1
