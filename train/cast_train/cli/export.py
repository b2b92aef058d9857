# SPDX-License-Identifier: Apache-2.0
"""`cast-train export`: from a run to one ONNX file, checked against the network it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help='Run folder of `cast-train fit`.')],
    out: Annotated[Path, typer.Option(help='The ONNX file to write.')],
    root: Annotated[Path | None, typer.Option(help='Folder of the data set, when it moved since training.')] = None,
) -> None:
    """Export a trained student with its contract, measured metrics and input statistics."""
    from cast_train.export.run import export_run

    typer.echo(export_run(run, out, root).summary)
