"""Raw rows in, one sound row per session and instrument out, with a count of everything that was wrong.

What belongs here: putting rows on the NSE calendar, carrying prices over short gaps, and the one-day total return.
What does not: reading vendors (market/sources), features and their outlier caps (features). A value here depends only
on rows of the same month and of the `LOOKBACK_SESSIONS` before it, so months can be cleaned in any order.

Every session's return is computed from that row and the last sound row before it;
it never changes once the day is over.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from quant_core.calendar import sessions
from quant_core.cleaning.checks import flag_bars, quality_counts
from quant_core.errors import DataError
from quant_core.schema import EQUITY, INDEX, CleanPrices, validate

#: A close older than this many sessions is not a previous close; the exchange's own PREV_CLOSE
#: is used where it is given.
LOOKBACK_SESSIONS = 40
LOOKBACK_SPAN = timedelta(days=75)
#: PREV_CLOSE stands in only where the open lies within this share of it: on a first listing the field may hold anything
#: (NESTLEIND 2010-01-08: five times the price).
PREV_CLOSE_TRUST = 0.25


@dataclass(frozen=True)
class CleaningConfig:
    """How rows become sound.

    Attributes:
        ffill_limit: sessions that a price is carried forward over a gap; carried rows are untradable
            and have no return.
        on_bad_bar: a bar whose high or low contradicts its open or close is widened ("repair"), left out ("drop") or
            an error ("raise").
    """

    ffill_limit: int = 5
    on_bad_bar: str = "repair"

    def __post_init__(self) -> None:
        if not 0 <= self.ffill_limit <= LOOKBACK_SESSIONS:
            raise DataError(
                f"clean_prices.ffill_limit: {self.ffill_limit} is outside 0..{LOOKBACK_SESSIONS}; "
                "choose a value inside it."
            )
        if self.on_bad_bar not in ("repair", "drop", "raise"):
            raise DataError(
                f'clean_prices.on_bad_bar: {self.on_bad_bar!r} is unknown; choose "repair", "drop" or "raise".'
            )


@dataclass(frozen=True)
class Cleaned:
    """The clean table and what was found on the way.

    Attributes:
        prices: rows as in schema.CleanPrices, sorted by (date, ticker).
        quality: columns (kind, ticker, n_rows): defects by kind and ticker, largest first.
    """

    prices: pl.DataFrame
    quality: pl.DataFrame


def clean(
    raw: pl.DataFrame,
    membership: pl.DataFrame | None,
    config: CleaningConfig,
    start: date,
    end: date,
    where: str = "clean_prices",
) -> Cleaned:
    """Clean the sessions `start`..`end` of raw rows that may begin up to `LOOKBACK_SESSIONS` earlier.

    Args:
        raw: rows as in schema.RawOhlcv; may be empty (a month that has not traded yet).
        membership: intervals (ticker, from_date, to_date exclusive or null), or None where everything is a member.
        where: what messages call the table.
    Returns:
        prices and quality counts of `start`..`end` only.
    Raises:
        DataError: a bad bar while `config.on_bad_bar` is "raise".
    """
    flagged = flag_bars(raw.filter(pl.col("date") <= end), config.on_bad_bar, where)
    sound = flagged.filter("is_sound").drop("is_sound")
    priced = _with_returns(_carry_actions(flagged, sound))
    filled = _on_calendar(priced, config.ffill_limit)
    prices = (
        _with_membership(filled, membership)
        .filter(pl.col("date").is_between(start, end))
        .select(CleanPrices.column_names())
        .sort("date", "ticker")
    )
    quality = quality_counts(flagged, prices, start, end)
    return Cleaned(
        validate(prices, CleanPrices, where, "report it: cleaning made a row that breaks its own contract."), quality
    )


def _session_table(first: date, last: date) -> pl.DataFrame:
    days = sessions(first, last)
    return pl.DataFrame({"date": days, "session": range(len(days))}, schema={"date": pl.Date, "session": pl.Int32})


def _carry_actions(flagged: pl.DataFrame, sound: pl.DataFrame) -> pl.DataFrame:
    """Move the price factors and dividends of rows that are not sound onto the next sound row of the ticker."""
    lost = flagged.filter(
        ~pl.col("is_sound") & ~pl.col("is_repeat") & ((pl.col("price_factor") != 1.0) | (pl.col("dividend_inr") != 0.0))
    )
    if lost.is_empty():
        return sound
    carried = (
        lost.sort("date")
        .join_asof(
            sound.select("ticker", "date", arrives=pl.col("date")).sort("date"),
            on="date",
            by="ticker",
            strategy="forward",
            tolerance=LOOKBACK_SPAN,
            check_sortedness=False,
        )
        .group_by("ticker", pl.col("arrives").alias("date"))
        .agg(
            pl.col("price_factor").product().alias("factor_before"),
            pl.col("dividend_inr").sum().alias("dividend_before"),
        )
    )
    return (
        sound.join(carried, on=["ticker", "date"], how="left")
        .with_columns(
            price_factor=pl.col("price_factor") * pl.col("factor_before").fill_null(1.0),
            dividend_inr=pl.col("dividend_inr") + pl.col("dividend_before").fill_null(0.0),
        )
        .drop("factor_before", "dividend_before")
    )


def _with_returns(rows: pl.DataFrame) -> pl.DataFrame:
    """One-day returns against the last sound close: dividends and splits counted at the open.

    overnight = (open + dividend) / (previous close x price factor) - 1; an instrument without opens (a total-return
    index) has its whole return in the session.
    """
    if rows.is_empty():
        return rows.with_columns(
            *(
                pl.lit(None, pl.Float64).alias(c)
                for c in ("overnight_return_1d", "intraday_return_1d", "total_return_1d")
            ),
            session=pl.lit(None, pl.Int32),
        )
    calendar = _session_table(rows["date"].min(), rows["date"].max())  # type: ignore[arg-type]
    before = pl.col("close_inr", "session").shift(1).over("ticker", order_by="date").name.suffix("_before")
    near = pl.col("session") - pl.col("session_before") <= LOOKBACK_SESSIONS
    first_price = pl.coalesce("open_inr", "close_inr")
    field = pl.col("prev_close_inr") * pl.col("price_factor")
    trusted = (first_price / field - 1).abs() <= PREV_CLOSE_TRUST
    base = pl.when(near).then(pl.col("close_inr_before") * pl.col("price_factor")).when(trusted).then(field)
    has_open = pl.col("open_inr").is_not_null()
    priced = rows.join(calendar, on="date").sort("ticker", "date").with_columns(before).with_columns(base=base)
    return priced.with_columns(
        overnight_return_1d=pl.when(has_open)
        .then((pl.col("open_inr") + pl.col("dividend_inr")) / pl.col("base") - 1)
        .when(pl.col("base").is_not_null())
        .then(0.0),
        intraday_return_1d=pl.when(has_open)
        .then(pl.col("close_inr") / pl.col("open_inr") - 1)
        .otherwise((pl.col("close_inr") + pl.col("dividend_inr")) / pl.col("base") - 1),
    ).with_columns(total_return_1d=(1 + pl.col("overnight_return_1d")) * (1 + pl.col("intraday_return_1d")) - 1)


def _on_calendar(priced: pl.DataFrame, limit: int) -> pl.DataFrame:
    """Add carried rows for up to `limit` sessions after each sound row, within what each month has shown so far."""
    if priced.is_empty():
        return priced.with_columns(is_filled=pl.lit(False), is_tradable=pl.lit(False))
    real = priced.with_columns(
        is_filled=pl.lit(False),
        is_tradable=(pl.col("instrument") == INDEX)
        | ((pl.col("volume_shares").fill_null(0) > 0) & pl.col("open_inr").is_not_null()),
    )
    calendar = _session_table(priced["date"].min(), priced["date"].max())  # type: ignore[arg-type]
    # A session after the month's last row has not been seen yet; a rule by month gives the same rows
    # whatever span was loaded.
    seen = calendar.join(
        priced.group_by(pl.col("date").dt.truncate("1mo").alias("month")).agg(pl.col("date").max().alias("edge")),
        left_on=pl.col("date").dt.truncate("1mo"),
        right_on="month",
    ).filter(pl.col("date") <= pl.col("edge"))
    following = pl.col("session").shift(-1).over("ticker", order_by="date")
    last_carried = pl.min_horizontal(following.fill_null(1 << 30) - 1, pl.col("session") + limit)
    carried = (
        real.filter(pl.col("instrument") == EQUITY)
        .with_columns(session=pl.int_ranges(pl.col("session") + 1, last_carried + 1, dtype=pl.Int32))
        .explode("session", empty_as_null=False)
        .drop("date")
        .join(seen.select("date", "session"), on="session")
        .with_columns(
            *(pl.col("close_inr").alias(name) for name in ("open_inr", "high_inr", "low_inr")),
            *(
                pl.lit(None, pl.Float64).alias(c)
                for c in ("overnight_return_1d", "intraday_return_1d", "total_return_1d")
            ),
            volume_shares=pl.lit(None, pl.Int64),
            turnover_inr=pl.lit(None, pl.Float64),
            is_filled=pl.lit(True),
            is_tradable=pl.lit(False),
            flags=pl.lit("filled"),
        )
    )
    return pl.concat([real, carried.select(real.columns)])


def _with_membership(rows: pl.DataFrame, membership: pl.DataFrame | None) -> pl.DataFrame:
    is_equity = pl.col("instrument") == EQUITY
    if membership is None:
        return rows.with_columns(is_member=is_equity)
    inside = (
        rows.select("date", "ticker")
        .join(membership.select("ticker", "from_date", "to_date"), on="ticker")
        .filter(
            (pl.col("date") >= pl.col("from_date"))
            & (pl.col("to_date").is_null() | (pl.col("date") < pl.col("to_date")))
        )
        .select("date", "ticker", inside=pl.lit(True))
        .unique()
    )
    return rows.join(inside, on=["date", "ticker"], how="left").with_columns(
        is_member=is_equity & pl.col("inside").fill_null(False)
    )
