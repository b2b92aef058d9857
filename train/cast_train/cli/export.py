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
    from cast_train.engine.contract import build_contract
    from cast_train.engine.evaluate import headline
    from cast_train.engine.fitting import read_parts
    from cast_train.export.card import write_card
    from cast_train.export.checkpoint import load_student, provenance_of
    from cast_train.export.onnx import export_onnx
    from cast_train.export.parity import check_parity
    from cast_train.export.statistics import measure_statistics

    student, recipe, state = load_student(run)
    if root is not None:
        recipe = recipe.model_copy(update={'data': recipe.data.model_copy(update={'root': root})})
    train, classes = read_parts(recipe, recipe.data.train)
    validation, _ = read_parts(recipe, recipe.data.validation)
    unchecked = out.with_name(f'{out.name}.unchecked')
    try:
        export_onnx(student.network, student.contract, unchecked)
        parity = check_parity(unchecked, student, validation)
        parity.require(out)
        metrics = headline(parity.scores)
        where = ', '.join(f'{recipe.data.dataset} {part.split} {part.domain}' for part in recipe.data.validation)
        contract = build_contract(
            recipe,
            classes,
            provenance_of(recipe, state),
            {'data': where, 'pictures': len(validation), **metrics},
            measure_statistics(student, train[:200]),
        )
        export_onnx(student.network, contract, out)
    finally:
        unchecked.unlink(missing_ok=True)
    card = write_card(out, run if run.is_dir() else run.parent, contract, parity.scores, parity)
    typer.echo(
        f'{out} ({out.stat().st_size / 1e6:.1f} MB) and {card.name}: relative error {parity.relative_error:.1e}, '
        f'AP gap {"none" if parity.ap_gap is None else f"{100 * parity.ap_gap:.3f} points"}, '
        f'semantic agreement {100 * parity.semantic_agreement:.2f} %'
    )
    typer.echo('  '.join(f'{name} {value:.4f}' for name, value in metrics.items()))
