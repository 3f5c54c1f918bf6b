"""The gate between a backtest and money: is a candidate ahead of ridge, equal weight and the index at twice the costs,
and further than its own tries would be by luck?

A candidate is promoted where, over the sessions that it shares with all its rivals and net of twice the costs, its
Sharpe ratio is above each of theirs, and its deflated Sharpe ratio is at least DEFLATED_LEAST. Deflation counts the
candidate's own tries: the histories of its family that were run, and each setting that was tried on a validation slice
and not taken. A rival that is missing leaves the answer open, unless another one is lost to.

Sources: docs/backtesting.md; Bailey and Lopez de Prado (2014), The deflated Sharpe ratio, Journal of Portfolio
Management 40 (a ratio that is above the hurdle with 95 % confidence).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Floats
from quant_core.measures.bootstrap import MIN_SESSIONS
from quant_core.measures.joint_bootstrap import central, drawn_counts, drawn_sharpes, longest_block
from quant_core.measures.known_days import known_days
from quant_core.measures.luck import Luck
from quant_core.measures.significance import SharpeMoments, probabilistic_sharpe, sharpe_moments
from quant_core.schema import (
    BENCHMARK,
    EQUAL_WEIGHT_BOOK,
    INDEX_FUND,
    NOT_PROMOTED,
    OPEN,
    PROMOTED,
    RIDGE_BOOK,
    RIVALS,
    Promotion,
    PromotionLeads,
    table_of,
    validate,
)

COST_MULTIPLE = 2.0
DEFLATED_LEAST = 0.95
SQRT_YEAR = math.sqrt(SESSIONS_PER_YEAR)


@dataclass(frozen=True)
class Gate:
    """What the gate says: `candidates` is Promotion, `leads` is PromotionLeads."""

    candidates: pl.DataFrame
    leads: pl.DataFrame


def promotion(stressed: pl.DataFrame, benchmark: pl.DataFrame, luck: Mapping[str, Luck], seed: int) -> Gate:
    """The gate's answer for each candidate.

    Args:
        stressed: StressedReturns at COST_MULTIPLE of the candidates and of the rivals that there are; the first session
            of a book only opens it.
        benchmark: BenchmarkReturns of the same sessions; it pays no costs.
        luck: of each candidate's own tries.
        seed: of the bootstrap.
    """
    excess = _excess(stressed, benchmark)
    begins = {name: _begin(excess, name) for name in excess.columns if name != "date"}
    candidates, leads = [], []
    for begin, names in _by_window(luck, begins).items():
        inside = excess.filter(pl.col("date") >= begin).drop("date")
        present = [name for name in RIVALS if name in inside.columns and not inside[name].null_count()]
        table = inside.select(*dict.fromkeys([*names, *present])).to_numpy()
        lead, drawn = _leads(table, seed)
        place = {name: k for k, name in enumerate(dict.fromkeys([*names, *present]))}
        for name in names:
            rivals = [rival for rival in present if rival != name]
            rows = [_lead_row(name, rival, place, lead, drawn) for rival in rivals]
            candidates.append(_row(name, sharpe_moments(table[:, place[name]]), luck[name], rows))
            leads += rows
    where = "promotion"
    return Gate(
        validate(table_of(Promotion, candidates).sort("strategy"), Promotion, where, "report this as a bug."),
        validate(table_of(PromotionLeads, leads).sort("strategy", "rival"), PromotionLeads, where, "report it."),
    )


def _excess(stressed: pl.DataFrame, benchmark: pl.DataFrame) -> pl.DataFrame:
    """`date` and a column a book of returns over cash, null on its first session and where it has none."""
    first = pl.col("date") == pl.col("date").min().over("strategy")
    rows = stressed.filter(~first).select("date", "strategy", "simple_return_1d")
    index = known_days(benchmark).slice(1).select("date", pl.lit(BENCHMARK).alias("strategy"), "simple_return_1d")
    both = pl.concat([rows, index.filter(pl.col("date").is_in(rows["date"].implode()))])
    cash = both.join(benchmark.select("date", "risk_free_return_1d"), on="date", how="left")
    over = cash.with_columns(pl.col("simple_return_1d") - pl.col("risk_free_return_1d"))
    return over.pivot(on="strategy", index="date", values="simple_return_1d").sort("date")


def _begin(excess: pl.DataFrame, name: str) -> date:
    begin = excess.filter(pl.col(name).is_not_null())["date"].min()
    assert isinstance(begin, date)
    return begin


def _by_window(luck: Mapping[str, Luck], begins: Mapping[str, date]) -> dict[date, list[str]]:
    """First session that a candidate shares with its rivals (those with a book) -> the candidates."""
    latest = max((begins[name] for name in RIVALS if name in begins and name != BENCHMARK), default=date.min)
    found: dict[date, list[str]] = {}
    for name in sorted(name for name in luck if name in begins):
        found.setdefault(max(begins[name], latest), []).append(name)
    return found


def _leads(excess: Floats, seed: int) -> tuple[Floats, Floats]:
    """(K,) Sharpe ratios of (T, K) returns and (D, K) of their resamples, which all take the same sessions."""
    moments = [sharpe_moments(column).sharpe_1d * SQRT_YEAR for column in excess.T]
    if len(excess) < MIN_SESSIONS:
        return np.array(moments), np.full((1, excess.shape[1]), np.nan)
    return np.array(moments), drawn_sharpes(drawn_counts(len(excess), longest_block(excess), seed), excess)


def _lead_row(name: str, rival: str, place: Mapping[str, int], sharpes: Floats, drawn: Floats) -> dict[str, Any]:
    own, other = place[name], place[rival]
    (low,), (high,) = central((drawn[:, own] - drawn[:, other])[:, None])
    return {
        "strategy": name, "rival": rival, "rival_sharpe_ann": sharpes[other], "lead_ann": sharpes[own] - sharpes[other],
        "lead_low_ann": low, "lead_high_ann": high,
    }  # fmt: skip


def _row(name: str, moments: SharpeMoments, luck: Luck, leads: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    hurdle = luck.over_cash_z / math.sqrt(max(moments.n_sessions, 1))
    own, deflated = moments.sharpe_1d * SQRT_YEAR, probabilistic_sharpe(moments, hurdle)
    lost = [row for row in leads if not row["lead_ann"] > 0.0]
    reasons = [f"not above {RIVALS[row['rival']]} ({own:.2f} against {row['rival_sharpe_ann']:.2f})" for row in lost]
    if not deflated >= DEFLATED_LEAST:
        tries = "1 own try" if luck.n_trials == 1 else f"{luck.n_trials} own tries"
        reasons.append(f"deflated Sharpe ratio {deflated:.2f} over {tries}, wanted {DEFLATED_LEAST:g}")
    absent = absent_rivals([row["rival"] for row in leads])
    status = NOT_PROMOTED if reasons else OPEN if absent else PROMOTED
    reasons += [f"no figure of {RIVALS[rival]}" for rival in absent]
    return {
        "strategy": name, "status": status, "n_sessions": moments.n_sessions, "sharpe_ann": own,
        "n_own_trials": luck.n_trials, "expected_max_sharpe_ann": hurdle * SQRT_YEAR, "deflated_sharpe": deflated,
        "reasons": "; ".join(reasons),
    }  # fmt: skip


def absent_rivals(present: Sequence[str]) -> list[str]:
    """Rivals without which nobody is promoted; of the index fund and the benchmark one is enough."""
    needed = [name for name in (RIDGE_BOOK, EQUAL_WEIGHT_BOOK) if name not in present]
    return needed if {INDEX_FUND, BENCHMARK} & set(present) else [*needed, BENCHMARK]
