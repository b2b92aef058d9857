# SPDX-License-Identifier: Apache-2.0
"""CAST as a method: what is checked, run and told of it."""

from __future__ import annotations

from cast_train.engine.validation import Finding, check_files, check_recipe
from cast_train.methods.cast.recipe import CastRecipe
from cast_train.methods.cast.stages import STAGES, Cast
from cast_train.methods.method import Pictures
from cast_train.methods.pipeline import Method, Staged, Told


def _check(recipe: CastRecipe) -> list[Finding]:
    """The stage that costs most memory stands for all of the student's."""
    teacher = recipe.teacher.model_dump()
    files = check_files([(f'teacher.{key}', teacher[key]) for key in ('initial', 'masks') if key in teacher])
    present = [recipe.stages.distillation, recipe.stages.refinement]
    largest = max(present, key=lambda stage: (stage.labelled + stage.unlabelled) * stage.height * stage.width)
    plain = recipe.of_stage(largest, recipe.student.size)
    return [*files, *check_recipe(plain.model_copy(update={'student': recipe.student}))]


def _tell(cast: Cast) -> Told:
    recipe, pictures, split = cast.recipe, cast.pictures, cast.split
    return Told(
        f'{len(cast.every_label)} of {len(pictures.train)} pictures with labels ({split.source})',
        {'method': 'CAST', 'labels': split.source, 'teacher': recipe.teacher.kind},
        recipe.of_stage(recipe.stages.refinement, recipe.student.size),
        {
            'data_sha256': pictures.digest,
            'labelled': [pictures.names[index] for index in split.labelled],
            'held_out': [pictures.names[index] for index in split.held_out],
        },
    )


STAGED = Staged(
    read=lambda recipe: Pictures(recipe.data),
    identity=lambda recipe: recipe.data.model_dump_json(exclude={'labels'}),
    make=Cast,
    stages=STAGES,
    last='refinement',
    tell=_tell,
)
METHOD = Method(_check, STAGED)
