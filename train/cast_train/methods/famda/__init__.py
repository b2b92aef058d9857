# SPDX-License-Identifier: Apache-2.0
"""FAMDA, reconstructed: a student learns a domain without labels from its own average (papers.md §3)."""

from cast_train.methods.famda.recipe import FamdaRecipe, load_famda_recipe
from cast_train.methods.famda.stages import STAGES, Domains, Famda

__all__ = ['STAGES', 'Domains', 'Famda', 'FamdaRecipe', 'load_famda_recipe']
