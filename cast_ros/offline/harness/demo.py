# SPDX-License-Identifier: Apache-2.0
"""Command line of the demonstration: python -m cast_ros.offline.harness.demo --out out/demo."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from cast_ros.errors import CastError
from cast_ros.offline.harness.demo_report import write_report
from cast_ros.offline.harness.demo_run import run_demo


def main(argv: list[str] | None = None) -> int:
    """0 when every frame was answered, 2 with one sentence when not, 130 after SIGINT."""
    arguments = _arguments(argv)
    # Ends like Ctrl-C, so that the node is ended too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
        log_path = arguments.out / 'node.log'
        run = run_demo(arguments.bag, arguments.model, log_path, arguments.rate, arguments.score_threshold)
        write_report(run, arguments.bag, arguments.out)
    except (CastError, OSError) as error:
        print(f'The demo stopped: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('The demo was interrupted.', file=sys.stderr)
        return 130
    return 0


def _project_file(name: str) -> Path:
    """A file of the checkout, seen from the working directory if that is inside; else of the installed package."""
    checkout = Path(__file__).resolve().parents[3]
    if not (checkout / name).exists():
        return Path(sys.prefix) / 'share' / 'cast_ros' / name
    return Path(name) if Path.cwd() == checkout else checkout / name


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m cast_ros.offline.harness.demo',
        description='Play a drive into the perception node and show what it says.',
    )
    parser.add_argument('--out', type=Path, default=Path('out/demo'), help='folder for metrics.json and the pictures')
    parser.add_argument('--bag', type=Path, default=_project_file('assets/street_drive.mcap'), help='with ground truth')
    parser.add_argument('--model', type=Path, default=_project_file('models/streets-small.onnx'), help='a student')
    parser.add_argument('--rate', type=float, default=1.0, help='2 plays twice as fast as recorded')
    parser.add_argument('--score-threshold', type=float, default=0.3, help='the node publishes no instance below it')
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())
