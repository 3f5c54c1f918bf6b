"""Corporate actions applied to rows: the price factor and the dividend of each.

The list itself is read in action_list.py, dividends are in dividends.py.

A demerger without a value takes the market's own price of what was handed out: the ex-date open over the previous
close is the price factor, so the night's return is 0 and the demerged company counts as handed out at the open.
"""

from datetime import timedelta

import polars as pl

from quant_core.market.action_list import (
    EVENT_KINDS,
    no_actions,
    parse_actions,
    price_factors,
    read_actions,
    with_known_actions,
)
from quant_core.market.dividends import basis_dividends, dividends, implied_dividends
from quant_core.schema import DIVIDEND_KINDS, SPLIT_ADJUSTED, UNADJUSTED

__all__ = [
    "LOOKBACK_DAYS",
    "apply_actions",
    "dividends",
    "listed_events",
    "no_actions",
    "parse_actions",
    "price_factors",
    "read_actions",
    "with_known_actions",
]

#: Rows this long before the span are needed: an event finds its row, and a row its predecessor, at most so far away.
#: More than sixty sessions; what lies further is handed to cleaning, see `listed_events`.
LOOKBACK_DAYS = 95
#: A previous close further than this factor from the open is no price of the same share.
MAX_SEAM_STEP = 2.0
#: What tells a row's factor and dividend; the other columns stay where they are.
_TELLING = ("date", "ticker", "open_inr", "close_inr", "prev_close_inr", "basis", "source", "adj_close_inr")


def apply_actions(rows: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """`rows` with columns price_factor and dividend_inr filled from the actions.

    Args:
        rows: columns date, ticker, open_inr, close_inr, prev_close_inr, basis, source and optionally adj_close_inr;
            any order. They should begin LOOKBACK_DAYS before the first row of interest.
        actions: see `read_actions`.
    Returns:
        the rows in their order. An event without a row on its ex-date goes to the ticker's next row, if the ticker
        also has a row before the event. Split-adjusted rows have factor 1 and dividends on the vendor's basis;
        without any dividend of the ticker in `actions`, the dividend is read from the step of adj_close over close.
    """
    telling = rows.select(name for name in _TELLING if name in rows.columns)
    keyed = telling.with_row_index("_row").sort("ticker", "date", "_row")
    keyed = keyed.with_columns(
        _prev=pl.col("close_inr").forward_fill().shift(1).over("ticker"),
        _prev_basis=pl.col("basis").shift(1).over("ticker"),
    )
    factors = (
        _on_rows(keyed, price_factors(actions))
        .group_by("ticker", "date")
        .agg(_known=pl.col("price_factor").drop_nulls().product(), _demerged=pl.col("price_factor").is_null().any())
    )
    paid = basis_dividends(keyed, _on_rows(keyed, dividends(actions)), actions)
    keyed = keyed.join(factors, on=["ticker", "date"], how="left", maintain_order="left")
    keyed = keyed.join(paid, on=["ticker", "date"], how="left", maintain_order="left")
    at_open = pl.col("open_inr") / pl.coalesce("prev_close_inr", "_prev")
    at_open = pl.when(pl.col("_demerged").fill_null(False) & (at_open > 0.0)).then(at_open).otherwise(1.0)
    own = pl.col("_known").fill_null(1.0) * at_open
    keyed = keyed.with_columns(
        price_factor=pl.when(pl.col("basis") == UNADJUSTED).then(own * _seam()).otherwise(1.0),
        dividend_inr=pl.col("_paid").fill_null(0.0),
    )
    if "adj_close_inr" in rows.columns and rows["adj_close_inr"].null_count() < rows.height:
        keyed = implied_dividends(keyed, set(actions.filter(pl.col("kind").is_in(DIVIDEND_KINDS))["ticker"]))
    return rows.with_columns(keyed.sort("_row").select("price_factor", "dividend_inr").get_columns())


def listed_events(actions: pl.DataFrame) -> pl.DataFrame:
    """What cleaning must know of a source's list: columns ticker, ex_date, kind, value, into, reach_days.

    Ends of names, suspensions and reviewed moves as they are listed. Price factors, one line an event day, with the
    `reach_days` within which the raw rows carry them already: an event in a longer absence would be lost otherwise.
    """
    columns = ("ticker", "ex_date", "kind", "value", "into")
    events = actions.filter(pl.col("kind").is_in(EVENT_KINDS)).select(*columns, reach_days=pl.lit(None, pl.Int32))
    factors = price_factors(actions).select(
        "ticker", "ex_date", kind=pl.lit("demerger"), value="price_factor", into=pl.lit(None, pl.String),
        reach_days=pl.lit(LOOKBACK_DAYS, pl.Int32),
    )  # fmt: skip
    return pl.concat([events, factors]).sort("ticker", "ex_date", "kind")


def _seam() -> pl.Expr:
    """Level of unadjusted over split-adjusted prices where a ticker's rows change over; 1 elsewhere.

    The exchange's previous close is the true level of the last adjusted close, so the row's return is the exchange's
    own. On the first day of a new listing that field is a face value or another company's price (ULTRACEMCO
    2004-08-24: 10 before an open of 260); then, or without it, the levels are joined at the open and the night's
    return is 0.
    """
    joint = (pl.col("basis") == UNADJUSTED) & (pl.col("_prev_basis") == SPLIT_ADJUSTED)
    stated, opened = pl.col("prev_close_inr"), pl.col("open_inr")
    own_level = pl.when((stated > opened / MAX_SEAM_STEP) & (stated < opened * MAX_SEAM_STEP)).then(stated)
    level = pl.coalesce(own_level, opened) / pl.col("_prev")
    return pl.when(joint & (level > 0.0) & level.is_finite()).then(level).otherwise(1.0)


def _on_rows(rows: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """`events` with the `date` of the row that carries each: the first on or after ex_date, with a row before it."""
    days = (
        rows.select("ticker", "date")
        .join(events.select("ticker").unique(), on="ticker", how="semi")
        .unique()
        .sort("date")
    )
    tolerance = timedelta(days=LOOKBACK_DAYS)
    events = events.sort("ex_date")
    found = events.join_asof(
        days,
        left_on="ex_date",
        right_on="date",
        by="ticker",
        strategy="forward",
        tolerance=tolerance,
        coalesce=False,
        check_sortedness=False,
    )
    before = days.with_columns(before="date")
    found = found.join_asof(
        before.select("ticker", "date", "before").rename({"date": "_date"}),
        left_on="ex_date",
        right_on="_date",
        by="ticker",
        strategy="backward",
        check_sortedness=False,
        tolerance=tolerance,
        coalesce=False,
    )
    return found.filter(
        pl.col("date").is_not_null() & ((pl.col("date") == pl.col("ex_date")) | pl.col("before").is_not_null())
    )
