# SPDX-License-Identifier: Apache-2.0
"""int8: 8-bit convolutions where they were meant, the contract kept, and a file that loses too much is not written."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from drawn_streets import draw_streets
from tiny_recipe import tiny_recipe
from tiny_student import tiny_student

from cast_ros.student import Student
from cast_train.data import Sample, load_samples, open_dataset
from cast_train.engine.fitting import fit
from cast_train.engine.trained import load_student
from cast_train.errors import ExportError
from cast_train.export import int8
from cast_train.export.calibration_pictures import CalibrationPictures, Labelled, pictures_of_samples
from cast_train.export.int8 import Judgement, export_int8, int8_beside
from cast_train.export.onnx import export_onnx
from cast_train.export.quantisation import quantise
from cast_train.export.speed import compare_speed, cpu_in_words


class Case(NamedTuple):
    """A float student that has learned a little, and pictures like those it learned from."""

    model: Path
    samples: list[Sample]
    calibration: CalibrationPictures


@pytest.fixture(scope='module')
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder: Path = tmp_path_factory.mktemp('int8')
    draw_streets(folder / 'streets', 'train', 'day', frames=3)
    quick = {'warmup_steps': 5, 'ema_decay': 0.5, 'learning_rate': 3e-3}
    fit(tiny_recipe(folder / 'streets', steps=80, optimizer=quick), folder / 'run', resume=False)
    student, _, _ = load_student(folder / 'run')
    export_onnx(student.network, student.contract, folder / 'tiny.onnx')
    samples = load_samples([open_dataset('streets', folder / 'streets', 'train', 'day')])
    calibration = pictures_of_samples(samples, 'drawn streets', 3, student.contract.input)
    return Case(folder / 'tiny.onnx', samples, calibration)


@pytest.fixture
def useless(case: Case) -> CalibrationPictures:
    """Of the mean colour nothing is left once it is normalised, so that its ranges cut off every real picture."""
    grey = np.broadcast_to(np.array([124, 116, 104], np.uint8), case.calibration.inputs[0].shape)
    return CalibrationPictures((np.ascontiguousarray(grey),), 'a picture of the mean colour')


def test_backbone_and_pyramid_are_in_eight_bits_and_the_rest_in_float(case: Case) -> None:
    model = quantise(case.model, case.calibration.inputs)
    made_by = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type == 'Conv':
            in_eight_bits = node.name.startswith(('/student/backbone/', '/student/pyramid/'))
            # The bias too: with one in float onnxruntime computes the whole convolution in float.
            for name in node.input[1:]:
                source = made_by.get(name)
                assert (source is not None and source.op_type == 'DequantizeLinear') == in_eight_bits, node.name
    weights = [one for one in model.graph.initializer if one.name.endswith('_quantized') and len(one.dims) == 4]
    scales = {one.name: one for one in model.graph.initializer}
    assert weights
    for weight in weights:
        values = onnx.numpy_helper.to_array(weight)
        assert values.dtype == np.int8
        assert np.abs(values.astype(int)).max() <= 64
        assert scales[weight.name.replace('_quantized', '_scale')].dims == [weight.dims[0]]
    assert [entry.domain for entry in model.opset_import] == ['']
    assert list(model.metadata_props) == list(onnx.load(case.model).metadata_props)
    onnx.checker.check_model(model)


def test_a_file_that_loses_little_is_written_with_contract_and_card(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three pictures judge coarsely: AP fell by 0.007, 0.000 and 0.061 with the kernels default, avx2 and avx512.
    monkeypatch.setattr(int8, 'LARGEST_FALL', 0.15)
    out = tmp_path / 'tiny-int8.onnx'
    result = export_int8(case.model, out, case.calibration, Labelled(case.samples, 'drawn streets'))
    judgement = result.judgement
    assert judgement is not None
    assert judgement.fall < 0.15
    assert judgement.before['miou'] - judgement.after['miou'] < 0.05
    assert result.is_written
    assert 'drawn streets, 3 pictures, float -> int8: ap ' in result.summary
    assert {path.name for path in tmp_path.iterdir()} == {'tiny-int8.onnx', 'tiny-int8.md'}
    with Student.load(case.model) as before, Student.load(out) as after:
        assert after.contract.provenance['precision'] == 'int8'
        assert after.contract.provenance['float_sha256'] == before.sha256
        assert after.contract.provenance['calibrated_on'] == '3 pictures of drawn streets'
        assert after.contract.version == '0.0.1+int8'
        assert after.contract.metrics == {'data': 'drawn streets', 'pictures': 3, **judgement.after}
        assert after.contract.classes == before.contract.classes
        assert after.output_shapes == before.output_shapes
        depths = [each.predict(case.samples[0].image).depth for each in (before, after)]
    assert depths[0] is not None
    assert depths[1] is not None
    known = np.isfinite(depths[0]) & np.isfinite(depths[1])
    assert np.median(np.abs(depths[1][known] / depths[0][known] - 1)) < 0.1
    assert out.stat().st_size < case.model.stat().st_size
    card = out.with_suffix('.md')
    text = card.read_text()
    assert f'| miou | {judgement.before["miou"]:.4f} | {judgement.after["miou"]:.4f} |' in text
    assert 'Calibrated on 3 pictures of drawn streets, without labels.' in text
    assert f'ratio {result.speed.ratio:.2f}' in text
    assert 'by force' not in text
    card.write_text(text.replace('Nobody has looked yet.', 'Masks are ragged.'))
    export_int8(case.model, out, case.calibration, None, force=True)
    assert 'Masks are ragged.' in card.read_text()
    assert 'Not judged' in card.read_text()
    with Student.load(out) as unjudged:
        assert unjudged.contract.metrics == {}


def test_a_file_that_loses_too_much_is_not_written_unless_forced(
    case: Case, useless: CalibrationPictures, tmp_path: Path
) -> None:
    out, labelled = tmp_path / 'tiny-int8.onnx', Labelled(case.samples, 'drawn streets')
    out.write_bytes(b'an older file')
    result = export_int8(case.model, out, useless, labelled)
    assert result.judgement is not None
    assert result.judgement.fall > 0.02
    assert not result.is_written
    assert out.read_bytes() == b'an older file'
    assert f'{out} is NOT written: ' in result.summary
    assert [path.name for path in tmp_path.iterdir()] == ['tiny-int8.onnx']
    forced = export_int8(case.model, out, useless, labelled, force=True)
    assert forced.is_written
    assert 'It was written by force.' in out.with_suffix('.md').read_text()


def test_what_cannot_be_quantised_or_judged_is_refused(case: Case, tmp_path: Path) -> None:
    out = tmp_path / 'x.onnx'
    with pytest.raises(ExportError, match='nobody knows what int8 costs; name a split'):
        export_int8(case.model, out, case.calibration, None)
    with pytest.raises(ExportError, match='is the float file; name another'):
        export_int8(case.model, case.model, case.calibration, None, force=True)
    with pytest.raises(ExportError, match='ranges cannot be measured without a picture'):
        quantise(case.model, [])
    with pytest.raises(ExportError, match='has no convolution below /student/backbone/'):
        quantise(tiny_student(tmp_path / 'tiny.onnx'), case.calibration.inputs)
    onnx.save(quantise(case.model, case.calibration.inputs[:1]), tmp_path / 'twice.onnx')
    with pytest.raises(ExportError, match='is quantised already'):
        quantise(tmp_path / 'twice.onnx', case.calibration.inputs)
    assert not out.exists()


@pytest.mark.parametrize(
    ('before', 'after', 'figure', 'holds'),
    [
        ({'ap': 0.30, 'miou': 0.7}, {'ap': 0.2951, 'miou': 0.5}, 'ap', True),
        ({'ap': 0.30, 'miou': 0.7}, {'ap': 0.2949, 'miou': 0.7}, 'ap', False),
        ({'ap': 0.30}, {'ap': 0.31}, 'ap', True),
        ({'miou': 0.7, 'abs_rel': 0.1}, {'miou': 0.694, 'abs_rel': 0.1}, 'miou', False),
        ({'ap': 0.0, 'miou': 0.7}, {'ap': 0.0, 'miou': 0.5}, 'miou', False),
    ],
)
def test_the_rule_is_half_a_point_of_ap(
    before: dict[str, float], after: dict[str, float], figure: str, holds: bool
) -> None:
    judgement = Judgement('x', 1, before, after)
    assert (judgement.figure, judgement.holds) == (figure, holds)


def test_a_float_file_that_finds_nothing_judges_nothing() -> None:
    with pytest.raises(ExportError, match='nothing can be judged'):
        _ = Judgement('x', 1, {'ap': 0.0, 'abs_rel': 0.1}, {'ap': 0.0, 'abs_rel': 0.1}).holds


def test_the_file_lies_beside_the_float_file() -> None:
    assert int8_beside(Path('models/streets.small.onnx')) == Path('models/streets.small-int8.onnx')


def test_speed_is_a_ratio_of_interleaved_runs(tmp_path: Path) -> None:
    small, large = (tiny_student(tmp_path / f'{size}.onnx', height=size, width=2 * size) for size in (64, 512))
    alike = compare_speed(small, small)
    assert 0.4 < alike.ratio < 2.5
    assert alike.before_ms > 0
    with pytest.raises(Exception, match='Got invalid dimensions'):
        compare_speed(small, large)
    assert cpu_in_words()
