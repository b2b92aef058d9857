# SPDX-License-Identifier: Apache-2.0
"""`cast-train validate`: check a recipe completely, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from cast_train.engine.recipe import Recipe
    from cast_train.engine.validation import Finding
    from cast_train.methods.cast import CastRecipe
    from cast_train.methods.encoder import EncoderRecipe
    from cast_train.methods.famda import FamdaRecipe
    from cast_train.methods.night import NightRecipe
    from cast_train.methods.swinmtl import SwinMtlRecipe
    from cast_train.teachers.promptable import PromptableRecipe


def validate(
    recipe: Annotated[Path, typer.Argument(help='Recipe (YAML) of any method.')],
    overrides: Annotated[
        list[str] | None, typer.Option('--set', help='Change a value: key.sub=value; may be repeated.')
    ] = None,
) -> None:
    """Check keys, data, weights and sizes of a recipe and try one step; prints what was found, exit 2 if it is bad."""
    from cast_train.engine.recipe import Recipe
    from cast_train.methods.cast import CastRecipe
    from cast_train.methods.encoder import EncoderRecipe
    from cast_train.methods.famda import FamdaRecipe
    from cast_train.methods.night import NightRecipe
    from cast_train.methods.registry import open_recipe
    from cast_train.methods.swinmtl import SwinMtlRecipe
    from cast_train.teachers.promptable import PromptableRecipe

    parsed = open_recipe(recipe, tuple(overrides or ()))
    # One line for each kind of recipe.
    checks: dict[type, Callable[[Any], list[Finding]]] = {
        Recipe: _check_supervised,
        CastRecipe: _check_cast,
        FamdaRecipe: _check_famda,
        NightRecipe: _check_night,
        SwinMtlRecipe: _check_swinmtl,
        PromptableRecipe: _check_promptable,
        EncoderRecipe: _check_encoder,
    }
    findings = checks[type(parsed)](parsed)
    width = max(len(finding.subject) for finding in findings)
    typer.echo(f'{recipe} is valid')
    for finding in findings:
        typer.echo(f'  {finding.subject:{width}}  {finding.text}')


def _check_supervised(recipe: Recipe) -> list[Finding]:
    from cast_train.engine.validation import check_recipe

    return check_recipe(recipe)


def _check_cast(recipe: CastRecipe) -> list[Finding]:
    """The stage that costs most memory stands for all of the student's."""
    from cast_train.engine.validation import check_files, check_recipe

    teacher = recipe.teacher.model_dump()
    files = check_files([(f'teacher.{key}', teacher[key]) for key in ('initial', 'masks') if key in teacher])
    stages = recipe.stages
    present = [stages.distillation, stages.refinement]
    largest = max(present, key=lambda stage: (stage.labelled + stage.unlabelled) * stage.height * stage.width)
    plain = recipe.of_stage(largest, recipe.student.size)
    return [*files, *check_recipe(plain.model_copy(update={'student': recipe.student}))]


def _check_famda(recipe: FamdaRecipe) -> list[Finding]:
    """Both domains and the networks that teach; the step of the adaptation stands for all stages."""
    from cast_train.engine.recipe import DataSection
    from cast_train.engine.validation import Finding, check_data, check_files, check_recipe

    teachers = (('segments', recipe.segments), ('depth_teacher', recipe.depth_teacher))
    checkpoints = [
        (f'{role}.settings.checkpoint', Path(teacher.settings['checkpoint']))
        for role, teacher in teachers
        if teacher is not None and 'checkpoint' in teacher.settings
    ]
    source = DataSection(**recipe.source.model_dump(exclude={'name'}))
    plain = recipe.of_stage(recipe.stages.adaptation).model_copy(update={'student': recipe.student})
    return [
        *check_files(checkpoints),
        *(Finding(f'{recipe.source.name}: {one.subject}', one.text) for one in check_data(source)[1]),
        *(Finding(f'{recipe.target.name}: {one.subject}', one.text) for one in check_recipe(plain)),
    ]


def _check_night(recipe: NightRecipe) -> list[Finding]:
    """Its pictures and its student come with the command line; what is left is how long it learns."""
    from cast_train.engine.validation import Finding

    stages = {'source': recipe.stages.source, 'adaptation': recipe.stages.adaptation}
    return [
        Finding(name, f'{stage.steps} steps of {stage.labelled} + {stage.unlabelled} pictures')
        for name, stage in stages.items()
    ]


def _check_swinmtl(recipe: SwinMtlRecipe) -> list[Finding]:
    from cast_train.engine.validation import check_recipe

    return check_recipe(recipe.of_student.model_copy(update={'student': recipe.student}))


def _check_promptable(recipe: PromptableRecipe) -> list[Finding]:
    from cast_train.engine.validation import check_data

    return check_data(recipe.data)[1]


def _check_encoder(recipe: EncoderRecipe) -> list[Finding]:
    from cast_train.engine.validation import check_data, check_files

    return [*check_files([('guide.weights', recipe.guide.weights)]), *check_data(recipe.data)[1]]
