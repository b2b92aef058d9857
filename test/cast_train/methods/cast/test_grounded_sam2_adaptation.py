# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning of the composite teacher: what learns, what must not, and that it goes on after a kill."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import SupportsIndex

import numpy as np
import pytest
import torch
from drawn_streets import draw_streets
from safetensors.torch import load_file
from tiny_grounded_sam2 import tiny_grounded_sam2
from torch import Tensor

from cast_ros.student import ClassInfo
from cast_train.data import Sample, open_dataset
from cast_train.engine.loop import StoppedError
from cast_train.errors import TeacherError, TrainingError
from cast_train.methods.cast.grounded_sam2_adaptation import (
    DetectorAdaptation,
    MaskDecoderAdaptation,
    adapt_detector,
    adapt_mask_decoder,
)
from cast_train.teachers.grounded_sam2 import GroundedSam2, GroundedSam2Settings

DETECTOR = DetectorAdaptation(steps=2, batch=2, short_sides_px=(96, 112), long_side_px=224, log_every=1)
MASKS = MaskDecoderAdaptation(steps=2, batch=2, log_every=1)


@pytest.fixture(scope='module')
def teacher(tmp_path_factory: pytest.TempPathFactory) -> GroundedSam2Settings:
    detector, segmenter = tiny_grounded_sam2(tmp_path_factory.mktemp('tiny'))
    return GroundedSam2Settings(detector=str(detector), segmenter=str(segmenter))


@pytest.fixture(scope='module')
def classes_and_samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[ClassInfo, ...], list[Sample]]:
    root = tmp_path_factory.mktemp('streets')
    draw_streets(root, 'train', 'day', 3)
    streets = open_dataset('streets', root, 'train', 'day')
    return streets.classes, [streets[index] for index in range(3)]


@pytest.fixture
def classes(classes_and_samples: tuple[tuple[ClassInfo, ...], list[Sample]]) -> tuple[ClassInfo, ...]:
    return classes_and_samples[0]


@pytest.fixture
def samples(classes_and_samples: tuple[tuple[ClassInfo, ...], list[Sample]]) -> list[Sample]:
    return classes_and_samples[1]


def weights(folder: str | Path) -> dict[str, Tensor]:
    return load_file(Path(folder) / 'model.safetensors')


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def reports(folder: Path) -> list[dict[str, float]]:
    """What the run that wrote a folder told of its steps."""
    (log,) = folder.parent.glob(f'{folder.name}.run-*/log.jsonl')
    return [json.loads(line) for line in log.read_text().splitlines()]


