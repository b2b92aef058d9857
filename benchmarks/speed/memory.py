# SPDX-License-Identifier: Apache-2.0
"""Peak memory of one network, alone in a process of its own.

python -m benchmarks.speed.memory out/speed/models/small-512x1024.onnx 2
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.errors import BenchmarkError
from benchmarks.speed.exports import ROOT

# The first allocates, the second shows whether that was all.
RUNS = 2
TYPES = {'tensor(float)': 'float32', 'tensor(uint8)': 'uint8'}


def peak_mb(path: Path, threads: int) -> float:
    """Megabytes (10⁶ bytes) that loading and running a network takes above the bare onnxruntime.

    Raises:
        BenchmarkError: the child failed.
    """
    command = [sys.executable, '-m', 'benchmarks.speed.memory', str(path.resolve()), str(threads)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f'{path}: the process that measures its memory failed: {done.stderr[-2000:]}')
    return float(done.stdout)


def main(arguments: Sequence[str]) -> int:
    """The child: PATH THREADS; prints the figure."""
    import numpy as np

    from benchmarks.speed.networks import open_session

    path, threads = arguments
    bare = _status_kb('VmRSS')
    session = open_session(Path(path), int(threads))
    feed = {node.name: np.zeros(node.shape, TYPES[node.type]) for node in session.get_inputs()}
    for _ in range(RUNS):
        session.run(None, feed)
    print((_status_kb('VmHWM') - bare) * 1024 / 1e6)
    return 0


def _status_kb(key: str) -> int:
    # Not getrusage: its peak is inherited from the parent's memory before exec.
    lines = Path('/proc/self/status').read_text(encoding='ascii').splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f'{key}:'))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
