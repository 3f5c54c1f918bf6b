"""Symbol changes: from the symbol of a day to the name that a company's rows are chained under.

The file has columns old_symbol, new_symbol and first_new (first session under the new symbol). The shipped one,
`symbol_changes.csv`, lists 257 renames on NSE to July 2026, read from official price files (`method` says how): the
last row of the old symbol on one session, the first of the new one on the next with that close as its previous close.

A rename that no list knows shows in the rows in the same way; `continued` finds it.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import polars as pl

from quant_core.errors import DataError
from quant_core.market.problems import Problem
from quant_core.market.reading.identity import bare, is_name
from quant_core.market.reading.side_lists import SideList, read_list

SHIPPED = Path(__file__).parent / "symbol_changes.csv"
#: Newest rename of the shipped list: its source was read at least so far, and states no later day.
SHIPPED_UNTIL = date(2026, 7, 27)
COLUMNS = ("old_symbol", "new_symbol", "first_new")


def read_symbol_changes(path: Path = SHIPPED) -> pl.DataFrame:
    """Columns old_symbol, new_symbol, first_new, sorted by date.

    Raises:
        DataError: unreadable, a column missing, a date that is none.
    """
    listed = _listed(path, strict=True)
    table = _parsed(listed, strict=True)
    broken = table.select(pl.any_horizontal(pl.all().is_null()).arg_true()).to_series()
    if len(broken):
        row = listed.table.select(COLUMNS).row(broken[0])
        raise DataError(f"{listed.where} line {listed.lines[broken[0]]}: {row} has an empty field; fix it.")
    return table.sort("first_new", maintain_order=True)


def usable_changes(path: Path) -> tuple[pl.DataFrame, tuple[Problem, ...]]:
    """The lines of a file of symbol changes that can be read, and a problem for each of the others.

    Raises:
        DataError: unreadable, a column missing, no line that can be read.
    """
    listed = _listed(path, strict=False)
    table = _parsed(listed, strict=False)
    names = table.select(~is_name(pl.col("old_symbol")) | ~is_name(pl.col("new_symbol"))).to_series()
    broken = {"a symbol is empty or no name": names, "first_new is no date": table["first_new"].is_null()}
    kept, problems = listed.without(table, broken)
    return kept.sort("first_new", maintain_order=True), problems


def _listed(path: Path, *, strict: bool) -> SideList:
    needed = [[name] for name in COLUMNS]
    return read_list(path, f"symbol changes {path.name}", ", ".join(COLUMNS), needed, strict=strict)


def _parsed(listed: SideList, *, strict: bool) -> pl.DataFrame:
    days = listed.dates("first_new", strict=strict)
    return listed.table.select(bare(pl.col("old_symbol")), bare(pl.col("new_symbol")), days)


def final_names(changes: pl.DataFrame) -> pl.DataFrame:
    """Columns symbol, until (last day on which the rename lies ahead), ticker (name at the end of the chain)."""
    links: dict[str, list[tuple[date, str]]] = {}
    for old, new, first in changes.select(COLUMNS).iter_rows():
        links.setdefault(old, []).append((first, new))
    rows = []
    for old, hops in links.items():
        for first, new in hops:
            rows.append((old, first - timedelta(days=1), _follow(links, new, first)))
    schema = {"symbol": pl.String, "until": pl.Date, "ticker": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("until")


def _follow(links: dict[str, list[tuple[date, str]]], symbol: str, day: date) -> str:
    while True:
        ahead = sorted(hop for hop in links.get(symbol, []) if hop[0] > day)
        if not ahead:
            return symbol
        day, symbol = ahead[0]


def chain(rows: pl.DataFrame, finals: pl.DataFrame) -> pl.Series:
    """The continuous ticker of each row.

    Args:
        rows: columns date and symbol.
        finals: see `final_names`. A rename applies to rows before it only: a symbol given to another company later is
            that company's from then on.
    """
    numbered = rows.select("date", "symbol").with_row_index("_n")
    touched = numbered.join(finals.select("symbol").unique(), on="symbol", how="semi").sort("date")
    if not touched.height:
        return numbered["symbol"].alias("ticker")
    found = touched.join_asof(
        finals, left_on="date", right_on="until", by="symbol", strategy="forward", check_sortedness=False
    )
    whole = numbered.join(found.select("_n", "ticker"), on="_n", how="left", maintain_order="left")
    return whole.select(pl.coalesce("ticker", "symbol").alias("ticker")).to_series()


def symbols_of(tickers: list[str], finals: pl.DataFrame) -> list[str]:
    """Every symbol under which one of the tickers may have traded, its own name included."""
    older = finals.filter(pl.col("ticker").is_in(tickers))["symbol"].to_list()
    return sorted({*tickers, *older})


@lru_cache(maxsize=1)
def shipped_changes() -> pl.DataFrame:
    """The shipped list."""
    return read_symbol_changes()


@lru_cache(maxsize=1)
def shipped_names() -> pl.DataFrame:
    """`final_names` of the shipped list."""
    return final_names(shipped_changes())


Lookup = Mapping[str, Sequence[tuple[date, str]]]


def lookup(finals: pl.DataFrame) -> Lookup:
    """`final_names` by symbol: (until, ticker), ascending; for names one at a time."""
    found: dict[str, list[tuple[date, str]]] = {}
    for symbol, until, ticker in finals.select("symbol", "until", "ticker").iter_rows():
        found.setdefault(symbol, []).append((until, ticker))
    return {symbol: sorted(hops) for symbol, hops in found.items()}


def name_on(symbol: str, day: date, names: Lookup) -> str:
    """The continuous ticker of one symbol as of one day; see `chain`."""
    return next((ticker for until, ticker in names.get(symbol, ()) if day <= until), symbol)


#: Below this price so many names share a close that equality alone says little: of 563,576 pairs of names that end and
#: begin on different sessions of 2019-10..2023-12, 171 agree by chance, 129 of them below 10 rupees.
DISTINCT_CLOSE_INR = 10.0
COMPARABLE_VOLUME = 20.0
SAME_PRICE_INR = 0.005
CONTINUED_SCHEMA = {"old": pl.String, "new": pl.String, "first_new": pl.Date, "close_inr": pl.Float64}


def continued(spans: pl.DataFrame, sessions: pl.Series) -> pl.DataFrame:
    """Names that end on one session while another begins on the next at that close: one company under a new name.

    Unambiguous pairs only: exactly one name ends, and one begins, at that price. Below DISTINCT_CLOSE_INR the volumes
    of both days must also be within a factor of COMPARABLE_VOLUME.

    Args:
        spans: one row a name: ticker, first_day, first_prev_close_inr, first_volume, last_day, last_close_inr,
            last_volume.
        sessions: days of the data, ascending.
    Returns:
        old, new, first_new, close_inr (the price at which they meet), sorted by first_new and new.
    """
    if len(sessions) < 2:
        return pl.DataFrame(schema=CONTINUED_SCHEMA)
    following = pl.DataFrame({"last_day": sessions[:-1], "first_new": sessions[1:]})
    ended = spans.join(following, on="last_day").select(
        "first_new", old="ticker", close_inr="last_close_inr", _last="last_volume"
    )
    begun = spans.filter(pl.col("first_day") > sessions[0]).select(
        new="ticker", first_new="first_day", _price="first_prev_close_inr", _first="first_volume"
    )
    met = ended.join(begun, on="first_new").filter((pl.col("close_inr") - pl.col("_price")).abs() < SAME_PRICE_INR)
    ratio = pl.col("_first") / pl.col("_last")
    alike = ratio.is_between(1.0 / COMPARABLE_VOLUME, COMPARABLE_VOLUME).fill_null(False)
    alone = (pl.len().over("old") == 1) & (pl.len().over("new") == 1)
    found = met.filter(alone).filter((pl.col("close_inr") >= DISTINCT_CLOSE_INR) | alike)
    return found.select(list(CONTINUED_SCHEMA)).sort("first_new", "new")
