# SPDX-License-Identifier: Apache-2.0
"""A recipe: everything that decides what a training run does, in one YAML file, checked before anything starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, model_validator
from typing_extensions import Self

from cast_ros.student import ClassInfo, DepthSpec, InputSpec, InputStatistics, StudentContract
from cast_train.data import CLASS_MAPS, DATASETS, Augmentation, Dataset, Stated, open_dataset
from cast_train.losses.supervised import LossSection
from cast_train.models import SIZES, DepthForm, StudentSize
from cast_train.models.graph import outputs_of
from cast_train.settings import Positive, Settings, Share, Side, Weight, one_of

Name = Annotated[str, Field(min_length=1, pattern=r'^[a-z0-9][a-z0-9._-]*$')]


class WidthsSection(Settings):
    """What a student has in place of its size's own (``models.StudentSize``); null keeps that."""

    peaks: Positive | None = None
    learned: Positive | None = None
    layers: Positive | None = None
    light_depth: bool | None = None


class StudentSection(Settings):
    """``size`` is a member of the family; ``backbone_weights`` a safetensors file or null.

    ``initial`` is a checkpoint of an earlier run; weights of the same name and shape are taken over from it.
    ``depth_form`` is what the depth head's number stands for (``models.depth``); null takes the size's own.
    ``widths`` makes a relative of that size.
    """

    added: ClassVar = ('depth_form', 'widths')

    size: Annotated[str, one_of(SIZES)]
    backbone_weights: Path | None = None
    initial: Path | None = None
    depth_form: DepthForm | None = None
    widths: WidthsSection | None = None

    @property
    def architecture(self) -> StudentSize:
        """The size as it is asked for."""
        own = {} if self.widths is None else self.widths.model_dump(exclude_none=True)
        if self.depth_form is not None:
            own['depth'] = self.depth_form
        return replace(SIZES[self.size], **own)

    def digested(self) -> dict[str, Any]:
        """What decides the network's shape; what came later only where it is set, so that older digests stay valid."""
        return self.model_dump(mode='json', exclude={'size', 'backbone_weights', 'initial'})


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
    """One split of the data set; ``domain`` stays empty where the data set has none."""

    split: str
    domain: str = ''


class PictureSection(Settings):
    """Pictures of one data set, and what their labels mean.

    Attributes:
        class_map: gives them the classes of a map (``data.class_maps``) in place of their own.
        complete: names of the things of which every object is labelled, ``[]`` for none; null takes the loader's word,
            which is all of them but for data sets known to leave some out (``data.Sample``).
        crop_bottom: share of the height that is cut off below, by the beginning of a picture's name (``data.Stated``).
    """

    added: ClassVar[tuple[str, ...]] = ('class_map', 'complete', 'crop_bottom')
    # Where pictures lie and how they are read. Whatever else there is decides what they mean.
    places: ClassVar = frozenset({'dataset', 'root', 'train', 'validation', 'in_memory'})

    dataset: Annotated[str, one_of(DATASETS)]
    root: Path
    class_map: Annotated[str, one_of(CLASS_MAPS)] | None = None
    train: tuple[Part, ...] = ()
    validation: tuple[Part, ...] = ()
    complete: tuple[str, ...] | None = None
    crop_bottom: dict[str, Annotated[float, Field(ge=0, lt=1)]] | None = None

    def open(self, part: Part) -> Dataset:
        """Open one of the parts.

        Raises:
            DataError: the tree is not as the loader expects, or the map does not fit.
        """
        dataset = open_dataset(self.dataset, self.root, part.split, part.domain, self.class_map)
        if self.complete is None and self.crop_bottom is None:
            return dataset
        return Stated(dataset, self.complete, self.crop_bottom)


