# SPDX-License-Identifier: Apache-2.0
"""FAMDA, stage by stage: what goes in, what a stage is found by, and that the target's labels stay out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tiny_famda import draw_days_and_nights, tiny_famda
from tiny_run import untrained_run

from cast_ros.student import Student
from cast_train.data import LazySamples, Sample
from cast_train.errors import DataError, RecipeError, TeacherError
from cast_train.methods.famda.stages import STAGED, STAGES, Domains, Famda
from cast_train.methods.stages import Stages


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('famda')
    draw_days_and_nights(folder / 'streets')
    untrained_run(folder / 'streets', folder / 'teacher')
    return folder


def famda(
    root: Path, store: str = 'stages', domains: Domains | None = None, look: bool = False, **changes: Any
) -> Famda:
    recipe = tiny_famda(root / 'streets', root / 'teacher', **changes)
    return Famda(recipe, Stages(root / store, lambda _: None, look), domains or Domains(recipe))


def test_every_stage_is_judged_on_both_domains(root: Path) -> None:
    run = famda(root)
    for name, stage in STAGES.items():
        metrics = stage(run).result['metrics']
        assert {'ap', 'miou', 'abs_rel', 'day_ap', 'day_miou', 'day_abs_rel'} <= metrics.keys(), name
        assert 0 <= metrics['miou'] <= 1


def test_a_finished_stage_is_found_and_what_goes_in_decides_which(root: Path) -> None:
    first = famda(root).adapted()
    assert famda(root).adapted().digest == first.digest
    for changes in (
        {'segments': None},
        {'depth_teacher': None},
        {'seed': 4},
        {'adaptation': {'decay': 0.5}},
        {'relative_depth': 0.5},
        {'target_labels_every': 2},
        {'student': {'size': 'nano', 'depth_form': 'linear'}},
        {'student': {'size': 'nano', 'widths': {'layers': 2}}},
    ):
        assert famda(root, look=True, **changes).adapted().digest != first.digest, changes


def test_the_labels_of_the_target_change_nothing_but_the_oracle(root: Path) -> None:
    """Blinded: the target's training labels are replaced by nonsense."""

    def nonsense(sample: Sample) -> Sample:
        assert sample.semantic is not None
        return replace(
            sample,
            instance_ids=np.zeros_like(sample.instance_ids),
            instance_labels=np.zeros(0, np.int64),
            instance_is_crowd=np.zeros(0, bool),
            semantic=np.zeros_like(sample.semantic),
            depth_m=np.ones_like(sample.depth_m),
        )

    honest = famda(root, 'honest')
    blinded = Domains(honest.recipe)
    blinded.target.train = [nonsense(sample) for sample in blinded.target.train]
    for name, same in (('adapted', True), ('oracle', False)):
        one = STAGES[name](honest).folder
        other = STAGES[name](famda(root, 'blinded', blinded)).folder
        weights = [torch.load(folder / 'last.pt', weights_only=True)['ema'] for folder in (one, other)]
        assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items()) == same, name


def test_teachers_give_masks_and_depth_to_the_target(root: Path) -> None:
    run = famda(root)
    samples = run.unlabelled_target(run.segments(), run.depth())
    assert len(samples) == 4
    for sample, truth in zip(samples, run.domains.target.train, strict=True):
        assert sample.semantic is None
        assert sample.instance_ids is None
        assert sample.segments is not None
        assert len(sample.segments) > 0
        assert sample.depth_m is not None
        assert not np.array_equal(sample.depth_m, truth.depth_m)


def test_pictures_that_are_decoded_anew_each_time_teach_the_same(root: Path) -> None:
    recipe = famda(root).recipe
    lazy = {
        name: {**getattr(recipe, name).model_dump(mode='json'), 'in_memory': False} for name in ('source', 'target')
    }
    run = famda(root, 'lazy', target_labels_every=2, **lazy)
    assert isinstance(run.domains.source.train, LazySamples)
    assert not isinstance(run.unlabelled_target(None, None), list)
    one, other = famda(root, target_labels_every=2).adapted(), run.adapted()
    assert one.digest == other.digest
    weights = [torch.load(stage.folder / 'last.pt', weights_only=True)['ema'] for stage in (one, other)]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_options_of_the_adaptation_run_and_leave_other_students(root: Path) -> None:
    digests = set()
    for adaptation in (
        {'class_mix': False, 'refinement': None, 'rare_classes': None},
        {'masked': {'patch_px': 16}, 'feature_distance': 0.005, 'warm_up': 2},
        {'sky_from_depth': True},
        {'norms': 'target', 'feature_distance': 0.005},
    ):
        stage = famda(root, adaptation={'instance_score': 0.0, **adaptation}).adapted()
        digests.add(stage.digest)
        assert (stage.folder / 'last.pt').is_file()
    assert len(digests) == 4


