# SPDX-License-Identifier: Apache-2.0
"""One step of FAMDA: where the student's targets come from, and how the teacher moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cast_ros.student import UNLABELLED
from cast_train.data import Batch
from cast_train.data.augment import Targets
from cast_train.losses.supervised import LossSection
from cast_train.methods.famda.recipe import AdaptationSection
from cast_train.methods.famda.target import norms_of
from cast_train.methods.famda.task import OBSERVED_EVERY, FamdaTask, split_by_task
from cast_train.models import QueryPrediction, StudentNetwork, StudentOutput

CLASSES, THINGS = 4, (2, 3)
HEIGHT, WIDTH = 64, 64


def task(**settings: Any) -> FamdaTask:
    torch.manual_seed(0)
    adaptation = AdaptationSection.model_validate({'decay': 0.9, **settings})
    return FamdaTask(StudentNetwork('nano', CLASSES, THINGS), LossSection(), adaptation, (), 1.0, 80.0)


def logit(mask: Tensor) -> Tensor:
    return torch.where(mask, 8.0, -8.0)


def answer(quality: float = 8.0) -> StudentOutput:
    """A teacher that sees class 0 above, class 1 below, a thing in the middle, and says so with ``quality``."""
    cells = torch.zeros(4, HEIGHT // 4, WIDTH // 4, dtype=torch.bool)
    cells[0, :8], cells[1, 8:], cells[2, 6:10, 6:10] = True, True, True
    masks = logit(cells)
    masks[2] *= quality / 8
    classes = torch.full((4, CLASSES + 1), -8.0)
    for row, label in enumerate((0, 1, 2, CLASSES)):
        classes[row, label] = 8.0
    level = QueryPrediction(classes[None], masks[None], torch.zeros(1, 4, 4))
    return StudentOutput([level], torch.zeros(1, 2, 8, 8), torch.full((1, 16, 16), 2.0), None, [])


def given(**changes: Any) -> Targets:
    return replace(Targets(None, None, None, None, seed=1), **changes)


def batch(labelled: int = 2, others: int = 2) -> Batch:
    torch.manual_seed(1)
    semantic = torch.zeros(HEIGHT, WIDTH, dtype=torch.int64)
    semantic[32:], semantic[20:40, 20:40] = 1, 2
    masks = torch.stack([semantic == label for label in range(3)])
    source = Targets(masks, torch.tensor([0, 1, 2]), semantic, torch.full((HEIGHT, WIDTH), 9.0), 1)
    images = torch.randint(0, 255, (labelled + others, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    targets = [replace(source, seed=seed) for seed in range(labelled)] + [given(seed=9 + row) for row in range(others)]
    return Batch(images, targets, labelled, images.flip(1))


def test_pseudo_labels_are_the_teachers_map_instances_and_depth() -> None:
    (found,), sure = task().labels.of(answer(), [given()])
    assert found.semantic is not None
    assert found.masks is not None
    assert found.labels is not None
    assert found.labels.tolist() == [2, 0, 1]
    assert found.semantic[0, 0] == 0
    assert found.semantic[-1, 0] == 1
    assert found.semantic[32, 32] == 2
    assert 200 < int(found.masks[0].sum()) < 330  # a square of four cells, 256 pixels
    assert torch.equal(found.semantic == 2, found.masks[0])
    assert found.depth_m is not None
    assert torch.allclose(found.depth_m, torch.tensor(2.0).exp())
    assert sure > 0.9


def test_an_unsure_instance_is_no_pseudo_label() -> None:
    (found,), _ = task(instance_quality=0.7).labels.of(answer(quality=0.4), [given()])
    assert found.labels is not None
    assert 2 not in found.labels.tolist()


def test_a_thing_of_which_no_instance_is_sure_is_stuff_if_so_wished() -> None:
    weak = answer()
    weak.levels[0].class_logits[0, 2] = torch.tensor([-8.0, -8.0, 3.0, -8.0, 2.0])  # 0.73 a thing
    weak.levels[0].mask_logits[0, :2, 6:10, 6:10] -= 2 * weak.levels[0].mask_logits[0, :2, 6:10, 6:10].clamp(min=0)
    settings = {'refinement': None, 'instance_score': 0.9}
    (own,), _ = task(**settings).labels.of(weak, [given()])
    (strict,), _ = task(**settings, things_from_instances=True).labels.of(weak, [given()])
    (found,), _ = task(refinement=None, instance_score=0.7, things_from_instances=True).labels.of(weak, [given()])
    assert own.semantic is not None
    assert strict.semantic is not None
    assert found.semantic is not None
    assert (own.semantic[26:38, 26:38] == 2).all()
    assert not (strict.semantic == 2).any()
    assert (found.semantic[26:38, 26:38] == 2).all()
    assert torch.equal(strict.semantic[:, 48:], own.semantic[:, 48:])


def test_a_segment_corrects_map_and_instance() -> None:
    segment = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool)
    segment[0, 22:42, 22:42] = True
    refinement = {'least_share': 0.5, 'instance_iou': 0.4}
    (found,), _ = task(refinement=refinement).labels.of(answer(), [given(segments=segment)])
    assert found.masks is not None
    assert torch.equal(found.masks[0], segment[0])
    (kept,), _ = task(refinement=None).labels.of(answer(), [given(segments=segment)])
    assert kept.masks is not None
    assert not torch.equal(kept.masks[0], segment[0])


@pytest.mark.parametrize('colours', [True, False])
def test_in_target_colours_it_does_not_matter_how_bright_the_source_was(colours: bool) -> None:
    adapting, dark = task(target_colours=colours).eval(), batch()
    assert dark.strong is not None
    dark = replace(dark, images=dark.images // 2, strong=dark.strong // 2)
    brighter = {}
    for name, images in (('images', dark.images), ('strong', dark.strong)):
        assert images is not None
        brighter[name] = torch.cat([images[: dark.labelled] + 60, images[dark.labelled :]])
    before = float(adapting(dark, 5)['source_classification'].detach())
    after = float(adapting(replace(dark, **brighter), 5)['source_classification'].detach())
    assert (before == after) is colours


def test_guesses_teach_no_masks_where_no_label_does() -> None:
    adapting, given_batch = task(confidence=0.0, masked={'patch_px': 16}), batch()
    with_masks = {name: value.detach() for name, value in adapting(given_batch, 5).items()}
    bare = [replace(target, masks=None, labels=None) for target in given_batch.targets]
    without = {name: value.detach() for name, value in adapting(replace(given_batch, targets=bare), 5).items()}
    for name in ('target', 'masked'):
        assert float(with_masks[f'{name}_classification']) > 0
        assert float(without[f'{name}_classification']) == 0
        assert float(without[f'{name}_composed_semantic']) > 0


def test_where_a_depth_teacher_sees_no_end_is_sky_and_nowhere_else() -> None:
    endless = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    endless[:, 48:] = True
    student = StudentNetwork('nano', CLASSES, THINGS)
    adapting = FamdaTask(student, LossSection(), AdaptationSection(), (), 1.0, 80.0, sky_id=0)
    (found,), _ = adapting.labels.of(answer(), [given(endless=endless)])
    assert found.semantic is not None
    assert found.masks is not None
    assert found.labels is not None
    assert torch.equal(found.semantic == 0, endless)
    assert set(found.semantic[:20, :40].flatten().tolist()) == {UNLABELLED}
    assert found.semantic[-1, 0] == 1
    assert torch.equal(found.masks[found.labels.tolist().index(0)], endless)
    (without,), _ = adapting.labels.of(answer(), [given()])
    assert without.semantic is not None
    assert without.semantic[0, 0] == 0


def test_depth_of_a_teacher_comes_before_the_average_s_own() -> None:
    metric, relative = torch.full((HEIGHT, WIDTH), 33.0), torch.rand(HEIGHT, WIDTH)
    (with_depth, with_disparity), _ = task().labels.of(
        StudentOutput(
            [QueryPrediction(*(part.repeat(2, *[1] * (part.ndim - 1)) for part in answer().levels[0]))],
            torch.zeros(2, 2, 8, 8),
            torch.full((2, 16, 16), 2.0),
            None,
            [],
        ),
        [given(depth_m=metric), given(disparity=relative)],
    )
    assert with_depth.depth_m is metric
    assert with_disparity.depth_m is None
    assert with_disparity.disparity is relative


def test_the_teacher_follows_the_student_by_its_decay() -> None:
    one = task(decay=0.9)
    name = 'decoder.classify.weight'
    before = one.teacher.state_dict()[name].clone()
    with torch.no_grad():
        one.network.state_dict()[name].add_(1.0)
    one.after_step(0)  # as a plain mean of two at first
    assert torch.allclose(one.teacher.state_dict()[name], before + 0.5)
    one.after_step(1000)
    assert torch.allclose(one.teacher.state_dict()[name], before + 0.55)


def test_only_the_student_learns_and_the_teacher_stays_in_evaluation_mode() -> None:
    one = task(masked={'patch_px': 16}, feature_distance=0.1)
    one.train()
    terms = one(batch(), 0)
    torch.stack(list(terms.values())).sum().backward()
    assert one.network.decoder.classify.weight.grad is not None
    assert all(parameter.grad is None for parameter in one.teacher.parameters())
    assert not one.teacher.training
    assert {name.partition('_')[0] for name in terms} == {'source', 'target', 'masked', 'features'}
    assert all(bool(value.isfinite()) for value in terms.values())


def test_with_norms_of_the_target_each_domain_is_normalised_by_itself() -> None:
    pictures = batch()
    bright = (pictures.images.float() * 0.2 + 200).to(torch.uint8)
    changed = replace(pictures, images=torch.cat([pictures.images[:2], bright[2:]]), strong=pictures.strong)
    losses = {}
    for norms in ('both', 'target'):
        torch.manual_seed(0)
        adapting = task(norms=norms, class_mix=False).train()
        losses[norms] = [
            {name: term.item() for name, term in adapting(one, 0).items() if name.startswith('source')}
            for one in (replace(pictures, strong=pictures.images), replace(changed, strong=changed.images))
        ]
    assert losses['target'][0] == pytest.approx(losses['target'][1])
    assert losses['both'][0] != pytest.approx(losses['both'][1], rel=1e-3)


def test_a_teacher_with_norms_of_its_own_looks_at_each_batch_anew_while_learning() -> None:
    for norms, mode, expected in (('target', True, {True}), ('target', False, {False}), ('both', True, {False})):
        adapting = task(norms=norms).train(mode)
        assert {norm.training for norm in norms_of(adapting.teacher)} == expected
        assert not adapting.teacher.training


def test_the_weight_of_the_target_grows_over_the_warm_up() -> None:
    first, last = (task(warm_up=4).train()(batch(), step) for step in (0, 3))
    assert first['target_depth'].item() == pytest.approx(last['target_depth'].item() / 4, rel=1e-5)
    assert first['source_depth'].item() == pytest.approx(last['source_depth'].item(), rel=1e-5)


def test_the_balance_of_the_tasks_is_observed_now_and_then() -> None:
    one = task().train()
    one(batch(), OBSERVED_EVERY - 1)
    observed = one.observations(OBSERVED_EVERY - 1)
    assert observed.keys() == {'sure_share', 'pseudo_instances', 'gradient_segmentation', 'gradient_depth'}
    assert observed['gradient_segmentation'] > 0
    assert observed['gradient_depth'] > 0
    one(batch(), OBSERVED_EVERY)
    assert one.observations(OBSERVED_EVERY) == {}


def test_terms_are_told_apart_by_task() -> None:
    terms = {'source_depth': 1.0, 'target_relative_depth': 2.0, 'source_bce': 4.0, 'features': 8.0}
    sums = split_by_task({name: torch.tensor(value) for name, value in terms.items()})
    assert {name: float(value) for name, value in sums.items()} == {'depth': 3.0, 'segmentation': 12.0}
