# SPDX-License-Identifier: Apache-2.0
"""A recipe: everything that decides what a training run does, in one YAML file, checked before anything starts."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError

from cast_train.data import DATASETS, Augmentation
from cast_train.errors import RecipeError
from cast_train.losses import LossSection
from cast_train.models import SIZES
from cast_train.settings import Positive, Settings, Share, Weight

Side = Annotated[int, Field(gt=0, multiple_of=32)]


class StudentSection(Settings):
    """``size`` is a member of the family; ``backbone_weights`` a safetensors file or null.

    ``initial`` is a checkpoint of an earlier run; weights of the same name and shape are taken over from it.
    """

    size: str
    backbone_weights: Path | None = None
    initial: Path | None = None


class InputSection(Settings):
    """The input of the exported student, in pixels, and how a picture gets there."""

    height: Side
    width: Side
    resize: Literal['stretch', 'letterbox'] = 'stretch'


class DepthSection(Settings):
    """Depth beyond ``cap_m`` metres is not learned; ``focal_reference_px`` is fx at the input size."""

    cap_m: Annotated[float, Field(gt=0)] = 80.0
    focal_reference_px: Annotated[float, Field(gt=0)]


class Part(Settings):
    """One split and domain of the data set."""

    split: str
    domain: str


class DataSection(Settings):
    """Where the pictures are; ``smallest_px`` drops instances too small to learn from."""

    dataset: str
    root: Path
    train: Annotated[tuple[Part, ...], Field(min_length=1)]
    validation: Annotated[tuple[Part, ...], Field(min_length=1)]
    limit: Positive | None = None


class Phase(Settings):
    """A stretch of training at one view size: small views first learn fast, large views last learn detail."""

    height: Side
    width: Side
    batch: Positive
    steps: Positive


class OptimizerSection(Settings):
    """AdamW with linear warm-up and polynomial decay to zero, and an exponential moving average of the weights."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Weight = 0.05
    backbone_factor: Weight = 1.0
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    power: Annotated[float, Field(gt=0)] = 0.9
    clip_norm: Annotated[float, Field(gt=0)] = 3.0
    ema_decay: Share = 0.998


class RunSection(Settings):
    """How a run proceeds; none of it changes what is learned, beyond rounding.

    Attributes:
        log_every: steps between reports.
        checkpoint_every: steps between checkpoints; at most so many are lost when a run dies.
        evaluate_every: steps between judgements on the validation part.
        workers: processes that prepare batches; 0 prepares them in between.
        threads: of each process that computes.
        precision: of the network; losses, weights and averages are float32 always.
        accumulate: a batch is computed in so many parts, for less memory; batch norm then sees one part at a time.
        nonfinite_limit: so many steps in a row without a finite loss and gradient end the run.
    """

    log_every: Positive = 20
    checkpoint_every: Positive = 100
    evaluate_every: Positive = 500
    workers: Annotated[int, Field(ge=0)] = 1
    threads: Positive = 1
    precision: Literal['float32', 'bf16'] = 'float32'
    accumulate: Positive = 1
    nonfinite_limit: Positive = 5


class Plan(Settings):
    """How one network is trained, whatever the method: what ``engine.loop.train`` needs of a recipe."""

    name: str
    seed: Annotated[int, Field(ge=0)]
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    optimizer: OptimizerSection
    run: RunSection

    @property
    def total_steps(self) -> int:
        """Steps of all phases together."""
        return sum(phase.steps for phase in self.phases)


class Recipe(Settings):
    """The whole recipe."""

    name: Annotated[str, Field(min_length=1, pattern=r'^[a-z0-9][a-z0-9._-]*$')]
    version: str
    license: str
    seed: Annotated[int, Field(ge=0)] = 1
    student: StudentSection
    input: InputSection
    depth: DepthSection
    data: DataSection
    augmentation: Augmentation = Augmentation()
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    optimizer: OptimizerSection = OptimizerSection()
    losses: LossSection = LossSection()
    run: RunSection = RunSection()

    @property
    def plan(self) -> Plan:
        """The part that decides how the network is trained."""
        return Plan(name=self.name, seed=self.seed, phases=self.phases, optimizer=self.optimizer, run=self.run)

    @property
    def total_steps(self) -> int:
        """Steps of all phases together."""
        return self.plan.total_steps


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a YAML recipe and apply ``key.sub=value`` overrides; values are YAML too.

    Raises:
        RecipeError: unreadable, not YAML, an unknown key (with the nearest known one), or a value out of range.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise RecipeError(f'{path}: cannot be read as YAML: {error}') from error
    if not isinstance(document, dict):
        raise RecipeError(f'{path}: a recipe is a mapping of keys, this is {type(document).__name__}')
    for override in overrides:
        _apply(document, override)
    return parse_recipe(document, str(path))


def parse_recipe(document: dict[str, Any], source: str) -> Recipe:
    """Check a recipe that is already a mapping; ``source`` names it in errors."""
    try:
        recipe = Recipe.model_validate(document)
    except ValidationError as error:
        raise RecipeError(f'{source}: ' + '; '.join(_explain(problem) for problem in error.errors())) from error
    for name, known in (('student.size', SIZES), ('data.dataset', DATASETS)):
        section, key = name.split('.')
        value = getattr(getattr(recipe, section), key)
        if value not in known:
            raise RecipeError(f'{source}: {name} is {value!r}; known are {", ".join(sorted(known))}')
    return recipe


def _apply(document: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition('=')
    if not separator:
        raise RecipeError(f'--set {override!r}: write it as key=value, for example --set seed=2')
    *parents, last = key.split('.')
    place: Any = document
    for parent in parents:
        place = _step(place, parent, override, create=True)
    if isinstance(place, list):
        place[_index(place, last, override)] = yaml.safe_load(text)
    elif isinstance(place, dict):
        place[last] = yaml.safe_load(text)
    else:
        raise RecipeError(f'--set {override!r}: {".".join(parents)} is a single value and has no {last!r}')


def _step(place: Any, key: str, override: str, create: bool) -> Any:
    if isinstance(place, list):
        return place[_index(place, key, override)]
    if isinstance(place, dict):
        return place.setdefault(key, {}) if create else place[key]
    raise RecipeError(f'--set {override!r}: there is no {key!r} to set')


def _index(place: list[Any], key: str, override: str) -> int:
    if not key.isdigit() or int(key) >= len(place):
        raise RecipeError(f'--set {override!r}: {key!r} is not an index of a list of {len(place)}')
    return int(key)


def _explain(problem: Any) -> str:
    where = '.'.join(str(part) for part in problem['loc'])
    if problem['type'] != 'extra_forbidden':
        return f'{where}: {problem["msg"]}'
    section: Any = Recipe
    for part in problem['loc'][:-1]:
        annotation = section.model_fields[part].annotation if isinstance(part, str) else section
        section = (
            annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else _inner(annotation)
        )
    near = difflib.get_close_matches(str(problem['loc'][-1]), section.model_fields, 1, 0.5)
    hint = f'did you mean {near[0]!r}?' if near else f'known keys are {", ".join(section.model_fields)}'
    return f'{where}: unknown key; {hint}'


def _inner(annotation: Any) -> Any:
    """The section class inside ``tuple[Section, ...]``."""
    while not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        annotation = annotation.__args__[0]
    return annotation
