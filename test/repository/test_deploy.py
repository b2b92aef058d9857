# SPDX-License-Identifier: Apache-2.0
"""What is deployed agrees with the node: names in the security policy, exit codes and paths in unit and container."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from cast_ros.nodes.topics import INPUTS, OUTPUTS

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'config'
DEPLOY = CONFIG / 'deploy'


def allowed(kind: str, direction: str) -> set[str]:
    root = ElementTree.parse(DEPLOY / 'sros2_policy.xml').getroot()
    (found,) = [one for one in root.iter(kind) if one.get(direction) == 'ALLOW']
    return {str(entry.text) for entry in found}


def test_the_policy_allows_every_topic_of_the_node_and_few_others() -> None:
    published = {topic.default.lstrip('/') for topic in OUTPUTS}
    assert allowed('topics', 'publish') - published == {'~/transition_event', 'parameter_events', 'rosout'}
    assert published <= allowed('topics', 'publish')
    subscribed = {topic.default for topic in INPUTS}
    assert allowed('topics', 'subscribe') - subscribed == {
        *('image/compressed', 'clock', 'parameter_events', 'tf', 'tf_static')
    }
    assert subscribed <= allowed('topics', 'subscribe')


def test_the_unit_stops_the_node_as_it_wants_to_be_stopped() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / 'cast_perception.service')
    assert set(parser.sections()) == {'Unit', 'Service', 'Install'}
    assert parser['Service']['KillSignal'] == 'SIGINT'
    assert parser['Service']['RestartPreventExitStatus'] == '2'
    assert 'exec ros2 run cast_ros perception' in parser['Service']['ExecStart']


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which('systemd-analyze') is None:
        pytest.skip('needs systemd-analyze')
    unit = tmp_path / 'cast_perception.service'
    unit.write_text((DEPLOY / unit.name).read_text(encoding='utf-8').replace('User=robot', 'User=root'))
    done = subprocess.run(['systemd-analyze', 'verify', str(unit)], capture_output=True, text=True, check=False)
    assert 'cast_perception.service:' not in done.stderr, done.stderr


def test_the_container_installs_one_runtime_and_runs_as_nobody_special() -> None:
    lines = (DEPLOY / 'Dockerfile').read_text(encoding='utf-8').splitlines()
    instructions = [line.split()[0] for line in lines if line and not line.startswith(('#', ' '))]
    assert instructions[0] == 'FROM'
    assert 'USER' in instructions
    assert instructions[-1] == 'CMD'
    installed = next(line for line in lines if 'pip install' in line)
    assert installed.count('onnxruntime') == 1
    copied = [line for line in lines if line.startswith('COPY')]
    assert copied == ['COPY . src/cast_ros']


def test_the_aggregator_groups_every_status_of_the_node() -> None:
    told = yaml.safe_load((CONFIG / 'diagnostics_aggregator.yaml').read_text(encoding='utf-8'))
    parts = told['analyzers']['ros__parameters']['perception']['contains']
    sources = [
        (ROOT / 'cast_ros/nodes' / name).read_text(encoding='utf-8') for name in ('diagnostics.py', 'shift_watch.py')
    ]
    for source in sources:
        (name,) = re.findall(r"name=f'\{node_name.lstrip\(\"/\"\)\}(: [a-z ]+)'", source)
        assert sum(part in f'front/eyes{name}' for part in parts) == 1


def test_the_manager_of_nav2_waits_for_no_bond() -> None:
    told = yaml.safe_load((CONFIG / 'nav2_lifecycle.yaml').read_text(encoding='utf-8'))
    (manager,) = told.values()
    assert manager['ros__parameters']['node_names'] == ['perception']
    assert manager['ros__parameters']['bond_timeout'] == 0.0
    sources = ''.join(path.read_text(encoding='utf-8') for path in (ROOT / 'cast_ros/nodes').glob('*.py'))
    assert 'bond' not in sources, 'the file says that the node makes none'


def test_the_commands_of_the_policy_lead_to_its_enclave() -> None:
    text = (DEPLOY / 'sros2_policy.xml').read_text(encoding='utf-8')
    enclave = ElementTree.fromstring(text).find('enclaves/enclave')
    assert enclave is not None
    path = enclave.get('path')
    assert re.findall(r'create_(?:enclave|permission) KEYS (\S+)', text) == [path, path]
    assert re.findall(r'enclave:=(\S+)', text) == [path]
    assert re.findall(r'ROS_SECURITY_ENCLAVE_OVERRIDE=(\S+)', text) == [path]
