# SPDX-License-Identifier: Apache-2.0
"""Pretraining the backbone of a student, as a method."""

from __future__ import annotations

from pathlib import Path

from cast_train.engine.validation import Finding, check_data, check_files
from cast_train.methods.encoder import EncoderRecipe, fit_encoder
from cast_train.methods.pipeline import Method, Say, in_one_go


def _check(recipe: EncoderRecipe) -> list[Finding]:
    return [*check_files([('guide.weights', recipe.guide.weights)]), *check_data(recipe.data)[1]]


def _run(recipe: EncoderRecipe, folder: Path, resume: bool, _: Say) -> str:
    file = folder / f'{recipe.name}.safetensors'
    fit_encoder(recipe, folder, file, resume)
    return f'{file}: use it with --set student.backbone_weights={file}'


METHOD = Method(_check, in_one_go(_run))