def test_what_cannot_be_is_refused(root: Path) -> None:
    with pytest.raises(RecipeError, match="protected: no class 'lamp'; known are road, "):
        famda(root, adaptation={'refinement': {'protected': ['lamp']}})
    with pytest.raises(RecipeError, match='sky_from_depth needs a depth_teacher'):
        famda(root, adaptation={'sky_from_depth': True}, depth_teacher=None)
    with pytest.raises(RecipeError, match=r'no stages\.oracle'):
        famda(root, stages={name: tiny_stage() for name in ('source', 'adaptation')}).oracle()
    with pytest.raises(RecipeError, match='needs unlabelled pictures'):
        famda(root, stages={'source': tiny_stage(), 'adaptation': {**tiny_stage(), 'unlabelled': 0}}).adapted()
    stages = {'source': tiny_stage(), 'adaptation': {**tiny_stage(), 'patience': 2}}
    with pytest.raises(RecipeError, match=r'adaptation\.patience: FAMDA holds no labels back'):
        famda(root, stages=stages)
    with pytest.raises(TeacherError, match="unknown teacher 'network'; known are network_segments, sam_refiner"):
        famda(root, segments={'kind': 'network', 'settings': {}}).segments()
    night = tiny_famda(root / 'streets', None).target.model_dump(mode='json')
    with pytest.raises(RecipeError, match="both named 'night'"):
        tiny_famda(root / 'streets', None, source=night)
    with pytest.raises(RecipeError, match="'swinmtl-mini' answers no instances"):
        tiny_famda(root / 'streets', None, student={'size': 'swinmtl-mini'})


def test_some_labels_of_the_target_are_half_of_what_is_labelled(root: Path) -> None:
    run = famda(root, target_labels_every=2)
    source = run._source(4)
    assert [sample.name for sample in source.samples[4:]] == [sample.name for sample in run.domains.target.train[::2]]
    assert all(sample.semantic is not None for sample in source.samples)
    assert source.chances is not None
    assert source.chances.sum() == pytest.approx(1)
    assert source.chances[4:].sum() == pytest.approx(0.5)


def test_domains_of_classes_alone_adapt_too(tmp_path: Path) -> None:
    """As CamVid's: no instances, no depth, nothing that can be counted."""
    rng = np.random.default_rng(0)
    for name in ('0001TP_1', '0001TP_2', '0016E5_1', '0016E5_2'):
        for folder in ('train', 'trainannot'):
            (tmp_path / folder).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / 'train' / f'{name}.jpg'), rng.integers(0, 255, (64, 128, 3), np.uint8))
        cv2.imwrite(str(tmp_path / 'trainannot' / f'{name}.png'), rng.integers(0, 12, (64, 128), np.uint8))

    def domain(name: str) -> dict[str, Any]:
        part = [{'split': 'train', 'domain': name}]
        return {'name': name, 'dataset': 'camvid', 'root': str(tmp_path), 'train': part, 'validation': part}

    recipe = tiny_famda(
        tmp_path,
        None,
        source=domain('day'),
        target=domain('dusk'),
        losses={'depth': 0},
        adaptation={'decay': 0.9, 'masked': {'patch_px': 32}},
    )
    run = Famda(recipe, Stages(tmp_path / 'stages', lambda _: None), Domains(recipe))
    assert set(run.adapted().result['metrics']) == {'miou', 'day_miou'}


def test_a_whole_run_ends_with_a_student_its_card_and_a_manifest(root: Path, tmp_path: Path) -> None:
    recipe = tiny_famda(root / 'streets', root / 'teacher')
    student = STAGED.student(recipe, tmp_path / 'run', root / 'stages', lambda _: None)
    contract = Student.load(student).contract
    assert contract.provenance['method'] == 'FAMDA, reconstructed'
    assert contract.provenance['target'] == 'night'
    assert contract.provenance['data'] == (
        'streets train day with labels, streets train night with no labels, teachers network_segments and network_depth'
    )
    manifest = json.loads((tmp_path / 'run' / 'manifest.json').read_text())
    assert [stage['name'] for stage in manifest['stages']] == ['famda-source', 'famda-segments', 'famda-depth', 'famda']
    assert '# tiny-famda 0.0.1' in student.with_suffix('.md').read_text()
    corrected = recipe.model_copy(update={'version': '0.0.2', 'license': 'CC-BY-NC-4.0'})
    STAGED.student(corrected, tmp_path / 'run', root / 'stages', lambda _: None)
    assert 'licence CC-BY-NC-4.0' in student.with_suffix('.md').read_text()
    assert Student.load(student).contract.version == '0.0.2'


def tiny_stage() -> dict[str, Any]:
    return {'height': 64, 'width': 128, 'labelled': 2, 'unlabelled': 2, 'steps': 2}


def test_domains_that_differ_in_their_classes_need_a_map(root: Path) -> None:
    recipe = tiny_famda(root / 'streets', None)
    camvid = recipe.target.model_copy(update={'dataset': 'cityscapes'})
    with pytest.raises(DataError):
        Domains(recipe.model_copy(update={'target': camvid}))
