"""Which rows of a folder's files belong to one company, and under which of its names.

A name of a file is either a symbol of the day or, in a column `ticker`, a name that may already be continuous. Listed
renames are applied to both, to a continuous column only where it does not hold the later name's rows from before the
rename already. Two more kinds of rename are seen in the rows themselves: one that only the shipped list knows, where
the folder's own list is in use, and one that no list knows (`symbols.continued`). Those keep the *old* name: what was
stored before the rename stays as it is, until a list names it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import polars as pl

from quant_core.market.problems import Problem
from quant_core.market.symbols import (
    Lookup,
    chain,
    continued,
    lookup,
    name_on,
    shipped_changes,
    shipped_names,
    symbols_of,
)
from quant_core.schema import UNADJUSTED

#: How a file's names are chained: not at all, as symbols of the day, or (any other text) as a continuous column.
AS_THEY_ARE, OF_THE_DAY = "", "symbol"
#: Columns that `find_names` and `Names.of` read.
NAMED = ("date", "name", "chained")


#: What tells where a name's rows begin and end; the rest of a million rows need not be moved for it.
_SPAN_COLUMNS = ("date", "ticker", "close_inr", "prev_close_inr", "volume_shares")


@dataclass(frozen=True)
class Rename:
    """A rename that the folder's list does not know: the rows of `new` are those of `old`."""

    old: str
    new: str
    first_new: date
    evidence: str

    @property
    def problem(self) -> Problem:
        detail = (
            f"{self.new} goes on where {self.old} ends, from {self.first_new} ({self.evidence}): one company, its rows "
            f"stay under {self.old}; a line {self.old},{self.new},{self.first_new} in symbol_changes.csv gives all of "
            "them the new name"
        )
        return Problem(self.old, "renamed", detail)


@dataclass(frozen=True)
class Names:
    """The names of one folder.

    Args:
        listed: `final_names` by way of chaining.
        seen: renames beyond the list, by day.
        kept: new name of each of them -> the name that its rows are under.
        own: the folder's listed renames by symbol.
        tickers: every continuous name that the folder has.
    """

    listed: Mapping[str, pl.DataFrame]
    seen: tuple[Rename, ...]
    kept: Mapping[str, str]
    own: Lookup
    tickers: frozenset[str]

    def of(self, rows: pl.DataFrame) -> pl.Series:
        """The continuous ticker of each row (columns NAMED)."""
        found = _listed(rows, self.listed)
        return found.replace(dict(self.kept)) if self.kept else found

    def raw_names(self, tickers: Sequence[str]) -> list[str]:
        """Every name under which a file may hold rows of the tickers."""
        wanted = sorted({*tickers, *(new for new, name in self.kept.items() if name in set(tickers))})
        return sorted({name for finals in self.listed.values() for name in symbols_of(wanted, finals)} | {*wanted})

    def resolve(self, name: str, days: Iterable[date]) -> list[str]:
        """What the folder calls the company that a list names, by the first of `days` on which that has rows.

        A list may be older or younger than the folder, so every name that the company ever had counts. Two tickers
        are found where the folder has its rows under two names; without any rows, the name by the folder's list.
        """
        under = ""
        for day in days:
            under = self._kept(name_on(name, day, self.own))
            last = name_on(name, day, lookup_shipped())
            aliases = [(name, day), (last, date.max), *older_names().get(last, ())]
            found = {self._kept(name_on(alias, until, self.own)) for alias, until in aliases} & self.tickers
            if found:
                return sorted(found)
        return [under or name]

    def _kept(self, ticker: str) -> str:
        return self.kept.get(ticker, ticker)


@lru_cache(maxsize=1)
def lookup_shipped() -> Lookup:
    """The shipped renames by symbol."""
    return lookup(shipped_names())


@lru_cache(maxsize=1)
def older_names() -> Mapping[str, Sequence[tuple[str, date]]]:
    """Last name -> (older symbol, last day on which the rename lay ahead), by the shipped list."""
    found: dict[str, list[tuple[str, date]]] = {}
    for symbol, until, ticker in shipped_names().iter_rows():
        found.setdefault(ticker, []).append((symbol, until))
    return found


