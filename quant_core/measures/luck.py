"""The best Sharpe ratio to expect of everything that was tried if none of it had any skill: the hurdle of deflation.

What belongs here: which tries are one bet, how many bets that makes, and the maximum that luck gives them. What does
not: recognising the same history again (`overfitting.trials_like`), the odds of one history (`significance`).

Two estimates of one quantity, of which the larger counts:

- the published formula, `expected_max_sharpe`, with the number of clusters as N and the spread of the clusters' Sharpe
  ratios as standard deviation. It is taken after each try in the order in which they were made, and the highest value
  so far stands: the spread may shrink when a try is added, the hurdle may not.
- the expected maximum of jointly normal Sharpe ratios with mean 0 and the correlations of the tries' own returns. It
  counts the choice *within* a cluster, which N does not: the best of two hundred variants of one rule is luck too. It
  cannot fall when a try is added, as the maximum of more numbers is not smaller.

Both are in standard errors, that is multiples of 1 / sqrt(sessions), so that a history of three months, whose Sharpe
ratio is noise, does not pass for a wide spread among histories of ten years.

Sources: Bailey and Lopez de Prado (2014), The deflated Sharpe ratio, Journal of Portfolio Management 40; Lopez de Prado
and Lewis (2019), Detection of false investment strategies using unsupervised learning methods, Quantitative Finance 19
(number of clusters and spread between them); White (2000), A reality check for data snooping, Econometrica 68 (maximum
of dependent tries).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core import dense
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.measures.bootstrap import checked_returns
from quant_core.measures.known_days import known_days
from quant_core.measures.overfitting import MIN_COMMON_SESSIONS
from quant_core.measures.risk import FLAT

EULER_MASCHERONI = 0.5772156649015329
NORMAL = NormalDist()
SAME_CLUSTER = math.sqrt(0.5)  # correlation above which half of one's variance is the other's
N_DRAWS = 1000  # each with its mirror image
SEED = 11
DIGITS = 6  # of a hurdle: sums of a product of matrices differ in the last ones between machines


@dataclass(frozen=True)
class Luck:
    """What the tries so far would show without skill.

    Args:
        n_trials: different return histories, those that are lost included.
        n_own_trials: those of the researcher: all but the baselines shipped with the lab.
        n_clusters: groups of tries that are variants of one bet.
        over_cash_z, over_benchmark_z: best Sharpe ratio to expect of returns over cash and over the benchmark, in
            standard errors.
    """

    n_trials: int
    n_own_trials: int
    n_clusters: int
    over_cash_z: float
    over_benchmark_z: float

    def at_least(self, other: "Luck") -> "Luck":
        """The stricter of both, number by number."""
        return Luck(*(max(getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__))


class SideBySide(NamedTuple):
    """Tries side by side, in the order in which they were made.

    names: (K,); days: (T,); over_cash, over_benchmark, active: (T, K), NaN where a try has none. `active` is over the
    benchmark where it is known, else over cash. is_shipped: (K,).
    """

    names: list[str]
    days: list[date]
    over_cash: Floats
    over_benchmark: Floats
    active: Floats
    is_shipped: NDArray[np.bool_]


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
    return sharpe_std_1d * _standard_max(n_trials)


@lru_cache(maxsize=4096)
def _standard_max(n: int) -> float:
    if n == 1:
        return 0.0
    upper, rare = (-NORMAL.inv_cdf(share / n) for share in (1.0, math.exp(-1.0)))
    return (1.0 - EULER_MASCHERONI) * upper + EULER_MASCHERONI * rare


def highest_so_far(sharpes: Sequence[float] | Floats) -> float:
    """The largest `expected_max_sharpe` after each of these tries; one more never lowers it.

    Args:
        sharpes: (N,) of independent tries, in the order in which they were made; NaN (a try that never took risk)
            counts as a try, but not for the standard deviation.
    Raises:
        DataError: no try, or an infinite Sharpe ratio.
    """
    values = np.atleast_1d(np.asarray(sharpes, dtype=np.float64))
    if np.isinf(values).any():
        raise DataError("significance: a trial has an infinite Sharpe ratio; store NaN for a trial without risk.")
    if len(values) == 0:
        return expected_max_sharpe(0, 0.0)
    is_known = ~np.isnan(values)
    first = values[np.argmax(is_known)]  # known before every later one, so that its last digit does not move with them
    centred = np.where(is_known, values - first, 0.0)
    n = np.maximum(np.cumsum(is_known), 1)
    squares = np.cumsum(centred**2) - np.cumsum(centred) ** 2 / n  # about the mean so far
    spread = np.sqrt(np.maximum(squares, 0.0) / np.maximum(n - 1, 1))
    return max(expected_max_sharpe(k, float(one)) for k, one in enumerate(spread, 1))


def histories(daily: pl.DataFrame, benchmark: pl.DataFrame) -> pl.DataFrame:
    """What a backtest tried: columns strategy, date, simple_return_1d, risk_free_return_1d, benchmark_return_1d.

    The first session of each strategy only opens the account and is left out.

    Args:
        daily: BacktestDaily, or at least `date`, `strategy`, `simple_return_1d`.
        benchmark: BenchmarkReturns, or `date`, `risk_free_return_1d` and, where there is an index, `simple_return_1d`;
            benchmark_return_1d is null where it is not known.
    Raises:
        DataError: a session without a risk-free return.
    """
    index = pl.lit(None, pl.Float64)
    if "simple_return_1d" in benchmark.columns:
        index = pl.col("simple_return_1d").cast(pl.Float64)
        known = known_days(benchmark)["date"][1:]
        index = pl.when(pl.col("date").is_in(known.implode())).then(index)
    other = benchmark.select("date", "risk_free_return_1d", index.alias("benchmark_return_1d"))
    rows = daily.select("strategy", "date", "simple_return_1d").sort("strategy", "date")
    earned = rows.filter(pl.int_range(pl.len()).over("strategy") > 0)
    joined = earned.join(other, on="date", how="left", maintain_order="left")
    missing = joined.filter(pl.col("risk_free_return_1d").is_null())
    if len(missing):
        raise DataError(
            f"significance {missing['strategy'][0]}: no risk-free return on {missing['date'][0]} ({len(missing)} such "
            "sessions); give one for every session of the backtest."
        )
    return joined


def luck_of(trials: pl.DataFrame, n_lost: int = 0, floor: Luck | None = None) -> Luck:
    """The hurdle of everything tried.

    Args:
        trials: `trial`, `date`, `simple_return_1d`, `risk_free_return_1d`, one row a session and try, those of the
            first try first; where known also `benchmark_return_1d` (nullable) and `is_shipped`.
        n_lost: further tries of which nothing but their number is known; each counts as a bet of its own.
        floor: what a lost try must not lower; used where `n_lost` is above 0.
    Raises:
        DataError: a return that is missing or not finite; no try at all.
    """
    panel = _panel(trials)
    founder = _founders(panel.active)
    n_clusters = len(set(founder.tolist())) + n_lost
    n_own = int((~panel.is_shipped).sum()) + n_lost
    over_cash, over_benchmark = (
        _hurdle_z(panel.days, values, founder, n_lost) for values in (panel.over_cash, panel.over_benchmark)
    )
    found = Luck(len(panel.names) + n_lost, n_own, n_clusters, over_cash, over_benchmark)
    return found.at_least(replace(floor, n_own_trials=0)) if floor is not None and n_lost else found


def clusters(trials: pl.DataFrame) -> dict[str, str]:
    """Try -> the first try of its cluster.

    In the order in which they were made, a try joins the earliest founder whose active returns (over the benchmark,
    over cash where there is none) have a correlation of more than sqrt(1/2) with its own over at least 60 common
    sessions, else it founds a cluster of its own. What was tried later therefore never changes what came before, and
    the number of clusters never falls. Active returns, because every long-only book moves with the market: the
    market's luck is common to all tries and cancels in their spread.

    Args:
        trials: as in `luck_of`.
    """
    panel = _panel(trials)
    return {name: panel.names[k] for name, k in zip(panel.names, _founders(panel.active), strict=True)}


def _panel(trials: pl.DataFrame) -> SideBySide:
    names, days = trials["trial"].unique(maintain_order=True), trials["date"].unique().sort()
    cells = dense.cells(trials, days, names, "trials", key="trial")
    own, cash = (
        checked_returns(trials[name].cast(pl.Float64).to_numpy(), "trials")
        for name in ("simple_return_1d", "risk_free_return_1d")
    )
    index = np.full(len(own), np.nan)
    if "benchmark_return_1d" in trials.columns:
        index = trials["benchmark_return_1d"].cast(pl.Float64).fill_null(math.nan).to_numpy()

    def laid_out(values: Floats) -> Floats:
        return cells.floats(pl.Series(values))

    is_shipped = np.zeros(len(names), dtype=bool)
    if "is_shipped" in trials.columns:
        is_shipped[cells.column] = trials["is_shipped"].to_numpy()
    active = laid_out(own - np.where(np.isnan(index), cash, index))
    over_cash, over_index = laid_out(own - cash), laid_out(own - index)
    return SideBySide(names.to_list(), days.to_list(), over_cash, over_index, active, is_shipped)


def _founders(active: Floats) -> NDArray[np.int64]:
    """(K,) column of the first try of each try's cluster."""
    alike = _correlation(active) > SAME_CLUSTER
    founders: list[int] = []
    found = np.zeros(active.shape[1], dtype=np.int64)
    for k in range(active.shape[1]):
        joined = [f for f in founders if alike[k, f]]
        found[k] = joined[0] if joined else k
        if not joined:
            founders.append(k)
    return found


