# SPDX-License-Identifier: Apache-2.0
"""The contract: what it accepts, what it refuses, and what it says then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from cast_ros.errors import StudentError
from cast_ros.student import StudentContract

COMPLETE: dict[str, Any] = {
    'schema': '1.0',
    'name': 'streets-small',
    'version': '1.2.0',
    'license': 'Apache-2.0',
    'input': {'height': 256, 'width': 512, 'color_order': 'rgb', 'resize': 'letterbox'},
    'classes': [
        {'id': 0, 'name': 'road', 'is_thing': False, 'color': [128, 64, 128]},
        {'id': 1, 'name': 'sky', 'is_thing': False, 'color': [70, 130, 180]},
        {'id': 2, 'name': 'car', 'is_thing': True, 'color': [0, 0, 142]},
    ],
    'outputs': ['scores', 'labels', 'masks', 'semantic', 'depth'],
    'depth': {'unit': 'metre', 'cap_m': 80.0, 'focal_reference_px': 365.6},
    'provenance': {'recipe': 'small.yaml', 'seed': 7, 'data': ['streets/day']},
    'metrics': {'streets day val': {'ap50': 0.41}},
    'input_statistics': {'luminance_mean': 0.4, 'luminance_std': 0.2, 'luminance_histogram': [1 / 16] * 16},
}


def read(**changes: Any) -> StudentContract:
    """The complete contract with some fields replaced; a field set to ... is removed."""
    document = {key: value for key, value in {**COMPLETE, **changes}.items() if value is not ...}
    return StudentContract.from_json(json.dumps(document))


def classes(*names: str, things: tuple[str, ...] = ('car',)) -> list[dict[str, Any]]:
    return [{'id': i, 'name': name, 'is_thing': name in things, 'color': [0, 0, 0]} for i, name in enumerate(names)]


def test_reads_every_field_of_a_complete_contract() -> None:
    contract = read()
    assert (contract.name, contract.version, contract.license) == ('streets-small', '1.2.0', 'Apache-2.0')
    assert (contract.input.height, contract.input.width, contract.input.resize) == (256, 512, 'letterbox')
    assert contract.class_names == ('road', 'sky', 'car')
    assert (contract.thing_ids, contract.stuff_ids, contract.sky_id) == ((2,), (0, 1), 1)
    assert contract.class_named('car').color == (0, 0, 142)
    assert contract.heads == {'instances', 'semantic', 'depth'}
    assert contract.depth is not None
    assert contract.depth.focal_reference_px == 365.6
    assert contract.provenance['data'] == ['streets/day']
    assert contract.input_statistics is not None
    assert contract.input_statistics.luminance_histogram[3] == 1 / 16


def test_comes_back_unchanged_from_its_own_json() -> None:
    contract = read()
    assert StudentContract.from_json(contract.to_json()) == contract
    assert json.loads(contract.to_json())['schema'] == '1.0'


def test_a_newer_minor_version_with_fields_we_do_not_know_is_read() -> None:
    assert read(schema='1.7', quantization='int8').schema_version == '1.7'


@pytest.mark.parametrize('schema', ['2.0', '0.9', '10.0', 'one', ''])
def test_another_major_version_is_refused_before_its_fields_are_looked_at(schema: str) -> None:
    with pytest.raises(StudentError, match=r'schema .* this cast_ros reads 1\.x'):
        StudentContract.from_json(json.dumps({'schema': schema, 'nothing': 'else'}))


@pytest.mark.parametrize('schema', [..., None, 1.0, 1])
def test_a_version_that_is_no_text_is_refused(schema: Any) -> None:
    with pytest.raises(StudentError, match='no field "schema"'):
        read(schema=schema)


@pytest.mark.parametrize('text', ['', 'nonsense', '{"schema": "1.0"', '[]', 'null', '"1.0"', '\x00', '[' * 100_000])
def test_text_that_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(StudentError, match=r'the contract (is not JSON|must be a JSON object)'):
        StudentContract.from_json(text)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'name': ...}, 'name: Field required'),
        ({'name': ''}, 'name: .*at least 1 character'),
        ({'license': None}, 'license: '),
        ({'input': {'height': 250, 'width': 512}}, 'input.height: .*multiple of 4'),
        ({'input': {'height': 0, 'width': 512}}, 'input.height: .*greater than 0'),
        ({'input': {'height': 256, 'width': -4}}, 'input.width: .*greater than 0'),
        ({'input': {'height': 256, 'width': '512'}}, 'input.width: .*integer'),
        ({'input': {'height': 256, 'width': 512, 'color_order': 'bgr'}}, 'input.color_order: '),
        ({'input': {'height': 256, 'width': 512, 'resize': 'crop'}}, 'input.resize: '),
        ({'classes': []}, 'classes: .*at least 1'),
        ({'classes': classes('road', 'car')[1:]}, r'classes: ids must run from 0 without gaps, are \[1\]'),
        ({'classes': classes('road', 'car')[::-1]}, r'ids must run from 0 without gaps, are \[1, 0\]'),
        ({'classes': classes('car', 'car')}, 'names must be unique, twice: car'),
        ({'classes': [{**classes('car')[0], 'color': [0, 0, 256]}]}, 'classes.0.color.2: '),
        ({'classes': [{**classes('car')[0], 'color': [0, 0]}]}, 'classes.0.color.2: '),
        ({'classes': [{**classes('car')[0], 'is_thing': 1}]}, 'classes.0.is_thing: .*boolean'),
        ({'classes': classes('road', 'sky')}, 'outputs names instances, but no class is a thing'),
        ({'outputs': []}, 'outputs: '),
        ({'outputs': ['scores', 'labels', 'depth']}, 'outputs: scores, labels and masks come together, missing: masks'),
        ({'outputs': ['semantic', 'semantic', 'depth']}, 'outputs: names an output twice'),
        ({'outputs': ['boxes', 'depth']}, 'outputs.0: '),
        ({'depth': None}, 'depth must be described exactly when outputs names it'),
        ({'outputs': ['semantic']}, 'depth must be described exactly when outputs names it'),
        ({'depth': {'cap_m': 0, 'focal_reference_px': 300.0}}, 'depth.cap_m: .*greater than 0'),
        ({'depth': {'cap_m': 80.0, 'focal_reference_px': -1.0}}, 'depth.focal_reference_px: '),
        ({'depth': {'cap_m': 80.0, 'focal_reference_px': float('nan')}}, 'depth.focal_reference_px: '),
        ({'depth': {'cap_m': float('inf'), 'focal_reference_px': 300.0}}, 'depth.cap_m: '),
        ({'depth': {'unit': 'foot', 'cap_m': 80.0, 'focal_reference_px': 300.0}}, 'depth.unit: '),
        ({'metrics': [1]}, 'metrics: '),
        (
            {'input_statistics': {**COMPLETE['input_statistics'], 'luminance_histogram': [0.5, 0.5]}},
            'luminance_histogram: needs 16 bins, has 2',
        ),
        (
            {'input_statistics': {**COMPLETE['input_statistics'], 'luminance_histogram': [0.5] * 16}},
            'luminance_histogram: must sum to 1, sums to 8',
        ),
        ({'input_statistics': {**COMPLETE['input_statistics'], 'luminance_mean': 127.0}}, 'luminance_mean: '),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StudentError, match=message) as caught:
        read(**changes)
    assert '\n' not in str(caught.value)


def test_many_wrong_fields_stay_one_short_sentence() -> None:
    with pytest.raises(StudentError, match=r'\(and 4 more\)'):
        StudentContract.from_json('{"schema": "1.0", "depth": 3}')


def test_a_student_of_depth_alone_needs_no_thing() -> None:
    contract = read(classes=classes('road'), outputs=['depth'])
    assert contract.heads == {'depth'}
    assert contract.sky_id is None


def test_a_class_that_it_lacks_is_named_with_those_it_has() -> None:
    with pytest.raises(StudentError, match="'streets-small' has no class 'cat'; it knows road, sky, car"):
        read().class_named('cat')


def test_cannot_be_changed() -> None:
    contract = read()
    with pytest.raises(ValidationError, match='frozen'):
        contract.name = 'other'
