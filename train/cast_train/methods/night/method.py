# SPDX-License-Identifier: Apache-2.0
"""From day to night, as a method; `cast-train night` starts it: recordings and student are no part of a recipe."""

from __future__ import annotations

from cast_train.engine.validation import Finding
from cast_train.methods.famda.method import check_teachers
from cast_train.methods.night.recipe import NightRecipe
from cast_train.methods.pipeline import Method


def _check(recipe: NightRecipe) -> list[Finding]:
    """Its pictures and its student come with the command line; what is left is its teachers, and how long it learns."""
    stages = {'source': recipe.stages.source, 'adaptation': recipe.stages.adaptation}
    return [
        *check_teachers(recipe.segments, recipe.depth_teacher),
        *(
            Finding(name, f'{stage.steps} steps of {stage.labelled} + {stage.unlabelled} pictures')
            for name, stage in stages.items()
        ),
    ]


METHOD = Method(_check, run=None)
