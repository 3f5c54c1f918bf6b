"""The record of what was decided when: one file a decision day, written once, before the session that fills it.

`<profile>/paper/decided-2026-11-27.parquet` is PaperDecisions of every candidate's book on that day. The first refresh
that knows the decision writes it, and only before PRE_OPEN of the session that fills it: nobody could have traded on a
later one. No refresh writes a day again, whatever it would decide on restated data. Each file names the digest of the
one before, so that one that was edited or taken out is missed.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import polars as pl
from upath import UPath

from quant_assets.experiments.trial_index import locked
from quant_assets.storage.partition_files import atomic_write
from quant_assets.storage.paths import safe_name
from quant_core.calendar import INDIA, last_closed_session
from quant_core.schema import PaperDecisions, validate

#: NSE takes orders from 9:00 on; a decision that is known later is too late for the session.
PRE_OPEN = time(9, 0)
NAME = "decided-{}.parquet"


@dataclass(frozen=True)
class Record:
    """Everything that was recorded: PaperDecisions, the newest digest, and what was edited or taken out."""

    decisions: pl.DataFrame
    head: str
    problems: tuple[str, ...]


def folder(root: UPath, profile: str) -> UPath:
    """Where a profile's record is kept."""
    return root / safe_name(profile, "profile") / "paper"


def clock() -> datetime:
    """The time at which something is recorded."""
    return datetime.now(UTC)


def is_in_time(decided: date, fill: date, now: datetime) -> bool:
    """Whether a decision at the close of `decided` can be recorded now: the close is final, the fill lies ahead."""
    opens = datetime.combine(fill, PRE_OPEN, INDIA)
    return decided <= last_closed_session(now) and now < opens


def record(root: UPath, profile: str, decided: pl.DataFrame, fills: Mapping[date, date], now: datetime) -> list[date]:
    """Write down what was decided on days that are not recorded and can still be traded on; gives those days.

    Args:
        decided: date, strategy, ticker, weight of the books that are followed.
        fills: session that fills the decisions of each date.
        now: aware.
    """
    place, written = folder(root, profile), []
    days = [day for day in decided["date"].unique().sort() if is_in_time(day, fills[day], now)]
    if not days:
        return []
    with locked(place):
        for day in days:
            path = place / NAME.format(day)
            if path.exists():
                continue
            own = decided.filter(pl.col("date") == day).select("date", "strategy", "ticker", "weight")
            stamped = own.with_columns(
                fill_date=pl.lit(fills[day]), recorded_at=pl.lit(now.astimezone(INDIA).isoformat(timespec="seconds"))
            )
            table = validate(stamped.sort("strategy", "ticker"), PaperDecisions, str(path), "report this as a bug.")
            before = read(root, profile).head
            atomic_write(path, _parquet(table, before))
            written.append(day)
    return written


def read(root: UPath, profile: str, until: date | None = None) -> Record:
    """The record up to a day, and what is wrong with it."""
    place, problems, head = folder(root, profile), list[str](), ""
    parts: list[pl.DataFrame] = [PaperDecisions.create_empty()]
    paths = sorted(place.glob("decided-*.parquet"), key=lambda path: path.name) if place.exists() else []
    for path in paths:
        if until is not None and path.name > NAME.format(until):
            break
        data = path.read_bytes()
        try:
            table, said = pl.read_parquet(io.BytesIO(data)), pl.read_parquet_metadata(io.BytesIO(data))
            table = validate(table, PaperDecisions, path.name, "")
        except Exception as error:  # polars has no one error for a file that is none
            problems.append(f"{path.name} cannot be read ({type(error).__name__})")
            continue
        if said.get("digest") != _digest(table, said.get("before", "")):
            problems.append(f"{path.name} was edited")
        elif said.get("before", "") != head:
            problems.append(f"a day before {path.name} was taken out or changed")
        head = said.get("digest", "")
        parts.append(table)
    return Record(pl.concat(parts).sort("date", "strategy", "ticker"), head, tuple(problems))


def signature(root: UPath, profile: str, until: date) -> str:
    """Changes when a day up to `until` is recorded, and when the record is damaged."""
    found = read(root, profile, until)
    return found.head + "|".join(found.problems)


def _digest(table: pl.DataFrame, before: str) -> str:
    return hashlib.sha256(f"{before}\n{table.write_csv()}".encode()).hexdigest()[:32]


def _parquet(table: pl.DataFrame, before: str) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", metadata={"before": before, "digest": _digest(table, before)})
    return buffer.getvalue()
