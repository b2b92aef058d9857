# SPDX-License-Identifier: Apache-2.0
"""The contract of a student, from the recipe that trains it."""

from __future__ import annotations

from typing import Any

from cast_ros.student import ClassInfo, DepthSpec, InputSpec, InputStatistics, StudentContract
from cast_train.engine.recipe import Recipe
from cast_train.models import SIZES
from cast_train.models.graph import outputs_of


def build_contract(
    recipe: Recipe,
    classes: tuple[ClassInfo, ...],
    provenance: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
    statistics: InputStatistics | None = None,
) -> StudentContract:
    """State what a student of ``recipe`` promises; without queries or a thing to count it has no instance outputs."""
    has_instances = SIZES[recipe.student.size].has_queries and any(entry.is_thing for entry in classes)
    return StudentContract(
        name=recipe.name,
        version=recipe.version,
        license=recipe.license,
        input=InputSpec(height=recipe.input.height, width=recipe.input.width, resize=recipe.input.resize),
        classes=classes,
        outputs=outputs_of(has_instances),
        depth=DepthSpec(cap_m=recipe.depth.cap_m, focal_reference_px=recipe.depth.focal_reference_px),
        provenance=provenance or {},
        metrics=metrics or {},
        input_statistics=statistics,
    )
