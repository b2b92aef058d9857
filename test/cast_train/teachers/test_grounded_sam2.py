# SPDX-License-Identifier: Apache-2.0
"""The composite teacher on the real Hugging Face classes, tiny and random, without a network."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_grounded_sam2 import tiny_grounded_sam2
from transformers import AutoProcessor, GroundingDinoForObjectDetection

from cast_ros.student import ClassInfo
from cast_train.errors import RecipeError, TeacherError
from cast_train.teachers.grounded_sam2 import GroundedSam2, GroundedSam2Settings, box_prompts, fingerprint_of
from cast_train.teachers.mask_nms import MaskNms
from cast_train.teachers.registry import open_teacher
from cast_train.teachers.teacher import FOREGROUND, PseudoLabels

CLASSES = tuple(
    ClassInfo(id=index, name=name, is_thing=is_thing, color=(index, 0, 0))
    for index, (name, is_thing) in enumerate(
        [('road', False), ('person', True), ('sky', False), ('car', True), ('traffic sign', True)]
    )
)
THINGS = {1, 3, 4}


@pytest.fixture(scope='module')
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return tiny_grounded_sam2(tmp_path_factory.mktemp('tiny'))


@pytest.fixture
def copies(folders: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Folders that a test may break."""
    detector, segmenter = tmp_path / 'detector', tmp_path / 'segmenter'
    shutil.copytree(folders[0], detector)
    shutil.copytree(folders[1], segmenter)
    return detector, segmenter


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError('a teacher from a folder asked the network')

    for name in ('connect', 'connect_ex'):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)


def open_tiny(folders: tuple[Path, Path], **changes: Any) -> GroundedSam2:
    settings = {'detector': str(folders[0]), 'segmenter': str(folders[1]), **changes}
    return GroundedSam2(GroundedSam2Settings.model_validate(settings), CLASSES)


