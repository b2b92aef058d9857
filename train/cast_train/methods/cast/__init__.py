# SPDX-License-Identifier: Apache-2.0
"""CAST: a teacher is adapted, a student distilled from it and refined, with a contrast of pixels (papers.md §1)."""

from cast_train.methods.cast.recipe import CastRecipe, load_cast_recipe, parse_cast_recipe
from cast_train.methods.cast.stages import STAGES, Cast

__all__ = ['STAGES', 'Cast', 'CastRecipe', 'load_cast_recipe', 'parse_cast_recipe']
