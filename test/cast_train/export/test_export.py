# SPDX-License-Identifier: Apache-2.0
"""Export: the file keeps the contract, agrees with the network, and is checked before it is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from drawn_streets import draw_streets
from nan_depth import answer_nan
from tiny_recipe import tiny_recipe
from tiny_run import untrained
from torch import Tensor, nn

from cast_ros.student import Student
from cast_train.data import Sample, load_samples, open_dataset
from cast_train.data.camvid import CLASSES
from cast_train.engine.fitting import fit
from cast_train.engine.trained import load_student
from cast_train.errors import ExportError, TrainingError
from cast_train.export.onnx import export_onnx
from cast_train.export.parity import Parity, check_parity, errors_of
from cast_train.export.run import provenance_of
from cast_train.export.statistics import measure_statistics
from cast_train.models import StudentNetwork
from cast_train.models.graph import StudentGraph, TorchStudent, mask_quality
from cast_train.models.queries import QueryPrediction
from cast_train.models.student import StudentOutput


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
    with Student.load(path) as exported:
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
    # A cell, which rounding may give another class, is 0.2 % of the picture; check_parity judges each.
    assert (ours.semantic == theirs.semantic).mean() > 0.995
    parity = check_parity(path, student, samples)
    parity.require(path)
    assert max(parity.file.values()) <= 1e-3
    assert parity.file.keys() == {'depth', 'semantic', 'instances'}
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
    contract = recipe.contract_for(CLASSES)
    assert contract.outputs == ('semantic', 'depth')
    student = TorchStudent(StudentNetwork('nano', len(CLASSES), ()).eval(), contract)
    export_onnx(student.network, contract, tmp_path / 'x.onnx')
    with Student.load(tmp_path / 'x.onnx') as exported:
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
    assert parity.file['depth'] == pytest.approx(1 - np.exp(-0.1), rel=0.3)
    assert parity.network['depth'] < 1e-5
    with pytest.raises(ExportError, match='do not use this file'):
        parity.require(path)


def enlarge(network: StudentNetwork) -> None:
    """All weights half as large again: after so many layers, everything saturates."""
    for parameter in network.parameters():
        parameter.mul_(1.5)


def blow_up_heads(network: StudentNetwork) -> None:
    """Ten times the weights behind the backbone: heat, classes and masks all saturate."""
    for name, parameter in network.named_parameters():
        if not name.startswith('backbone.'):
            parameter.mul_(10)


def test_a_file_may_be_off_by_a_multiple_of_what_its_network_is_off_by_in_float32() -> None:
    assert Parity({'depth': 0.03}, {'depth': 1e-3}).unexplained is None
    assert Parity({'depth': 0.9e-3}, {'depth': 1e-7}).unexplained is None
    assert Parity({'depth': 1.1e-3}, {'depth': 1e-7}).unexplained == (
        '1.10e-03 in depth (float32 alone: 1.00e-07, limit 1.00e-03)'
    )
    too_far = Parity({'semantic': 0.0, 'depth': 0.04}, {'semantic': 0.0, 'depth': 1e-3})
    assert too_far.unexplained == '4.00e-02 in depth (float32 alone: 1.00e-03, limit 3.10e-02)'
    with pytest.raises(
        ExportError, match=r'off\.onnx: outputs differ from the network by 4\.00e-02 in depth .*do not use'
    ):
        too_far.require(Path('off.onnx'))


@pytest.mark.parametrize('explode', [enlarge, blow_up_heads])
def test_a_student_whose_weights_exploded_is_exportable(
    explode: Callable[[StudentNetwork], None], samples: list[Sample], tmp_path: Path
) -> None:
    """Its file is as good as float32 permits, on every processor."""
    network, contract = untrained(tmp_path)
    with torch.no_grad():
        explode(network)
    path = tmp_path / 'exploded.onnx'
    export_onnx(network, contract, path)
    parity = check_parity(path, TorchStudent(network, contract), samples)
    parity.require(path)
    # And a file of other weights is still found.
    with torch.no_grad():
        network.decoder.classify.weight.copy_(network.decoder.classify.weight.flip(0))
    with pytest.raises(ExportError, match='do not use this file'):
        check_parity(path, TorchStudent(network, contract), samples).require(path)


def swap_channels(network: StudentNetwork) -> None:
    first = next(module for module in network.backbone.modules() if isinstance(module, nn.Conv2d))
    first.weight.copy_(first.weight.flip(1))


def forget_normalisation(network: StudentNetwork) -> None:
    network.mean.zero_()
    network.std.fill_(1.0)


def forget_statistics(network: StudentNetwork) -> None:
    for module in network.pyramid.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()


def change_a_weight(network: StudentNetwork) -> None:
    network.decoder.classify.weight.mul_(1.02)


@pytest.mark.parametrize('spoil', [swap_channels, forget_normalisation, forget_statistics, change_a_weight])
def test_a_file_of_other_weights_is_refused(
    spoil: Callable[[StudentNetwork], None], run: Path, samples: list[Sample], tmp_path: Path
) -> None:
    student, _, _ = load_student(run)
    with torch.no_grad():
        other = copy.deepcopy(student.network)
        spoil(other)
    path = tmp_path / 'other.onnx'
    export_onnx(other, student.contract, path)
    with pytest.raises(ExportError, match='do not use this file'):
        check_parity(path, student, samples[:1]).require(path)


def test_a_file_that_answers_nan_is_refused(run: Path, samples: list[Sample], tmp_path: Path) -> None:
    student, _, _ = load_student(run)
    path = tmp_path / 'tiny.onnx'
    export_onnx(student.network, student.contract, path)
    answer_nan(path)
    parity = check_parity(path, student, samples[:1])
    assert parity.file['depth'] == np.inf
    with pytest.raises(ExportError, match='outputs differ from the network by inf in depth'):
        parity.require(path)


def truth_of(masks: np.ndarray, probabilities: np.ndarray, depth: float = 1.0) -> StudentOutput:
    """What float64 says: masks N×h×w, and how likely each query is of classes 0, 1, …; the last one is no object."""
    logits = torch.from_numpy(np.log(np.maximum(probabilities, 1e-30)))[None]
    planes = torch.tensor(masks, dtype=torch.float64)[None]
    log_depth = torch.full((1, *planes.shape[-2:]), np.log(depth), dtype=torch.float64)
    return StudentOutput(
        [QueryPrediction(logits, planes, planes.new_zeros(1, len(masks), 4))], None, log_depth, None, []
    )


def answer_of(truth: StudentOutput, pairs: list[tuple[int, int]], masks: np.ndarray | None = None) -> dict[str, Tensor]:
    """The outputs of a graph that chooses these (query, class) pairs, perhaps with masks of its own."""
    final = truth.levels[-1]
    rows = final.mask_logits[0, [query for query, _ in pairs]] if masks is None else torch.from_numpy(masks)
    classes = torch.tensor([label for _, label in pairs])
    chances = final.class_logits[0].softmax(-1)[[query for query, _ in pairs], classes]
    answer = {'scores': chances * mask_quality(rows), 'labels': classes, 'masks': rows}
    dense = {'semantic': truth.class_scores()[0].argmax(0).to(torch.uint8), 'depth': truth.log_depth[0].exp()}
    return {name: value[None].clone() for name, value in {**answer, **dense}.items()}


THINGS = torch.tensor([1, 2, 3])
# Query 0 is class 1, query 1 is class 2, query 2 is class 2 or 3; the last column is no object.
LIKELY = np.array([[0, 0.9, 0, 0, 0.1], [0, 0, 0.6, 0, 0.4], [0, 0, 0.5, 0.1, 0.4]])
BEST = [(0, 1), (1, 2), (2, 2)]


def halves() -> np.ndarray:
    """Masks of three queries: the upper half, the lower half, and a column."""
    masks = np.full((3, 4, 4), -8.0)
    masks[0, :2], masks[1, 2:], masks[2, :, 1] = 8.0, 8.0, 8.0
    return masks


def error_of(truth: StudentOutput, answer: dict[str, Tensor]) -> float:
    return max(errors_of(answer, truth, THINGS).values())


def test_one_value_that_is_not_finite_is_an_infinite_error() -> None:
    truth = truth_of(halves(), LIKELY)
    answer = answer_of(truth, BEST)
    assert error_of(truth, answer) < 1e-12
    for value in (np.nan, np.inf, -np.inf):
        for name in ('scores', 'masks', 'depth'):
            broken = {**answer, name: answer[name].clone()}
            broken[name].view(-1)[-1] = value
            assert error_of(truth, broken) == np.inf, name
        broken_masks = halves()
        broken_masks[-1, -1, -1] = value
        assert error_of(truth_of(broken_masks, LIKELY), answer) == np.inf
        assert error_of(truth_of(halves(), LIKELY, depth=value if value > 0 else np.nan), answer) == np.inf
    empty = truth_of(np.full((3, 4, 4), -8.0), LIKELY)
    nothing = answer_of(empty, BEST)
    nothing['scores'][0, -1] = np.nan
    assert error_of(empty, nothing) == np.inf


def test_a_file_may_be_thirty_times_as_far_off_as_float32_and_a_thousandth() -> None:
    Parity({'depth': 0.0309}, {'depth': 0.001}).require(Path('x.onnx'))
    with pytest.raises(
        ExportError,
        match=r'x\.onnx: outputs differ from the network by 3\.11e-02 in depth \(float32 alone: 1\.00e-03, '
        r'limit 3\.10e-02\); do not use this file',
    ):
        Parity({'depth': 0.0311}, {'depth': 0.001}).require(Path('x.onnx'))


@pytest.mark.parametrize('name', ['depth', 'semantic', 'instances'])
def test_limits_are_not_held_by_nan_nor_moved_by_a_network_that_is_not_finite(name: str) -> None:
    good = {'depth': 0.0, 'semantic': 0.0, 'instances': 0.0}
    Parity(good, good).require(Path('x.onnx'))
    for file, network in ((np.nan, 0.0), (0.0, np.nan), (np.inf, np.inf), (0.0, np.inf)):
        with pytest.raises(ExportError, match=f'x.onnx: outputs differ from the network by .* in {name} '):
            Parity({**good, name: file}, {**good, name: network}).require(Path('x.onnx'))


def test_a_class_is_wrong_by_how_far_float64_puts_it_below_the_best() -> None:
    masks = halves()
    masks[1] = masks[0] + 1e-6
    truth = truth_of(masks, np.array([[0, 0.6, 0, 0, 0.4], [0, 0, 0.6, 0, 0.4], [0, 0, 0, 0.1, 0.9]]))
    answer = answer_of(truth, BEST)
    assert answer['semantic'][0, 0, 0] == 2
    answer['semantic'][0, 0, 0] = 1
    assert 0 < errors_of(answer, truth, THINGS)['semantic'] < 1e-6
    answer['semantic'][0, 0, 0] = 3
    assert errors_of(answer, truth, THINGS)['semantic'] == pytest.approx(1.0, abs=0.2)


def test_swapped_equal_rows_are_no_error_and_each_detection_counts_once() -> None:
    likely = np.array([[0, 0.9, 0, 0, 0.1], [0, 0, 0.5, 0, 0.5], [0, 0, 0.5, 0, 0.5]])
    masks = halves()
    masks[2] = masks[1].T
    truth = truth_of(masks, likely)
    assert error_of(truth, answer_of(truth, [(0, 1), (2, 2), (1, 2)])) < 1e-12
    exchanged = answer_of(truth, BEST, masks[[1, 0, 2]])
    assert error_of(truth, exchanged) > 0.1
    assert error_of(truth, answer_of(truth, [(0, 1), (0, 1), (2, 2)])) > 0.1


def test_a_detection_must_not_be_missing_unless_its_score_is_the_last_one_or_hangs_on_rounding() -> None:
    masks = np.concatenate([halves(), halves()[:1].transpose(0, 2, 1)])
    likely = np.concatenate([LIKELY, [[0, 0, 0, 0.8, 0.2]]])
    truth = truth_of(masks, likely)
    # Query 3 is the second best; the last one's score is 0.5.
    assert error_of(truth, answer_of(truth, BEST)) == pytest.approx(0.3, abs=0.01)
    likely[3, 3:] = 0.5
    assert error_of(truth_of(masks, likely), answer_of(truth_of(masks, likely), BEST)) < 1e-3
    # Its only cell is within rounding of zero: in float32 it may be empty, and its score 0.
    likely[3] = [0, 0, 0, 1, 0]
    masks[3] = -8.0
    masks[3, 0, 0] = 1e-6
    likely[2] = [0, 0, 0.1, 0, 0.9]
    close = truth_of(masks, likely)
    assert error_of(close, answer_of(close, BEST)) < 1e-6
    masks[3, 0, 0] = 1.0
    sure = truth_of(masks, likely)
    assert error_of(sure, answer_of(sure, BEST)) > 0.5


def test_a_score_may_jump_with_a_cell_of_its_mask_that_rounding_moves_across_zero() -> None:
    masks = halves()
    masks[1, 0, 0] = 1e-6
    truth = truth_of(masks, LIKELY)
    moved = masks.copy()
    moved[1, 0, 0] = -1e-6
    jumped = answer_of(truth, BEST, moved)
    assert jumped['scores'][0, 1] - answer_of(truth, BEST)['scores'][0, 1] > 0.03
    assert error_of(truth, jumped) < 1e-6
    further = {**jumped, 'scores': jumped['scores'] + torch.tensor([[0.0, 0.12, 0.0]])}
    assert error_of(truth, further) > 0.1
    assert error_of(truth, {**jumped, 'labels': torch.tensor([[1, 3, 2]])}) > 0.1
    sure = masks.copy()
    sure[1, 0, 0] = -8.0
    truth = truth_of(sure, LIKELY)
    answer = answer_of(truth, BEST)
    assert error_of(truth, {**answer, 'scores': answer_of(truth, BEST, masks)['scores']}) > 0.03


def test_of_empty_masks_any_may_be_among_the_best() -> None:
    """A picture in which a network sees nothing: all scores are 0, and rounding does not even decide the order."""
    masks = np.array([[[-4.0, -8.0]], [[-4.0, -7.0]], [[-4.0, -1.0]], [[-6.0, -7.0]]])
    likely = np.tile(LIKELY[:1], (4, 1))
    empty = truth_of(masks, likely)
    assert error_of(empty, answer_of(empty, [(2, 1), (3, 1)])) < 1e-12
    # Nothing is no answer to something.
    masks[0, 0, 0] = 8.0
    seen = truth_of(masks, likely)
    assert error_of(seen, answer_of(seen, [(2, 1), (3, 1)])) > 0.8
    assert error_of(empty, answer_of(seen, [(0, 1), (1, 1)])) > 0.8
    scored = answer_of(empty, [(0, 1), (1, 1)])
    scored['scores'][0, 0] = 0.9
    assert error_of(empty, scored) > 0.8


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
