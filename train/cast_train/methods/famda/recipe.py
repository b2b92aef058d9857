# SPDX-License-Identifier: Apache-2.0
"""The recipe of a FAMDA run: labelled source, unlabelled target, the teachers, the stages, in one YAML file."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from cast_train.data import StrongViews
from cast_train.engine.recipe import NamedPictures, Recipe
from cast_train.methods.method_recipe import MethodRecipe, StageSection, refuse_patience
from cast_train.models import SIZES
from cast_train.settings import Positive, Settings, Share, Weight


class DomainSection(NamedPictures):
    """The pictures of one domain; a class map brings data sets with other classes together.

    Attributes:
        name: what tables call it, for example ``day``.
    """

    places: ClassVar = NamedPictures.places | {'name'}

    name: Annotated[str, Field(pattern=r'^[a-z][a-z0-9]*$')]


class TeacherSection(Settings):
    """A teacher of a role: ``kind`` is a key of the role's table, ``settings`` are keys of its settings."""

    kind: str
    settings: dict[str, Any] = Field(default_factory=dict)


class RefinementSection(Settings):
    """How class-agnostic masks correct the class map of the target (``methods.famda.labels``).

    Attributes:
        least_share: a majority below this share of a mask's pixels corrects nothing.
        protected: names of classes whose pixels stay as they are: voting erases thin ones.
        instance_iou: an instance takes the mask that overlaps it at least so well; 1 keeps every instance's own.
    """

    least_share: Share = 0.6
    protected: tuple[str, ...] = ()
    instance_iou: Share = 0.6


class RareClassSection(Settings):
    """Rare-class sampling of the source (``methods.famda.stages``)."""

    temperature: Annotated[float, Field(gt=0)] = 0.01
    least_share: Share = 0.002


class MaskedSection(Settings):
    """Masked image consistency: the student must say what the teacher says, with patches of the target hidden."""

    weight: Annotated[float, Field(gt=0)] = 1.0
    patch_px: Positive = 32
    share: Share = 0.7


class AdaptationSection(Settings):
    """How the student learns the target.

    Attributes:
        decay: α of the teacher, the moving average of the student.
        weight: of all terms on the target.
        warm_up: steps over which that weight grows from zero.
        confidence: probability from which a pixel counts as sure; the share of sure pixels weighs the target's labels.
        class_mix: paste half of the source's classes onto the target.
        instance_score: least class probability of an instance pseudo-label.
        instance_quality: least mean probability inside its mask.
        things_from_instances: a pixel is of a thing only inside of an instance pseudo-label; elsewhere it takes the
            likeliest stuff. Else the class map's own things count as well.
        refinement: None takes the average's class map as it is.
        rare_classes: None draws source pictures alike.
        masked: None leaves the consistency out.
        feature_distance: weight of the distance to the features at the start, on things; 0 leaves it out.
        sky_from_depth: where a metric depth teacher sees no end is sky, whatever the average says, and nothing else is.
        class_alignment: how far the classes' shares of the pseudo-labels are drawn to those of the source's labels
            (``methods.famda.labels``); 0 leaves them, 1 makes them equal.
        target_colours: the source is learned in the colours of the target (``methods.famda.target``).
        norms: whose statistics the batch norms have. ``both``: those of source and target together, for a student that
            must know both. ``target``: while learning each domain its own, in the end those of the target's plain
            pictures (``methods.famda.target``), for domains so far apart that the mixture fits neither.
    """

    added: ClassVar = ('sky_from_depth', 'norms', 'class_alignment', 'things_from_instances', 'target_colours')

    decay: Share = 0.999
    weight: Weight = 1.0
    warm_up: Annotated[int, Field(ge=0)] = 0
    confidence: Share = 0.9
    class_mix: bool = True
    instance_score: Share = 0.5
    instance_quality: Share = 0.7
    things_from_instances: bool = False
    refinement: RefinementSection | None = RefinementSection()
    rare_classes: RareClassSection | None = RareClassSection()
    masked: MaskedSection | None = None
    feature_distance: Weight = 0.0
    sky_from_depth: bool = False
    class_alignment: Annotated[float, Field(ge=0, le=1)] = 0.0
    target_colours: bool = False
    norms: Literal['both', 'target'] = 'both'


