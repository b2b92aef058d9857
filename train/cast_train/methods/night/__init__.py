# SPDX-License-Identifier: Apache-2.0
"""From two recordings to a student that knows the second as well: an adaptation with FAMDA, judged and gated."""

from cast_train.methods.night.recipe import NightRecipe, load_night_recipe
from cast_train.methods.night.run import run_night

__all__ = ['NightRecipe', 'load_night_recipe', 'run_night']
