# SPDX-License-Identifier: Apache-2.0
"""`cast bag`: look into bags, check, cut and break them, and turn them into pictures and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from cast_ros.errors import CastError
from cast_ros.images.camera_info import Rectified

if TYPE_CHECKING:
    from cast_ros.offline.bags import Damage
    from cast_ros.offline.bags.tools.check import CheckReport
    from cast_ros.offline.bags.tools.faults import Fault
    from cast_ros.offline.bags.tools.info import BagInfo, PictureInfo

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
    rectified: Annotated[Rectified, typer.Option(help='Whether P of camera_info holds; as the parameter.')] = 'auto',
    as_json: JsonOption = False,
) -> None:
    """Say all that is wrong with a bag; exit code 0 nothing, 1 something, 2 it cannot be read at all."""
    from cast_ros.offline.bags.tools.check import check_bag

    report = check_bag(bag, topic or None, rectified)
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
    rectified: Annotated[Rectified, typer.Option(help='Whether P of camera_info holds; as the parameter.')] = 'auto',
) -> None:
    """Write pictures, calibration and ground truth as files, in the folders of Cityscapes."""
    from cast_ros.offline.bags.tools.to_dataset import bag_to_dataset

    report = bag_to_dataset(bag, topic, out, every, split, rectified)
    for damage in report.damages:
        print(f'salvaged: {damage}')
    if report.skipped:
        print(f'{report.skipped} messages do not decode and are left out; the first: {report.first_problem}')
    if report.uncalibrated:
        print(f'{report.uncalibrated} pictures have no usable camera_info of their frame and size, and no focal length')
    if report.doubt:
        print(f'not settled: {report.doubt}')
    labels = ''.join(f', {count} of {name}' for name, count in report.labels.items())
    print(f'{out}: {report.pictures} pictures{labels}')


@app.command()
def from_dataset(
    folder: Annotated[Path, typer.Argument(help='Pictures, or a data set like Cityscapes.', show_default=False)],
    out: OutOption,
    rate: RateOption = None,
    part: Annotated[str | None, typer.Option(help='SPLIT/DOMAIN, where a data set has several.')] = None,
    camera_info: Annotated[Path | None, typer.Option(help='camera_info.json or ost.yaml for all pictures.')] = None,
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


def info_document(info: BagInfo) -> dict[str, Any]:
    """For JSON."""
    return {**asdict(info), 'path': str(info.path), 'damages': [_damage(entry) for entry in info.damages]}


def check_document(report: CheckReport) -> dict[str, Any]:
    """For JSON."""
    findings = [
        {
            'kind': entry.kind,
            'topic': entry.topic,
            'count': entry.count,
            'first': entry.first._asdict(),
            'advice': entry.advice,
        }
        for entry in report.findings
    ]
    damages = [_damage(entry) for entry in report.damages]
    return {'path': str(report.path), 'messages': report.messages, 'findings': findings, 'damages': damages}


def print_info(info: BagInfo) -> None:
    """Facts, then topic by topic; a table would cut the names of topics short."""
    from cast_ros.offline.bags.messages import NANOSECONDS

    console = Console(highlight=False, soft_wrap=True)
    begin = datetime.fromtimestamp(info.start_ns // NANOSECONDS, timezone.utc).strftime('%Y-%m-%d %H:%M:%S UTC')
    rows = [
        ('bag', f'{info.path} ({info.size_bytes / 1e6:.3g} MB)'),
        ('storage', f'{info.storage}, compression {info.compression}'),
        ('recorded', f'{begin}, {info.duration_s:.3f} s, {info.messages} messages'),
        ('ground truth', ', '.join(info.ground_truth) or 'none'),
        *((f'sha256 {name}', digest) for name, digest in info.sha256.items()),
        *(('salvaged', str(damage)) for damage in info.damages),
    ]
    for name, value in rows:
        console.print(f'{escape(name):<16} {escape(value)}')
    for topic in info.topics:
        rate = '' if topic.rate_hz is None else f', {topic.rate_hz:.2f} Hz'
        console.print(f'{escape(topic.name)}\n    {topic.msgtype}, {topic.messages} messages{rate}')
        for profile in topic.qos:
            console.print(f'    {profile}')
        if topic.picture is not None:
            console.print(f'    {escape(_picture_line(topic.picture))}')


def print_check(report: CheckReport) -> None:
    """What was salvaged, what was found and what to do, and how much it is."""
    console = Console(highlight=False, soft_wrap=True)
    for damage in report.damages:
        console.print(f'salvaged: {escape(str(damage))}')
    for entry in report.findings:
        console.print(escape(f'{entry.kind}: {entry.topic or "the bag"}, {entry.count} times'))
        console.print(escape(f'    first: {entry.first}\n    {entry.advice}'))
    result = f'findings: {len(report.findings)}' if report.findings else 'nothing wrong'
    console.print(escape(f'{report.path}: {report.messages} messages, {result}'))


def _picture_line(picture: PictureInfo) -> str:
    if picture.problem:
        return f'the first does not decode: {picture.problem}'
    form = f'{picture.encoding} {picture.width}×{picture.height}'
    return f'{form}, {picture.size_bytes} bytes, frame {picture.frame_id!r}, {picture.camera_info or "no camera_info"}'


def _damage(damage: Damage) -> dict[str, Any]:
    return {**asdict(damage), 'file': str(damage.file)}
