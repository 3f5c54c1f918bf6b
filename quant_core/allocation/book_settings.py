"""What a fold trades a model's scores with, chosen on what its fit said of the validation slice of its own window.

How long ranks are smoothed follows from how fast their IC decays; how wide the buffer is, and how dear trading is taken
to be, from the books that would have come of it on the slice, net of the account's costs. The slice ends before the
fold begins, and it chose the model's own settings as well: it flatters all candidates alike. Every candidate is a try.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from quant_core import dense
from quant_core.allocation.config import AllocationConfig
from quant_core.allocation.strategy import decision_inputs
from quant_core.allocation.targets import decide
from quant_core.dense import Floats
from quant_core.measures.forward_returns import growth_of
from quant_core.measures.information_coefficient import rank_ic
from quant_core.measures.performance import sharpe
from quant_core.schema import CASH, BookSettings, Forecasts, dtypes_of, validate
from quant_core.trading.account_config import AccountConfig
from quant_core.trading.ledger import run_ledgers
from quant_core.trading.panel import market_panel

#: Sessions after a score at which its IC is looked at, and the half-lives that are tried on them.
LAGS = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55)
HALF_LIVES = (5.0, 10.0, 21.0, 42.0, 63.0)
#: Which book judges a setting, and the values that are tried beside the default.
JUDGED: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "sell_multiple": ("buffered", (1.0, 1.5, 2.0, 3.0)),
    "quadratic_cost": ("partial_adjustment", (0.05, 0.2, 0.8)),
}
#: The settings that each of the books takes from a fold's choice.
CHOSEN_BY: Mapping[str, tuple[str, ...]] = {
    "buffered": ("half_life_sessions", "sell_multiple"),
    "volatility_targeted": ("half_life_sessions", "sell_multiple"),
    "partial_adjustment": ("half_life_sessions", "quadratic_cost"),
    "cost_aware_mean_variance": ("half_life_sessions",),
}
#: A slice of fewer sessions chooses nothing.
FEWEST_SESSIONS = 60
Said = tuple[pl.DataFrame, int]


def fit_book_settings(
    fold: str, said: Mapping[str, Said], prices: pl.DataFrame, config: AllocationConfig, account: AccountConfig,
    sectors: pl.DataFrame | None = None,
) -> pl.DataFrame:  # fmt: skip
    """Candidates and choice of every model of a fold.

    Args:
        said: model -> rows (date, ticker, score) of its validation slice, and the horizon in sessions.
        prices: CleanPrices before the fold, from a full history before the slices on.
        config: limits, timing and defaults of the books.
        account: costs and rules that the candidates are tried with.
        sectors: ticker, sector, for settings that bound them.
    Returns:
        BookSettings; none for a model whose slice is shorter than FEWEST_SESSIONS: the defaults hold.
    """
    rows = [pl.DataFrame(schema=dtypes_of(BookSettings))]
    for model, (scores, horizon) in sorted(said.items()):
        if scores.is_empty() or scores["date"].n_unique() < FEWEST_SESSIONS:
            continue
        last = scores["date"].max()
        known = prices.filter(pl.col("date") <= last)
        tried = _tried(model, scores, horizon, known, config, account, sectors)
        table = pl.DataFrame(tried, schema=["setting", "value", "merit", "is_chosen"], orient="row")
        named = table.with_columns(fold=pl.lit(fold), model=pl.lit(model), fit_end=pl.lit(last, pl.Date))
        rows.append(named.select(pl.col(name).cast(kind) for name, kind in dtypes_of(BookSettings).items()))
    table = pl.concat(rows).sort("fold", "model", "setting", "value")
    return validate(table, BookSettings, "book_settings", "report this as a bug.")


def n_untaken(book: str, config: AllocationConfig) -> int:
    """How many settings of a book of this kind were tried on a validation slice and not taken, a fold.

    Args:
        book: name of the registered strategy; 0 for one that chooses nothing there.
    """
    candidates = {"half_life_sessions": HALF_LIVES, **{name: values for name, (_, values) in JUDGED.items()}}
    return sum(len(_candidates(candidates[name], getattr(config, name))) - 1 for name in CHOSEN_BY.get(book, ()))


def ic_by_lag(scores: pl.DataFrame, prices: pl.DataFrame, horizon: int) -> Floats:
    """(LAGS,) mean rank IC of scores and the returns over `horizon` sessions that begin so many sessions later."""
    growth = growth_of(prices)
    inside = pl.col("ticker").is_in(growth.tickers.implode()) & pl.col("date").is_in(growth.days.implode())
    rows = scores.filter(inside, pl.col("score").is_finite())
    score = dense.cells(rows, growth.days, growth.tickers, "validation scores").floats(rows["score"])
    forward = growth.forward_return(horizon)
    found = np.full(len(LAGS), np.nan)
    for k, lag in enumerate(LAGS):
        ics = rank_ic(score[: len(score) - lag], forward[lag:])
        if np.isfinite(ics).any():
            found[k] = np.nanmean(ics)
    return found


def half_life_merits(ics: Floats, half_lives: Floats) -> Floats:
    """(H,) share of the sum of squares of ICs by lag k that A 2^(-k / h) explains, A by least squares; 0 where A <= 0.

    Args:
        ics: (LAGS,) NaN for a lag that is not known.
    """
    known = np.isfinite(ics)
    lags, values = np.array(LAGS, dtype=np.float64)[known], ics[known]
    shape = np.exp2(-lags / half_lives[:, None])  # (H, K)
    along = shape @ values
    total = float(values @ values)
    explained = along**2 / (shape**2).sum(axis=1)
    return np.where(along > 0.0, explained / total if total > 0.0 else 0.0, 0.0)


def _tried(
    model: str, scores: pl.DataFrame, horizon: int, prices: pl.DataFrame, config: AllocationConfig,
    account: AccountConfig, sectors: pl.DataFrame | None,
) -> list[tuple[str, float, float | None, bool]]:  # fmt: skip
    """(setting, value, merit, is_chosen) of every candidate; the half-life first, with which the others are tried."""
    lives = _candidates(HALF_LIVES, config.half_life_sessions)
    merits = half_life_merits(ic_by_lag(scores, prices, horizon), np.array(lives))
    chosen = _best(lives, merits, config.half_life_sessions, least=0.0)
    found: list[tuple[str, float, float | None, bool]] = [
        ("half_life_sessions", value, float(merit), value == chosen) for value, merit in zip(lives, merits, strict=True)
    ]
    forecasts = _as_forecasts(model, scores, horizon)
    base = replace(config, half_life_sessions=chosen, book_models=(model,))
    for setting, (book, values) in JUDGED.items():
        tried = _candidates(values, getattr(config, setting))
        changes: list[dict[str, Any]] = [{setting: value} for value in tried]
        sharpes = _net_sharpes(
            book, [replace(base, **change) for change in changes], forecasts, prices, account, sectors
        )
        best = _best(tried, sharpes, getattr(config, setting))
        found += [
            (setting, value, float(merit) if np.isfinite(merit) else None, value == best)
            for value, merit in zip(tried, sharpes, strict=True)
        ]
    return found


def _candidates(values: tuple[float, ...], default: float) -> list[float]:
    return sorted({*values, default})


def _best(values: list[float], merits: Floats, default: float, least: float = -np.inf) -> float:
    """The value of most merit, which must exceed `least`; the default where none does, or where it is as good."""
    known = np.where(np.isfinite(merits), merits, -np.inf)
    most = float(known.max())
    return default if most <= least or known[values.index(default)] == most else values[int(known.argmax())]


def _as_forecasts(model: str, scores: pl.DataFrame, horizon: int) -> pl.DataFrame:
    first = scores["date"].min()
    assert isinstance(first, date)
    named = scores.select("date", "ticker", "score").with_columns(
        model=pl.lit(model), fold=pl.lit("validation"), fit_end=pl.lit(date.fromordinal(first.toordinal() - 1)),
        horizon_sessions=pl.lit(horizon, pl.Int32),
    )  # fmt: skip
    return pl.concat([Forecasts.create_empty(), named], how="diagonal").sort("date", "ticker")


def _net_sharpes(
    book: str, configs: list[AllocationConfig], forecasts: pl.DataFrame, prices: pl.DataFrame, account: AccountConfig,
    sectors: pl.DataFrame | None,
) -> Floats:  # fmt: skip
    """Net Sharpe ratio a year of a book under each of the settings, over the dates of the forecasts; NaN: no book."""
    first, last = forecasts["date"].min(), forecasts["date"].max()
    assert isinstance(first, date) and isinstance(last, date)  # noqa: PT018 - for the type checker
    inputs = decision_inputs(prices, forecasts, configs[0], first, last, sectors=sectors)
    if inputs.decision_dates.is_empty():
        return np.full(len(configs), np.nan)
    books = [decide(book, replace(inputs, config=config)).filter(pl.col("ticker") != CASH) for config in configs]
    priced = prices.filter(pl.col("date") >= inputs.decision_dates[0])["ticker"].unique()
    held = [table.filter(pl.col("ticker").is_in(priced.implode())) for table in books]
    names = pl.concat(held)["ticker"].unique().sort()
    if names.is_empty():
        return np.full(len(configs), np.nan)
    panel = market_panel(prices, names, inputs.decision_dates[0], account)
    decisions = [panel.decisions(table) for table in held]
    costs = account.cost_schedule(panel.sessions)
    ledgers = run_ledgers(panel.market, decisions, costs, account.rules, account.initial_capital_inr, threads=1)
    rate = panel.market.cash_return_1d
    return np.array([sharpe(ledger.simple_return[1:], rate[1:]) for ledger in ledgers])
