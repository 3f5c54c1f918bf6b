"""`quant actions`: the jumps that may be unlisted corporate actions, their evidence, and a person's word on them."""

import re
from datetime import date
from typing import Any

import polars as pl

from quant_assets.lab import Lab
from quant_assets.storage.partition_files import read_tables, table_path
from quant_assets.storage.review_log import add_line
from quant_core.cleaning.clean import Cleaned, clean
from quant_core.errors import DataError

#: What a suspect or an event of the command line can be accepted as, beside a ratio.
EVENT_KINDS = ("demerger", "rights", "merger", "cash_out", "write_off", "suspension")
RATIO_KIND, REJECTED = "split_or_bonus_confirmed", "none"
ORDER = {"quarantined": 0, "applied": 1, "kept": 2}
SHARES = re.compile(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)")


def suspects(lab: Lab, first: str | None = None, last: str | None = None) -> pl.DataFrame:
    """Every suspect of the stored raw months as cleaning judges it now, reviewed lines included; unresolved ones first.

    Args:
        first, last: months, both included; None for the first and the last stored one.
    Returns:
        the columns of `Cleaned.suspects` and `is_member`.
    Raises:
        DataError: no raw month is stored.
    """
    months = [month for month in lab.partitions.months.get_partition_keys() if _raw(lab, month).exists()]
    chosen = [month for month in months if (first or "") <= month <= (last or "9999-12")]
    if not chosen:
        raise DataError(
            f"{lab.profile.name}: no raw prices are stored under {lab.root}; run `quant run --stages raw_ohlcv` first."
        )
    windows = [lab.partitions.months.time_window_for_partition_key(month) for month in (chosen[0], chosen[-1])]
    start, end = windows[0].start.date(), date.fromordinal(windows[1].end.date().toordinal() - 1)
    found = cleaned(lab, [month for month in months if month <= chosen[-1]], start, end)
    members = found.prices.filter("is_member").select("date", "ticker", is_member=pl.lit(True))
    table = found.suspects.join(members, on=["date", "ticker"], how="left")
    table = table.with_columns(pl.col("is_member").fill_null(False))
    order = pl.col("outcome").replace_strict(ORDER, return_dtype=pl.Int8)
    return table.sort(order, ~pl.col("is_member"), "date", "ticker")


def cleaned(lab: Lab, months: list[str], start: date, end: date) -> Cleaned:
    """Stored raw months as cleaning sees them."""
    raw = read_tables([_raw(lab, month) for month in months]).collect()
    where, settings = f"{lab.profile.name}/clean_prices", lab.defaults("clean_prices")
    return clean(raw, lab.membership(), settings, start, end, where, lab.liquidity(), reviewed=lab.cleaning_actions())


def _raw(lab: Lab, month: str) -> Any:
    return table_path(lab.root, lab.key("raw_ohlcv"), month)


def accept(lab: Lab, ticker: str, day: date, terms: str | None, value: float | None, into: str | None) -> str:
    """Write that the jump is an action; returns what was written in words.

    Args:
        terms: a price factor ("0.5"), shares after for shares before ("2:1"), one of EVENT_KINDS, or None for the ratio
            that the evidence suggests.
        value: of an event: its price factor (demerger, rights), shares of `into` for one share (merger), rupees a share
            (cash_out).
    Raises:
        DataError: terms that are none, or no suspect to take the ratio from.
    """
    kind, number = _terms(terms, value)
    if kind == RATIO_KIND and number is None:
        number = _suggested(lab, ticker, day)
    version = add_line(lab.root, lab.profile.name, ticker, day, kind, number, into)
    factor = "" if number is None else f" {number:g}"
    return f"{ticker} {day}: {kind}{factor}{f' into {into}' if into else ''} (line {version} of the reviewed actions)"


def reject(lab: Lab, ticker: str, day: date) -> str:
    """Write that the jump is a real move; returns what was written in words."""
    version = add_line(lab.root, lab.profile.name, ticker, day, REJECTED, None)
    return f"{ticker} {day}: a real move (line {version} of the reviewed actions)"


def _terms(terms: str | None, value: float | None) -> tuple[str, float | None]:
    if terms is None:
        return RATIO_KIND, value
    if terms in EVENT_KINDS:
        return terms, 0.0 if terms == "write_off" and value is None else value
    shares = SHARES.fullmatch(terms)
    try:
        factor = float(shares[2]) / float(shares[1]) if shares else float(terms)
    except (ValueError, ZeroDivisionError):
        raise DataError(
            f"actions: {terms!r} is no price factor (0.5), no shares after:before (2:1) and none of "
            f"{', '.join(EVENT_KINDS)}; give one of them."
        ) from None
    return RATIO_KIND, factor


def _suggested(lab: Lab, ticker: str, day: date) -> float:
    found = suspects(lab, f"{day:%Y-%m}", f"{day:%Y-%m}").filter(pl.col("ticker") == ticker)
    own = found.filter(pl.col("date") == day)
    if own.is_empty():
        others = ", ".join(str(other) for other in found["date"]) or "none in that month"
        raise DataError(
            f"actions: {ticker} has no suspect on {day} (its suspects: {others}); give the ratio or the kind."
        )
    ratio = own["ratio"][0]
    if ratio is None:
        raise DataError(f"actions: {ticker} {day} lies near no simple ratio; give the price factor or the kind.")
    return float(ratio)
