"""The index of a register of trials: numbered entries, each of which names the hash of the one before.

What belongs here: writing an entry so that nothing is lost or forked, reading them back, and saying what was taken
away or changed. What the entries mean is `trials`.

`trials/index/000012-<hash>.json` is one entry, and `trials.jsonl` beside the folder holds all of them again, one a
line, so that neither can be cut short without the other telling. An entry is written whole or not at all, first into
the index and then into the copy: a writer that was killed in between leaves the copy one entry behind, which is no
damage. On a local disk a lock, which the system frees when its holder dies, lets one writer in at a time. An object
store has no lock: two writers may then write an entry of the same number, both of which count, and the next entry names
both.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from upath import UPath

from quant_assets.storage.partition_files import atomic_write, local_path

HASH_DIGITS = 32
NAME_DIGITS = 16


@dataclass(frozen=True)
class Entry:
    """One entry: its number from 1, the hashes of those numbered one less, and what it says."""

    number: int
    before: tuple[str, ...]
    says: Mapping[str, Any]

    @property
    def text(self) -> str:
        """One line of JSON, the same for the same entry."""
        content = {"number": self.number, "before": list(self.before), **self.says}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @property
    def hash(self) -> str:
        """Of the text, and so of every entry before."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:HASH_DIGITS]


@dataclass(frozen=True)
class Index:
    """Every entry that any copy still has, in order, and what is wrong with the copies."""

    entries: tuple[Entry, ...]
    problems: tuple[str, ...]

    @property
    def head(self) -> tuple[str, ...]:
        """Hashes of the newest entries: one, unless two writers of an object store met."""
        last = max((entry.number for entry in self.entries), default=0)
        return tuple(sorted(entry.hash for entry in self.entries if entry.number == last))


def index_folder(place: UPath) -> UPath:
    """Where a register keeps its entries."""
    return place / "index"


def copy_path(place: UPath) -> UPath:
    """The copy of all entries, outside the folder that it vouches for."""
    return place.parent / f"{place.name}.jsonl"


@contextmanager
def locked(place: UPath) -> Iterator[None]:
    """One writer at a time on a local disk; nothing on an object store or where the system has no such locks."""
    local = local_path(place)
    if local is None or os.name != "posix":
        yield
        return
    import fcntl

    local.mkdir(parents=True, exist_ok=True)
    with (local / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def append(place: UPath, index: Index, says: Mapping[str, Any]) -> Index:
    """The index with one entry more, stored; call it inside `locked`."""
    number = max((entry.number for entry in index.entries), default=0) + 1
    entry = Entry(number, index.head, says)
    atomic_write(index_folder(place) / _name(entry), entry.text.encode())
    entries = (*index.entries, entry)
    atomic_write(copy_path(place), "".join(f"{each.text}\n" for each in entries).encode())
    return Index(entries, index.problems)


def read_index(place: UPath) -> Index:
    """What the index and its copy hold together."""
    stored, problems = _stored(index_folder(place))
    copied, more = _copied(copy_path(place), len(stored))
    problems += more
    merged = {entry.hash: entry for entry in (*stored, *copied)}
    entries = tuple(sorted(merged.values(), key=lambda entry: (entry.number, entry.hash)))
    in_index, in_copy = {entry.hash for entry in stored}, {entry.hash for entry in copied}
    last = entries[-1].number if entries else 0
    for entry in entries:
        if entry.hash not in in_index:
            problems.append(f"entry {entry.number} was taken out of the index")
        elif copied and entry.hash not in in_copy and entry.number < last:
            problems.append(f"entry {entry.number} was taken out of {copy_path(place).name}")
    return Index(entries, tuple(problems + _breaks(entries)))


def _breaks(entries: tuple[Entry, ...]) -> list[str]:
    """Entries that nothing has any more, by number and by the hashes that later ones name."""
    numbers, known = {entry.number for entry in entries}, {entry.hash for entry in entries}
    gone = sorted(set(range(1, max(numbers, default=0) + 1)) - numbers)
    found = [f"entry {number} is lost" for number in gone]
    for entry in entries:
        is_cut = any(name not in known for name in entry.before) or (entry.number > 1 and not entry.before)
        if is_cut and entry.number - 1 not in gone:
            found.append(f"entry {entry.number} does not follow the one before it")
    return found


def _stored(folder: UPath) -> tuple[list[Entry], list[str]]:
    entries, problems = [], []
    paths = sorted((p for p in folder.iterdir() if p.suffix == ".json"), key=str) if folder.exists() else []
    for path in paths:
        entry = _parsed(path.read_bytes())
        if entry is None or path.name != _name(entry):
            problems.append(f"index entry {path.name} was edited")
        else:
            entries.append(entry)
    return entries, problems


def _copied(path: UPath, n_stored: int) -> tuple[list[Entry], list[str]]:
    if not path.exists():  # the very first writer may have been killed before it made the copy
        return [], [f"{path.name} was deleted"] if n_stored > 1 else []
    lines = path.read_bytes().splitlines()
    parsed = [_parsed(line) for line in lines]
    entries = [entry for entry in parsed if entry is not None]
    return entries, [f"{path.name} was edited"] if len(entries) < len(lines) else []


def _parsed(line: bytes) -> Entry | None:
    """The entry of a line, None where it is not exactly one."""
    try:
        content = json.loads(line)
        number, before = content.pop("number"), tuple(content.pop("before"))
        entry = Entry(int(number), before, content)
        return entry if entry.text.encode() == line else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _name(entry: Entry) -> str:
    return f"{entry.number:06d}-{entry.hash[:NAME_DIGITS]}.json"
