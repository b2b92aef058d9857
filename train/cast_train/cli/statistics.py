# SPDX-License-Identifier: Apache-2.0
"""`cast-train statistics`: what a student's pictures look like, measured anew for the domain-shift monitor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def statistics(
    student: Annotated[Path, typer.Argument(help='An exported student (.onnx); its contract is rewritten.')],
    root: Annotated[Path, typer.Option(help='Folder of the data set.')],
    dataset: Annotated[str, typer.Option(help='Name of the data set; `frames` for what import-bag made.')] = 'streets',
    split: Annotated[str, typer.Option(help='Split.')] = 'train',
    domain: Annotated[str, typer.Option(help='Domain, for example day or night.')] = 'day',
    pictures: Annotated[int, typer.Option(help='At most so many, evenly spread over the split.', min=2)] = 200,
    out: Annotated[Path | None, typer.Option(help='File to write; the student itself by default.')] = None,
) -> None:
    """Measure luminance, appearance and scores on pictures that the student should know, and keep them in its file."""
    from cast_train.data import open_dataset
    from cast_train.export.statistics import restate_statistics

    opened = open_dataset(dataset, root, split, domain)
    step = max(1, len(opened) // pictures)
    samples = [opened[index] for index in range(0, len(opened), step)][:pictures]
    found = restate_statistics(student, samples, out or student)
    typer.echo(
        f'{out or student}: luminance {found.luminance_mean:.3f} ± {found.luminance_std:.3f}, '
        f'{len(samples)} pictures of {dataset} {split} {domain}'.rstrip()
    )
