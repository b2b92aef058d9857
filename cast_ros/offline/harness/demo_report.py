# SPDX-License-Identifier: Apache-2.0
"""What remains of a run: metrics.json, the node's overlays, a contact sheet, and a table on the terminal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cast_ros.errors import HarnessError
from cast_ros.files import write_text
from cast_ros.images import decode_image
from cast_ros.offline.evaluation.answers import prediction_from_messages
from cast_ros.offline.evaluation.compare import Comparison, Scores
from cast_ros.offline.evaluation.ground_truth import read_ground_truth
from cast_ros.offline.harness.demo_run import Run
from cast_ros.offline.harness.recorder import OVERLAY
from cast_ros.overlay import colorize_depth, contact_sheet, draw_overlay
from cast_ros.student import Prediction

_SHEET_ROWS = 4
_CELL_WIDTH_PX = 1024
_SHEET_WIDTH_PX = 2400
_DEFAULT_CAP_M = 80.0


def write_report(run: Run, bag: Path, out: Path) -> None:
    """Judges the run and writes everything into the folder `out`, which exists.

    Raises:
        HarnessError: a frame has no answer.
        CastError: the bag's ground truth cannot be read.
    """
    predictions = _predictions(run)
    print('Comparing the answers with the ground truth ...', flush=True)
    comparison = Comparison(run.contract)
    for truth in read_ground_truth(bag, run.contract):
        if truth.stamp_ns in predictions:
            comparison.update(predictions[truth.stamp_ns], truth)
    metrics = _metrics(run, comparison.compute())
    _write_overlays(run, out / 'overlay')
    _write_picture(out / 'sheet.png', _sheet(run, predictions, metrics))
    write_text(out / 'metrics.json', json.dumps(metrics, indent=2) + '\n')
    _print_summary(metrics, out)
    unanswered = metrics['frames_sent'] - metrics['frames_answered']
    if unanswered:
        raise HarnessError(f'{unanswered} of {metrics["frames_sent"]} frames were not answered; see {out / "node.log"}')


def _predictions(run: Run) -> dict[int, Prediction]:
    """By stamp, of the frames that were answered."""
    found = {}
    for stamp, answer in run.answers.items():
        if stamp not in run.pictures:
            raise HarnessError(f'the node published something with the stamp {stamp}, which no picture had')
        height, width = run.pictures[stamp].shape[:2]
        found[stamp] = prediction_from_messages(answer.messages, (width, height), run.contract)
    return found


def _metrics(run: Run, scores: Scores) -> dict[str, Any]:
    latency_ms = [
        (answer.complete_s - run.sent_s[stamp]) * 1e3 for stamp, answer in run.answers.items() if stamp in run.sent_s
    ]
    p50, p95 = np.percentile(latency_ms, (50, 95)) if latency_ms else (np.nan, np.nan)
    return {
        'frames_sent': len(run.sent_s),
        'frames_answered': len(latency_ms),
        'latency_ms': {'p50': _rounded(p50), 'p95': _rounded(p95)},
        'inference_ms': {'p50': run.report.inference_p50_ms},
        'drops': run.report.drops,
        'instances': _section(scores.instances, ('ap', 'ap50')),
        'semantic': _section(scores.semantic, ('miou',)),
        'depth': _section(scores.depth, ('abs_rel', 'rmse', 'delta1')),
        'model': {'name': run.contract.name, 'sha256': run.report.model_sha256},
        'provider': run.report.provider,
    }


def _section(scores: Any | None, names: tuple[str, ...]) -> dict[str, float | None]:
    return {name: _rounded(getattr(scores, name, None)) for name in names}


def _rounded(value: float | None) -> float | None:
    """Four places; None (null in JSON, which has no NaN) for what is not a number."""
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def _write_overlays(run: Run, folder: Path) -> None:
    """The pictures on ~/overlay as the node drew them, in the order of their stamps; those of an earlier run go."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for index, stamp in enumerate(sorted(run.answers)):
        message = run.answers[stamp].messages.get(OVERLAY)
        if message is not None:
            _write_picture(folder / f'{index:04d}.png', decode_image(message))


