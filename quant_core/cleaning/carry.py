"""Sessions on which a name has no row: the last close carried for a while, suspensions, and the last row of a name.

A carried row is untradable and without return. A suspension carries the row for as long as it lasts, so that the
ledger's delisting clock can tell it from a disappearance. A terminal event (merger, cash-out, write-off) ends the name
with one row that says what a holder gets over the last value.
"""

from datetime import date
from typing import Any

import polars as pl

from quant_core.cleaning.quality import add_flag
from quant_core.cleaning.returns import RETURNS, numbered_sessions
from quant_core.errors import DataError
from quant_core.schema import FACTOR_KINDS, INDEX, SUSPENSION, TERMINAL_KINDS

#: Calendar days in which the first session after any day lies.
WITHIN_DAYS = 31
REMEDY = "fix the line's ex_date, value or into in the actions file"


def seen_sessions(flagged: pl.DataFrame) -> pl.DataFrame:
    """(date, session) of the sessions up to the last row of each month.

    A session after it has not been seen yet; a rule by month gives the same rows whatever span was loaded.
    """
    days = flagged.filter(~pl.col("flags").str.contains("off_calendar")).select("date").unique()
    if days.is_empty():
        return pl.DataFrame(schema={"date": pl.Date, "session": pl.Int32})
    calendar = numbered_sessions(days["date"].min(), days["date"].max())  # type: ignore[arg-type]
    month = pl.col("date").dt.truncate("1mo")
    edges = days.group_by(month.alias("month")).agg(edge=pl.col("date").max())
    seen = calendar.with_columns(month=month).join(edges, on="month").filter(pl.col("date") <= pl.col("edge"))
    return seen.select("date", "session").sort("session")


def on_calendar(
    priced: pl.DataFrame, limit: int, seen: pl.DataFrame, lines: pl.DataFrame, start: date, end: date, where: str
) -> pl.DataFrame:
    """The rows of `start`..`end`: sound ones, up to `limit` carried ones after each, suspensions and terminal rows.

    Args:
        priced: sound rows by ticker and date with returns, from before `start` on.
        lines: reviewed and listed actions, see reviewed.lines_of.
    Raises:
        DataError: a terminal event whose name trades on, or whose successor has no row that session.
    """
    inside = pl.col("date").is_between(start, end)
    nothing = (pl.lit(None, pl.Float64).alias("terminal_factor"), pl.lit(None, pl.String).alias("terminal_into"))
    if priced.is_empty():
        return priced.with_columns(*nothing, is_filled=pl.lit(False), is_tradable=pl.lit(False))
    real = priced.with_columns(
        *nothing,
        is_filled=pl.lit(False),
        is_tradable=(pl.col("instrument") == INDEX)
        | ((pl.col("volume_shares").fill_null(0) > 0) & pl.col("open_inr").is_not_null() & ~pl.col("quarantined")),
    )
    ending = _endings(real, lines, seen)
    carried = _carried(real, limit, seen.filter(inside), lines, ending)
    last = _terminal_rows(real, ending.filter(inside), lines, where)
    return pl.concat([real.filter(inside), carried.select(real.columns), last.select(real.columns)])


def _carried(
    real: pl.DataFrame, limit: int, seen: pl.DataFrame, lines: pl.DataFrame, ending: pl.DataFrame
) -> pl.DataFrame:
    """Rows without a trade on `seen` sessions: the first `limit` of each absence, and all of a suspension."""
    following = pl.col("session").shift(-1).over("ticker", order_by="date")
    newest = (seen["session"].max() if seen.height else None) or 0
    spells = real.with_columns(stops=following.fill_null(newest + 1)).filter(pl.col("session") + 1 < pl.col("stops"))  # type: ignore[operator]
    spells = spells.join(ending.select("ticker", ends="session"), on="ticker", how="left")
    spells = spells.with_columns(begins=pl.col("session") + 1, stops=pl.min_horizontal("stops", "ends"))
    spells = spells.join(_suspended(spells, lines), on=["ticker", "session"], how="left")
    limited = pl.min_horizontal(pl.col("session") + limit + 1, "stops")
    resumes = pl.max_horizontal(pl.col("suspended_from"), limited)
    ordinary = spells.with_columns(day=pl.int_ranges("begins", limited, dtype=pl.Int32))
    held = spells.filter(pl.col("suspended_from").is_not_null())
    held = held.with_columns(day=pl.int_ranges(resumes, "stops", dtype=pl.Int32))
    days = pl.concat([ordinary, held]).explode("day", empty_as_null=False).drop("date", "session")
    rows = _blank(days.rename({"day": "session"}).join(seen, on="session"))
    is_suspended = (pl.col("session") >= pl.col("suspended_from")).fill_null(False)
    return rows.with_columns(flags=add_flag(pl.col("flags"), "suspended", is_suspended))


