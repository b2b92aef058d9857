# SPDX-License-Identifier: Apache-2.0
"""The debiased sampler: descriptions against loops, and draws against the distribution that they must follow."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cast_train.methods.cast.recipe import PixelContrast, SamplerName
from cast_train.methods.cast.samplers import (
    debiased_weights,
    draw_candidates,
    draw_negatives,
    gumbel_counts,
    mask_probabilities,
    pixel_scores,
    systematic_counts,
)
from cast_train.models import QueryPrediction

CPU = torch.device('cpu')
SAMPLERS = ['uniform', 'mask', 'class', 'fusion', 'published']


def prediction(pictures: int = 2, queries: int = 3, classes: int = 2) -> QueryPrediction:
    torch.manual_seed(4)
    return QueryPrediction(
        torch.randn(pictures, queries, classes + 1) * 2,
        torch.randn(pictures, queries, 4, 6) * 3,
        torch.full((pictures, queries, 4), 0.5),
    )


def rules(**changed: Any) -> PixelContrast:
    usual = PixelContrast(negatives=20, anchors=None, candidates=None, chunk=5)
    return usual.model_copy(update=changed)


def slow_weight(said: QueryPrediction, sampler: str, a: tuple[int, int], b: tuple[int, int]) -> float:
    """s_deb of cells (picture, index) over 2×3 cells of 2×2 mask cells each, from the formulas of papers §1.3."""

    def describe(picture: int, cell: int) -> tuple[list[float], list[float]]:
        y, x = 2 * (cell // 3), 2 * (cell % 3)
        block = said.mask_logits[picture, :, y : y + 2, x : x + 2].tolist()
        masks = [sum(1 / (1 + math.exp(-v)) for row in query for v in row) / 4 for query in block]
        if sampler == 'published':
            means = [sum(v for row in query for v in row) / 4 for query in block]
            masks = [math.exp(v) / sum(math.exp(u) for u in means) for v in means]
        classes = [
            [math.exp(v) / sum(math.exp(u) for u in row) for v in row] for row in said.class_logits[picture].tolist()
        ]
        fused = [sum(m * row[c] for m, row in zip(masks, classes, strict=True)) for c in range(len(classes[0]))]
        own = masks if sampler in ('mask', 'fusion') else []
        shared = fused if sampler != 'mask' else []
        norm = sum(shared) if sampler == 'published' else math.sqrt(sum(v * v for v in own + shared))
        return [v / norm for v in own], [v / norm for v in shared]

    (own_a, shared_a), (own_b, shared_b) = describe(*a), describe(*b)
    similarity = sum(u * v for u, v in zip(shared_a, shared_b, strict=True))
    if a[0] == b[0]:
        similarity += sum(u * v for u, v in zip(own_a, own_b, strict=True))
    return max(0.0, 1 - similarity)


@pytest.mark.parametrize('sampler', ['mask', 'class', 'fusion', 'published'])
def test_weights_agree_with_loops(sampler: SamplerName) -> None:
    said = prediction()
    scores = pixel_scores(said, 2, 3, sampler, False)
    found = debiased_weights(scores, 1, torch.arange(6), torch.arange(12))
    for anchor in range(6):
        for candidate in range(12):
            expected = slow_weight(said, sampler, (1, anchor), divmod(candidate, 6))
            assert found[anchor, candidate].item() == pytest.approx(expected, abs=1e-5), (anchor, candidate)


def test_uniform_weights_are_all_one() -> None:
    scores = pixel_scores(prediction(), 2, 3, 'uniform', False)
    assert (debiased_weights(scores, 0, torch.arange(6), torch.arange(12)) == 1).all()


def test_object_queries_count_a_mask_by_the_chance_of_an_object() -> None:
    said = prediction()
    said.class_logits[:, 0] = torch.tensor([-30.0, -30.0, 30.0])
    own = pixel_scores(said, 2, 3, 'mask', True).own
    assert own is not None
    assert own[..., 0].max() < 1e-6, 'a query without an object describes nothing'
    plain = pixel_scores(said, 2, 3, 'mask', False).own
    assert plain is not None
    assert plain[..., 0].max() > 0.1


def test_cells_average_the_probabilities_of_their_masks() -> None:
    said = prediction()
    masks = mask_probabilities(said, 2, 3)
    assert masks.shape == (2, 6, 3)
    assert masks[1, 4, 2].item() == pytest.approx(said.mask_logits[1, 2, 2:, 2:4].sigmoid().mean().item(), rel=1e-5)


def test_systematic_draws_follow_the_weights_exactly() -> None:
    weights = torch.tensor([[1.0, 0.0, 3.0, 0.5, 2.5]])
    starts = (torch.arange(1000) + 0.5) / 1000
    counts = systematic_counts(weights.repeat(1000, 1), 20, starts)
    assert (counts.sum(1) == 20).all()
    assert torch.allclose(counts.mean(0) / 20, weights[0] / weights.sum(), atol=1e-3)
    expected = 20 * weights[0] / weights.sum()
    assert (counts - expected).abs().max() < 1, 'no draw is more than one away from its share'


def test_more_draws_than_columns_repeat_some_and_a_row_of_zeros_draws_none() -> None:
    weights = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [torch.nan, 1.0, 1.0]])
    counts = systematic_counts(weights, 8, torch.tensor([0.3, 0.3, 0.3]))
    assert counts[0].tolist() == [0, 4, 4]
    assert counts[1].tolist() == [0, 0, 0]
    assert counts[2].isnan().any()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40),
    st.integers(1, 300),
    st.floats(0, 0.999),
)
def test_a_row_with_any_weight_draws_as_often_as_asked(row: list[float], draws: int, start: float) -> None:
    weights = torch.tensor([row], dtype=torch.float64)
    counts = systematic_counts(weights.clone(), draws, torch.tensor([start], dtype=torch.float64))
    assert counts.sum().item() == (draws if weights.sum() > 0 else 0)
    assert (counts >= 0).all()
    assert (counts[weights == 0] == 0).all()


def test_gumbel_draws_are_distinct_and_the_first_follows_the_weights() -> None:
    torch.manual_seed(0)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4]).repeat(20000, 1)
    assert torch.allclose(gumbel_counts(weights, 1).mean(0), weights[0], atol=0.02)
    pairs = gumbel_counts(weights, 2)
    assert (pairs.sum(1) == 2).all()
    # Without replacement, the chance that the first column is among two draws, by hand.
    expected = 0.1 + sum(w * 0.1 / (1 - w) for w in (0.2, 0.3, 0.4))
    assert pairs[:, 0].mean().item() == pytest.approx(expected, abs=0.01)
    assert (gumbel_counts(weights[:1], 9) == 1).all(), 'fewer candidates than draws: all of them'


@pytest.mark.parametrize('sampler', ['uniform', 'mask', 'class', 'fusion'])
def test_negatives_follow_the_debiased_weights_over_all_other_pixels(sampler: SamplerName) -> None:
    said = prediction()
    total: Tensor = torch.zeros(12, 12)
    for _ in range(60):
        for draw in draw_negatives(said, 2, 3, rules(sampler=sampler, negatives=100, chunk=12)):
            total[draw.anchors[:, None], draw.candidates[None]] += draw.counts
    for anchor in (0, 4, 7):
        weights = torch.tensor(
            [
                0.0
                if other == anchor
                else 1.0
                if sampler == 'uniform'
                else slow_weight(said, sampler, divmod(anchor, 6), divmod(other, 6))
                for other in range(12)
            ]
        )
        assert torch.allclose(total[anchor] / total[anchor].sum(), weights / weights.sum(), atol=0.004)
    assert not total.diagonal().any()


def test_a_random_part_of_the_candidates_gives_nearly_the_same_distribution() -> None:
    said = prediction()
    exact, part = torch.zeros(12), torch.zeros(12)
    torch.manual_seed(0)
    for _ in range(500):
        draw = next(draw_negatives(said, 2, 3, rules(candidates=8, negatives=100, chunk=12)))
        part[draw.candidates] += draw.counts[4]
    for other in range(12):
        exact[other] = 0.0 if other == 4 else slow_weight(said, 'fusion', (0, 4), divmod(other, 6))
    # Eight of twelve is a small part, and normalising within it favours what is rare; the bias falls with 1/candidates.
    assert torch.allclose(part / part.sum(), exact / exact.sum(), atol=0.03)


def test_the_published_variant_draws_from_other_pictures_alone() -> None:
    seen = 0
    for draw in draw_negatives(prediction(3), 2, 3, rules(sampler='published', negatives=7)):
        assert ((draw.candidates // 6)[None] != (draw.anchors // 6)[:, None]).all()
        assert (draw.counts.sum(1) == 7).all()
        assert draw.counts.max() == 1
        seen += len(draw.anchors)
    assert seen == 18
    assert list(draw_negatives(prediction(1), 2, 3, rules(sampler='published'))) == []


@pytest.mark.parametrize('limit', [None, 10])
def test_the_share_of_the_same_picture_can_be_set(limit: int | None) -> None:
    own = total = 0.0
    for draw in draw_negatives(prediction(4), 2, 3, rules(sampler='uniform', same_image=0.5, candidates=limit)):
        own += float(draw.counts[:, draw.candidates // 6 == draw.anchors[0] // 6].sum())
        total += float(draw.counts.sum())
    # A cell of the own picture that is the anchor itself is never drawn, which takes a little off.
    assert own / total == pytest.approx(0.5, abs=0.06)


def test_candidates_are_distinct_cells_of_the_whole_batch() -> None:
    torch.manual_seed(0)
    everything, factors = draw_candidates(1, 3, 6, None, None, CPU)
    assert everything.tolist() == list(range(18))
    assert factors is None
    some, _ = draw_candidates(1, 3, 6, 7, None, CPU)
    assert len(set(some.tolist())) == 7
    mixed, factors = draw_candidates(1, 3, 6, 8, 0.25, CPU)
    assert sorted(set(mixed.tolist())) == sorted(mixed.tolist())
    assert [6 <= cell < 12 for cell in mixed.tolist()] == [True] * 2 + [False] * 6
    assert factors is not None
    assert factors.tolist() == pytest.approx([1.0] * 8)


def test_a_part_of_the_anchors_is_drawn_afresh_each_time() -> None:
    said = prediction()
    torch.manual_seed(0)
    found = [
        sorted(cell for draw in draw_negatives(said, 2, 3, rules(anchors=2)) for cell in draw.anchors.tolist())
        for _ in range(5)
    ]
    assert all(len(cells) == 4 for cells in found)
    assert len({tuple(cells) for cells in found}) > 1