def _sheet(run: Run, predictions: dict[int, Prediction], metrics: dict[str, Any]) -> NDArray[np.uint8]:
    stamps = sorted(predictions)
    chunks = np.array_split(np.array(stamps), min(_SHEET_ROWS, len(stamps)))
    rows = []
    for chunk in chunks:
        # The liveliest frame of each part of the drive.
        stamp = max((int(entry) for entry in chunk), key=lambda entry: _busyness(predictions[entry]))
        rows.append(_row(run, run.pictures[stamp], predictions[stamp]))
    return contact_sheet(
        rows,
        title=f'cast_ros: one camera, one network, {run.contract.name}',
        columns=('camera', 'instances and semantic map', 'depth')[: len(rows[0])],
        figures=_figures(run, metrics),
        width_px=_SHEET_WIDTH_PX,
    )


def _busyness(prediction: Prediction) -> int:
    return 0 if prediction.instance_ids is None else int(np.count_nonzero(prediction.instance_ids))


def _row(run: Run, rgb: NDArray[np.uint8], prediction: Prediction) -> list[NDArray[np.uint8]]:
    height = round(rgb.shape[0] * _CELL_WIDTH_PX / rgb.shape[1])
    large = np.asarray(cv2.resize(rgb, (_CELL_WIDTH_PX, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    row = [large[..., ::-1], draw_overlay(large, prediction, run.contract)]
    if prediction.depth is not None:
        cap_m = run.contract.depth.cap_m if run.contract.depth else _DEFAULT_CAP_M
        row.append(colorize_depth(prediction.depth, cap_m))
    return row


def _figures(run: Run, metrics: dict[str, Any]) -> list[str]:
    figures = [
        f'{metrics["frames_answered"]} of {metrics["frames_sent"]} frames answered at {run.frame_rate_hz:.1f} Hz',
        f'publish to receive {metrics["latency_ms"]["p50"]:.0f} ms, p95 {metrics["latency_ms"]["p95"]:.0f} ms',
    ]
    for label, value in (
        ('AP50', metrics['instances']['ap50']),
        ('mIoU', metrics['semantic']['miou']),
        ('depth AbsRel', metrics['depth']['abs_rel']),
    ):
        if value is not None:
            figures.append(f'{label} {value:.2f}')
    return figures


def _print_summary(metrics: dict[str, Any], out: Path) -> None:
    table = Table(title=None, show_header=True, header_style='bold')
    table.add_column('what')
    table.add_column('value', justify='right')
    table.add_column('meaning', style='dim')
    latency, depth = metrics['latency_ms'], metrics['depth']
    for what, value, meaning in (
        ('latency p50', _shown(latency['p50'], ' ms', 1), 'publish to receive, all outputs with numbers'),
        ('latency p95', _shown(latency['p95'], ' ms', 1), ''),
        ('inference p50', _shown(metrics['inference_ms']['p50'], ' ms', 1), metrics['provider']),
        ('instances AP', _shown(metrics['instances']['ap']), 'COCO, IoU 0.50 to 0.95; higher is better'),
        ('instances AP50', _shown(metrics['instances']['ap50']), 'COCO, IoU 0.50'),
        ('semantic mIoU', _shown(metrics['semantic']['miou']), 'over the classes present'),
        ('depth AbsRel', _shown(depth['abs_rel']), 'lower is better'),
        ('depth RMSE', _shown(depth['rmse'], ' m', 2), ''),
        ('depth delta1', _shown(depth['delta1']), 'share within 25 %'),
    ):
        table.add_row(what, value, meaning)
    console = Console()
    console.print(
        f'{metrics["frames_answered"]} of {metrics["frames_sent"]} frames answered, {metrics["drops"]} dropped, '
        f'by {metrics["model"]["name"]} ({metrics["model"]["sha256"][:12]}).',
        highlight=False,
    )
    console.print(table)
    where = f'Look at {out / "sheet.png"}; the numbers are in {out / "metrics.json"}.'
    console.print(where, highlight=False, soft_wrap=True)


def _shown(value: float | None, unit: str = '', digits: int = 3) -> str:
    return '-' if value is None else f'{value:.{digits}f}{unit}'


def _write_picture(path: Path, bgr: NDArray[Any]) -> None:
    if not cv2.imwrite(str(path), bgr):
        raise HarnessError(f'{path} cannot be written')