class NamedPictures(PictureSection):
    """Pictures of one data set, for the recipes of all methods.

    Attributes:
        in_memory: read every picture once; false decodes them anew each time, for what does not fit.
    """

    train: Annotated[tuple[Part, ...], Field(min_length=1)]
    validation: Annotated[tuple[Part, ...], Field(min_length=1)]
    in_memory: bool = True

    def digested(self) -> dict[str, Any]:
        """What decides what the pictures mean, beside their content; nothing if their data set says it all."""
        return self.model_dump(mode='json', exclude=set(self.places))

    @property
    def in_words(self) -> str:
        """What is learned from, for provenance."""
        parts = ', '.join(f'{self.dataset} {part.split} {part.domain}'.rstrip() for part in self.train)
        return parts if self.class_map is None else f'{parts} with the classes {self.class_map}'


class SourceSection(PictureSection):
    """One more data set of a mixture; it may have only training or only validation parts.

    Attributes:
        class_map: null takes that of the first data set.
        title: what the table of validation calls it; null takes the name of the data set.
        weight: how often its pictures are drawn, in the same unit as those of the others.
    """

    added: ClassVar = (*PictureSection.added, 'title', 'weight')

    title: str | None = None
    weight: Weight = 1.0


class DataSection(NamedPictures):
    """Where the pictures are: one data set, or with ``sources`` several in every batch.

    Attributes:
        limit: of the pictures of each of ``train`` and ``validation`` of each data set, for trying things out.
        title, weight: of this data set, as in ``SourceSection``.
        sources: more data sets. They must have the same classes, so all need a class map but for those that have them.
    """

    added: ClassVar = (*NamedPictures.added, 'title', 'weight', 'sources')

    limit: Positive | None = None
    title: str | None = None
    weight: Weight = 1.0
    sources: tuple[SourceSection, ...] = ()

    @model_validator(mode='after')
    def _titles_differ(self) -> Self:
        titles = [source.title for source in self.every_source]
        twice = next((title for title in titles if titles.count(title) > 1), None)
        if twice is not None:
            raise ValueError(f'two sources are called {twice!r}; give one a title of its own')
        return self

    @property
    def every_source(self) -> tuple[SourceSection, ...]:
        """This data set and the others, each with a title and a class map, if there is one."""
        first = SourceSection(**self.model_dump(include=set(SourceSection.model_fields)))
        return tuple(
            source.model_copy(
                update={'title': source.title or source.dataset, 'class_map': source.class_map or self.class_map}
            )
            for source in (first, *self.sources)
        )

    @property
    def in_words(self) -> str:
        """What is learned from, for provenance."""
        if not self.sources:
            return super().in_words
        parts = [(source, part) for source in self.every_source for part in source.train]
        words = ', '.join(f'{source.dataset} {part.split} {part.domain}'.rstrip() for source, part in parts)
        return words if self.class_map is None else f'{words} with the classes {self.class_map}'

    def open_all(self, role: Literal['train', 'validation']) -> list[Dataset]:
        """Open these parts of every source, one after the other: for what takes all pictures alike, without weights.

        Raises:
            DataError: a tree is not as its loader expects, or a map does not fit.
        """
        return [source.open(part) for source in self.every_source for part in getattr(source, role)]


class Stretch(Settings):
    """So many steps, each on so many pictures."""

    batch: Positive
    steps: Positive


class Phase(Stretch):
    """A stretch of training at one view size: small views first learn fast, large views last learn detail."""

    height: Side
    width: Side


class OptimizerSection(Settings):
    """AdamW, its schedule, and an exponential moving average of the weights.

    Attributes:
        learning_rate: the largest.
        backbone_factor: the backbone learns at so many times the rate.
        warmup_steps: of linear growth.
        power: of the polynomial, in both schedules.
        schedule: ``decay`` falls from the end of the warm-up to the last step; ``rise_and_fall`` rises over the first
            half of the steps and falls over the second (SwinMTL, papers.md §2.3), without a warm-up.
        least_learning_rate: where the schedule starts to rise, and ends.
        ema_decay: of the moving average that is judged and exported; null judges and exports the weights as they are.
        layer_decay: each block of a transformer learns at so many times the rate of the next one.
    """

    added: ClassVar = ('schedule', 'least_learning_rate', 'layer_decay')

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Weight = 0.05
    backbone_factor: Weight = 1.0
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    power: Annotated[float, Field(gt=0)] = 0.9
    clip_norm: Annotated[float, Field(gt=0)] = 3.0
    ema_decay: Share | None = 0.998
    schedule: Literal['decay', 'rise_and_fall'] = 'decay'
    least_learning_rate: Weight = 0.0
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0


