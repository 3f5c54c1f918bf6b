"""Who is a member on a date, who has a price, and when there is enough of both to decide.

A member without a row is still a member: it counts by its newest row of the last LOOKBACK_SESSIONS sessions, so that
rows that are late or lost never make a universe smaller. One that has had no price for longer than PATIENCE_SESSIONS is
suspended rather than late: it is still kept, but no decision waits for it. What is decided belongs to the strategies.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from quant_core import calendar
from quant_core.errors import DataError
from quant_core.schema import EQUITY, IS_ELIGIBLE
from quant_core.trading.rebalancing import Rebalance, rebalance_dates

#: Sessions without a row after which a name is no longer counted as a member.
LOOKBACK_SESSIONS = 60
#: Sessions without a price for which a member is waited for, as long as prices are carried by default.
PATIENCE_SESSIONS = 5
LOOKBACK_SPAN = timedelta(days=120)  # holds that many sessions
#: Slots further back than this many days are not looked for: every frequency has one within a month.
SLOT_SPAN = timedelta(days=45)


@dataclass(frozen=True)
class Slots:
    """Scheduled decisions and what became of them.

    Args:
        decided_on: ascending dates on which is decided.
        lacking: one row a date that was passed over: `date`, `members` (those expected to have a price), `priced`,
            `missing` (list of tickers); scheduled dates, and the sessions after one that a later session decided for.
    """

    decided_on: list[date]
    lacking: pl.DataFrame


def member_rows(prices: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    """The members on each session from `first` to `last`: `date`, `ticker`, `is_priced`, `is_tradable`, `is_expected`.

    A name is a member by its newest row, unless that row ended it. It is priced where the source gave a row of the
    date, tradable where that row is eligible to be bought, and expected to have a price where it had one within the
    last PATIENCE_SESSIONS sessions.

    Raises:
        DataError: a row on a date that is no session.
    """
    terminal = pl.col("terminal_factor").is_not_null() if "terminal_factor" in prices.columns else pl.lit(False)
    begin = calendar.sessions(max(first - LOOKBACK_SPAN, calendar.FIRST_DAY), first)[-LOOKBACK_SESSIONS:][0]
    days = pl.Series(calendar.sessions(begin, last), dtype=pl.Date)
    rows = prices.filter(pl.col("instrument") == EQUITY, pl.col("date").is_between(begin, last))
    stray = rows.filter(~pl.col("date").is_in(days.implode())).head(1)
    if len(stray):
        raise DataError(
            f"prices: {stray['ticker'][0]} has a row on {stray['date'][0]}, which is no NSE session; clean it."
        )
    rows = rows.select(
        "date", "ticker", is_in=pl.col("is_member") & ~terminal, is_priced=~pl.col("is_filled"),
        is_tradable=IS_ELIGIBLE.fill_null(False), session=days.search_sorted(rows["date"]).cast(pl.Int64),
    ).sort("ticker", "session")  # fmt: skip
    priced = pl.when("is_priced").then("session").forward_fill().over("ticker")
    rows = rows.with_columns(priced_session=priced)
    following = pl.col("session").shift(-1).over("ticker").fill_null(len(days))
    until = pl.min_horizontal(following, pl.col("session") + LOOKBACK_SESSIONS, pl.lit(len(days)))
    gaps = rows.with_columns(until=until).filter("is_in", pl.col("until") > pl.col("session") + 1)
    absent = gaps.with_columns(session=pl.int_ranges(pl.col("session") + 1, "until")).explode("session")
    absent = absent.with_columns(date=days.gather(absent["session"]), is_priced=False, is_tradable=False)
    waits = (pl.col("session") - pl.col("priced_session") <= PATIENCE_SESSIONS).fill_null(False)
    columns = ["date", "ticker", "is_priced", "is_tradable", waits.alias("is_expected")]
    both = pl.concat([rows.filter("is_in").select(columns), absent.select(columns)])
    return both.filter(pl.col("date") >= first).sort("date", "ticker")


def slots(prices: pl.DataFrame, rebalance: Rebalance, least_share: float, start: date, end: date) -> Slots:
    """When to decide from `start` to `end`: each scheduled date, or the first session after it with enough members.

    A session is enough where at least `least_share` of the members that are expected to have a price, and at least one,
    have it. A date scheduled
    before `start` that no session before `start` was enough for is decided from `start` on, so that months can be
    decided in any order; one that the next scheduled date finds undecided is merged with it.

    Args:
        prices: CleanPrices, from LOOKBACK_SESSIONS sessions before the scheduled date before `start`.
    """
    known = prices.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).row(0)
    earliest, day_before = max(start - SLOT_SPAN, calendar.FIRST_DAY), start - timedelta(days=1)
    before = rebalance_dates(earliest, day_before, rebalance)[-1:] if earliest <= day_before else []
    scheduled = [day for day in (*before, *rebalance_dates(start, end, rebalance)) if known[0] <= day <= known[1]]
    if not scheduled:
        return Slots([], lacking_rows({}))
    days = calendar.sessions(scheduled[0], max(min(end, known[1]), scheduled[0]))
    members = member_rows(prices, days[0], days[-1])
    n_priced, n_expected = pl.col("is_priced").sum(), pl.col("is_expected").sum()
    counts = members.group_by("date").agg(
        pl.when(n_priced > 0).then(n_expected).otherwise(pl.len()).alias("members"), n_priced.alias("priced")
    )
    by_day = {day: (n, priced) for day, n, priced in counts.iter_rows()}
    enough = [day for day in days if is_enough(*by_day.get(day, (0, 0)), least_share)]
    decided, passed = set(), set()
    for k, slot in enumerate(scheduled):
        following = scheduled[k + 1] if k + 1 < len(scheduled) else date.max
        place = bisect_left(enough, slot)
        found = enough[place] if place < len(enough) else date.max
        if slot < start and slot not in by_day:
            continue  # nobody was a member yet
        if start <= found < following:
            decided.add(found)
        passed |= {day for day in days if slot <= day < min(found, following) and day >= start}
    missing = members.filter(pl.col("date").is_in(sorted(passed)), ~pl.col("is_priced"), "is_expected")
    names = dict(missing.group_by("date", maintain_order=True).agg("ticker").iter_rows())
    return Slots(sorted(decided), lacking_rows({day: (*by_day.get(day, (0, 0)), names.get(day, [])) for day in passed}))


def is_enough(members: int, priced: int, least_share: float) -> bool:
    """Whether so many priced members of so many can be decided on."""
    return priced >= 1 and priced >= least_share * members


def lacking_rows(rows: Mapping[date, tuple[int, int, list[str]]]) -> pl.DataFrame:
    table = [(day, n, priced, missing) for day, (n, priced, missing) in sorted(rows.items())]
    schema: dict[str, Any] = {"date": pl.Date, "members": pl.Int64, "priced": pl.Int64, "missing": pl.List(pl.String)}
    return pl.DataFrame(table, schema=schema, orient="row")
