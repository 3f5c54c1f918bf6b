"""What can be wrong with a row, found row by row: each kind has one name, used in flags, counts and checks.

Nothing is deleted silently: a row that cannot be used is counted, a row that is repaired is flagged. Checks that need
the row before (units, rebased indices) are in units.py, suspected corporate actions in suspects.py.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from quant_core.calendar import FIRST_DAY, sessions
from quant_core.errors import DataError
from quant_core.schema import EQUITY

#: kind -> what it means; the first group makes a row unusable, the second is flagged and kept.
UNUSABLE = {
    "repeat": "the same row again: a (date, ticker) with the same prices and volume",
    "conflict": "a (date, ticker) again with other prices or volume; the first one is used",
    "off_calendar": "a row on a day that NSE did not trade",
    "no_close": "a close that is null, zero, negative or beyond any price",
}
FLAGGED = {
    "bad_bar": "a high below, or a low above, the open, the close or each other, or no price at all",
    "bad_open": "an open that is zero, negative or no number",
    "bad_volume": "a volume below zero",
    "bad_action": "a price factor that is not above zero, or a dividend below zero: read as none",
    "zero_volume": "an equity row without volume",
    "stale": "open, high, low, close and volume all equal to the row before",
}
#: Found by units.py.
OTHER = {
    "unit_jump": "a price off by a power of ten: unusable on its first day, bridged if the new level stays",
    "rebased": "an index level off by a power of ten from its day before: the return is bridged",
}
#: What rows of the clean table say of themselves; found by returns.py, suspects.py and carry.py.
ROW_KINDS = {
    "gap": "the first row back after an absence: its return spans from the last close",
    "applied_action": "an unlisted split or bonus on strong evidence: its ratio is in the return",
    "quarantined": "a jump that may be an unlisted action: no return and untradable until it is reviewed",
    "kept_move": "a jump beyond the price band that was judged a real move",
    "trade_to_trade": "a row of a series in which every trade is delivered",
    "filled": "no sound row: the last close carried forward, without return and untradable",
    "suspended": "a carried row of a listed suspension",
    "terminal": "the last row of a name: merged, cashed out or written off",
}
KINDS = {**UNUSABLE, **FLAGGED, **OTHER, **ROW_KINDS}
#: Rows that are counted as lost; `unit_jump` also stands on the row that is bridged.
LOST_KINDS = (*UNUSABLE, "unit_jump")
STALE_SPAN = timedelta(days=75)
#: Rupees that a price can be: back-adjusted closes go down to paise of a paisa, no share or index comes near the upper.
LEAST_PRICE_INR, MOST_PRICE_INR = 1e-4, 1e9
PRICES = ("open_inr", "high_inr", "low_inr", "close_inr")
#: Rupees by which a clean price may pass its high or low: rounding.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class QualityThresholds:
    """Above which counts a month of clean prices is called bad.

    Attributes:
        max_filled_share: carried rows over all rows.
        max_unusable_share: raw rows that could not be used over all rows.
        max_suspected_actions: quarantined rows: jumps that nobody could tell from an unlisted action.
        max_unit_jumps: rows off by a power of ten.
        max_conflicts: rows that contradict another row of the same day and ticker.
        max_bad_bar_share: bars whose high or low contradicts their open or close over all rows.
        max_quarantined_members: members' rows of a month that may wait for a person's word on a corporate action before
            what is downstream stops.
        max_index_gap_sessions: sessions in a row that the benchmark's price index may lack.
    """

    max_filled_share: float = 0.05
    max_unusable_share: float = 0.05
    max_suspected_actions: int = 0
    max_unit_jumps: int = 0
    max_conflicts: int = 0
    max_bad_bar_share: float = 0.01
    max_quarantined_members: int = 0
    max_index_gap_sessions: int = 5


def breaches(quality: pl.DataFrame, n_rows: int, thresholds: QualityThresholds) -> list[str]:
    """One sentence for every threshold that the counts exceed; empty for a good table.

    Args:
        quality: columns kind and n_rows (any others are ignored), as in `Cleaned.quality`.
        n_rows: rows of the clean table, carried rows included.
    """
    found: dict[str, int] = dict(quality.group_by("kind").agg(pl.col("n_rows").sum()).iter_rows())
    lost = sum(found.get(kind, 0) for kind in LOST_KINDS)
    shares = (
        ("carried rows", found.get("filled", 0), thresholds.max_filled_share, "max_filled_share"),
        ("unusable rows", lost, thresholds.max_unusable_share, "max_unusable_share"),
        ("contradictory bars", found.get("bad_bar", 0), thresholds.max_bad_bar_share, "max_bad_bar_share"),
    )
    counts = (
        ("quarantined jumps", found.get("quarantined", 0), thresholds.max_suspected_actions,
         "max_suspected_actions"),
        ("unit jumps", found.get("unit_jump", 0), thresholds.max_unit_jumps, "max_unit_jumps"),
        ("conflicting rows", found.get("conflict", 0), thresholds.max_conflicts, "max_conflicts"),
    )  # fmt: skip
    messages = [
        f"{count} {what} are {count / max(n_rows, 1):.2%} of {n_rows} rows, above {name} {limit:.2%}"
        for what, count, limit, name in shares
        if count > limit * max(n_rows, 1)
    ]
    return messages + [f"{count} {what}, above {name} {limit}" for what, count, limit, name in counts if count > limit]


def flag_bars(raw: pl.DataFrame, on_bad_bar: str, where: str) -> pl.DataFrame:
    """Raw rows with `flags`, `is_sound` and `is_repeat`; bars that contradict themselves are widened.

    Raises:
        DataError: a contradictory bar while `on_bad_bar` is "raise".
    """
    marked = _marked(raw)
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
        high_inr=pl.max_horizontal(PRICES),
        low_inr=pl.min_horizontal(PRICES),
        flags=pl.concat_str(labels, separator="|", ignore_nulls=True),
        is_sound=~unusable,
        is_repeat=pl.col("repeat") | pl.col("conflict"),
    ).drop(*UNUSABLE, *FLAGGED)


def _marked(raw: pl.DataFrame) -> pl.DataFrame:
    """Rows sorted by date and ticker with a Boolean column a kind; prices and volumes that are none become null."""
    first = max(raw["date"].min(), FIRST_DAY) if len(raw) else FIRST_DAY  # type: ignore[type-var]
    days = sessions(first, raw["date"].max()) if len(raw) and raw["date"].max() >= FIRST_DAY else []  # type: ignore
    equity = pl.col("instrument") == EQUITY
    values = (*PRICES, "volume_shares")
    rows = raw.sort("date", "ticker", maintain_order=True)
    again = rows.select(pl.struct("date", "ticker").is_duplicated()).to_series()
    if again.any():
        key = ("date", "ticker")
        same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).first().over(key)) for name in values)
        later = pl.col("date").cum_count().over(key) > 1
        rows = rows.with_columns(repeat=later & same, conflict=later & ~same)
    else:
        rows = rows.with_columns(repeat=pl.lit(False), conflict=pl.lit(False))
    sane = [pl.when(~_insane(name)).then(pl.col(name)).alias(name) for name in PRICES]
    factor, dividend = pl.col("price_factor"), pl.col("dividend_inr")
    rows = rows.with_columns(
        bad_open=_insane("open_inr"),
        bad_bar=_insane("high_inr") | _insane("low_inr"),
        bad_volume=(pl.col("volume_shares") < 0).fill_null(False),
        zero_volume=equity & (pl.col("volume_shares").fill_null(0) == 0),
        off_calendar=~pl.col("date").is_in(days),
        bad_action=(factor <= 0) | (dividend < 0),
    ).with_columns(
        *sane,
        price_factor=pl.when(factor > 0).then(factor).otherwise(1.0),
        dividend_inr=pl.when(dividend > 0).then(dividend).otherwise(0.0),
        volume_shares=pl.when(pl.col("volume_shares") >= 0).then(pl.col("volume_shares")),
    )
    high, low, open_, close = (pl.col(f"{name}_inr") for name in ("high", "low", "open", "close"))
    contradicts = (high < pl.max_horizontal(open_, low, close)) | (low > pl.min_horizontal(open_, high, close))
    return rows.with_columns(
        no_close=close.is_null(),
        stale=_stale(rows) & equity & ~pl.col("repeat") & ~pl.col("conflict"),
        bad_bar=pl.col("bad_bar") | contradicts.fill_null(False),
    )


def _insane(name: str) -> pl.Expr:
    """True where a price is given and cannot be one."""
    return (~pl.col(name).is_between(LEAST_PRICE_INR, MOST_PRICE_INR)).fill_null(False)


def _stale(rows: pl.DataFrame) -> pl.Series:
    """True where prices and volume equal those of the ticker's row before, at most `STALE_SPAN` earlier."""
    values = (*PRICES, "volume_shares")
    keyed = rows.select("ticker", "date", *values).with_row_index("_row").sort("ticker", "date", "_row")
    before = [pl.col(name) == pl.col(name).shift(1) for name in values]
    recent = pl.col("date") - pl.col("date").shift(1) <= STALE_SPAN
    stale = pl.all_horizontal(pl.col("ticker") == pl.col("ticker").shift(1), recent, *before).fill_null(False)
    return keyed.select("_row", stale=stale).sort("_row")["stale"]


