"""`quant backup` and `quant restore`: the instance and the data in one tar file, with the hash of every file in it.

Made while everything runs: SQLite files are copied through SQLite's own backup, an artifact together with the pointer
that names it, everything else is replaced whole and therefore read whole. Files of different moments may disagree:
then the next `quant run` makes what is missing. Temporary files, checkpoints, values between ops and the places of
`--as-of` stay out.

An archive is untrusted: members are regular files under data/ or home/, each name is checked part by part, each file by
its size and hash before anything is put in place, and nothing is put where something is.
"""

import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

from quant_assets.storage.partition_files import local_path
from quant_assets.storage.paths import dagster_home, data_root
from quant_core.errors import DataError

MANIFEST, FORMAT = "MANIFEST.json", 1
LEFT_OUT = frozenset({".scratch", ".checkpoints", ".as_of", "lost+found"})
SQLITE = b"SQLite format 3\0"
JOURNALS = ("-wal", "-shm", "-journal")
ROOMS = ("data", "home")
PART = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")
#: What a version of an artifact has after the name of its pointer, with which it is archived.
VERSION = re.compile(r"-[0-9a-f]{12}$")
DEEPEST, LARGEST_MANIFEST, MOST_MEMBERS = 16, 2**28, 2_000_000
TRIES = 5
#: The lab's folder of artifacts under its data.
ARTIFACTS = "mlflow/artifacts"
#: Where MLflow's database says in which folder the artifacts are.
PLACES = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("model_versions", "source"),
    ("model_versions", "storage_location"), ("logged_models", "artifact_location"),
)  # fmt: skip


@dataclass(frozen=True)
class Archived:
    """What an archive holds."""

    files: int
    size_bytes: int
    created_at: str


def local_rooms() -> dict[str, Path]:
    """The folders of the data and of the instance.

    Raises:
        DataError: the data are in an object store.
    """
    data = local_path(data_root())
    if data is None:
        raise DataError(
            f"{data_root()}: an object store is backed up by its own versions or replication; see its manual."
        )
    return {"data": data.resolve(), "home": dagster_home()}


# ---- backup ----------------------------------------------------------------------------------------------------------


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
    return [path.parent / named[0] / name for name in named[1:]] if all(map(_is_name, named)) else []


def _is_name(text: str) -> bool:
    return bool(PART.fullmatch(text)) and text not in (".", "..")


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


# ---- restore ---------------------------------------------------------------------------------------------------------


def verify(archive: Path) -> Archived:
    """Read an archive to its end.

    Raises:
        DataError: it is none, or a file in it is not the one that was put there.
    """
    with _opened(archive) as tar:
        said = _manifest(tar, archive)
        for name, stream in _members(tar, archive, said):
            _checked(stream, None, name, said["members"][name], archive)
    sizes = [entry["size"] for entry in said["members"].values()]
    return Archived(len(sizes), sum(sizes), said["created_at"])


def restore(archive: Path) -> Archived:
    """Put an archive into QUANT_DATA and DAGSTER_HOME, which must be empty; nothing is put there until all is sound.

    Raises:
        DataError: see `verify`; or something is there.
    """
    rooms = local_rooms()
    for folder in rooms.values():
        _refuse_full(folder)
    staged = {room: folder / f".restore.{uuid.uuid4().hex[:8]}.tmp" for room, folder in rooms.items()}
    try:
        with _opened(archive) as tar:
            said = _manifest(tar, archive)
            total = sum(entry["size"] for entry in said["members"].values())
            _refuse_little(rooms["data"], total)
            for name, stream in _members(tar, archive, said):
                room, _, inside = name.partition("/")
                target = staged[room] / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    _checked(stream, file, name, said["members"][name], archive)
                modified = tar.getmember(name).mtime
                os.utime(target, (modified, modified))
        _move_artifacts(staged["data"] / "mlflow" / "mlflow.db", said["data"], rooms["data"])
        for room, folder in rooms.items():
            staged[room].mkdir(parents=True, exist_ok=True)
            for path in staged[room].iterdir():
                os.replace(path, folder / path.name)
    finally:
        for folder in staged.values():
            shutil.rmtree(folder, ignore_errors=True)
    return Archived(len(said["members"]), total, said["created_at"])


