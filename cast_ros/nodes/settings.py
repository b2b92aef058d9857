# SPDX-License-Identifier: Apache-2.0
"""The values of the parameters: declared on a node, checked by the table, and read as one whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from cast_ros.errors import ParameterError
from cast_ros.nodes.parameters import BY_NAME, PARAMETERS
from cast_ros.student import LoadOptions


@dataclass(frozen=True)
class Settings:
    """The values of the table, one field per row; a frame is processed with the same Settings from end to end."""

    model: str
    providers: list[str]
    require_provider: bool
    engine_cache_dir: str
    engine_fp16: bool
    threads: int
    score_threshold: float
    depth_scale: float
    output_size: str
    overlay_alpha: float
    points_stride: int
    points_left_out: list[str]
    tracking: bool
    max_pixels: int
    max_age_s: float
    stale_after_s: float
    shift_warn: float
    shift_error: float
    shift_window_s: float
    snapshot_service: str
    image_transport: str
    input_reliability: str
    autostart: bool
    image_topic: str
    camera_info_topic: str
    detections_topic: str
    instances_topic: str
    semantic_topic: str
    label_info_topic: str
    depth_topic: str
    depth_raw_topic: str
    depth_camera_info_topic: str
    overlay_topic: str
    detections_3d_topic: str
    nearest_topic: str
    points_topic: str
    diagnostics_topic: str

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Settings:
        """Raises ParameterError for the first value that the table does not allow."""
        refuse(values.items())
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    @property
    def load_options(self) -> LoadOptions:
        """How the student is loaded; raises ParameterError for a home that does not exist."""
        try:
            cache = Path(self.engine_cache_dir).expanduser() if self.engine_cache_dir else None
        except RuntimeError as error:
            raise ParameterError(
                f"parameter 'engine_cache_dir' is below a home that does not exist: {self.engine_cache_dir}; name "
                'another folder'
            ) from error
        return LoadOptions(tuple(self.providers), self.require_provider, self.threads, cache, self.engine_fp16)

    @classmethod
    def read(cls, node: Node) -> Settings:
        """The current values of a node that has declared the table."""
        return cls.from_values({row.name: node.get_parameter(row.name).value for row in PARAMETERS})


def declare(node: Node) -> Settings:
    """Declares every row of the table on the node and returns the values that files and command line gave.

    Raises:
        ParameterError: a value has the wrong type or is out of range.
    """
    for row in PARAMETERS:
        try:
            node.declare_parameter(row.name, row.default, row.descriptor())
        except InvalidParameterTypeException as error:
            hint = f' (write {row.default!r}, with a point)' if isinstance(row.default, float) else ''
            raise ParameterError(f"parameter '{row.name}' must be of type {row.type_name}{hint}: {error}") from error
        except InvalidParameterValueException as error:
            raise ParameterError(f"parameter '{row.name}' must be {row.allowed}: {error}") from error
    return Settings.read(node)


def refuse(values: Iterable[tuple[str, Any]]) -> None:
    """Raises ParameterError for the first (name, value) that the table does not allow; names outside the table pass."""
    for name, value in values:
        row = BY_NAME.get(name)
        problem = row.problem(value) if row else None
        if problem:
            raise ParameterError(problem)