def find_names(rows: pl.DataFrame, finals: pl.DataFrame, *, has_own_list: bool, see_more: bool = True) -> Names:
    """The names of a folder, from all of its stock rows.

    Args:
        rows: columns NAMED, basis, close_inr, prev_close_inr, volume_shares.
        finals: the folder's renames, see `symbols.final_names`.
        has_own_list: the renames are the folder's own, so the shipped ones may know more.
        see_more: look for renames in the rows too.
    """
    ways = rows["chained"].unique().sort().to_list()
    listed = {way: _not_yet_applied(rows, way, finals) for way in ways if way != AS_THEY_ARE}
    rows = rows.with_columns(ticker=_listed(rows, listed))
    own = lookup(finals)
    seen = _seen(rows, own, has_own_list) if see_more else []
    back = {rename.new: rename.old for rename in seen}
    kept = {new: _first_of(new, back) for new in back}
    ordered = tuple(sorted(seen, key=lambda rename: (rename.first_new, rename.new)))
    tickers = frozenset(rows["ticker"].unique().to_list()) - back.keys()
    return Names(listed, ordered, kept, own, tickers)


def _seen(rows: pl.DataFrame, own: Lookup, has_own_list: bool) -> list[Rename]:
    """Renames beyond the list, from the exchange's own rows where there are any."""
    is_chained = rows["chained"] != AS_THEY_ARE
    is_primary = is_chained & (rows["basis"] == UNADJUSTED)
    rows = rows.select(_SPAN_COLUMNS).filter(is_primary if is_primary.any() else is_chained)
    spans = _spans(rows)
    seen = _by_shipped_list(spans, own) if has_own_list else []
    taken = {name for rename in seen for name in (rename.old, rename.new)}
    for old, new, first, close in continued(spans, rows["date"].unique().sort()).rows():
        if not {old, new} & taken:
            seen.append(Rename(old, new, first, f"its last close {close:g} is the new name's first previous close"))
    return seen


def _listed(rows: pl.DataFrame, listed: Mapping[str, pl.DataFrame]) -> pl.Series:
    """Names by listed renames, in the rows' order."""
    ways = rows["chained"].unique().to_list()
    if len(ways) == 1:  # the common case of a full market in one file: nothing to take apart
        alike = rows.select("date", symbol="name")
        return chain(alike, listed[ways[0]]) if ways[0] in listed else alike["symbol"].alias("ticker")
    numbered = rows.select("date", "chained", symbol="name").with_row_index("_n")
    parts = [pl.DataFrame(schema={"_n": pl.UInt32, "ticker": pl.String})]
    for (way,), part in numbered.partition_by("chained", as_dict=True, maintain_order=True).items():
        named = chain(part, listed[str(way)]) if way in listed else part["symbol"]
        parts.append(part.select("_n").with_columns(ticker=named))
    return pl.concat(parts).sort("_n")["ticker"]


def _not_yet_applied(rows: pl.DataFrame, way: str, finals: pl.DataFrame) -> pl.DataFrame:
    """Renames for one way of chaining.

    A continuous column that has rows of the later name from before the old name's last one is chained already; the
    symbol may since be another company's.
    """
    if way == OF_THE_DAY:
        return finals
    own = rows.filter(pl.col("chained") == way)
    firsts = own.group_by(ticker="name").agg(first_day=pl.col("date").min())
    before = own.join(finals, left_on="name", right_on="symbol").filter(pl.col("date") <= pl.col("until"))
    lasts = before.group_by("until", symbol="name").agg(last_day=pl.col("date").max())
    known = finals.join(lasts, on=["symbol", "until"], how="left", maintain_order="left")
    known = known.join(firsts, on="ticker", how="left", maintain_order="left")
    return known.filter((pl.col("first_day") > pl.col("last_day")).fill_null(True)).select(finals.columns)


def _spans(rows: pl.DataFrame) -> pl.DataFrame:
    """First and last row of each ticker, as `symbols.continued` wants them."""
    ends = rows.sort("date", maintain_order=True).group_by("ticker", maintain_order=True)
    return ends.agg(
        first_day=pl.col("date").first(),
        first_prev_close_inr=pl.col("prev_close_inr").first(),
        first_volume=pl.col("volume_shares").first(),
        last_day=pl.col("date").last(),
        last_close_inr=pl.col("close_inr").last(),
        last_volume=pl.col("volume_shares").last(),
    )


def _by_shipped_list(spans: pl.DataFrame, own: Lookup) -> list[Rename]:
    """Renames of the shipped list that the folder's own does not make, where the rows change over accordingly."""
    days = {name: (first, last) for name, first, last in spans.select("ticker", "first_day", "last_day").iter_rows()}
    found = []
    for old_symbol, new_symbol, first in shipped_changes().iter_rows():
        old, new = (name_on(symbol, first, own) for symbol in (old_symbol, new_symbol))
        if old != new and old in days and new in days and days[old][1] < first <= days[new][0]:
            found.append(Rename(old, new, first, "in the shipped list of renames"))
    return found


def _first_of(name: str, back: Mapping[str, str]) -> str:
    met = {name}
    while name in back and back[name] not in met:
        name = back[name]
        met.add(name)
    return name
