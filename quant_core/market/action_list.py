"""The list of corporate actions: reading it, and the price factor of each event day.

The file (`corporate_actions.csv`) is long: ticker, ex_date, kind, value, source, and optionally as_of and into.

| kind | value |
|---|---|
| split | shares after for one before (5.0 is 5-for-1); the price factor is its reciprocal |
| split_or_bonus_confirmed | price factor (0.2 is 5-for-1), read from the exchange's own prices |
| split_or_bonus_unconfirmed | the same |
| rights | price factor: theoretical ex-rights price over the close before |
| demerger | price factor; empty: ex-date open over previous close |
| dividend, dividend_implied | rupees a share, adjusted for the factors up to `as_of` |
| dividend_known | all rupees a share of that ex-date; stands instead of other dividends of the ticker within a week |
| merger | shares of `into` for one share; the name ends on the first session on or after ex_date |
| cash_out | rupees a share; the name ends |
| write_off | empty or 0: holders get nothing; the name ends |
| suspension | empty: not traded from ex_date until it has a row again or ends; no delisting |
| none | empty: reviewed, that day's jump is a real move |

A vendor's `split` gives way to a factor of another kind of the same ticker within a week: vendors name the wrong day
(CIPLA 2004-05-11 for the 12th) or miss a simultaneous bonus (BAJFINANCE 2016-09-08: 5.0 for a true factor of 0.1).

`known_actions.csv` beside this module holds rights issues, dividends and corrections that vendors' lists lack, each
with its reason. They complete a file (`with_known_actions`); a row of the file with the same kind and week wins. A
known factor of 1 says that a listed event of that day was none.
"""

from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import polars as pl

from quant_core.errors import DataError
from quant_core.market.problems import Problem
from quant_core.market.reading.identity import bare, is_name
from quant_core.market.reading.side_lists import SideList, read_list
from quant_core.schema import CONFIRMED_KINDS, DIVIDEND_KINDS, FACTOR_KINDS, REAL_MOVE, SUSPENSION, TERMINAL_KINDS

KNOWN_ACTIONS = Path(__file__).parent / "known_actions.csv"
#: Kinds that cleaning applies, because no raw row carries them.
EVENT_KINDS = (*TERMINAL_KINDS, SUSPENSION, REAL_MOVE)
KINDS = (*FACTOR_KINDS, *DIVIDEND_KINDS, *EVENT_KINDS)
#: A vendor's split is the same event as a confirmed one of its ticker this many days away (DRREDDY 2001: 5 days).
SAME_EVENT_DAYS = 7
ACTION_SCHEMA = {
    "ticker": pl.String,
    "ex_date": pl.Date,
    "kind": pl.String,
    "value": pl.Float64,
    "source": pl.String,
    "as_of": pl.Date,
    "into": pl.String,
}


def no_actions() -> pl.DataFrame:
    """An actions table without rows."""
    return pl.DataFrame(schema=ACTION_SCHEMA)


_COLUMNS = "ticker,ex_date,kind,value[,source][,as_of][,into]"


def read_actions(path: Path) -> pl.DataFrame:
    """The actions file as a table with the columns of ACTION_SCHEMA, sorted by ticker and date.

    TCS, TCS.NS and NSE:TCS are one ticker; a line that says the same again counts once.

    Raises:
        DataError: unreadable, a column missing, an unknown kind, a date or number that is none, a value not above 0.
    """
    return _checked(_listed(path, strict=True))


def usable_actions(path: Path) -> tuple[pl.DataFrame, tuple[Problem, ...]]:
    """The lines of an actions file that keep the rules, and a problem for each of the others.

    A split or dividend that is not known is one that no file lists: cleaning judges the jump, the dividend is missed.

    Raises:
        DataError: unreadable, a column missing, no line that keeps the rules.
    """
    listed = _listed(path, strict=False)
    parsed, rules = _parsed(listed, strict=False)
    kept, problems = listed.without(parsed, rules)
    return _once(kept), problems


