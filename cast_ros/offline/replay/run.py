# SPDX-License-Identifier: Apache-2.0
"""`cast replay`, deterministic: every picture of a bag through every student, called directly.

No middleware, no clock and no thread decides what is answered: all pictures are, in order of recording, and two runs
write the same frames.jsonl, byte for byte.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

import cast_ros
from cast_ros.errors import BagError, ReplayError
from cast_ros.files import replacing
from cast_ros.images.camera_info import Rectified
from cast_ros.offline.bags.storage import fingerprint_of
from cast_ros.offline.metrics.agreement import AgreementMetrics
from cast_ros.offline.replay.frames import PictureBag, RecordedFrame
from cast_ros.offline.replay.gallery import Thumbnails
from cast_ros.offline.replay.judge import Contestant, make_contestants
from cast_ros.offline.replay.results_bag import ResultsBag, results_bag
from cast_ros.student import LoadOptions, Prediction
from cast_ros.student.providers import DEFAULT_OPTIONS

# What AP and the error of scores ask for: nearly every row. Everything else judges what a robot would see, rows above
# the threshold.
LEAST_SCORE = 0.05
FRAMES, TIMINGS, RESULTS = 'frames.jsonl', 'timings.jsonl', 'results.mcap'


@dataclass(frozen=True)
class ReplaySettings:
    """How a bag is replayed.

    Attributes:
        topic: of the pictures; None takes the only one.
        camera_info_topic: of the calibration; None takes the one beside the pictures.
        score_threshold: instances below are not shown, as in the node.
        load: how students are loaded.
        results_bag: whether the answers are written as a bag too.
        tracking: whether instances are followed, to count how often they change their id.
        rectified: as the node's parameter.
    """

    topic: str | None = None
    camera_info_topic: str | None = None
    score_threshold: float = 0.5
    load: LoadOptions = DEFAULT_OPTIONS
    results_bag: bool = True
    tracking: bool = False
    rectified: Rectified = 'auto'


@dataclass(frozen=True, eq=False)
class Replay:
    """What came out.

    Attributes:
        document: for metrics.json.
        frames: the lines of frames.jsonl.
        timings: the lines of timings.jsonl.
        contestants: the students with all that was noted of them.
        thumbnails: small pictures of answers, spread over the drive.
    """

    document: dict[str, Any]
    frames: list[dict[str, Any]]
    timings: list[dict[str, Any]]
    contestants: list[Contestant]
    thumbnails: Thumbnails


def replay(
    bag_path: Path,
    models: Sequence[Path],
    out: Path,
    settings: ReplaySettings,
    advance: Callable[[int, int], None] = lambda done, of: None,
) -> Replay:
    """Run students over a bag and write frames.jsonl, timings.jsonl and results.mcap into a folder.

    Args:
        bag_path: MCAP or sqlite3.
        models: ONNX files; the first one is what the others are compared with.
        out: folder; what an earlier replay left there is replaced.
        settings: how.
        advance: told after every picture how many of how many are done.

    Raises:
        BagError: the bag cannot be read, or has no such pictures.
        StudentError: a model cannot be used.
        ReplayError: no picture can be decoded, or the folder cannot be written.
    """
    if not LEAST_SCORE <= settings.score_threshold <= 1:
        raise ReplayError(f'the score threshold must lie between {LEAST_SCORE} and 1, is {settings.score_threshold}')
    if (out / RESULTS).resolve() in (bag_path.resolve(), *(path.resolve() for path in _files_of(bag_path))):
        raise ReplayError(f'{bag_path} would be replaced by its own results; choose another folder (--out)')
    with ExitStack() as stack:
        bag = stack.enter_context(PictureBag(bag_path, settings.topic, settings.camera_info_topic, settings.rectified))
        contestants = make_contestants(models, bag, settings.load, stack, settings.tracking)
        thumbnails = Thumbnails(bag.pictures)
        agreement = _agreement_of(contestants)
        frames: list[dict[str, Any]] = []
        timings: list[dict[str, Any]] = []
        unreadable: list[str] = []
        try:
            out.mkdir(parents=True, exist_ok=True)
            with (
                replacing(out / FRAMES) as frames_file,
                replacing(out / TIMINGS) as timings_file,
                results_bag(out / RESULTS if settings.results_bag else None, bag.topic, contestants) as results,
            ):
                for frame in _as_far_as_readable(bag.frames(), unreadable):
                    line, timing = _answer(frame, contestants, agreement, thumbnails, results, settings)
                    _write_line(frames_file, line)
                    _write_line(timings_file, timing)
                    frames.append(line)
                    timings.append(timing)
                    advance(len(frames), bag.pictures)
                incomplete = '; '.join(reason for reason in (bag.damage, *unreadable) if reason)
                if all('problem' in line for line in frames):
                    raise ReplayError(_nothing_to_judge(bag, frames, incomplete))
            if not settings.results_bag:
                # Answers of an earlier replay would pass for those of this one.
                (out / RESULTS).unlink(missing_ok=True)
        except OSError as error:
            raise ReplayError(f'{out}: cannot be written ({error}); free some space and start again') from error
        document = _document(bag, contestants, agreement, frames, incomplete, settings)
    return Replay(document, frames, timings, contestants, thumbnails)


def _files_of(bag_path: Path) -> list[Path]:
    return [path for path in bag_path.iterdir() if path.is_file()] if bag_path.is_dir() else []


def _as_far_as_readable(frames: Iterator[RecordedFrame], unreadable: list[str]) -> Iterator[RecordedFrame]:
    """Frames until the storage fails, and why it did: what is wrong with the results must not look like it."""
    while True:
        try:
            frame = next(frames, None)
        except BagError as error:
            unreadable.append(str(error))
            return
        if frame is None:
            return
        yield frame


def _agreement_of(contestants: Sequence[Contestant]) -> AgreementMetrics | None:
    """Of the first two students, if they speak of the same classes."""
    if len(contestants) < 2 or contestants[0].contract.class_names != contestants[1].contract.class_names:
        return None
    return AgreementMetrics(contestants[0].contract.class_names)


def _answer(
    frame: RecordedFrame,
    contestants: Sequence[Contestant],
    agreement: AgreementMetrics | None,
    thumbnails: Thumbnails,
    results: ResultsBag | None,
    settings: ReplaySettings,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The lines of one picture."""
    line: dict[str, Any] = {'index': frame.index, 'stamp_ns': frame.stamp_ns}
    timing: dict[str, Any] = {'index': frame.index}
    if results is not None:
        results.write_picture(frame)
    if frame.rgb is None:
        return {**line, 'problem': frame.problem}, timing
    height, width = frame.rgb.shape[:2]
    grey = round(float(cv2.mean(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY))[0]), 3)
    line |= {'width': width, 'height': height, 'luminance': grey}
    if frame.uncalibrated:
        line['uncalibrated'] = frame.uncalibrated
    line['students'] = {}
    timing['students'] = {}
    shown: list[Prediction] = []
    for one in contestants:
        prediction = one.student.predict(frame.rgb, frame.fx_px, score_threshold=LEAST_SCORE)
        shown.append(prediction.with_scores_from(settings.score_threshold))
        line['students'][one.name] = one.judge.look(frame, prediction, shown[-1], grey)
        assert one.student.last_timing is not None
        timing['students'][one.name] = {key: round(value, 4) for key, value in asdict(one.student.last_timing).items()}
        if results is not None:
            results.write_answer(one, frame, shown[-1])
    if agreement is not None:
        agreement.update(shown[0], shown[1])
    thumbnails.look(frame, contestants, shown)
    return line, timing


