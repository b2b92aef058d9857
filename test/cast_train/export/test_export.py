# SPDX-License-Identifier: Apache-2.0
"""Export: the file keeps the contract, agrees with the network, and is checked before it is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from drawn_streets import draw_streets
from nan_depth import answer_nan
from tiny_recipe import tiny_recipe

from cast_ros.offline.evaluation.compare import Scores
from cast_ros.student import Student as RuntimeStudent
from cast_train.data import Sample, load_samples, open_dataset
from cast_train.data.camvid import CLASSES
from cast_train.engine.contract import build_contract
from cast_train.engine.fitting import fit
from cast_train.engine.trained import load_student
from cast_train.errors import ExportError, TrainingError
from cast_train.export.onnx import export_onnx
from cast_train.export.parity import LEAST_SEMANTIC_AGREEMENT, Parity, check_parity, relative_error
from cast_train.export.run import provenance_of
from cast_train.export.statistics import measure_statistics
from cast_train.models import Student
from cast_train.models.graph import StudentGraph, TorchStudent


@pytest.fixture(scope='module')
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    root: Path = tmp_path_factory.mktemp('streets')
    draw_streets(root, 'train', 'day', frames=3)
    return load_samples([open_dataset('streets', root, 'train', 'day')])


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned a little: with random weights every choice between queries hangs on rounding."""
    folder: Path = tmp_path_factory.mktemp('run')
    draw_streets(folder / 'streets', 'train', 'day', frames=3)
    quick = {'warmup_steps': 5, 'ema_decay': 0.5, 'learning_rate': 3e-3}
    fit(tiny_recipe(folder / 'streets', steps=80, optimizer=quick), folder / 'run', resume=False)
    return folder / 'run'


def test_an_exported_student_runs_on_the_robot_side_and_agrees(
    run: Path, samples: list[Sample], tmp_path: Path
) -> None:
    student, recipe, state = load_student(run)
    path = tmp_path / 'tiny.onnx'
    export_onnx(student.network, student.contract, path)
    with RuntimeStudent.load(path) as exported:
        assert exported.contract.name == 'tiny'
        assert exported.contract.class_names[:3] == ('road', 'sidewalk', 'building')
        assert exported.output_shapes == {
            'scores': (1, 50),
            'labels': (1, 50),
            'masks': (1, 50, 16, 32),
            'semantic': (1, 16, 32),
            'depth': (1, 16, 32),
        }
        ours, theirs = (each.predict(samples[0].image, fx_px=182.8) for each in (student, exported))
    assert ours.semantic is not None
    assert theirs.semantic is not None
    assert (ours.semantic == theirs.semantic).mean() > 0.999
    parity = check_parity(path, student, samples)
    parity.require(path)
    assert parity.relative_error <= 1e-3
    assert provenance_of(recipe, state)['steps'] == 80


def test_the_file_has_static_shapes_standard_operators_and_nothing_beside_it(run: Path, tmp_path: Path) -> None:
    student, _, _ = load_student(run)
    path = tmp_path / 'tiny.onnx'
    export_onnx(student.network, student.contract, path)
    model = onnx.load(path)
    assert {entry.domain for entry in model.opset_import} == {''}
    assert 17 <= model.opset_import[0].version <= 18
    for value in (*model.graph.input, *model.graph.output):
        assert all(dimension.dim_value > 0 for dimension in value.type.tensor_type.shape.dim)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [path.name] == [entry.name for entry in tmp_path.iterdir()]


