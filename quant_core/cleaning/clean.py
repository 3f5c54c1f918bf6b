"""Raw rows in, one sound row per session and instrument out, with a count of everything that was wrong.

What belongs here: putting rows on the NSE calendar, carrying prices over short gaps, and the one-day total return.
What does not: reading vendors (market/sources), features and their outlier caps (features). A value here depends only
on rows of the same month and of the `MOST_CARRIED` before it, so months can be cleaned in any order.

Every session's return is computed from that row and the last sound row before it;
it never changes once the day is over.
"""

from dataclasses import dataclass
from datetime import date
from functools import partial

import polars as pl

from quant_core.calendar import FIRST_DAY
from quant_core.cleaning.carry import on_calendar, seen_sessions
from quant_core.cleaning.most_traded import LiquidityRule, liquid_months
from quant_core.cleaning.older_rows import with_older
from quant_core.cleaning.quality import defects, flag_bars, monthly_counts, quality_counts
from quant_core.cleaning.returns import carry_actions, numbered_sessions, with_previous, with_returns
from quant_core.cleaning.reviewed import apply_lines, lines_of
from quant_core.cleaning.suspects import find_suspects, flag_suspects
from quant_core.cleaning.units import flag_units
from quant_core.errors import DataError
from quant_core.schema import EQUITY, SUSPENSION, TERMINAL_KINDS, CleanPrices, RawOhlcv, validate

#: Longest that a price may be carried: about two months.
MOST_CARRIED = 40
#: What `suspected_actions` can be.
JUDGE, REVIEW, OFF = "judge", "quarantine", "off"


@dataclass(frozen=True)
class CleaningConfig:
    """How rows become sound.

    Attributes:
        ffill_limit: sessions that a price is carried forward over a gap; carried rows are untradable
            and have no return.
        on_bad_bar: a bar whose high or low contradicts its open or close is widened ("repair"), left out ("drop") or
            an error ("raise").
        suspected_actions: a jump that no listed action explains is applied, quarantined or kept by its evidence
            ("judge"); nothing is applied without a reviewed line, what would be is quarantined ("quarantine"); or
            jumps are not looked for and stay in the returns ("off").
    """

    ffill_limit: int = 5
    on_bad_bar: str = "repair"
    suspected_actions: str = JUDGE

    def __post_init__(self) -> None:
        if not 0 <= self.ffill_limit <= MOST_CARRIED:
            raise DataError(
                f"clean_prices.ffill_limit: {self.ffill_limit} is outside 0..{MOST_CARRIED}; choose a value inside it."
            )
        if self.on_bad_bar not in ("repair", "drop", "raise"):
            raise DataError(
                f'clean_prices.on_bad_bar: {self.on_bad_bar!r} is unknown; choose "repair", "drop" or "raise".'
            )
        if self.suspected_actions not in (JUDGE, REVIEW, OFF):
            raise DataError(
                f"clean_prices.suspected_actions: {self.suspected_actions!r} is unknown; "
                f'choose "{JUDGE}", "{REVIEW}" or "{OFF}".'
            )


@dataclass(frozen=True)
class Cleaned:
    """The clean table and what was found on the way.

    Attributes:
        prices: rows as in schema.CleanPrices, sorted by (date, ticker).
        quality: columns (kind, ticker, n_rows): defects by kind and ticker, largest first; kinds as in quality.KINDS.
        by_month: columns (kind, month, n_rows), month being its first day.
        suspects: jumps that may be unlisted actions, with their outcome and its evidence: see suspects.find_suspects.
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
    reviewed: pl.DataFrame | None = None,
    older: pl.LazyFrame | None = None,
) -> Cleaned:
    """Clean the sessions `start`..`end` of raw rows that begin three months before `start`'s month.

    Args:
        raw: rows as in schema.RawOhlcv; may be empty (a month that has not traded yet).
        membership: intervals (ticker, from_date, to_date exclusive or null), or None where everything is a member.
        where: what messages call the table.
        liquidity: members are moreover the most traded stocks of the months before; needs those months in `raw`.
        reviewed: lines of corporate actions that a person reviewed, and terminal events of the source; see reviewed.py.
        older: raw rows from before `raw` begins; read only for tickers that come back after a long absence. None where
            nothing is older.
    Returns:
        prices, quality counts and suspects of `start`..`end` only; the same whatever span `raw` and `older` split.
    Raises:
        DataError: a bad bar while `config.on_bad_bar` is "raise"; raw rows of other columns, types or without a key;
            a terminal event that contradicts the rows.
    """
    raw = validate(_with_series(raw), RawOhlcv, f"{where}: raw rows", "fetch the month again or fix the source row.")
    lines = lines_of(reviewed).filter(pl.col("ex_date") <= end)
    judge = partial(_judged, on_bad_bar=config.on_bad_bar, where=where)
    raw = raw.filter(pl.col("date") <= end)
    flagged = with_older(raw, older, judge, start, _without_trading(lines))
    sound = _with_evidence(flagged, lines)
    suspects = find_suspects(sound, config.suspected_actions == JUDGE) if config.suspected_actions != OFF else None
    sound = with_returns(flag_suspects(sound, suspects))
    rows = on_calendar(sound, config.ffill_limit, seen_sessions(flagged), lines, start, end, where)
    prices = _with_membership(rows, membership)
    if liquidity is not None:
        prices = _with_liquidity(prices, flagged, liquidity)
    prices = prices.select(CleanPrices.column_names()).sort("date", "ticker")
    found = defects(flagged, prices, start, end)
    remedy = "report it: cleaning made a row that breaks its own contract."
    shown = find_suspects(sound.clear()) if suspects is None else suspects.filter(pl.col("date").is_between(start, end))
    return Cleaned(validate(prices, CleanPrices, where, remedy), quality_counts(found), monthly_counts(found), shown)


def _with_series(raw: pl.DataFrame) -> pl.DataFrame:
    """`raw` with the column `series`, null where the rows were stored before there was one."""
    return raw if "series" in raw.columns else raw.with_columns(series=pl.lit(None, pl.String))


def _judged(raw: pl.DataFrame, on_bad_bar: str, where: str) -> pl.DataFrame:
    """Raw rows with flags and `is_sound`."""
    return flag_units(flag_bars(_with_series(raw), on_bad_bar, where))


def _without_trading(lines: pl.DataFrame) -> list[str]:
    """Tickers that get rows though they do not trade."""
    return lines.filter(pl.col("kind").is_in([*TERMINAL_KINDS, SUSPENSION]))["ticker"].unique().sort().to_list()


def _with_evidence(flagged: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """The sound rows with the row before each, and the actions of rows that are not sound and of the reviewed lines."""
    days = flagged["date"]
    span = (days.min(), days.max()) if len(days) else (FIRST_DAY, FIRST_DAY)
    numbers = numbered_sessions(*span)  # type: ignore[arg-type]
    sound = carry_actions(flagged, flagged.filter("is_sound").drop("is_sound"))
    return apply_lines(with_previous(sound, numbers), lines)


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
