# SPDX-License-Identifier: Apache-2.0
"""`cast-train run` as a user runs it: every kind of recipe, by path and by name, and the old names of the verb."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import yaml
from drawn_streets import draw_streets
from safetensors.torch import save_file
from tiny_night import write_recipe
from tiny_recipe import recipe_document
from train_verb import cast_train

MARKER = 'share/ament_index/resource_index/packages/cast_ros'
GUIDE = 'mobilenetv4_conv_small_050'

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a recipe of a few steps on two drawn pictures; the working folder is the one with the recipes."""
    monkeypatch.chdir(tmp_path)
    draw_streets(tmp_path / 'streets', 'train', 'day', frames=2)

    def write_recipe_of(name: str, without: tuple[str, ...] = (), **changes: Any) -> Path:
        document = recipe_document(tmp_path / 'streets', steps=2, name=name, **changes)
        path = tmp_path / f'{name}.yaml'
        path.write_text(yaml.safe_dump({key: value for key, value in document.items() if key not in without}))
        return path

    return write_recipe_of


def swinmtl(write: Write) -> Path:
    stage = {'height': 64, 'width': 128, 'labelled': 2, 'steps': 2}
    return write('tiny-swinmtl', ('phases', 'optimizer'), method='swinmtl', stage=stage, critic=None)


def masks(write: Write, **changes: Any) -> Path:
    network = {'backbone': GUIDE, 'channels': 16, 'head_channels': 16}
    return write('tiny-masks', ('version', 'license', 'student', 'depth'), network=network, **changes)


def encoder(write: Write, folder: Path) -> Path:
    weights = folder / 'guide.safetensors'
    save_file(timm.create_model(GUIDE, pretrained=False).state_dict(), weights)
    without = ('version', 'license', 'student', 'input', 'depth')
    return write(
        'tiny-encoder',
        without,
        method='encoder',
        size='nano',
        guide={'backbone': GUIDE, 'weights': 'guide.safetensors'},
    )


