# SPDX-License-Identifier: Apache-2.0
"""Training the promptable mask network, as a method."""

from __future__ import annotations

from cast_train.engine.validation import check_data
from cast_train.methods.pipeline import Method, in_one_go, in_words
from cast_train.teachers.promptable import fit_promptable

METHOD = Method(
    check=lambda recipe: check_data(recipe.data)[1],
    run=in_one_go(lambda recipe, folder, resume, say: in_words(fit_promptable(recipe, folder, resume, say))),
)
