# SPDX-License-Identifier: Apache-2.0
"""Keep a network that the tables start from: the averaged weights of its run, in half precision, as one small file.

    python benchmarks/accuracy/start.py runs/streets-foundation benchmarks/accuracy/start/streets-foundation.pt

What trains the three runs is in README.md beside them. The tables read these files, so that every row, whenever and
wherever it is made, starts from the same weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from cast_train.engine.checkpoint import LAST, load_checkpoint, save_checkpoint


def main() -> None:
    """Read a run folder, or a checkpoint, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('run', type=Path, help='run folder, or a checkpoint in it')
    parser.add_argument('out', type=Path)
    arguments = parser.parse_args()
    state = load_checkpoint(arguments.run / LAST if arguments.run.is_dir() else arguments.run)
    kept = {name: state[name] for name in ('recipe', 'step', 'saved')}
    kept['ema'] = {
        name: tensor.half() if tensor.dtype == torch.float32 else tensor for name, tensor in state['ema'].items()
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(kept, arguments.out)
    print(f'{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB, after step {state["step"]}')


if __name__ == '__main__':
    main()
