# SPDX-License-Identifier: Apache-2.0
"""`cast-train evaluate`: judge an exported student or a run on a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cast_ros.offline.evaluation.compare import Scores
from cast_ros.student import Student

if TYPE_CHECKING:
    from cast_train.engine.evaluate import Predictor


def evaluate(
    student: Annotated[Path, typer.Argument(help='An exported student (.onnx), or a run folder of `cast-train run`.')],
    dataset: Annotated[str, typer.Option(help='Name of the data set.')] = 'streets',
    root: Annotated[
        Path | None, typer.Option(help="Folder of the data set; that of a run's recipe by default.")
    ] = None,
    split: Annotated[str, typer.Option(help='Split.')] = 'val',
    domain: Annotated[str, typer.Option(help='Domain, for example day or night.')] = 'day',
    class_map: Annotated[str | None, typer.Option(help='Class map, if the student was trained with one.')] = None,
    as_json: Annotated[bool, typer.Option('--json', help='Print everything as JSON.')] = False,
) -> None:
    """Print AP, mIoU and depth errors of a student."""
    from cast_train.data import load_samples, open_dataset
    from cast_train.engine.evaluate import evaluate as run_evaluate
    from cast_train.engine.evaluate import headline, require_classes
    from cast_train.engine.trained import load_student
    from cast_train.errors import DataError

    trained = None if student.suffix == '.onnx' else load_student(student)
    where = root if root is not None or trained is None else trained[1].data.root
    if where is None:
        raise DataError(f'{student}: name the folder of the {dataset} to judge it on with --root')
    pictures = open_dataset(dataset, where, split, domain, class_map)
    predictor: Predictor = Student.load(student) if trained is None else trained[0]
    require_classes(student, predictor.contract, dataset, pictures.classes)
    scores = run_evaluate(predictor, load_samples([pictures]))
    if as_json:
        typer.echo(json.dumps({'headline': headline(scores), **as_document(scores)}, indent=1))
        return
    figures = '  '.join(f'{name} {value:.3f}' for name, value in headline(scores).items())
    Console().print(table_of(scores, f'{student.name} on {dataset} {split} {domain}', figures))


def as_document(scores: Scores) -> dict[str, Any]:
    """All figures, as JSON values."""
    parts = {'instances': scores.instances, 'semantic': scores.semantic, 'depth': scores.depth}
    return {name: part.as_dict() for name, part in parts.items() if part is not None}


def table_of(scores: Scores, title: str, caption: str) -> Table:
    """IoU and AP of each class."""
    table = Table(title=title, caption=caption)
    for heading in ('class', 'IoU', 'AP', 'AP50', 'instances'):
        table.add_column(heading, justify='left' if heading == 'class' else 'right')
    ious = {} if scores.semantic is None else scores.semantic.per_class
    precisions = {} if scores.instances is None else scores.instances.per_class
    for name in [*ious, *(name for name in precisions if name not in ious)]:
        found = precisions.get(name)
        row = [ious.get(name)] + ([None, None] if found is None else [found.ap, found.ap50])
        table.add_row(
            name,
            *('–' if value is None else f'{value:.3f}' for value in row),
            '' if found is None else str(found.true_count),
        )
    return table