def _write_line(file: BinaryIO, line: dict[str, Any]) -> None:
    file.write(json.dumps(line, allow_nan=False, separators=(',', ':')).encode() + b'\n')


def _nothing_to_judge(bag: PictureBag, frames: list[dict[str, Any]], incomplete: str) -> str:
    if frames:
        return f"{bag.path}: none of the {len(frames)} pictures on '{bag.topic}' can be decoded: {frames[0]['problem']}"
    return incomplete or f"{bag.path}: '{bag.topic}' has no picture"


def _document(
    bag: PictureBag,
    contestants: Sequence[Contestant],
    agreement: AgreementMetrics | None,
    frames: list[dict[str, Any]],
    incomplete: str,
    settings: ReplaySettings,
) -> dict[str, Any]:
    stamps = [line['stamp_ns'] for line in frames if 'width' in line]
    sizes = sorted({(line['width'], line['height']) for line in frames if 'width' in line})
    return {
        'schema': '1.0',
        'bag': {
            'name': bag.path.name,
            'fingerprint': fingerprint_of(bag.path)[0],
            'topic': bag.topic,
            'camera_info_topic': bag.camera_info_topic,
            'intrinsics': bag.intrinsics,
            'intrinsics_doubt': bag.doubt,
            'ground_truth': list(bag.truth_topics),
            'pictures': len(frames),
            'promised': bag.pictures,
            'undecodable': sum('problem' in line for line in frames),
            'uncalibrated': sum('uncalibrated' in line for line in frames),
            'labelled': sum(frame_is_labelled(line) for line in frames),
            'labels_without_picture': bag.labels_without_picture,
            'faults': bag.faults,
            'duration_s': (max(stamps) - min(stamps)) / 1e9,
            'sizes': [list(size) for size in sizes],
            'incomplete': incomplete,
        },
        'students': [one.document() for one in contestants],
        'agreement': None if agreement is None else agreement.compute().as_dict(),
        'settings': {
            **{name: value for name, value in vars(settings).items() if name != 'load'},
            'providers': list(settings.load.providers),
            'threads': settings.load.threads,
        },
        'versions': _versions(),
    }


def frame_is_labelled(line: dict[str, Any]) -> bool:
    """Whether a line of frames.jsonl tells of a picture that was compared with its ground truth."""
    return any(values.get('labelled') for values in line.get('students', {}).values())


def _versions() -> dict[str, str]:
    import onnxruntime

    return {
        'cast_ros': cast_ros.__version__,
        'onnxruntime': onnxruntime.__version__,
        'opencv': cv2.__version__,
        'numpy': np.__version__,
        'python': platform.python_version(),
    }
