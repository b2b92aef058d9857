# SPDX-License-Identifier: Apache-2.0
"""The launch arguments of the node, and how their text becomes parameters: for the launch files of this package.

Every parameter is an argument of its name. An argument that is left empty sets nothing, so that what a parent launch
file or a parameter file says stays. Neither ROS nor its launch is imported here: launch files are read under a Python
that may lack the first, and tests without the second.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cast_ros.errors import ParameterError
from cast_ros.nodes.parameters import BY_NAME, PARAMETERS, Parameter
from cast_ros.nodes.topics import TOPICS

DEVICES = {
    'cpu': ['CPUExecutionProvider'],
    'cuda': ['CUDAExecutionProvider', 'CPUExecutionProvider'],
    'tensorrt': ['TensorrtExecutionProvider', 'CUDAExecutionProvider', 'CPUExecutionProvider'],
    'openvino': ['OpenVINOExecutionProvider', 'CPUExecutionProvider'],
}
"""Short names of `providers`."""

OTHERS = {
    'device': f'short for providers: {", ".join(DEVICES)}',
    'perception_params_file': 'parameter file; config/perception.yaml is one to start from',
    'perception_namespace': 'namespace of the node, one per camera',
    'name': 'name of the node; perception if not given',
    'use_sim_time': 'true: take the time from /clock',
    'log_level': 'debug, info, warn, error or fatal; info if not given',
    'enclave': 'SROS2 enclave of the process, such as /perception',
    'respawn': 'true: start the node again when it dies',
}
"""Arguments that are no parameter of the node."""

# Every launch file of a robot has arguments of such names, and a parent's value of `depth` would become our topic.
RENAMED = {topic.name: topic.parameter for topic in TOPICS}
RENAMED |= {'params_file': 'perception_params_file', 'namespace': 'perception_namespace'}


def arguments() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name to description and choices ('' among them), of every argument that sets something for one node."""
    found = {row.name: (_described(row), _choices(row)) for row in PARAMETERS}
    found |= {name: (text, ()) for name, text in OTHERS.items()}
    found['device'] = (OTHERS['device'], ('', *DEVICES))
    return found


def _described(row: Parameter) -> str:
    return f'{row.description} If not given elsewhere: {row.default!r}.'


def _choices(row: Parameter) -> tuple[str, ...]:
    if isinstance(row.default, bool):
        return ('', 'true', 'false', 'True', 'False')
    return ('', *row.choices) if row.choices else ()


def parameters(given: Mapping[str, str]) -> dict[str, Any]:
    """The parameters that these arguments set; empty ones set nothing.

    Args:
        given: text by name of argument; names that are none of ours are passed over.

    Raises:
        ParameterError: a value cannot be used, or `device` and `providers` are both given.
    """
    values = {name: _value(BY_NAME[name], text) for name, text in given.items() if text and name in BY_NAME}
    if given.get('device'):
        if 'providers' in values:
            raise ParameterError(f'device:={given["device"]} and providers say the same thing twice: leave one out')
        values['providers'] = DEVICES[given['device']]
    if given.get('use_sim_time'):
        values['use_sim_time'] = truth('use_sim_time', given['use_sim_time'])
    return values


def truth(name: str, text: str) -> bool:
    """A bool; raises ParameterError for other words than true and false."""
    if text.lower() not in ('true', 'false'):
        raise ParameterError(f'{name} is {text!r}; it must be true or false')
    return text.lower() == 'true'


def parameter_file(path: str) -> list[str]:
    """The list of parameter files for the node; raises ParameterError if there is no such file."""
    if path and not Path(path).is_file():
        raise ParameterError(
            f'perception_params_file is {path!r}, and there is no such file; name one, or leave it empty'
        )
    return [path] if path else []


def _value(row: Parameter, text: str) -> Any:
    kind = type(row.default)
    try:
        if kind is bool:
            return truth(row.name, text)
        if kind is list:
            value: Any = [name.strip(' \'"') for name in text.strip().removeprefix('[').removesuffix(']').split(',')]
        else:
            value = kind(text)
    except ValueError as error:
        raise ParameterError(f"argument '{row.name}' must be of type {row.type_name}, not {text!r}") from error
    # Topic names are judged by the node, which has the rules.
    problem = None if row.is_topic else row.problem(value)
    if problem:
        raise ParameterError(problem)
    return value


def refuse_failure(program: str, exit_code: int | None) -> None:
    """Raise RuntimeError if a process failed: launch ends with 0 whatever a process did, unless something is raised."""
    if exit_code:
        raise RuntimeError(f'{program} ended with exit code {exit_code}, see above')


def notices(command_line: Iterable[str], inherited: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What old and mistyped arguments mean.

    Args:
        command_line: `name:=value` as a person typed them; old names are still understood there, for one release.
        inherited: every value that launch knows, from whoever set it. Old names among them are another's.

    Returns:
        Values by the new names, and sentences for the log.
    """
    typed = dict(entry.split(':=', 1) for entry in command_line if ':=' in entry)
    values, said = {}, []
    known = [*arguments(), 'cameras']
    for name, value in typed.items():
        if name in RENAMED:
            values[RENAMED[name]] = value
            said.append(f'argument {name} is {RENAMED[name]} now; {name}:= will not be understood in the next release')
        elif name not in known:
            nearest = difflib.get_close_matches(name, [*known, *RENAMED], 1, 0.75)
            if nearest:
                said.append(f'{name}:= is no argument of the perception node: did you mean {nearest[0]}:= ?')
    for name in sorted(inherited.keys() & RENAMED.keys() - typed.keys()):
        if inherited[name]:
            said.append(f'{name} is {inherited[name]!r} elsewhere and not used here: our argument is {RENAMED[name]}')
    return values, said


def shared_threads(given: Mapping[str, str], cameras: int, cores: int) -> dict[str, str]:
    """The threads of one of several nodes: the cores are shared unless a person said how many."""
    return {} if given.get('threads') else {'threads': str(max(1, cores // cameras))}


def of_camera(text: str, camera: str) -> str:
    """An argument's value for one camera: the same for all, or its entry of `{front: A, rear: B}`; '' without one.

    Raises:
        ParameterError: it begins as such a list and is none.
    """
    if not text.startswith('{'):
        return text
    entries = [entry.partition(':') for entry in text.strip().removeprefix('{').removesuffix('}').split(',')]
    if not text.rstrip().endswith('}') or not all(colon and name.strip() for name, colon, _ in entries):
        raise ParameterError(f'{text!r} is no list of cameras such as {{front: A, rear: B}}')
    return {name.strip(): value.strip() for name, _, value in entries}.get(camera, '')
