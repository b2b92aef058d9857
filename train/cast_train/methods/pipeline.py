# SPDX-License-Identifier: Apache-2.0
"""A whole run of a method: all stages, the exported student with its card, and a manifest of what went in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cast_ros.files import write_text
from cast_train.engine.recipe import Recipe
from cast_train.engine.trained import weights_in
from cast_train.export.revision import git_revision
from cast_train.export.run import export_run
from cast_train.methods.cast import Cast, CastRecipe
from cast_train.methods.famda import Domains, Famda, FamdaRecipe
from cast_train.methods.method import Pictures
from cast_train.methods.stages import Stages, StoredStage, digest_of, digest_of_file
from cast_train.methods.swinmtl import SwinMtl, SwinMtlRecipe

MANIFEST = 'manifest.json'


def run_cast(recipe: CastRecipe, folder: Path, store: Path, say: Callable[[str], None]) -> Path:
    """Run every stage of CAST that is not in ``store`` yet, export the refined student, and return its ONNX file.

    Args:
        recipe: what to do.
        folder: gets NAME.onnx with its card and ``manifest.json``.
        store: where stages are found and put; a killed run goes on there.
        say: told what happens.

    Raises:
        TrainingError: a stage diverged, or the network lost accuracy when it was exported.
        DataError: the data set is not as expected.
        TeacherError: the teacher cannot be loaded, or its labels collapsed.
        StageBusyError: another process works in the same store on the same stage.
    """
    pictures = Pictures(recipe.data)
    cast = Cast(recipe, Stages(store, say), pictures)
    say(f'{len(cast.every_label)} of {len(pictures.train)} pictures with labels ({cast.split.source})')
    refined = cast.refinement()
    data = {
        'data_sha256': pictures.digest,
        'labelled': [pictures.names[index] for index in cast.split.labelled],
        'held_out': [pictures.names[index] for index in cast.split.held_out],
    }
    method = {'method': 'CAST', 'labels': cast.split.source, 'teacher': recipe.teacher.kind}
    now = recipe.of_stage(recipe.stages.refinement, recipe.student.size)
    return _finish(recipe, now, cast.stages, refined, folder, method, data)


def run_famda(recipe: FamdaRecipe, folder: Path, store: Path, say: Callable[[str], None]) -> Path:
    """Run every stage of FAMDA that is not in ``store`` yet, export the adapted student, and return its ONNX file.

    Arguments and errors as for ``run_cast``.
    """
    domains = Domains(recipe)
    famda = Famda(recipe, Stages(store, say), domains)
    say(
        f'{len(domains.source.train)} pictures of {recipe.source.name} with labels, '
        f'{len(domains.target.train)} of {recipe.target.name} without'
    )
    adapted = famda.adapted()
    method = {
        'method': 'FAMDA, reconstructed',
        'source': recipe.source.name,
        'target': recipe.target.name,
        'segments': 'none' if recipe.segments is None else recipe.segments.kind,
        'depth_teacher': 'none' if recipe.depth_teacher is None else recipe.depth_teacher.kind,
    }
    now = recipe.of_stage(recipe.stages.adaptation)
    return _finish(recipe, now, famda.stages, adapted, folder, method, {'data_sha256': domains.digest})


def run_swinmtl(recipe: SwinMtlRecipe, folder: Path, store: Path, say: Callable[[str], None]) -> Path:
    """Train a student as SwinMTL does unless it is in ``store``, export it, and return its ONNX file.

    Arguments and errors as for ``run_cast``.
    """
    pictures = Pictures(recipe.data)
    swinmtl = SwinMtl(recipe, Stages(store, say), pictures)
    method = {
        'method': 'SwinMTL',
        'tasks': ', '.join(recipe.tasks),
        'critic': 'no' if recipe.critic is None else 'yes',
        'cut_mix': 'yes' if recipe.cut_mix else 'no',
    }
    data = {'data_sha256': pictures.digest}
    return _finish(recipe, recipe.of_student, swinmtl.stages, swinmtl.student(), folder, method, data)


def _finish(
    recipe: CastRecipe | FamdaRecipe | SwinMtlRecipe,
    now: Recipe,
    stages: Stages,
    last: StoredStage,
    folder: Path,
    method: dict[str, str],
    data: dict[str, Any],
) -> Path:
    """Export the last stage's student, told of as its plain recipe reads ``now``, and write down what went into it."""
    student = folder / f'{recipe.name}.onnx'
    folder.mkdir(parents=True, exist_ok=True)
    stages.say(export_run(weights_in(last.folder), student, provenance=method, now=now).summary)
    document = {
        'recipe': recipe.model_dump(mode='json'),
        'recipe_sha256': digest_of(recipe.model_dump(mode='json')),
        **data,
        'git_revision': git_revision(),
        'stages': [_entry(stage) for stage in stages.used],
        'student': student.name,
        'student_sha256': digest_of_file(student),
    }
    write_text(folder / MANIFEST, json.dumps(document, indent=1))
    return student


def _entry(stage: StoredStage) -> dict[str, Any]:
    weights = weights_in(stage.folder)
    return {
        'name': stage.name,
        'digest': stage.digest,
        'folder': stage.folder.name,
        'checkpoint_sha256': digest_of_file(weights) if weights.is_file() else None,
        **stage.result,
    }
