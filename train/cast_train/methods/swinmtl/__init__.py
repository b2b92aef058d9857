# SPDX-License-Identifier: Apache-2.0
"""SwinMTL: depth and segmentation learned together, with a critic beside them (papers.md §2)."""

from cast_train.methods.swinmtl.recipe import SwinMtlRecipe, load_swinmtl_recipe
from cast_train.methods.swinmtl.stages import STAGES, SwinMtl

__all__ = ['STAGES', 'SwinMtl', 'SwinMtlRecipe', 'load_swinmtl_recipe']
