# SPDX-License-Identifier: Apache-2.0
"""`cast calibrate-depth BAG`: the factor between a student's metres and those of the world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cast_ros.images.camera_info import Rectified


def calibrate_depth(
    bag: Annotated[Path, typer.Argument(help='A bag with pictures and camera_info.', show_default=False)],
    model: Annotated[Path, typer.Option(help='The .onnx file of a student.', show_default=False)],
    image_topic: Annotated[str, typer.Option(help='Pictures, raw or compressed.')] = '/camera/image_raw',
    camera_info_topic: Annotated[str, typer.Option(help='Their calibration.')] = '/camera/camera_info',
    camera_height: Annotated[
        float | None, typer.Option(help='Of the camera over flat ground, metres.', min=0.05)
    ] = None,
    depth_topic: Annotated[str | None, typer.Option(help='Depth images, raw or compressedDepth.')] = None,
    points_topic: Annotated[str | None, typer.Option(help='A point cloud (LiDAR); needs /tf_static.')] = None,
    ground: Annotated[str, typer.Option(help='Classes that are ground, for the camera height.')] = 'road,sidewalk',
    frames: Annotated[int, typer.Option(help='At most so many pictures, spread over the bag.', min=5)] = 100,
    rectified: Annotated[Rectified, typer.Option(help='Whether P of camera_info holds; as the parameter.')] = 'auto',
) -> None:
    """Measure parameter depth_scale from a LiDAR, from stereo depth, or from the height of the camera."""
    from cast_ros.offline.calibration import Reference, calibrate
    from cast_ros.student import Student

    names = tuple(name.strip() for name in ground.split(',') if name.strip())
    reference = Reference(camera_height, names, depth_topic, points_topic)
    with Student.load(model) as student:
        result = calibrate(bag, student, image_topic, camera_info_topic, reference, frames, rectified)
    print(
        f'depth_scale {result.depth_scale:.3f} (half of the pictures within ±{result.spread:.3f}; '
        f'{result.frames} of {result.looked_at} pictures)\n'
        f'use it:  ros2 param set /perception depth_scale {result.depth_scale:.3f}'
    )
    for damage in result.damages:
        print(f'The bag is not whole: {damage}.')
    if result.doubt:
        print(f'Not settled: {result.doubt}.')
    if result.uncalibrated:
        print(f'{result.uncalibrated} pictures have no camera_info of their frame and size and were left out.')
    if result.unreadable:
        print(f'{result.unreadable} pictures are damaged, or their depth images are, and were left out.')
    if result.spread > 0.15 * result.depth_scale:
        print('The pictures disagree: take a bag with flat ground, good light and things at 5 to 30 m.')