def add_flag(flags: pl.Expr, kind: str, found: pl.Expr) -> pl.Expr:
    """`flags` with `kind` appended where `found`."""
    longer = pl.when(flags == "").then(pl.lit(kind)).otherwise(flags + f"|{kind}")
    return pl.when(found).then(longer).otherwise(flags)


def defects(flagged: pl.DataFrame, prices: pl.DataFrame, start: date, end: date) -> pl.DataFrame:
    """(date, kind, ticker): one row for every defect in `start`..`end`: of raw rows, and ROW_KINDS of clean ones."""
    inside = pl.col("date").is_between(start, end)
    raw = _exploded(flagged.filter(inside))
    return pl.concat([raw, _exploded(prices.filter(inside)).filter(pl.col("kind").is_in(list(ROW_KINDS)))])


def _exploded(rows: pl.DataFrame) -> pl.DataFrame:
    named = rows.filter(pl.col("flags") != "").with_columns(kind=pl.col("flags").str.split("|"))
    return named.explode("kind", empty_as_null=True).select("date", "kind", "ticker")


def quality_counts(found: pl.DataFrame) -> pl.DataFrame:
    """(kind, ticker, n_rows) of `defects`, largest first."""
    return (
        found.group_by("kind", "ticker")
        .agg(pl.len().cast(pl.Int64).alias("n_rows"))
        .sort(["n_rows", "kind", "ticker"], descending=[True, False, False])
    )


def monthly_counts(found: pl.DataFrame) -> pl.DataFrame:
    """(kind, month, n_rows) of `defects`; month is its first day."""
    return (
        found.group_by("kind", pl.col("date").dt.truncate("1mo").alias("month"))
        .agg(pl.len().cast(pl.Int64).alias("n_rows"))
        .sort("month", "kind")
    )


def contradictory_rows(table: pl.DataFrame) -> pl.DataFrame:
    """Rows of clean prices that contradict themselves: a price outside high and low, a return that cannot be."""
    prices = ("open_inr", "close_inr")
    return table.filter(
        (pl.col("close_inr") <= 0)
        | (pl.col("high_inr") < pl.max_horizontal(prices) - TOLERANCE)
        | (pl.col("low_inr") > pl.min_horizontal(prices) + TOLERANCE)
        | (pl.col("is_filled") & (pl.col("is_tradable") | pl.col("total_return_1d").is_not_null()))
        | (pl.col("total_return_1d") <= -1)
        | pl.col("total_return_1d").is_infinite()
    )