class RunSection(Settings):
    """How a run proceeds; beyond rounding, only ``accumulate`` changes what is learned.

    Attributes:
        log_every: steps between reports.
        checkpoint_every: steps between checkpoints; at most so many are lost when a run dies.
        evaluate_every: steps between judgements on the validation part.
        workers: processes that prepare batches; 0 prepares them in between.
        threads: of each process that computes.
        precision: of the network: bf16 keeps weights, averages and losses in float32; float64 is for finding out what
            is rounding and what is not.
        accumulate: a batch is computed in so many parts, for less memory. The losses are those of the whole batch; but
            batch norm sees one part at a time, so that a network which has any learns something else.
        nonfinite_limit: so many steps in a row without a finite loss and gradient end the run.
    """

    undecisive: ClassVar = frozenset(
        {
            'log_every',
            'checkpoint_every',
            'evaluate_every',
            'workers',
            'threads',
            'precision',
            'nonfinite_limit',
        }
    )

    log_every: Positive = 20
    checkpoint_every: Positive = 100
    evaluate_every: Positive = 500
    workers: Annotated[int, Field(ge=0)] = 1
    threads: Positive = 1
    precision: Literal['float32', 'bf16', 'float64'] = 'float32'
    accumulate: Positive = 1
    nonfinite_limit: Positive = 5

    def digested(self) -> dict[str, Any]:
        """What decides what is learned, where it is set: all but what ``undecisive`` names."""
        return self.model_dump(mode='json', exclude=set(self.undecisive), exclude_defaults=True)


class Plan(Settings):
    """How one network is trained, whatever the method: what ``engine.loop.train`` needs of a recipe."""

    name: Name
    seed: Annotated[int, Field(ge=0)] = 1
    phases: Annotated[tuple[SerializeAsAny[Stretch], ...], Field(min_length=1)]
    optimizer: OptimizerSection = OptimizerSection()
    run: RunSection = RunSection()

    @property
    def total_steps(self) -> int:
        """Steps of all phases together."""
        return sum(phase.steps for phase in self.phases)


class StudentRecipe(Settings):
    """A student, how it sees, and how it is trained: what recipes of all methods have in common."""

    name: Name
    version: str
    license: str
    seed: Annotated[int, Field(ge=0)] = 1
    student: StudentSection
    input: InputSection
    depth: DepthSection
    augmentation: Augmentation = Augmentation()
    losses: LossSection = LossSection()
    run: RunSection = RunSection()


class Recipe(StudentRecipe):
    """The whole recipe of supervised training; ``method`` tells recipes of several methods apart.

    Attributes:
        learned_from: what provenance names, for a method that learns from more than ``data``.
    """

    added: ClassVar = ('learned_from',)

    method: Literal['supervised'] = 'supervised'
    data: DataSection
    learned_from: str | None = None
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    optimizer: OptimizerSection = OptimizerSection()

    @property
    def plan(self) -> Plan:
        """The part that decides how the network is trained."""
        return Plan(name=self.name, seed=self.seed, phases=self.phases, optimizer=self.optimizer, run=self.run)

    @property
    def total_steps(self) -> int:
        """Steps of all phases together."""
        return self.plan.total_steps

    def contract_for(
        self,
        classes: tuple[ClassInfo, ...],
        provenance: dict[str, Any] | None = None,
        metrics: dict[str, Any] | None = None,
        statistics: InputStatistics | None = None,
    ) -> StudentContract:
        """State what a student promises; without queries or a thing to count it has no instance outputs."""
        has_instances = SIZES[self.student.size].has_queries and any(entry.is_thing for entry in classes)
        return StudentContract(
            name=self.name,
            version=self.version,
            license=self.license,
            input=InputSpec(**self.input.model_dump()),
            classes=classes,
            outputs=outputs_of(has_instances),
            depth=DepthSpec(**self.depth.model_dump()),
            provenance=provenance or {},
            metrics=metrics or {},
            input_statistics=statistics,
        )
