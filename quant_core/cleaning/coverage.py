"""What a span of clean prices lacks: sessions, members' prices, rows of the index, and its defects by kind.

What can be wrong with a single row is `quality`.
"""

from datetime import date

import polars as pl

from quant_core.calendar import sessions
from quant_core.cleaning.suspects import APPLIED, FLAG_OF, KEPT, QUARANTINED
from quant_core.schema import EQUITY

#: Share of the members that a session should have prices of.
MIN_PRICED = 0.95


def lost_sessions(table: pl.DataFrame, first: date | None = None, last: date | None = None) -> list[date]:
    """NSE sessions without a price of any member.

    An index that has its row does not make a session of it: nothing could be decided or traded.

    Args:
        table: CleanPrices; reads date, instrument, is_member, is_filled.
        first, last: span that is looked at; by default from the first month of `table` to its newest row.
    """
    if table.height:
        found: tuple[date, date] = table.select(pl.col("date").min().alias("a"), pl.col("date").max().alias("b")).row(0)
        first, last = first or found[0].replace(day=1), last or found[1]
    if first is None or last is None or first > last:
        return []
    priced = table.filter(pl.col("instrument") == EQUITY, "is_member", ~pl.col("is_filled"))["date"].unique()
    return sorted(set(sessions(first, last)) - set(priced.to_list()))


def thin_sessions(table: pl.DataFrame) -> pl.DataFrame:
    """(date, members, priced) of sessions on which less than MIN_PRICED of the members with a row have a price."""
    members = table.filter(pl.col("instrument") == EQUITY, "is_member")
    counted = members.group_by("date").agg(members=pl.len(), priced=(~pl.col("is_filled")).sum())
    return counted.filter((pl.col("priced") > 0) & (pl.col("priced") < MIN_PRICED * pl.col("members"))).sort("date")


def longest_gap(
    table: pl.DataFrame, index: str, since: date | None = None, last: date | None = None
) -> tuple[int, date | None]:
    """Most sessions in a row without a row of the index, and the first of them; 0 and None where there is none.

    Args:
        table: CleanPrices; reads date, ticker, is_filled. A gap can begin on its first session at the earliest.
        since: only gaps that reach this day or a later one count; by default all.
        last: day up to which sessions are wanted; by default the newest row of anything.
    """
    if table.is_empty():
        return 0, None
    priced = set(table.filter(pl.col("ticker") == index, ~pl.col("is_filled"))["date"].to_list())
    first, newest = table.select(pl.col("date").min().alias("a"), pl.col("date").max().alias("b")).row(0)
    longest, begun, run = 0, None, 0
    days = sessions(first, last or newest)
    for n, day in enumerate(days):
        run = 0 if day in priced else run + 1
        if run > longest and day >= (since or first):
            longest, begun = run, days[n - run + 1]
    return longest, begun


def member_coverage(prices: pl.DataFrame, membership: pl.DataFrame | None) -> pl.DataFrame:
    """Members whose sessions lack prices: rows (ticker, sessions_as_member, sessions_priced), fewest priced first.

    Args:
        prices: CleanPrices of the tested span.
        membership: dated intervals, or None where everything the source has is a member.
    """
    empty = pl.DataFrame(schema={"ticker": pl.String, "sessions_as_member": pl.UInt32, "sessions_priced": pl.UInt32})
    if membership is None or prices.is_empty():
        return empty
    member_days = membership.join(prices.select(pl.col("date").unique()), how="cross").filter(
        (pl.col("date") >= pl.col("from_date")) & (pl.col("to_date").is_null() | (pl.col("date") < pl.col("to_date")))
    )
    priced = prices.filter("is_member", ~pl.col("is_filled")).group_by("ticker").len("sessions_priced")
    counted = member_days.group_by("ticker").len("sessions_as_member").join(priced, on="ticker", how="left")
    lacking = counted.with_columns(pl.col("sessions_priced").fill_null(0)).filter(
        pl.col("sessions_priced") < pl.col("sessions_as_member")
    )
    return pl.concat([empty, lacking.cast(empty.schema)]).sort("sessions_priced", "ticker")


def defect_counts(prices: pl.DataFrame) -> pl.DataFrame:
    """Rows of members by kind of defect: columns defect, n_rows, n_tickers, share_of_rows; most frequent first."""
    members = prices.filter("is_member", pl.col("instrument") == EQUITY)
    kinds = members.filter(pl.col("flags") != "").with_columns(defect=pl.col("flags").str.split("|")).explode("defect")
    counted = kinds.group_by("defect").agg(n_rows=pl.len().cast(pl.Int64), n_tickers=pl.col("ticker").n_unique())
    share = pl.col("n_rows") / max(members.height, 1)
    return counted.with_columns(share_of_rows=share).sort(["n_rows", "defect"], descending=[True, False])


def suspect_warnings(defects: pl.DataFrame) -> list[str]:
    """How many suspected corporate actions were applied, quarantined or kept; nothing where there were none.

    Args:
        defects: as `defect_counts` makes them.
    """
    found = dict(defects.select("defect", "n_rows").iter_rows())
    applied, quarantined, kept = (int(found.get(FLAG_OF[outcome], 0)) for outcome in (APPLIED, QUARANTINED, KEPT))
    if not applied + quarantined + kept:
        return []
    return [
        f"Unlisted price jumps of members in the tested span: {applied} applied as corporate actions, "
        f"{quarantined} quarantined (no return, not traded), {kept} kept as real moves; "
        "`quant actions` lists them with their evidence."
    ]
