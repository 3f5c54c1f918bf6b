"""The blocks of numbers that an agent is shown: forecasts, risk, embeddings, the market and its regimes.

Each is known at the close of the decision. Inputs of a name are compared with the other names of the day, so that an
agent sees the same whatever the level of the market; what is unknown is 0, the middle. A column is called
`block.column`.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_core import dense
from quant_core.allocation.history import History
from quant_core.allocation.smoothing import centred_ranks, smoothed
from quant_core.allocation.strategy import known_on
from quant_core.dense import Flags, Floats, Integers
from quant_core.schema import REGIME_PROBABILITIES

#: Sessions that risk is measured over, and those of a short and of a long past return, the newest of which is left out.
RISK_SESSIONS, SHORT_SESSIONS, LONG_SESSIONS = 63, 5, 252
#: A standardised input is cut here: a wild day must not move a policy further than it has ever learned.
LARGEST = 4.0
#: Standard deviation of a rank that is uniform over -1/2..1/2.
RANK_STD = 1.0 / np.sqrt(12.0)
#: A usual volatility of an index a year and of its return over a quarter, and how far a day's returns lie apart: the
#: units of the market's inputs.
USUAL_VOLATILITY, USUAL_RETURN, USUAL_SPREAD = 0.18, 0.09, 0.015


@dataclass(frozen=True, eq=False)
class Looked:
    """Where decisions and names stand in a history."""

    history: History
    sessions: pl.Series  # (T,) dates of the history
    rows: Integers  # (D,) of the decisions
    columns: Integers  # (N,) of the names
    eligible: Flags  # (D, N)

    def past(self, sessions: int, skipped: int = 0) -> Floats:
        """(D, sessions, N) total returns up to each decision, but for the newest `skipped`."""
        rows = self.rows[:, None] + np.arange(1 - sessions - skipped, 1 - skipped)[None, :]
        returns = self.history.total_return_1d[:, self.columns]
        return np.where((rows >= 0)[..., None], returns[np.maximum(rows, 0)], np.nan)


def forecast_inputs(
    forecasts: pl.DataFrame, looked: Looked, tickers: pl.Series, half_life_sessions: float
) -> dict[str, Floats]:
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


def risk_inputs(looked: Looked) -> dict[str, Floats]:
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

    center: Floats
    basis: Floats

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

    def __call__(self, embeddings: pl.DataFrame) -> Floats:
        """(R, K) of R rows."""
        made: Floats = (_numbers(embeddings) - self.center) @ self.basis
        return made


def _numbers(embeddings: pl.DataFrame) -> Floats:
    numbers = embeddings.drop("date", "ticker")
    return numbers.to_numpy().astype(np.float64).reshape(numbers.shape)


def embedding_inputs(
    embeddings: pl.DataFrame, compression: Compression | None, days: pl.Series, tickers: pl.Series, eligible: Flags
) -> dict[str, Floats]:
    """The directions in which embeddings vary most, one column each."""
    if compression is None:
        return {}
    known = pl.col("ticker").is_in(tickers.implode()) & pl.col("date").is_in(days.implode())
    rows = embeddings.filter(known)
    cells, short = dense.cells(rows, days, tickers, "embeddings"), compression(rows)
    return {
        f"embedding.{k}": _known(_standardised(cells.floats(pl.Series(short[:, k])), eligible))
        for k in range(short.shape[1])
    }


def market_inputs(looked: Looked) -> dict[str, Floats]:
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


def regime_inputs(regimes: pl.DataFrame, days: pl.Series) -> dict[str, Floats]:
    """Filtered probabilities as they were known at each decision; all 0 where nothing was."""
    if regimes.is_empty():
        return {}
    known = days.to_frame("date").join(known_on(days, regimes.sort("date")), on="date", how="left")
    return {
        f"regimes.{column}": known[column].cast(pl.Float64).fill_null(0.0).to_numpy()
        for column in REGIME_PROBABILITIES.values()
    }


def _standardised(values: Floats, eligible: Flags) -> Floats:
    """(D, N) less the mean of the day's eligible names, over their standard deviation; NaN for the others."""
    own = np.where(eligible, values, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = own - _mean(own, axis=1)[:, None]
        spread = np.sqrt(_mean(centred**2, axis=1))[:, None]
        return np.where(spread > 0.0, centred / spread, np.nan)


def _known(values: Floats) -> Floats:
    """Within -LARGEST..LARGEST, 0 where nothing is known."""
    return np.clip(np.where(np.isfinite(values), values, 0.0), -LARGEST, LARGEST)


def _mean(values: Floats, axis: int) -> Floats:
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0.0).sum(axis=axis) / known.sum(axis=axis)


def _std(values: Floats) -> Floats:
    """Standard deviation over the second axis of (D, S) or (D, S, N); NaN where fewer than two are known."""
    mean = _mean(values, axis=1)
    square = _mean(values**2, axis=1)
    enough = np.isfinite(values).sum(axis=1) > 1
    with np.errstate(invalid="ignore"):
        return np.where(enough, np.sqrt(np.maximum(square - mean**2, 0.0)), np.nan)
