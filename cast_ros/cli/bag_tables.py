# SPDX-License-Identifier: Apache-2.0
"""How `cast bag info` and `cast bag check` look: lines for people, documents for programs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.markup import escape

from cast_ros.offline.bags import Damage
from cast_ros.offline.bags.messages import NANOSECONDS
from cast_ros.offline.bags.tools.check import CheckReport
from cast_ros.offline.bags.tools.info import BagInfo, PictureInfo


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
    form = f'{picture.encoding} {picture.width}×{picture.height}' if picture.encoding else 'not decoded here'
    return f'{form}, {picture.size_bytes} bytes, frame {picture.frame_id!r}, {picture.camera_info or "no camera_info"}'


def _damage(damage: Damage) -> dict[str, Any]:
    return {**asdict(damage), 'file': str(damage.file)}
