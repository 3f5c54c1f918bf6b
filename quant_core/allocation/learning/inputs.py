"""What an agent is shown of a market: from the lab's tables to the arrays of a `Stage`.

Every number of a decision is known at its close: forecasts made out of sample, risk of trailing returns, what the
cost-aware book wants, filtered regimes, embeddings. Inputs of a name are compared with the other names of the day, so
that an agent sees the same whatever the level of the market; what is unknown is 0, the middle.

A column is called `block.column`; agents switch blocks (`EnvConfig.blocks`).
"""

from dataclasses import dataclass, field, fields
from datetime import date

import numpy as np
import polars as pl

from quant_core import calendar, dense
from quant_core.allocation.config import AllocationConfig
from quant_core.allocation.history import History, dense_history
from quant_core.allocation.learning.stage import Stage
from quant_core.allocation.smoothing import centred_ranks, smoothed
from quant_core.allocation.strategy import known_on
from quant_core.dense import Flags, Integers
from quant_core.errors import DataError
from quant_core.schema import CASH, FAILED, IS_ELIGIBLE, REGIME_PROBABILITIES
from quant_core.trading.account_config import AccountConfig
from quant_core.trading.panel import market_panel
from quant_core.trading.weights import Array

#: Sessions that risk is measured over, and those of a short and of a long past return, the newest of which is left out.
RISK_SESSIONS, SHORT_SESSIONS, LONG_SESSIONS = 63, 5, 252
#: Sessions before the first decision that inputs look back on.
LOOKBACK_SESSIONS = LONG_SESSIONS + 1
KEYS = {"date": pl.Date, "ticker": pl.String}
#: A standardised input is cut here: a wild day must not move a policy further than it has ever learned.
LARGEST = 4.0
#: Standard deviation of a rank that is uniform over -1/2..1/2.
RANK_STD = 1.0 / np.sqrt(12.0)
#: A usual volatility of an index a year and of its return over a quarter, and how far a day's returns lie apart: the
#: units of the market's inputs.
USUAL_VOLATILITY, USUAL_RETURN, USUAL_SPREAD = 0.18, 0.09, 0.015


@dataclass(frozen=True)
class MarketTables:
    """What is known of a market until its last day, as the lab stores it.

    Args:
        prices: CleanPrices, from LOOKBACK_SESSIONS sessions before the first decision on.
        forecasts: Forecasts of one model; those before the first decision warm up the smoothed rank.
        book: TargetWeights of one strategy: its dates are the decisions.
        regimes: Regimes of one method; may be empty.
        embeddings: date, ticker and any number of columns, all by one encoder; may be empty.
    """

    prices: pl.DataFrame
    forecasts: pl.DataFrame
    book: pl.DataFrame
    regimes: pl.DataFrame
    embeddings: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=KEYS))

    def until(self, last: date) -> "MarketTables":
        """The same without what came later."""
        return MarketTables(*(getattr(self, each.name).filter(pl.col("date") <= last) for each in fields(self)))


