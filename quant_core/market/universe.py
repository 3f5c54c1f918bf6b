"""Which tickers belong to a universe on which day, and the sector of each.

Membership is dated: intervals [from_date, to_date), a null to_date for members of today. Facts shipped beside this
file:

- nifty50_membership.csv: NIFTY 50 to the change of 2026-09-30, under the names of 2026, complete (50 companies) from
  2014-03-27, each change since then from an NSE press release. Before, only survivors are known (44 in 2005, 46 in
  October 2008, 49 in 2011) and dates are unverified. The qualities are kept in from_quality and to_quality; an unknown
  start (CAIRN, RANBAXY) is set to 2005-01-01. `kind` tells companies from additional securities (TATAMTRDVR) and
  spin-off placeholders: JIOFIN 2023, ITCHOTELS, TMCV and KWIL were in the index from their demerger, at a price of
  zero, until a few sessions after they began to trade. They are members on those days, as the index had them.
- nifty500.csv: the NIFTY 500 list of 2026-03-05. Today's list applied to the past holds survivors only.
- The whole market (`indian_market`) has no list: its members are whatever traded, best narrowed to the most traded
  names by a rule that knows only the past (`cleaning.most_traded`).
- sectors.csv: NSE's macro sectors from the NIFTY 500 list of 2026, the NIFTY Total Market list of 2023 and, for five
  companies that were gone by then, by hand.

Every list knows until when it is known (`Universe.known_until`, `SECTORS_KNOWN_UNTIL`; lists.py). A membership file of
a user's own (`read_intervals`) says it in a column known_until, else it is the newest date in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import polars as pl

from quant_core.errors import DataError, UnknownName
from quant_core.market.lists import SECTORS, KnownList, stated_end
from quant_core.market.reading.identity import bare, bare_name, is_name
from quant_core.market.reading.side_lists import SideList, read_list

HERE = Path(__file__).parent
#: Stands for every stock that the source has; universes without a list consist of it alone.
EVERY_TICKER = "*"
LONG_AGO = date(1990, 1, 1)
INTERVAL_SCHEMA = {"ticker": pl.String, "from_date": pl.Date, "to_date": pl.Date}


@dataclass(frozen=True)
class Universe:
    """What a report must say about a universe beside its members.

    complete_from: first day on which every member is known; null where the list is not dated. survivors_only: today's
    list applied to the past. known_until: last day to which the list was read; null where there is no list, or it
    states no day. n_companies: how many the index has by its rules; null for anything else.
    """

    name: str
    description: str
    survivors_only: bool = False
    complete_from: date | None = None
    known_until: date | None = None
    n_companies: int | None = None

    def note(self, start: date) -> str:
        """What the list does to a test that begins on `start`: survivorship, and from when on it is complete."""
        if self.survivors_only:
            return (
                f"SURVIVORSHIP BIAS: {self.description}. Names that failed or were dropped are missing; "
                "returns are overstated."
            )
        if self.complete_from is None:
            return f"Universe: {self.description}."
        if start < self.complete_from:
            return f"SURVIVORSHIP BIAS before {self.complete_from}: {self.description}, complete only from that day on."
        return f"Universe: {self.description}, complete from {self.complete_from}."


UNIVERSES = {
    universe.name: universe
    for universe in (
        Universe(
            "nifty50",
            "NIFTY 50, dated membership",
            complete_from=date(2014, 3, 27),
            known_until=date(2026, 9, 30),
            n_companies=50,
        ),
        Universe(
            "nifty500",
            "NIFTY 500 as of 2026-03-05, applied to the past",
            survivors_only=True,
            known_until=date(2026, 3, 5),
            n_companies=500,
        ),
        Universe("all", "every stock that the source has"),
        Universe("indian_market", "every stock that the source has, dead ones included; narrow it by liquidity"),
        Universe("simulated", "every stock of the simulated market"),
    )
}
_OPEN = ("all", "indian_market", "simulated")
#: Day of the newest source of sectors.csv.
SECTORS_KNOWN_UNTIL = date(2026, 3, 5)
SHIPPED_SECTORS = KnownList(
    SECTORS,
    SECTORS_KNOWN_UNTIL,
    "shipped: NSE's NIFTY 500 list",
    "names listed later have no sector",
    "put a sectors.csv with a column known_until beside the prices",
)
COMPANY = "company"


def universe(name: str | Sequence[str]) -> Universe:
    """The universe of that name; a list of tickers or a CSV file makes one of its own.

    Raises:
        UnknownName: neither a known name nor a CSV file.
    """
    if not isinstance(name, str):
        return Universe("custom", f"{len(name)} tickers chosen by hand", survivors_only=True)
    if name.lower().endswith(".csv"):
        path = Path(name).expanduser()
        dated = membership(name)["from_date"].max() != LONG_AGO
        end = stated_end(path, ("from_date", "to_date"), f"universe file {path.name}")
        return Universe("custom", f"tickers of {path.name}", survivors_only=not dated, known_until=end)
    if name not in UNIVERSES:
        raise UnknownName("universe", name, [*UNIVERSES, "a CSV file with a column ticker"])
    return UNIVERSES[name]


def membership(universe: str | Sequence[str]) -> pl.DataFrame:
    """Columns ticker, from_date, to_date (null: still a member), sorted; intervals are [from_date, to_date).

    Args:
        universe: a name of UNIVERSES, a list of tickers, or the path of a CSV file with a column ticker and optionally
            from_date and to_date. Universes without a list have the single row `EVERY_TICKER`.
    Raises:
        UnknownName, DataError (a file that cannot be read, an empty list, a broken interval).
    """
    if not isinstance(universe, str):
        return check_intervals(_undated(list(universe)), "universe list")
    if universe.lower().endswith(".csv"):
        return _from_file(Path(universe).expanduser())
    if universe not in UNIVERSES:
        raise UnknownName("universe", universe, [*UNIVERSES, "a CSV file with a column ticker"])
    if universe in _OPEN:
        return _undated([EVERY_TICKER])
    return _shipped(universe)


def tickers(universe: str | Sequence[str]) -> list[str] | None:
    """Everyone who ever was a member, sorted; None where that is whatever the source has."""
    names: list[str] = membership(universe)["ticker"].unique().sort().to_list()
    return None if EVERY_TICKER in names else names


def check_intervals(intervals: pl.DataFrame, where: str) -> pl.DataFrame:
    """`intervals` sorted by ticker and from_date.

    Raises:
        DataError: no rows, an interval that ends before it begins, or two of one ticker that overlap; names the row.
    """
    if not intervals.height:
        raise DataError(f"{where}: no members; list at least one ticker.")
    ordered = intervals.sort("ticker", "from_date", maintain_order=True)
    for row in ordered.filter(pl.col("ticker").is_null() | pl.col("from_date").is_null()).iter_rows():
        raise DataError(f"{where}: {row} lacks a ticker or a from_date; complete or remove the row.")
    for ticker, begin, finish in (
        ordered.filter(pl.col("from_date") >= pl.col("to_date")).select(list(INTERVAL_SCHEMA)).iter_rows()
    ):
        raise DataError(
            f"{where}: {ticker} from {begin} to {finish} is empty; to_date is the first day outside, so must be later."
        )
    previous = pl.col("to_date").fill_null(date.max).shift(1).over("ticker")
    for ticker, begin, before in (
        ordered.with_columns(before=previous)
        .filter(pl.col("from_date") < pl.col("before"))
        .select("ticker", "from_date", "before")
        .iter_rows()
    ):
        raise DataError(
            f"{where}: {ticker} from {begin} overlaps the interval that ends {before}; close that one first."
        )
    return ordered


def sector_of() -> pl.DataFrame:
    """Columns ticker, sector, source, sorted by ticker."""
    return pl.read_csv(HERE / "sectors.csv")


@lru_cache(maxsize=4)
def _shipped(name: str) -> pl.DataFrame:
    if name == "nifty500":
        return check_intervals(_undated(pl.read_csv(HERE / "nifty500.csv")["ticker"].to_list()), name)
    table = nifty50_facts().select(list(INTERVAL_SCHEMA))
    return check_intervals(table, name)


def nifty50_facts() -> pl.DataFrame:
    """The NIFTY 50 intervals with kind and the quality of each date."""
    return pl.read_csv(HERE / "nifty50_membership.csv", try_parse_dates=True)


def _undated(names: list[str]) -> pl.DataFrame:
    rows = [(name, LONG_AGO, None) for name in sorted({bare_name(name) for name in names})]
    return pl.DataFrame(rows, schema=INTERVAL_SCHEMA, orient="row")


def _from_file(path: Path) -> pl.DataFrame:
    where = f"universe file {path.name}"
    table = read_intervals(path, where).select(list(INTERVAL_SCHEMA))
    return check_intervals(table, where)


def read_intervals(path: Path, where: str) -> pl.DataFrame:
    """Membership intervals of a CSV file as they stand there: ticker, from_date, to_date and other text columns.

    The name column is `ticker`, else `symbol`. An empty from_date, or no such column, is a start before all data.

    Raises:
        DataError: unreadable, no name column, a date that is none.
    """
    listed = read_list(path, where, "ticker[,from_date,to_date]", [("ticker", "symbol")])
    table = listed.table
    if "ticker" not in table.columns:
        table = table.rename({"symbol": "ticker"})
    table = table.with_columns(
        pl.lit(None, pl.String).alias(name) for name in INTERVAL_SCHEMA if name not in table.columns
    )
    listed = SideList(where, table, listed.lines)
    names = [name for name in ("ticker", "current_symbol") if name in table.columns]
    dates = table.with_columns(
        *(bare(pl.col(name)).alias(name) for name in names), listed.dates("from_date"), listed.dates("to_date")
    )  # fmt: skip
    odd = dates.select((~is_name(pl.col("ticker"))).alias("odd")).to_series()
    if odd.any():
        place = odd.arg_max() or 0
        raise DataError(f"{where} line {listed.lines[place]}: {table.row(place)} has no name for a ticker; fix it.")
    return dates.with_columns(pl.col("from_date").fill_null(LONG_AGO))


def complete_from(intervals: pl.DataFrame, n_companies: int) -> date | None:
    """First day since which the intervals name at least `n_companies` on every day; None where they never do.

    Args:
        intervals: ticker, from_date, to_date and optionally kind; rows of another kind than "company" do not count.
    """
    rows = intervals
    if "kind" in rows.columns:
        rows = rows.filter(pl.col("kind").fill_null(COMPANY) == COMPANY)
    steps = pl.concat([
        rows.select(day="from_date", step=pl.lit(1)),
        rows.select(day="to_date", step=pl.lit(-1)).drop_nulls("day"),
    ])  # fmt: skip
    count = steps.group_by("day").agg(pl.col("step").sum()).sort("day").with_columns(n=pl.col("step").cum_sum())
    short = count.filter(pl.col("n") < n_companies)
    since = count if short.is_empty() else count.filter(pl.col("day") > short["day"].max())
    return since["day"][0] if since.height else None
