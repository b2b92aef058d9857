#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a bag with ground truth from a drive of the street benchmark: pictures, calibration, instances and depth.

Run as ``python tools/make_street_drive.py --streets ../shared/data/streets --out assets/street_drive.mcap``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from cast_ros.bags import BagWriter
from cast_ros.bags.messages import NANOSECONDS, camera_info, compressed_image, label_info, text
from cast_ros.errors import CastError
from cast_ros.evaluation import topics

START_NS = 1_750_000_000 * NANOSECONDS
# The calibration is recorded a little before its picture, so that a player hands it over first; the stamps are equal.
CALIBRATION_LEAD_NS = 5_000_000
FRAME_ID = 'camera_optical_frame'
JPEG = 'bgr8; jpeg compressed bgr8'
PNG = '16UC1; png compressed'

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
    cameras = (streets / 'camera/drive' / domain).glob('*_camera.json')
    names = sorted(path.name.removesuffix('_camera.json') for path in cameras)
    if not names:
        raise CastError(f'{streets} has no drive/{domain}; point --streets at the folder of the street benchmark')
    chosen = names[:frames]
    with BagWriter(out) as writer:
        writer.add_topic(topics.IMAGE, topics.COMPRESSED_IMAGE_TYPE)
        writer.add_topic(topics.CAMERA_INFO, topics.CAMERA_INFO_TYPE)
        for latched, kind in ((topics.LABEL_INFO, topics.LABEL_INFO_TYPE), (topics.ABOUT, topics.STRING_TYPE)):
            writer.add_topic(latched, kind, latched=True)
        writer.write(topics.LABEL_INFO, START_NS, label_info(START_NS, FRAME_ID, CLASS_NAMES))
        writer.write(topics.ABOUT, START_NS, text(ABOUT.model_dump_json(by_alias=True)))
        for name in chosen:
            _write_frame(writer, streets, domain, name)
    return len(chosen)


def _write_frame(writer: BagWriter, streets: Path, domain: str, name: str) -> None:
    def path_of(kind: str, suffix: str) -> Path:
        return streets / kind / 'drive' / domain / f'{name}_{suffix}'

    camera = json.loads(path_of('camera', 'camera.json').read_text(encoding='utf-8'))
    at_ns = START_NS + round(camera['stamp'] * NANOSECONDS)
    info = camera_info(
        at_ns,
        FRAME_ID,
        (camera['width'], camera['height']),
        (camera['fx'], camera['fy']),
        (camera['cx'], camera['cy']),
    )
    writer.write(topics.CAMERA_INFO, at_ns - CALIBRATION_LEAD_NS, info)
    for topic, path, kind in (
        (topics.IMAGE, path_of('leftImg8bit', 'leftImg8bit.jpg'), JPEG),
        (topics.INSTANCES, path_of('gtFine', 'gtFine_instanceIds.png'), PNG),
        (topics.DEPTH, path_of('depth', 'depth.png'), PNG),
    ):
        writer.write(topic, at_ns, compressed_image(at_ns, FRAME_ID, path.read_bytes(), kind))


if __name__ == '__main__':
    sys.exit(main())
