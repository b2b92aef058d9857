# SPDX-License-Identifier: Apache-2.0
"""Supervised training as a method: labels, one student, one run."""

from __future__ import annotations

from cast_train.engine.fitting import fit
from cast_train.engine.recipe import Recipe
from cast_train.engine.validation import check_recipe
from cast_train.methods.pipeline import Method, Place, figures


def _run(recipe: Recipe, place: Place) -> str:
    return figures(fit(recipe, place.folder, place.resume))


METHOD = Method(Recipe, check_recipe, _run, shares_work=True)
