# SPDX-License-Identifier: Apache-2.0
"""Every command in README.md names things that exist, and its Python runs; what they do is tested where it is made."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cast_ros.nodes import launching
from cast_ros.nodes.parameters import PARAMETERS
from cast_ros.nodes.topics import OUTPUTS

ROOT = Path(__file__).resolve().parents[2]
PROJECT_FOLDERS = ('assets', 'config', 'docs', 'launch', 'models')
# Commands of other people's programs, as they stand in README.md; nothing of ours could break them.
FOREIGN_PROGRAMS = {'cd', 'colcon', 'export', 'git', 'mkdir', 'pip', 'python3', 'rosdep', 'source', 'sudo'}


def commands(text: str) -> list[str]:
    """Lines of all bash blocks, continued lines joined, comments and prompts dropped."""
    blocks = re.findall(r'^```bash\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
    lines = ''.join(blocks).replace('\\\n', ' ').splitlines()
    bare = (' '.join(shlex.split(line, comments=True, posix=False)).removeprefix('$ ') for line in lines)
    return [line for line in bare if line]


def problem_of(command: str) -> str | None:
    """Why a command cannot work, or None."""
    words = [word for word in shlex.split(command) if not re.match(r'[A-Z_]+=', word)]
    program = words[0].removeprefix('.venv/bin/')
    if program in FOREIGN_PROGRAMS:
        return None
    if program not in CHECKS:
        return f'nothing checks commands of {program}'
    missing = [word for word in words if word.split('/')[0] in PROJECT_FOLDERS and not (ROOT / word).exists()]
    return f'{missing[0]} is not in the project' if missing else CHECKS[program](program, words[1:])


def problem_of_make(_program: str, words: list[str]) -> str | None:
    targets = set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(encoding='utf-8'), re.MULTILINE))
    unknown = [word for word in words if '=' not in word and word not in targets]
    return f'the Makefile has no target {unknown[0]}' if unknown else None


def problem_of_own_program(program: str, words: list[str]) -> str | None:
    """Compare with the program's own help: the verb, and each long option."""
    done = subprocess.run(
        [Path(sys.prefix) / 'bin' / program, words[0], '--help'], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return f'{program} has no verb {words[0]}'
    unknown = [word for word in words[1:] if word.startswith('--') and word.partition('=')[0] not in done.stdout]
    return f'{program} {words[0]} has no option {unknown[0]}' if unknown else None


def problem_of_ros2(_program: str, words: list[str]) -> str | None:
    verb, package, name, *arguments = words
    if (verb, package) == ('launch', 'cast_ros'):
        return problem_of_launch(name, arguments)
    if (verb, package) == ('run', 'cast_ros'):
        return problem_of_run(name, arguments)
    return None


def problem_of_launch(name: str, arguments: list[str]) -> str | None:
    file = ROOT / 'launch' / name
    if not file.exists():
        return f'there is no launch file {name}'
    source = file.read_text(encoding='utf-8')
    table = set(launching.arguments()) if 'launching.arguments()' in source else set()
    given = {word.partition(':=')[0]: word for word in arguments}
    unknown = [word for one, word in given.items() if one not in table and f"'{one}'" not in source]
    return f'{name} has no argument {unknown[0]}' if unknown else None


def problem_of_run(name: str, arguments: list[str]) -> str | None:
    if not (ROOT / 'scripts' / name).exists():
        return f'there is no executable {name}'
    known = {'use_sim_time', *(parameter.name for parameter in PARAMETERS)}
    pairs = itertools.pairwise(arguments)
    unknown = [word for flag, word in pairs if flag == '-p' and word.partition(':=')[0] not in known]
    return f'{name} has no parameter {unknown[0]}' if unknown else None


CHECKS: dict[str, Callable[[str, list[str]], str | None]] = {
    'make': problem_of_make,
    'cast': problem_of_own_program,
    'cast-train': problem_of_own_program,
    'ros2': problem_of_ros2,
}


@pytest.mark.parametrize('command', commands((ROOT / 'README.md').read_text(encoding='utf-8')))
def test_a_command_of_the_readme_names_what_exists(command: str) -> None:
    assert problem_of(command) is None


@pytest.mark.parametrize(
    ('command', 'problem'),
    [
        ('make demo', None),
        ('make test PYTEST_ARGUMENTS="-k launch"', None),
        ('make everything', 'the Makefile has no target everything'),
        ('.venv/bin/cast inspect README.md', None),
        ('cast juggle', 'cast has no verb juggle'),
        ('cast inspect --juggle x', 'cast inspect has no option --juggle'),
        ('cast inspect models/missing.onnx', 'models/missing.onnx is not in the project'),
        ('ros2 launch cast_ros perception.launch.py image_topic:=/camera', None),
        (
            'ros2 launch cast_ros perception.launch.py imago:=/camera',
            'perception.launch.py has no argument imago:=/camera',
        ),
        ('ros2 launch cast_ros other.launch.py', 'there is no launch file other.launch.py'),
        ('ros2 run cast_ros perception --ros-args -p score_threshold:=0.4 -r image:=/camera', None),
        ('ros2 run cast_ros perception --ros-args -p scores:=0.4', 'perception has no parameter scores:=0.4'),
        ('ros2 run cast_ros deception', 'there is no executable deception'),
        ('ROS_DOMAIN_ID=7 ros2 topic hz /perception/detections', None),
        ('juggle --balls 3', 'nothing checks commands of juggle'),
    ],
)
def test_a_command_that_cannot_work_is_found(command: str, problem: str | None) -> None:
    assert problem_of(command) == problem


def test_the_topics_of_the_readme_are_those_of_the_node() -> None:
    page = (ROOT / 'README.md').read_text(encoding='utf-8')
    rows = re.findall(r'^\| (`[~/].*?) \| (?:vision_msgs/)?(.*?) \|', page, re.MULTILINE)
    named = {name: kind for names, kind in rows for name in re.findall('`(.*?)`', names)}
    kinds = {one.default: f'{one.message.partition("/")[2]} {one.encoding}'.strip() for one in OUTPUTS}
    assert len(named) > 5
    assert named == {name: kinds.get(name) for name in named}


def test_commands_are_read_from_bash_blocks_alone() -> None:
    text = '# x\n```bash\n$ make demo  # look\n\nros2 run a \\\n  b\n```\n```text\nmake nothing\n```\n'
    assert commands(text) == ['make demo', 'ros2 run a b']


def test_the_python_of_the_readme_answers_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r'^```python\n(.*?)^```', (ROOT / 'README.md').read_text(encoding='utf-8'), re.M | re.S)
    assert len(blocks) == 1
    names: dict[str, Any] = {'rgb': np.full((120, 200, 3), 90, np.uint8)}
    exec(blocks[0], names)
    prediction = names['prediction']
    assert prediction.semantic.shape == prediction.depth.shape == prediction.instance_ids.shape == (120, 200)
    assert len(prediction.boxes) == len(prediction.labels) == len(prediction.scores)
