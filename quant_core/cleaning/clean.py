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
from quant_core.cleaning.checks import defects, flag_bars, monthly_counts, quality_counts
from quant_core.cleaning.liquidity import LiquidityRule, liquid_months
from quant_core.cleaning.suspects import find_suspects, flag_suspects
from quant_core.cleaning.units import flag_units
from quant_core.errors import DataError
from quant_core.schema import EQUITY, INDEX, CleanPrices, RawOhlcv, validate

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
        suspected_actions: jumps that look like a split or bonus that no action explains are listed and flagged
            ("report"), also taken as the price factor ("apply"), or not looked for ("off").
    """

    ffill_limit: int = 5
    on_bad_bar: str = "repair"
    suspected_actions: str = "report"

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
        if self.suspected_actions not in ("report", "apply", "off"):
            raise DataError(
                f"clean_prices.suspected_actions: {self.suspected_actions!r} is unknown; "
                'choose "report", "apply" or "off".'
            )


@dataclass(frozen=True)
class Cleaned:
    """The clean table and what was found on the way.

    Attributes:
        prices: rows as in schema.CleanPrices, sorted by (date, ticker).
        quality: columns (kind, ticker, n_rows): defects by kind and ticker, largest first; kinds as in checks.KINDS.
        by_month: columns (kind, month, n_rows), month being its first day.
        suspects: columns (date, ticker, ratio, open_ratio, close_ratio, volume_ratio): see suspects.find_suspects.
    """

    prices: pl.DataFrame
    quality: pl.DataFrame
    by_month: pl.DataFrame
    suspects: pl.DataFrame


def clean(
    raw: pl.DataFrame,
    membership: pl.DataFrame | None,
    config: CleaningConfig,
    start: date,
    end: date,
    where: str = "clean_prices",
    liquidity: LiquidityRule | None = None,
) -> Cleaned:
    """Clean the sessions `start`..`end` of raw rows that may begin up to three months before `start`'s month.

    Args:
        raw: rows as in schema.RawOhlcv; may be empty (a month that has not traded yet).
        membership: intervals (ticker, from_date, to_date exclusive or null), or None where everything is a member.
        where: what messages call the table.
        liquidity: members are moreover the most traded stocks of the months before; needs those months in `raw`.
    Returns:
        prices, quality counts and suspects of `start`..`end` only.
    Raises:
        DataError: a bad bar while `config.on_bad_bar` is "raise"; raw rows of other columns, types or without a key.
    """
    raw = validate(raw, RawOhlcv, f"{where}: raw rows", "fetch the month again or fix the source row.")
    flagged = flag_units(flag_bars(raw.filter(pl.col("date") <= end), config.on_bad_bar, where))
    seen = _seen_sessions(flagged)
    sound = _with_previous(_carry_actions(flagged, flagged.filter("is_sound").drop("is_sound")), seen)
    suspects = find_suspects(sound if config.suspected_actions != "off" else sound.clear())
    sound = flag_suspects(sound, suspects, config.suspected_actions == "apply")
    filled = _on_calendar(_with_returns(sound), config.ffill_limit, seen)
    inside = pl.col("date").is_between(start, end)
    prices = _with_membership(filled.filter(inside), membership)
    if liquidity is not None:
        prices = _with_liquidity(prices, flagged, liquidity)
    prices = prices.select(CleanPrices.column_names()).sort("date", "ticker")
    suspects = suspects.filter(inside)
    suspected = suspects.select("date", "ticker", flags=pl.lit("suspected_action"))
    found = defects(pl.concat([flagged.select("date", "ticker", "flags"), suspected]), prices, start, end)
    remedy = "report it: cleaning made a row that breaks its own contract."
    return Cleaned(validate(prices, CleanPrices, where, remedy), quality_counts(found), monthly_counts(found), suspects)


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


def _with_previous(rows: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """Rows by ticker and date with session and close_inr, session and basis of the row before, if it is near enough."""
    if rows.is_empty():
        nothing = pl.lit(None, pl.Int32)
        return rows.with_columns(
            session=nothing,
            session_before=nothing,
            close_inr_before=pl.lit(None, pl.Float64),
            basis_before=pl.lit(None, pl.String),
        )
    rows = rows.join(seen, on="date").sort("ticker", "date")
    same = pl.col("ticker") == pl.col("ticker").shift(1)
    near = same & (pl.col("session") - pl.col("session").shift(1) <= LOOKBACK_SESSIONS)
    return rows.with_columns(
        pl.when(near).then(pl.col(name).shift(1)).alias(f"{name}_before") for name in ("close_inr", "session", "basis")
    )


def _with_returns(rows: pl.DataFrame) -> pl.DataFrame:
    """One-day returns against the last sound close: dividends and splits counted at the open.

    overnight = (open + dividend) / (previous close x price factor) - 1; an instrument without opens (a total-return
    index) has its whole return in the session.
    """
    first_price = pl.coalesce("open_inr", "close_inr")
    field = pl.col("prev_close_inr") * pl.col("price_factor")
    trusted = (first_price / field - 1).abs() <= PREV_CLOSE_TRUST
    last = pl.col("close_inr_before") * pl.col("price_factor")
    base = pl.coalesce(last, pl.when(trusted).then(field))
    has_open = pl.col("open_inr").is_not_null()
    return (
        rows.with_columns(base=base)
        .with_columns(
            overnight_return_1d=pl.when(has_open)
            .then((pl.col("open_inr") + pl.col("dividend_inr")) / pl.col("base") - 1)
            .when(pl.col("base").is_not_null())
            .then(0.0),
            intraday_return_1d=pl.when(has_open)
            .then(pl.col("close_inr") / pl.col("open_inr") - 1)
            .otherwise((pl.col("close_inr") + pl.col("dividend_inr")) / pl.col("base") - 1),
            dividend_return_1d=pl.when(has_open)
            .then(pl.col("dividend_inr") / pl.col("base"))
            .when(pl.col("base").is_not_null())
            .then(0.0),
        )
        .with_columns(total_return_1d=(1 + pl.col("overnight_return_1d")) * (1 + pl.col("intraday_return_1d")) - 1)
    )


def _seen_sessions(flagged: pl.DataFrame) -> pl.DataFrame:
    """(date, session) of the sessions up to the last row of each month.

    A session after it has not been seen yet; a rule by month gives the same rows whatever span was loaded.
    """
    days = flagged.filter(~pl.col("flags").str.contains("off_calendar")).select("date").unique()
    if days.is_empty():
        return pl.DataFrame(schema={"date": pl.Date, "session": pl.Int32})
    calendar = _session_table(days["date"].min(), days["date"].max())  # type: ignore[arg-type]
    month = pl.col("date").dt.truncate("1mo")
    edges = days.group_by(month.alias("month")).agg(edge=pl.col("date").max())
    seen = calendar.with_columns(month=month).join(edges, on="month").filter(pl.col("date") <= pl.col("edge"))
    return seen.select("date", "session")


def _on_calendar(priced: pl.DataFrame, limit: int, seen: pl.DataFrame) -> pl.DataFrame:
    """Add carried rows for up to `limit` of the `seen` sessions after each sound row."""
    if priced.is_empty():
        return priced.with_columns(is_filled=pl.lit(False), is_tradable=pl.lit(False))
    real = priced.with_columns(
        is_filled=pl.lit(False),
        is_tradable=(pl.col("instrument") == INDEX)
        | ((pl.col("volume_shares").fill_null(0) > 0) & pl.col("open_inr").is_not_null()),
    )
    following = pl.col("session").shift(-1).over("ticker", order_by="date")
    last_carried = pl.min_horizontal(following.fill_null(1 << 30) - 1, pl.col("session") + limit)
    carried = (
        real.filter(pl.col("instrument") == EQUITY)
        .with_columns(session=pl.int_ranges(pl.col("session") + 1, last_carried + 1, dtype=pl.Int32))
        .explode("session", empty_as_null=False)
        .drop("date")
        .join(seen, on="session")
        .with_columns(
            *(pl.col("close_inr").alias(name) for name in ("open_inr", "high_inr", "low_inr")),
            *(
                pl.lit(None, pl.Float64).alias(c)
                for c in ("overnight_return_1d", "intraday_return_1d", "total_return_1d", "dividend_return_1d")
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


def _with_liquidity(rows: pl.DataFrame, flagged: pl.DataFrame, rule: LiquidityRule) -> pl.DataFrame:
    """`rows` with is_member only where the rule chose the ticker for the row's month.

    The rule reads raw rows that need no row before them to be judged, so it does not depend on where `flagged` begins.
    """
    month = pl.col("date").dt.truncate("1mo")
    months: list[date] = rows.select(month.unique()).to_series().to_list()
    traded = flagged.filter(~pl.col("is_repeat"), ~pl.col("flags").str.contains("off_calendar"))
    chosen = liquid_months(traded, rule, months).with_columns(is_liquid=pl.lit(True))
    joined = rows.with_columns(month=month).join(chosen, on=["month", "ticker"], how="left")
    return joined.with_columns(is_member=pl.col("is_member") & pl.col("is_liquid").fill_null(False))
