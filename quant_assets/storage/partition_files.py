"""Where assets live: one Parquet file a month, one content-addressed folder a fitted artifact; every write is atomic.

A table's partition is `<root>/<profile>/<asset>/<partition>.parquet`; its footer carries a content hash and a
fingerprint. An artifact's partition is a folder of files named in `<root>/<profile>/<asset>/<partition>.json`, which is
replaced last. A fingerprint sums up what a partition was made from (quant_assets/currency/fingerprints.py), so that a
rerun can skip what is current.
"""

import hashlib
import io
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from upath import UPath

from quant_assets.storage import object_store
from quant_assets.storage.paths import safe_name
from quant_core.errors import DataError

STALE_TEMPORARY = timedelta(hours=1)

#: What an artifact asset returns: file name -> bytes.
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Stamp:
    """What identifies a stored partition: hash of its content, and of everything it was made from."""

    content_hash: str
    fingerprint: str


def table_path(root: UPath, key: dg.AssetKey, partition: str) -> UPath:
    """File of one month of a table."""
    return asset_folder(root, key) / f"{safe_name(partition, 'partition')}.parquet"


def pointer_path(root: UPath, key: dg.AssetKey, partition: str) -> UPath:
    """File that names the current version of an artifact."""
    return asset_folder(root, key) / f"{safe_name(partition, 'partition')}.json"


def asset_folder(root: UPath, key: dg.AssetKey) -> UPath:
    """Folder of an asset's partitions."""
    return root.joinpath(*(safe_name(part, "asset key") for part in key.path))


def local_path(path: UPath) -> Path | None:
    """The path on this machine, or None for an object store."""
    return Path(path.path) if path.protocol in ("", "file") else None


def atomic_write(path: UPath, data: bytes) -> None:
    """Write all of `data` or nothing: a temporary name, then a rename; object stores put whole objects."""
    target = local_path(path)
    if target is None:
        object_store.put(path, data)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, target)


def _sweep(folder: Path) -> None:
    """Remove what killed writers left behind; recent files may belong to a writer that is still at work."""
    for path in folder.glob(".*.tmp"):
        try:
            if time.time() - path.stat().st_mtime > STALE_TEMPORARY.total_seconds():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except FileNotFoundError:
            continue  # another writer swept it first


def parquet(table: pl.DataFrame, metadata: dict[str, str] | None = None) -> bytes:
    """A table as the bytes of a file."""
    buffer = io.BytesIO()
    table.rechunk().write_parquet(buffer, compression="zstd", statistics=True, metadata=metadata)
    return buffer.getvalue()


def write_table(path: UPath, table: pl.DataFrame, fingerprint: str) -> Stamp:
    """Write one month of a table; equal tables have equal content hashes."""
    stamp = Stamp(hashlib.sha256(parquet(table)).hexdigest(), fingerprint)
    atomic_write(path, parquet(table, {"content_hash": stamp.content_hash, "fingerprint": stamp.fingerprint}))
    return stamp


def read_tables(paths: Sequence[UPath]) -> pl.LazyFrame:
    """One lazy table over files in the given order; local files are scanned, remote ones read whole."""
    local = [found for path in paths if (found := local_path(path)) is not None]
    if len(local) == len(paths):
        return pl.scan_parquet(local, glob=False)
    return pl.concat([pl.read_parquet(content) for content in object_store.contents(paths)]).lazy()


def write_artifact(pointer: UPath, files: Files, fingerprint: str) -> Stamp:
    """Write an artifact's files into a folder named by their hash, then point to it."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{safe_name(name, 'artifact file')}:{len(files[name])}:".encode())
        digest.update(files[name])
    stamp = Stamp(digest.hexdigest(), fingerprint)
    folder = f"{pointer.stem}-{stamp.content_hash[:12]}"
    for name, data in files.items():
        atomic_write(pointer.parent / folder / name, data)
    entry = {
        "folder": folder,
        "files": sorted(files),
        "content_hash": stamp.content_hash,
        "fingerprint": stamp.fingerprint,
    }
    atomic_write(pointer, json.dumps(entry, indent=1).encode())
    _drop_old_versions(pointer, folder)
    return stamp


def _drop_old_versions(pointer: UPath, current: str) -> None:
    local = local_path(pointer)
    if local is None:
        versions = {name.partition("/")[0] for name in object_store.listed(pointer.parent) if "/" in name}
        for name in versions - {current}:
            if name.startswith(f"{pointer.stem}-"):
                object_store.remove(pointer.parent / name)
        return
    own = re.compile(rf"{re.escape(pointer.stem)}-[0-9a-f]{{12}}")  # x=1 is no version of x=1e-3
    for folder in local.parent.glob(f"{pointer.stem}-*"):
        if folder.name != current and own.fullmatch(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def artifact_folder(pointer: UPath) -> UPath:
    """Folder of an artifact's current version."""
    return pointer.parent / safe_name(str(_pointer_entry(pointer)["folder"]), f"{pointer}: folder")


