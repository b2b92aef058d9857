# SPDX-License-Identifier: Apache-2.0
"""Stages keep the digests that they had when their runs were made: a changed one would train everything anew.

Pictures, weights and sizes are made so that every machine has the same bytes. A digest that changes here is a store
that nobody finds his stages in: change it only with a key of the recipe that decides something new, where it is set.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from drawn_bags import TOPIC, write_labelled_bag
from pydantic import create_model
from rich.console import Console
from tiny_cast import cast_document, draw_scenes
from tiny_famda import draw_days_and_nights, famda_document
from tiny_recipe import tiny_recipe
from tiny_swinmtl import swinmtl_document

import cast_train.methods.cast.stages as cast
import cast_train.methods.famda.stages as famda
import cast_train.methods.swinmtl.stages as swinmtl
from cast_train.data.bag_import import import_bag
from cast_train.data.bag_plan import ImportSettings
from cast_train.data.frames import Frames
from cast_train.data.streets import CLASSES
from cast_train.data.time_blocks import BlockRules
from cast_train.engine.checkpoint import save_checkpoint
from cast_train.engine.recipe import NamedPictures, RunSection, StudentSection
from cast_train.engine.recipe_file import parse
from cast_train.methods.cast.recipe import CastData, CastRecipe, PseudoLabelSection
from cast_train.methods.cast.teachers import AdaptableGroundedSam2
from cast_train.methods.famda.recipe import DomainSection, FamdaRecipe
from cast_train.methods.method import Pictures
from cast_train.methods.method_recipe import MethodRecipe
from cast_train.methods.stages import Stages, StoredStage
from cast_train.methods.swinmtl.recipe import SwinMtlRecipe
from cast_train.models import StudentNetwork
from cast_train.settings import Settings


class Watched(Stages):
    """Only looks, and notes every stage that it is asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, lambda _: None, look=True)
        self.seen: dict[str, None] = {}

    def once(self, name: str, inputs: dict[str, Any], work: Callable[[Path], dict[str, Any]]) -> StoredStage:
        stage = super().once(name, inputs, work)
        self.seen[f'{name}-{stage.digest[:8]}'] = None
        return stage


