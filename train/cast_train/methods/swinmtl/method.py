# SPDX-License-Identifier: Apache-2.0
"""SwinMTL as a method: what is checked, run and told of it."""

from __future__ import annotations

from cast_train.engine.validation import Finding, check_recipe
from cast_train.methods.method import Pictures
from cast_train.methods.pipeline import Method, Staged, Told
from cast_train.methods.swinmtl.recipe import SwinMtlRecipe
from cast_train.methods.swinmtl.stages import STAGES, SwinMtl


def _check(recipe: SwinMtlRecipe) -> list[Finding]:
    return check_recipe(recipe.of_student.model_copy(update={'student': recipe.student}))


def _tell(swinmtl: SwinMtl) -> Told:
    recipe, pictures = swinmtl.recipe, swinmtl.pictures
    return Told(
        f'{len(pictures.train)} pictures with labels',
        {
            'method': 'SwinMTL',
            'tasks': ', '.join(recipe.tasks),
            'critic': 'no' if recipe.critic is None else 'yes',
            'cut_mix': 'yes' if recipe.cut_mix else 'no',
        },
        recipe.of_student,
        {'data_sha256': pictures.digest},
    )


STAGED = Staged(
    read=lambda recipe: Pictures(recipe.data),
    identity=lambda recipe: recipe.data.model_dump_json(),
    make=SwinMtl,
    stages=STAGES,
    last='student',
    tell=_tell,
)
METHOD = Method(_check, STAGED)