def stage_of(
    tables: MarketTables, first: date, last: date, limits: AllocationConfig, account: AccountConfig,
    half_life_sessions: float = 21.0, compression: "Compression | None" = None,
) -> Stage:  # fmt: skip
    """The market from the first decision on or after `first` to `last`, as an agent with this account plays it.

    Args:
        limits: whose regime method is traded, and how far a position may go.
        account: costs, rules and capital.
        half_life_sessions: of the smoothed rank.
        compression: of embeddings, as the policy's training window has them; without one there are none.
    Raises:
        DataError: the book decides nothing between the two days.
    """
    known = tables.until(last)
    asked = known.book.filter(pl.col("ticker") != FAILED, pl.col("date") >= first)
    days = _buyable_days(known.prices, asked["date"].unique().sort())
    decided = asked.filter(pl.col("date").is_in(days.implode()))
    if days.is_empty():
        raise DataError(
            f"policy: the book decides nothing from {first} to {last}; materialize target_weights of these months, or "
            "name a book that the profile has."
        )
    begin = calendar.sessions_before(days[0], LOOKBACK_SESSIONS)
    history = dense_history(known.prices.filter(pl.col("date") >= begin), begin, days[-1])
    rows = np.array([calendar.session_number(day) for day in days]) - history.first_session
    names = _names(known.prices, decided, days, history, rows)
    panel = market_panel(known.prices, names, days[0], account)
    at = np.searchsorted(np.array(history.tickers.to_list()), np.array(panel.tickers.to_list()))
    dates = pl.Series("date", calendar.sessions(begin, days[-1]), dtype=pl.Date)
    looked = _Looked(history, dates, rows, at, history.eligible[np.ix_(rows, at)])
    wanted = _book(known.book.filter(pl.col("ticker") != FAILED, pl.col("date") >= begin), days, looked, panel.tickers)
    asset = {
        **_forecast_inputs(known.forecasts, looked, panel.tickers, half_life_sessions), **_risk_inputs(looked),
        "book.weight": wanted / limits.max_position,
        **_embedding_inputs(known.embeddings, compression, days, panel.tickers, looked.eligible),
    }  # fmt: skip
    market = {**_market_inputs(looked), **_regime_inputs(known.regimes, days)}
    row_of = {day: row for row, day in enumerate(panel.sessions)}
    return Stage(
        sessions=panel.sessions,
        tickers=panel.tickers.to_list(),
        market=panel.market,
        costs=account.cost_schedule(panel.sessions),
        rules=account.rules,
        capital_inr=account.initial_capital_inr,
        decisions=np.array([row_of[day] for day in days], dtype=np.int64),
        eligible=looked.eligible,
        asset_inputs=_stacked(asset, looked.eligible.shape),
        asset_names=tuple(asset),
        market_inputs=_stacked(market, (len(days),)),
        market_names=tuple(market),
        book=wanted,
    )


@dataclass(frozen=True, eq=False)
class _Looked:
    """Where decisions and names stand in a history."""

    history: History
    sessions: pl.Series  # (T,) dates of the history
    rows: Integers  # (D,) of the decisions
    columns: Integers  # (N,) of the names
    eligible: Flags  # (D, N)

    def past(self, sessions: int, skipped: int = 0) -> Array:
        """(D, sessions, N) total returns up to each decision, but for the newest `skipped`."""
        rows = self.rows[:, None] + np.arange(1 - sessions - skipped, 1 - skipped)[None, :]
        returns = self.history.total_return_1d[:, self.columns]
        return np.where((rows >= 0)[..., None], returns[np.maximum(rows, 0)], np.nan)


def _names(prices: pl.DataFrame, decided: pl.DataFrame, days: pl.Series, history: History, rows: Integers) -> pl.Series:
    """Everything that may be bought on a decision or that the book names, and has a price from the first one on."""
    eligible = history.tickers.filter(pl.Series(history.eligible[rows].any(axis=0)))
    booked = decided.filter(pl.col("ticker") != CASH)["ticker"]
    priced = prices.filter(pl.col("date") >= days[0])["ticker"].unique()
    wanted = pl.concat([eligible.alias("ticker"), booked.alias("ticker")]).unique()
    return wanted.filter(wanted.is_in(priced.implode()) & wanted.is_in(history.tickers.implode())).sort()


def _buyable_days(prices: pl.DataFrame, days: pl.Series) -> pl.Series:
    """Those of `days` on which something may be bought."""
    return prices.filter(IS_ELIGIBLE, pl.col("date").is_in(days.implode()))["date"].unique().sort()


def _book(rows: pl.DataFrame, days: pl.Series, looked: "_Looked", tickers: pl.Series) -> Array:
    """(D, N) weights that the book wants to hold after each of `days`, those that it keeps among them.

    Args:
        rows: its decisions since the history began: what it keeps has come of them.
    """
    every = rows["date"].unique().sort()
    named = rows.filter(pl.col("ticker").is_in(tickers.implode()))
    wanted = dense.cells(named, every, tickers, "book").floats(named["weight"], empty=0.0)
    at = looked.sessions.search_sorted(every).to_numpy()
    level = np.cumprod(1.0 + np.nan_to_num(looked.history.total_return_1d[:, looked.columns]), axis=0)[at]
    eligible = looked.history.eligible[np.ix_(at, looked.columns)]
    return kept_weights(wanted, level, eligible)[every.search_sorted(days).to_numpy()]


