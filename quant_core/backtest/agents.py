"""What learning agents earned beside books that learn nothing: by agent, by seed, by regime and by year.

The axes are those of TradeMaster's evaluation: profit and risk, diversity of the holdings, reliability over seeds,
universality over kinds of markets, explainability. Everything is measured over the agents' sessions and pays the same
costs; books that began before hold then what they held, as one that keeps its names could not begin anew.

Source: Sun et al., TradeMaster: a holistic quantitative trading platform empowered by reinforcement learning, NeurIPS
Datasets and Benchmarks (2023); Ledoit and Wolf (2008) for intervals of differences of Sharpe ratios.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl

from quant_core.backtest.by_regime import performance_by_regime
from quant_core.backtest.metrics import measure
from quant_core.backtest.simulate import Backtest
from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.measures.joint_bootstrap import central, drawn_counts, drawn_sharpes, longest_block
from quant_core.measures.performance import sharpe
from quant_core.schema import (
    IS_SEED,
    SEED_MARK,
    AgentBooks,
    AgentLeads,
    AgentRegimes,
    AgentSeeds,
    AgentYears,
    table_of,
    validate,
)

BENCHMARK = "benchmark"
BUG = "report this as a bug."
MEASURES = (
    "cagr", "volatility_ann", "sharpe_ann", "sortino_ann", "max_drawdown", "calmar", "turnover_ann", "cost_ann",
    "effective_names", "largest_weight",
)  # fmt: skip
#: Fewer sessions say nothing of a difference.
FEWEST_SESSIONS = 60


class AgentTables(NamedTuple):
    """What is stored of an evaluation.

    Args:
        books: AgentBooks, agents' means and the others; seeds: AgentSeeds; leads: AgentLeads of agents' means over
            every other book; regimes: AgentRegimes; years: AgentYears.
    """

    books: pl.DataFrame
    seeds: pl.DataFrame
    leads: pl.DataFrame
    regimes: pl.DataFrame
    years: pl.DataFrame


def since(result: Backtest, first: date) -> Backtest:
    """What happened from a session on, which only opens the accounts, measured again."""
    dated = ("daily", "positions", "trades", "costs", "benchmark", "failures")
    inside = {name: getattr(result, name).filter(pl.col("date") >= first) for name in dated}
    trips = result.trips.filter(pl.col("exit_date").is_null() | (pl.col("exit_date") >= first))
    cut = replace(result, trips=trips, **inside)
    return replace(cut, metrics=measure(cut.daily, cut.positions, cut.trades, trips, cut.benchmark))


def agent_tables(result: Backtest, agents: Sequence[str], regimes: pl.DataFrame, seed: int) -> AgentTables:
    """The tables of a backtest of agents, their seeds and other books that all start on the same day.

    Args:
        result: of `simulate`, cut by `since` to the agents' sessions.
        agents: strategies that are means of seeds.
        regimes: (date, regime) of the traded method; may be empty.
        seed: of the bootstrap.
    """
    returns = _excess(result)
    measured = result.metrics.select("strategy", *(name for name in MEASURES if name in result.metrics.columns))
    whole = measured.with_columns(is_agent=pl.col("strategy").is_in(list(agents)))
    books = whole.filter(~IS_SEED)
    by_regime = performance_by_regime(result.daily, result.benchmark, regimes) if regimes.height else None
    return AgentTables(
        books=_table(AgentBooks, books, "strategy"),
        seeds=_table(AgentSeeds, _seeds(whole, agents), "agent"),
        leads=_table(AgentLeads, _leads(returns, agents, seed), "agent", "other"),
        regimes=_table(AgentRegimes, _by_regime(by_regime), "strategy", "regime"),
        years=_table(AgentYears, _by_year(returns), "strategy", "year"),
    )  # fmt: skip


def _table(contract: type, rows: pl.DataFrame, *keys: str) -> pl.DataFrame:
    found = table_of(contract, rows.to_dicts()).sort(*keys)
    return validate(found, contract, "rl_evaluation", BUG)


def _excess(result: Backtest) -> pl.DataFrame:
    """`date` and a column a book (seeds too) of returns over cash; the first session only opens the accounts."""
    rows = result.daily.select("date", "strategy", "simple_return_1d")
    index = result.benchmark.select("date", pl.lit(BENCHMARK).alias("strategy"), "simple_return_1d")
    rate = result.benchmark.select("date", "risk_free_return_1d")
    both = pl.concat([rows, index]).join(rate, on="date", how="left")
    over = both.with_columns(pl.col("simple_return_1d") - pl.col("risk_free_return_1d"))
    return over.pivot(on="strategy", index="date", values="simple_return_1d").sort("date").slice(1)


def _seeds(measured: pl.DataFrame, agents: Iterable[str]) -> pl.DataFrame:
    """How far the seeds of an agent lie apart, and where their mean lies among them."""
    rows = []
    for agent in agents:
        own = measured.filter(pl.col("strategy").str.starts_with(f"{agent}{SEED_MARK}"))
        ratios = own["sharpe_ann"].drop_nulls().to_numpy()
        mean = measured.filter(pl.col("strategy") == agent)["sharpe_ann"].to_list()
        error = ratios.std(ddof=1) / math.sqrt(len(ratios)) if len(ratios) > 1 else None
        rows.append({
            "agent": agent, "n_seeds": own.height, "sharpe_of_mean_ann": mean[0] if mean else None,
            "sharpe_low_ann": _or_none(ratios, np.min), "sharpe_median_ann": _or_none(ratios, np.median),
            "sharpe_high_ann": _or_none(ratios, np.max), "sharpe_se_ann": error,
            "cagr_low": own["cagr"].min(), "cagr_high": own["cagr"].max(),
            "turnover_low_ann": own["turnover_ann"].min(), "turnover_high_ann": own["turnover_ann"].max(),
        })  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None)


def _or_none(values: np.ndarray, of: object) -> float | None:
    return float(of(values)) if len(values) else None  # type: ignore[operator]


def _leads(returns: pl.DataFrame, agents: Sequence[str], seed: int) -> pl.DataFrame:
    """Difference of Sharpe ratios of every agent's mean and every other book on the sessions that both have."""
    others = [name for name in returns.columns if name != "date" and SEED_MARK not in name]
    rows: list[dict[str, object]] = []
    for agent in (name for name in agents if name in others):
        for other in (name for name in others if name != agent):
            pair = returns.select(agent, other).drop_nulls().to_numpy()
            low = high = None
            if len(pair) >= FEWEST_SESSIONS:
                drawn = drawn_sharpes(drawn_counts(len(pair), longest_block(pair), seed), pair)
                (low,), (high,) = central((drawn[:, 0] - drawn[:, 1])[:, None])
            own, theirs = (sharpe(column, np.zeros(len(column))) for column in pair.T)
            rows.append({
                "agent": agent, "other": other, "n_sessions": len(pair), "sharpe_ann": own, "other_sharpe_ann": theirs,
                "lead_ann": own - theirs, "lead_low_ann": low, "lead_high_ann": high,
            })  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None)


def _by_regime(table: pl.DataFrame | None) -> pl.DataFrame:
    if table is None:
        return pl.DataFrame()
    own = table.filter(~IS_SEED)
    return own.select("strategy", "regime", "n_sessions", "return_ann", "volatility_ann", "sharpe_ann", "max_drawdown")


def _by_year(returns: pl.DataFrame) -> pl.DataFrame:
    """Sharpe ratio of every calendar year."""
    long = returns.unpivot(index="date", variable_name="strategy", value_name="excess").drop_nulls()
    own = long.filter(~IS_SEED)
    ratio = pl.col("excess").mean() / pl.col("excess").std() * math.sqrt(SESSIONS_PER_YEAR)
    grouped = own.group_by("strategy", pl.col("date").dt.year().alias("year"))
    return grouped.agg(n_sessions=pl.len(), sharpe_ann=ratio).with_columns(pl.col("sharpe_ann").fill_nan(None))
