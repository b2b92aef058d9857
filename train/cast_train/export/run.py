# SPDX-License-Identifier: Apache-2.0
"""A finished run as one checked ONNX file with contract, measured metrics, input statistics and card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import onnx
import torch

from cast_ros.student import Student
from cast_train.engine.evaluate import evaluate, headline
from cast_train.engine.fitting import read_parts
from cast_train.engine.recipe import Recipe
from cast_train.engine.trained import load_student
from cast_train.export.card import write_card
from cast_train.export.onnx import export_onnx
from cast_train.export.parity import Parity, check_parity
from cast_train.export.revision import git_revision
from cast_train.export.statistics import measure_statistics

# Pictures that the input statistics are taken from.
STATISTICS_PICTURES = 200


@dataclass(frozen=True)
class Exported:
    """What came out: two files, how well file and network agree, and the metrics of the file."""

    model: Path
    card: Path
    parity: Parity
    metrics: dict[str, float]

    @property
    def summary(self) -> str:
        """Two lines for people."""
        figures = '  '.join(f'{name} {value:.4f}' for name, value in self.metrics.items())
        return (
            f'{self.model} ({self.model.stat().st_size / 1e6:.1f} MB) and {self.card.name}: '
            f'{self.parity.summary}\n{figures}'
        )


def export_run(
    run: Path,
    out: Path,
    root: Path | None = None,
    provenance: Mapping[str, Any] | None = None,
    now: Recipe | None = None,
) -> Exported:
    """Export the averaged weights of a run, compare file and network on the validation part, and write the card.

    The student is called like its file; its provenance names the recipe.

    Args:
        run: run folder, or a checkpoint in it.
        out: the ONNX file.
        root: folder of the data set, when it moved since training.
        provenance: to be added to what the run knows of itself.
        now: the recipe of the run as it reads now; what decides no weight (name, version, licence, where the data lies)
            is taken from it.

    Raises:
        TrainingError: there is no such run.
        ExportError: an operator does not export, or the file answers differently from the network.
    """
    student, recipe, state = load_student(run, now.data.root if root is None and now is not None else root)
    if now is not None:
        told = {'name': now.name, 'version': now.version, 'license': now.license}
        data = recipe.data.model_copy(update={'in_memory': now.data.in_memory})
        recipe = recipe.model_copy(update={**told, 'data': data})
    train, classes = read_parts(recipe, recipe.data.train)
    validation, _ = read_parts(recipe, recipe.data.validation)
    unchecked = out.with_name(f'{out.name}.unchecked')
    try:
        export_onnx(student.network, student.contract, unchecked)
        parity = check_parity(unchecked, student, validation)
        parity.require(out)
        with Student.load(unchecked) as exported:
            scores = evaluate(exported, validation)
        metrics = headline(scores)
        where = ', '.join(f'{recipe.data.dataset} {part.split} {part.domain}' for part in recipe.data.validation)
        contract = recipe.model_copy(update={'name': out.stem}).contract_for(
            classes,
            {**provenance_of(recipe, state), **(provenance or {})},
            {'data': where, 'pictures': len(validation), **metrics},
            measure_statistics(student, train[:STATISTICS_PICTURES]),
        )
        export_onnx(student.network, contract, out)
    finally:
        unchecked.unlink(missing_ok=True)
    card = write_card(out, run if run.is_dir() else run.parent, recipe, contract, scores, parity)
    return Exported(out, card, parity, metrics)


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
