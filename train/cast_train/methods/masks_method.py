# SPDX-License-Identifier: Apache-2.0
"""Training the promptable mask network, as a method."""

from __future__ import annotations

from cast_train.engine.validation import Finding, check_data
from cast_train.methods.pipeline import Method, Place, figures
from cast_train.teachers.promptable import PromptableRecipe, fit_promptable


def _check(recipe: PromptableRecipe) -> list[Finding]:
    return check_data(recipe.data)[1]


def _run(recipe: PromptableRecipe, place: Place) -> str:
    return figures(fit_promptable(recipe, place.folder, place.resume, place.say))


METHOD = Method(PromptableRecipe, _check, _run)
