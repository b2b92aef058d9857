# SPDX-License-Identifier: Apache-2.0
"""Supervised training as a method: labels, one student, one run."""

from __future__ import annotations

from cast_train.engine.fitting import fit
from cast_train.engine.validation import check_recipe
from cast_train.methods.pipeline import Method, in_one_go, in_words

METHOD = Method(
    check=check_recipe,
    run=in_one_go(lambda recipe, folder, resume, _: in_words(fit(recipe, folder, resume))),
    shares_work=True,
)