def _listed(path: Path, *, strict: bool) -> SideList:
    needed = [("ticker", "symbol"), ("ex_date",), ("kind",), ("value",)]
    listed = read_list(path, f"actions file {path.name}", _COLUMNS, needed, strict=strict)
    return replace(listed, table=_with_columns(listed.table))


def parse_actions(table: pl.DataFrame, where: str) -> pl.DataFrame:
    """A table of text columns as an actions table; see `read_actions`."""
    missing = [name for name in ("ticker", "ex_date", "kind", "value") if name not in table.columns]
    if missing:
        raise DataError(f"{where}: columns {missing} are missing (found {table.columns}); wanted {_COLUMNS}.")
    text = table.select(pl.all().cast(pl.String).str.strip_chars().replace("", None))
    return _checked(SideList(where, _with_columns(text), pl.int_range(2, table.height + 2, eager=True)))


def _checked(listed: SideList) -> pl.DataFrame:
    """The list's rows as actions, each by the rules of its kind; the first row that breaks one is refused."""
    parsed, rules = _parsed(listed, strict=True)
    for rule, broken in rules.items():
        _refuse(broken, rule, listed)
    return _once(parsed)


def _once(parsed: pl.DataFrame) -> pl.DataFrame:
    """A line that says the same again counts once."""
    same = ["ticker", "ex_date", "kind", "value", "into"]
    return parsed.unique(same, keep="first", maintain_order=True).sort("ticker", "ex_date", maintain_order=True)


def _parsed(listed: SideList, *, strict: bool) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
    """The list's rows as actions, and by rule which of them break it."""
    table = listed.table
    unread = {"ex_date is empty": table["ex_date"].is_null()}
    if strict:
        _refuse(unread["ex_date is empty"], "ex_date is empty", listed)
    dates = {name: listed.dates(name, strict=strict) for name in ("ex_date", "as_of")}
    value = listed.numbers("value", strict=strict)
    unread |= {f"{name} is no date that has one meaning": listed.unread(name, days) for name, days in dates.items()}
    unread["value is no number that has one meaning"] = listed.unread("value", value)
    is_share = table["value"].str.contains("%", literal=True).fill_null(False)
    unread["value is a percentage (of a face value?), wanted rupees a share or a ratio"] = is_share
    parsed = table.with_columns(
        *dates.values(), value.alias("value"), pl.col("kind").str.to_lowercase(),
        bare(pl.col("ticker")).alias("ticker"), bare(pl.col("into")).alias("into"), pl.col("source").fill_null(""),
    )  # fmt: skip
    found = {rule: parsed.select(broken.alias("broken")).to_series() for rule, broken in _rules(parsed).items()}
    return parsed, unread | found


def _rules(parsed: pl.DataFrame) -> dict[str, pl.Expr]:
    """What every action must keep, as where it is broken."""
    empty, kind = parsed["value"].is_null(), pl.col("kind")
    no_value_needed = kind.is_in(["demerger", *EVENT_KINDS[2:]]).fill_null(False) & empty
    nothing = kind.eq_missing("write_off") & (pl.col("value") == 0.0).fill_null(False)
    needs_none = kind.is_in(EVENT_KINDS[3:]).fill_null(False) & ~empty
    successor = kind.eq_missing("merger")
    return {
        "ticker is empty or no name": ~is_name(pl.col("ticker")),
        f"kind is none of {', '.join(KINDS)}": ~pl.col("kind").is_in(KINDS).fill_null(False),
        "a write_off's value is not 0": kind.eq_missing("write_off") & ~(empty | nothing),
        "a suspension or none has a value, wanted it empty": needs_none,
        "value is no number above 0": ~(pl.col("value") > 0.0).fill_null(False) & ~no_value_needed & ~nothing,
        "a merger names no other ticker in the column into": successor
        & ~(pl.col("into") != pl.col("ticker")).fill_null(False),
        "into is given, and only a merger has a successor": pl.col("into").is_not_null() & ~successor,
    }