def _correlation(values: Floats) -> Floats:
    """(T, K) -> (K, K) over common sessions; 0 where they are too few or one of both is flat."""
    present = (~np.isnan(values)).astype(np.float64)
    count = np.maximum(present.sum(axis=0), 1.0)
    centred = np.where(present > 0, values - np.where(present > 0, values, 0.0).sum(axis=0) / count, 0.0)
    n = present.T @ present
    safe = np.maximum(n, 1.0)
    total = centred.T @ present  # [i, j]: sum of i over the sessions that it shares with j
    square = (centred**2).T @ present
    variance = square / safe - (total / safe) ** 2
    covariance = centred.T @ centred / safe - total * total.T / safe**2
    is_known = (n >= MIN_COMMON_SESSIONS) & (np.minimum(variance, variance.T) > FLAT**2)
    return np.where(is_known, covariance / np.sqrt(np.where(is_known, variance * variance.T, 1.0)), 0.0)


def _hurdle_z(days: list[date], values: Floats, founder: NDArray[np.int64], n_lost: int) -> float:
    """Best Sharpe ratio to expect, in standard errors: the larger of the two estimates."""
    z, unit = _standardised(values)
    formula, best = 0.0, dict[int, float]()
    for k, cluster in enumerate(founder.tolist()):
        best[cluster] = float(np.fmax(best.get(cluster, math.nan), z[k]))
        formula = max(formula, expected_max_sharpe(len(best) + n_lost, _spread(np.array(list(best.values())))))
    drawn = _expected_maximum(days, unit[:, ~np.isnan(z)], n_lost)
    return round(max(formula, drawn), DIGITS) + 0.0


