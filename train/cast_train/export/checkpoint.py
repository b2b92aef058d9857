# SPDX-License-Identifier: Apache-2.0
"""A run folder turned back into a student."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import onnx
import torch

from cast_ros.student import Student as RuntimeStudent
from cast_ros.student import StudentContract
from cast_train.data.registry import classes_of
from cast_train.engine.checkpoint import LAST, load_checkpoint
from cast_train.engine.contract import build_contract
from cast_train.engine.recipe import Recipe, parse_recipe
from cast_train.errors import TrainingError
from cast_train.export.revision import git_revision
from cast_train.models import Student
from cast_train.models.graph import TorchStudent


def load_student(run: Path, root: Path | None = None) -> tuple[TorchStudent, Recipe, dict[str, Any]]:
    """Return the averaged weights of a run as a student, its recipe, and the whole state.

    Args:
        run: run folder, or a checkpoint in it.
        root: folder of the data set, when it may have moved since training.

    Raises:
        TrainingError: the folder holds no checkpoint, or its weights do not fit its recipe.
        DataError: only the data set itself says which classes it has, and it is not where the recipe says.
    """
    path = run / LAST if run.is_dir() else run
    state = load_checkpoint(path)
    recipe = parse_recipe(state['recipe'], str(path))
    if root is not None:
        recipe = recipe.model_copy(update={'data': recipe.data.model_copy(update={'root': root})})
    part = recipe.data.train[0]
    classes = classes_of(recipe.data.dataset, recipe.data.root, part.split, part.domain, recipe.data.class_map)
    contract = build_contract(recipe, classes)
    network = Student(recipe.student.architecture, len(classes), contract.thing_ids)
    try:
        network.load_state_dict(state['ema'])
    except RuntimeError as error:
        raise TrainingError(
            f'{path}: its weights do not fit its recipe ({error}); it was made by another version'
        ) from error
    return TorchStudent(network.eval(), contract), recipe, state


def contract_of(student: Path) -> StudentContract:
    """The contract of an exported student, or of what a run folder or checkpoint holds.

    Raises:
        StudentError, TrainingError: it is none of these.
    """
    if student.suffix == '.onnx':
        with RuntimeStudent.load(student) as exported:
            return exported.contract
    return load_student(student)[0].contract


def provenance_of(recipe: Recipe, state: dict[str, Any]) -> dict[str, Any]:
    """Where a student comes from: recipe, data, revision, seed, versions and steps."""
    return {
        'recipe': recipe.name,
        'data': recipe.learned_from or recipe.data.in_words,
        'seed': recipe.seed,
        'steps': state['step'],
        'git_revision': git_revision(),
        'trained': datetime.fromtimestamp(state['saved'], timezone.utc).isoformat(timespec='seconds'),
        'torch': torch.__version__,
        'onnx': onnx.__version__,
    }
