# SPDX-License-Identifier: Apache-2.0
"""What trains and what judges computes on another device than the CPU, and comes to the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from second_device import second_device
from tiny_student import CLASSES as CLASS_INFOS
from torch import Tensor

from cast_ros.student import DepthSpec, InputSpec, StudentContract
from cast_train.data import Batch
from cast_train.data.augment import Targets
from cast_train.engine.task import SupervisedTask, Task
from cast_train.losses.supervised import LossSection
from cast_train.methods.cast.grounding import GroundedBoxes, GroundingWeights, grounding_loss
from cast_train.methods.cast.recipe import GuidedSection, PixelContrast
from cast_train.methods.cast.task import CastTask, GuidedTask
from cast_train.methods.encoder import EncoderTask
from cast_train.methods.famda.recipe import AdaptationSection
from cast_train.methods.famda.task import OBSERVED_EVERY, FamdaTask
from cast_train.methods.method_recipe import StageSection
from cast_train.methods.swinmtl.recipe import AdversarialSection
from cast_train.methods.swinmtl.task import AdversarialTask
from cast_train.models import StudentNetwork
from cast_train.models.graph import TorchStudent
from cast_train.ranks import seed_step

CLASSES, THINGS = 4, (2, 3)
SIDE = 64
# A step at which all tasks look at themselves.
STEP = OBSERVED_EVERY * 2 - 1


def student() -> StudentNetwork:
    torch.manual_seed(0)
    return StudentNetwork('nano', CLASSES, THINGS)


def supervised() -> Task:
    return SupervisedTask(student(), LossSection(points=64))


def contrasting() -> Task:
    contrast = PixelContrast(anchors=16, candidates=32, negatives=8, same_image=0.5)
    return CastTask(student(), LossSection(points=64), 1.0, contrast, 1000)


def guided() -> Task:
    stage = StageSection(height=SIDE, width=SIDE, labelled=2, unlabelled=2, steps=9, semi=2.0)
    settings = GuidedSection(burn_in=1, score=0.0, area=0.0, stage=stage)
    return GuidedTask(student(), student(), LossSection(points=64), settings)


def adapting() -> Task:
    settings = {
        'refinement': {'protected': ['class']},
        'masked': {},
        'feature_distance': 0.1,
        'class_alignment': 0.5,
        'target_colours': True,
        'things_from_instances': True,
        'instance_score': 0.0,
        'instance_quality': 0.0,
    }
    return FamdaTask(
        student(), LossSection(points=64), AdaptationSection.model_validate(settings), (1,), 1.0, 80.0, sky_id=0
    )


def adversarial() -> Task:
    return AdversarialTask(student(), LossSection(points=64), AdversarialSection(), 80.0, (8, 8, 8, 8))


def encoding() -> Task:
    learner = student()
    return EncoderTask(learner, copy.deepcopy(learner.backbone), learner.encoder_channels)


def batch() -> Batch:
    """Two labelled pictures, of which one has things alone, and two others with all that teachers may say of them."""
    numbers = torch.Generator().manual_seed(1)
    images = torch.randint(0, 255, (4, 3, SIDE, SIDE), dtype=torch.uint8, generator=numbers)
    semantic = torch.zeros(SIDE, SIDE, dtype=torch.int64)
    semantic[32:], semantic[20:40, 20:40] = 1, 2
    masks = torch.stack([semantic == label for label in range(3)])
    depth = torch.full((SIDE, SIDE), 9.0)
    labelled = Targets(masks, torch.tensor([0, 1, 2]), semantic, depth, 1)
    things = Targets(masks[2:], torch.tensor([2]), None, None, 2)
    disparity = torch.rand(SIDE, SIDE, generator=numbers)
    other = Targets(
        masks, torch.tensor([0, 1, 3]), semantic, depth, 3, segments=masks, endless=masks[0], disparity=disparity
    )
    return Batch(images, [labelled, things, other, replace(other, seed=4)], 2, images.flip(1))


def fully_labelled() -> Batch:
    """For tasks that paste labelled pictures onto others."""
    plain = batch()
    return replace(plain, targets=[plain.targets[0], plain.targets[0], *plain.targets[2:]])


def computed(task: Task, given: Batch) -> tuple[dict[str, Tensor], dict[str, float], list[Tensor]]:
    """Terms, observations, and the gradients of some weights."""
    task.train()
    seed_step(1, STEP)
    terms = task(given, STEP)
    torch.stack(list(terms.values())).sum().backward()
    weights = [parameter for parameter in task.network.parameters() if parameter.grad is not None]
    gradients = [parameter.grad.cpu() for parameter in weights[::20] if parameter.grad is not None]
    return {name: term.detach().cpu() for name, term in terms.items()}, task.observations(STEP), gradients


@pytest.mark.parametrize(
    ('make', 'given'),
    [
        (supervised, batch),
        (contrasting, batch),
        (guided, batch),
        (adapting, fully_labelled),
        (adversarial, batch),
        (encoding, batch),
    ],
)
def test_a_task_has_the_same_losses_on_another_device(make: Callable[[], Task], given: Callable[[], Batch]) -> None:
    terms, observed, gradients = computed(make(), given())
    with second_device() as device:
        found = computed(make().to(device), given().to(device))
    assert found[0].keys() == terms.keys()
    for name, term in terms.items():
        torch.testing.assert_close(found[0][name], term, rtol=1e-4, atol=1e-5)
    assert found[1] == pytest.approx(observed, rel=1e-3)
    for own, other in zip(gradients, found[2], strict=True):
        torch.testing.assert_close(other, own, rtol=1e-3, atol=1e-4)


def test_a_detector_has_the_same_losses_on_another_device() -> None:
    numbers = torch.Generator().manual_seed(2)
    logits, boxes = torch.randn(1, 6, 5, generator=numbers), torch.rand(1, 6, 4, generator=numbers) / 2 + 0.2
    target = torch.rand(2, 4, generator=numbers) / 4 + 0.3, torch.eye(5)[:2]
    expected = grounding_loss([(logits, boxes)], [GroundedBoxes(*target)], GroundingWeights())
    with second_device() as device:
        moved = GroundedBoxes(*(part.to(device) for part in target))
        found = grounding_loss([(logits.to(device), boxes.to(device))], [moved], GroundingWeights())
        assert {name: term.item() for name, term in found.items()} == pytest.approx(
            {name: term.item() for name, term in expected.items()}
        )


def test_a_network_on_another_device_is_judged_as_on_the_cpu() -> None:
    contract = StudentContract(
        name='tiny',
        version='1',
        license='none',
        input=InputSpec(height=SIDE, width=SIDE),
        classes=CLASS_INFOS,
        outputs=('scores', 'labels', 'masks', 'semantic', 'depth'),
        depth=DepthSpec(cap_m=80.0, focal_reference_px=64.0),
    )
    picture = np.random.default_rng(3).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    expected = TorchStudent(student(), contract).predict(picture)
    with second_device() as device:
        found = TorchStudent(student().to(device), contract).predict(picture)
    assert expected.scores is not None
    assert expected.depth is not None
    assert len(expected.scores) > 0
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.semantic, expected.semantic)
    np.testing.assert_allclose(found.depth, expected.depth, rtol=1e-5)