class FamdaStages(Settings):
    """Stages and baselines.

    Attributes:
        source: labels of the source alone; what every adaptation starts from.
        source_only: the baseline, as many steps as source and adaptation together.
        adaptation: of what ``source`` left.
        oracle: the same, with the labels of the target; for tables, where they are known.
    """

    source: StageSection
    adaptation: StageSection
    source_only: StageSection | None = None
    oracle: StageSection | None = None

    @model_validator(mode='after')
    def _nothing_judges(self) -> FamdaStages:
        stages = {'source': self.source, 'adaptation': self.adaptation}
        baselines = {'source_only': self.source_only, 'oracle': self.oracle}
        refuse_patience({**stages, **baselines}, 'FAMDA holds no labels back that could judge a stage while it learns')
        return self


class FamdaRecipe(MethodRecipe):
    """The whole recipe.

    Attributes:
        segments: teacher of class-agnostic masks, a key of ``teachers.registry.SEGMENT_TEACHERS``; None for none.
        depth_teacher: a key of ``teachers.registry.DEPTH_TEACHERS``; None leaves depth to the average itself.
        relative_depth: weight of the loss on a relative teacher's disparity.
        target_labels_every: every so-many-th training picture of the target, in their order, brings its labels, and
            half of the labelled pictures of each step are such ones; None adapts without a label of the target.
    """

    added: ClassVar = ('target_labels_every',)
    # The teachers are in the stages that they label in, and these in the adaptation, to which baselines have to hold.
    of_adaptation: ClassVar = frozenset({'relative_depth', 'target_labels_every', 'strong', 'adaptation'})
    by_stage: ClassVar = (
        MethodRecipe.by_stage | of_adaptation | {'source', 'target', 'segments', 'depth_teacher', 'stages'}
    )

    method: Literal['famda']
    source: DomainSection
    target: DomainSection
    segments: TeacherSection | None = None
    depth_teacher: TeacherSection | None = None
    relative_depth: Weight = 1.0
    target_labels_every: Positive | None = None
    strong: StrongViews = StrongViews()
    adaptation: AdaptationSection = AdaptationSection()
    stages: FamdaStages

    @model_validator(mode='after')
    def _names_differ(self) -> FamdaRecipe:
        if self.source.name == self.target.name:
            raise ValueError(f'source and target are both named {self.source.name!r}; tables could not tell them apart')
        return self

    @model_validator(mode='after')
    def _student_has_queries(self) -> FamdaRecipe:
        if not SIZES[self.student.size].has_queries:
            raise ValueError(
                f'student.size {self.student.size!r} answers no instances, and FAMDA adapts by its queries'
            )
        return self

    @model_validator(mode='after')
    def _sky_needs_depth(self) -> FamdaRecipe:
        if self.adaptation.sky_from_depth and self.depth_teacher is None:
            raise ValueError('adaptation.sky_from_depth needs a depth_teacher that says where the sky is')
        return self

    def of_stage(self, stage: StageSection, learned_from: str | None = None) -> Recipe:
        """The plain recipe of one stage; its data are the target's, and ``learned_from`` names all."""
        return self.plain(stage, self.target).model_copy(update={'learned_from': learned_from})

    def learned_from(self) -> str:
        """What an adapted student has seen, for its provenance: its licences are those of all of this."""
        every = self.target_labels_every
        labels = 'no labels' if every is None else f'the labels of every picture in {every}'
        teachers = [section.kind for section in (self.segments, self.depth_teacher) if section is not None]
        told = f', teachers {" and ".join(teachers)}' if teachers else ''
        return f'{self.source.in_words} with labels, {self.target.in_words} with {labels}{told}'
