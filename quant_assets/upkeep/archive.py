"""The archive of `quant backup` and `quant restore`: the instance and the data in one tar file, with hashes.

An archive is untrusted: members are regular files under data/ or home/, each name is checked part by part, each file by
its size and hash before anything is put in place, and nothing is put where something is.
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from quant_assets.storage.partition_files import local_path
from quant_assets.storage.paths import dagster_home, data_root
from quant_core.errors import DataError

MANIFEST, FORMAT = "MANIFEST.json", 1
ROOMS = ("data", "home")
PART = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")
DEEPEST, LARGEST_MANIFEST, MOST_MEMBERS = 16, 2**28, 2_000_000


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


def is_name(text: str) -> bool:
    return bool(PART.fullmatch(text)) and text not in (".", "..")


def verify(archive: Path) -> Archived:
    """Read an archive to its end.

    Raises:
        DataError: it is none, or a file in it is not the one that was put there.
    """
    with opened(archive) as tar:
        said = manifest(tar, archive)
        for name, stream in members(tar, archive, said):
            checked(stream, None, name, said["members"][name], archive)
    sizes = [entry["size"] for entry in said["members"].values()]
    return Archived(len(sizes), sum(sizes), said["created_at"])


def opened(archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(archive.expanduser())
    except (tarfile.TarError, EOFError) as failure:
        raise DataError(f"{archive}: not an archive of `quant backup` ({failure}).") from failure


def manifest(tar: tarfile.TarFile, archive: Path) -> dict[str, Any]:
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
    sound = all(map(is_name, parts)) and len(parts) <= DEEPEST
    is_ours = entry.name == MANIFEST or (len(parts) > 1 and parts[0] in ROOMS)
    if not (entry.isreg() and sound and is_ours):
        raise DataError(f"{archive}: member {entry.name[:80]!r} is no file of a lab; nothing was restored.")


def members(tar: tarfile.TarFile, archive: Path, said: Mapping[str, Any]) -> Iterator[tuple[str, BinaryIO]]:
    try:
        for name in said["members"]:
            stream = tar.extractfile(name)
            assert stream is not None  # regular files only
            yield name, stream  # type: ignore[misc]
    except (OSError, EOFError, tarfile.TarError) as failure:
        raise DataError(f"{archive}: cannot be read to its end ({failure}); take another backup.") from failure


def checked(
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
