"""`quant backup`: made while everything runs.

SQLite files are copied through SQLite's own backup, an artifact together with the pointer that names it, everything
else is replaced whole and therefore read whole. Files of different moments may disagree: then the next `quant run`
makes what is missing. Temporary files, checkpoints, values between ops and the places of `--as-of` stay out.
"""

import hashlib
import io
import json
import os
import re
import sqlite3
import tarfile
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from quant_assets.upkeep.archive import (
    FORMAT,
    MANIFEST,
    Archived,
    is_name,
    local_rooms,
    verify,
)
from quant_core.errors import DataError

LEFT_OUT = frozenset({".scratch", ".checkpoints", ".as_of", "lost+found"})
SQLITE = b"SQLite format 3\0"
JOURNALS = ("-wal", "-shm", "-journal")
#: What a version of an artifact has after the name of its pointer, with which it is archived.
VERSION = re.compile(r"-[0-9a-f]{12}$")
TRIES = 5


def backup(target: Path) -> Archived:
    """Write the archive, whole or not at all, and read it back.

    Raises:
        DataError: something is there already, or it would lie in what is backed up.
    """
    rooms, target = local_rooms(), target.expanduser().resolve()
    if target.exists():
        raise DataError(f"{target}: is there already; give a new name.")
    for folder in rooms.values():
        if target.is_relative_to(folder):
            raise DataError(f"{target}: lies in {folder}, which is backed up; give a place outside, on another disk.")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with tarfile.open(temporary, "w:gz" if target.name.endswith(("gz", "tgz")) else "w") as tar:
            _fill(tar, rooms)
        found = verify(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return found


def _fill(tar: tarfile.TarFile, rooms: Mapping[str, Path]) -> None:
    members: dict[str, dict[str, Any]] = {}
    for room, folder in rooms.items():
        for name, content, modified in contents(folder):
            member = f"{room}/{name}"
            if member not in members:
                _add(tar, member, content, modified)
                members[member] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    said = {
        "format": FORMAT, "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "lab": metadata.version("quant-lab"), "data": str(rooms["data"]), "members": members,
    }  # fmt: skip
    _add(tar, MANIFEST, json.dumps(said).encode(), datetime.now(UTC).timestamp())


def _add(tar: tarfile.TarFile, name: str, content: bytes, modified: float) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(content), modified, 0o600  # type: ignore[assignment]
    tar.addfile(entry, io.BytesIO(content))


def contents(folder: Path) -> Iterator[tuple[str, bytes, float]]:
    """(name under the folder, content, time of its last change) of every file that is kept."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and not name.endswith(".tmp"))
        here = Path(place)
        stems = {name.removesuffix(".json") for name in names if name.endswith(".json")}
        folders[:] = [name for name in folders if not (VERSION.search(name) and VERSION.sub("", name) in stems)]
        for name in sorted(names):
            path = here / name
            if name.endswith((".tmp", *JOURNALS)) or path.is_symlink() or not path.is_file():
                continue
            for found, content, modified in _with_its_files(path):
                yield found.relative_to(folder).as_posix(), content, modified


def _with_its_files(path: Path) -> list[tuple[Path, bytes, float]]:
    """A file; a pointer with what it points to, read again where it is replaced meanwhile; none where it has gone."""
    for _ in range(TRIES):
        try:
            content, modified = _content(path), path.stat().st_mtime
        except FileNotFoundError:
            return []
        named = _pointed(path, content)
        with suppress(FileNotFoundError):
            return [*((one, _content(one), one.stat().st_mtime) for one in named), (path, content, modified)]
    raise DataError(f"{path}: names files that are not there; materialize the partition again.")


def _pointed(path: Path, content: bytes) -> list[Path]:
    if path.suffix != ".json":
        return []
    try:
        entry = json.loads(content)
        folder, files = entry["folder"], entry["files"]
    except (ValueError, KeyError, TypeError):
        return []
    named = [str(folder), *map(str, files)] if isinstance(files, list) else [""]
    return [path.parent / named[0] / name for name in named[1:]] if all(map(is_name, named)) else []


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        is_database = file.read(len(SQLITE)) == SQLITE
        file.seek(0)
        return _database(path) if is_database else file.read()


def _database(path: Path) -> bytes:
    """A SQLite file as of one moment, whoever is writing to it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        with closing(sqlite3.connect(path, timeout=60)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        return copy.read_bytes()