def _suspended(spells: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """(ticker, session, suspended_from): the session from which the absence after a sound row is a suspension.

    An event belongs to the absence that its ex_date falls into; one on a day that traded is over.
    """
    events = lines.filter(pl.col("kind") == SUSPENSION).select("ticker", "ex_date")
    events = events.with_columns(
        suspended_from=pl.Series([session_from(day)[1] for day in events["ex_date"]], dtype=pl.Int32)
    )
    found = spells.select("ticker", "date", "session", "stops").join(events, on="ticker")
    found = found.filter((pl.col("ex_date") > pl.col("date")) & (pl.col("suspended_from") < pl.col("stops")))
    return found.group_by("ticker", "session").agg(pl.col("suspended_from").min())


def session_from(day: date) -> tuple[date, int]:
    """The first session on or after `day`, and its number."""
    first = numbered_sessions(day, date.fromordinal(day.toordinal() + WITHIN_DAYS)).row(0)
    return first[0], first[1]


def _blank(rows: pl.DataFrame) -> pl.DataFrame:
    """Carried rows: the last close as every price, without volume, return or trading."""
    return rows.with_columns(
        *(pl.col("close_inr").alias(name) for name in ("open_inr", "high_inr", "low_inr")),
        *(pl.lit(None, pl.Float64).alias(name) for name in RETURNS),
        volume_shares=pl.lit(None, pl.Int64),
        turnover_inr=pl.lit(None, pl.Float64),
        is_filled=pl.lit(True),
        is_tradable=pl.lit(False),
        flags=pl.lit("filled"),
    )


def _endings(real: pl.DataFrame, lines: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """Terminal events that the data has reached: ticker, ex_date, kind, value, into, and their date and session."""
    events = lines.filter(pl.col("kind").is_in(TERMINAL_KINDS)).join(
        real.select("ticker").unique(), on="ticker", how="semi"
    )
    days = [session_from(day) for day in events["ex_date"]]
    dated = events.with_columns(
        date=pl.Series([day for day, _ in days], dtype=pl.Date),
        session=pl.Series([number for _, number in days], dtype=pl.Int32),
    )
    reached = dated.join(seen.select("session"), on="session", how="semi").sort("ticker", "date", maintain_order=True)
    return reached.unique("ticker", keep="first", maintain_order=True)  # a name ends once, whoever lists it


def _terminal_rows(real: pl.DataFrame, ending: pl.DataFrame, lines: pl.DataFrame, where: str) -> pl.DataFrame:
    """One row for each event: the last sound row of the name, carried to the event's session."""
    if not ending.height:
        return _blank(real.clear())
    names = [*ending["ticker"], *ending["into"].drop_nulls()]
    near = real.filter(pl.col("ticker").is_in(names))
    parts = [_terminal_row(near, event, lines, where) for event in ending.iter_rows(named=True)]
    return pl.concat([_blank(real.clear()), *parts])


def _terminal_row(near: pl.DataFrame, event: dict[str, Any], lines: pl.DataFrame, where: str) -> pl.DataFrame:
    own = near.filter(pl.col("ticker") == event["ticker"])
    what = f"{where}: {event['ticker']} {event['kind']} of {event['ex_date']}"
    after = own.filter(pl.col("date") >= event["date"])
    if after.height:
        raise DataError(f"{what}: the name still trades on {after['date'].max()!s}, after its end; {REMEDY}.")
    last = own.filter(pl.col("date") < event["date"]).tail(1)
    if not last.height:
        return _blank(near.clear())
    level = last["close_inr"][0] * _factor_since(lines, event["ticker"], last["date"][0], event["date"])
    factor, into = _received(near, event, level, what), event["into"] if event["kind"] == "merger" else None
    return _blank(last).with_columns(
        date=pl.lit(event["date"], pl.Date),
        session=pl.lit(event["session"], pl.Int32),
        flags=pl.lit("filled|terminal"),
        terminal_factor=pl.lit(factor, pl.Float64),
        terminal_into=pl.lit(into, pl.String),
    )


def _received(near: pl.DataFrame, event: dict[str, Any], level: float, what: str) -> float:
    """What a holder gets over the last value: rupees, or shares of the successor at its open of that session."""
    if event["kind"] == "write_off":
        return 0.0
    if event["kind"] == "cash_out":
        return float(event["value"] / level)
    successor = near.filter(pl.col("ticker") == event["into"], pl.col("date") == event["date"])
    if not successor.height:
        raise DataError(
            f"{what}: {event['into']} has no row on {event['date']}, wanted its price for {event['value']} shares; "
            "add it to the universe, correct `into` in the actions file, or write a cash_out with its rupees a share."
        )
    price = successor.select(pl.coalesce("open_inr", "close_inr")).item(0, 0)
    return float(event["value"] * price / level)


def _factor_since(lines: pl.DataFrame, ticker: str, after: date, upto: date) -> float:
    """Product of the price factors between a name's last row and its end, which no row carries."""
    inside = (pl.col("ticker") == ticker) & (pl.col("ex_date") > after) & (pl.col("ex_date") <= upto)
    known = lines.filter(inside, pl.col("kind").is_in(FACTOR_KINDS)).drop_nulls("value")
    factor = pl.when(pl.col("kind") == "split").then(1.0 / pl.col("value")).otherwise("value")
    return float(known.select(factor.product()).item()) if known.height else 1.0
