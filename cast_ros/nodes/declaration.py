# SPDX-License-Identifier: Apache-2.0
"""The parameters on a node: declared as ROS wants them described, and read as one whole."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterUninitializedException,
)
from rclpy.node import Node

from cast_ros.errors import ParameterError
from cast_ros.nodes.parameters import PARAMETERS, Changes, Parameter, Settings

_OF_RCLPY = ('use_sim_time', 'start_type_description_service')


def declare(node: Node) -> Settings:
    """Declares every parameter on the node and returns the values that files and command line gave.

    Raises:
        ParameterError: a value has the wrong type or is out of range.
    """
    for row in PARAMETERS:
        try:
            node.declare_parameter(row.name, row.default, descriptor_of(row))
        except InvalidParameterTypeException as error:
            hint = f' (write {row.default!r}, with a point)' if isinstance(row.default, float) else ''
            raise ParameterError(f"parameter '{row.name}' must be of type {row.type_name}{hint}: {error}") from error
        except InvalidParameterValueException as error:
            raise ParameterError(f"parameter '{row.name}' must be {row.allowed}: {error}") from error
    return read(node)


def read(node: Node) -> Settings:
    """The current values of a node that has declared them."""
    return Settings.from_values({row.name: _value_of(node, row) for row in PARAMETERS})


def _value_of(node: Node, row: Parameter) -> Any:
    try:
        return node.get_parameter(row.name).value
    except ParameterUninitializedException:
        # What rcl makes of a list without entries: it has no type.
        return []


def unknown_parameters(given: Iterable[str]) -> list[str]:
    """A sentence for each name in a parameter file or on the command line that no node of ours declares."""
    known = [row.name for row in PARAMETERS]
    said = []
    for name in sorted(set(given) - {*known, *_OF_RCLPY}):
        if not name.startswith('qos_overrides.'):
            nearest = difflib.get_close_matches(name, known, 1, 0.7)
            hint = f": did you mean '{nearest[0]}'?" if nearest else ''
            said.append(f"parameter '{name}' is not known here and does nothing{hint}")
    return said


def unused_files(arguments: Sequence[str], node_name: str) -> list[str]:
    """A sentence for each parameter file on a command line of which no section is for this node (`/ns/name`)."""
    said = []
    for flag, path in itertools.pairwise(arguments):
        if flag != '--params-file':
            continue
        try:
            content = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
        except (OSError, ValueError, yaml.YAMLError):
            continue  # rcl, which has read it, says what is wrong
        names = list(_sections(content, ''))
        if names and not any(_is_for(name, node_name) for name in names):
            said.append(f'{path} has parameters for {", ".join(names)} and none for {node_name}: nothing of it is used')
    return said


def _sections(content: Any, above: str) -> Iterator[str]:
    """The names, as far as they go, under which there are parameters."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if key == 'ros__parameters':
            yield above or '/'
        else:
            yield from _sections(value, f'{above}/{str(key).strip("/")}')


def _is_for(name: str, node_name: str) -> bool:
    """`*` stands for one part of a name, `**` for any number of them."""
    parts = [{'**': '(/[^/]+)*', '*': '/[^/]+'}.get(part, f'/{re.escape(part)}') for part in name.split('/')[1:]]
    return re.fullmatch(''.join(parts), node_name) is not None


def descriptor_of(row: Parameter) -> ParameterDescriptor:
    """What `ros2 param describe` shows, and what rclpy enforces on its own."""
    descriptor = ParameterDescriptor(
        description=f'{row.description} Can be set {row.changes.value}.',
        additional_constraints='' if row.within else row.allowed,
        read_only=row.changes is Changes.AT_START,
        dynamic_typing=row.takes_other_types,
    )
    if row.within is not None:
        least, most = row.within
        if isinstance(row.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=least, to_value=most)]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(least), to_value=int(most))]
    return descriptor