def redraw(root: Path) -> None:
    """Pictures without noise, whose decoder is the same everywhere: PNG under the name that streets have."""
    for number, path in enumerate(sorted(root.rglob('*_leftImg8bit.jpg'))):
        height, width = 128, 256
        ramp = (np.arange(height * width * 3, dtype=np.int64) * (7 + number) // 64 % 256).astype(np.uint8)
        path.write_bytes(cv2.imencode('.png', ramp.reshape(height, width, 3))[1].tobytes())


def save_ramp(root: Path, run: Path) -> Path:
    """A network whose weights are the same on every processor."""
    network = StudentNetwork('nano', len(CLASSES), tuple(entry.id for entry in CLASSES if entry.is_thing))
    weights = {
        name: (torch.arange(tensor.numel()) % 5 / 8).view(tensor.shape).to(tensor.dtype)
        for name, tensor in network.state_dict().items()
    }
    recipe = tiny_recipe(root, steps=1).model_dump(mode='json')
    save_checkpoint({'recipe': recipe, 'step': 1, 'ema': weights, 'saved': time.time()}, run / 'last.pt')
    return run


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('golden')
    draw_scenes(folder / 'scenes')
    draw_days_and_nights(folder / 'days')
    redraw(folder)
    save_ramp(folder / 'days', folder / 'teacher')
    for name in ('one', 'two', 'three'):
        (folder / f'{name}.pt').write_bytes(name.encode())
    return folder


def stages_of(root: Path, table: dict[str, Callable[[Any], StoredStage]], make: Callable[[Stages], Any]) -> str:
    """What all stages of a recipe that it has a section for are called, in the order in which they are asked for."""
    watched = Watched(root / 'store')
    method = make(watched)
    for stage in table.values():
        if stage.__name__ in ('student_pretrained', 'source_only', 'oracle'):
            section = 'student_pretraining' if stage.__name__ == 'student_pretrained' else stage.__name__
            if getattr(method.recipe.stages, section) is None:
                continue
        stage(method)
    assert not (root / 'store').exists()
    return ' '.join(watched.seen)


def of_cast(root: Path, kind: type[CastRecipe] = CastRecipe, **changes: Any) -> str:
    document = cast_document(root / 'scenes', root / 'one.pt')
    recipe = parse(kind, {**document, **{key: _changed(document, key, changes[key]) for key in changes}}, 'tiny')
    return stages_of(root, cast.STAGES, lambda stages: cast.Cast(recipe, stages, Pictures(recipe.data)))


def of_famda(root: Path, kind: type[FamdaRecipe] = FamdaRecipe, **changes: Any) -> str:
    document = famda_document(root / 'days', root / 'teacher')
    recipe = parse(kind, {**document, **{key: _changed(document, key, changes[key]) for key in changes}}, 'tiny')
    return stages_of(root, famda.STAGES, lambda stages: famda.Famda(recipe, stages, famda.Domains(recipe)))


def of_swinmtl(root: Path, kind: type[SwinMtlRecipe] = SwinMtlRecipe, **changes: Any) -> str:
    document = swinmtl_document(root / 'days')
    changed = {**document, **{key: _changed(document, key, changes[key]) for key in changes}}
    recipe = parse(kind, changed, 'tiny')
    pictures = Pictures(recipe.data)
    return stages_of(root, swinmtl.STAGES, lambda stages: swinmtl.SwinMtl(recipe, stages, pictures))


def _changed(document: dict[str, Any], key: str, value: Any) -> Any:
    """A mapping with ``...`` for a key is laid over what stands there."""
    if isinstance(value, dict) and value.get('...'):
        return {**document[key], **{name: one for name, one in value.items() if name != '...'}}
    return value


OVER = {'...': True}
PRETRAINING = {'height': 64, 'width': 128, 'labelled': 2, 'steps': 2, 'contrast': True}
PLAIN_STAGE = {'height': 64, 'width': 128, 'labelled': 1, 'unlabelled': 1, 'steps': 2}
OPTIMIZER = {'learning_rate': 0.002, 'schedule': 'rise_and_fall', 'layer_decay': 0.9}
RELATIVE = {'size': 'nano', 'depth_form': 'linear', 'widths': {'layers': 2}}

CAST = {
    'plain': {},
    'neither name, version, licence nor how it runs': {
        'name': 'other',
        'version': '2',
        'license': 'MIT',
        'run': {'workers': 2, 'log_every': 3, 'checkpoint_every': 7, 'threads': 2},
    },
    'seed': {'seed': 4},
    'pretraining': {'stages': OVER | {'student_pretraining': PRETRAINING}},
    'initial': {'student': {'size': 'nano', 'initial': 'two.pt'}},
    'backbone': {'student': {'size': 'nano', 'backbone_weights': 'two.pt'}},
    'relative': {'student': RELATIVE},
    'contrast': {'contrast': OVER | {'negatives': 4, 'sampler': 'published'}},
    'no contrast, another rate': {'stages': OVER | {'distillation': PLAIN_STAGE | {'optimizer': OPTIMIZER}}},
    'pseudo-labels': {'pseudo_labels': {'score': 0.5, 'collapse': {'most_empty': 0.9}}},
    'losses': {'losses': {'depth': 0.5}},
    'augmentation': {'augmentation': {'flip': 0.0}},
    'input and depth': {
        'input': {'height': 96, 'width': 128, 'resize': 'letterbox'},
        'depth': {'cap_m': 60.0, 'focal_reference_px': 100.0},
    },
    'classes of a map': {'data': OVER | {'class_map': 'camvid11'}},
    'labels': {'data': OVER | {'labels': {'fraction': 0.3, 'seed': 2, 'held_out': 0.3}}},
    'a teacher that is not adapted': {'teacher': OVER | {'adapt': False}},
    'composite': {'teacher': OVER | {'kind': 'composite', 'masks': 'three.pt'}},
    'grounded_sam2': {
        'teacher': {
            'kind': 'grounded_sam2',
            'settings': {'detector': 'one', 'segmenter': 'two', 'box_threshold': 0.1},
            'detector': {'steps': 2},
            'mask_decoder': {'steps': 3},
        }
    },
}
CAST_DIGESTS: dict[str, str] = {
    'plain': (
        'teacher-pretrained-6bccc066 teacher-supervised-fe1fc6a3 pseudo-labels-ac6e87eb '
        'teacher-self-training-08d20d17 pseudo-labels-79c449fa distillation-f7949a09 refinement-dd078e14 '
        'student-supervised-cddee49d guided-distillation-c43b0984'
    ),
    'neither name, version, licence nor how it runs': (
        'teacher-pretrained-6bccc066 teacher-supervised-fe1fc6a3 pseudo-labels-ac6e87eb '
        'teacher-self-training-08d20d17 pseudo-labels-79c449fa distillation-f7949a09 refinement-dd078e14 '
        'student-supervised-cddee49d guided-distillation-c43b0984'
    ),
    'seed': (
        'teacher-pretrained-6bccc066 teacher-supervised-aea5d2cd pseudo-labels-9c3d467f '
        'teacher-self-training-c0af3d9e pseudo-labels-118a8a79 distillation-a4981457 refinement-a81540fa '
        'student-supervised-7e7f902b guided-distillation-1841e9a4'
    ),
    'pretraining': (
        'teacher-pretrained-6bccc066 teacher-supervised-fe1fc6a3 pseudo-labels-ac6e87eb '
        'teacher-self-training-08d20d17 pseudo-labels-c93efb32 student-pretrained-aa3f7323 '
        'pseudo-labels-79c449fa distillation-df3d3d1c refinement-e3e42436 student-supervised-0473e925 '
        'guided-distillation-8d1011de'
    ),
    'initial': (
        'teacher-pretrained-6bccc066 teacher-supervised-fe1fc6a3 pseudo-labels-ac6e87eb '
        'teacher-self-training-08d20d17 pseudo-labels-79c449fa distillation-a8c7a473 refinement-7627b821 '
        'student-supervised-b4e56f22 guided-distillation-73f28980'
    ),
    'backbone': (
        'teacher-pretrained-6bccc066 teacher-supervised-fe1fc6a3 pseudo-labels-ac6e87eb '
        'teacher-self-training-08d20d17 pseudo-labels-79c449fa distillation-0478d7d2 refinement-36ab12c7 '
        'student-supervised-f4743225 guided-distillation-948b6a1e'
    ),
    'relative': (
        'teacher-pretrained-6bccc066 teacher-supervised-fe1fc6a3 pseudo-labels-ac6e87eb '
        'teacher-self-training-08d20d17 pseudo-labels-79c449fa distillation-3fd97a2e refinement-2c980b10 '
        'student-supervised-afa2df68 guided-distillation-90b7f234'
    ),
    'contrast': (
        'teacher-pretrained-6bccc066 teacher-supervised-d1114a6f pseudo-labels-d9f43214 '
        'teacher-self-training-8d84023f pseudo-labels-678835b8 distillation-bda0442b refinement-814709d6 '
        'student-supervised-cddee49d guided-distillation-c43b0984'
    ),
    'no contrast, another rate': (
        'teacher-pretrained-6bccc066 teacher-supervised-fe1fc6a3 pseudo-labels-ac6e87eb '
        'teacher-self-training-08d20d17 pseudo-labels-79c449fa distillation-f97e700a refinement-0797e4b9 '
        'student-supervised-cddee49d guided-distillation-c43b0984'
    ),
    'pseudo-labels': (
        'teacher-pretrained-6bccc066 teacher-supervised-fe1fc6a3 pseudo-labels-ac6e87eb '
        'teacher-self-training-258246ba pseudo-labels-b24b5614 distillation-3eae589b refinement-ad35014b '
        'student-supervised-cddee49d guided-distillation-a54ea560'
    ),
    'losses': (
        'teacher-pretrained-6bccc066 teacher-supervised-ac720673 pseudo-labels-1ded4069 '
        'teacher-self-training-4272ccc5 pseudo-labels-d7f0bcd9 distillation-c0fa4948 refinement-21a870cf '
        'student-supervised-d154b5be guided-distillation-ce87e1b8'
    ),
    'augmentation': (
        'teacher-pretrained-6bccc066 teacher-supervised-4ed1db57 pseudo-labels-7df883f8 '
        'teacher-self-training-c761d636 pseudo-labels-d95ad67b distillation-fc2a6834 refinement-c23c79b1 '
        'student-supervised-ad5a80ff guided-distillation-d14e02b6'
    ),
    'input and depth': (
        'teacher-pretrained-bd05ed6e teacher-supervised-674cad3e pseudo-labels-35ad59a4 '
        'teacher-self-training-5771ea9b pseudo-labels-55ef151d distillation-0ae209e6 refinement-de18f5c5 '
        'student-supervised-757043f0 guided-distillation-6b2e4c33'
    ),
    'classes of a map': (
        'teacher-pretrained-29a48fd0 teacher-supervised-2ac24142 pseudo-labels-3772dc79 '
        'teacher-self-training-89fc3112 pseudo-labels-0c98e1be distillation-1362bd87 refinement-4d4b27f2 '
        'student-supervised-603d13b9 guided-distillation-0b2f0e01'
    ),
    'labels': (
        'teacher-pretrained-6bccc066 teacher-supervised-81c2c8f5 pseudo-labels-5e3ab618 '
        'teacher-self-training-f2d548fa pseudo-labels-38b8d1df distillation-9a5351f3 refinement-60a065c6 '
        'student-supervised-581f8dc4 guided-distillation-32d2a947'
    ),
    'a teacher that is not adapted': (
        'teacher-pretrained-6bccc066 teacher-supervised-fe1fc6a3 pseudo-labels-c93efb32 distillation-eeba26a9 '
        'refinement-81240eb7 student-supervised-cddee49d guided-distillation-c43b0984'
    ),
    'composite': (
        'teacher-pretrained-defb4c6f teacher-supervised-676d1830 pseudo-labels-eb16b3a2 '
        'teacher-self-training-2e28f842 pseudo-labels-03097827 distillation-065adba3 refinement-0a10b5a9 '
        'student-supervised-cddee49d guided-distillation-c43b0984'
    ),
    'grounded_sam2': (
        'teacher-pretrained-5575febe teacher-supervised-ebfb7b9f pseudo-labels-e3d4f4cd '
        'teacher-self-training-b90faa02 pseudo-labels-7ed26e95 distillation-bd1f2519 refinement-8956675d '
        'student-supervised-cddee49d guided-distillation-c43b0984'
    ),
}

FAMDA = {
    'plain': {},
    'neither name, version, licence nor how it runs': {
        'name': 'other',
        'version': '2',
        'license': 'MIT',
        'run': {'workers': 2, 'log_every': 3, 'checkpoint_every': 7, 'threads': 2},
    },
    'seed': {'seed': 4},
    'no teachers': {'segments': None, 'depth_teacher': None},
    'masks of other scores': {'segments': {'kind': 'network_segments', 'settings': {'score': 0.25}}},
    'initial': {'student': {'size': 'nano', 'initial': 'two.pt'}},
    'backbone': {'student': {'size': 'nano', 'backbone_weights': 'two.pt'}},
    'relative': {'student': RELATIVE},
    'losses': {'losses': {'depth': 0.5}},
    'augmentation': {'augmentation': {'flip': 0.0}},
    'input and depth': {
        'input': {'height': 96, 'width': 128, 'resize': 'letterbox'},
        'depth': {'cap_m': 60.0, 'focal_reference_px': 100.0},
    },
    'adaptation': {
        'adaptation': {
            'decay': 0.5,
            'refinement': None,
            'masked': {'patch_px': 16},
            'norms': 'target',
            'sky_from_depth': True,
            'class_alignment': 0.5,
            'target_colours': True,
            'things_from_instances': True,
            'feature_distance': 0.005,
        }
    },
    'rare classes': {'adaptation': OVER | {'rare_classes': {'temperature': 0.1}}},
    'no rare classes': {'adaptation': OVER | {'rare_classes': None}},
    'some labels of the target': {'target_labels_every': 2},
    'relative depth': {'relative_depth': 0.5},
    'strong views': {'strong': {'jitter': 0.5}},
    'stages': {'stages': OVER | {'source': PLAIN_STAGE | {'optimizer': OPTIMIZER}, 'source_only': None}},
    'classes of a map': {'source': OVER | {'class_map': 'camvid11'}, 'target': OVER | {'class_map': 'camvid11'}},
}
FAMDA_DIGESTS: dict[str, str] = {
    'plain': (
        'famda-source-dd77ac5f famda-segments-3760b274 famda-depth-3e27b434 famda-37a9d106 famda-oracle-4ab3167b'
    ),
    'neither name, version, licence nor how it runs': (
        'famda-source-dd77ac5f famda-segments-3760b274 famda-depth-3e27b434 famda-37a9d106 famda-oracle-4ab3167b'
    ),
    'seed': ('famda-source-eb404ea2 famda-segments-3760b274 famda-depth-3e27b434 famda-27ecdbc5 famda-oracle-2623173c'),
    'no teachers': ('famda-source-dd77ac5f famda-11c3dae4 famda-oracle-4ab3167b'),
    'masks of other scores': (
        'famda-source-dd77ac5f famda-segments-7f78bf31 famda-depth-3e27b434 famda-6862a0ea famda-oracle-4ab3167b'
    ),
    'initial': (
        'famda-source-96d47b03 famda-segments-3760b274 famda-depth-3e27b434 famda-aa8afb2c famda-oracle-d9d198cc'
    ),
    'backbone': (
        'famda-source-b1436fe5 famda-segments-3760b274 famda-depth-3e27b434 famda-87867123 famda-oracle-c66122c7'
    ),
    'relative': (
        'famda-source-0a88e065 famda-segments-3760b274 famda-depth-3e27b434 famda-6bcf4769 famda-oracle-c4631a8a'
    ),
    'losses': (
        'famda-source-749e112e famda-segments-3760b274 famda-depth-3e27b434 famda-f19595d6 famda-oracle-7e7986ea'
    ),
    'augmentation': (
        'famda-source-59585283 famda-segments-3760b274 famda-depth-3e27b434 famda-c399e7c0 famda-oracle-91705e97'
    ),
    'input and depth': (
        'famda-source-9cf151f8 famda-segments-3760b274 famda-depth-3e27b434 famda-56ead22b famda-oracle-7c94b41a'
    ),
    'adaptation': (
        'famda-source-dd77ac5f famda-segments-3760b274 famda-depth-3e27b434 famda-3cc0313d famda-oracle-4ab3167b'
    ),
    'rare classes': (
        'famda-source-dd77ac5f famda-segments-3760b274 famda-depth-3e27b434 famda-91ed6f5d famda-oracle-4ab3167b'
    ),
    'no rare classes': (
        'famda-source-dd77ac5f famda-segments-3760b274 famda-depth-3e27b434 famda-f8fbed1b famda-oracle-4ab3167b'
    ),
    'some labels of the target': (
        'famda-source-dd77ac5f famda-segments-3760b274 famda-depth-3e27b434 famda-96e0ed1e famda-oracle-4ab3167b'
    ),
    'relative depth': (
        'famda-source-dd77ac5f famda-segments-3760b274 famda-depth-3e27b434 famda-274868a6 famda-oracle-4ab3167b'
    ),
    'strong views': (
        'famda-source-dd77ac5f famda-segments-3760b274 famda-depth-3e27b434 famda-6353efeb famda-oracle-4ab3167b'
    ),
    'stages': (
        'famda-source-be8a6061 famda-segments-3760b274 famda-depth-3e27b434 famda-176ad7e3 famda-oracle-29ecf99f'
    ),
    'classes of a map': (
        'famda-source-84738da6 famda-segments-c6395fe5 famda-depth-4dde90f3 famda-d7ea4175 famda-oracle-15ce6b48'
    ),
}
FRAMES_DIGESTS = 'famda-source-6beaef32 famda-3190cc5a famda-oracle-bda75a05'

SWINMTL = {
    'plain': {},
    'neither name, version, licence nor how it runs': {
        'name': 'other',
        'version': '2',
        'license': 'MIT',
        'run': {'workers': 2, 'log_every': 3, 'checkpoint_every': 7, 'threads': 2},
    },
    'seed': {'seed': 4},
    'critic': {'critic': {'weight': 0.2}},
    'no critic': {'critic': None},
    'classes alone': {'critic': None, 'tasks': ['segmentation']},
    'depth alone': {'critic': None, 'tasks': ['depth']},
    'no cut_mix': {'cut_mix': False},
    'depth_form': {'student': {'size': 'swinmtl-mini', 'depth_form': 'linear'}},
    'with queries': {'student': {'size': 'nano'}},
    'relative': {'student': RELATIVE},
    'initial': {'student': {'size': 'swinmtl-mini', 'initial': 'two.pt'}},
    'backbone': {'student': {'size': 'swinmtl-mini', 'backbone_weights': 'two.pt'}},
    'losses': {'losses': {'depth': 0.5}},
    'augmentation': {'augmentation': {'flip': 0.0}},
    'input and depth': {
        'input': {'height': 96, 'width': 128, 'resize': 'letterbox'},
        'depth': {'cap_m': 60.0, 'focal_reference_px': 100.0},
    },
    'stage': {'stage': OVER | {'steps': 3, 'optimizer': OPTIMIZER}},
    'classes of a map': {'data': OVER | {'class_map': 'camvid11'}},
}
SWINMTL_DIGESTS: dict[str, str] = {
    'plain': ('swinmtl-c4166b13'),
    'neither name, version, licence nor how it runs': ('swinmtl-c4166b13'),
    'seed': ('swinmtl-2b75bc42'),
    'critic': ('swinmtl-dd82c0aa'),
    'no critic': ('swinmtl-57b41f6b'),
    'classes alone': ('swinmtl-d0098b3a'),
    'depth alone': ('swinmtl-a8339b36'),
    'no cut_mix': ('swinmtl-cb86b74a'),
    'depth_form': ('swinmtl-3021b2e5'),
    'with queries': ('swinmtl-447020c5'),
    'relative': ('swinmtl-ab15759e'),
    'initial': ('swinmtl-367d985f'),
    'backbone': ('swinmtl-0262d73a'),
    'losses': ('swinmtl-ff6c0654'),
    'augmentation': ('swinmtl-6b00ced2'),
    'input and depth': ('swinmtl-efae6cdf'),
    'stage': ('swinmtl-5a110d7a'),
    'classes of a map': ('swinmtl-b3745da5'),
}


def in_folder(root: Path, value: Any) -> Any:
    """``value`` with its files where they lie: a digest knows what is in them, not where they are."""
    if isinstance(value, dict):
        return {key: in_folder(root, one) for key, one in value.items()}
    return str(root / value) if isinstance(value, str) and value.endswith('.pt') else value


@pytest.mark.parametrize('variant', CAST)
def test_stages_of_cast_keep_their_digests(root: Path, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed:
        fingerprint = 'of Grounding DINO and SAM 2'

    monkeypatch.setattr(AdaptableGroundedSam2, 'open', lambda *_: Fixed())
    assert of_cast(root, **in_folder(root, CAST[variant])) == CAST_DIGESTS[variant]


@pytest.mark.parametrize('variant', FAMDA)
def test_stages_of_famda_keep_their_digests(root: Path, variant: str) -> None:
    changes = in_folder(root, FAMDA[variant])
    if changes.get('segments'):
        changes['segments']['settings']['checkpoint'] = str(root / 'teacher')
    assert of_famda(root, **changes) == FAMDA_DIGESTS[variant]


def test_stages_of_recorded_frames_keep_their_digests(root: Path) -> None:
    classes = None
    for name in ('day', 'night'):
        bag = write_labelled_bag(root / f'{name}.mcap', 24)
        settings = ImportSettings(
            topic=TOPIC, domain=name, classes=classes, blocks=BlockRules(val=0.34, block_s=0.5, guard_s=0.0)
        )
        import_bag(bag, root / f'frames-{name}', settings, Console(quiet=True))
        classes = Frames(root / f'frames-{name}', 'train').classes

    def domain(name: str) -> dict[str, Any]:
        parts = {key: [{'split': split}] for key, split in (('train', 'train'), ('validation', 'val'))}
        return {'name': name, 'dataset': 'frames', 'root': str(root / f'frames-{name}'), **parts}

    changes = {'adaptation': {'decay': 0.9}, 'segments': None, 'depth_teacher': None}
    assert of_famda(root, source=domain('day'), target=domain('night'), **changes) == FRAMES_DIGESTS


@pytest.mark.parametrize('variant', SWINMTL)
def test_stages_of_swinmtl_keep_their_digests(root: Path, variant: str) -> None:
    assert of_swinmtl(root, **in_folder(root, SWINMTL[variant])) == SWINMTL_DIGESTS[variant]


@pytest.mark.parametrize('digests', [CAST_DIGESTS, FAMDA_DIGESTS, SWINMTL_DIGESTS])
def test_what_decides_nothing_is_in_no_digest_and_everything_else_is(digests: dict[str, str]) -> None:
    others = {name: found for name, found in digests.items() if not name.startswith('neither')}
    assert digests['neither name, version, licence nor how it runs'] == digests['plain']
    assert len(set(others.values())) == len(others)


def test_a_digest_knows_the_content_of_pictures_and_files_but_not_where_they_lie(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / 'moved')
    assert of_famda(tmp_path / 'moved') == FAMDA_DIGESTS['plain']
    given = {'student': {'size': 'nano', 'initial': str(tmp_path / 'moved' / 'two.pt')}}
    (tmp_path / 'moved' / 'two.pt').write_bytes(b'three')
    assert of_cast(tmp_path / 'moved', **given) != CAST_DIGESTS['initial']
    redraw_one = next((tmp_path / 'moved' / 'days').rglob('*_leftImg8bit.jpg'))
    redraw_one.write_bytes(cv2.imencode('.png', np.zeros((128, 256, 3), np.uint8))[1].tobytes())
    assert of_famda(tmp_path / 'moved') != FAMDA_DIGESTS['plain']


# No recipe trains them: what decides them is the teacher.
UNTRAINED = ('teacher-pretrained', 'famda-segments', 'famda-depth')


class OfCast(CastRecipe):
    more: int = 0


class OfFamda(FamdaRecipe):
    more: int = 0


class OfSwinMtl(SwinMtlRecipe):
    more: int = 0


@pytest.mark.parametrize(
    ('of_method', 'kind'),
    [(of_cast, OfCast), (of_famda, OfFamda), (of_swinmtl, OfSwinMtl)],
    ids=lambda one: one.__name__,
)
def test_a_key_that_a_recipe_gains_decides_every_stage_that_trains(
    root: Path, of_method: Callable[..., str], kind: type[MethodRecipe]
) -> None:
    before, after = (set(of_method(root, kind=kind, more=more).split()) for more in (0, 1))
    assert before & after == {name for name in before if name.startswith(UNTRAINED)}


@pytest.mark.parametrize('of_method', [of_cast, of_famda, of_swinmtl])
def test_parts_of_a_batch_decide_what_is_learned_since_norms_see_one_at_a_time(
    root: Path, of_method: Callable[..., str]
) -> None:
    whole, parts = (set(of_method(root, run={'accumulate': number}).split()) for number in (1, 2))
    assert whole == set(of_method(root, run={}).split())
    assert not {
        name for name in whole & parts if not name.startswith(('teacher-pretrained', 'famda-segments', 'famda-depth'))
    }


@pytest.mark.parametrize(
    'section', [StudentSection, RunSection, PseudoLabelSection, NamedPictures, CastData, DomainSection]
)
def test_a_key_that_a_section_gains_is_digested(section: type[Settings]) -> None:
    """Sections that say themselves what of them decides say what does not, so that nothing is forgotten."""
    more = create_model('More', __base__=section, more=(int, 0))
    assert more.model_construct(more=1).digested()['more'] == 1


@pytest.mark.parametrize('recipe', [CastRecipe, FamdaRecipe, SwinMtlRecipe])
def test_what_a_recipe_leaves_out_of_its_digest_is_there(recipe: type[MethodRecipe]) -> None:
    assert recipe.undecisive | recipe.by_stage <= set(recipe.model_fields)
    assert not recipe.undecisive & recipe.by_stage
    assert RunSection.undecisive <= set(RunSection.model_fields)
    assert CastData.places <= set(CastData.model_fields)
    assert DomainSection.places <= set(DomainSection.model_fields)
