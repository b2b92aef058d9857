# SPDX-License-Identifier: Apache-2.0
"""What to render: the scenes that a command asks for, and which of their frames are missing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cast_train.data.streets import appearance as appearances
from cast_train.data.streets import weather as weathers
from cast_train.data.streets.appearance import randomise
from cast_train.data.streets.frames import FrameFiles, check_same_options
from cast_train.data.streets.outlook import camera_document
from cast_train.data.streets.quality import Quality
from cast_train.data.streets.scene import Scene
from cast_train.data.streets.splits import DOMAINS, SPLITS, Part, choose_part, parse_seeds, plan_frames
from cast_train.data.streets.street import build_scene
from cast_train.data.streets.views import RenderedFrame
from cast_train.data.streets.weather import Weather, draw_weather, put_into
from cast_train.errors import DataError


@dataclass(frozen=True)
class Options:
    """What may differ from the shared set; the defaults make its very frames."""

    quality: Quality = field(default_factory=Quality)
    weather: str = 'clear'
    appearance: str = 'default'


@dataclass(frozen=True)
class SceneJob:
    """A scene of one split and domain below ``root``."""

    root: Path
    split: str
    domain: str
    seed: int
    part: Part
    options: Options

    @property
    def night(self) -> bool:
        """Whether it is rendered by night."""
        return self.domain == 'night'

    @property
    def weather(self) -> Weather:
        """The weather of all its frames."""
        return draw_weather(self.options.weather, self.seed)

    def scene(self) -> Scene:
        """The street as it is to be rendered, options included."""
        return put_into(randomise(self.plain_scene(), self.options.appearance), self.weather)

    def plain_scene(self) -> Scene:
        """The street of the shared set."""
        return build_scene(self.seed, self.night)

    def frames(self) -> list[RenderedFrame]:
        """All its frames in order, finished or not."""
        return plan_frames(self.split, self.domain, self.plain_scene(), self.part)

    def files(self, frame: RenderedFrame) -> FrameFiles:
        """Where a frame belongs."""
        return FrameFiles(self.root, self.split, self.domain, self.seed, frame.number)

    def camera_document(self, scene: Scene, frame: RenderedFrame) -> dict[str, object]:
        """What the camera file of a frame says; options other than the default are recorded under ``render``."""
        quality = self.options.quality
        document = camera_document(
            scene.camera, quality.width_px, quality.height_px, frame.stamp_s, frame.ego_speed_mps
        )
        changed: dict[str, object] = {}
        if self.weather.kind != 'clear':
            changed['weather'] = self.weather.kind
        if self.options.appearance != 'default':
            changed['appearance'] = self.options.appearance
        if quality.samples != Quality().samples:
            changed['samples'] = quality.samples
        return document | ({'render': changed} if changed else {})


def missing_frames(job: SceneJob) -> tuple[int, int]:
    """Count a scene's missing and its finished frames.

    Raises:
        DataError: a finished frame was rendered with other options.
    """
    missing = finished = 0
    scene = job.plain_scene()
    for frame in plan_frames(job.split, job.domain, scene, job.part):
        if job.files(frame).is_finished():
            check_same_options(job.files(frame), job.camera_document(scene, frame))
            finished += 1
        else:
            missing += 1
    return missing, finished


def choose_jobs(
    root: Path,
    splits: Sequence[str] | None,
    domains: Sequence[str] | None,
    seeds: str | None,
    views: int | None,
    drive_frames: int | None,
    options: Options,
) -> list[SceneJob]:
    """The scenes that a command line asks for; what it leaves open is as in the shared set.

    Raises:
        DataError: an unknown choice, seeds that cannot be, or both views and a drive.
    """
    _require_choice('--weather', options.weather, weathers.CHOICES)
    _require_choice('--appearance', options.appearance, appearances.CHOICES)
    if views is not None and drive_frames is not None:
        raise DataError('--views and --drive exclude each other: views stand, a drive moves; give one of them')
    for split in splits or ():
        if not split.replace('_', '').replace('-', '').isalnum():
            raise DataError(f'--split {split!r}: becomes a folder, so letters, digits, - and _ only')
    for domain in domains or ():
        _require_choice('--domain', domain, DOMAINS)
    wanted = None if seeds is None else parse_seeds(seeds)
    parts = {
        (split, domain): choose_part(split, domain, wanted, views, drive_frames)
        for split in splits or SPLITS
        for domain in domains or DOMAINS
    }
    return [
        SceneJob(root, split, domain, seed, part, options)
        for (split, domain), part in parts.items()
        for seed in part.seeds
    ]


def _require_choice(option: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise DataError(f'{option} {value!r}: must be one of {", ".join(known)}')
