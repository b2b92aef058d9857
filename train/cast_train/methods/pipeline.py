# SPDX-License-Identifier: Apache-2.0
"""A whole CAST run: all stages, the exported student with its card, and a manifest of what went in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cast_ros.files import replacing
from cast_train.export.checkpoint import git_revision
from cast_train.export.run import export_run
from cast_train.methods.cast import Cast, Pictures, weights_in
from cast_train.methods.recipe import CastRecipe
from cast_train.methods.stages import Stages, digest_of, digest_of_file

MANIFEST = 'manifest.json'


def run_cast(recipe: CastRecipe, folder: Path, store: Path, say: Callable[[str], None]) -> Path:
    """Run every stage that is not in ``store`` yet, export the refined student, and return its ONNX file.

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
    student = folder / f'{recipe.name}.onnx'
    folder.mkdir(parents=True, exist_ok=True)
    method = {'method': 'CAST', 'labels': cast.split.source, 'teacher': recipe.teacher.kind}
    say(export_run(weights_in(refined.folder), student, provenance=method).summary)
    with replacing(folder / MANIFEST) as file:
        file.write(json.dumps(_manifest(cast, student), indent=1).encode())
    return student


def _manifest(cast: Cast, student: Path) -> dict[str, Any]:
    stages = []
    for stage in cast.stages.used:
        weights = weights_in(stage.folder)
        stages.append(
            {
                'name': stage.name,
                'digest': stage.digest,
                'folder': stage.folder.name,
                'checkpoint_sha256': digest_of_file(weights) if weights.is_file() else None,
                **stage.result,
            }
        )
    return {
        'recipe': cast.recipe.model_dump(mode='json'),
        'recipe_sha256': digest_of(cast.recipe.model_dump(mode='json')),
        'data_sha256': cast.pictures.digest,
        'labelled': [cast.pictures.names[index] for index in cast.split.labelled],
        'held_out': [cast.pictures.names[index] for index in cast.split.held_out],
        'git_revision': git_revision(),
        'stages': stages,
        'student': student.name,
        'student_sha256': digest_of_file(student),
    }
