# SPDX-License-Identifier: Apache-2.0
"""All stages of CAST and its baselines, on drawn streets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cast import cast_document, draw_scenes, pretrain, tiny_cast

from cast_ros.student import Student
from cast_train.engine.checkpoint import LAST, load_checkpoint
from cast_train.engine.recipe_file import parse
from cast_train.errors import RecipeError, TeacherError
from cast_train.methods.cast import task
from cast_train.methods.cast.recipe import CastRecipe
from cast_train.methods.cast.stages import PRETRAINING_SEED, STAGED, STAGES, Cast
from cast_train.methods.method import Pictures
from cast_train.methods.stages import DONE, Stages, StoredStage, digest_of_samples


@pytest.fixture(scope='module')
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('streets')
    draw_scenes(root)
    return root


@pytest.fixture(scope='module')
def initial(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrain(streets, tmp_path_factory.mktemp('pretrained'))


@pytest.fixture(scope='module')
def finished(streets: Path, initial: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('cast')
    STAGED.student(tiny_cast(streets, initial), folder, folder / 'stages', print)
    return folder


def test_a_run_ends_with_a_student_that_the_robot_side_opens(finished: Path) -> None:
    student = Student.load(finished / 'tiny-cast.onnx')
    assert student.contract.name == 'tiny-cast'
    assert student.contract.provenance['method'] == 'CAST'
    assert (finished / 'tiny-cast.md').is_file()


def test_a_corrected_licence_and_version_are_exported_by_the_same_command(
    streets: Path, initial: Path, finished: Path, tmp_path: Path
) -> None:
    recipe = tiny_cast(streets, initial, version='0.0.2', license='CC-BY-NC-4.0')
    student = STAGED.student(recipe, tmp_path, finished / 'stages', print)
    contract = Student.load(student).contract
    assert (contract.version, contract.license) == ('0.0.2', 'CC-BY-NC-4.0')
    card = student.with_suffix('.md').read_text()
    assert card.startswith('# tiny-cast 0.0.2\n')
    assert 'licence CC-BY-NC-4.0' in card


def test_the_manifest_names_every_stage_with_its_weights(finished: Path) -> None:
    manifest = json.loads((finished / 'manifest.json').read_text())
    assert [stage['name'] for stage in manifest['stages']] == [
        'teacher-supervised',
        'pseudo-labels',
        'teacher-self-training',
        'pseudo-labels',
        'distillation',
        'refinement',
    ]
    trained = [stage for stage in manifest['stages'] if stage['name'] != 'pseudo-labels']
    assert all(len(stage['checkpoint_sha256']) == 64 for stage in trained)
    assert not set(manifest['labelled']) & set(manifest['held_out'])
    assert len(manifest['labelled']) + len(manifest['held_out']) == 6


def test_a_second_run_finds_every_stage_done(streets: Path, initial: Path, finished: Path) -> None:
    recipe = tiny_cast(streets, initial)
    only_looking = Stages(finished / 'stages', print, look=True)
    assert Cast(recipe, only_looking, Pictures(recipe.data)).refinement().result['metrics']


def test_another_seed_is_another_stage(streets: Path, initial: Path, finished: Path) -> None:
    recipe = tiny_cast(streets, initial, seed=4)
    looking = Stages(finished / 'stages', print, look=True)
    assert Cast(recipe, looking, Pictures(recipe.data)).distillation().result == {}


def test_a_map_of_classes_is_part_of_what_went_into_a_stage_and_its_absence_is_not(
    streets: Path, initial: Path
) -> None:
    recipe = tiny_cast(streets, initial)
    plain = Pictures(recipe.data)
    assert plain.digest == digest_of_samples([*plain.train, *plain.validation])
    assert 'class_map' not in recipe.model_dump_json()
    assert 'class_map' not in recipe.of_stage(recipe.stages.distillation, 'nano').model_dump_json()

    document = cast_document(streets, initial)['data'] | {'class_map': 'camvid11'}
    recipe = tiny_cast(streets, initial, data=document)
    mapped = Pictures(recipe.data)
    assert [entry.name for entry in mapped.classes][:3] == ['sky', 'building', 'pole']
    assert mapped.digest not in (plain.digest, digest_of_samples([*mapped.train, *mapped.validation]))
    assert recipe.of_stage(recipe.stages.distillation, 'nano').data.class_map == 'camvid11'


@pytest.mark.parametrize('name', ['teacher_pretrained', 'student_supervised', 'guided_distillation'])
def test_baselines_measure_what_the_table_shows(streets: Path, initial: Path, finished: Path, name: str) -> None:
    recipe = tiny_cast(streets, initial)
    stage = STAGES[name](Cast(recipe, Stages(finished / 'stages', print), Pictures(recipe.data)))
    assert {'ap', 'ap50', 'miou', 'abs_rel'} <= stage.result['metrics'].keys()
    assert 0.6 < stage.result['params_m'] < 0.7


def test_without_adaptation_the_pretrained_teacher_labels(streets: Path, initial: Path, finished: Path) -> None:
    teacher: dict[str, Any] = {'kind': 'network', 'size': 'nano', 'initial': str(initial), 'adapt': False}
    recipe = tiny_cast(streets, initial, teacher=teacher)
    cast = Cast(recipe, Stages(finished / 'stages', print), Pictures(recipe.data))
    cast.distillation()
    assert [stage.name for stage in cast.stages.used] == ['teacher-pretrained', 'pseudo-labels', 'distillation']


def test_labels_are_made_by_as_many_threads_in_a_process_that_has_not_trained(
    streets: Path, initial: Path, tmp_path: Path
) -> None:
    """As one that goes on after a kill: more threads round otherwise."""
    recipe = tiny_cast(streets, initial)
    before = torch.get_num_threads()
    torch.set_num_threads(recipe.run.threads + 1)
    try:
        Cast(recipe, Stages(tmp_path, print), Pictures(recipe.data)).teacher_pretrained()
        assert torch.get_num_threads() == recipe.run.threads
    finally:
        torch.set_num_threads(before)


def test_pictures_that_do_not_fit_in_memory_give_the_same_stage(streets: Path, initial: Path, finished: Path) -> None:
    data = cast_document(streets, initial)['data'] | {'in_memory': False}
    recipe = tiny_cast(streets, initial, data=data)
    looking = Cast(recipe, Stages(finished / 'stages', print, look=True), Pictures(recipe.data))
    assert looking.distillation().result['metrics']
    again = Cast(recipe, Stages(finished / 'lazy', print), Pictures(recipe.data)).distillation()
    assert again.result['metrics'] == looking.distillation().result['metrics']


def test_every_student_starts_from_the_one_that_no_label_taught(streets: Path, initial: Path, finished: Path) -> None:
    document = cast_document(streets, initial)
    pretraining = {'height': 64, 'width': 128, 'labelled': 2, 'steps': 1, 'contrast': True}
    stages = document['stages'] | {'student_pretraining': pretraining}
    found = []
    for seed, fraction in ((3, 0.5), (4, 0.3)):
        labels = {'fraction': fraction, 'held_out': 0.3}
        recipe = tiny_cast(streets, initial, stages=stages, seed=seed, data=document['data'] | {'labels': labels})
        cast = Cast(recipe, Stages(finished / 'stages', print), Pictures(recipe.data))
        cast.student_supervised()
        found.append({stage.name: stage.digest for stage in cast.stages.used})
    assert found[0].keys() == {'teacher-pretrained', 'pseudo-labels', 'student-pretrained', 'student-supervised'}
    assert found[0]['student-pretrained'] == found[1]['student-pretrained']
    assert found[0]['student-supervised'] != found[1]['student-supervised']


def pretraining_cast(streets: Path, initial: Path, store: Path, **changes: Any) -> Cast:
    stages = cast_document(streets, initial)['stages']
    stages |= {'student_pretraining': {'height': 64, 'width': 128, 'labelled': 2, 'steps': 2, 'contrast': True}}
    recipe = tiny_cast(streets, initial, stages=stages, **changes)
    return Cast(recipe, Stages(store, print), Pictures(recipe.data))


def test_the_start_that_seeds_share_is_the_same_whichever_of_them_makes_it(
    streets: Path, initial: Path, tmp_path: Path
) -> None:
    found = []
    for seed in (3, 4):
        stage = pretraining_cast(streets, initial, tmp_path / str(seed), seed=seed).student_pretrained()
        found.append(load_checkpoint(stage.folder / LAST))
    assert found[0]['recipe']['seed'] == found[1]['recipe']['seed'] == PRETRAINING_SEED
    for name, weight in found[0]['network'].items():
        assert torch.equal(weight, found[1]['network'][name]), name


def test_a_shared_stage_that_a_kill_left_goes_on_under_another_seed_name_and_licence(
    streets: Path, initial: Path, tmp_path: Path
) -> None:
    left = pretraining_cast(streets, initial, tmp_path).student_pretrained()
    before = load_checkpoint(left.folder / LAST)['network']
    (left.folder / DONE).unlink()  # as a kill does between the last checkpoint and the judgement
    other = {'seed': 4, 'name': 'other', 'version': '0.0.2', 'license': 'MIT'}
    again = pretraining_cast(streets, initial, tmp_path, **other).student_pretrained()
    assert again.digest == left.digest
    after = load_checkpoint(again.folder / LAST)['network']
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


@pytest.mark.parametrize('name', ['distillation', 'refinement'])
def test_patience_without_held_out_pictures_is_refused_before_anything_starts(tmp_path: Path, name: str) -> None:
    document = cast_document(tmp_path, tmp_path)
    document['stages']['refinement'].pop('patience')
    document['data']['labels'] = {'fraction': 0.5}
    parse(CastRecipe, document, 'tiny')
    document['stages'][name]['patience'] = 2
    with pytest.raises(RecipeError, match=rf'stages\.{name}\.patience .*held_out is 0; set it to a share'):
        parse(CastRecipe, document, 'tiny')
    document['data']['labels']['held_out'] = 0.2
    parse(CastRecipe, document, 'tiny')


@pytest.mark.parametrize(
    ('name', 'why'),
    [
        ('teacher_supervised', 'held-out'),
        ('teacher_self_training', 'held-out'),
        ('student_supervised', 'held-out'),
        ('guided_distillation', 'held-out'),
        ('student_pretraining', 'without a single label'),
    ],
)
def test_patience_is_refused_where_held_out_pictures_cannot_judge(tmp_path: Path, name: str, why: str) -> None:
    document = cast_document(tmp_path, tmp_path)
    stages = document['stages']
    stages['student_pretraining'] = {'height': 64, 'width': 128, 'labelled': 2, 'steps': 2}
    parse(CastRecipe, document, 'tiny')
    stages[name].get('stage', stages[name])['patience'] = 2
    with pytest.raises(RecipeError, match=rf'stages: .*{name}(\.stage)?\.patience: .*{why}.* leave it out'):
        parse(CastRecipe, document, 'tiny')


def test_a_recipe_says_when_pseudo_labels_have_collapsed(streets: Path, initial: Path, tmp_path: Path) -> None:
    def labelled(**limits: float) -> StoredStage:
        teacher = {'kind': 'network', 'size': 'nano', 'initial': str(initial), 'adapt': False}
        settings = {'score': 0.0, 'collapse': {'after': 1, 'most_one_class': 1.0, **limits}}
        recipe = tiny_cast(streets, initial, teacher=teacher, pseudo_labels=settings)
        cast = Cast(recipe, Stages(tmp_path, print), Pictures(recipe.data))
        return cast.pseudo_labels(cast.teacher_pretrained())

    with pytest.raises(TeacherError, match=r'collapsed: mean confidence is .*, least_confidence 1\.0'):
        labelled(least_confidence=1.0)
    found = labelled(least_confidence=0.0)
    assert found.result['report']['sums']['labelled'] == 12
    assert len([path for path in tmp_path.iterdir() if path.name.startswith('pseudo-labels')]) == 1


def test_limits_of_collapse_are_part_of_no_stage(streets: Path, initial: Path, finished: Path) -> None:
    for collapse in ({}, {'most_empty': 0.9}, {'least_confidence': 0.1}):
        recipe = tiny_cast(streets, initial, pseudo_labels={'score': 0.0, 'collapse': collapse})
        looking = Stages(finished / 'stages', print, look=True)
        assert Cast(recipe, looking, Pictures(recipe.data)).refinement().result['metrics']
        assert ('collapse' in recipe.model_dump(mode='json')['pseudo_labels']) == ('least_confidence' in collapse)


def test_a_student_may_start_from_a_file(streets: Path, initial: Path, finished: Path) -> None:
    document = cast_document(streets, initial)
    pretraining = {'height': 64, 'width': 128, 'labelled': 2, 'steps': 1}
    stages = document['stages'] | {'student_pretraining': pretraining}
    given = {'size': 'nano', 'initial': str(initial)}
    looking = Stages(finished / 'stages', print, look=True)
    pictures = Pictures(tiny_cast(streets, initial).data)
    digests = {
        Cast(tiny_cast(streets, initial, student=student, stages=stages), looking, pictures).student_supervised().digest
        for student in (given, {'size': 'nano'})
    }
    assert len(digests) == 2
    cast = Cast(tiny_cast(streets, initial, student=given, stages=stages), Stages(finished / 'given', print), pictures)
    cast.student_supervised()
    assert [stage.name for stage in cast.stages.used] == ['student-supervised']  # nothing to pretrain


def test_the_log_tells_how_well_pixels_are_told_apart(
    streets: Path, initial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, 'OBSERVED_EVERY', 2)
    recipe = tiny_cast(streets, initial)
    stage = Cast(recipe, Stages(tmp_path, print), Pictures(recipe.data)).teacher_supervised()
    records = [json.loads(line) for line in (stage.folder / 'log.jsonl').read_text().splitlines()]
    (observed,) = [record for record in records if 'observed' in record]
    assert observed['step'] == 2
    assert observed['observed'].keys() == {'contrast_margin', 'contrast_false_negative_rate'}
    assert -2 <= observed['observed']['contrast_margin'] <= 2
    assert 0 <= observed['observed']['contrast_false_negative_rate'] <= 1
    assert stage.result['train_seconds'] > 0
