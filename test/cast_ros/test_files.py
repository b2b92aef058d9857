# SPDX-License-Identifier: Apache-2.0
"""A file is there whole, or as it was before."""

from __future__ import annotations

from pathlib import Path

import pytest

from cast_ros.files import replacing, write_text


def test_text_is_written_as_utf_8_into_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'page.md'
    write_text(path, 'größer ≥ 3\n')
    assert path.read_bytes() == 'größer ≥ 3\n'.encode()
    assert [one.name for one in path.parent.iterdir()] == ['page.md']


def test_what_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / 'state'
    path.write_bytes(b'old')

    def broken() -> None:
        with replacing(path) as file:
            file.write(b'half of the n')
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_before_it_is_kept_where_asked(tmp_path: Path) -> None:
    path, before = tmp_path / 'last', tmp_path / 'previous'
    for content in (b'1', b'2', b'3'):
        with replacing(path, before) as file:
            file.write(content)
    assert (path.read_bytes(), before.read_bytes()) == (b'3', b'2')
