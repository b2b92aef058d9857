# SPDX-License-Identifier: Apache-2.0
"""The storage files of a bag as one: topics joined by name and type, counts compared, damage told.

What a bag has is what can be read. metadata.yaml and the index of a storage may say something else; then the numbers of
all three are told. No message is lost since two of them disagree on a topic's QoS.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat

from cast_ros.errors import BagError
from cast_ros.offline.bags.indexed_mcap import IndexedMcap, NoIndexError
from cast_ros.offline.bags.metadata import METADATA, BagMetadata, read_metadata
from cast_ros.offline.bags.storage import (
    JOURNAL_SUFFIX,
    PACKED_SUFFIX,
    STORAGE_SUFFIXES,
    WAL_SUFFIX,
    Damage,
    PartTopic,
    StoragePart,
    is_storage_file,
    plain_name,
    refuse_foreign,
    storage_files,
)
from cast_ros.offline.bags.unpacking import is_packed, readable_file, unpacked

COUNTS_DIFFER = 'counts-differ'
# The kinds of damage that only a reader who asks for salvage goes on with.
_SERIOUS = ('truncated', 'no-metadata')


class BagContents:
    """An open bag.

    Args:
        path: a folder, or one storage file.
        salvage: go on where files are damaged or missing; otherwise that is a BagError.

    Raises:
        BagError: it cannot be read; or it has no topic that is serialized as cdr.
    """

    def __init__(self, path: Path, salvage: bool) -> None:
        self._path, self._salvage = path, salvage
        self._stack = ExitStack()
        self._parts: list[tuple[Path, StoragePart]] = []
        self._told: BagMetadata | None = None
        self._damages: list[Damage] = []
        self._late: dict[Path, Damage] = {}
        self.foreign: dict[str, str] = {}
        self._not_unpacked: dict[str, set[int]] = {}
        self._read: dict[str, int] = {}
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files, and remove private copies."""
        self._stack.close()

    @property
    def topics(self) -> list[PartTopic]:
        """Every topic of every file, with the QoS of metadata.yaml where that has one."""
        known = self._told.topics if self._told else ()
        told = {(entry.name, entry.msgtype): entry for entry in known if entry.name not in self.foreign}
        found = []
        for topic in self._counts:
            entry = told.get((topic.name, topic.msgtype))
            qos, digest = (entry.qos, entry.digest) if entry else ((), '')
            found.append(topic._replace(qos=qos or topic.qos, digest=digest or topic.digest))
        nothing = MessageDefinition(MessageDefinitionFormat.NONE, '')
        alone = told.keys() - {(topic.name, topic.msgtype) for topic in found}
        return [*found, *(PartTopic(*key, nothing, told[key].digest, told[key].qos) for key in sorted(alone))]

    @property
    def counts(self) -> Mapping[str, int]:
        """Messages by topic, as the storage files have them."""
        counts: Counter[str] = Counter()
        for topic, count in self._counts.items():
            counts[topic.name] += count
        return counts

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """Times of recording of the first message and of the last; None without a message."""
        spans = [part.span_ns for _, part in self._parts if part.span_ns is not None]
        return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None

    @property
    def packed(self) -> str:
        """What rosbag2 compressed by zstd: 'file', 'message', or ''."""
        if any(file.name.endswith(PACKED_SUFFIX) for file, _ in self._parts):
            return 'file'
        found = (next(self._of_part(file, part, part.counts), None) for file, part in self._parts)
        first = next((entry for entry in found if entry is not None), None)
        return 'message' if first is not None and is_packed(first[2]) else ''

    @property
    def damages(self) -> tuple[Damage, ...]:
        """What is wrong with the files, and which counts differ, as far as it is known by now."""
        found = [*self._damages, *self._late.values(), *map(self._unpackable, self._not_unpacked)]
        # A file that ends too early has fewer messages than were promised: that is told already.
        return (*found, *([] if any(entry.kind == 'truncated' for entry in found) else self._differences()))

    def messages(self, names: Collection[str]) -> Iterator[tuple[PartTopic, int, bytes]]:
        """Topic, nanoseconds of recording and bytes, unpacked, file after file.

        Raises:
            BagError: a file is damaged, and salvage was not asked for.
        """
        counts = dict.fromkeys(names, 0)
        for file, part in self._parts:
            wanted = {topic for topic in part.counts if topic.name in counts}
            for topic, recorded_ns, data in self._of_part(file, part, wanted) if wanted else ():
                counts[topic.name] += 1
                message = unpacked(data) if is_packed(data) else data
                if message is None:
                    self._not_unpacked.setdefault(topic.name, set()).add(recorded_ns)
                else:
                    yield topic, recorded_ns, message
        # Only who came to the end knows how many there are.
        self._read.update(counts)

    def _of_part(
        self, file: Path, part: StoragePart, wanted: Collection[PartTopic]
    ) -> Iterator[tuple[PartTopic, int, bytes]]:
        count, messages = 0, part.messages(wanted)
        while True:
            try:
                entry = next(messages, None)
            except Exception as error:  # of parsers and storages: a dozen unrelated types
                if not self._salvage:
                    raise unreadable(self._path, error) from error
                self._late[file] = Damage(file, f'its index is whole, but {_line(error)}', count)
                return
            if entry is None:
                return
            count += 1
            yield entry

    def _unpackable(self, name: str) -> Damage:
        at_ns = self._not_unpacked[name]
        reason = f"{len(at_ns)} messages on '{name}' are compressed and do not decompress, the first at {min(at_ns)} ns"
        return Damage(self._path, reason, self.counts[name] - len(at_ns), 'damaged-message', name)

    def _open(self) -> None:
        for file in self._files():
            self._parts.append((file, self._part(file)))
        self._counts: Counter[PartTopic] = Counter()
        for _, part in self._parts:
            self._counts.update(part.counts)
        self._set_other_serializations_apart()
        self._tell_counts()
        serious = next((entry for entry in self._damages if entry.kind in _SERIOUS), None)
        if serious is None:
            return
        if not self._salvage:
            raise unreadable(self._path, BagError(serious.reason))
        if not self._counts.total():
            reasons = ', '.join(entry.reason for entry in self._damages)
            raise BagError(f'{self._path} cannot be read as a bag: {reasons}; not one message can be salvaged')

    def _tell_counts(self) -> None:
        """Complete what is wrong with the whole bag by how much of it there is, now that it is known."""
        total = self._counts.total()
        promised = self._told.messages if self._told else total
        for number, entry in enumerate(self._damages):
            if entry.kind == 'truncated' and promised != total:
                entry = replace(entry, reason=f'{entry.reason}; {METADATA} promises {promised} messages in all')
            self._damages[number] = replace(entry, messages=total) if entry.file == self._path else entry

    def _files(self) -> list[Path]:
        """The storage files to read; notes what is missing and what nobody names."""
        files = storage_files(self._path)
        for file in files:
            refuse_foreign(file)
        if not self._path.is_dir():
            if not is_storage_file(self._path):
                raise unreadable(self._path, BagError(f'its name does not end in {" or ".join(STORAGE_SUFFIXES)}'))
            return files
        self._note_orphans(files)
        try:
            if not (self._path / METADATA).exists():
                self._damages.append(Damage(self._path, f'there is no {METADATA}', 0, 'no-metadata'))
                return files
            self._told = read_metadata(self._path)
        except BagError as error:
            self._damages.append(Damage(self._path, str(error), 0))
            return files
        if self._told.compression not in ('', 'zstd'):
            raise BagError(
                f'{self._path} is compressed by {self._told.compression}; only zstd is read here: '
                '`ros2 bag convert` writes it anew'
            )
        named = [plain_name(name) for name in self._told.files]
        by_name = {plain_name(file.name): file for file in files}
        if missing := [name for name in named if name not in by_name]:
            self._damages.append(Damage(self._path, f'storage files are missing: {", ".join(missing)}', 0))
        for name, file in by_name.items():
            if name not in named:
                reason = f'{METADATA} does not name {file.name} of {file.stat().st_size} bytes, which is not read'
                self._damages.append(Damage(self._path, reason, 0, COUNTS_DIFFER))
        return [by_name[name] for name in dict.fromkeys(named) if name in by_name]

    def _note_orphans(self, files: Collection[Path]) -> None:
        """Logs of a database that is gone."""
        known = {plain_name(file.name) for file in files}
        for entry in sorted(self._path.iterdir()):
            for suffix in (WAL_SUFFIX, JOURNAL_SUFFIX):
                base = entry.name.removesuffix(suffix)
                if entry.name.endswith(f'.db3{suffix}') and base not in known and entry.stat().st_size:
                    reason = f'{entry.stat().st_size} bytes of {entry.name} cannot be read: there is no {base}'
                    self._damages.append(Damage(self._path, reason, 0))

    def _part(self, file: Path) -> StoragePart:
        """A storage file by its index if that can be believed, else from its beginning."""
        plain, problem = readable_file(file, self._private_folder)
        try:
            part, scanned = _indexed(plain), ''
        except BagError as error:
            if not self._salvage and not isinstance(error, NoIndexError):
                raise unreadable(self._path, BagError('; '.join(filter(None, [problem, str(error)])))) from error
            part = _scanned(plain)
            scanned = part.problem or ('' if isinstance(error, NoIndexError) else _line(error))
        self._stack.callback(part.close)
        total = sum(part.counts.values())
        if reason := '; '.join(entry for entry in (problem, scanned) if entry):
            self._damages.append(Damage(file, reason, total))
        if part.strays and not scanned:
            reason = f'{part.strays} messages are of no topic that the storage declares'
            self._damages.append(Damage(file, reason, total, COUNTS_DIFFER))
        return part

    def _private_folder(self) -> Path:
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix='cast-bag-')))

    def _set_other_serializations_apart(self) -> None:
        """Leave out topics that are not cdr; a bag of nothing else is refused."""
        kinds = {(topic.name, topic.serialization) for topic in (self._told.topics if self._told else ())}
        kinds |= {(topic.name, topic.serialization) for topic in self._counts}
        self.foreign = {name: kind or 'unknown' for name, kind in sorted(kinds) if kind != 'cdr'}
        if not self.foreign:
            return
        if self.foreign.keys() == {name for name, _ in kinds}:
            listing = ', '.join(f'{name} ({kind})' for name, kind in self.foreign.items())
            raise BagError(
                f'{self._path} has no topic that is serialized as cdr, the format of ROS 2, which alone is read here: '
                f'{listing}; convert the bag'
            )
        left = self._counts.total()
        for topic in [topic for topic in self._counts if topic.name in self.foreign]:
            left -= self._counts.pop(topic)
        for name, kind in self.foreign.items():
            reason = f"'{name}' is serialized as {kind}, not as cdr, and left out"
            self._damages.append(Damage(self._path, reason, left, 'other-serialization', name))

    def _differences(self) -> list[Damage]:
        """Topics of which metadata.yaml, the index and the reading do not say the same."""
        counts, told = self.counts, Counter[str]()
        for entry in self._told.topics if self._told else ():
            told[entry.name] += entry.messages
        found = []
        for name in sorted({*counts, *told} - {*self.foreign}):
            index = counts.get(name, 0)
            read = self._read.get(name, index)
            promised = told[name] if self._told else index
            if promised != index or read != index:
                known = f'{METADATA} says {promised}, ' if self._told else ''
                reason = f"messages on '{name}': {known}the index of the storage {index}, reading gave {read}"
                found.append(Damage(self._path, reason, read, COUNTS_DIFFER, name))
        if self._told and self._told.messages != told.total():
            reason = f'{METADATA} says {self._told.messages} messages in all, but {told.total()} topic by topic'
            found.append(Damage(self._path, reason, sum(counts.values()), COUNTS_DIFFER))
        return found


def _indexed(file: Path) -> StoragePart:
    try:
        if file.suffix == '.mcap':
            return IndexedMcap(file)
        from cast_ros.offline.bags.db3 import IndexedDb3

        return IndexedDb3(file)
    except NoIndexError:
        raise
    except Exception as error:  # of parsers and storages: a dozen unrelated types
        raise BagError(_line(error)) from error


def _scanned(file: Path) -> StoragePart:
    # Where nothing is damaged, nobody needs the libraries of the two.
    if file.suffix == '.mcap':
        from cast_ros.offline.bags.scan_mcap import McapScan

        return McapScan(file)
    from cast_ros.offline.bags.db3 import Db3Scan

    return Db3Scan(file)


def _line(error: Exception) -> str:
    return ' '.join(str(error).split()).rstrip('.') or type(error).__name__


def unreadable(path: Path, error: Exception) -> BagError:
    """What the storage layers throw at damaged files, for people."""
    return BagError(f'{path} cannot be read as a bag: {_line(error)}; it may be cut short or be something else')
