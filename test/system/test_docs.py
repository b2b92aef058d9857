# SPDX-License-Identifier: Apache-2.0
"""docs/topics.md and docs/parameters.md say what the running node has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from node_case import Case
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from cast_ros.nodes.parameters import PARAMETERS


def rows_below(page: str, heading: str) -> list[list[str]]:
    """Cells of the table rows that follow a heading, without their code marks."""
    section = page.split(f'\n{heading}\n', 1)[1].split('\n## ', 1)[0]
    lines = [line for line in section.splitlines() if line.startswith('| `')]
    return [[cell.strip().replace('`', '') for cell in line.strip('|').split('|')] for line in lines]


def test_the_page_of_topics_is_what_the_node_offers(case: Case, project_root: Path) -> None:
    case.start()
    case.probe.until_state(case.name, 'active')
    page = (project_root / 'docs' / 'topics.md').read_text(encoding='utf-8')
    documented = {name: (kind, quality) for name, kind, quality, *_ in rows_below(page, '## Out')}
    graph = case.probe.node
    for name, (kind, quality) in documented.items():
        topic = name.replace('~', case.name)
        case.probe.until(lambda topic=topic: graph.get_publishers_info_by_topic(topic), topic)
        offered = next(one for one in graph.get_publishers_info_by_topic(topic) if one.node_namespace == case.namespace)
        assert offered.topic_type == kind.split()[0].replace('/', '/msg/'), name
        assert ('reliable' in quality) == (offered.qos_profile.reliability is ReliabilityPolicy.RELIABLE), name
        latched = offered.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL
        assert ('transient local' in quality) == latched, name
    published = {
        topic.replace(case.name, '~')
        for topic, _ in graph.get_publisher_names_and_types_by_node('perception', case.namespace)
    }
    assert published - set(documented) == {'~/transition_event', '/parameter_events', '/rosout'}


def test_the_page_of_parameters_is_what_the_node_declares(case: Case, project_root: Path) -> None:
    node = case.start(autostart=False)
    page = (project_root / 'docs' / 'parameters.md').read_text(encoding='utf-8')
    documented = set(re.findall(r'^\| `(\w+)` \|', page, re.MULTILINE))
    declared = {name for name in node._parameters if '.' not in name}
    assert declared - documented == {'use_sim_time', 'start_type_description_service'} & declared
    assert documented <= declared


def test_every_parameter_is_tried_by_a_test_of_the_running_node(project_root: Path) -> None:
    tests = ''.join(path.read_text(encoding='utf-8') for path in (project_root / 'test' / 'system').glob('test_*.py'))
    # Topics are set all together (test_every_topic_has_a_parameter).
    untried = [row.name for row in PARAMETERS if not row.is_topic and row.name not in tests]
    assert untried == []
