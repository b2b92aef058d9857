# SPDX-License-Identifier: Apache-2.0
"""Real pictures for the mask network of the composite teacher: COCO128 as a COCO file.

    python benchmarks/accuracy/coco128.py ../shared/data/real/coco128_seg runs/coco128

The copy has one text file for each picture, a line for each instance: class, then x y of its outline in 0…1. Classes do
not matter to a network that knows none. See the licence beside the pictures before you publish what they trained.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2

SPLIT = 'train2017'


def main() -> None:
    """Convert the folder named first into the folder named second."""
    source, out = (Path(argument) for argument in sys.argv[1:3])
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for path in sorted((source / 'images' / SPLIT).glob('*.jpg')):
        picture = cv2.imread(str(path))
        if picture is None:
            raise SystemExit(f'{path}: cannot be decoded')
        height, width = picture.shape[:2]
        identity = len(images) + 1
        images.append({'id': identity, 'file_name': path.name, 'height': height, 'width': width})
        labels = source / 'labels' / SPLIT / f'{path.stem}.txt'
        for line in labels.read_text().splitlines() if labels.is_file() else []:
            category, *outline = line.split()
            points = [float(value) * (height if place % 2 else width) for place, value in enumerate(outline)]
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': identity,
                    'category_id': int(category),
                    'iscrowd': 0,
                    'segmentation': [points],
                }
            )
    categories = [{'id': number, 'name': f'class {number}'} for number in range(80)]
    (out / 'annotations').mkdir(parents=True, exist_ok=True)
    document = {'images': images, 'categories': categories, 'annotations': annotations}
    (out / 'annotations' / f'{SPLIT}.json').write_text(json.dumps(document))
    pictures = out / 'images'
    if not pictures.exists():
        pictures.symlink_to((source / 'images' / SPLIT).resolve())
    sys.stdout.write(f'{out}: {len(images)} pictures, {len(annotations)} instances\n')


if __name__ == '__main__':
    main()
