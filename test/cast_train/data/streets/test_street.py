# SPDX-License-Identifier: Apache-2.0
"""Scenes as data: the same seed is the same street, and the very street of the shared set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cast_train.data.streets.appearance import randomise
from cast_train.data.streets.outlook import camera_document
from cast_train.data.streets.scene import SURFACES, Blob, Cylinder, Polyhedron, Scene, Spot
from cast_train.data.streets.splits import (
    FIXED_VIEW_SEEDS,
    ONE_VIEW_SEEDS,
    PARTS,
    Part,
    choose_part,
    parse_seeds,
    plan_frames,
)
from cast_train.data.streets.street import build_scene
from cast_train.data.streets.views import drive, footprints, is_blocked, standing_views
from cast_train.data.streets.weather import KINDS, draw_weather, put_into
from cast_train.errors import DataError


def shape(scene: Scene) -> list[object]:
    """What decides labels and depth: the meshes, whatever they are made of, and the camera."""
    meshes = [item for item in scene.objects if not isinstance(item, Spot)]
    return [*(replace(item, material=0) for item in meshes), scene.camera, scene.speeds_mps]


@pytest.mark.parametrize('night', [False, True])
def test_a_seed_is_always_the_same_scene(night: bool) -> None:
    assert build_scene(11, night) == build_scene(11, night)
    assert build_scene(11, night) != build_scene(12, night)


@pytest.mark.parametrize('seed', [0, 1, 42, 7000])
def test_day_and_night_differ_in_light_alone(seed: int) -> None:
    day, night = build_scene(seed, night=False), build_scene(seed, night=True)
    assert shape(day) == shape(night)
    assert [material.color for material in day.materials] == [material.color for material in night.materials]
    assert not any(isinstance(item, Spot) for item in day.objects)
    assert any(isinstance(item, Spot) for item in night.objects)
    assert (len(day.headlights), len(night.headlights)) == (0, 2)


def test_every_object_has_a_material_and_every_thing_is_person_car_or_truck() -> None:
    scene = build_scene(3, night=True)
    surfaces_of_things: dict[int, set[str]] = {}
    for item in scene.objects:
        if isinstance(item, Polyhedron | Cylinder | Blob):
            surface = scene.materials[item.material].surface
            assert surface in SURFACES
            surfaces_of_things.setdefault(item.thing, set()).add(surface)
    assert not surfaces_of_things.pop(0) & {'person', 'car', 'truck'}
    assert sorted(surfaces_of_things) == list(range(1, len(scene.speeds_mps) + 1))
    assert all(len(surfaces) == 1 for surfaces in surfaces_of_things.values())


@pytest.mark.parametrize(('split', 'domain', 'seed', 'number'), [('train', 'day', 1, 0), ('drive', 'night', 7000, 7)])
def test_cameras_are_those_of_the_shared_set(
    shared_data: Path, split: str, domain: str, seed: int, number: int
) -> None:
    scene = build_scene(seed, domain == 'night')
    frame = plan_frames(split, domain, scene, PARTS[split, domain])[number]
    path = shared_data / f'streets/camera/{split}/{domain}/{domain}_{seed:06d}_{number:06d}_camera.json'
    shared = json.loads(path.read_text())
    drawn = camera_document(scene.camera, 512, 256, frame.stamp_s, frame.ego_speed_mps)
    assert drawn == {**shared, **{name: pytest.approx(shared[name], rel=1e-6) for name in ('fx', 'fy')}}


@pytest.mark.parametrize(('split', 'domain'), [('val', 'day'), ('foundation', 'night')])
def test_the_shared_set_has_the_planned_frames(shared_data: Path, split: str, domain: str) -> None:
    seeds = PARTS[split, domain].seeds[::8]
    planned = {
        f'{domain}_{seed:06d}_{frame.number:06d}'
        for seed in seeds
        for frame in plan_frames(split, domain, build_scene(seed, night=False), PARTS[split, domain])
    }
    present = (
        path.name.removesuffix('_camera.json') for path in (shared_data / 'streets/camera' / split / domain).iterdir()
    )
    assert planned == {stem for stem in present if int(stem.split('_')[1]) in seeds}


def test_views_stand_free_and_apart() -> None:
    scene = build_scene(1, night=False)
    first, second = standing_views(scene, 2)
    x, y = scene.camera.position[0], sum(second.moves_m)
    assert (first.moves_m, second.moves_m[0]) == ((), 9.0)
    assert not is_blocked(footprints(scene), x, y)
    assert is_blocked(footprints(scene), x, 9.0), 'a car stands there, so the search had to go on'


def test_a_street_without_things_is_free_and_a_full_one_has_no_views() -> None:
    scene = build_scene(1, night=False)
    assert not is_blocked(footprints(replace(scene, objects=(), speeds_mps=())), 0.0, 0.0)
    walls = [(x, y, 0.0) for x in (-50, 50) for y in (-50, 200)]
    wall = Polyhedron(tuple(walls), ((0, 1, 3, 2),), 0, thing=1)
    assert standing_views(replace(scene, objects=(wall,), speeds_mps=(0.0,)), 2) == []


def test_a_drive_is_ten_frames_a_second_through_moving_traffic() -> None:
    frames = drive(3)
    assert [frame.stamp_s for frame in frames] == [0.0, 0.1, 0.2]
    assert [sum(frame.moves_m) for frame in frames] == pytest.approx([0, 0.8, 0.8])
    assert [frame.traffic_s for frame in frames] == [0.0, 0.1, 0.1]


def test_early_scenes_have_the_view_that_the_shared_set_has() -> None:
    scene = build_scene(1, night=False)
    moves = {
        split: [frame.moves_m for frame in plan_frames(split, 'day', scene, Part(range(1, 2)))]
        for split in ('train', 'mine')
    }
    assert moves['train'] == [(), (9.0,)]
    assert moves['mine'] == [(), (9.0, 2.0, 2.0, 2.0, 2.0)]
    assert len(plan_frames('train', 'day', build_scene(0, night=False), Part(range(1)))) == 1
    assert all(any(seed in seeds for seeds in FIXED_VIEW_SEEDS.values()) for seed in ONE_VIEW_SEEDS)


@pytest.mark.parametrize('kind', KINDS)
def test_weather_and_looks_never_move_anything(kind: str) -> None:
    scene = build_scene(5, night=False)
    assert shape(put_into(randomise(scene, 'random'), draw_weather(kind, 5))) == shape(scene)


def test_without_options_the_scene_is_untouched() -> None:
    scene = build_scene(5, night=True)
    assert put_into(randomise(scene, 'default'), draw_weather('clear', 5)) is scene


def test_random_looks_differ_by_seed_and_repeat() -> None:
    scene = build_scene(5, night=False)
    assert randomise(scene, 'random') == randomise(scene, 'random')
    assert randomise(scene, 'random').materials != scene.materials
    assert len({draw_weather('random', seed).kind for seed in range(40)}) == len(KINDS)
    colors = np.array([material.color for material in randomise(scene, 'random').materials])
    assert colors.min() >= 0
    assert colors.max() <= 1


def test_seeds_are_one_or_a_range() -> None:
    assert parse_seeds('7') == range(7, 8)
    assert parse_seeds('10-12') == range(10, 13)
    for text in ('', 'a', '3-', '-3', '1-2-3', '1.5'):
        with pytest.raises(DataError, match='FIRST-LAST'):
            parse_seeds(text)


def test_a_part_is_that_of_the_shared_set_unless_told_otherwise() -> None:
    assert choose_part('val', 'day', None, None, None) == Part(range(5000, 5032))
    assert choose_part('drive', 'day', None, None, None).drive_frames == 40
    assert choose_part('drive', 'day', None, 1, None) == Part(range(7000, 7001), 1, 0)
    assert choose_part('mine', 'day', range(3, 5), None, 8) == Part(range(3, 5), 2, 8)
    with pytest.raises(DataError, match='say its --seeds'):
        choose_part('mine', 'day', None, None, None)
    for seeds in (range(899_999, 900_001), range(5, 5)):
        with pytest.raises(DataError, match='reserved'):
            choose_part('mine', 'day', seeds, None, None)