def _with_columns(table: pl.DataFrame) -> pl.DataFrame:
    if "ticker" not in table.columns:
        table = table.rename({"symbol": "ticker"})
    missing = [pl.lit(None, pl.String).alias(name) for name in ("source", "as_of", "into") if name not in table.columns]
    return table.with_columns(missing).select(list(ACTION_SCHEMA))


def _refuse(broken: pl.Series, rule: str, listed: SideList) -> None:
    place = broken.arg_max()
    if place is not None and broken[place]:
        raise DataError(
            f"{listed.where} line {listed.lines[place]}: {rule}: {listed.table.row(place)}; fix or remove the row."
        )


@lru_cache(maxsize=1)
def known_actions() -> pl.DataFrame:
    """The shipped corrections and rights issues as an actions table."""
    return read_actions(KNOWN_ACTIONS)


def with_known_actions(actions: pl.DataFrame) -> pl.DataFrame:
    """`actions` completed and corrected by the shipped ones.

    A shipped factor replaces listed factors of its day; neither a shipped factor nor a shipped dividend is used where
    `actions` has rights, or a known dividend, of the ticker within a week.
    """
    own = actions.filter(pl.col("kind").is_in(["rights", "dividend_known"])).select("ticker", "kind", own="ex_date")
    near = known_actions().join(own, on=["ticker", "kind"]).filter(_same_week("ex_date", "own"))
    used = known_actions().join(near, on=["ticker", "kind", "ex_date"], how="anti")
    factors = used.filter(pl.col("kind").is_in(CONFIRMED_KINDS))
    listed = actions.filter(pl.col("kind").is_in(CONFIRMED_KINDS))
    kept = listed.join(factors, on=["ticker", "ex_date"], how="anti")
    others = actions.filter(~pl.col("kind").is_in(CONFIRMED_KINDS))
    return pl.concat([kept, others, used]).sort("ticker", "ex_date", maintain_order=True)


def _same_week(one: str, other: str) -> pl.Expr:
    return (pl.col(one) - pl.col(other)).abs() <= timedelta(days=SAME_EVENT_DAYS)


def price_factors(actions: pl.DataFrame) -> pl.DataFrame:
    """Columns ticker, ex_date, price_factor: one row an event day; null is a demerger priced by the market."""
    confirmed = actions.filter(pl.col("kind").is_in(CONFIRMED_KINDS)).select("ticker", "ex_date", price_factor="value")
    vendor = (
        actions.filter(pl.col("kind") == "split")
        .select("ticker", "ex_date", price_factor=1.0 / pl.col("value"))
        .sort("ticker", "ex_date")
    )
    tolerance = timedelta(days=SAME_EVENT_DAYS)
    nearest = vendor.sort("ex_date").join_asof(
        confirmed.select("ticker", "ex_date", known="ex_date").sort("ex_date"),
        on="ex_date",
        by="ticker",
        strategy="nearest",
        check_sortedness=False,
        tolerance=tolerance,
    )
    later = pl.col("ex_date").shift(-1).over("ticker", order_by="ex_date") - pl.col("ex_date") <= tolerance
    again = later & (pl.col("price_factor").shift(-1).over("ticker", order_by="ex_date") == pl.col("price_factor"))
    alone = nearest.filter(pl.col("known").is_null() & ~again.fill_null(False)).select(
        "ticker", "ex_date", "price_factor"
    )
    return (
        pl.concat([confirmed, alone])
        .group_by("ticker", "ex_date")
        .agg(
            price_factor=pl.when(pl.col("price_factor").is_null().any())
            .then(None)
            .otherwise(pl.col("price_factor").product())
        )
        .sort("ticker", "ex_date")
    )
