# SPDX-License-Identifier: Apache-2.0
"""The methods that are one training: plain supervision, the promptable mask network, a backbone's pretraining."""

from __future__ import annotations

from pathlib import Path

from cast_train.engine.fitting import fit
from cast_train.engine.validation import Finding, check_data, check_files, check_recipe
from cast_train.methods.encoder import EncoderRecipe, fit_encoder
from cast_train.methods.pipeline import Method, Say, in_one_go, in_words
from cast_train.teachers.promptable import fit_promptable


def _check_encoder(recipe: EncoderRecipe) -> list[Finding]:
    return [*check_files([('guide.weights', recipe.guide.weights)]), *check_data(recipe.data)[1]]


def _run_encoder(recipe: EncoderRecipe, folder: Path, resume: bool, _: Say) -> str:
    file = folder / f'{recipe.name}.safetensors'
    fit_encoder(recipe, folder, file, resume)
    return f'{file}: use it with --set student.backbone_weights={file}'


SUPERVISED = Method(
    check=check_recipe,
    run=in_one_go(lambda recipe, folder, resume, _: in_words(fit(recipe, folder, resume))),
    shares_work=True,
)
MASKS = Method(
    check=lambda recipe: check_data(recipe.data)[1],
    run=in_one_go(lambda recipe, folder, resume, _: in_words(fit_promptable(recipe, folder, resume))),
)
ENCODER = Method(_check_encoder, in_one_go(_run_encoder))
