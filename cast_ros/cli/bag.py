# SPDX-License-Identifier: Apache-2.0
"""`cast bag`: look into bags, check, cut and break them, and turn them into pictures and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cast_ros.errors import CastError

if TYPE_CHECKING:
    from cast_ros.offline.bags.tools.faults import Fault

FINDINGS_EXIT_CODE = 1

app = typer.Typer(no_args_is_help=True, help='Look into bags, check, cut and convert them; without ROS.')

BagArgument = Annotated[Path, typer.Argument(help='A bag folder, or one .mcap or .db3 file.', show_default=False)]
OutOption = Annotated[Path, typer.Option(help='A new folder, or a new .mcap or .db3 file.', show_default=False)]
RateOption = Annotated[float | None, typer.Option(help='Frames per second; their own by default.', min=0.001)]
JsonOption = Annotated[bool, typer.Option('--json', help='Print JSON for other programs.')]


@app.command()
def info(
    bag: BagArgument,
    sha256: Annotated[bool, typer.Option('--sha256', help='Also the digest of each file.')] = False,
    as_json: JsonOption = False,
) -> None:
    """Print what is in a bag: topics, rates, QoS, pictures, calibration, ground truth."""
    from cast_ros.cli.bag_tables import info_document, print_info
    from cast_ros.offline.bags.tools.info import bag_info

    found = bag_info(bag, sha256)
    if as_json:
        print(json.dumps(info_document(found), indent=1))
    else:
        print_info(found)


@app.command()
def check(
    bag: BagArgument,
    topic: Annotated[list[str] | None, typer.Option(help='Only this topic; may be repeated.')] = None,
    as_json: JsonOption = False,
) -> None:
    """Say all that is wrong with a bag; exit code 0 nothing, 1 something, 2 it cannot be read at all."""
    from cast_ros.cli.bag_tables import check_document, print_check
    from cast_ros.offline.bags.tools.check import check_bag

    report = check_bag(bag, topic or None)
    if as_json:
        print(json.dumps(check_document(report), indent=1))
    else:
        print_check(report)
    if report.findings:
        raise typer.Exit(FINDINGS_EXIT_CODE)


@app.command()
def cut(
    bag: BagArgument,
    out: OutOption,
    begin: Annotated[float | None, typer.Option('--from', help='Seconds from the start, or since 1970.')] = None,
    end: Annotated[float | None, typer.Option('--to', help='The same; messages before it are kept.')] = None,
    topics: Annotated[str | None, typer.Option(help='Only these, separated by commas.')] = None,
    drop_damaged: Annotated[
        bool, typer.Option('--drop-damaged', help='Leave out messages whose bytes are none of their type.')
    ] = False,
) -> None:
    """Write a part of a bag as a bag of its own; what latched topics said before is carried along."""
    from cast_ros.offline.bags.tools.cut import cut_bag

    names = [name.strip() for name in topics.split(',') if name.strip()] if topics else None
    report = cut_bag(bag, out, begin, end, names, drop_damaged)
    for damage in report.damages:
        print(f'salvaged: {damage}')
    if drop_damaged:
        print(f'{report.dropped} damaged messages are left out')
    print(f'{out}: {report.messages} messages, {report.carried} of them latched before the cut')


@app.command()
def to_dataset(
    bag: BagArgument,
    topic: Annotated[str, typer.Option(help='Of the pictures, raw or compressed.', show_default=False)],
    out: Annotated[Path, typer.Option(help='A new folder.', show_default=False)],
    every: Annotated[int, typer.Option(help='Keep every N-th picture.', min=1)] = 1,
    split: Annotated[str, typer.Option(help='Name of the folder of the split.')] = 'drive',
) -> None:
    """Write pictures, calibration and ground truth as files, in the folders of Cityscapes."""
    from cast_ros.offline.bags.tools.to_dataset import bag_to_dataset

    report = bag_to_dataset(bag, topic, out, every, split)
    for damage in report.damages:
        print(f'salvaged: {damage}')
    if report.skipped:
        print(f'{report.skipped} messages do not decode and are left out; the first: {report.first_problem}')
    labels = ''.join(f', {count} of {name}' for name, count in report.labels.items())
    print(f'{out}: {report.pictures} pictures{labels}')


@app.command()
def from_dataset(
    folder: Annotated[Path, typer.Argument(help='Pictures, or a data set like Cityscapes.', show_default=False)],
    out: OutOption,
    rate: RateOption = None,
    part: Annotated[str | None, typer.Option(help='SPLIT/DOMAIN, where a data set has several.')] = None,
    camera_info: Annotated[Path | None, typer.Option(help='A camera_info.json for all pictures.')] = None,
) -> None:
    """Make a bag of pictures in files, with calibration and ground truth where they are there."""
    from cast_ros.offline.bags.tools.from_dataset import dataset_to_bag

    print(f'{out}: {dataset_to_bag(folder, out, rate, part, camera_info)} frames')


@app.command()
def from_video(
    video: Annotated[Path, typer.Argument(help='What OpenCV reads.', show_default=False)],
    out: OutOption,
    topic: Annotated[str, typer.Option(help='Of the CompressedImages.')] = '/camera/image_raw/compressed',
    rate: RateOption = None,
    quality: Annotated[int, typer.Option(help='Of the JPEGs.', min=1, max=100)] = 90,
) -> None:
    """Make a bag of the frames of a video."""
    from cast_ros.offline.bags.tools.from_dataset import video_to_bag

    print(f'{out}: {video_to_bag(video, out, topic, rate, quality)} frames')


@app.command()
def corrupt(
    bag: Annotated[Path | None, typer.Argument(help='A whole bag; it stays as it is.', show_default=False)] = None,
    fault: Annotated[str | None, typer.Option(help='One of --list.', show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help='The spoilt copy.', show_default=False)] = None,
    topic: Annotated[str | None, typer.Option(help='Of the pictures; the first one by default.')] = None,
    seed: Annotated[int, typer.Option(help='Decides where.')] = 0,
    listed: Annotated[bool, typer.Option('--list', help='Print the faults.')] = False,
) -> None:
    """Put exactly one fault into a copy of a bag, to see what a program makes of it."""
    from cast_ros.offline.bags.tools.faults import FAULTS, corrupt_bag

    if listed:
        for name, entry in FAULTS.items():
            print(_fault_line(name, entry))
        return
    if bag is None or fault is None or out is None:
        raise CastError('give a bag, --fault and --out; --list prints the faults')
    corrupt_bag(bag, out, fault, topic, seed)
    print(f'{out}: {FAULTS[fault].means} (seed {seed}); cast bag check calls it {FAULTS[fault].finding}')


def _fault_line(name: str, fault: Fault) -> str:
    return f'{name:<17} {fault.means}'
