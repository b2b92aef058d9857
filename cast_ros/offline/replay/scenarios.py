# SPDX-License-Identifier: Apache-2.0
"""`cast evaluate SCENARIOS.yaml`: bags with criteria that an answer has to meet, for the CI of a robot team.

    models: [models/streets-small.onnx]
    scenarios:
      - name: by day
        bag: bags/day.mcap
        criteria:
          instances.ap50: {at_least: 0.30}
          depth.abs_rel: {at_most: 0.20}
          bag.undecodable: {at_most: 0}

Paths are relative to the file. A criterion names a figure of metrics.json: a figure of each student, or with `bag.` in
front one of the bag.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cast_ros.errors import CastError, ReplayError
from cast_ros.files import replacing
from cast_ros.images.camera_info import Rectified
from cast_ros.offline.replay.evaluation import evaluate_bag
from cast_ros.offline.replay.run import ReplaySettings

JUNIT = 'junit.xml'


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra='forbid')


class Limits(_Document):
    """What a figure may be; at least one side."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode='after')
    def _limits_something(self) -> Limits:
        if self.at_least is None and self.at_most is None:
            raise ValueError('needs at_least or at_most')
        return self

    def holds(self, value: float) -> bool:
        """Whether the figure is within."""
        return not (
            math.isnan(value)
            or (self.at_least is not None and value < self.at_least)
            or (self.at_most is not None and value > self.at_most)
        )

    def __str__(self) -> str:
        parts = [
            f'{word} {limit:g}'
            for word, limit in (('at least', self.at_least), ('at most', self.at_most))
            if limit is not None
        ]
        return ' and '.join(parts)


class Scenario(_Document):
    """One bag and what is asked of the students on it."""

    name: str = Field(min_length=1)
    bag: Path
    topic: str | None = None
    camera_info_topic: str | None = None
    rectified: Rectified = 'auto'
    score_threshold: float = Field(default=0.5, ge=0.05, le=1)
    tracking: bool = False
    allow_damage: bool = False
    criteria: dict[str, Limits] = Field(min_length=1)

    @field_validator('rectified', mode='before')
    @classmethod
    def _as_yaml_reads_it(cls, value: Any) -> Any:
        return str(value).lower() if isinstance(value, bool) else value

    @property
    def folder_name(self) -> str:
        """Of its report."""
        return ''.join(letter if letter.isalnum() or letter in '-_' else '-' for letter in self.name)


class ScenarioFile(_Document):
    """All of them, and the students that have to meet them."""

    models: tuple[Path, ...] = Field(min_length=1)
    scenarios: tuple[Scenario, ...] = Field(min_length=1)

    @model_validator(mode='after')
    def _names_are_different(self) -> ScenarioFile:
        folders = [one.folder_name for one in self.scenarios]
        if len(set(folders)) != len(folders):
            raise ValueError('every scenario needs a name of its own, also in letters and digits alone')
        return self


@dataclass(frozen=True)
class Verdict:
    """Of one criterion on one scenario; `value` is None where there was nothing to measure, which is a failure too."""

    scenario: str
    student: str
    figure: str
    limits: str
    value: float | None
    passed: bool
    problem: str = ''


