# SPDX-License-Identifier: Apache-2.0
"""Launch arguments, old, mistyped and for one of several cameras."""

from __future__ import annotations

import pytest

from cast_ros.errors import ParameterError
from cast_ros.nodes import launching
from cast_ros.nodes.parameters import PARAMETERS


def test_every_parameter_is_an_argument_of_its_name() -> None:
    known = launching.arguments()
    assert {row.name for row in PARAMETERS} <= set(known)
    assert known['output_size'][1] == ('', 'image', 'network')
    assert known['tracking'][1] == ('', 'true', 'false', 'True', 'False')
    assert known['device'][1] == ('', 'cpu', 'cuda', 'tensorrt', 'openvino')


def test_an_old_name_that_a_person_types_is_understood_and_named() -> None:
    values, said = launching.notices(['image:=/camera', 'namespace:=front'], {'image': '/camera', 'namespace': 'front'})
    assert values == {'image_topic': '/camera', 'perception_namespace': 'front'}
    assert said[0].startswith('argument image is image_topic now')
    assert len(said) == 2


def test_an_old_name_that_another_launch_file_sets_is_left_alone_and_named() -> None:
    values, said = launching.notices([], {'depth': 'false', 'points': ''})
    assert values == {}
    assert said == ["depth is 'false' elsewhere and not used here: our argument is depth_topic"]


@pytest.mark.parametrize(
    ('typed', 'nearest'),
    [('imgae_topic:=/x', 'image_topic'), ('treads:=2', 'threads'), ('score_treshold:=1', 'score_threshold')],
)
def test_a_mistyped_argument_is_told_the_nearest(typed: str, nearest: str) -> None:
    (sentence,) = launching.notices([typed], {})[1]
    assert sentence.endswith(f'did you mean {nearest}:= ?')


def test_arguments_of_other_launch_files_are_no_mistakes_of_ours() -> None:
    assert launching.notices(['slam:=true', 'world:=depot.sdf'], {'slam': 'true', 'world': 'depot.sdf'}) == ({}, [])


def test_device_and_providers_together_are_refused() -> None:
    with pytest.raises(ParameterError, match='device:=cpu and providers say the same thing twice'):
        launching.parameters({'device': 'cpu', 'providers': 'CPUExecutionProvider'})


@pytest.mark.parametrize(
    ('text', 'camera', 'value'),
    [('a', 'front', 'a'), ('{front: a, rear: b}', 'rear', 'b'), ('{front: a}', 'rear', ''), ('', 'front', '')],
)
def test_a_list_in_braces_is_read_for_one_camera(text: str, camera: str, value: str) -> None:
    assert launching.of_camera(text, camera) == value


@pytest.mark.parametrize('text', ['{front', '{a}', '{: b}', '{}'])
def test_a_list_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match='is no list of cameras such as'):
        launching.of_camera(text, 'front')


def test_cores_are_shared_unless_a_person_said_otherwise() -> None:
    assert launching.shared_threads({}, 3, 8) == {'threads': '2'}
    assert launching.shared_threads({}, 8, 4) == {'threads': '1'}
    assert launching.shared_threads({'threads': '5'}, 3, 8) == {}


def test_a_process_that_failed_ends_the_launch_with_an_error() -> None:
    launching.refuse_failure('cast replay', 0)
    launching.refuse_failure('cast replay', None)
    with pytest.raises(RuntimeError, match='cast replay ended with exit code 2'):
        launching.refuse_failure('cast replay', 2)
