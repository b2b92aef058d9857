# SPDX-License-Identifier: Apache-2.0
"""What labels leave open must not be learned: zero gradient for every pixel and object of unknown truth, in every loss.

And full labels must give the losses that they gave before labels could be partial.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cast_train.data import Targets, View, make_targets
from cast_train.losses.mask_set import MaskSetWeights, mask_set_loss
from cast_train.losses.supervised import (
    LossSection,
    centre_loss,
    composed_semantic_loss,
    dense_semantic_loss,
    depth_loss,
    supervised_losses,
)
from cast_train.models import QueryPrediction, StudentNetwork

# road, building, person, car
THINGS = (2, 3)
HEIGHT, WIDTH = 32, 64
QUERIES = 6


def full_view(seed: int = 0) -> View:
    """Road below, building above, a person and a car; a border nobody labelled."""
    generator = torch.Generator().manual_seed(seed)
    semantic = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    semantic[:12] = 1
    ids = torch.zeros(HEIGHT, WIDTH, dtype=torch.int32)
    ids[8:24, 8:16], ids[16:26, 30:50] = 1, 2
    semantic[ids == 1], semantic[ids == 2] = 2, 3
    semantic[:, -4:] = 255
    depth = torch.rand(HEIGHT, WIDTH, generator=generator) * 40 + 1
    image = torch.randint(0, 256, (3, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8)
    return View('v', image, ids, torch.tensor([2, 3]), semantic, depth)


def random_prediction(pictures: int = 1, seed: int = 0) -> QueryPrediction:
    generator = torch.Generator().manual_seed(seed)
    return QueryPrediction(
        torch.randn(pictures, QUERIES, 5, generator=generator).requires_grad_(),
        (3 * torch.randn(pictures, QUERIES, HEIGHT, WIDTH, generator=generator)).requires_grad_(),
        (torch.rand(pictures, QUERIES, 4, generator=generator) / 2 + 0.2).requires_grad_(),
    )


def gradient(loss: Tensor, of: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss, of, allow_unused=True, retain_graph=True)
    return torch.zeros_like(of) if found is None else found


def people_only(complete: tuple[int, ...] | None = ()) -> Targets:
    """Penn-Fudan's kind: one person labelled, no semantic map."""
    view = full_view()
    assert view.instance_ids is not None
    ids = torch.where(view.instance_ids == 1, 1, 0)
    view = replace(view, instance_ids=ids, instance_labels=torch.tensor([2]), semantic=None, depth_m=None)
    return replace(make_targets(replace(view, complete=complete), THINGS), seed=1)


# --- semantic ---------------------------------------------------------------------------------------------------------


def with_union() -> Targets:
    """The upper half is building or person, the lower road, the last column unknown."""
    semantic = torch.zeros(4, 6, dtype=torch.int64)
    union_ids = torch.zeros_like(semantic)
    semantic[:2], union_ids[:2] = 255, 1
    semantic[:, -1], union_ids[:, -1] = 255, 0
    return Targets(None, None, semantic, None, union_ids=union_ids, unions=((1, 2),))


def test_a_union_costs_the_log_of_the_summed_probability() -> None:
    logits = torch.randn(1, 4, 4, 6, generator=torch.Generator().manual_seed(0))
    shares = logits.softmax(1)[0]
    expected = -(shares[1] + shares[2]).log()[:2, :5].sum() - shares[0].log()[2:, :5].sum()
    assert dense_semantic_loss(logits, [with_union()]).item() == pytest.approx(float(expected / 20), rel=1e-5)


@pytest.mark.parametrize('weighted', [False, True])
def test_a_union_says_nothing_about_which_of_its_classes_and_unknown_pixels_nothing_at_all(weighted: bool) -> None:
    logits = torch.zeros(1, 4, 4, 6, requires_grad=True)
    target = with_union()
    if weighted:
        target = replace(target, pixel_weights=torch.full((4, 6), 0.5))
    found = gradient(dense_semantic_loss(logits, [target]), logits)[0]
    assert torch.equal(found[1, :2, :5], found[2, :2, :5])
    assert (found[[1, 2], :2, :5] < 0).all()
    assert (found[[0, 3], :2, :5] > 0).all()
    assert (found[:, :, 5] == 0).all()
    scale = 0.5 if weighted else 1.0
    assert found[0, 0, 0].item() == pytest.approx(scale * 0.25 / 20)


