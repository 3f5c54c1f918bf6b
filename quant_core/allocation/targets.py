"""The one function that turns prices and forecasts into the target weights of every registered strategy.

What every decision gets beside the strategy's own rows is added here: a row for cash, and null weights for members that
cannot be traded that day, which keep what is held. A strategy that fails on a date keeps its book there, and the others
go on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from quant_core.allocation.config import AllocationConfig
from quant_core.allocation.members import lacking_rows
from quant_core.allocation.strategy import FAILURES, STRATEGIES, DecisionInputs, decision_inputs
from quant_core.errors import DataError, LookaheadError
from quant_core.schema import CASH, FAILED, BookSettings, Forecasts, RegimeBooks, Regimes, TargetWeights, validate

TARGET_COLUMNS: Mapping[str, type[pl.DataType]] = {
    "date": pl.Date,
    "strategy": pl.String,
    "ticker": pl.String,
    "weight": pl.Float64,
}
KEYS = ("date", "strategy", "ticker")
FAILURE_COLUMNS = {"date": pl.Date, "strategy": pl.String, "reason": pl.String}
#: Weights of one decision may exceed 1, and one of them the largest position, by rounding only.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Decided:
    """What was decided, and what could not be.

    Args:
        weights: TargetWeights.
        failures: rows (date, strategy, reason): where a strategy failed and keeps its book.
        lacking: rows (date, members, priced, missing): sessions that had too few priced members to decide on.
    """

    weights: pl.DataFrame
    failures: pl.DataFrame
    lacking: pl.DataFrame


def target_weights(
    prices: pl.DataFrame,
    forecasts: pl.DataFrame,
    config: AllocationConfig,
    start: date | None = None,
    end: date | None = None,
    regimes: pl.DataFrame | None = None,
    regime_books: pl.DataFrame | None = None,
    book_settings: pl.DataFrame | None = None,
    sectors: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """What every registered strategy wants to hold after each decision from `start` to `end`: `decide_all` without why.

    Returns:
        TargetWeights sorted by (date, strategy, ticker). A decision is the same whatever else is decided with it and
        however much older history is loaded.
    """
    return decide_all(prices, forecasts, config, start, end, regimes, regime_books, book_settings, sectors).weights


def decide_all(
    prices: pl.DataFrame,
    forecasts: pl.DataFrame,
    config: AllocationConfig,
    start: date | None = None,
    end: date | None = None,
    regimes: pl.DataFrame | None = None,
    regime_books: pl.DataFrame | None = None,
    book_settings: pl.DataFrame | None = None,
    sectors: pl.DataFrame | None = None,
) -> Decided:
    """What every registered strategy wants to hold, where one failed, and which sessions could not be decided on.

    Args:
        prices: CleanPrices, equities and index rows, from about config.history_sessions sessions before `path_start`
            of the first decision on (config.history_sessions before the decision itself are enough for strategies that
            do not depend on the book they hold); where less is there, strategies know less.
        forecasts: Forecasts from `path_start` of the first decision on; may be empty.
        config: limits and timing.
        start, end: first and last day that may be decided on; by default those of `prices`.
        regimes: Regimes of any methods, from the first session of the fold that contains the month before `start` on;
            without them a strategy that needs them decides nothing.
        regime_books: RegimeBooks of the same folds.
        book_settings: BookSettings of the folds of the forecasts; without them config's own settings hold.
        sectors: ticker, sector, for settings that bound them.
    Raises:
        LookaheadError: a forecast, or a regime, dated on or before the end of its own fit; a book, or a setting
            of one, chosen on sessions of its own fold.
    """
    if forecasts.is_empty():
        forecasts = Forecasts.create_empty()
    _check_forecasts(forecasts)
    regimes = Regimes.create_empty() if regimes is None else regimes
    regime_books = RegimeBooks.create_empty() if regime_books is None else regime_books
    _check_regimes(regimes, regime_books)
    book_settings = BookSettings.create_empty() if book_settings is None else book_settings
    _check_book_settings(forecasts, book_settings)
    if prices.is_empty():
        return Decided(_empty(), _no_failures(), lacking_rows({}))
    first, last = prices.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).row(0)
    inputs = decision_inputs(
        prices, forecasts, config, start or first, end or last, regimes, regime_books, book_settings, sectors
    )
    if inputs.decision_dates.is_empty():
        return Decided(_empty(), _no_failures(), inputs.lacking)
    chosen = sorted(STRATEGIES if config.strategies is None else config.strategies)
    books, failures = zip(*(decide_or_keep(name, inputs) for name in chosen), strict=True)
    table = pl.concat(books).sort(KEYS)
    table = validate(table, TargetWeights, "target_weights", "report this as a bug: each strategy's rows were checked.")
    return Decided(table, pl.concat(failures).sort("date", "strategy"), inputs.lacking)


def decide_or_keep(name: str, inputs: DecisionInputs) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One strategy's books, FAILED rows where it has none to give, and the failures (date, strategy, reason).

    A function that raises is asked again for half of the dates, down to the one that it raises for: decisions do not
    depend on each other.
    """
    try:
        rows = _named(name, STRATEGIES[name](inputs))
    except LookaheadError as error:
        raise LookaheadError(f"strategy {name}: {error}") from error
    except FAILURES as error:
        if len(inputs.decision_dates) == 1:
            return _failed(name, {inputs.decision_dates[0]: str(error) or type(error).__name__})
        half = len(inputs.decision_dates) // 2
        parts = [
            decide_or_keep(name, inputs.on(dates))
            for dates in (inputs.decision_dates[:half], inputs.decision_dates[half:])
        ]
        return pl.concat([part[0] for part in parts]), pl.concat([part[1] for part in parts])
    wrong = impossible(rows, inputs)
    sound = rows.filter(~pl.col("date").is_in(list(wrong)))
    failed_rows, failures = _failed(name, wrong)
    return pl.concat([completed(sound, inputs), failed_rows]), failures


