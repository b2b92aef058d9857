# SPDX-License-Identifier: Apache-2.0
"""What a finished training left in its folder: its student, its weights, their number, and how long it took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from cast_ros.student import Student, StudentContract
from cast_train.data.registry import classes_of
from cast_train.engine.checkpoint import BEST, LAST, load_checkpoint
from cast_train.engine.recipe import Recipe
from cast_train.engine.recipe_file import parse
from cast_train.errors import TrainingError
from cast_train.models import StudentNetwork
from cast_train.models.graph import TorchStudent

LOG = 'log.jsonl'


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
    recipe = parse(Recipe, state['recipe'], str(path))
    if root is not None:
        recipe = recipe.model_copy(update={'data': recipe.data.model_copy(update={'root': root})})
    part = recipe.data.train[0]
    classes = classes_of(recipe.data.dataset, recipe.data.root, part.split, part.domain, recipe.data.class_map)
    contract = recipe.contract_for(classes)
    network = StudentNetwork(recipe.student.architecture, len(classes), contract.thing_ids)
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
        with Student.load(student) as exported:
            return exported.contract
    return load_student(student)[0].contract


def weights_in(folder: Path) -> Path:
    """The checkpoint that a finished run stands for: the best one if it stopped early."""
    best = folder / BEST
    return best if best.is_file() else folder / LAST


def millions(*networks: torch.nn.Module) -> float:
    """Millions of parameters of all networks together."""
    return sum(parameter.numel() for network in networks for parameter in network.parameters()) / 1e6


def seconds_in(folder: Path) -> float:
    """Seconds that the steps in a run's log took; steps that a kill made it repeat count once."""
    spent: dict[int, float] = {}
    log = folder / LOG
    for line in log.read_text().splitlines() if log.is_file() else []:
        record = json.loads(line)
        if 'seconds' in record:
            spent[record['step']] = record['seconds']
    return round(sum(spent.values()), 1)
