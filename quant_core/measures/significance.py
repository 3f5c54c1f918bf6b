"""How far a Sharpe ratio is from luck: of a short, skewed history, and of being the best of many tries.

What belongs here: the distribution of one history's Sharpe ratio and the table of it. What does not: the measures
themselves (`performance`), resampling (`bootstrap`), what all tries together make likely (`luck`), comparing histories
with each other (`overfitting`).

Sharpe ratios here are per session (`sharpe_1d`, not annualised) and of returns over cash, unless the name says `_ann`.

Sources: Bailey and Lopez de Prado (2012), The Sharpe ratio efficient frontier, Journal of Risk 15 (probabilistic Sharpe
ratio, minimum track record); Bailey and Lopez de Prado (2014), The deflated Sharpe ratio, Journal of Portfolio
Management 40.
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.errors import DataError
from quant_core.measures.bootstrap import checked_returns, growth_interval, sharpe_interval
from quant_core.measures.luck import NORMAL, Luck, highest_so_far, histories, luck_of
from quant_core.measures.risk import FLAT
from quant_core.schema import Significance, table_of, validate

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


def deflated_sharpe(returns: ArrayLike | SharpeMoments, trial_sharpes_1d: ArrayLike) -> float:
    """P(true Sharpe ratio > the best to expect from as many independent tries without skill).

    For tries that may be variants of each other, take `luck.luck_of` and `probabilistic_sharpe`, as the table does.

    Args:
        returns: (T,) returns over cash of the strategy in question, or their moments.
        trial_sharpes_1d: (N,) Sharpe ratios per session of every independent try, this one included, in the order in
            which they were made: see `luck.highest_so_far`. NaN (a trial that never took risk) counts as a try, but
            not for the standard deviation.
    Returns:
        a probability, that of `probabilistic_sharpe` for one trial; NaN where that is.
    Raises:
        DataError: no trial, or an infinite Sharpe ratio.
    """
    return probabilistic_sharpe(returns, highest_so_far(np.asarray(trial_sharpes_1d, dtype=np.float64)))


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
    returns: ArrayLike, risk_free_return_1d: ArrayLike, benchmark_return_1d: ArrayLike, luck: Luck, seed: int
) -> dict[str, float]:
    """Every column of `schema.Significance` but the strategy's name; NaN where it is undefined.

    Args:
        returns: (T,) returns, at least one.
        risk_free_return_1d: of cash over the same sessions, (T,) or one number.
        benchmark_return_1d: of the index over the same sessions, (T,) or one number; NaN where there is none.
        luck: of everything tried, this one included.
        seed: of the bootstrap.
    """
    values = checked_returns(returns, "significance")
    cash = checked_returns(np.atleast_1d(np.asarray(risk_free_return_1d, dtype=np.float64)), "significance cash")
    index = np.atleast_1d(np.asarray(benchmark_return_1d, dtype=np.float64))
    if len(values) == 0 or not {len(cash), len(index)} <= {1, len(values)}:
        raise DataError(
            f"significance: {len(values)} returns, {len(cash)} of cash and {len(index)} of the benchmark; wanted one "
            "or as many."
        )
    excess, active = values - cash, values - index
    active = active[~np.isnan(active)]
    moments, against = sharpe_moments(excess), sharpe_moments(active)
    hurdle_1d = luck.over_cash_z / math.sqrt(len(excess))
    hurdle_against_1d = luck.over_benchmark_z / math.sqrt(len(active)) if len(active) else math.nan
    of_sharpe, of_growth = sharpe_interval(excess, seed=seed), growth_interval(values, seed=seed)
    needed = min_track_record(moments)
    return {
        "n_sessions": len(values),
        "n_trials": luck.n_trials,
        "n_own_trials": luck.n_own_trials,
        "n_clusters": luck.n_clusters,
        "sharpe_ann": moments.sharpe_1d * SQRT_YEAR,
        "sharpe_low_ann": of_sharpe.low,
        "sharpe_high_ann": of_sharpe.high,
        "cagr_low": of_growth.low,
        "cagr_high": of_growth.high,
        "probabilistic_sharpe": probabilistic_sharpe(moments),
        "expected_max_sharpe_ann": hurdle_1d * SQRT_YEAR,
        "deflated_sharpe": probabilistic_sharpe(moments, hurdle_1d),
        "information_ratio_ann": against.sharpe_1d * SQRT_YEAR,
        "expected_max_sharpe_vs_benchmark_ann": hurdle_against_1d * SQRT_YEAR,
        "deflated_sharpe_vs_benchmark": probabilistic_sharpe(against, hurdle_against_1d),
        "min_track_record_sessions": needed if math.isfinite(needed) else math.nan,
    }


def significance_table(
    daily: pl.DataFrame, benchmark: pl.DataFrame, luck: Luck | None = None, *, seed: int
) -> pl.DataFrame:
    """One row a strategy with at least one return; the first session of each only opens the account.

    Args:
        daily: BacktestDaily, or at least `date`, `strategy`, `simple_return_1d`.
        benchmark: BenchmarkReturns on at least the same sessions; see `luck.histories`.
        luck: of everything tried, the strategies of `daily` included. None: they are the only tries, by name.
        seed: of the bootstrap, the same for every strategy.
    Returns:
        schema.Significance, sorted by strategy; null where undefined.
    Raises:
        DataError: a session without a risk-free return.
    """
    tried = histories(daily, benchmark)
    if luck is None and len(tried):
        luck = luck_of(tried.rename({"strategy": "trial"}))
    rows = []
    for (name,), book in sorted(tried.partition_by("strategy", as_dict=True, maintain_order=True).items()):
        own, cash, index = (book[column].to_numpy() for column in tried.columns[2:])
        assert luck is not None  # there is a strategy
        rows.append({"strategy": name} | significance_row(own, cash, index, luck, seed))
    return validate(
        table_of(Significance, rows), Significance, "significance", "check the daily returns of the backtest."
    )


def _moments(returns: ArrayLike | SharpeMoments) -> SharpeMoments:
    return returns if isinstance(returns, SharpeMoments) else sharpe_moments(returns)