def _opened(archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(archive.expanduser())
    except (tarfile.TarError, EOFError) as failure:
        raise DataError(f"{archive}: not an archive of `quant backup` ({failure}).") from failure


def _manifest(tar: tarfile.TarFile, archive: Path) -> dict[str, Any]:
    """What the archive says of itself.

    Raises:
        DataError: names that are no names of this lab's files, links and the like, or a missing manifest.
    """
    try:
        names = []
        for entry in tar:
            check_member(entry, archive)
            names.append(entry.name)
            if len(names) > MOST_MEMBERS:
                raise DataError(f"{archive}: more than {MOST_MEMBERS:,} members; not an archive of `quant backup`.")
        entry = tar.getmember(MANIFEST)
        stream = tar.extractfile(entry)
        said: dict[str, Any] = json.loads(stream.read(LARGEST_MANIFEST)) if stream else {}
        if said["format"] != FORMAT or len(names) != len(set(names)):
            raise DataError(f"{archive}: another format, or a name twice; wanted format {FORMAT}.")
        if not all(isinstance(one["size"], int) and isinstance(one["sha256"], str) for one in said["members"].values()):
            raise DataError(f"{archive}: a size or hash in {MANIFEST} is none; it was changed.")
        differ = {*names} ^ {*said["members"], MANIFEST}
    except (KeyError, TypeError, ValueError, OSError, EOFError, tarfile.TarError) as failure:
        raise DataError(
            f"{archive}: has no readable {MANIFEST} ({failure}); it is cut short or not a backup."
        ) from failure
    if differ:
        raise DataError(
            f"{archive}: {sorted(differ)[0]} is not both in the archive and in its {MANIFEST}; it was changed."
        )
    return said


def check_member(entry: tarfile.TarInfo, archive: Path) -> None:
    """Raise a DataError unless a member may become a file of the lab."""
    parts = entry.name.split("/")
    sound = all(map(_is_name, parts)) and len(parts) <= DEEPEST
    is_ours = entry.name == MANIFEST or (len(parts) > 1 and parts[0] in ROOMS)
    if not (entry.isreg() and sound and is_ours):
        raise DataError(f"{archive}: member {entry.name[:80]!r} is no file of a lab; nothing was restored.")


def _members(tar: tarfile.TarFile, archive: Path, said: Mapping[str, Any]) -> Iterator[tuple[str, BinaryIO]]:
    try:
        for name in said["members"]:
            stream = tar.extractfile(name)
            assert stream is not None  # regular files only
            yield name, stream  # type: ignore[misc]
    except (OSError, EOFError, tarfile.TarError) as failure:
        raise DataError(f"{archive}: cannot be read to its end ({failure}); take another backup.") from failure


def _checked(
    stream: BinaryIO, target: BinaryIO | None, name: str, said: Mapping[str, Any], archive: Path
) -> None:  # fmt: skip
    digest, left = hashlib.sha256(), said["size"]
    while chunk := stream.read(2**20):
        left -= len(chunk)
        if left < 0:
            break
        digest.update(chunk)
        if target is not None:
            target.write(chunk)
    if left or digest.hexdigest() != said["sha256"]:
        raise DataError(f"{archive}: {name} is not what was backed up (size or SHA-256 differ); take another backup.")


def _refuse_full(folder: Path) -> None:
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if set(found) - {"dagster.yaml"}:
        raise DataError(
            f"{folder}: holds {', '.join(found[:3])}{', ...' if len(found) > 3 else ''}; restore into empty places: "
            "set QUANT_DATA and DAGSTER_HOME to new folders, or move these away."
        )


def _refuse_little(folder: Path, wanted: int) -> None:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if wanted > free:
        raise DataError(f"{folder}: {wanted / 1e9:.1f} GB wanted, {free / 1e9:.1f} GB free; make room first.")


def _move_artifacts(database: Path, before: str, after: Path) -> None:
    """Let MLflow's database name the folder in which its artifacts are now, also where it was a copied one before."""
    if not database.is_file():
        return
    new = f"{after.as_uri()}/"
    with closing(sqlite3.connect(database)) as file, file:
        known = {row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for old in _old_places(file, known, before) - {new}:
            for table, column in PLACES:
                if table in known:
                    file.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                        (new, len(old) + 1, len(old), old),
                    )


def _old_places(file: sqlite3.Connection, known: set[str], before: str) -> set[str]:
    """Where the data were, by the archive and by MLflow's experiments."""
    asked = "SELECT artifact_location FROM experiments" if "experiments" in known else "SELECT NULL"
    places = [str(row[0]) for row in file.execute(asked)]
    own = {
        place.removesuffix(ARTIFACTS) for place in places if place.startswith("file://") and place.endswith(ARTIFACTS)
    }
    return {f"{Path(before).as_uri()}/", *own}