def test_a_run_of_supervised_training_is_refused_its_folder_and_resumed(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write('tiny')
    assert cast_train('run', recipe) == 0
    first = capsys.readouterr().out
    assert 'miou' in first
    assert Path('runs/tiny/last.pt').is_file()
    assert cast_train('run', recipe) == 2
    assert 'already holds a run; go on with --resume, or choose another --out' in capsys.readouterr().err
    assert cast_train('run', recipe, '--resume') == 0
    assert capsys.readouterr().out.splitlines()[-1] == first.splitlines()[-1]


def test_a_run_in_stages_is_refused_its_folder_and_resumed(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = swinmtl(write)
    assert cast_train('run', recipe, '--out', 'out') == 0
    assert 'out/tiny-swinmtl.onnx: look at it with' in capsys.readouterr().out
    before = json.loads(Path('out/manifest.json').read_text())
    assert cast_train('run', recipe, '--out', 'out') == 2
    assert 'already holds a run; go on with --resume, or choose another --out' in capsys.readouterr().err
    assert cast_train('run', recipe, '--out', 'out', '--resume') == 0
    assert 'working in' not in capsys.readouterr().out
    assert json.loads(Path('out/manifest.json').read_text()) == before
    # The old name has no flag: there the same command always went on.
    assert cast_train('swinmtl', recipe, '--out', 'out') == 0
    said = capsys.readouterr()
    assert 'working in' not in said.out
    assert said.err == 'cast-train swinmtl is now cast-train run; the old name goes with release 0.3\n'


def test_finished_stages_of_a_store_are_not_done_again(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = swinmtl(write)
    assert cast_train('run', recipe, '--out', 'one', '--store', 'store') == 0
    assert 'working in store/swinmtl-' in capsys.readouterr().out
    assert cast_train('run', recipe, '--out', 'two', '--store', 'store') == 0
    assert 'working in' not in capsys.readouterr().out


def test_a_store_is_refused_where_there_are_no_stages(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert cast_train('run', write('tiny'), '--store', 'store') == 2
    assert '--store is for finished stages, and a recipe of method supervised has none' in capsys.readouterr().err


def test_a_mask_network_is_run_and_its_recipe_of_before_needs_no_method(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cast_train('fit-masks', masks(write), '--out', 'old') == 0
    said = capsys.readouterr()
    assert 'cast-train fit-masks is now cast-train run' in said.err
    assert cast_train('run', masks(write, method='masks'), '--out', 'new') == 0
    assert capsys.readouterr().out.splitlines()[-1] == said.out.splitlines()[-1]
    assert Path('new/last.pt').is_file()


def test_an_encoder_lies_in_its_run_and_under_the_old_name_in_its_file(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = encoder(write, tmp_path)
    assert cast_train('run', recipe, '--out', 'new') == 0
    assert 'use it with --set student.backbone_weights=new/tiny-encoder.safetensors' in capsys.readouterr().out
    assert cast_train('fit-encoder', recipe, '--run', 'old', '--out', 'weights/mine.safetensors') == 0
    made = Path('new/tiny-encoder.safetensors').read_bytes()
    assert Path('weights/mine.safetensors').read_bytes() == made


def test_a_method_with_a_verb_of_its_own_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cast_train('run', write_recipe(tmp_path / 'night.yaml', None)) == 2
    assert 'method night has a verb of its own: cast-train night --help' in capsys.readouterr().err


@pytest.mark.parametrize('verb', ['fit', 'cast', 'famda', 'swinmtl', 'fit-masks', 'fit-encoder'])
def test_an_old_name_says_the_new_one_and_is_not_in_the_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cast_train(verb, 'absent.yaml') == 2
    notice, mistake = capsys.readouterr().err.splitlines()
    assert notice == f'cast-train {verb} is now cast-train run; the old name goes with release 0.3'
    assert 'absent.yaml: cannot be read' in mistake
    assert cast_train('--help') == 0
    assert f'\u2502 {verb} ' not in capsys.readouterr().out


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A share folder, as a sourced workspace has it; the only one that counts, and the working folder is another."""
    workspace = tmp_path / 'workspace'
    (workspace / MARKER).parent.mkdir(parents=True)
    (workspace / MARKER).touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(workspace))
    folder = workspace / 'share' / 'cast_ros'
    (folder / 'config' / 'recipes').mkdir(parents=True)
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    return folder


def test_a_recipe_is_found_by_its_name(
    share: Path, tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (share / 'config' / 'recipes' / 'mine.yaml').write_bytes(write('mine').read_bytes())
    monkeypatch.chdir(tmp_path / 'elsewhere')
    for name in ('mine', 'mine.yaml'):
        assert cast_train('validate', name) == 0
        assert f'{name} is valid' in capsys.readouterr().out
    # A file that exists wins, a folder does not.
    Path('mine').mkdir()
    assert cast_train('validate', 'mine') == 0
    Path('mine.yaml').write_text('method: magic')
    assert cast_train('validate', 'mine.yaml') == 2
    assert "mine.yaml: method is 'magic'" in capsys.readouterr().err


@pytest.mark.parametrize('verb', ['run', 'validate'])
def test_an_unknown_name_is_refused_with_the_nearest_one_and_where_was_looked(
    verb: str, share: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (share / 'config' / 'recipes' / 'papers').mkdir()
    (share / 'config' / 'recipes' / 'papers' / 'cityscapes-10.yaml').touch()
    assert cast_train(verb, 'papers/cityscape-10') == 2
    error = capsys.readouterr().err
    assert "did you mean 'papers/cityscapes-10'?" in error
    assert str(share / 'config' / 'recipes') in error
    assert error.count('\n') == 1


def test_a_mistake_before_the_keys_needs_no_torch(project_root: Path) -> None:

    command = (
        'import sys; from cast_train.cli import main\ntry: main()\nfinally: sys.exit(3 * ("torch" in sys.modules))'
    )
    for arguments in (['run', 'streets-cats'], ['validate', 'streets-cast', '--set', 'seed'], ['fit', 'nowhere.yaml']):
        done = subprocess.run([sys.executable, '-c', command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1].startswith('cast-train: ')