def test_the_composed_map_takes_unions_and_leaves_out_the_unknown() -> None:
    prediction = random_prediction()
    small = QueryPrediction(prediction.class_logits, prediction.mask_logits[..., :4, :6], prediction.boxes)
    whole = gradient(composed_semantic_loss(small, [with_union()]), prediction.mask_logits)
    assert (whole[..., :4, 5] == 0).all()
    assert (whole[..., :4, :5] != 0).any(1).all()
    every = replace(with_union(), unions=((0, 1, 2, 3),), semantic=torch.full((4, 6), 255))
    assert composed_semantic_loss(small, [every]).item() == pytest.approx(0, abs=1e-3), 'any class is right'


def test_a_picture_with_unions_does_not_change_its_neighbours() -> None:
    logits = torch.randn(2, 4, 4, 6, generator=torch.Generator().manual_seed(0))
    plain = Targets(None, None, torch.zeros(4, 6, dtype=torch.int64), None)
    both = dense_semantic_loss(logits, [plain, with_union()])
    apart = [dense_semantic_loss(logits[:1], [plain]), dense_semantic_loss(logits[1:], [with_union()])]
    assert both.item() == pytest.approx((24 * apart[0].item() + 20 * apart[1].item()) / 44, rel=1e-5)


# --- classification ---------------------------------------------------------------------------------------------------


def class_gradient(target: Targets, prediction: QueryPrediction | None = None) -> tuple[Tensor, int]:
    """Gradient N×(C+1) of the class term alone, and the query that was matched."""
    prediction = prediction or random_prediction()
    terms = mask_set_loss([prediction], [target], MaskSetWeights(points=64), THINGS)
    found = gradient(terms['classification'], prediction.class_logits)[0]
    return found, int(found[:, 2].argmin())


def test_a_query_without_an_object_is_free_where_nothing_is_complete() -> None:
    found, matched = class_gradient(people_only())
    others = [row for row in range(QUERIES) if row != matched]
    assert (found[others] == 0).all()
    assert found[matched, 2] < 0


def test_a_complete_class_is_unlearned_and_the_incomplete_one_is_not_pushed_down() -> None:
    prediction = QueryPrediction(torch.zeros(1, QUERIES, 5, requires_grad=True), *random_prediction()[1:])
    found, matched = class_gradient(people_only(complete=(3,)), prediction)
    other = (matched + 1) % QUERIES
    assert found[other, 3] > 0, 'it is no car: all cars are labelled'
    assert (found[other, [0, 1, 2, 4]] < 0).all(), 'but it may be stuff, a person whom nobody labelled, or nothing'
    assert torch.allclose(found[other, [0, 1, 4]], found[other, 2])


def test_a_second_query_on_a_labelled_person_is_no_other_person() -> None:
    target = people_only()
    assert target.masks is not None
    masks = torch.where(target.masks, 4.0, -4.0).repeat(2, 1, 1)
    elsewhere = torch.full((QUERIES - 2, HEIGHT, WIDTH), -4.0)
    elsewhere[0, 20:, 40:] = 4.0
    prediction = QueryPrediction(
        torch.zeros(1, QUERIES, 5, requires_grad=True), torch.cat([masks, elsewhere])[None], random_prediction().boxes
    )
    found, matched = class_gradient(target, prediction)
    assert matched in (0, 1)
    second = 1 - matched
    assert found[second, 2] > 0
    assert (found[second, [0, 1, 3, 4]] < 0).all()
    assert (found[2:] == 0).all(), 'a person there would be one whom nobody labelled'


