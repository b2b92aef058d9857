# SPDX-License-Identifier: Apache-2.0
"""Where queries start, and the bound that boxes set to masks."""

from __future__ import annotations

import pytest
import torch

from cast_train.models import StudentNetwork
from cast_train.models.queries import best_peaks, outside


def test_peaks_are_local_maxima_best_first_whatever_their_class() -> None:
    heat = torch.full((1, 2, 6, 8), -9.0)
    heat[0, 0, 2, 3], heat[0, 0, 2, 4] = 5.0, 4.0
    heat[0, 1, 2, 4], heat[0, 1, 5, 7] = 3.0, 4.5
    best, found = best_peaks(heat, 3)
    assert torch.allclose(best, torch.tensor([[5.0, 4.5, 3.0]]).sigmoid())
    assert found[0].tolist() == [2 * 8 + 3, 48 + 5 * 8 + 7, 48 + 2 * 8 + 4], (
        'the neighbour of a higher peak of its class is none'
    )


def test_the_hottest_peaks_are_found_where_their_probability_rounds_to_one() -> None:
    heat = torch.full((1, 1, 6, 12), -9.0)
    heat[0, 0, 1, 1::3] = torch.tensor([40.0, 60.0, 30.0, 50.0])
    best, found = best_peaks(heat, 6)
    assert found[0, :4].tolist() == [12 + 4, 12 + 10, 12 + 1, 12 + 7]
    assert best[0, :4].tolist() == [1.0] * 4


def test_nothing_is_taken_off_inside_a_box_and_more_the_farther_away() -> None:
    rows, columns = outside(torch.tensor([[[0.5, 0.5, 0.25, 0.5]]]), 16, 32)
    penalty = rows[0, 0, :, None] + columns[0, 0]
    assert penalty[4:12, 12:20].max() == 0
    assert penalty[8, 31] > penalty[8, 26] > 5
    assert penalty[0, 0] > penalty[8, 0]


def test_a_peak_query_begins_at_its_peak() -> None:
    torch.manual_seed(0)
    network = StudentNetwork('nano', classes=4, thing_ids=(2, 3)).eval()
    _, coarse = network.pyramid(network.backbone(torch.randn(1, 3, 64, 128)))
    heat = torch.full((1, 2, 8, 16), -9.0)
    heat[0, 1, 6, 13] = 9.0
    _, start, _ = network.decoder._start(coarse[0], coarse[0], heat)
    x, y, width, height = start[0, 0].sigmoid().tolist()
    assert (x, y) == pytest.approx(((13 + 0.5) / 16, (6 + 0.5) / 8))
    assert width == height < 0.15
    assert start[0, -1].sigmoid().tolist()[2] > 0.85, 'a learned query may cover the picture'


def test_without_things_all_queries_are_learned_ones() -> None:
    network = StudentNetwork('nano', classes=4, thing_ids=()).eval()
    output = network(torch.zeros(1, 3, 64, 128, dtype=torch.uint8))
    assert output.levels[-1].class_logits.shape == (1, 24, 5)
