# SPDX-License-Identifier: Apache-2.0
"""Encodings, sensor and weather on pictures, and files that appear together or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cast_train.data import open_dataset
from cast_train.data.streets.frames import FrameFiles, save_frame
from cast_train.data.streets.jobs import Options, SceneJob, missing_frames
from cast_train.data.streets.labels import encode_depth, encode_labels
from cast_train.data.streets.quality import Quality
from cast_train.data.streets.scene import SURFACES
from cast_train.data.streets.sensor import Sensor
from cast_train.data.streets.splits import Part
from cast_train.data.streets.weather import draw_weather, show
from cast_train.errors import DataError

SHAPE = (16, 32)


def job_of(root: Path, width_px: int = 32, weather: str = 'clear') -> SceneJob:
    options = Options(Quality(width_px, 16), weather)
    return SceneJob(root, 'mine', 'day', 1, Part(range(1, 2), views=2), options)


def save(job: SceneJob, number: int) -> FrameFiles:
    frame = job.frames()[number]
    labels, depth_cm = np.full(SHAPE, 7, np.uint8), np.full(SHAPE, 500, np.uint16)
    document = job.camera_document(job.scene(), frame)
    save_frame(job.files(frame), np.zeros((*SHAPE, 3), np.uint8), labels, labels.astype(np.uint16), depth_cm, document)
    return job.files(frame)


def test_things_are_numbered_by_class_and_specks_stay_without_a_number() -> None:
    surface, thing = np.full(SHAPE, SURFACES.index('road')), np.zeros(SHAPE, np.int64)
    for number, name, columns, rows in ((1, 'car', 4, 16), (2, 'person', 4, 16), (3, 'car', 4, 16), (4, 'car', 1, 11)):
        area = slice(0, rows), slice(4 * number, 4 * number + columns)
        surface[area], thing[area] = SURFACES.index(name), number
    labels, codes = encode_labels(surface, thing)
    assert labels.dtype == np.uint8
    assert codes.dtype == np.uint16
    assert codes[0, ::4].tolist() == [7, 26000, 24000, 26001, 26, 7, 7, 7]
    assert labels[0, ::4].tolist() == [7, 26, 24, 26, 26, 7, 7, 7]


def test_every_surface_has_the_label_of_the_benchmark() -> None:
    labels, _ = encode_labels(np.arange(len(SURFACES))[None], np.zeros((1, len(SURFACES)), np.int64))
    assert labels[0].tolist() == [23, 7, 8, 11, 17, 20, 21, 22, 24, 26, 27]


def test_depth_is_centimetres_and_the_far_is_sky() -> None:
    depth_m = np.array([[0.0, 1.234, 400.0, 600.0, 601.0, 1e10, np.inf]], np.float32)
    assert encode_depth(depth_m)[0].tolist() == [0, 123, 40000, 60000, 65535, 65535, 65535]


@pytest.mark.parametrize('night', [False, True])
def test_the_sensor_repeats_and_a_skipped_frame_costs_no_other_its_noise(night: bool) -> None:
    bgr = np.full((*SHAPE, 3), 230, np.uint8)
    all_frames, resumed = Sensor(7, night, *SHAPE), Sensor(7, night, *SHAPE)
    first, second = (all_frames.expose(bgr, all_frames.draw()) for _ in range(2))
    resumed.draw()
    assert (resumed.expose(bgr, resumed.draw()) == second).all()
    assert (first != second).any()
    assert first.dtype == np.uint8


@pytest.mark.parametrize('kind', ['rain', 'fog', 'snow'])
def test_weather_hides_the_far_more_than_the_near(kind: str) -> None:
    stripes = np.zeros((64, 128, 3), np.uint8)
    stripes[:, ::8], stripes[:, 4::8] = 200, 20
    weather = draw_weather(kind, 3)
    near = show(stripes, np.full((64, 128), 2, np.float32), weather, False, 3, 0)
    far = show(stripes, np.full((64, 128), 300, np.float32), weather, False, 3, 0)
    assert far[:, ::4].std() < 0.75 * near[:, ::4].std()
    assert (show(stripes, np.full((64, 128), 2, np.float32), weather, False, 3, 0) == near).all()


def test_clear_weather_leaves_every_pixel_alone() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8)
    assert show(bgr, np.full(SHAPE, np.inf, np.float32), draw_weather('clear', 1), True, 1, 0) is bgr


def test_a_saved_frame_loads_as_a_sample(tmp_path: Path) -> None:
    files = save(job_of(tmp_path), 0)
    assert files.is_finished()
    sample = open_dataset('streets', tmp_path, 'mine', 'day')[0]
    assert sample.depth_m is not None
    assert sample.depth_m[0, 0] == 5
    assert not [path for path in tmp_path.rglob('.*') if path.is_file()], 'no temporary file is left'


def test_finished_frames_are_skipped_and_half_written_ones_are_not(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    assert missing_frames(job) == (2, 0)
    files = save(job, 1)
    assert missing_frames(job) == (1, 1)
    files.picture.rename(
        files.picture.with_name(f'.{files.picture.name}.tmp')
    )  # as a kill before the last move leaves it
    assert missing_frames(job) == (2, 0)
    save(job, 1)
    assert missing_frames(job) == (1, 1)


def test_frames_of_other_options_are_never_mixed(tmp_path: Path) -> None:
    save(job_of(tmp_path), 0)
    with pytest.raises(DataError, match='rendered with width 32, asked for 64'):
        missing_frames(job_of(tmp_path, width_px=64))
    with pytest.raises(DataError, match=r'rendered with render default, asked for .*fog.*another --out'):
        missing_frames(job_of(tmp_path, weather='fog'))


def test_a_damaged_camera_file_is_named(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    save(job, 0).camera.write_text('{')
    with pytest.raises(DataError, match='cannot be read'):
        missing_frames(job)


def test_options_are_recorded_only_when_they_are_not_the_default(tmp_path: Path) -> None:
    plain = json.loads(save(job_of(tmp_path / 'plain'), 0).camera.read_text())
    foggy = json.loads(save(job_of(tmp_path / 'foggy', weather='fog'), 0).camera.read_text())
    assert 'render' not in plain
    assert foggy.pop('render') == {'weather': 'fog'}
    assert foggy == plain


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_no_picture(tmp_path: Path) -> None:
    (tmp_path / 'gtFine').write_text('in the way')
    with pytest.raises(DataError, match='cannot write frame day_000001_000000'):
        save(job_of(tmp_path), 0)
    assert not list(tmp_path.rglob('*.jpg'))
