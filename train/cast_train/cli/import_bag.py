# SPDX-License-Identifier: Apache-2.0
"""`cast-train import-bag`: training data from a recording of the robot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cast_ros.images.camera_info import Rectified
from cast_ros.student import ClassInfo


def import_bag(
    bag: Annotated[Path, typer.Argument(help='Bag: folder of rosbag2, or one .mcap or .db3 file.')],
    topic: Annotated[str, typer.Option(help='Pictures: Image or CompressedImage, for example /camera/image_raw.')],
    out: Annotated[Path, typer.Option(help='New folder; the same command goes on with an import that was stopped.')],
    domain: Annotated[str, typer.Option(help='Domain of all frames, for example night.')] = '',
    camera_info: Annotated[str | None, typer.Option(help='Calibration; the one beside the topic by default.')] = None,
    rectified: Annotated[Rectified, typer.Option(help='Whether P of camera_info holds; as the parameter.')] = 'auto',
    labels: Annotated[bool, typer.Option(help='Take ground truth of the bag along, where it has some.')] = True,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Whose classes the frames get: a data set's, by its name, or a student's, by its file; "
            "the bag's own by default."
        ),
    ] = None,
    val: Annotated[float, typer.Option(min=0, max=1, help='Share of the time blocks that validate.')] = 0.2,
    block_s: Annotated[float, typer.Option(min=0.1, help='Seconds of a block; shorter if the bag is short.')] = 10.0,
    guard_s: Annotated[
        float | None, typer.Option(min=0, help='Seconds left out between blocks; 1 or a fifth of a block by default.')
    ] = None,
    rate_hz: Annotated[float | None, typer.Option(min=0.001, help='Frames a second at most.')] = None,
    limit: Annotated[int | None, typer.Option(min=1, help='Frames at most, for trying out.')] = None,
    blur_below: Annotated[
        float, typer.Option(min=0, max=1, help='Drop what has less than this share of the usual sharpness.')
    ] = 0.3,
    duplicate_below: Annotated[
        float, typer.Option(min=0, help='Drop what differs less from the last frame, in grey values.')
    ] = 1.5,
    bright_above: Annotated[float, typer.Option(min=0, max=1, help='Drop what is white in a larger share.')] = 0.5,
    dark_above: Annotated[float, typer.Option(min=0, max=1, help='Drop what is black in a larger share.')] = 0.9,
    max_width: Annotated[int | None, typer.Option(min=16, help='Shrink wider pictures to this, in proportion.')] = None,
    height: Annotated[int | None, typer.Option(min=16, help='Of all pictures, with --width.')] = None,
    width: Annotated[int | None, typer.Option(min=16, help='Of all pictures, with --height.')] = None,
    jpeg_quality: Annotated[int | None, typer.Option(min=1, max=100, help='JPEG in place of PNG.')] = None,
) -> None:
    """Choose sharp, well exposed, different frames of a bag and divide them so that train and val share no scene."""
    from rich.console import Console

    from cast_train.data.bag_import import import_bag as run_import
    from cast_train.data.bag_plan import ImportSettings
    from cast_train.data.frame_selection import SelectionRules
    from cast_train.data.time_blocks import BlockRules

    settings = ImportSettings(
        topic=topic,
        camera_info=camera_info,
        rectified=rectified,
        domain=domain,
        labels=labels,
        classes=_classes(classes),
        selection=SelectionRules(
            blur_below=blur_below,
            bright_above=bright_above,
            dark_above=dark_above,
            duplicate_below=duplicate_below,
            rate_hz=rate_hz,
            limit=limit,
        ),
        blocks=BlockRules(val=val, block_s=block_s, guard_s=guard_s),
        max_width=max_width,
        height=height,
        width=width,
        jpeg_quality=jpeg_quality,
    )
    typer.echo(f'{out}: {run_import(bag, out, settings, Console(stderr=True)).summary()}')


def _classes(asked: str | None) -> str | tuple[ClassInfo, ...] | None:
    """A data set's name as it is; of a student its classes."""
    from cast_train.data import DATASETS
    from cast_train.engine.trained import contract_of

    if asked is None or asked in DATASETS or not Path(asked).exists():
        return asked
    return contract_of(Path(asked)).classes
