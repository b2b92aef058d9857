# SPDX-License-Identifier: Apache-2.0
"""`cast-train` as a user runs it: run, evaluate, export, and one sentence for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from drawn_streets import draw_streets
from tiny_recipe import recipe_document
from tiny_run import untrained
from train_verb import cast_train

from cast_ros.student import Student
from cast_train.export.onnx import export_onnx


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    draw_streets(tmp_path / 'streets', 'train', 'day', frames=2)
    path = tmp_path / 'recipe.yaml'
    path.write_text(
        yaml.safe_dump(
            recipe_document(
                tmp_path / 'streets', steps=50, optimizer={'warmup_steps': 5, 'ema_decay': 0.5, 'learning_rate': 3e-3}
            )
        )
    )
    return path


@pytest.mark.parametrize(
    ('verb', 'arguments'),
    [
        ('run', ['config/recipes/streets-cast.yaml']),
        ('cast', ['config/recipes/streets-cast.yaml']),
        ('famda', ['config/recipes/streets-night.yaml']),
        ('swinmtl', ['config/recipes/streets-swinmtl.yaml']),
        ('night', ['--source', 'day', '--target', 'night', '--student', 's.onnx', '--out', 'out']),
        ('ablate', ['benchmarks/accuracy/cast_stages.yaml']),
        ('fit-masks', ['config/recipes/streets-promptable.yaml']),
        ('fit-encoder', ['config/recipes/streets-encoder.yaml']),
    ],
)
def test_what_works_in_one_process_refuses_several(
    verb: str,
    arguments: list[str],
    project_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # without data
    if not arguments[0].startswith('--'):
        arguments = [str(project_root / arguments[0])]
    monkeypatch.setenv('WORLD_SIZE', '2')
    assert cast_train(verb, *arguments) == 2
    said = capsys.readouterr().err
    assert f'cast-train {verb} works in one process' in said
    assert 'without torchrun' in said


def test_from_recipe_to_judged_student(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, student = tmp_path / 'run', tmp_path / 'models' / 'road-tiny.onnx'
    assert cast_train('run', recipe, '--out', run, '--set', 'phases.0.steps=60') == 0
    assert 'miou' in capsys.readouterr().out
    assert {'last.pt', 'log.jsonl', 'recipe.yaml', 'tensorboard'} <= {path.name for path in run.iterdir()}
    assert cast_train('run', recipe, '--out', run, '--set', 'phases.0.steps=60', '--resume') == 0
    capsys.readouterr()
    assert cast_train('export', run, '--out', student) == 0
    assert 'relative error' in capsys.readouterr().out
    card = student.with_suffix('.md')
    assert {path.name for path in student.parent.iterdir()} == {
        'road-tiny.onnx',
        'road-tiny.md',
        'road-tiny.recipe.yaml',
        'road-tiny.log.jsonl',
    }
    assert 'Nobody has looked yet' in card.read_text()
    card.write_text(card.read_text().replace('Nobody has looked yet.', 'Cars are found.'))
    assert cast_train('export', run, '--out', student) == 0
    assert 'Cars are found.' in card.read_text()
    assert card.read_text().count('| road |') == 1
    with Student.load(student) as loaded:
        assert (loaded.contract.name, loaded.contract.provenance['recipe']) == ('road-tiny', 'tiny')
        assert loaded.contract.metrics['data'] == 'streets train day'
        assert loaded.contract.provenance['seed'] == 3
        assert loaded.contract.input_statistics is not None
    where = ('--root', tmp_path / 'streets', '--split', 'train')
    capsys.readouterr()
    assert cast_train('evaluate', student, *where, '--json') == 0
    exported = json.loads(capsys.readouterr().out)['headline']
    assert cast_train('evaluate', run, '--split', 'train', '--json') == 0  # the run knows where its pictures lie
    assert json.loads(capsys.readouterr().out)['headline'] == pytest.approx(exported, abs=2e-3)
    assert cast_train('evaluate', student, *where) == 0
    assert 'road' in capsys.readouterr().out
    restated = tmp_path / 'restated.onnx'
    assert cast_train('statistics', student, *where, '--out', restated) == 0
    assert '2 pictures of streets train day' in capsys.readouterr().out
    with Student.load(student) as before, Student.load(restated) as after:
        assert after.contract.input_statistics is not None
        assert after.contract.input_statistics.appearance is not None
        assert after.contract == before.contract.model_copy(
            update={'input_statistics': after.contract.input_statistics}
        )


def test_from_float_to_int8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    streets, student = tmp_path / 'streets', tmp_path / 'tiny.onnx'
    draw_streets(streets, 'train', 'day', frames=2)
    export_onnx(*untrained(streets), student)
    quantised = tmp_path / 'tiny-int8.onnx'
    assert cast_train('export', student, '--int8') == 2
    assert 'name the folder of the streets train pictures with --root' in capsys.readouterr().err
    assert cast_train('export', student, '--int8', '--root', streets) == 2
    assert 'nobody knows what int8 costs' in capsys.readouterr().err
    # What never learned anything finds nothing that it could lose.
    assert cast_train('export', student, '--int8', '--root', streets, '--validate', 'train') == 2
    assert 'streets train day: AP and mIoU of the float file are zero' in capsys.readouterr().err
    assert not quantised.exists()
    assert cast_train('export', student, '--int8', '--calibrate', streets / 'leftImg8bit', '--force') == 0
    assert 'of the time of float' in capsys.readouterr().out
    with Student.load(quantised) as int8:
        assert int8.contract.provenance['calibrated_on'] == '2 pictures of the folder leftImg8bit'
        assert int8.contract.metrics == {}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('run', 'absent.yaml'), 'absent.yaml: cannot be read'),
        (('export', 'absent', '--out', 'x.onnx'), 'no such checkpoint'),
        (('export', 'absent'), 'name the file to write with --out'),
        (('export', 'absent', '--out', 'x.onnx', '--force'), 'belong to --int8'),
        (('export', 'absent', '--out', 'x.onnx', '--int8', '--validate', 'val'), '--validate judges an .onnx; a run'),
        (('export', 'absent.onnx'), 'is exported already; add --int8'),
        (('export', 'absent.onnx', '--int8'), 'there is no such file'),
        (('evaluate', 'absent.onnx', '--root', 'nowhere'), 'nowhere: no such folder'),
        (('evaluate', 'absent.onnx'), 'name the folder of the streets to judge it on with --root'),
        (('label', 'network', '--out', 'labels'), 'name the folder of the streets to label with --root'),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cast_train(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1
    assert 'Traceback' not in error
