#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a bag with ground truth from a drive of the street benchmark: pictures, calibration, instances and depth.

Run as ``python tools/make_street_drive.py --streets ../shared/data/streets --out assets/street_drive.mcap``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cast_ros.errors import CastError
from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.offline.bags.tools.from_dataset import dataset_to_bag
from cast_ros.offline.bags.tools.layout import LabelNotes

# Cityscapes label ids that the benchmark uses.
CLASS_NAMES = {
    7: 'road',
    8: 'sidewalk',
    11: 'building',
    17: 'pole',
    20: 'traffic sign',
    21: 'vegetation',
    22: 'terrain',
    23: 'sky',
    24: 'person',
    26: 'car',
    27: 'truck',
}
ABOUT = topics.About(
    schema='1.0',
    depth_unit_m=0.01,
    depth_sky=65535,
    depth_invalid=0,
    thing_names=('person', 'car', 'truck'),
    source='street benchmark: procedural renders, drive of seed 7000',
)
NOTES = LabelNotes(about=ABOUT, names=CLASS_NAMES)


def main() -> int:
    """0 when the bag is written, 2 with one sentence when not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--streets', type=Path, required=True, help='folder of the street benchmark')
    parser.add_argument('--domain', choices=('day', 'night'), default='day')
    parser.add_argument('--frames', type=int, default=None, help='only so many frames (default: all)')
    parser.add_argument('--out', type=Path, required=True, help='a new .mcap file, or a new folder')
    arguments = parser.parse_args()
    try:
        count = write_drive(arguments.streets, arguments.domain, arguments.out, arguments.frames)
    except CastError as error:
        print(error, file=sys.stderr)
        return 2
    print(f'{arguments.out}: {count} frames, {arguments.out.stat().st_size / 1e6:.1f} MB')
    return 0


def write_drive(streets: Path, domain: str, out: Path, frames: int | None = None) -> int:
    """Writes the bag and returns the number of frames; the files' bytes go into it unchanged."""
    if not (streets / 'leftImg8bit/drive' / domain).is_dir():
        raise CastError(f'{streets} has no drive/{domain}; point --streets at the folder of the street benchmark')
    return dataset_to_bag(streets, out, part=f'drive/{domain}', notes=NOTES, most=frames)


if __name__ == '__main__':
    sys.exit(main())
