"""Trials side by side, out of sample: ranked by the deflated Sharpe ratio over everything that was tried, with the odds
that choosing among them is overfitting, and what the promotion gate says of each.

What belongs here: the table. The measures are `measures`, the gate is `promotion`.

Sources: Bailey and Lopez de Prado (2014), The deflated Sharpe ratio; Bailey, Borwein, Lopez de Prado and Zhu (2017),
The probability of backtest overfitting (CSCV); both as `measures.luck` and `measures.overfitting` cite them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from quant_core.backtest.promotion import promotion
from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.measures.luck import Luck, clusters, histories
from quant_core.measures.overfitting import overfitting_of
from quant_core.measures.significance import probabilistic_sharpe, sharpe_moments
from quant_core.schema import RIVALS, FailedTrials, Leaderboard, LeaderboardSummary, dtypes_of, table_of, validate

SQRT_YEAR = math.sqrt(SESSIONS_PER_YEAR)
SHOWN = ("cagr", "max_drawdown", "turnover_ann", "cost_ann", "mean_rank_ic")
BUG = "report this as a bug."


@dataclass(frozen=True)
class Board:
    """The table of trials: `ranked` is Leaderboard, `summary` LeaderboardSummary, `failed` FailedTrials."""

    ranked: pl.DataFrame
    summary: pl.DataFrame
    failed: pl.DataFrame


def board(
    daily: pl.DataFrame,
    benchmark: pl.DataFrame,
    stressed: pl.DataFrame,
    measured: pl.DataFrame,
    luck: Luck | None,
    own_luck: Mapping[str, Luck],
    failed: Mapping[str, str],
    seed: int,
) -> Board:
    """Rank trials.

    Args:
        daily: BacktestDaily of the trials, each one's `strategy` its key.
        benchmark: BenchmarkReturns of all their sessions.
        stressed: StressedReturns at twice the costs of the trials and of the rivals that there are.
        measured: `trial` and SHOWN of each.
        luck: the hurdle of everything that the profile tried, the trials included; None where there is no trial.
        own_luck: trial -> the hurdle of the tries of its own kind of book, which the gate asks for.
        failed: trial -> why.
        seed: of the gate's bootstrap.
    Returns:
        the same tables for the same input: no clock is read and no name of a run is kept.
    """
    lost = pl.DataFrame(sorted(failed.items()), schema=dtypes_of(FailedTrials), orient="row")
    lost = validate(lost, FailedTrials, "leaderboard", BUG)
    if daily.is_empty() or luck is None:
        none = {name: 0 for name in ("n_trials", "n_clusters", "n_registered", "n_registered_clusters")}
        summary = table_of(LeaderboardSummary, [none | {"n_failed": lost.height}])
        return Board(Leaderboard.create_empty(), summary, lost)
    tried = histories(daily, benchmark).rename({"strategy": "trial"})
    founder = clusters(tried)
    verdicts = _verdicts(stressed, benchmark, own_luck, seed)
    shown = {str(row["trial"]): row for row in measured.iter_rows(named=True)}
    rows = []
    for (name,), own in sorted(tried.partition_by("trial", as_dict=True).items()):
        trial, verdict = str(name), verdicts[str(name)]
        told = {column: shown[trial][column] for column in SHOWN}
        gate_says = {"stressed_sharpe_ann": verdict["sharpe_ann"], "status": verdict["status"]}
        rows.append({"trial": trial, "cluster": founder[trial], **_odds(own, luck), **told, **gate_says,
                     "reasons": verdict["reasons"]})  # fmt: skip
    order = sorted(rows, key=lambda row: (-_low(row["deflated_sharpe"]), -_low(row["sharpe_ann"]), row["trial"]))
    ranked = table_of(Leaderboard, [{"rank": k, **row} for k, row in enumerate(order, 1)])
    found = overfitting_of(tried, _common_days(tried))
    summary = table_of(LeaderboardSummary, [{
        "n_trials": len(rows), "n_clusters": len(set(founder.values())), "n_failed": lost.height,
        "n_registered": luck.n_trials, "n_registered_clusters": luck.n_clusters,
        **({} if found is None else {
            "pbo": found.pbo, "n_splits": found.n_splits, "degradation_slope": found.degradation_slope,
            "loss_probability": found.loss_probability,
        }),
    }])  # fmt: skip
    return Board(
        validate(ranked, Leaderboard, "leaderboard", BUG),
        validate(summary, LeaderboardSummary, "leaderboard", BUG),
        lost,
    )


def _verdicts(
    stressed: pl.DataFrame, benchmark: pl.DataFrame, own_luck: Mapping[str, Luck], seed: int
) -> dict[str, dict[str, Any]]:
    """The gate's row of each trial; those that end on one day are judged together, over the days until then."""
    ends = stressed.filter(pl.col("strategy").is_in(list(own_luck))).group_by("strategy").agg(pl.col("date").max())
    found: dict[str, dict[str, Any]] = {}
    for (end,), group in sorted(ends.partition_by("date", as_dict=True).items()):
        names = group["strategy"].to_list()
        judged = stressed.filter(pl.col("date") <= end, pl.col("strategy").is_in([*names, *RIVALS]))
        until = benchmark.filter(pl.col("date") <= end)
        gate = promotion(judged, until, {name: own_luck[name] for name in sorted(names)}, seed)
        found |= {str(row["strategy"]): row for row in gate.candidates.iter_rows(named=True)}
    return found


def _odds(own: pl.DataFrame, luck: Luck) -> dict[str, Any]:
    """How far one history's Sharpe ratio is from luck."""
    excess = own.select(pl.col("simple_return_1d") - pl.col("risk_free_return_1d")).to_series().to_numpy()
    moments = sharpe_moments(excess)
    hurdle_1d = luck.over_cash_z / math.sqrt(max(moments.n_sessions, 1))
    return {
        "n_sessions": moments.n_sessions, "sharpe_ann": moments.sharpe_1d * SQRT_YEAR,
        "probabilistic_sharpe": probabilistic_sharpe(moments), "expected_max_sharpe_ann": hurdle_1d * SQRT_YEAR,
        "deflated_sharpe": probabilistic_sharpe(moments, hurdle_1d),
    }  # fmt: skip


def _low(value: float | None) -> float:
    return -math.inf if value is None or math.isnan(value) else value


def _common_days(tried: pl.DataFrame) -> pl.Series:
    """Sessions that every trial has, in order."""
    n_trials = tried["trial"].n_unique()
    counted = tried.group_by("date").agg(pl.col("trial").n_unique()).filter(pl.col("trial") == n_trials)
    return counted["date"].sort()