def kept_weights(wanted: Array, level: Array, eligible: Flags) -> Array:
    """(D, N) weights after each decision, where NaN in `wanted` keeps what an account without costs holds by then.

    What the first decision keeps is not known: it is taken to be what that leaves of 1, alike in the names kept that
    may be bought.

    Args:
        level: (D, N) value of one rupee in each name.
        eligible: (D, N).
    """
    found, held = np.zeros_like(wanted), np.zeros(wanted.shape[1])
    for k, row in enumerate(wanted):
        kept, named = np.isnan(row), np.nan_to_num(row)
        if k:
            grown = found[k - 1] * level[k] / level[k - 1]
            held = grown / (1.0 - found[k - 1].sum() + grown.sum())
        else:
            held[kept & eligible[0]] = max(1.0 - named.sum(), 0.0) / max((kept & eligible[0]).sum(), 1)
        room = max(1.0 - held[kept].sum(), 0.0)
        found[k] = np.where(kept, held, named * min(room / max(named.sum(), 1e-12), 1.0))
    return found


def _forecast_inputs(
    forecasts: pl.DataFrame, looked: _Looked, tickers: pl.Series, half_life_sessions: float
) -> dict[str, Array]:
    """Today's rank, the rank as it has been of late, and what the distribution says beside it."""
    history, days = looked.history, looked.sessions
    inside = pl.col("ticker").is_in(tickers.implode()) & pl.col("date").is_between(days[0], days[-1])
    rows = forecasts.filter(inside, pl.col("score").is_finite())
    cells = dense.cells(rows, days, tickers, "forecasts")
    score = np.where(history.eligible[:, looked.columns], cells.floats(rows["score"]), np.nan)
    slow = smoothed(score, np.full(len(score), half_life_sessions))
    expected, spread = (cells.floats(rows[name])[looked.rows] for name in ("expected_return", "return_std"))
    with np.errstate(invalid="ignore", divide="ignore"):
        uncertainty = np.log(np.where(spread > 0.0, spread, np.nan))
    return {
        "forecast.rank": _known(centred_ranks(score[looked.rows]) / RANK_STD),
        "forecast.smoothed_rank": _known(_standardised(slow[looked.rows], looked.eligible)),
        "forecast.expected": _known(_standardised(expected, looked.eligible)),
        "forecast.uncertainty": _known(_standardised(uncertainty, looked.eligible)),
    }


def _risk_inputs(looked: _Looked) -> dict[str, Array]:
    """Volatility, and the returns of the last week and of the year before the last month."""
    with np.errstate(invalid="ignore", divide="ignore"):
        volatility = np.log(_std(looked.past(RISK_SESSIONS)))
    week = np.nansum(np.log1p(looked.past(SHORT_SESSIONS)), axis=1)
    year = np.nansum(np.log1p(looked.past(LONG_SESSIONS - 21, 21)), axis=1)
    return {
        name: _known(_standardised(values, looked.eligible))
        for name, values in (("risk.volatility", volatility), ("risk.week", week), ("risk.momentum", year))
    }


@dataclass(frozen=True, eq=False)
class Compression:
    """The directions in which embeddings vary most: (x - center) @ basis.

    Args:
        center: (E,). basis: (E, K), each scaled to unit variance over the rows that it was fitted on.
    """

    center: Array
    basis: Array

    @classmethod
    def of(cls, embeddings: pl.DataFrame, components: int) -> "Compression | None":
        """Principal components of embeddings; None for none of either. Of each direction the largest entry is positive.

        Source: scikit-learn's PCA.
        """
        from sklearn.decomposition import PCA

        rows = _numbers(embeddings)
        if not rows.size or not components:
            return None
        found = PCA(min(components, *rows.shape), svd_solver="full").fit(rows)
        axes = found.components_
        axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
        return cls(found.mean_, axes.T / np.sqrt(np.maximum(found.explained_variance_, 1e-12)))

    def __call__(self, embeddings: pl.DataFrame) -> Array:
        """(R, K) of R rows."""
        made: Array = (_numbers(embeddings) - self.center) @ self.basis
        return made