class Watched(list[Sample]):
    """Samples that call ``before`` with the number of a step, counted from 0, when that asks for its first picture."""

    def __init__(self, samples: list[Sample], before: Callable[[int], None], batch: int = 2) -> None:
        super().__init__(samples)
        self._before, self._batch, self._taken = before, batch, 0

    def __getitem__(self, index: SupportsIndex) -> Sample:  # type: ignore[override]
        if self._taken % self._batch == 0:
            self._before(self._taken // self._batch)
        self._taken += 1
        return super().__getitem__(index)


def dying_at(step: int) -> Callable[[int], None]:
    def before(number: int) -> None:
        if number == step:
            raise KeyboardInterrupt

    return before


def test_the_detector_learns_but_its_language_model_does_not(
    teacher: GroundedSam2Settings, classes: tuple[ClassInfo, ...], samples: list[Sample], tmp_path: Path
) -> None:
    adapted = adapt_detector(teacher, classes, samples, DETECTOR, tmp_path / 'detector')
    before, after = weights(teacher.detector), weights(adapted.detector)
    moved = changed(before, after)
    assert not [name for name in moved if 'text_backbone' in name]
    for part in (
        'backbone.conv_encoder',
        'text_projection',
        'encoder.layers.0',
        'decoder.layers.0',
        'bbox_embed.0',
        # The library's own loss leaves these without a gradient.
        'encoder_output_bbox_embed',
        'enc_output',
    ):
        assert [name for name in moved if part in name], part
    backbone = max((before[name] - after[name]).abs().max() for name in moved if 'backbone.conv_encoder' in name)
    rest = max((before[name] - after[name]).abs().max() for name in moved if 'decoder.layers' in name)
    assert 0.05 < backbone / rest < 0.2
    told = reports(tmp_path / 'detector')
    assert len(told) == 2
    assert all({'tokens', 'distance', 'overlap', 'gradient_norm'} <= set(terms) for terms in told)
    assert adapted.segmenter == teacher.segmenter
    assert GroundedSam2(adapted, classes).label([samples[0].image], [None])[0].height == samples[0].image.shape[0]


def test_only_the_mask_decoder_of_the_segmenter_learns(
    teacher: GroundedSam2Settings, classes: tuple[ClassInfo, ...], samples: list[Sample], tmp_path: Path
) -> None:
    adapted = adapt_mask_decoder(teacher, samples, MASKS, tmp_path / 'segmenter')
    moved = changed(weights(teacher.segmenter), weights(adapted.segmenter))
    assert moved
    assert all(name.startswith('mask_decoder.') for name in moved)
    for part in ('transformer', 'conv_s0', 'upscale_conv1', 'output_hypernetworks_mlps.0', 'mask_tokens'):
        assert [name for name in moved if part in name], part
    assert adapted.detector == teacher.detector
    first, second = GroundedSam2(teacher, classes), GroundedSam2(adapted, classes)
    assert first.fingerprint != second.fingerprint
    second.label([samples[0].image], [None])


def test_targets_are_learned(
    teacher: GroundedSam2Settings, classes: tuple[ClassInfo, ...], samples: list[Sample], tmp_path: Path
) -> None:
    fast = DETECTOR.model_copy(update={'steps': 12, 'learning_rate': 2e-3, 'flip': 0.0, 'short_sides_px': (96,)})
    adapt_detector(teacher, classes, samples[:1], fast, tmp_path / 'd')
    losses = [terms['tokens'] for terms in reports(tmp_path / 'd')]
    assert len(losses) == 12
    assert losses[-1] < losses[0] / 2
    fast_masks = MaskDecoderAdaptation(
        steps=14, batch=1, learning_rate=5e-3, milestones=(), flip=0.0, jitter=0.0, log_every=1
    )
    adapt_mask_decoder(teacher, samples[:1], fast_masks, tmp_path / 's')
    losses = [terms['focal'] for terms in reports(tmp_path / 's')]
    assert losses[-1] < losses[0] / 2


def test_it_learns_what_the_loop_of_its_own_learned(
    teacher: GroundedSam2Settings, classes: tuple[ClassInfo, ...], samples: list[Sample], tmp_path: Path
) -> None:
    # Slowly: at a higher rate the rounding of one processor leads elsewhere than that of another.
    changes = {'steps': 4, 'learning_rate': 1e-5, 'milestones': (0.5,)}
    adapt_detector(teacher, classes, samples, DETECTOR.model_copy(update=changes), tmp_path / 'd')
    told = reports(tmp_path / 'd')
    assert [terms['tokens'] for terms in told] == pytest.approx([225.1, 225.7, 217.4, 221.5], rel=6e-2)
    assert [terms['gradient_norm'] for terms in told] == pytest.approx([20511, 18363, 19702, 18956], rel=6e-2)
    adapt_mask_decoder(teacher, samples, MASKS.model_copy(update=changes), tmp_path / 's')
    told = reports(tmp_path / 's')
    assert [terms['focal'] for terms in told] == pytest.approx([2.53458, 2.53459, 2.53459, 2.53459], abs=1e-4)
    assert [terms['gradient_norm'] for terms in told] == pytest.approx([0.0608, 0.0610, 0.0637, 0.0634], rel=1e-2)


def detector_run(
    teacher: GroundedSam2Settings, classes: tuple[ClassInfo, ...], samples: list[Sample], folder: Path
) -> Path:
    settings = DETECTOR.model_copy(update={'steps': 4, 'checkpoint_every': 2})
    return Path(adapt_detector(teacher, classes, samples, settings, folder).detector)


def masks_run(teacher: GroundedSam2Settings, _: tuple[ClassInfo, ...], samples: list[Sample], folder: Path) -> Path:
    settings = MASKS.model_copy(update={'steps': 4, 'checkpoint_every': 2})
    return Path(adapt_mask_decoder(teacher, samples, settings, folder).segmenter)


@pytest.mark.parametrize('run', [detector_run, masks_run])
def test_a_killed_run_goes_on_to_the_same_weights(
    run: Callable[..., Path],
    teacher: GroundedSam2Settings,
    classes: tuple[ClassInfo, ...],
    samples: list[Sample],
    tmp_path: Path,
) -> None:
    straight = run(teacher, classes, samples, tmp_path / 'straight')
    with pytest.raises(KeyboardInterrupt):
        run(teacher, classes, Watched(samples, dying_at(3)), tmp_path / 'killed')
    assert not (tmp_path / 'killed').exists()
    seen: list[int] = []
    resumed = run(teacher, classes, Watched(samples, seen.append), tmp_path / 'killed')
    assert len(seen) == 2
    assert [terms['step'] for terms in reports(tmp_path / 'killed')] == [1, 2, 3, 4]
    assert not changed(weights(straight), weights(resumed))
    assert sorted(path.name for path in tmp_path.iterdir() if '.run-' not in path.name) == ['killed', 'straight']
    assert not list(tmp_path.rglob('*.pt'))


@pytest.mark.parametrize('run', [detector_run, masks_run])
def test_a_signal_ends_the_run_between_steps_with_a_checkpoint(
    run: Callable[..., Path],
    teacher: GroundedSam2Settings,
    classes: tuple[ClassInfo, ...],
    samples: list[Sample],
    tmp_path: Path,
) -> None:
    straight = run(teacher, classes, samples, tmp_path / 'straight')

    def interrupt(step: int) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError, match='after step 3 of 4 on SIGTERM') as stopped:
        run(teacher, classes, Watched(samples, interrupt), tmp_path / 'stopped')
    assert stopped.value.exit_code == 143
    seen: list[int] = []
    resumed = run(teacher, classes, Watched(samples, seen.append), tmp_path / 'stopped')
    assert len(seen) == 1
    assert not changed(weights(straight), weights(resumed))


