# SPDX-License-Identifier: Apache-2.0
"""What a killed recorder leaves beside a database, and what rosbag2 compresses: all of it is read, or told."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import zstandard
from drawn_bags import STEP_NS, TOPIC, drive, write_bag
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from cast_ros.errors import BagError
from cast_ros.offline.bags import BagReader, BagWriter, RawMessage, typestore
from cast_ros.offline.bags.identity import fingerprint_of
from cast_ros.offline.bags.messages import text
from cast_ros.offline.bags.tools.check import check_bag
from cast_ros.offline.bags.tools.cut import cut_bag
from cast_ros.offline.bags.tools.info import bag_info

WRITTEN, LOGGED = 6, 30


def raw_messages(path: Path, salvage: bool = False) -> list[RawMessage]:
    with BagReader(path, salvage) as reader:
        return list(reader.raw_messages())


def contents_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def killed_recorder(folder: Path, mode: str = 'WAL', commit: bool = True) -> tuple[Path, list[RawMessage]]:
    """A database with its side files as they lie there in the middle of a recording, and what belongs to the bag."""
    whole = write_bag(folder.parent / 'whole.db3', drive(LOGGED))
    expected = raw_messages(whole)
    source = folder.parent / 'recorder.db3'
    shutil.copy(whole, source)
    with closing(sqlite3.connect(source)) as database:
        database.execute('DELETE FROM messages WHERE id > ?', (WRITTEN,))
        database.commit()
        database.execute('VACUUM')
        database.execute(f'PRAGMA journal_mode={mode}')
        database.execute('PRAGMA wal_autocheckpoint=0')
        # So that pages reach the file before they are committed, as they do in a long recording.
        database.execute('PRAGMA cache_size=5')
        for number, raw in enumerate(expected[WRITTEN:], start=WRITTEN + 1):
            database.execute('INSERT INTO messages VALUES(?, 1, ?, ?)', (number, raw.recorded_ns, raw.data))
            if commit:
                database.commit()
        folder.mkdir()
        for file in folder.parent.glob('recorder.db3*'):
            shutil.copy(file, folder / file.name)
    return folder / 'recorder.db3', expected


@pytest.mark.parametrize('with_index', [True, False])
def test_what_is_in_the_write_ahead_log_alone_is_read(tmp_path: Path, with_index: bool) -> None:
    bag, expected = killed_recorder(tmp_path / 'bag')
    if not with_index:
        (tmp_path / 'bag' / 'recorder.db3-shm').unlink()
    before = contents_of(bag.parent)
    assert len(before['recorder.db3-wal']) > 100_000
    assert raw_messages(bag) == expected
    assert raw_messages(bag.parent, salvage=True) == expected
    report = check_bag(bag)
    assert (report.messages, [entry.kind for entry in report.findings]) == (LOGGED, ['no-camera-info'])
    info = bag_info(bag)
    assert info.messages == LOGGED
    assert info.size_bytes >= len(before['recorder.db3']) + len(before['recorder.db3-wal'])
    assert contents_of(bag.parent) == before, 'the files of the user are as they were'


def test_a_database_whose_every_page_is_still_in_the_log_is_read(tmp_path: Path) -> None:
    source = tmp_path / 'recorder.db3'
    whole = write_bag(tmp_path / 'whole.db3', drive(3))
    with closing(sqlite3.connect(source)) as database, closing(sqlite3.connect(whole)) as model:
        database.execute('PRAGMA journal_mode=WAL')
        database.executescript('\n'.join(model.iterdump()))
        (tmp_path / 'bag').mkdir()
        for file in tmp_path.glob('recorder.db3*'):
            shutil.copy(file, tmp_path / 'bag' / file.name)
    assert source.stat().st_size <= 4096 or len(raw_messages(source)) == 3
    assert raw_messages(tmp_path / 'bag' / 'recorder.db3') == raw_messages(whole)


def test_a_log_that_was_cut_short_is_read_up_to_there_and_the_rest_is_told(tmp_path: Path) -> None:
    bag, expected = killed_recorder(tmp_path / 'bag')
    log = bag.with_name('recorder.db3-wal')
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2 + 100])
    size = log.stat().st_size
    with BagReader(bag, salvage=True) as reader:
        left = list(reader.raw_messages())
        (damage,) = reader.damages
    assert WRITTEN < len(left) < LOGGED
    assert left == expected[: len(left)]
    lost = int(damage.reason.split()[0])
    assert damage.reason == f'{lost} of {size} bytes of recorder.db3-wal cannot be read'
    assert 0 < lost < 30_000
    with pytest.raises(BagError, match=rf'{lost} of {size} bytes of recorder\.db3-wal'), BagReader(bag):
        pass
    assert 'truncated' in [entry.kind for entry in check_bag(bag).findings]


@pytest.mark.parametrize('suffix', ['-wal', '-journal'])
def test_a_side_file_that_is_none_is_told_by_its_bytes(tmp_path: Path, suffix: str) -> None:
    bag = write_bag(tmp_path / 'drive.db3', drive(4))
    side = bag.with_name(f'drive.db3{suffix}')
    side.write_bytes(b'\x07' * 5000)
    with BagReader(bag, salvage=True) as reader:
        assert len(list(reader.raw_messages())) == 4
        (damage,) = reader.damages
    assert '5000' in damage.reason
    assert damage.reason.endswith(f'bytes of {side.name} cannot be read')
    assert side.read_bytes() == b'\x07' * 5000


def test_a_log_beside_a_database_that_is_damaged_too_costs_no_message(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'drive.db3', drive(40))
    content = bag.read_bytes()
    bag.write_bytes(content[: int(0.7 * len(content))])
    alone = raw_messages(bag, salvage=True)
    bag.with_name('drive.db3-wal').write_bytes(b'\x07' * 5000)
    bag.with_name('drive.db3-journal').write_bytes(b'\x07' * 5000)
    assert raw_messages(bag, salvage=True) == alone
    assert 10 < len(alone) < 40


def test_frames_of_an_earlier_round_of_the_log_are_nothing_lost(tmp_path: Path) -> None:
    source = write_bag(tmp_path / 'recorder.db3', drive(20))
    with closing(sqlite3.connect(source)) as database:
        database.execute('PRAGMA journal_mode=WAL')
        database.execute('UPDATE messages SET timestamp = timestamp + 1')
        database.commit()
        database.execute('PRAGMA wal_checkpoint(RESTART)')
        database.execute('UPDATE messages SET timestamp = timestamp - 1 WHERE id = 1')
        database.commit()
        (tmp_path / 'bag').mkdir()
        for file in tmp_path.glob('recorder.db3*'):
            shutil.copy(file, tmp_path / 'bag' / file.name)
    with BagReader(tmp_path / 'bag' / 'recorder.db3') as reader:
        assert [raw.recorded_ns % STEP_NS for raw in reader.raw_messages()] == [0] + [1] * 19
        assert reader.damages == ()


def test_what_a_journal_says_was_never_finished_is_taken_back(tmp_path: Path) -> None:
    bag, expected = killed_recorder(tmp_path / 'bag', 'DELETE', commit=False)
    before = contents_of(bag.parent)
    assert len(before['recorder.db3-journal']) > 500
    assert raw_messages(bag, salvage=True) == expected[:WRITTEN]
    assert contents_of(bag.parent) == before


def test_a_log_without_its_database_is_told(tmp_path: Path) -> None:
    bag = tmp_path / 'drive'
    with BagWriter(bag, 'sqlite3') as writer:
        writer.write('/note', 1, text('hello'))
    (bag / 'drive_1.db3-wal').write_bytes(bytes(range(200)))
    with BagReader(bag, salvage=True) as reader:
        assert len(list(reader.raw_messages())) == 1
        (damage,) = reader.damages
    assert damage.reason == '200 bytes of drive_1.db3-wal cannot be read: there is no drive_1.db3'


def test_nothing_is_given_up_before_the_log_was_tried(tmp_path: Path) -> None:
    bag, _ = killed_recorder(tmp_path / 'bag')
    bag.write_bytes(b'')
    with (
        pytest.raises(BagError, match=r'bytes of recorder\.db3-wal cannot be read.*not one message can be salvaged'),
        BagReader(bag, salvage=True),
    ):
        pass


def test_the_log_belongs_to_the_identity_of_a_bag(tmp_path: Path) -> None:
    bag, _ = killed_recorder(tmp_path / 'bag')
    with_log = fingerprint_of(bag)
    bag.with_name('recorder.db3-wal').unlink()
    assert fingerprint_of(bag) != with_log
    assert fingerprint_of(bag)[1] < with_log[1]


def compressed_bag(path: Path, mode: CompressionMode, plugin: StoragePlugin = StoragePlugin.SQLITE3) -> Path:
    writer = Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    dice = np.random.default_rng(0)
    with writer:
        connection = writer.add_connection('/note', 'std_msgs/msg/String', typestore=typestore())
        for number in range(300):
            data = typestore().serialize_cdr(text(f'{number} {dice.bytes(2000).hex()}'), 'std_msgs/msg/String')
            writer.write(connection, number, bytes(data))
    return path


def numbers(path: Path, salvage: bool = False) -> list[int]:
    with BagReader(path, salvage) as reader:
        return [int(entry.message.data.split()[0]) for entry in reader.messages()]


@pytest.mark.parametrize('plugin', [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
@pytest.mark.parametrize('mode', [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_one_part_of_a_compressed_bag_is_read_like_all_of_it(
    tmp_path: Path, mode: CompressionMode, plugin: StoragePlugin
) -> None:
    bag = compressed_bag(tmp_path / 'bag', mode, plugin)
    (part,) = (file for file in bag.iterdir() if file.name != 'metadata.yaml')
    name = mode.name.lower()
    for path in (bag, part):
        assert numbers(path) == list(range(300))
        assert check_bag(path).findings == ()
        assert bag_info(path).compression == f'zstd ({name})'
    report = cut_bag(part, tmp_path / 'cut.mcap', None, None)
    assert (report.messages, report.damages) == (300, ())
    assert numbers(tmp_path / 'cut.mcap') == list(range(300))
    (bag / 'metadata.yaml').unlink()
    assert numbers(bag, salvage=True) == list(range(300))


def test_a_packed_file_that_was_cut_short_is_salvaged(tmp_path: Path) -> None:
    bag = compressed_bag(tmp_path / 'bag', CompressionMode.FILE, StoragePlugin.MCAP)
    (part,) = (file for file in bag.iterdir() if file.name != 'metadata.yaml')
    content = part.read_bytes()
    part.write_bytes(content[: len(content) // 2])
    with pytest.raises(BagError, match='its compressed content is cut short'), BagReader(bag):
        pass
    left = numbers(bag, salvage=True)
    assert left == list(range(len(left)))
    assert 50 < len(left) < 250


def test_a_log_beside_a_packed_database_is_read(tmp_path: Path) -> None:
    bag, expected = killed_recorder(tmp_path / 'bag')
    packed = bag.with_name('recorder.db3.zstd')
    packed.write_bytes(zstandard.compress(bag.read_bytes()))
    bag.unlink()
    assert raw_messages(packed) == expected


def test_a_file_that_was_being_packed_is_read_once(tmp_path: Path) -> None:
    bag = compressed_bag(tmp_path / 'bag', CompressionMode.FILE)
    (part,) = (file for file in bag.iterdir() if file.name != 'metadata.yaml')
    content = part.read_bytes()
    part.with_suffix('').write_bytes(zstandard.ZstdDecompressor().stream_reader(content).read())
    part.write_bytes(content[:1000])
    assert numbers(bag) == list(range(300))
    part.unlink()
    assert numbers(bag) == list(range(300)), 'unpacked by hand'


def test_blobs_that_do_not_decompress_are_told_and_never_written(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'drive.db3', drive(8))
    expected = raw_messages(bag)
    with closing(sqlite3.connect(bag)) as database, database:
        for number, data in database.execute('SELECT id, data FROM messages').fetchall():
            blob = zstandard.compress(data)
            blob = blob[: len(blob) // 2] if number in (3, 5) else blob
            database.execute('UPDATE messages SET data = ? WHERE id = ?', (blob, number))
    good = [raw for number, raw in enumerate(expected, start=1) if number not in (3, 5)]
    report = cut_bag(bag, tmp_path / 'cut.mcap', None, None)
    assert raw_messages(tmp_path / 'cut.mcap') == good
    told = f"2 messages on '{TOPIC}' are compressed and do not decompress, the first at {expected[2].recorded_ns} ns"
    assert [(entry.kind, entry.topic, entry.reason, entry.messages) for entry in report.damages] == [
        ('damaged-message', TOPIC, told, 6)
    ]
    assert [entry.kind for entry in check_bag(bag).findings] == ['damaged-message', 'no-camera-info']


@pytest.mark.parametrize('name', ['run#2', 'what?', 'speed 100%25', '100%', 'a&b=c;d', 'ä ö'])
@pytest.mark.parametrize('suffix', ['', '.db3', '.mcap'])
def test_any_name_is_read_and_written(tmp_path: Path, name: str, suffix: str) -> None:
    folder = tmp_path / name
    out = folder / f'{name}{suffix}'
    with BagWriter(out, 'sqlite3') as writer:
        writer.write('/note', 7, text('hello'))
    with BagReader(out) as reader:
        assert [entry.message.data for entry in reader.messages()] == ['hello']
        assert reader.damages == ()
    cut_bag(out, folder / 'cut.db3', None, None)
    assert len(raw_messages(folder / 'cut.db3')) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [name], 'nothing lies under a shorter name'
    assert sorted(entry.name for entry in folder.iterdir()) == sorted([out.name, 'cut.db3'])


def test_a_log_beside_a_database_of_an_odd_name_is_read(tmp_path: Path) -> None:
    bag, expected = killed_recorder(tmp_path / 'run#2 at 100%?')
    assert raw_messages(bag) == expected
    assert np.array_equal([raw.recorded_ns for raw in expected], [at for at, _ in drive(LOGGED)])
