# SPDX-License-Identifier: Apache-2.0
"""One parameter of the perception node: what it may be, when it may change, and how ROS is told."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidTopicNameException
from rclpy.validate_topic_name import validate_topic_name


class Changes(enum.Enum):
    """When a parameter may be set."""

    ANY_TIME = 'at any time; the next frame uses it'
    UNCONFIGURED = 'while the node is unconfigured; the next configure uses it'
    AT_START = 'at start only (read-only)'


@dataclass(frozen=True)
class Parameter:
    """One row of the table; `default` fixes the type, the range is inclusive, `choices` close a string."""

    name: str
    default: Any
    description: str
    changes: Changes
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    may_be_empty: bool = False
    is_topic: bool = False

    @property
    def type_name(self) -> str:
        """The type in ROS's words."""
        return _TYPE_NAMES[type(self.default)]

    @property
    def allowed(self) -> str:
        """The range in words."""
        if self.choices:
            return ' or '.join(f"'{choice}'" for choice in self.choices)
        if self.minimum is not None:
            return f'{self.minimum} to {self.maximum}'
        if self.is_topic:
            return 'a topic name'
        if self.type_name in ('string', 'string_array') and not self.may_be_empty:
            return 'not empty'
        return 'any'

    def problem(self, value: Any) -> str | None:
        """Why this value cannot be used, or None."""
        if type(value) is not type(self.default):
            return f"parameter '{self.name}' must be of type {self.type_name}, not {value!r}"
        outside = self.minimum is not None and self.maximum is not None and not self.minimum <= value <= self.maximum
        if outside or (isinstance(value, float) and math.isnan(value)):
            return f"parameter '{self.name}' must be {self.allowed}, not {value}"
        if self.choices and value not in self.choices:
            return f"parameter '{self.name}' must be {self.allowed}, not '{value}'"
        if isinstance(value, (str, list)) and not self.may_be_empty and (len(value) == 0 or '' in list(value)):
            return f"parameter '{self.name}' must not be empty"
        return self._topic_problem(value) if self.is_topic else None

    def _topic_problem(self, value: str) -> str | None:
        try:
            validate_topic_name(value)
        except InvalidTopicNameException as error:
            return f"parameter '{self.name}' must be a topic name: {' '.join(str(error).split())}"
        return None

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows, and what rclpy enforces on its own."""
        descriptor = ParameterDescriptor(
            description=f'{self.description} Can be set {self.changes.value}.',
            additional_constraints='' if self.minimum is not None else self.allowed,
            read_only=self.changes is Changes.AT_START,
        )
        if self.minimum is not None and self.maximum is not None:
            if isinstance(self.default, float):
                descriptor.floating_point_range = [FloatingPointRange(from_value=self.minimum, to_value=self.maximum)]
            else:
                descriptor.integer_range = [IntegerRange(from_value=int(self.minimum), to_value=int(self.maximum))]
        return descriptor


_TYPE_NAMES = {bool: 'bool', int: 'integer', float: 'double', str: 'string', list: 'string_array'}