def test_progress_of_something_else_is_not_taken_over(
    teacher: GroundedSam2Settings, samples: list[Sample], tmp_path: Path
) -> None:
    settings = MASKS.model_copy(update={'checkpoint_every': 1})
    with pytest.raises(KeyboardInterrupt):
        adapt_mask_decoder(teacher, Watched(samples, dying_at(1)), settings, tmp_path / 'segmenter')
    assert list(tmp_path.glob('segmenter.run-*/last.pt'))
    seen: list[int] = []
    adapt_mask_decoder(teacher, Watched(samples[:2], seen.append), settings, tmp_path / 'segmenter')
    assert seen == [0, 1]
    assert len(list(tmp_path.glob('segmenter.run-*'))) == 2
    assert not list(tmp_path.rglob('*.pt'))


def test_a_run_that_an_earlier_version_began_says_what_to_do(
    teacher: GroundedSam2Settings, samples: list[Sample], tmp_path: Path
) -> None:
    torch.save({'origin': 'before', 'step': 1}, tmp_path / 'segmenter.progress.pt')
    with pytest.raises(TrainingError, match=r'segmenter\.progress\.pt: of an earlier version.*delete it to begin anew'):
        adapt_mask_decoder(teacher, samples, MASKS, tmp_path / 'segmenter')


def test_the_random_numbers_of_others_are_left_alone(
    teacher: GroundedSam2Settings, samples: list[Sample], tmp_path: Path
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    adapt_mask_decoder(teacher, samples, MASKS, tmp_path / 'segmenter')
    assert torch.equal(torch.rand(3), expected)


def test_a_picture_without_things_teaches_that_nothing_is_there(
    teacher: GroundedSam2Settings, classes: tuple[ClassInfo, ...], samples: list[Sample], tmp_path: Path
) -> None:
    nothing = np.zeros(samples[0].image.shape[:2], np.uint16)
    labels = np.zeros(0, np.int64)
    empty = replace(samples[0], instance_ids=nothing, instance_labels=labels, instance_is_crowd=None)
    adapt_detector(teacher, classes, [empty], DETECTOR, tmp_path / 'd')
    told = reports(tmp_path / 'd')
    assert len(told) == 2
    assert all(terms['tokens'] > 0 and terms['distance'] == terms['overlap'] == 0 for terms in told)
    crowd = replace(samples[0], instance_is_crowd=np.ones(len(samples[0].instance_labels), bool))  # type: ignore[arg-type]
    adapted = adapt_mask_decoder(teacher, [crowd], MASKS, tmp_path / 's')
    told = [{name: terms[name] for name in ('focal', 'dice', 'gradient_norm')} for terms in reports(tmp_path / 's')]
    assert told == [{'focal': 0.0, 'dice': 0.0, 'gradient_norm': 0.0}] * 2
    assert not changed(weights(teacher.segmenter), weights(adapted.segmenter))


def test_mistakes_are_said_before_any_step(
    teacher: GroundedSam2Settings, classes: tuple[ClassInfo, ...], samples: list[Sample], tmp_path: Path
) -> None:
    bare = replace(samples[0], instance_ids=None, instance_labels=None)
    with pytest.raises(TrainingError, match='no sample with instance labels'):
        adapt_detector(teacher, classes, [bare], DETECTOR, tmp_path / 'detector')
    nowhere = teacher.model_copy(update={'segmenter': str(tmp_path / 'nowhere')})
    with pytest.raises(TeacherError, match=r'nowhere/model\.safetensors: no such file'):
        adapt_mask_decoder(nowhere, samples, MASKS, tmp_path / 'segmenter')
    wild = DETECTOR.model_copy(update={'learning_rate': 1e30, 'weight_decay': 0.0, 'steps': 7})
    with pytest.raises(TrainingError, match=r'is not finite for 5 step.* lower learning_rate'):
        adapt_detector(teacher, classes, samples, wild, tmp_path / 'detector')
    assert not (tmp_path / 'detector').exists()
