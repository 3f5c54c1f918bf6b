"""How strategies did in each market regime, and how regimes follow each other. Finding regimes belongs elsewhere.

A label dated t is known at the close of t, so it is applied to the return of the next session: grouping the return of t
by the label of t would sort sessions by what happened in them.
"""

import numpy as np
import polars as pl

from quant_core.errors import DataError
from quant_core.measures import performance as p
from quant_core.measures.known_days import known_days
from quant_core.measures.transitions import transitions

BENCHMARK = "benchmark"
SCHEMA = {
    "strategy": pl.String,
    "regime": pl.String,
    "n_sessions": pl.Int32,
    "session_share": pl.Float64,
    "return_ann": pl.Float64,
    "volatility_ann": pl.Float64,
    "sharpe_ann": pl.Float64,
    "max_drawdown": pl.Float64,
    "hit_rate": pl.Float64,
    "turnover_ann": pl.Float64,
}


def performance_by_regime(daily: pl.DataFrame, benchmark: pl.DataFrame, regimes: pl.DataFrame) -> pl.DataFrame:
    """Measures of each strategy, and of the benchmark where it is known, over the sessions of each regime.

    The regime of a session is the newest label dated before it; sessions before the first label have none and are left
    out, and so is the first session of each strategy, which only opens the account.

    Args:
        daily: BacktestDaily.
        benchmark: BenchmarkReturns of at least the same sessions.
        regimes: rows (date, regime), one label a session, known at its close.
    Returns:
        rows (strategy, regime), the benchmark as strategy "benchmark": `n_sessions`, `session_share` (of the strategy's
        labelled sessions), `return_ann` (compounded over 252 sessions of the regime), `volatility_ann`, `sharpe_ann`
        (excess over risk_free_return_1d), `max_drawdown` (of the regime's sessions put one after the other),
        `hit_rate`, `turnover_ann` (null for the benchmark); null where undefined.
    Raises:
        DataError: two labels for a date, a missing label, or a session of `daily` that the benchmark lacks.
    """
    labels = _labels(regimes)
    own = daily.select("date", "strategy", "simple_return_1d", "turnover_1d")
    if BENCHMARK in own["strategy"]:
        raise DataError(f"by_regime: a strategy is called {BENCHMARK!r}, the name of the index; rename the strategy.")
    index = known_days(benchmark).select(
        "date", pl.lit(BENCHMARK).alias("strategy"), "simple_return_1d", pl.lit(None, pl.Float64).alias("turnover_1d")
    )
    rows = pl.concat([own, index]).join(benchmark.select("date", "risk_free_return_1d"), on="date", how="left")
    lost = rows.filter(pl.col("risk_free_return_1d").is_null())
    if lost.height:
        raise DataError(
            f"by_regime: the benchmark has no rate for {lost.sort('date')['date'][0]} ({lost.height} such rows); "
            "make it for every session of the backtest."
        )
    earned = rows.sort("strategy", "date").filter(pl.col("date") > pl.col("date").min().over("strategy"))
    labelled = (
        earned.sort("date")
        .join_asof(labels, on="date", strategy="backward", allow_exact_matches=False)
        .drop_nulls("regime")
        .sort("strategy", "regime", "date")
    )
    sessions = dict(labelled.group_by("strategy").len().iter_rows())
    table = [
        {"strategy": strategy, "regime": regime, **_measures(part, sessions[strategy])}
        for (strategy, regime), part in labelled.group_by("strategy", "regime", maintain_order=True)
    ]
    return pl.DataFrame(table, schema=SCHEMA).with_columns(pl.selectors.float().fill_nan(None))


def regime_transitions(regimes: pl.DataFrame) -> pl.DataFrame:
    """How often one regime followed another from a session to the next, and how long it stayed: see `transitions`.

    Args:
        regimes: rows (date, regime), one label a session; the rows count as consecutive sessions.
    Raises:
        DataError: two labels for a date, or a missing one.
    """
    return transitions(_labels(regimes)["regime"])


def _labels(regimes: pl.DataFrame) -> pl.DataFrame:
    labels = regimes.select("date", "regime").sort("date")
    missing = labels.filter(pl.col("regime").is_null())
    if missing.height:
        raise DataError(
            f"by_regime: {missing['date'][0]} has no label ({missing.height} such rows); leave out what has none."
        )
    twice = labels.filter(pl.col("date").is_duplicated())
    if twice.height:
        raise DataError(
            f"by_regime: {twice['date'][0]} has {twice.filter(pl.col('date') == twice['date'][0]).height} labels; "
            "wanted one market-level label a session."
        )
    return labels


def _measures(part: pl.DataFrame, n_labelled: int) -> dict[str, float | int | None]:
    returns = part["simple_return_1d"].to_numpy()
    traded = part["turnover_1d"].to_numpy()
    return {
        "n_sessions": len(returns),
        "session_share": len(returns) / n_labelled,
        "return_ann": p.growth_ann(returns),
        "volatility_ann": p.volatility_ann(returns),
        "sharpe_ann": p.sharpe(returns, part["risk_free_return_1d"].to_numpy()),
        "max_drawdown": p.max_drawdown(returns),
        "hit_rate": p.hit_rate(returns),
        "turnover_ann": None if np.isnan(traded).any() else p.annual_turnover(traded),
    }
