"""How far a Sharpe ratio is from luck: of a short, skewed history, and of being the best of many tries.

What belongs here: the distribution of one history's Sharpe ratio and the table of it. What does not: the measures
themselves (`performance`), resampling (`bootstrap`), comparing histories with each other (`overfitting`).

Sharpe ratios here are per session (`sharpe_1d`, not annualised) and of returns over cash, unless the name says `_ann`.

Sources: Bailey and Lopez de Prado (2012), The Sharpe ratio efficient frontier, Journal of Risk 15 (probabilistic Sharpe
ratio, minimum track record); Bailey and Lopez de Prado (2014), The deflated Sharpe ratio, Journal of Portfolio
Management 40.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.errors import DataError
from quant_core.schema import Significance, validate
from quant_core.trading.bootstrap import checked_returns, growth_interval, sharpe_interval
from quant_core.trading.risk import FLAT

Array = NDArray[np.float64]

EULER_MASCHERONI = 0.5772156649015329
NORMAL = NormalDist()
SQRT_YEAR = math.sqrt(SESSIONS_PER_YEAR)


@dataclass(frozen=True)
class SharpeMoments:
    """What the distribution of an estimated Sharpe ratio depends on.

    Args:
        n_sessions: returns that it was estimated from.
        sharpe_1d: mean over sample standard deviation, per session; NaN for a flat or too short history.
        skewness: third standardised moment; 0 for a normal distribution.
        kurtosis: fourth standardised moment, not the excess; 3 for a normal distribution.
    """

    n_sessions: int
    sharpe_1d: float
    skewness: float
    kurtosis: float

    @property
    def variance_1d(self) -> float:
        """Of sqrt(n - 1) x the estimated Sharpe ratio, at the estimate (Mertens, 2002)."""
        return 1.0 - self.skewness * self.sharpe_1d + (self.kurtosis - 1.0) / 4.0 * self.sharpe_1d**2


def sharpe_moments(excess_returns: ArrayLike) -> SharpeMoments:
    """Moments of (T,) returns over cash; skewness and kurtosis divide by T, the standard deviation by T - 1."""
    values = checked_returns(excess_returns, "significance")
    n = len(values)
    if n < 2 or float(values.std(ddof=1)) <= FLAT:
        return SharpeMoments(n, math.nan, math.nan, math.nan)
    score = (values - values.mean()) / values.std()
    sharpe_1d = float(values.mean() / values.std(ddof=1))
    return SharpeMoments(n, sharpe_1d, float((score**3).mean()), float((score**4).mean()))


def probabilistic_sharpe(returns: ArrayLike | SharpeMoments, benchmark_sharpe_1d: float = 0.0) -> float:
    """P(true Sharpe ratio > benchmark): Z((SR - SR*) sqrt(T - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR^2)).

    Args:
        returns: (T,) returns over cash, or their moments.
        benchmark_sharpe_1d: per session.
    Returns:
        a probability; NaN where the Sharpe ratio is undefined (flat, or fewer than two sessions) or the variance is 0.
    """
    moments = _moments(returns)
    if not moments.variance_1d > 0.0:
        return math.nan
    distance = (moments.sharpe_1d - benchmark_sharpe_1d) * math.sqrt(moments.n_sessions - 1)
    return NORMAL.cdf(distance / math.sqrt(moments.variance_1d))


def expected_max_sharpe(n_trials: int, sharpe_std_1d: float) -> float:
    """Best estimated Sharpe ratio to expect of `n_trials` independent strategies whose true one is 0.

    std x ((1 - g) Z^-1(1 - 1 / N) + g Z^-1(1 - 1 / (N e))), g the Euler-Mascheroni constant; 0 for one trial.

    Args:
        n_trials: N, at least 1.
        sharpe_std_1d: standard deviation of the trials' Sharpe ratios; in the unit of the result.
    Raises:
        DataError: no trial, a negative or non-finite standard deviation.
    """
    if n_trials < 1 or not (math.isfinite(sharpe_std_1d) and sharpe_std_1d >= 0.0):
        raise DataError(
            f"significance: {n_trials} trials with standard deviation {sharpe_std_1d}; wanted at least one trial, the "
            "one in question included, and a finite number >= 0."
        )
    if n_trials == 1:
        return 0.0
    upper, rare = (-NORMAL.inv_cdf(share / n_trials) for share in (1.0, math.exp(-1.0)))
    return sharpe_std_1d * ((1.0 - EULER_MASCHERONI) * upper + EULER_MASCHERONI * rare)


def deflated_sharpe(returns: ArrayLike | SharpeMoments, trial_sharpes_1d: ArrayLike) -> float:
    """P(true Sharpe ratio > the best to expect from as many tries without skill).

    Args:
        returns: (T,) returns over cash of the strategy in question, or their moments.
        trial_sharpes_1d: (N,) Sharpe ratios per session of every distinct trial, this one included. NaN (a trial that
            never took risk) counts as a try, but not for the standard deviation.
    Returns:
        a probability, that of `probabilistic_sharpe` for one trial; NaN where that is.
    Raises:
        DataError: no trial, or an infinite Sharpe ratio.
    """
    return probabilistic_sharpe(returns, _luck_1d(trial_sharpes_1d))


def min_track_record(
    returns: ArrayLike | SharpeMoments, benchmark_sharpe_1d: float = 0.0, confidence: float = 0.95
) -> float:
    """Sessions of the same quality that `probabilistic_sharpe` needs to reach `confidence`.

    Args:
        returns: (T,) returns over cash, or their moments.
        benchmark_sharpe_1d: per session.
        confidence: at least 0.5, below 1.
    Returns:
        1 + variance x (Z^-1(confidence) / (SR - SR*))^2; infinite where SR <= SR*, as no length is enough; NaN where
        the Sharpe ratio is undefined.
    """
    if not 0.5 <= confidence < 1.0:
        raise DataError(f"significance: confidence is {confidence}; wanted at least 0.5 and below 1.")
    moments = _moments(returns)
    if math.isnan(moments.sharpe_1d):
        return math.nan
    if moments.sharpe_1d <= benchmark_sharpe_1d:
        return math.inf
    distance = NORMAL.inv_cdf(confidence) / (moments.sharpe_1d - benchmark_sharpe_1d)
    return 1.0 + max(moments.variance_1d, 0.0) * distance**2


def significance_row(
    returns: ArrayLike, risk_free_return_1d: ArrayLike, trial_sharpes_1d: ArrayLike, seed: int
) -> dict[str, float]:
    """Every column of `schema.Significance` but the strategy's name; NaN where it is undefined.

    Args:
        returns: (T,) returns, at least one.
        risk_free_return_1d: of cash over the same sessions, (T,) or one number.
        trial_sharpes_1d: as in `deflated_sharpe`.
        seed: of the bootstrap.
    """
    values = checked_returns(returns, "significance")
    cash = checked_returns(np.atleast_1d(np.asarray(risk_free_return_1d, dtype=np.float64)), "significance cash")
    if len(values) == 0 or len(cash) not in (1, len(values)):
        raise DataError(f"significance: {len(values)} returns and {len(cash)} of cash; wanted one or as many.")
    excess = values - cash
    moments, luck_1d = sharpe_moments(excess), _luck_1d(trial_sharpes_1d)
    of_sharpe, of_growth = sharpe_interval(excess, seed=seed), growth_interval(values, seed=seed)
    needed = min_track_record(moments)
    return {
        "n_sessions": len(values),
        "n_trials": len(np.atleast_1d(np.asarray(trial_sharpes_1d))),
        "sharpe_ann": moments.sharpe_1d * SQRT_YEAR,
        "sharpe_low_ann": of_sharpe.low,
        "sharpe_high_ann": of_sharpe.high,
        "cagr_low": of_growth.low,
        "cagr_high": of_growth.high,
        "probabilistic_sharpe": probabilistic_sharpe(moments),
        "expected_max_sharpe_ann": luck_1d * SQRT_YEAR,
        "deflated_sharpe": probabilistic_sharpe(moments, luck_1d),
        "min_track_record_sessions": needed if math.isfinite(needed) else math.nan,
    }


def significance_table(
    daily: pl.DataFrame,
    risk_free: pl.DataFrame,
    trials: Mapping[str, float] | pl.DataFrame | None = None,
    *,
    seed: int,
) -> pl.DataFrame:
    """One row a strategy with at least one return; the first session of each only opens the account.

    Args:
        daily: BacktestDaily, or at least `date`, `strategy`, `simple_return_1d`.
        risk_free: `date`, `risk_free_return_1d` on at least the same sessions, such as BenchmarkReturns.
        trials: Sharpe ratio per session of every distinct trial by name, or a frame with a column `sharpe_1d`; those of
            `daily` included. None: the strategies of `daily` are the only ones.
        seed: of the bootstrap, the same for every strategy.
    Returns:
        schema.Significance, sorted by strategy; null where undefined.
    Raises:
        DataError: a session without a risk-free return, no trial.
    """
    histories = _excess_by_strategy(daily, risk_free)
    if trials is None:
        sharpes = np.array([sharpe_moments(own - cash).sharpe_1d for own, cash in histories.values()])
    elif isinstance(trials, pl.DataFrame):
        sharpes = trials["sharpe_1d"].cast(pl.Float64).fill_null(math.nan).to_numpy()
    else:
        sharpes = np.array(list(trials.values()), dtype=np.float64)
    rows = [{"strategy": name} | significance_row(own, cash, sharpes, seed) for name, (own, cash) in histories.items()]
    table = pl.DataFrame(rows, schema=Significance.create_empty().schema)
    table = table.with_columns(pl.selectors.float().fill_nan(None))
    return validate(table, Significance, "significance", "check the daily returns of the backtest.")


def _excess_by_strategy(daily: pl.DataFrame, risk_free: pl.DataFrame) -> dict[str, tuple[Array, Array]]:
    """Returns and those of cash, (T,) each, by strategy; without the opening session."""
    cash = risk_free.select("date", "risk_free_return_1d")
    joined = daily.select("date", "strategy", "simple_return_1d").join(cash, on="date", how="left").sort("date")
    found = {}
    for (name,), book in sorted(joined.partition_by("strategy", as_dict=True, maintain_order=True).items()):
        earned = book.slice(1)
        missing = earned.filter(pl.col("risk_free_return_1d").is_null())["date"]
        if len(missing):
            raise DataError(
                f"significance {name}: no risk-free return on {missing[0]} ({len(missing)} such sessions); give one "
                "for every session of the backtest."
            )
        if len(earned):
            found[str(name)] = (earned["simple_return_1d"].to_numpy(), earned["risk_free_return_1d"].to_numpy())
    return found


def _moments(returns: ArrayLike | SharpeMoments) -> SharpeMoments:
    return returns if isinstance(returns, SharpeMoments) else sharpe_moments(returns)


def _luck_1d(trial_sharpes_1d: ArrayLike) -> float:
    """`expected_max_sharpe` of these trials, per session."""
    sharpes = np.atleast_1d(np.asarray(trial_sharpes_1d, dtype=np.float64))
    if np.isinf(sharpes).any():
        raise DataError("significance: a trial has an infinite Sharpe ratio; store NaN for a trial without risk.")
    known = sharpes[~np.isnan(sharpes)]
    return expected_max_sharpe(len(sharpes), float(known.std(ddof=1)) if len(known) > 1 else 0.0)