def decide(name: str, inputs: DecisionInputs) -> pl.DataFrame:
    """One strategy's books: columns date, strategy, ticker, weight, with rows for cash and for what is kept.

    Raises:
        DataError: with the strategy's name: what it raised itself, or why its weights cannot be held.
    """
    book, failures = decide_or_keep(name, inputs)
    if failures.height:
        first = failures.sort("date").row(0, named=True)
        raise DataError(f"strategy {name}: {first['reason']}")
    return book


def impossible(rows: pl.DataFrame, inputs: DecisionInputs) -> dict[date, str]:
    """Decision dates whose rows no account could hold, and why; all of them for a row that belongs to none."""
    stray = rows.filter(~pl.col("date").is_in(inputs.decision_dates.implode()).fill_null(False)).head(1)
    if len(stray):
        why = f"decides on {stray['date'][0]}, which is none of inputs.decision_dates"
        return dict.fromkeys(inputs.decision_dates.to_list(), why)
    weight, held = pl.col("weight"), rows.filter(pl.col("ticker").ne_missing(CASH))
    is_index = pl.col("ticker").is_in(inputs.index_tickers.implode())
    known = pl.col("ticker").is_in(inputs.tickers.implode()).fill_null(False)
    most = inputs.config.max_position + TOLERANCE
    bad = (
        (~known, "holds {}, which has no prices"),
        (pl.struct(KEYS).is_duplicated(), "names {} twice"),
        (~weight.is_between(0.0, 1.0 + TOLERANCE).fill_null(True), "gives {} a weight of {}; wanted 0 to 1"),
        (~is_index & (weight > most), "gives {} a weight of {}, above max_position"),
    )
    found: dict[date, str] = {}
    for rule, text in bad:
        for row in held.filter(rule).sort(KEYS, nulls_last=True).iter_rows(named=True):
            found.setdefault(row["date"], text.format(row["ticker"], row["weight"]))
    totals = held.sort(KEYS).group_by("date", "strategy", maintain_order=True).agg(weight.sum())
    for day, _, total in totals.filter(~(weight <= 1.0 + TOLERANCE)).iter_rows():
        found.setdefault(day, f"weights of {day} sum to {total:.6g}; wanted at most 1")
    return found


