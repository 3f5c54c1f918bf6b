"""Former versions of a table that says when its rows were fetched: what was known on a day can be read again.

A month that is stored again keeps the rows that the vendor gives as before, with the `fetched_at` of the first time;
only rows that differ are new. What they replace goes, with its own `fetched_at`, into
`<asset>/.former/<month>.parquet`: every version of every row of the month, from when to when it was the stored one by
this machine's clock. A month that was stored once has no such file. Equality is `SAME`: a vendor that divides by a
later split rounds anew.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
from upath import UPath

from quant_assets.storage.partition_files import atomic_write, local_path
from quant_core.errors import DataError

FETCHED = "fetched_at"
KEY = ("date", "ticker", "nth")  # rows of one date and ticker may repeat
FROM, UNTIL = "known_from", "known_until"
#: Relative; what single precision holds, and less than the exchange's tick below 250,000 rupees.
SAME = 2e-7
FIRST_STORED = "first_stored"
_TIME = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Difference:
    """How a vendor's rows of a month differ from those that are stored.

    Attributes:
        changed, gone, added: how many rows of the stored have other values, are missing, and are new.
        example: of the first one that changed, else of one that is gone or new; "" for none.
    """

    changed: int = 0
    gone: int = 0
    added: int = 0
    example: str = ""

    @property
    def is_restated(self) -> bool:
        """Whether something that was stored is not what it was; rows of later sessions alone restate nothing."""
        return bool(self.changed or self.gone)

    def __str__(self) -> str:
        counts = {"changed": self.changed, "gone": self.gone, "added": self.added}
        return ", ".join(f"{n} rows {word}" for word, n in counts.items() if n) or "no difference"


def settled(path: UPath, table: pl.DataFrame, now: datetime) -> tuple[pl.DataFrame, Difference]:
    """The table to store in the place of the one at `path`, whose replaced rows are kept.

    The former versions are written first: a writer that is killed before the table itself leaves a note of something
    that did not happen, which the next one takes back.
    """
    if not path.exists():
        return table, Difference()
    old = _read(path)
    merged, found = merge(old, table)
    if found != Difference() or not former_path(path).exists():  # the same again moves the file's time, not the first's
        history, first = _history(path, old)
        _write(former_path(path), _closed(history, old, merged, now), first)
    return merged, found


def merge(old: pl.DataFrame, new: pl.DataFrame) -> tuple[pl.DataFrame, Difference]:
    """`new` with the stored row in the place of each that is the same, and what differs."""
    if set(old.columns) != set(new.columns):  # stored by a lab with another contract: nothing of it can be the same
        return new, Difference(len(new), 0, 0, "other columns")
    joined = _numbered(new).join(_numbered(old), on=KEY, how="left", suffix="_old", maintain_order="left")
    values = [name for name in new.columns if name not in KEY and name != FETCHED]
    same = pl.all_horizontal(pl.col(f"{FETCHED}_old").is_not_null(), *(_equal(name, new) for name in values))
    marked = joined.with_columns(is_same=same)
    kept = [
        pl.when("is_same").then(pl.col(f"{name}_old")).otherwise(pl.col(name)).alias(name) if name not in KEY else name
        for name in new.columns
    ]
    is_known = pl.col(f"{FETCHED}_old").is_not_null()
    changed, added = marked.filter(is_known, ~pl.col("is_same")), marked.filter(~is_known)
    gone = _numbered(old).join(_numbered(new), on=KEY, how="anti")
    example = _example(changed, values) or _named("gone", gone) or _named("added", added)
    return marked.select(kept), Difference(changed.height, gone.height, added.height, example)


def known_at(path: UPath, moment: datetime) -> pl.DataFrame | None:
    """The table at `path` as it was stored at a moment; None where it was not yet.

    Raises:
        DataError: former versions that cannot be read.
    """
    if not path.exists():
        return None
    table = _read(path)
    history, first = _history(path, table)
    if first > moment:
        return None
    was_known = (pl.col(FROM) <= moment) & (pl.col(UNTIL).is_null() | (pl.col(UNTIL) > moment))
    return history.filter(was_known).sort(KEY).select(table.columns)


def first_stored(path: UPath) -> datetime | None:
    """When a month was stored for the first time; None where it is not."""
    return _history(path, _read(path))[1] if path.exists() else None


def former_path(path: UPath) -> UPath:
    """File of the former versions of a table's month."""
    return path.parent / ".former" / path.name


def told(month: str, found: Difference) -> str:
    """A line for a log."""
    return f"{month} was restated: {found}; e.g. {found.example}. The former version is kept."


