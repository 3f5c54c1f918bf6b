"""What is done otherwise where the data are in an object store (s3://...) and not in files of this machine.

Objects are put and replaced whole, so that nothing half written is ever seen; there is no rename, no lock, and every
question is a request: they are asked for many objects at once. Nothing is remembered of a listing, for other machines
write there too. Addresses and credentials come from the environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...).
"""

import importlib.util
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from upath import UPath

from quant_core.errors import DataError

#: Where a Parquet file's footer is looked for; a longer one is read with the whole object.
TAIL_BYTES = 64 * 1024
#: protocol -> (module that speaks it, the extra that installs it).
SPOKEN = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3")}

#: Of an object: its ETag (its content's, in most stores) and its size.
Version = tuple[str, int]


def remote_root(address: str) -> UPath:
    """The root of a store; nothing is asked of it yet.

    Raises:
        DataError: no such kind of store, or what speaks to it is not installed.
    """
    protocol = address.partition("://")[0]
    if protocol not in SPOKEN:
        raise DataError(
            f"QUANT_DATA: {protocol}:// is no store that the lab knows; give a folder or s3://BUCKET/PREFIX."
        )
    module, extra = SPOKEN[protocol]
    if importlib.util.find_spec(module) is None:
        raise DataError(f"QUANT_DATA: {module} is not installed; run `pip install 'quant-lab[{extra}]'`.")
    if not address.partition("://")[2].strip("/"):
        raise DataError(f"QUANT_DATA: {address} names no bucket; give s3://BUCKET/PREFIX.")
    return UPath(address, use_listings_cache=False)


def put(path: UPath, data: bytes) -> None:
    """Put a whole object, or replace it."""
    path.fs.pipe_file(path.path, data)


def contents(paths: Sequence[UPath]) -> list[bytes]:
    """Whole objects of one store, in the given order, asked for together.

    Raises:
        FileNotFoundError: one is not there.
    """
    if not paths:
        return []
    found = paths[0].fs.cat([path.path for path in paths])
    return [found[path.path] for path in paths]


def version(path: UPath) -> Version | None:
    """What differs whenever an object was replaced, however soon and by however similar a one; None without it."""
    try:
        return _version(path.fs.info(path.path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _version(about: Mapping[str, Any]) -> Version:
    return str(about.get("ETag") or about.get("LastModified")), int(about["size"])


def tails(objects: Sequence[tuple[UPath, int]]) -> list[bytes]:
    """The ends of objects of known size, asked for together; whole ones where they are short."""
    if not objects:
        return []
    paths, sizes = [path.path for path, _ in objects], [size for _, size in objects]
    starts = [max(0, size - TAIL_BYTES) for size in sizes]
    found = objects[0][0].fs.cat_ranges(paths, starts, sizes, on_error="return")
    return [data if isinstance(data, bytes) else b"" for data in found]


def listed(folder: UPath) -> dict[str, Version]:
    """Name, relative to the folder, of every object below it -> its version; one request for a thousand of them."""
    prefix = folder.path.rstrip("/") + "/"
    found = folder.fs.find(folder.path, detail=True)
    return {path.removeprefix(prefix): _version(about) for path, about in found.items() if path.startswith(prefix)}


def names(folder: UPath) -> list[str]:
    """Names of what lies directly in a folder."""
    try:
        return [path.rpartition("/")[2] for path in folder.fs.ls(folder.path, detail=False)]
    except FileNotFoundError:
        return []


def remove(folder: UPath) -> None:
    """Remove everything below a folder; nothing where there is nothing."""
    if found := folder.fs.find(folder.path):
        folder.fs.rm(found)


def idle_folders(place: UPath, kept: timedelta) -> Iterator[UPath]:
    """Folders of `place` of which no object was written within `kept`."""
    newest: dict[str, float] = {}
    prefix = place.path.rstrip("/") + "/"
    for path, about in place.fs.find(place.path, detail=True).items():
        name = path.removeprefix(prefix).partition("/")[0]
        newest[name] = max(newest.get(name, 0.0), about["LastModified"].timestamp())
    yield from (place / name for name, at in newest.items() if time.time() - at > kept.total_seconds())
