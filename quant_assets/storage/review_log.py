"""Corporate actions that a person reviewed: an append-only file of a profile, the newest version of a line counts.

`<QUANT_DATA>/<profile>/actions/reviewed.csv` has the columns of an actions list (docs/market-data.md), `version`, the
number of the line, and `reviewed_at`, when it was written. Nothing is ever taken out: a second opinion is one more line
for the same ticker and day. What the lines do to prices is cleaning's; that they are counted in currency is the lab's.
"""

import io
from datetime import UTC, date, datetime
from functools import lru_cache

import polars as pl
from upath import UPath

from quant_assets.storage.partition_files import atomic_write
from quant_assets.storage.paths import safe_name
from quant_core.errors import DataError
from quant_core.market.action_list import ACTION_SCHEMA, parse_actions
from quant_core.schema import DIVIDEND_KINDS

COLUMNS = (*ACTION_SCHEMA, "version", "reviewed_at")
SOURCE = "reviewed"


def reviewed_path(root: UPath, profile: str) -> UPath:
    """The profile's file of reviewed actions."""
    return root / safe_name(profile, "profile") / "actions" / "reviewed.csv"


def reviewed_actions(root: UPath, profile: str) -> pl.DataFrame:
    """The actions that count, as an actions table; empty where nothing was reviewed.

    Of the lines for one ticker and day the last one stands, dividends apart from everything else.

    Raises:
        DataError: a line that no actions list could hold; names the line.
    """
    path = reviewed_path(root, profile)
    return _counting(str(path), path.read_bytes() if path.exists() else None)


@lru_cache(maxsize=8)
def _counting(where: str, content: bytes | None) -> pl.DataFrame:
    """Read once for each content: the plan of a run asks for every month."""
    lines = _lines(where, content).select(list(ACTION_SCHEMA))
    parsed = parse_actions(lines, f"reviewed actions {where}")  # a day's lines keep their order
    keyed = parsed.with_columns(is_dividend=pl.col("kind").is_in(DIVIDEND_KINDS))
    return keyed.unique(["ticker", "ex_date", "is_dividend"], keep="last", maintain_order=True).drop("is_dividend")


def all_lines(root: UPath, profile: str) -> pl.DataFrame:
    """Every line that was ever written, as text, in the order of the file."""
    path = reviewed_path(root, profile)
    return _lines(str(path), path.read_bytes() if path.exists() else None)


def lines_until(root: UPath, profile: str, moment: datetime) -> bytes:
    """The file as it was at a moment, b"" for none; a line without a time is older than those that have one."""
    written = pl.col("reviewed_at").str.to_datetime(time_zone="UTC", strict=False)
    kept = all_lines(root, profile).filter(written.is_null() | (written <= moment))
    return kept.write_csv().encode() if kept.height else b""


def _lines(where: str, content: bytes | None) -> pl.DataFrame:
    if content is None:
        return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    try:
        table = pl.read_csv(io.BytesIO(content), infer_schema=False)
    except pl.exceptions.PolarsError as failure:
        raise DataError(f"{where}: cannot be read ({failure}); wanted columns {', '.join(COLUMNS)}.") from failure
    absent = [pl.lit(None, pl.String).alias(name) for name in COLUMNS if name not in table.columns]
    return table.with_columns(absent).select(COLUMNS)


def add_line(
    root: UPath, profile: str, ticker: str, ex_date: date, kind: str, value: float | None, into: str | None = None
) -> int:
    """Append a reviewed line; returns its version, which is its number in the file.

    Raises:
        DataError: a line that no actions list could hold; nothing is written then.
    """
    lines = all_lines(root, profile)
    line = {
        "ticker": ticker, "ex_date": ex_date.isoformat(), "kind": kind, "value": None if value is None else repr(value),
        "source": SOURCE, "into": into, "version": str(lines.height + 1),
        "reviewed_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    added = pl.DataFrame([{name: line.get(name) for name in COLUMNS}], schema=dict.fromkeys(COLUMNS, pl.String))
    parse_actions(added.select(list(ACTION_SCHEMA)), f"{ticker} {ex_date}")
    atomic_write(reviewed_path(root, profile), pl.concat([lines, added]).write_csv().encode())
    return lines.height + 1
