# SPDX-License-Identifier: Apache-2.0
"""FAMDA as a method: what is checked, run and told of it."""

from __future__ import annotations

from pathlib import Path

from cast_train.engine.recipe import DataSection
from cast_train.engine.validation import Finding, check_data, check_files, check_recipe
from cast_train.methods.famda.recipe import FamdaRecipe, TeacherSection
from cast_train.methods.famda.stages import STAGES, Domains, Famda
from cast_train.methods.pipeline import Method, Staged, Told


def check_teachers(segments: TeacherSection | None, depth_teacher: TeacherSection | None) -> list[Finding]:
    """The checkpoints of the networks that teach."""
    teachers = (('segments', segments), ('depth_teacher', depth_teacher))
    return check_files(
        [
            (f'{role}.settings.checkpoint', Path(teacher.settings['checkpoint']))
            for role, teacher in teachers
            if teacher is not None and 'checkpoint' in teacher.settings
        ]
    )


def _check(recipe: FamdaRecipe) -> list[Finding]:
    """Both domains and the networks that teach; the step of the adaptation stands for all stages."""
    source = DataSection(**recipe.source.model_dump(exclude={'name'}))
    plain = recipe.of_stage(recipe.stages.adaptation).model_copy(update={'student': recipe.student})
    return [
        *check_teachers(recipe.segments, recipe.depth_teacher),
        *(Finding(f'{recipe.source.name}: {one.subject}', one.text) for one in check_data(source)[1]),
        *(Finding(f'{recipe.target.name}: {one.subject}', one.text) for one in check_recipe(plain)),
    ]


def _tell(famda: Famda) -> Told:
    recipe, domains = famda.recipe, famda.domains
    teachers = {'segments': recipe.segments, 'depth_teacher': recipe.depth_teacher}
    return Told(
        f'{len(domains.source.train)} pictures of {recipe.source.name} with labels, '
        f'{len(domains.target.train)} of {recipe.target.name} without',
        {
            'method': 'FAMDA, reconstructed',
            'source': recipe.source.name,
            'target': recipe.target.name,
            **{role: 'none' if teacher is None else teacher.kind for role, teacher in teachers.items()},
        },
        recipe.of_stage(recipe.stages.adaptation),
        {'data_sha256': domains.digest},
    )


STAGED = Staged(
    read=Domains,
    identity=lambda recipe: recipe.model_dump_json(include={'source', 'target'}),
    make=Famda,
    stages=STAGES,
    last='adapted',
    tell=_tell,
)
METHOD = Method(_check, STAGED)
