# SPDX-License-Identifier: Apache-2.0
"""What a student promises: the JSON document that travels in the metadata of its ONNX file."""

from __future__ import annotations

import json
import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from cast_ros.errors import StudentError

CONTRACT_KEY = 'cast_ros.contract'
SCHEMA_VERSION = '1.0'
UNLABELLED = 255
MASK_STRIDE = 4
HISTOGRAM_BINS = 16
APPEARANCE_FEATURES = 9
INSTANCE_OUTPUTS = ('scores', 'labels', 'masks')

OutputName = Literal['scores', 'labels', 'masks', 'semantic', 'depth']
Text = Annotated[str, Field(min_length=1, max_length=200)]
ColorValue = Annotated[int, Field(ge=0, le=255)]
PositiveMetre = Annotated[float, Field(gt=0.0)]
PositivePixel = Annotated[float, Field(gt=0.0)]
InputSize = Annotated[int, Field(gt=0, le=8192, multiple_of=MASK_STRIDE)]


class _Document(BaseModel):
    """Unknown fields are ignored, so that an older robot reads the contract of a newer trainer."""

    model_config = ConfigDict(frozen=True, strict=True, extra='ignore', allow_inf_nan=False, populate_by_name=True)


class InputSpec(_Document):
    """The picture that the network takes; sizes in pixels, multiples of four."""

    height: InputSize
    width: InputSize
    color_order: Literal['rgb'] = 'rgb'
    resize: Literal['stretch', 'letterbox'] = 'stretch'


class ClassInfo(_Document):
    """One class: a thing can be counted (car), the rest is stuff (road); colour is RGB, 0..255."""

    id: Annotated[int, Field(ge=0, lt=UNLABELLED)]
    name: Text
    is_thing: bool
    color: tuple[ColorValue, ColorValue, ColorValue]


class DepthSpec(_Document):
    """Depth in metres along the optical axis, for a camera with `focal_reference_px` at the size of the input."""

    unit: Literal['metre'] = 'metre'
    cap_m: PositiveMetre
    focal_reference_px: PositivePixel


