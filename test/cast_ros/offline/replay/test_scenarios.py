# SPDX-License-Identifier: Apache-2.0
"""Criteria that hold, that fail, and files that say nonsense."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from drawn_replay import write_street_bag

from cast_ros.errors import ReplayError
from cast_ros.offline.replay.scenarios import read_scenarios, run_scenarios


def write(folder: Path, student: Path, *scenarios: dict[str, object]) -> Path:
    path = folder / 'scenarios.yaml'
    path.write_text(yaml.safe_dump({'models': [str(student)], 'scenarios': list(scenarios)}, sort_keys=False))
    return path


def test_criteria_are_judged_and_told_in_junit(tmp_path: Path, student: Path, street_bag: Path) -> None:
    criteria = {
        'instances.ap50': {'at_least': 0.9},
        'depth.abs_rel': {'at_most': 0.001},
        'semantic.per_class.car': {'at_least': 0.5, 'at_most': 1.0},
        'bag.undecodable': {'at_most': 0},
    }
    path = write(tmp_path, student, {'name': 'by day', 'bag': str(street_bag), 'criteria': criteria})
    verdicts = run_scenarios(path, tmp_path / 'out')
    assert [(verdict.figure, verdict.passed) for verdict in verdicts] == [
        ('instances.ap50', True),
        ('depth.abs_rel', False),
        ('semantic.per_class.car', True),
        ('bag.undecodable', True),
    ]
    suites = ElementTree.parse(tmp_path / 'out' / 'junit.xml').getroot()
    assert (suites.get('tests'), suites.get('failures')) == ('4', '1')
    failure = suites.find('.//testcase[@name="depth.abs_rel"]/failure')
    assert failure is not None
    assert 'must be at most 0.001' in str(failure.get('message'))
    assert (tmp_path / 'out' / 'by-day' / 'report.html').exists()


def test_a_bag_that_is_missing_fails_its_own_scenario_alone(tmp_path: Path, student: Path, street_bag: Path) -> None:
    criteria = {'bag.pictures': {'at_least': 1}}
    path = write(
        tmp_path,
        student,
        {'name': 'gone', 'bag': 'gone.mcap', 'criteria': criteria},
        {'name': 'here', 'bag': str(street_bag), 'criteria': criteria},
    )
    gone, here = run_scenarios(path, tmp_path / 'out')
    assert (gone.passed, here.passed) == (False, True)
    assert 'does not exist' in gone.problem


@pytest.mark.parametrize(
    ('figure', 'reason'),
    [
        ('instances.ap_50', "no figure 'instances.ap_50'; did you mean 'ap50'"),
        ('speed', "no figure 'speed'; known are: .*instances"),
        ('instances', 'no single number'),
    ],
)
def test_a_figure_that_does_not_exist_fails_and_names_the_next(
    tmp_path: Path, student: Path, street_bag: Path, figure: str, reason: str
) -> None:
    path = write(tmp_path, student, {'name': 'x', 'bag': str(street_bag), 'criteria': {figure: {'at_least': 0}}})
    (verdict,) = run_scenarios(path, tmp_path / 'out')
    assert not verdict.passed
    assert re.search(reason, verdict.problem)
    assert (tmp_path / 'out' / 'junit.xml').exists()


@pytest.mark.parametrize(
    ('told', 'said'), [({}, 'K: K and P are equal'), ({'rectified': True}, 'P: rectified is true')]
)
def test_a_scenario_may_say_that_its_pictures_are_rectified(
    tmp_path: Path, student: Path, street_bag: Path, told: dict[str, object], said: str
) -> None:
    criteria = {'bag.pictures': {'at_least': 1}}
    path = write(tmp_path, student, {'name': 'x', 'bag': str(street_bag), 'criteria': criteria, **told})
    run_scenarios(path, tmp_path / 'out')
    assert json.loads((tmp_path / 'out' / 'x' / 'metrics.json').read_text())['bag']['intrinsics'] == said


def test_a_damaged_bag_fails_unless_that_is_allowed(tmp_path: Path, student: Path) -> None:
    whole = write_street_bag(tmp_path / 'whole.mcap', 40)
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    for allowed in (False, True):
        scenario = {
            'name': 'x',
            'bag': str(cut),
            'criteria': {'bag.pictures': {'at_least': 5}},
            'allow_damage': allowed,
        }
        verdicts = run_scenarios(write(tmp_path, student, scenario), tmp_path / 'out')
        assert all(verdict.passed for verdict in verdicts) is allowed


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        ('', 'the file'),
        ('[1, 2', 'cannot be read as YAML'),
        ('models: [a.onnx]\nscenarios: []', 'scenarios'),
        ('models: [a.onnx]\nscenarios: [{name: a, bag: b, criteria: {x: {}}}]', 'needs at_least or at_most'),
        ('models: [a.onnx]\nscenarios: [{name: a, bag: b, criteria: {x: {at_lest: 1}}}]', 'at_lest'),
        (
            'models: [a.onnx]\nscenarios: [{name: a, bag: b, criteria: {x: {at_most: 1}}}, '
            '{name: a, bag: c, criteria: {x: {at_most: 1}}}]',
            'a name of its own',
        ),
    ],
)
def test_nonsense_is_refused_with_its_place(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / 'scenarios.yaml'
    path.write_text(content)
    with pytest.raises(ReplayError, match=reason):
        read_scenarios(path)


def test_what_cannot_be_measured_fails(tmp_path: Path, student: Path) -> None:
    bag = write_street_bag(tmp_path / 'bag', 3, labels=False)
    path = write(tmp_path, student, {'name': 'x', 'bag': str(bag), 'criteria': {'instances.ap': {'at_least': 0}}})
    (verdict,) = run_scenarios(path, tmp_path / 'out')
    assert not verdict.passed
    assert 'no ground truth' in verdict.problem
