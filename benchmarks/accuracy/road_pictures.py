# SPDX-License-Identifier: Apache-2.0
"""What a student does on roads that nobody labelled, in one picture: day video, day and night stills, COCO's streets.

    python benchmarks/accuracy/road_pictures.py models/road-medium.onnx ../shared/data/real docs/images/road.jpg

Each cell has the picture with classes and instances, and its depth. The file carries the licences of the pictures, not
ours: Udacity's (MIT), BDD100K's, and for COCO those of Flickr's photographers (CC).
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cast_ros.overlay import colorize_depth, draw_overlay
from cast_ros.student import LoadOptions, Student

VIDEO = 'road/solidWhiteRight.mp4'
FRAMES = (60, 200)
DAY = ('road/solidYellowLeft.jpg', 'road/bdd/0ace96c3-48481887.jpg', 'road/bdd/7dd9ef45-f197db95.jpg')
NIGHT = ('road/bdd/3c0e7240-96e390d2.jpg', 'road/bdd/9aa94005-ff1d4c9a.jpg')
COCO = tuple(f'coco128_seg/images/train2017/{number:012d}.jpg' for number in (71, 257, 532))
CELL = (384, 216)  # width, height
COLUMNS = 2
SCORE_THRESHOLD = 0.5
SHOWN_TO_M = 80.0

Picture = npt.NDArray[np.uint8]


def main() -> None:
    """Draw with the student named first the pictures below the folder named second into the file named third."""
    model, real, out = (Path(argument) for argument in sys.argv[1:4])
    with Student.load(model, LoadOptions(threads=1)) as student:
        cells = [cell(student, picture) for picture in pictures(real)]
    rows = [np.hstack(cells[place : place + COLUMNS]) for place in range(0, len(cells), COLUMNS)]
    if not cv2.imwrite(str(out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85]):
        raise SystemExit(f'{out}: cannot be written')


def pictures(real: Path) -> list[Picture]:
    """All pictures in BGR, in the order in which they are shown."""
    video = cv2.VideoCapture(str(real / VIDEO))
    found = []
    for frame in FRAMES:
        video.set(cv2.CAP_PROP_POS_FRAMES, frame)
        found.append(video.read()[1])
    found += [cv2.imread(str(real / name)) for name in (*DAY, *NIGHT, *COCO)]
    if any(picture is None for picture in found):
        raise SystemExit(f'{real}: pictures are missing there')
    return [np.asarray(picture, dtype=np.uint8) for picture in found]


def cell(student: Student, bgr: Picture) -> Picture:
    """One picture, drawn, and its depth beside it; cut to the cell's shape, not squeezed."""
    width, height = CELL
    scale = max(width / bgr.shape[1], height / bgr.shape[0])
    large = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    rgb = np.ascontiguousarray(large[top : top + height, left : left + width, ::-1])
    prediction = student.predict(rgb, score_threshold=SCORE_THRESHOLD)
    assert prediction.depth is not None
    drawn = draw_overlay(rgb, prediction, student.contract)
    return np.hstack([drawn, colorize_depth(prediction.depth, SHOWN_TO_M)])


if __name__ == '__main__':
    main()