def completed(rows: pl.DataFrame, inputs: DecisionInputs) -> pl.DataFrame:
    """The decisions of a strategy with null rows for untradable members and a row for cash; zero weights are dropped.

    A decision that names indices alone, be it with weight 0, keeps no stocks.
    """
    named = rows.filter(pl.col("ticker") != CASH, pl.col("weight").ne_missing(0.0))
    days = rows.select("date", "strategy").unique()
    only_index = pl.col("ticker").is_in(inputs.index_tickers.implode()).all()
    names = rows.filter(pl.col("ticker") != CASH)
    other = names.group_by("date", "strategy").agg(only_index.alias("only_index")).filter("only_index")
    kept = (
        days.join(other, on=["date", "strategy"], how="anti")
        .join(inputs.untradable, on="date")
        .join(rows, on=KEYS, how="anti")
        .select("date", "strategy", "ticker", pl.lit(None, pl.Float64).alias("weight"))
    )
    invested = named.sort(KEYS).group_by("date", "strategy", maintain_order=True).agg(pl.col("weight").sum())
    rest = 1.0 - pl.col("weight").fill_null(0.0)
    cash = days.join(invested, on=["date", "strategy"], how="left").select(
        "date", "strategy", pl.lit(CASH).alias("ticker"), rest.clip(0.0).alias("weight")
    )
    return pl.concat([named.with_columns(pl.col("weight").clip(upper_bound=1.0)), kept, cash]).sort(KEYS)


def _named(name: str, book: pl.DataFrame) -> pl.DataFrame:
    """A strategy's answer in the columns of TargetWeights."""
    named = book if "strategy" in book.columns else book.with_columns(strategy=pl.lit(name))
    missing = sorted(set(TARGET_COLUMNS) - set(named.columns))
    if missing:
        raise DataError(f"its table lacks the columns {missing}; found {book.columns}")
    return named.select(pl.col(column).cast(kind) for column, kind in TARGET_COLUMNS.items())


def _failed(name: str, reasons: Mapping[date, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    days = sorted(reasons)
    rows = pl.DataFrame(
        {"date": days, "strategy": [name] * len(days), "ticker": [FAILED] * len(days), "weight": [None] * len(days)},
        schema=TARGET_COLUMNS,
    )
    why = pl.DataFrame(
        {"date": days, "strategy": [name] * len(days), "reason": [reasons[day] for day in days]}, schema=FAILURE_COLUMNS
    )
    return rows, why


def _check_forecasts(forecasts: pl.DataFrame) -> None:
    row = _not_after_its_fit(forecasts)
    if row is not None:
        raise LookaheadError(
            f"forecasts: model {row['model']} has a score for {row['ticker']} on {row['date']}, but was fitted up to "
            f"{row['fit_end']}; use the fold whose fit ended before that date."
        )


def _check_regimes(regimes: pl.DataFrame, regime_books: pl.DataFrame) -> None:
    row = _not_after_its_fit(regimes)
    if row is not None:
        raise LookaheadError(
            f"regimes: method {row['method']} has a row on {row['date']}, but was fitted up to {row['fit_end']}; use "
            "the fold whose fit ended before that date."
        )
    row = _chosen_within_its_fold(regime_books, regimes)
    if row is not None:
        raise LookaheadError(
            f"regime_books: fold {row['fold']} chose its books on sessions up to {row['fit_end']}, but has a regime on "
            f"{row['date']}; choose them on sessions before the fold."
        )


def _check_book_settings(forecasts: pl.DataFrame, book_settings: pl.DataFrame) -> None:
    row = _chosen_within_its_fold(book_settings, forecasts)
    if row is not None:
        raise LookaheadError(
            f"book_settings: fold {row['fold']} chose its {row['setting']} on sessions up to {row['fit_end']}, but has "
            f"a forecast on {row['date']}; choose it on sessions before the fold."
        )


def _not_after_its_fit(said: pl.DataFrame) -> dict[str, Any] | None:
    """The first row of what models say that is dated within their fit."""
    return next(said.filter(pl.col("date") <= pl.col("fit_end")).head(1).iter_rows(named=True), None)


def _chosen_within_its_fold(chosen: pl.DataFrame, said: pl.DataFrame) -> dict[str, Any] | None:
    """The first row of what was chosen for a fold on sessions of it, with the first `date` of what is said there."""
    begins = said.group_by("fold").agg(pl.col("date").min())
    late = chosen.join(begins, on="fold").filter(pl.col("date") <= pl.col("fit_end")).sort("fold")
    return next(late.head(1).iter_rows(named=True), None)


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema=TARGET_COLUMNS)


def _no_failures() -> pl.DataFrame:
    return pl.DataFrame(schema=FAILURE_COLUMNS)