def test_classes_of_unions_stay_open_where_the_rest_of_the_stuff_is_known() -> None:
    view = full_view()
    assert view.semantic is not None
    semantic, union_ids = view.semantic.clone(), torch.zeros_like(view.semantic)
    semantic[:12], union_ids[:12] = 255, 1
    partial = make_targets(
        replace(view, semantic=semantic, union_ids=union_ids, unions=((1, 3),), instance_ids=None, complete=()), THINGS
    )
    assert partial.labels is not None
    assert partial.labels.tolist() == [0], 'the road is the one region that is known'
    prediction = QueryPrediction(torch.zeros(1, QUERIES, 5, requires_grad=True), *random_prediction()[1:])
    terms = mask_set_loss([prediction], [replace(partial, seed=1)], MaskSetWeights(points=64), THINGS)
    found = gradient(terms['classification'], prediction.class_logits)[0]
    other = int(found[:, 0].argmax())
    assert found[other, 0] > 0
    assert (found[other, 1:] < 0).all()


# --- masks and boxes --------------------------------------------------------------------------------------------------


def half_known_road() -> Targets:
    """Road in the left half; in the right half nobody knows, or only that it is no road."""
    view = full_view()
    semantic = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    semantic[:, 24:] = 255
    union_ids = torch.zeros_like(semantic)
    union_ids[:, 48:] = 1
    view = replace(view, semantic=semantic, instance_ids=None, instance_labels=None, depth_m=None)
    return replace(make_targets(replace(view, complete=(), union_ids=union_ids, unions=((1, 3),)), THINGS), seed=1)


@pytest.mark.parametrize('term', ['bce', 'dice'])
def test_pixels_that_may_belong_to_a_region_or_not_have_no_mask_loss(term: str) -> None:
    target = half_known_road()
    prediction = random_prediction()
    terms = mask_set_loss([prediction], [target], MaskSetWeights(points=4096), THINGS)
    found = gradient(terms[term], prediction.mask_logits)[0].abs().sum(0)
    # Points lie between pixels and read the nearest target, but blend four logits: a column each way is shared.
    assert (found[:, 26:46] == 0).all()
    assert (found[:, :22] > 0).float().mean() > 0.9
    assert (found[:, 50:] > 0).float().mean() > 0.9, 'a union without the road is known to be none'


def test_a_box_that_unknown_pixels_could_move_is_not_learned() -> None:
    target = half_known_road()
    prediction = random_prediction()
    terms = mask_set_loss([prediction], [target], MaskSetWeights(points=64), THINGS)
    assert (gradient(terms['box'], prediction.boxes) == 0).all()
    assert terms['box'].item() == 0
    inside = replace(target, unsure=torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool))
    inside.unsure[0, 4:8, 4:8] = True  # type: ignore[index]
    terms = mask_set_loss([prediction], [inside], MaskSetWeights(points=64), THINGS)
    assert (gradient(terms['box'], prediction.boxes) != 0).any()


def test_a_labelled_object_is_known_in_every_pixel() -> None:
    targets = make_targets(replace(full_view(), complete=()), THINGS)
    assert targets.labels is not None
    assert targets.unsure is not None
    for label, plane in zip(targets.labels.tolist(), targets.unsure, strict=True):
        assert bool(plane[:, -4:].all()) == (label not in THINGS)
        assert not plane[:, :-4].any()


# --- centres ----------------------------------------------------------------------------------------------------------


def test_cells_that_may_be_the_centre_of_an_unlabelled_object_have_no_heat_loss() -> None:
    heat = torch.zeros(1, 2, 8, 16, requires_grad=True)
    found = gradient(centre_loss(heat, [people_only()], THINGS), heat)[0]
    assert (found[1] == 0).all(), 'nobody looked for cars'
    # The person covers rows 2 to 5 and columns 2 and 3 of the heat map.
    outside = torch.ones(8, 16, dtype=torch.bool)
    outside[2:6, 2:4] = False
    assert (found[0][outside] == 0).all()
    assert (found[0] < 0).sum() == 1
    assert (found[0][~outside] > 0).sum() == 7, 'and there is no second centre on the person'
    known = gradient(centre_loss(heat, [people_only(complete=(2,))], THINGS), heat)[0]
    assert (known[0] != 0).all()
    assert (known[1] == 0).all()


# --- depth, and nothing at all ----------------------------------------------------------------------------------------


