"""Which things on disk are read at all, and no more of them than a machine can hold.

Looked at before anything is opened: what it is (no pipe, no circle of links), what its name ends in, how large it is.
"""

import gzip
import os
import stat
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from quant_core.errors import DataError
from quant_core.market.problems import shown

TEXT_SUFFIXES = (".csv", ".csv.gz", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")
#: A text file is held in memory as a whole. Twenty years of the whole market are about half of it.
MAX_TEXT_BYTES = 1 << 30
#: A list beside the prices (actions, members) of 64 MiB would have over a million lines.
MAX_LIST_BYTES = 1 << 26
#: Text of prices compresses to a fifth; what unpacks to more than this many times its size is no price file.
MAX_UNPACKED_RATIO, RATIO_COUNTS_FROM = 200, 1 << 24
#: 2,500 tickers side by side with six columns each, and some.
MAX_COLUMNS, MAX_HEADER_BYTES = 20_000, 1 << 20
MAX_PARQUET_ROWS, MAX_PARQUET_FOOTER_BYTES = 200_000_000, 1 << 26
_CHUNK = 1 << 20


@dataclass(frozen=True)
class FileStamp:
    """A file as it was when looked at; another size or time is another file."""

    path: str
    size: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """The file's own name; `stamp` lets none with control characters in."""
        return os.path.basename(self.path)

    @property
    def is_text(self) -> bool:
        return self.path.lower().endswith(TEXT_SUFFIXES)

    @property
    def is_packed(self) -> bool:
        return self.path.lower().endswith(".gz")

    @property
    def changed_at(self) -> datetime:
        """Time of the last change, UTC, whole microseconds."""
        seconds, rest = divmod(self.mtime_ns, 10**9)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def stem_of(name: str) -> str:
    """A file's name without what says its kind."""
    suffixes = sorted((*TEXT_SUFFIXES, *PARQUET_SUFFIXES), key=len, reverse=True)
    return next((name[: -len(suffix)] for suffix in suffixes if name.lower().endswith(suffix)), name)


def stamp(path: Path) -> FileStamp:
    """The file's path, size and modification time.

    Raises:
        DataError: not there, no plain file (a pipe, a device, links in a circle), or a name with control characters.
    """
    name = shown(path.name)
    try:
        status = path.stat()
    except OSError as failure:
        raise DataError(f"{name}: cannot be looked at ({failure.strerror}); check the link or the rights.") from failure
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{name}: a {_kind(status.st_mode)}, wanted a plain file; remove it or copy its content.")
    if not path.name.isprintable():
        raise DataError(f"{name}: the file name has control characters; rename the file.")
    return FileStamp(str(path), status.st_size, status.st_mtime_ns)


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "folder", stat.S_ISFIFO: "pipe", stat.S_ISSOCK: "socket"}
    return next((name for is_kind, name in kinds.items() if is_kind(mode)), "device")


def check_openable(file: FileStamp) -> None:
    """Raise a DataError unless the file has the name of a table and no more bytes or columns than can be read."""
    if not file.path.lower().endswith((*TEXT_SUFFIXES, *PARQUET_SUFFIXES)):
        wanted = ", ".join((*TEXT_SUFFIXES, *PARQUET_SUFFIXES))
        raise DataError(f"{file.name}: no price file; wanted one of {wanted}; export or unpack it.")
    if not file.size:
        raise DataError(f"{file.name}: the file is empty (0 bytes); fetch it again.")
    if file.is_text and file.size > MAX_TEXT_BYTES:
        raise _too_large(file, f"{file.size:,} bytes", MAX_TEXT_BYTES)


def _too_large(file: FileStamp, found: str, most: int) -> DataError:
    return DataError(f"{file.name}: {found}, at most {most:,} bytes of text are read; split it or save it as Parquet.")


def content(file: FileStamp, most: int = MAX_TEXT_BYTES) -> bytes:
    """The bytes of a text file, unpacked.

    Raises:
        DataError: unreadable, damaged, or larger than `most`.
    """
    return _read(file, most, whole=True)


def beginning(file: FileStamp, n_bytes: int) -> bytes:
    """The first bytes of a text file, unpacked."""
    return _read(file, n_bytes, whole=False)


def _read(file: FileStamp, most: int, *, whole: bool) -> bytes:
    if whole and file.size > most:
        raise _too_large(file, f"{file.size:,} bytes", most)
    try:
        if not file.is_packed:
            with open(file.path, "rb") as stream:
                return stream.read(most)
        return _unpacked(file, most, whole)
    except (OSError, EOFError, zlib.error) as failure:
        raise DataError(f"{file.name}: cannot be read ({failure}); check the file or fetch it again.") from failure


def _unpacked(file: FileStamp, most: int, whole: bool) -> bytes:
    parts, size = [], 0
    with gzip.open(file.path, "rb") as stream:
        while size < most and (part := stream.read(min(_CHUNK, most - size))):
            parts.append(part)
            size += len(part)
            if size > max(RATIO_COUNTS_FROM, file.size * MAX_UNPACKED_RATIO):
                raise DataError(
                    f"{file.name}: {file.size:,} bytes unpack to more than {size:,}; no price table; remove the file."
                )
        if whole and stream.read(1):
            raise _too_large(file, f"more than {size:,} bytes unpacked", most)
    return b"".join(parts)


def parquet_schema(file: FileStamp) -> dict[str, pl.DataType]:
    """Columns and types of a Parquet file, by its footer alone.

    Raises:
        DataError: no Parquet file, or a footer, rows or columns beyond what can be read.
    """
    try:
        with open(file.path, "rb") as stream:
            stream.seek(max(file.size - 8, 0))
            tail = stream.read(8)
        footer = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1":
            raise DataError(f"{file.name}: no readable Parquet file (it does not end as one); fetch it again.")
        if footer > MAX_PARQUET_FOOTER_BYTES:
            raise DataError(f"{file.name}: {footer:,} bytes of column names and statistics; keep the columns needed.")
        schema = dict(pl.read_parquet_schema(file.path))
        n_rows = pl.scan_parquet(file.path).select(pl.len()).collect().item()
    except (OSError, pl.exceptions.PolarsError) as failure:
        said = shown(str(failure).splitlines()[0] if str(failure) else type(failure).__name__)
        raise DataError(f"{file.name}: no readable Parquet file ({said}); fetch it again.") from failure
    if len(schema) > MAX_COLUMNS or n_rows > MAX_PARQUET_ROWS:
        found = f"{len(schema):,} columns and {n_rows:,} rows"
        raise DataError(f"{file.name}: {found}, at most {MAX_COLUMNS:,} and {MAX_PARQUET_ROWS:,} are read; split it.")
    return schema