def test_scores_are_sorted_products_of_class_and_mask_quality(run: Path) -> None:
    student, _, _ = load_student(run)
    graph = StudentGraph(student.network, (8, 9, 10))
    picture = torch.randint(0, 255, (1, 64, 128, 3), dtype=torch.uint8)
    with torch.no_grad():
        scores, labels, masks, _, _ = graph(picture)
        final = student.network(picture.permute(0, 3, 1, 2)).levels[-1]
    assert (scores[0].diff() <= 0).all()
    best = -1.0
    for query in range(64):
        inside = final.mask_logits[0, query] > 0
        quality = float(final.mask_logits[0, query].sigmoid()[inside].mean()) if inside.any() else 0.0
        best = max(best, *(float(final.class_logits[0, query].softmax(-1)[label]) * quality for label in (8, 9, 10)))
    assert scores[0, 0].item() == pytest.approx(best, rel=1e-4)
    assert set(labels[0].tolist()) <= {8, 9, 10}
    assert masks.shape == (1, 50, 16, 32)


def test_a_student_without_things_has_no_instance_outputs(tmp_path: Path, samples: list[Sample]) -> None:
    recipe = tiny_recipe(
        tmp_path,
        steps=1,
        data={
            'dataset': 'camvid',
            'root': str(tmp_path),
            'train': [{'split': 'train', 'domain': 'all'}],
            'validation': [{'split': 'val', 'domain': 'all'}],
        },
    )
    contract = build_contract(recipe, CLASSES)
    assert contract.outputs == ('semantic', 'depth')
    student = TorchStudent(Student('nano', len(CLASSES), ()).eval(), contract)
    export_onnx(student.network, contract, tmp_path / 'x.onnx')
    with RuntimeStudent.load(tmp_path / 'x.onnx') as exported:
        answer = exported.predict(samples[0].image)
    assert answer.boxes is None
    assert answer.semantic is not None
    assert answer.depth is not None


def test_a_disagreeing_file_is_found(run: Path, samples: list[Sample], tmp_path: Path) -> None:
    student, _, _ = load_student(run)
    path = tmp_path / 'tiny.onnx'
    export_onnx(student.network, student.contract, path)
    with torch.no_grad():
        student.network.depth.out.bias += 0.1
    parity = check_parity(path, student, samples[:1])
    assert parity.relative_error == pytest.approx(1 - np.exp(-0.1), rel=0.3)
    with pytest.raises(ExportError, match='do not use this file'):
        parity.require(path)


def test_a_file_that_answers_nan_is_refused(run: Path, samples: list[Sample], tmp_path: Path) -> None:
    student, _, _ = load_student(run)
    path = tmp_path / 'tiny.onnx'
    export_onnx(student.network, student.contract, path)
    answer_nan(path)
    parity = check_parity(path, student, samples[:1])
    assert parity.relative_error == np.inf
    with pytest.raises(ExportError, match='outputs differ from the network by inf'):
        parity.require(path)


def test_one_value_that_is_not_finite_is_an_infinite_error() -> None:
    masks = np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype(np.float32)
    network = {
        'scores': np.array([[0.9, 0.5]]),
        'labels': np.array([[1, 2]]),
        'masks': masks,
        'depth': np.ones((1, 4, 4)),
    }
    assert relative_error(network, network) == 0.0
    for value in (np.nan, np.inf, -np.inf):
        for name in ('scores', 'masks', 'depth'):
            broken = network[name].copy()
            broken.flat[-1] = value
            assert relative_error(network, {**network, name: broken}) == np.inf
            assert relative_error({**network, name: broken}, network) == np.inf
    empty = {**network, 'masks': np.full_like(masks, -8.0)}
    assert relative_error(empty, {**empty, 'scores': np.array([[0.9, np.nan]])}) == np.inf


def test_limits_are_not_held_by_nan_nor_by_other_classes() -> None:
    nothing = Scores(None, None, None)
    Parity(0.0, LEAST_SEMANTIC_AGREEMENT, 0.0, nothing).require(Path('x.onnx'))
    with pytest.raises(ExportError, match=r'x\.onnx: outputs differ from the network by nan'):
        Parity(np.nan, 1.0, None, nothing).require(Path('x.onnx'))
    with pytest.raises(ExportError, match='AP differs from the network by nan points'):
        Parity(0.0, 1.0, np.nan, nothing).require(Path('x.onnx'))
    with pytest.raises(ExportError, match=r'x\.onnx: 98\.50 % of the pixels .*\(limit 99\); do not use this file'):
        Parity(0.0, 0.985, None, nothing).require(Path('x.onnx'))
    with pytest.raises(ExportError, match='nan % of the pixels'):
        Parity(0.0, np.nan, None, nothing).require(Path('x.onnx'))