def _numbers(embeddings: pl.DataFrame) -> Array:
    return (
        embeddings.drop("date", "ticker")
        .to_numpy()
        .astype(np.float64)
        .reshape(embeddings.height, embeddings.width - len(KEYS))
    )


def _embedding_inputs(
    embeddings: pl.DataFrame, compression: Compression | None, days: pl.Series, tickers: pl.Series, eligible: Flags
) -> dict[str, Array]:
    if compression is None:
        return {}
    known = pl.col("ticker").is_in(tickers.implode()) & pl.col("date").is_in(days.implode())
    rows = embeddings.filter(known)
    cells, short = dense.cells(rows, days, tickers, "embeddings"), compression(rows)
    return {
        f"embedding.{k}": _known(_standardised(cells.floats(pl.Series(short[:, k])), eligible))
        for k in range(short.shape[1])
    }


def _market_inputs(looked: _Looked) -> dict[str, Array]:
    """Volatility and return of the market, taken as its eligible names alike, and how far they differ."""
    quarter = np.where(looked.eligible[:, None, :], looked.past(RISK_SESSIONS), np.nan)  # (D, 63, N)
    daily = _mean(quarter, axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.log(_std(daily[:, -21:]) * np.sqrt(252.0) / USUAL_VOLATILITY)
        apart = np.log(_mean(_std(np.swapaxes(quarter[:, -21:], 1, 2)), axis=1) / USUAL_SPREAD)
    return {
        "market.volatility": _known(level),
        "market.return_1m": _known(np.nansum(daily[:, -21:], axis=1) / (USUAL_RETURN / np.sqrt(3.0))),
        "market.return_3m": _known(np.nansum(daily, axis=1) / USUAL_RETURN),
        "market.dispersion": _known(apart),
    }


def _regime_inputs(regimes: pl.DataFrame, days: pl.Series) -> dict[str, Array]:
    """Filtered probabilities as they were known at each decision; all 0 where nothing was."""
    if regimes.is_empty():
        return {}
    known = days.to_frame("date").join(known_on(days, regimes.sort("date")), on="date", how="left")
    return {
        f"regimes.{column}": known[column].cast(pl.Float64).fill_null(0.0).to_numpy()
        for column in REGIME_PROBABILITIES.values()
    }


def _standardised(values: Array, eligible: Flags) -> Array:
    """(D, N) less the mean of the day's eligible names, over their standard deviation; NaN for the others."""
    own = np.where(eligible, values, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = own - _mean(own, axis=1)[:, None]
        spread = np.sqrt(_mean(centred**2, axis=1))[:, None]
        return np.where(spread > 0.0, centred / spread, np.nan)


def _known(values: Array) -> Array:
    """Within -LARGEST..LARGEST, 0 where nothing is known."""
    return np.clip(np.where(np.isfinite(values), values, 0.0), -LARGEST, LARGEST)


def _mean(values: Array, axis: int) -> Array:
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0.0).sum(axis=axis) / known.sum(axis=axis)


def _std(values: Array) -> Array:
    """Standard deviation over the second axis of (D, S) or (D, S, N); NaN where fewer than two are known."""
    mean = _mean(values, axis=1)
    square = _mean(values**2, axis=1)
    enough = np.isfinite(values).sum(axis=1) > 1
    with np.errstate(invalid="ignore"):
        return np.where(enough, np.sqrt(np.maximum(square - mean**2, 0.0)), np.nan)


def _stacked(columns: dict[str, Array], shape: tuple[int, ...]) -> np.ndarray:
    if not columns:
        return np.zeros((*shape, 0), dtype=np.float32)
    return np.stack(list(columns.values()), axis=-1).astype(np.float32)