def read_scenarios(path: Path) -> ScenarioFile:
    """Read and check a file.

    Raises:
        ReplayError: it cannot be read or says something else than scenarios.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ReplayError(f'{path}: cannot be read as YAML: {" ".join(str(error).split())}') from error
    try:
        return ScenarioFile.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = '.'.join(str(part) for part in first['loc']) or 'the file'
        raise ReplayError(f'{path}: {where}: {first["msg"]}') from error


def run_scenarios(path: Path, out: Path, said: Callable[[str], None] = lambda line: None) -> list[Verdict]:
    """Replay every scenario into OUT/NAME and write OUT/junit.xml.

    A bag that cannot be read, and a figure that does not exist, fail their own scenario; the others run all the same.

    Raises:
        ReplayError: the file says nonsense, or the disk refuses.
    """
    file = read_scenarios(path)
    models = [path.parent / model for model in file.models]
    verdicts: list[Verdict] = []
    for scenario in file.scenarios:
        said(f'{scenario.name} ...')
        folder = out / scenario.folder_name
        settings = ReplaySettings(
            topic=scenario.topic,
            camera_info_topic=scenario.camera_info_topic,
            score_threshold=scenario.score_threshold,
            results_bag=False,
            tracking=scenario.tracking,
            rectified=scenario.rectified,
        )
        try:
            document = evaluate_bag(path.parent / scenario.bag, models, folder, settings).document
        except CastError as error:
            verdicts += [
                Verdict(scenario.name, '', figure, str(limits), None, False, str(error))
                for figure, limits in scenario.criteria.items()
            ]
            continue
        verdicts += _judged(scenario, document)
    _write_junit(out / JUNIT, verdicts)
    return verdicts


def _judged(scenario: Scenario, document: dict[str, Any]) -> Iterator[Verdict]:
    damage = document['bag']['incomplete']
    if damage and not scenario.allow_damage:
        yield Verdict(scenario.name, '', 'bag', 'whole', None, False, f'the bag is damaged: {damage}')
    for figure, limits in scenario.criteria.items():
        of_bag = figure.startswith('bag.')
        subjects = [('', {'bag': document['bag']})] if of_bag else [(one['name'], one) for one in document['students']]
        for student, values in subjects:
            try:
                value = _figure_of(values, figure)
            except ReplayError as error:
                yield Verdict(scenario.name, student, figure, str(limits), None, False, str(error))
                continue
            problem = '' if value is not None else 'nothing to measure: no ground truth, or the student lacks the head'
            passed = value is not None and limits.holds(value)
            yield Verdict(scenario.name, student, figure, str(limits), value, passed, problem)


def _figure_of(values: dict[str, Any], figure: str) -> float | None:
    """The number at a dotted path; None where a section is absent."""
    node: Any = values
    for depth, part in enumerate(figure.split('.')):
        if node is None:
            return None
        if not isinstance(node, dict) or part not in node:
            known = sorted(node) if isinstance(node, dict) else []
            near = difflib.get_close_matches(part, known, 1)
            hint = f'; did you mean {near[0]!r}?' if near else f'; known are: {", ".join(known)}'
            raise ReplayError(f'there is no figure {".".join(figure.split(".")[: depth + 1])!r}{hint}')
        node = node[part]
    if node is None:
        return None
    if isinstance(node, bool) or not isinstance(node, int | float):
        raise ReplayError(f'{figure!r} is no single number; go on into it')
    return float(node)


def _printable(text: str) -> str:
    """XML has no place for control characters, and messages quote what was in damaged files."""
    return ''.join(letter if letter.isprintable() else '?' for letter in text)


def _write_junit(path: Path, verdicts: list[Verdict]) -> None:
    failed = sum(not verdict.passed for verdict in verdicts)
    suites = ElementTree.Element('testsuites', tests=str(len(verdicts)), failures=str(failed))
    for name in dict.fromkeys(verdict.scenario for verdict in verdicts):
        own = [verdict for verdict in verdicts if verdict.scenario == name]
        failures = sum(not verdict.passed for verdict in own)
        suite = ElementTree.SubElement(suites, 'testsuite', name=name, tests=str(len(own)), failures=str(failures))
        for verdict in own:
            case = ElementTree.SubElement(
                suite, 'testcase', classname=f'{name}.{verdict.student or "bag"}', name=verdict.figure
            )
            if not verdict.passed:
                told = verdict.problem or f'{verdict.figure} is {verdict.value:.4g}, must be {verdict.limits}'
                ElementTree.SubElement(case, 'failure', message=_printable(told))
    ElementTree.indent(suites)
    try:
        with replacing(path) as file:
            file.write(ElementTree.tostring(suites, encoding='utf-8', xml_declaration=True) + b'\n')
    except OSError as error:
        raise ReplayError(f'{path}: cannot be written ({error}); free some space and start again') from error