def test_an_ap_gap_is_found_and_swapped_equal_rows_are_no_error() -> None:
    with pytest.raises(ExportError, match=r'differs from the network by 1\.00 points'):
        Parity(0.0, 1.0, 0.01, Scores(None, None, None)).require(Path('x.onnx'))
    masks = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)
    one = {
        'scores': np.array([[0.9, 0.5, 0.5]]),
        'labels': np.array([[1, 2, 2]]),
        'masks': masks,
        'depth': np.ones((1, 4, 4)),
    }
    swapped = {**one, 'masks': masks[:, [0, 2, 1]]}
    assert relative_error(one, swapped) == 0.0
    assert relative_error(one, {**one, 'masks': masks[:, [1, 0, 2]]}) > 0.1
    twice = {
        **one,
        'scores': np.array([[0.9, 0.9, 0.5]]),
        'labels': np.array([[1, 1, 2]]),
        'masks': masks[:, [0, 0, 2]],
    }
    assert relative_error(one, twice) > 0.1


def test_a_score_may_jump_with_a_cell_of_its_mask_that_rounding_moves_across_zero() -> None:
    masks = np.full((1, 3, 4, 4), -8.0, dtype=np.float32)
    masks[0, 0, :2], masks[0, 1, 2:] = 8.0, 8.0
    masks[0, 1, 0, 0] = 1e-6
    network = {'scores': np.array([[0.9, 0.6, 0.1]]), 'labels': np.array([[1, 2, 1]]), 'masks': masks}
    moved = masks.copy()
    moved[0, 1, 0, 0] = -1e-6
    jumped = {**network, 'scores': np.array([[0.9, 0.63, 0.1]]), 'masks': moved}
    assert relative_error(network, jumped) < 1e-6
    assert relative_error(network, {**jumped, 'scores': np.array([[0.9, 0.75, 0.1]])}) == np.inf
    assert relative_error(network, {**jumped, 'labels': np.array([[1, 3, 1]])}) == np.inf
    sure = masks.copy()
    sure[0, 1, 0, 0] = -8.0
    assert relative_error({**network, 'masks': sure}, {**jumped, 'masks': sure}) == np.inf


def test_of_empty_masks_any_may_be_among_the_best() -> None:
    """A picture in which a network sees nothing: all scores are 0, and rounding does not even decide the order."""
    nothing = {'scores': np.zeros((1, 2)), 'labels': np.array([[1, 1]])}
    network = {**nothing, 'masks': np.array([[[[-4.0, -8.0]], [[-4.0, -7.0]]]])}
    file = {**nothing, 'masks': np.array([[[[-4.0, -1.0]], [[-6.0, -7.0]]]])}
    assert relative_error(network, file) == 0.0
    # Nothing is no answer to something.
    seen = {**network, 'scores': np.array([[0.9, 0.0]]), 'masks': np.array([[[[8.0, -8.0]], [[-4.0, -7.0]]]])}
    assert relative_error(seen, file) == np.inf
    assert relative_error(file, seen) == np.inf
    assert relative_error(network, {**file, 'scores': np.array([[0.9, 0.0]])}) == np.inf


def test_statistics_describe_the_pictures(run: Path, samples: list[Sample]) -> None:
    student, _, _ = load_student(run)
    found = measure_statistics(student, samples)
    assert found.luminance_mean == pytest.approx(
        np.mean([s.image @ [0.299, 0.587, 0.114] / 255 for s in samples]), abs=1e-6
    )
    assert sum(found.luminance_histogram) == pytest.approx(1.0)
    assert found.entropy_mean is not None
    assert found.entropy_mean > 0


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r'last\.pt: no such checkpoint'):
        load_student(tmp_path)