def _standardised(values: Floats) -> tuple[Floats, Floats]:
    """Sharpe ratio in standard errors (K,), NaN where flat or shorter than two, and centred unit vectors (T, K)."""
    present = ~np.isnan(values)
    n = present.sum(axis=0)
    mean = np.where(present, values, 0.0).sum(axis=0) / np.maximum(n, 1)
    centred = np.where(present, values - mean, 0.0)
    square = (centred**2).sum(axis=0)
    is_flat = (n < 2) | (square <= np.maximum(n - 1, 1) * FLAT**2)
    length = np.sqrt(np.where(is_flat, 1.0, square))
    z = mean / length * np.sqrt(np.maximum(n - 1, 0) * n)  # mean / std x sqrt(n)
    return np.where(is_flat, np.nan, z), np.where(is_flat, 0.0, centred / length)


def _expected_maximum(days: list[date], unit: Floats, n_lost: int) -> float:
    """Mean over draws of the largest of correlated standard normal numbers, one a try.

    The noise of a session depends on its date alone, so that a further try adds numbers to a draw and changes none.
    """
    if unit.shape[1] + n_lost == 0:
        return 0.0
    noise = np.array([_noise(day.toordinal()) for day in days]).reshape(-1, N_DRAWS)  # (T, draws)
    lost = np.array([_noise(-1 - k) for k in range(n_lost)]).reshape(-1, N_DRAWS)
    both = np.concatenate([unit.T @ noise, lost])  # (K, draws)
    return float(both.max(axis=0).mean() - both.min(axis=0).mean()) / 2.0


@lru_cache(maxsize=8192)
def _noise(key: int) -> Floats:
    """(draws,) standard normal numbers of a session, by its ordinal, or of a lost try, by a number below 0."""
    return np.random.default_rng([SEED, abs(key), int(key < 0)]).standard_normal(N_DRAWS)


def _spread(sharpes: Floats) -> float:
    """Sample standard deviation of those that are known; 0 for fewer than two."""
    known = sharpes[~np.isnan(sharpes)]
    return float(known.std(ddof=1)) if len(known) > 1 else 0.0