class AppearanceStatistics(_Document):
    """Training pictures by the features of ``cast_ros.monitoring``: mean and covariance over pictures.

    Below ``distance_p99`` lie the Mahalanobis distances of 99 % of them.
    """

    mean: Annotated[tuple[float, ...], Field(min_length=APPEARANCE_FEATURES, max_length=APPEARANCE_FEATURES)]
    covariance: Annotated[tuple[tuple[float, ...], ...], Field(min_length=APPEARANCE_FEATURES)]
    distance_p99: Annotated[float, Field(gt=0.0)]

    @field_validator('covariance')
    @classmethod
    def _is_a_covariance(cls, covariance: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        size = APPEARANCE_FEATURES
        if len(covariance) != size or any(len(row) != size for row in covariance):
            raise ValueError(f'needs {size} rows of {size} numbers')
        for row in range(size):
            if covariance[row][row] < 0 or any(
                not math.isclose(covariance[row][column], covariance[column][row], rel_tol=1e-6, abs_tol=1e-9)
                for column in range(row)
            ):
                raise ValueError('must be symmetric, with no negative variance')
        return covariance


class InputStatistics(_Document):
    """What the training pictures looked like, for noticing a domain shift.

    Luminance is 0.299 R + 0.587 G + 0.114 B over 0..1; its histogram has 16 bins of equal width that sum to 1. Entropy
    is the binary entropy of the scores of a frame, in nats. Mean and std are over the frames, of each frame's mean.
    """

    luminance_mean: Annotated[float, Field(ge=0.0, le=1.0)]
    luminance_std: Annotated[float, Field(ge=0.0, le=1.0)]
    luminance_histogram: tuple[Annotated[float, Field(ge=0.0, le=1.0)], ...]
    entropy_mean: Annotated[float, Field(ge=0.0)] | None = None
    entropy_std: Annotated[float, Field(ge=0.0)] | None = None
    detections_per_frame: Annotated[float, Field(ge=0.0)] | None = None
    appearance: AppearanceStatistics | None = None

    @field_validator('luminance_histogram')
    @classmethod
    def _is_a_distribution(cls, histogram: tuple[float, ...]) -> tuple[float, ...]:
        if len(histogram) != HISTOGRAM_BINS:
            raise ValueError(f'needs {HISTOGRAM_BINS} bins, has {len(histogram)}')
        if not math.isclose(sum(histogram), 1.0, abs_tol=1e-3):
            raise ValueError(f'must sum to 1, sums to {sum(histogram):.4f}')
        return histogram


class StudentContract(_Document):
    """The whole promise of a student; build it in the trainer, read it anywhere."""

    schema_version: Text = Field(default=SCHEMA_VERSION, alias='schema')
    name: Text
    version: Text
    license: Text
    input: InputSpec
    classes: Annotated[tuple[ClassInfo, ...], Field(min_length=1, max_length=UNLABELLED)]
    outputs: Annotated[tuple[OutputName, ...], Field(min_length=1)]
    depth: DepthSpec | None = None
    provenance: dict[str, JsonValue] = Field(default_factory=dict)
    metrics: dict[str, JsonValue] = Field(default_factory=dict)
    input_statistics: InputStatistics | None = None

    @field_validator('schema_version')
    @classmethod
    def _is_a_schema_we_read(cls, schema: str) -> str:
        major = schema.partition('.')[0]
        known = SCHEMA_VERSION.partition('.')[0]
        if major != known:
            raise ValueError(f'is {schema!r}, this cast_ros reads version {known}; install a matching cast_ros')
        return schema

    @field_validator('classes')
    @classmethod
    def _ids_and_names_are_in_order(cls, classes: tuple[ClassInfo, ...]) -> tuple[ClassInfo, ...]:
        ids = [entry.id for entry in classes]
        if ids != list(range(len(classes))):
            raise ValueError(f'ids must run from 0 without gaps, are {ids}')
        names = [entry.name for entry in classes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f'names must be unique, twice: {", ".join(twice)}')
        return classes

    @field_validator('outputs')
    @classmethod
    def _outputs_are_whole_heads(cls, outputs: tuple[OutputName, ...]) -> tuple[OutputName, ...]:
        if len(set(outputs)) != len(outputs):
            raise ValueError(f'names an output twice: {list(outputs)}')
        missing = [name for name in INSTANCE_OUTPUTS if name not in outputs]
        if 0 < len(missing) < len(INSTANCE_OUTPUTS):
            raise ValueError(f'scores, labels and masks come together, missing: {", ".join(missing)}')
        return outputs

    @model_validator(mode='after')
    def _parts_agree(self) -> StudentContract:
        if ('depth' in self.outputs) != (self.depth is not None):
            raise ValueError('depth must be described exactly when outputs names it')
        if 'scores' in self.outputs and not self.thing_ids:
            raise ValueError('outputs names instances, but no class is a thing')
        return self

    @classmethod
    def from_json(cls, text: str | bytes) -> StudentContract:
        """Read and check a contract.

        Raises:
            StudentError: not JSON, an unknown major version, or a field that is missing or wrong.
        """
        _refuse_unknown_schema(text)
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise StudentError(f'the contract is not valid: {_in_one_line(error)}') from error

    def to_json(self) -> str:
        """One line of JSON, as stored in the ONNX metadata under `CONTRACT_KEY`."""
        return self.model_dump_json(by_alias=True)

    @property
    def thing_ids(self) -> tuple[int, ...]:
        """Ids of the classes that can be counted."""
        return tuple(entry.id for entry in self.classes if entry.is_thing)

    @property
    def stuff_ids(self) -> tuple[int, ...]:
        """Ids of the classes that cannot be counted."""
        return tuple(entry.id for entry in self.classes if not entry.is_thing)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the ids."""
        return tuple(entry.name for entry in self.classes)

    @property
    def sky_id(self) -> int | None:
        """Id of the class named `sky`, where depth is infinite; None if there is none."""
        return next((entry.id for entry in self.classes if entry.name == 'sky'), None)

    @property
    def heads(self) -> frozenset[str]:
        """Which of `instances`, `semantic` and `depth` this student has."""
        return frozenset('instances' if name in INSTANCE_OUTPUTS else name for name in self.outputs)

    def class_named(self, name: str) -> ClassInfo:
        """The class of that name.

        Raises:
            StudentError: the student does not know it.
        """
        for entry in self.classes:
            if entry.name == name:
                return entry
        raise StudentError(f'student {self.name!r} has no class {name!r}; it knows {", ".join(self.class_names)}')


def _refuse_unknown_schema(text: str | bytes) -> None:
    """Look at the version alone first: a contract of another major version may not fit any of our fields."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StudentError(f'the contract is not JSON: {error}') from error
    if not isinstance(document, dict):
        raise StudentError(f'the contract must be a JSON object, is {type(document).__name__}')
    schema = document.get('schema')
    if not isinstance(schema, str):
        raise StudentError('the contract has no field "schema" (a text such as "1.0")')
    if schema.partition('.')[0] != SCHEMA_VERSION.partition('.')[0]:
        raise StudentError(
            f'the contract has schema {schema!r}, this cast_ros reads {SCHEMA_VERSION.partition(".")[0]}.x; '
            'install the cast_ros that belongs to the student, or export the student again'
        )


def _in_one_line(error: ValidationError) -> str:
    """The first three complaints of pydantic, each with its place."""
    problems = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        place = '.'.join(str(part) for part in problem['loc']) or 'document'
        problems.append(f'{place}: {problem["msg"].removeprefix("Value error, ")}')
    more = f' (and {len(problems) - 3} more)' if len(problems) > 3 else ''
    return '; '.join(problems[:3]) + more