def picture(seed: int, height: int = 96, width: int = 192) -> npt.NDArray[np.uint8]:
    """Blots of colour, since pure noise looks the same everywhere."""
    coarse = np.random.default_rng(seed).integers(0, 255, (height // 16, width // 16, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((16, 16, 1), np.uint8))


def same(first: PseudoLabels, second: PseudoLabels) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in ('labels', 'scores', 'soft_masks')
    )


@pytest.mark.usefixtures('no_network')
def test_it_labels_without_a_network(folders: tuple[Path, Path]) -> None:
    images = [picture(0), picture(1), picture(2, 112, 80)]
    answers = open_tiny(folders).label(images, [None, 640.0, None])
    assert sum(len(answer.labels) for answer in answers) >= 3
    for answer, image in zip(answers, images, strict=True):
        assert (answer.height, answer.width) == image.shape[:2]
        assert answer.semantic is None
        assert answer.depth_m is None
        assert set(answer.labels.tolist()) <= THINGS
        assert answer.labels.dtype == np.int64
        assert answer.scores.dtype == np.float32
        assert (np.diff(answer.scores) <= 0).all()
        assert ((answer.scores > 0.3) & (answer.scores <= 1)).all()
        assert answer.soft_masks.shape == (len(answer.labels), 64, 64)
        assert answer.soft_masks.dtype == np.uint8
        mine = answer.soft_masks >= FOREGROUND
        assert (mine.sum(0) <= 1).all()
        assert (mine.sum((1, 2)) * image.shape[0] * image.shape[1] / 64**2 >= 16).all()


def test_a_picture_gets_the_same_labels_in_any_company(folders: tuple[Path, Path]) -> None:
    teacher = open_tiny(folders, batch=1)
    images = [picture(0), picture(1, 80, 80), picture(2)]
    together = teacher.label(images, [None] * 3)
    assert all(same(*pair) for pair in zip(together, teacher.label(images, [None] * 3), strict=True))
    assert all(same(one, teacher.label([image], [None])[0]) for one, image in zip(together, images, strict=True))
    assert teacher.label([], []) == []


def test_boxes_are_those_of_the_library_in_the_original_picture(folders: tuple[Path, Path]) -> None:
    image = picture(3, 64, 160)
    found = open_tiny(folders, box_threshold=0.0, max_detections=12).detect([image])[0]
    processor = AutoProcessor.from_pretrained(folders[0], local_files_only=True)
    detector = GroundingDinoForObjectDetection.from_pretrained(folders[0], local_files_only=True).eval()
    inputs = processor(images=image, text='person . pedestrian . car . traffic sign .', return_tensors='pt')
    with torch.no_grad():
        output = detector(**inputs)
    (expected,) = processor.post_process_grounded_object_detection(
        output, inputs['input_ids'], threshold=0.0, text_threshold=0.0, target_sizes=[(64, 160)]
    )
    boxes = found.boxes * torch.tensor([160.0, 64.0, 160.0, 64.0])
    wanted = expected['boxes'].clamp(torch.zeros(4), torch.tensor([160.0, 64.0, 160.0, 64.0]))
    assert len(boxes) == len(wanted) == 12
    distance = torch.cdist(boxes, wanted).amin(1)
    assert distance.max() < 1e-3


def test_prompts_are_stretched_like_the_picture() -> None:
    boxes = torch.tensor([[0.25, 0.5, 1.0, 1.0]])
    assert box_prompts(boxes, (1024, 512)).tolist() == [[128.0, 512.0, 512.0, 1024.0]]


def test_thresholds_decide_what_is_kept(folders: tuple[Path, Path]) -> None:
    teacher = open_tiny(folders)
    pretrained, image = teacher.settings, picture(0)

    def count(**changes: Any) -> int:
        teacher.settings = pretrained.model_copy(update=changes)
        (answer,) = teacher.label([image], [None])
        assert answer.soft_masks.shape == (len(answer.labels), 64, 64)
        return len(answer.labels)

    everything = count(box_threshold=0.0)
    assert everything > 1
    assert count(box_threshold=1.0) == 0
    assert count(text_threshold=1.0) == 0
    assert count(max_detections=1) == 1
    assert count(smallest_px=10**6) == 0
    assert count(box_threshold=0.0, nms=MaskNms(iou=0.01, containment=0.01, duplicate=0.01)) < everything


def test_networks_as_they_are_published_are_of_the_same_family(tmp_path: Path) -> None:
    """MM-Grounding-DINO, and SAM 2.1 as the video network whose picture part is used."""
    teacher = open_tiny(tiny_grounded_sam2(tmp_path, multi_modal=True, video=True), box_threshold=0.0)
    (answer,) = teacher.label([picture(0)], [None])
    assert set(answer.labels.tolist()) <= THINGS
    assert len(answer.labels) > 0


def test_many_classes_are_asked_in_several_prompts(folders: tuple[Path, Path]) -> None:
    names = [f'thing {letter}{letter}' for letter in 'abcdefghijklmnop']
    classes = [ClassInfo(id=index, name=name, is_thing=True, color=(0, 0, 0)) for index, name in enumerate(names)]
    settings = GroundedSam2Settings(detector=str(folders[0]), segmenter=str(folders[1]), box_threshold=0.0)
    (found,) = GroundedSam2(settings, classes).detect([picture(0)])
    # Twelve queries answer each of three prompts.
    assert len(found.scores) > 24


def test_the_registry_opens_it(folders: tuple[Path, Path]) -> None:
    teacher = open_teacher('grounded_sam2', {'detector': str(folders[0]), 'segmenter': str(folders[1])}, CLASSES)
    assert isinstance(teacher, GroundedSam2)
    with pytest.raises(RecipeError, match="did you mean 'box_threshold'"):
        open_teacher('grounded_sam2', {'detector': 'a', 'segmenter': 'b', 'box_treshold': 0.1}, CLASSES)


def test_a_class_that_nobody_can_tell_apart_is_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(TeacherError, match="'car' stands for"):
        open_tiny(folders, synonyms={'person': ['car']})


def test_the_fingerprint_follows_weights_and_settings(copies: tuple[Path, Path], folders: tuple[Path, Path]) -> None:
    def fingerprint(places: tuple[Path, Path], classes: tuple[ClassInfo, ...] = CLASSES, **changes: Any) -> str:
        settings = {'detector': str(places[0]), 'segmenter': str(places[1]), **changes}
        return fingerprint_of(GroundedSam2Settings.model_validate(settings), classes)

    first = open_tiny(folders).fingerprint
    assert fingerprint(copies, batch=7, local_files_only=False) == first
    others = [
        fingerprint(copies, **changes)
        for changes in (
            {'classes': CLASSES[:4]},
            {'box_threshold': 0.31},
            {'text_threshold': 0.1},
            {'synonyms': {'car': ['bus']}},
            {'smallest_px': 17},
            {'nms': {'iou': 0.5}},
            {'max_detections': 99},
        )
    ]
    for folder in copies:
        path = folder / 'model.safetensors'
        weights = load_file(path)
        name = next(name for name, value in weights.items() if value.is_floating_point() and value.ndim == 2)
        weights[name][0, 0] += 1e-3
        save_file(weights, path, metadata={'format': 'pt'})
        others.append(fingerprint(copies))
    assert len({first, *others}) == 1 + len(others)


def _no_weights(folder: Path) -> None:
    (folder / 'model.safetensors').unlink()


def _pickles(folder: Path) -> None:
    (folder / 'model.safetensors').rename(folder / 'pytorch_model.bin')


def _missing_part(folder: Path) -> None:
    (folder / 'model.safetensors').unlink()
    parts = {'weight_map': {'a': 'model-00001-of-00002.safetensors', 'b': 'model-00002-of-00002.safetensors'}}
    (folder / 'model.safetensors.index.json').write_text(json.dumps(parts))
    (folder / 'model-00001-of-00002.safetensors').touch()


def _no_config(folder: Path) -> None:
    (folder / 'config.json').unlink()


def _broken_config(folder: Path) -> None:
    (folder / 'config.json').write_text('{')


def _other_kind(folder: Path) -> None:
    (folder / 'config.json').write_text('{"model_type": "detr"}')


def _no_processor(folder: Path) -> None:
    (folder / 'processor_config.json').unlink()
    for path in folder.glob('token*'):
        path.unlink()


def _truncated(folder: Path) -> None:
    path = folder / 'model.safetensors'
    path.write_bytes(path.read_bytes()[:-1000])


def _gaps(folder: Path) -> None:
    path = folder / 'model.safetensors'
    weights = load_file(path)
    save_file({name: weights[name] for name in sorted(weights)[:-1]}, path, metadata={'format': 'pt'})


@pytest.mark.usefixtures('no_network')
@pytest.mark.parametrize(
    ('place', 'damage', 'message'),
    [
        (1, _no_weights, r'model\.safetensors: no such file; complete the folder'),
        (1, _other_kind, r'holds a detr, wanted is one of sam2, sam2_video'),
        (1, _no_processor, r'preprocessor_config\.json: cannot be loaded'),
        (0, _no_weights, r'model\.safetensors: no such file; complete the folder'),
        (0, _pickles, r'model\.safetensors: no such file; complete the folder'),
        (0, _missing_part, r'model-00002-of-00002\.safetensors: no such file'),
        (0, _no_config, r'config\.json: no such file'),
        (0, _broken_config, r'config\.json: not the settings of a network'),
        (0, _other_kind, r'holds a detr, wanted is one of'),
        (0, _no_processor, r'preprocessor_config\.json: cannot be loaded'),
        (0, _truncated, r'model\.safetensors: cannot be loaded'),
        (0, _gaps, r'model\.safetensors: not the weights of this network: 1 tensors are missing'),
    ],
)
def test_what_is_missing_is_named(
    copies: tuple[Path, Path], place: int, damage: Callable[[Path], None], message: str
) -> None:
    damage(copies[place])
    with pytest.raises(TeacherError, match=message) as caught:
        open_tiny(copies)
    assert str(copies[place]) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_folder_that_is_not_there_is_named_with_its_weights(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r'nowhere/model\.safetensors: no such file; put the weights'):
        open_tiny((tmp_path / 'nowhere', folders[1]))


@pytest.mark.usefixtures('no_network')
def test_a_hub_id_comes_from_the_cache_alone(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path))
    settings = {'detector': 'lab/tiny-dino', 'segmenter': str(folders[1])}
    with pytest.raises(TeacherError, match=r'models--lab--tiny-dino/snapshots/REVISION/model\.safetensors is expected'):
        open_teacher('grounded_sam2', settings, CLASSES)
    cached = tmp_path / 'models--lab--tiny-dino'
    (cached / 'refs').mkdir(parents=True)
    (cached / 'refs' / 'main').write_text('0' * 40)
    shutil.copytree(folders[0], cached / 'snapshots' / ('0' * 40))
    assert open_teacher('grounded_sam2', settings, CLASSES).fingerprint == open_tiny(folders).fingerprint