def read_artifact(pointer: UPath) -> dict[str, bytes]:
    """All files of an artifact's current version; asked again where it was replaced meanwhile."""
    entry = _pointer_entry(pointer)
    folder = pointer.parent / safe_name(str(entry["folder"]), f"{pointer}: folder")
    paths = [folder / safe_name(name, f"{pointer}: files") for name in entry["files"]]
    try:
        found = [path.read_bytes() for path in paths] if local_path(pointer) else object_store.contents(paths)
    except FileNotFoundError:
        if _pointer_entry(pointer) == entry:
            raise
        return read_artifact(pointer)
    return dict(zip(entry["files"], found, strict=True))


def _pointer_entry(pointer: UPath) -> dict[str, Any]:
    try:
        entry = json.loads(pointer.read_bytes())
        return {"folder": entry["folder"], "files": list(entry["files"]), **entry}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{pointer}: not an artifact pointer ({error}); materialize the partition again.") from error


def read_stamp(path: UPath) -> Stamp | None:
    """The stamp of a stored table or artifact, or None where there is none or it cannot be read."""
    try:
        if path.suffix == ".json":
            entry = json.loads(path.read_bytes())
            if not all((path.parent / entry["folder"] / name).is_file() for name in entry["files"]):
                return None
        else:
            entry = pl.read_parquet_metadata(local_path(path) or io.BytesIO(path.read_bytes()))
        return Stamp(entry["content_hash"], entry["fingerprint"])
    except (OSError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError):
        return None


def stored_partitions(root: UPath, key: dg.AssetKey, asked: Sequence[str]) -> tuple[set[str], set[str]]:
    """Of the partitions asked for, those of which a table is stored, and those of which an artifact is."""
    if local_path(root) is not None:
        tables, pointers = (
            {name for name in asked if where(root, key, name).exists()} for where in (table_path, pointer_path)
        )
        return tables, pointers
    there = set(object_store.names(asset_folder(root, key)))
    tables, pointers = ({name for name in asked if f"{name}{end}" in there} for end in (".parquet", ".json"))
    return tables, pointers


def read_remote_stamps(folder: UPath) -> dict[str, Stamp]:
    """Partition -> stamp of everything that is stored of one asset in an object store; see `stored_stamp`.

    One listing, and two rounds of requests for what was put since this process last looked.
    """
    names = object_store.listed(folder)
    entries = _remote_entries({folder / name: names[name] for name in names if "/" not in name})
    found = {}
    for path, entry in sorted(entries.items(), key=lambda item: item[0].suffix):  # a table counts where there are both
        with suppress(KeyError, TypeError):
            if path.suffix == ".parquet" or all(f"{entry['folder']}/{name}" in names for name in entry["files"]):
                found[path.stem] = Stamp(entry["content_hash"], entry["fingerprint"])
    return found


#: (path, version) -> what a pointer or a table's footer says; objects of one version never differ.
_ENTRIES: dict[tuple[str, object_store.Version], Any] = {}


def _remote_entries(objects: Mapping[UPath, object_store.Version]) -> dict[UPath, Any]:
    new = {path: version for path, version in objects.items() if (str(path), version) not in _ENTRIES}
    tables = [path for path in new if path.suffix == ".parquet"]
    pointers = [path for path in new if path.suffix == ".json"]
    tails = object_store.tails([(path, new[path][1]) for path in tables])
    for path, tail in zip(tables, tails, strict=True):
        whole = path.read_bytes() if _footer_bytes(tail) > len(tail) else tail
        _ENTRIES[str(path), new[path]] = _footer(whole)
    for path, content in zip(pointers, object_store.contents(pointers), strict=True):
        _ENTRIES[str(path), new[path]] = _parsed(content)
    return {path: _ENTRIES.get((str(path), version)) for path, version in objects.items()}


def _footer(content: bytes) -> Any:
    try:
        return pl.read_parquet_metadata(io.BytesIO(content))
    except pl.exceptions.PolarsError:
        return None


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _footer_bytes(tail: bytes) -> int:
    """Length of a Parquet file's footer, which its last eight bytes (a length and a mark) say."""
    return int.from_bytes(tail[-8:-4], "little") + 8 if tail.endswith(b"PAR1") else 0
