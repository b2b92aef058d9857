# SPDX-License-Identifier: Apache-2.0
"""Label fractions: whole scenes, nested, the same everywhere; and published lists in their place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cast_train.data.splits import (
    CITYSCAPES_TRAIN_PICTURES,
    LabelChoice,
    held_out,
    label_count,
    label_fraction,
    labelled_count,
    read_list,
    split_labels,
)
from cast_train.errors import DataError

SCENES = [f'scene_{index // 3:03d}' for index in range(300)]
NAMES = [f'picture_{index:04d}' for index in range(300)]
SCENE_LISTS = st.lists(st.sampled_from('abcdefgh'), min_size=2, max_size=60).filter(lambda names: len(set(names)) > 1)


def test_a_draw_is_the_same_on_every_machine() -> None:
    assert label_fraction(SCENES, 0.02, seed=1) == [258, 259, 260, 294, 295, 296]
    assert label_fraction(SCENES, 0.02, seed=2) == [129, 130, 131, 264, 265, 266]


def test_a_scene_keeps_its_place_when_others_join() -> None:
    before = {SCENES[index] for index in label_count(SCENES, 60, seed=4)}
    joined = [*SCENES, *(f'new_{index}' for index in range(30))]
    after = {joined[index] for index in label_count(joined, 66, seed=4)}
    assert len(before - after) <= 2


@given(SCENE_LISTS, st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.integers(0, 5))
def test_draws_are_scene_disjoint_and_nested(scenes: list[str], first: float, second: float, seed: int) -> None:
    small, large = (label_fraction(scenes, fraction, seed) for fraction in sorted((first, second)))
    assert set(small) <= set(large)
    labelled = {scenes[index] for index in large}
    if len(large) < len(scenes):
        assert labelled.isdisjoint(scenes[index] for index in range(len(scenes)) if index not in large)
    assert small == sorted(small)
    assert small


@given(SCENE_LISTS, st.integers(1, 60), st.integers(0, 5))
def test_the_number_is_off_by_less_than_a_scene(scenes: list[str], count: int, seed: int) -> None:
    largest = max(scenes.count(scene) for scene in scenes)
    asked = min(count, len(scenes))
    assert abs(len(label_count(scenes, count, seed)) - asked) <= largest


def test_equal_scenes_give_the_nearest_number() -> None:
    assert [len(label_count(SCENES, count, seed=1)) for count in (1, 4, 5, 30, 299, 300)] == [3, 3, 6, 30, 297, 300]


def test_the_held_out_part_is_whole_scenes_of_the_labelled() -> None:
    labelled = label_fraction(SCENES, 0.1, seed=1)
    held = held_out(labelled, SCENES, 0.2, seed=1)
    assert len(held) == 6
    assert set(held) < set(labelled)
    assert {SCENES[index] for index in held}.isdisjoint(SCENES[index] for index in set(labelled) - set(held))


@pytest.mark.parametrize('share', [0.001, 0.999])
def test_the_held_out_part_is_never_nothing_and_never_all(share: float) -> None:
    labelled = [0, 1, 2, 3, 4, 5]
    assert len(held_out(labelled, SCENES, share, seed=1)) == 3


def test_one_scene_cannot_be_divided() -> None:
    with pytest.raises(DataError, match=r'3 pictures of 1 scene .* set labels\.held_out to 0'):
        held_out([0, 1, 2], SCENES, 0.5, seed=1)
    with pytest.raises(DataError, match=r'set labels\.fraction to 1'):
        label_fraction(['a'] * 5, 0.5, seed=1)
    assert label_fraction(['a'] * 5, 1.0, seed=1) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(('fraction', 'count'), [(0.05, 144), (0.1, 296), (0.2, 592), (0.3, 888), (0.15, 446)])
def test_cityscapes_has_the_published_counts(fraction: float, count: int) -> None:
    names = [f'city_{index:06d}_000019' for index in range(CITYSCAPES_TRAIN_PICTURES)]
    split = split_labels(names, names, LabelChoice(fraction=fraction), 'cityscapes')
    assert len(split.labelled) == count
    assert len(split.unlabelled) == CITYSCAPES_TRAIN_PICTURES - count
    assert split.source.startswith('drawn by cast_train: seed 1')


def test_other_sets_have_their_share() -> None:
    assert labelled_count('streets', 0.1, 2975) == 298
    assert labelled_count('cityscapes', 0.1, 100) == 10
    assert labelled_count('streets', 0.001, 20) == 1


def test_a_split_has_every_picture_once() -> None:
    split = split_labels(NAMES, SCENES, LabelChoice(fraction=0.1, held_out=0.2), 'streets')
    assert sorted((*split.labelled, *split.held_out, *split.unlabelled)) == list(range(300))
    assert (len(split.labelled), len(split.held_out)) == (24, 6)


def test_all_labels_leave_nothing_unlabelled() -> None:
    split = split_labels(NAMES, SCENES, LabelChoice(), 'streets')
    assert split.labelled == tuple(range(300))
    assert split.held_out == split.unlabelled == ()


def test_a_list_replaces_the_draw(tmp_path: Path) -> None:
    path = tmp_path / 'ten.txt'
    path.write_text('# ours\n\npicture_0005\nfolder/picture_0002.png  # a comment\n')
    split = split_labels(NAMES, SCENES, LabelChoice(fraction=0.9, list=path), 'streets')
    assert split.labelled == (2, 5)
    assert len(split.unlabelled) == 298
    assert split.source == 'list ten.txt'


def test_a_list_of_cityscapes_label_files_is_understood(tmp_path: Path) -> None:
    path = tmp_path / 'perc_5.txt'
    path.write_text('ulm_000001_000019_gtFine_instanceIds.png\r\nulm/ulm_000000_000019_leftImg8bit.png\r\n')
    assert read_list(path, [f'ulm_{index:06d}_000019' for index in range(3)]) == [0, 1]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('picture_0001\npictur_0299\n', r"line 2: 'pictur_0299' is no training picture; the nearest is 'picture_0299'"),
        ('picture_0001\npicture_0001.png\n', "line 2: 'picture_0001' stands in line 1 already"),
        ('\n# nothing\n', 'names no picture'),
        (b'\xff\xfe\x00', 'cannot be read as a list'),
    ],
)
def test_a_bad_list_is_refused_with_its_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / 'list.txt'
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError, match=message):
        read_list(path, NAMES)


def test_a_list_needs_names_that_are_unique(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    path.write_text('picture_0001\n')
    with pytest.raises(DataError, match='share picture names'):
        read_list(path, ['picture_0001', 'picture_0001'])


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'absent\.txt: cannot be read'):
        read_list(tmp_path / 'absent.txt', NAMES)