def test_depth_is_learned_where_a_beam_came_back_and_nowhere_else() -> None:
    depth = torch.full((8, 16), torch.nan)
    depth[6, ::4] = torch.tensor([5.0, 10.0, 20.0, 40.0])
    predicted = torch.zeros(2, 8, 16, requires_grad=True)
    targets = [Targets(None, None, None, depth), Targets(None, None, None, torch.full((8, 16), torch.nan))]
    found = gradient(depth_loss(predicted, targets), predicted)
    assert (found[0].isnan()).sum() == 0
    assert (found[0, 6, ::4] != 0).all()
    assert (found[0] != 0).sum() == 4
    assert (found[1] == 0).all(), 'no beam at all'


def test_a_picture_without_any_label_has_no_loss_beside_one_that_has() -> None:
    torch.manual_seed(0)
    student = StudentNetwork('nano', 4, THINGS).train()
    images = torch.stack([full_view(0).image, full_view(1).image]).float()
    output = student(images)
    nothing = Targets(None, None, None, None, seed=2)
    full = replace(make_targets(full_view(), THINGS), seed=1)
    inputs = [part for level in output.levels for part in level] + [output.heat, output.log_depth, output.dense_logits]
    for targets in ([full, nothing], [nothing, nothing]):
        total = torch.stack(list(supervised_losses(output, targets, LossSection(), THINGS).values())).sum()
        assert total.isfinite()
        for part in inputs:
            assert part is not None
            found = gradient(total, part)
            assert (found[1] == 0).all()
            assert (found[0] == 0).all() == (targets[0] is nothing)


# --- full labels ------------------------------------------------------------------------------------------------------

# Of full labels, before labels could be partial: the same to the last bit on one machine (commit bcb090f), and here to
# what other processors round otherwise.
GOLDEN = {
    'full': {
        'classification': 7.223740577697754,
        'bce': 9.241508483886719,
        'dice': 5.947124004364014,
        'box': 9.65442180633545,
        'centre': 44.512691497802734,
        'depth': 1.2565406560897827,
        'composed_semantic': 1.546363115310669,
        'dense_semantic': 1.8051859140396118,
    },
    'things only': {
        'classification': 6.294208526611328,
        'bce': 9.124656677246094,
        'dice': 6.034780502319336,
        'box': 9.49312973022461,
        'centre': 44.512691497802734,
        'depth': 1.2565406560897827,
        'composed_semantic': 1.5668833255767822,
        'dense_semantic': 1.7183579206466675,
    },
}


def full_terms(semantic: bool) -> dict[str, Tensor]:
    """The terms of two pictures, the second perhaps without a semantic map, at outputs that no network made."""
    generator = torch.Generator().manual_seed(3)
    views = [full_view(0), full_view(1)]
    if not semantic:
        views[1] = replace(views[1], semantic=None)
    targets = [replace(make_targets(view, THINGS), seed=7 + number) for number, view in enumerate(views)]
    levels = [random_prediction(2, seed) for seed in (1, 2)]
    heat = torch.randn(2, 2, 8, 16, generator=generator)
    depth = torch.randn(2, 8, 16, generator=generator) + 2
    dense = torch.randn(2, 4, 8, 16, generator=generator)
    return {
        **mask_set_loss(levels, targets, MaskSetWeights(points=64), THINGS),
        'centre': centre_loss(heat, targets, THINGS),
        'depth': depth_loss(depth, targets),
        'composed_semantic': composed_semantic_loss(levels[-1], targets),
        'dense_semantic': dense_semantic_loss(dense, targets),
    }


@pytest.mark.parametrize('kind', ['full', 'things only'])
def test_full_labels_give_the_losses_of_before(kind: str) -> None:
    found = {name: term.item() for name, term in full_terms(kind == 'full').items()}
    assert found == pytest.approx(GOLDEN[kind], rel=1e-5)


def test_to_say_that_everything_is_complete_changes_nothing() -> None:
    plain = replace(make_targets(full_view(), THINGS), seed=1)
    assert plain.unsure is None
    stated = replace(plain, complete=THINGS)
    levels = [random_prediction()]
    heat = torch.randn(1, 2, 8, 16, generator=torch.Generator().manual_seed(0))

    def terms(target: Targets) -> dict[str, float]:
        found = mask_set_loss(levels, [target], MaskSetWeights(), THINGS)
        found['centre'] = centre_loss(heat, [target], THINGS)
        return {name: term.item() for name, term in found.items()}

    assert terms(stated) == terms(plain)
