# SPDX-License-Identifier: Apache-2.0
"""Folders of pictures: bare, with labels whose classes a file names, or with what a machine said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_road import HEIGHT, WIDTH, draw_pictures, grey, write

from cast_train.data import open_dataset
from cast_train.errors import DataError


@pytest.mark.parametrize('nested', [True, False])
def test_a_bare_folder_is_pictures_without_labels(tmp_path: Path, nested: bool) -> None:
    draw_pictures(tmp_path, pseudo=False, nested=nested)
    pictures = open_dataset('pictures', tmp_path, 'all')
    assert list(pictures.names) == list(pictures.scenes) == ['a', 'b', 'c']
    sample = pictures[0]
    assert sample.image.shape == (HEIGHT, WIDTH, 3)
    assert (sample.semantic, sample.instance_ids, sample.depth_m) == (None, None, None)


def test_what_the_machine_said_is_shown_on_request_and_in_train_ids(tmp_path: Path) -> None:
    draw_pictures(tmp_path)
    (tmp_path / 'pseudo' / 'b.png').unlink()
    assert open_dataset('pictures', tmp_path, 'all')[0].semantic is None
    pictures = open_dataset('pictures', tmp_path, 'all', 'pseudo', 'road')
    semantic = pictures[0].semantic
    assert semantic is not None
    assert [pictures.classes[label].name for label in semantic[[1, -1], 0]] == ['sky', 'road']
    assert (semantic[0] == 255).all()
    assert pictures[1].semantic is None, 'nothing was said of this one'
    assert open_dataset('pictures', tmp_path, 'all', 'bare')[0].semantic is None


def test_labels_are_named_by_a_file(tmp_path: Path) -> None:
    draw_pictures(tmp_path, pseudo=False)
    write(tmp_path / 'labels' / 'a.png', np.full((HEIGHT, WIDTH), 1, np.uint8))
    with pytest.raises(DataError, match=r'labels/classes\.txt: no such file; name the classes of the labels there'):
        open_dataset('pictures', tmp_path, 'all')
    (tmp_path / 'labels' / 'classes.txt').write_text('mud\nroad\n')
    pictures = open_dataset('pictures', tmp_path, 'all')
    assert [entry.name for entry in pictures.classes] == ['mud', 'road']
    mapped = open_dataset('pictures', tmp_path, 'all', class_map='road')[0].semantic
    assert mapped is not None
    assert (mapped == 0).all()
    assert list(open_dataset('pictures', tmp_path, 'unlabelled').names) == ['b', 'c']
    write(tmp_path / 'labels' / 'a.png', np.full((HEIGHT, WIDTH), 2, np.uint8))
    with pytest.raises(DataError, match=r'a\.png: holds label 2, there are 2 classes and 255; name all classes in'):
        open_dataset('pictures', tmp_path, 'all')[0]
    (tmp_path / 'labels' / 'classes.txt').write_text('mud\nmud\n')
    with pytest.raises(DataError, match=r'classes\.txt: needs 1 to 255 names, each once, one a line; it has 2'):
        open_dataset('pictures', tmp_path, 'all')


def test_broken_folders_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='holds no picture'):
        open_dataset('pictures', tmp_path, 'all')
    draw_pictures(tmp_path, pseudo=False)
    with pytest.raises(DataError, match='pictures has the domains pseudo, bare and none'):
        open_dataset('pictures', tmp_path, 'all', 'night')
    with pytest.raises(DataError, match=r'pseudo: holds no label; make them, or leave the domain out'):
        open_dataset('pictures', tmp_path, 'all', 'pseudo')
    draw_pictures(tmp_path)
    write(tmp_path / 'pseudo' / 'z.png', np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(DataError, match=r'z\.png: there is no picture of that name; fetch it, or remove the label'):
        open_dataset('pictures', tmp_path, 'all', 'pseudo')
    write(tmp_path / 'images' / 'a.png', grey())
    with pytest.raises(DataError, match='two pictures of one name with different endings; rename one'):
        open_dataset('pictures', tmp_path, 'all')