# ---- the record of versions ------------------------------------------------------------------------------------------


def _history(path: UPath, table: pl.DataFrame) -> tuple[pl.DataFrame, datetime]:
    """Every version of every row, the open ones those of `table`; and when the first was stored."""
    stored = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    file = former_path(path)
    if not file.exists():
        return _opened(table, stored), stored
    try:
        data = file.read_bytes()
        first = datetime.fromisoformat(pl.read_parquet_metadata(io.BytesIO(data))[FIRST_STORED])
        history = pl.read_parquet(io.BytesIO(data))
        for one in (history, _undone(history)):
            if _is_open(one, table):
                return one, first
    except (KeyError, ValueError, pl.exceptions.PolarsError) as failure:
        raise DataError(
            f"{file}: former versions cannot be read ({failure}); put the file back from a backup, or remove it: what "
            "was known before the last fetch is lost then."
        ) from failure
    return _reopened(history, table, stored), first  # somebody put another file in the table's place


def _closed(history: pl.DataFrame, old: pl.DataFrame, merged: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The history after `merged` has taken the place of `old`."""
    before, after = _numbered(old), _numbered(merged)
    gone = before.join(after, on=before.columns, how="anti", nulls_equal=True).select(KEY)
    come = after.join(before, on=after.columns, how="anti", nulls_equal=True)
    ended = history.join(gone.with_columns(is_gone=pl.lit(True)), on=KEY, how="left", maintain_order="left")
    closing = pl.col("is_gone") & pl.col(UNTIL).is_null()
    ended = ended.with_columns(pl.when(closing).then(pl.lit(now, _TIME)).otherwise(pl.col(UNTIL)).alias(UNTIL))
    return pl.concat([ended.drop("is_gone"), _opened(come.drop("nth"), now, come["nth"])], how="diagonal")


def _undone(history: pl.DataFrame) -> pl.DataFrame:
    """The history without its last change, which was noted and not made."""
    moment = pl.concat([history[FROM], history[UNTIL]]).max()
    return history.filter(pl.col(FROM) != moment).with_columns(
        pl.when(pl.col(UNTIL) != moment).then(pl.col(UNTIL)).alias(UNTIL)
    )


def _reopened(history: pl.DataFrame, table: pl.DataFrame, stored: datetime) -> pl.DataFrame:
    ended = history.with_columns(pl.col(UNTIL).fill_null(pl.lit(stored, _TIME)))
    return pl.concat([ended, _opened(table, stored)], how="diagonal")


def _is_open(history: pl.DataFrame, table: pl.DataFrame) -> bool:
    rows = history.filter(pl.col(UNTIL).is_null()).sort(KEY)
    return set(table.columns) <= set(rows.columns) and rows.select(table.columns).equals(table)


def _opened(table: pl.DataFrame, since: datetime, nth: pl.Series | None = None) -> pl.DataFrame:
    numbered = _numbered(table) if nth is None else table.with_columns(nth)
    return numbered.with_columns(pl.lit(since, _TIME).alias(FROM), pl.lit(None, _TIME).alias(UNTIL))


def _numbered(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(nth=pl.int_range(pl.len(), dtype=pl.UInt32).over("date", "ticker"))


def _equal(name: str, table: pl.DataFrame) -> pl.Expr:
    new, old = pl.col(name), pl.col(f"{name}_old")
    exactly = new.eq_missing(old)
    return (
        exactly | ((new - old).abs() <= SAME * old.abs()).fill_null(False) if table[name].dtype.is_float() else exactly
    )


def _example(changed: pl.DataFrame, values: Sequence[str]) -> str:
    if changed.is_empty():
        return ""
    row = changed.row(0, named=True)
    name = next(name for name in values if row[name] != row[f"{name}_old"])
    return f"{row['ticker']} {row['date']}: {name} {row[f'{name}_old']} is now {row[name]}"


def _named(what: str, rows: pl.DataFrame) -> str:
    return "" if rows.is_empty() else f"{rows['ticker'][0]} {rows['date'][0]} is {what}"


def _read(path: UPath) -> pl.DataFrame:
    return pl.read_parquet(local_path(path) or io.BytesIO(path.read_bytes()))


def _write(path: UPath, history: pl.DataFrame, first: datetime) -> None:
    buffer = io.BytesIO()
    history.sort(*KEY, FROM).write_parquet(buffer, compression="zstd", metadata={FIRST_STORED: first.isoformat()})
    atomic_write(path, buffer.getvalue())
