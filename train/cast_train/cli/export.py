# SPDX-License-Identifier: Apache-2.0
"""`cast-train export`: from a run to one ONNX file, checked against the network it came from; and on to int8."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cast_train.errors import ExportError

NOT_WRITTEN = 3


def export(
    source: Annotated[
        Path, typer.Argument(help='Run folder of `cast-train run`; with --int8 also an exported float file (.onnx).')
    ],
    out: Annotated[
        Path | None, typer.Option(help='The ONNX file to write; of an .onnx, SOURCE-int8.onnx beside it by default.')
    ] = None,
    root: Annotated[Path | None, typer.Option(help='Folder of the data set, of a run where it moved since.')] = None,
    int8: Annotated[
        bool, typer.Option('--int8', help='Write an int8 file; of a run, OUT-int8.onnx beside the float file.')
    ] = False,
    calibrate: Annotated[
        Path | None,
        typer.Option(help='Folder of pictures, or a bag, that sets the int8 ranges; training pictures by default.'),
    ] = None,
    topic: Annotated[str | None, typer.Option(help='Topic of the pictures in that bag.')] = None,
    pictures: Annotated[int, typer.Option(min=1, help='Calibrate with at most so many, evenly spread.')] = 100,
    validate: Annotated[
        str | None, typer.Option(help='Labelled split that judges an int8 file made of an .onnx; a run has its own.')
    ] = None,
    dataset: Annotated[str, typer.Option(help='Data set of that split.')] = 'streets',
    domain: Annotated[str, typer.Option(help='Its domain, for example day or night.')] = 'day',
    class_map: Annotated[str | None, typer.Option(help='Class map, if the student was trained with one.')] = None,
    force: Annotated[
        bool, typer.Option('--force', help='Write the int8 file whatever it loses, or without a judgement.')
    ] = False,
) -> None:
    """Export a trained student with its contract, measured metrics and input statistics.

    An int8 file is written only if AP falls by less than 0.5 points; exit code 3 if it falls by more.
    """
    from cast_train.export.calibration_pictures import Asked, DataSource, sources_of_file, sources_of_run
    from cast_train.export.int8 import export_int8, int8_beside
    from cast_train.export.run import export_run

    asked = Asked(calibrate, topic, pictures)
    if not int8 and (calibrate is not None or validate is not None or force):
        raise ExportError('--calibrate, --validate and --force belong to --int8; add it, or leave them out')
    if source.suffix == '.onnx':
        if not int8:
            raise ExportError(f'{source}: is exported already; add --int8 for a file in 8 bits')
        data = DataSource(dataset, root, domain, class_map)
        calibration, labelled = sources_of_file(source, data, validate, asked)
        result = export_int8(source, out or int8_beside(source), calibration, labelled, force)
    else:
        if out is None:
            raise ExportError(f'{source}: name the file to write with --out')
        if validate is not None:
            raise ExportError('--validate judges an .onnx; a run is judged on the validation part of its own recipe')
        typer.echo(export_run(source, out, root).summary)
        if not int8:
            return
        result = export_int8(out, int8_beside(out), *sources_of_run(source, root, asked), force)
    typer.echo(result.summary)
    if not result.is_written:
        raise typer.Exit(NOT_WRITTEN)
