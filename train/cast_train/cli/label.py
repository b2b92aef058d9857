# SPDX-License-Identifier: Apache-2.0
"""`cast-train label`: a teacher's labels for many pictures, on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cast_train.errors import TeacherError


def label(
    teacher: Annotated[str, typer.Argument(help='Kind of teacher: network, composite or grounded_sam2.')],
    out: Annotated[Path, typer.Option(help='Folder for the labels; what is there already is not computed again.')],
    settings: Annotated[
        list[str] | None, typer.Option('--set', help='Setting of the teacher: key=value; may be repeated.')
    ] = None,
    dataset: Annotated[str, typer.Option(help='Data set, or the one whose classes a folder is labelled with.')] = (
        'streets'
    ),
    root: Annotated[Path | None, typer.Option(help='Folder of the data set; not needed with --pictures.')] = None,
    split: Annotated[str, typer.Option(help='Split.')] = 'train',
    domain: Annotated[str, typer.Option(help='Domain, for example day or night.')] = 'day',
    class_map: Annotated[str | None, typer.Option(help='Class map, in place of the classes of the data set.')] = None,
    pictures: Annotated[Path | None, typer.Option(help='Label the pictures below this folder instead.')] = None,
    fx: Annotated[float | None, typer.Option(help='Focal length of those pictures in pixels.')] = None,
    batch: Annotated[int, typer.Option(min=1, help='Pictures that go through the teacher together.')] = 2,
    score: Annotated[float, typer.Option(min=0, max=1, help='Detections from here on count in the report.')] = 0.3,
    most_empty: Annotated[float, typer.Option(min=0, max=1, help='Stop above this share of empty pictures.')] = 0.9,
    most_one_class: Annotated[
        float, typer.Option(min=0, max=1, help='Stop when one class has more than this share of all detections.')
    ] = 0.98,
    least_confidence: Annotated[float, typer.Option(min=0, max=1, help='Stop below this mean score.')] = 0.35,
) -> None:
    """Label pictures; under torchrun, or with RANK and WORLD_SIZE set, every process takes its share of them."""
    from cast_train.data import open_dataset
    from cast_train.data.registry import classes_of
    from cast_train.engine.recipe_file import override
    from cast_train.teachers.labelling import LabelRun, PictureFolder, Pictures, Shard
    from cast_train.teachers.registry import open_teacher
    from cast_train.teachers.report import CollapseRule

    where = root or pictures
    if where is None:
        raise TeacherError(f'name the folder of the {dataset} to label with --root, or pictures with --pictures')
    classes = classes_of(dataset, where, split, domain, class_map)
    source: Pictures = (
        open_dataset(dataset, where, split, domain, class_map) if pictures is None else PictureFolder(pictures, fx)
    )
    shard = Shard.of_environment()
    run = LabelRun(
        folder=out,
        classes=classes,
        score=score,
        rule=CollapseRule(most_empty=most_empty, most_one_class=most_one_class, least_confidence=least_confidence),
        batch=batch,
        shard=shard,
        say=lambda text: typer.echo(f'rank {shard.rank}: {text}', err=True),
    )
    report = run.label(open_teacher(teacher, override({}, settings or ()), classes), source)
    figures = report.as_document(classes, score)
    typer.echo(
        f'rank {shard.rank} of {shard.world}: {report.labelled} pictures, {report.computed} computed now, '
        f'{report.detections} detections, mean confidence {figures["mean_confidence"]}, {figures["class_histogram"]}'
    )
