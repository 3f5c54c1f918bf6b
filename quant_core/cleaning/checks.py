"""What can be wrong with a row, found row by row: each kind has one name, used in flags, counts and checks.

Nothing is deleted silently: a row that cannot be used is counted, a row that is repaired is flagged.
"""

from datetime import date, timedelta

import polars as pl

from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.schema import EQUITY

#: kind -> what it means; the first group makes a row unusable, the second is flagged and kept.
UNUSABLE = {
    "repeat": "an exact or later duplicate of a (date, ticker)",
    "off_calendar": "a row on a day that NSE did not trade",
    "no_close": "a close that is null, zero or negative",
}
FLAGGED = {
    "bad_bar": "a high below, or a low above, the open, the close or each other",
    "bad_open": "an open that is zero or negative",
    "zero_volume": "an equity row without volume",
    "stale": "open, high, low, close and volume all equal to the row before",
}


def flag_bars(raw: pl.DataFrame, on_bad_bar: str, where: str) -> pl.DataFrame:
    """Raw rows with `flags`, `is_repeat` and `is_sound`; bars that contradict themselves are widened.

    Raises:
        DataError: a contradictory bar while `on_bad_bar` is "raise".
    """
    days = sessions(raw["date"].min(), raw["date"].max()) if len(raw) else []  # type: ignore[arg-type]
    equity = pl.col("instrument") == EQUITY
    high, low, open_, close = (pl.col(f"{name}_inr") for name in ("high", "low", "open", "close"))
    prices = (open_, high, low, close)
    repeat_first = pl.col("date").cum_count().over("date", "ticker") > 1
    recent = pl.col("date").diff().over("ticker", order_by="date") <= timedelta(days=75)
    same = [column == column.shift(1).over("ticker", order_by="date") for column in (*prices, pl.col("volume_shares"))]
    marked = (
        raw.sort("date", "ticker", maintain_order=True)
        .with_columns(repeat=repeat_first)
        .with_columns(
            off_calendar=~pl.col("date").is_in(days),
            no_close=~(close > 0).fill_null(False),
            bad_open=(open_ <= 0).fill_null(False),
            zero_volume=equity & (pl.col("volume_shares").fill_null(0) <= 0),
            stale=equity & ~pl.col("repeat") & pl.all_horizontal(recent, *same).fill_null(False),
        )
        .with_columns(open_inr=pl.when(open_ > 0).then(open_))
        .with_columns(
            bad_bar=(
                (high < pl.max_horizontal(open_, low, close)) | (low > pl.min_horizontal(open_, high, close))
            ).fill_null(False)
        )
    )
    if on_bad_bar == "raise" and marked["bad_bar"].any():
        row = marked.filter("bad_bar").row(0, named=True)
        raise DataError(
            f"{where}: {row['ticker']} {row['date']}: open {row['open_inr']}, high {row['high_inr']}, "
            f"low {row['low_inr']}, close {row['close_inr']} contradict each other; "
            'fix the source row or set clean_prices.on_bad_bar="repair" or "drop".'
        )
    unusable = pl.any_horizontal(*UNUSABLE) | (pl.col("bad_bar") & pl.lit(on_bad_bar == "drop"))
    labels = [pl.when(kind).then(pl.lit(kind)) for kind in (*UNUSABLE, *FLAGGED)]
    return marked.with_columns(
        high_inr=pl.max_horizontal(prices),
        low_inr=pl.min_horizontal(prices),
        flags=pl.concat_str(labels, separator="|", ignore_nulls=True),
        is_sound=~unusable,
        is_repeat=pl.col("repeat"),
    ).drop(*UNUSABLE, *FLAGGED)


def quality_counts(flagged: pl.DataFrame, prices: pl.DataFrame, start: date, end: date) -> pl.DataFrame:
    """(kind, ticker, n_rows) of the rows in `start`..`end`, raw defects and carried rows together, largest first."""
    inside = pl.col("date").is_between(start, end)
    found = pl.concat(
        [
            flagged.filter(inside, pl.col("flags") != "").select("ticker", "flags"),
            prices.filter(inside, "is_filled").select("ticker", "flags"),
        ]
    )
    return (
        found.with_columns(kind=pl.col("flags").str.split("|"))
        .explode("kind", empty_as_null=True)
        .group_by("kind", "ticker")
        .agg(pl.len().cast(pl.Int64).alias("n_rows"))
        .sort(["n_rows", "kind", "ticker"], descending=[True, False, False])
    )
