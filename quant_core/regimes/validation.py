"""What a history of regimes is worth: stress that it saw and how late, alarms about nothing, what its names stand for,
how alike methods are.

Everything is out of sample: the tables say which fold made each label. A label dated t is known at the close of t, so
it is held against the return of the session after it. Whether a refit keeps its states is in `refits`; a strategy's own
performance by regime belongs to the backtest.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import dataframely as dy
import numpy as np
import polars as pl

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.measures import performance as p
from quant_core.regimes.stress import STRESS_WINDOWS, StressWindow
from quant_core.schema import (
    BEAR,
    CRISIS,
    RegimeAgreement,
    RegimeAlarms,
    RegimeRecall,
    RegimeStatistics,
    RegimeSummary,
    table_of,
    validate,
)

#: An alarm is false where the index did not lose this much (what is commonly called a correction) within a quarter of
#: the close at which the alarm was known: whoever then left the market for a quarter was spared nothing of note.
CORRECTION, ALARM_SESSIONS = -0.10, 63
BUG = "report this as a bug."


class RegimeTables(NamedTuple):
    """What is told of every method's labels."""

    recall: pl.DataFrame  # RegimeRecall
    alarms: pl.DataFrame  # RegimeAlarms
    statistics: pl.DataFrame  # RegimeStatistics
    summary: pl.DataFrame  # RegimeSummary
    agreement: pl.DataFrame  # RegimeAgreement


def regime_quality(regimes: pl.DataFrame, inputs: pl.DataFrame) -> RegimeTables:
    """Every method judged by what it said out of sample.

    Args:
        regimes: Regimes.
        inputs: rows (date, return_1d) of at least the same sessions, the index' log returns.
    Raises:
        DataError: a label of a session that the inputs lack.
    """
    alarms, statistics = crisis_alarms(regimes, inputs), regime_statistics(regimes, inputs)
    summary = regime_summary(regimes, statistics, alarms)
    return RegimeTables(stress_recall(regimes), alarms, statistics, summary, regime_agreement(regimes))


def stress_recall(regimes: pl.DataFrame, windows: Sequence[StressWindow] = STRESS_WINDOWS) -> pl.DataFrame:
    """How much of each stress window was labelled Crisis, and how long the first such label took.

    Delay = position of the first Crisis session in the window, counted from 0. Only windows that lie between a
    method's first and last session are told.

    Args:
        regimes: Regimes.
    Returns:
        RegimeRecall.
    """
    rows = []
    for method, labels in _by_method(regimes):
        first, last = labels["date"][0], labels["date"][-1]
        for window in windows:
            inside = labels.filter(pl.col("date").is_between(window.first, window.last))
            if inside.height and first <= window.first and window.last <= last:
                rows.append({"method": method, "window": window.name, "happened": window.happened, **_seen(inside)})
    return _table(rows, RegimeRecall)


def crisis_alarms(
    regimes: pl.DataFrame, inputs: pl.DataFrame, windows: Sequence[StressWindow] = STRESS_WINDOWS
) -> pl.DataFrame:
    """Every unbroken run of Crisis, and whether it was about nothing.

    An alarm is false where it begins outside every stress window and no close of the 63 sessions after its first
    session lies 10 % or more below the close of that session. It is not judged where fewer sessions followed, nor where
    it is the first row of its method, for it may have begun before.

    Args:
        regimes: Regimes.
        inputs: rows (date, return_1d), the index' log returns; an unknown one counts as 0.
    Returns:
        RegimeAlarms.
    Raises:
        DataError: a label of a session that the inputs lack.
    """
    _refuse_unknown(regimes, inputs)
    after, rows = _worst_after(inputs), []
    for method, labels in _by_method(regimes):
        runs = _runs(labels).filter(pl.col("regime") == CRISIS).join(after, on="date", how="left")
        for run in runs.iter_rows(named=True):
            day, worst = run["date"], run["worst_return_63d"]
            window = next((one.name for one in windows if one.first <= day <= one.last), None)
            is_judged = worst is not None and day > labels["date"][0]
            rows.append({
                "method": method, "first_date": day, "n_sessions": run["n_sessions"], "window": window,
                "worst_return_63d": worst,
                "is_false": (window is None and worst > CORRECTION) if is_judged else None,
            })  # fmt: skip
    return _table(rows, RegimeAlarms)


def regime_statistics(regimes: pl.DataFrame, inputs: pl.DataFrame) -> pl.DataFrame:
    """What each name stood for: the returns of the sessions after it, and how long it lasted.

    Args:
        regimes: Regimes.
        inputs: rows (date, return_1d), the index' log returns; sessions whose next return is unknown are counted, but
            have no part in the figures of returns.
    Returns:
        RegimeStatistics: `return_ann` compounded over 252 sessions of the regime, `volatility_ann` with ddof 1.
    Raises:
        DataError: a label of a session that the inputs lack.
    """
    _refuse_unknown(regimes, inputs)
    coming = inputs.sort("date").select("date", next_return=_known("return_1d").shift(-1))
    rows = []
    for method, labels in _by_method(regimes):
        known, runs = labels.join(coming, on="date", how="left"), _runs(labels)
        for (regime,), own in known.partition_by("regime", as_dict=True).items():
            spells = runs.filter(pl.col("regime") == regime).height
            rows.append({
                "method": method, "regime": regime, "n_sessions": own.height,
                "session_share": own.height / labels.height,
                **_earned(np.expm1(own["next_return"].drop_nulls().to_numpy())),
                "n_spells": spells, "mean_duration_sessions": own.height / spells,
            })  # fmt: skip
    return _table(rows, RegimeStatistics)


def regime_summary(regimes: pl.DataFrame, statistics: pl.DataFrame, alarms: pl.DataFrame) -> pl.DataFrame:
    """One row a method, from its labels and the tables made of them.

    `switches_ann` = 252 x switches / (sessions - 1). `false_alarms_ann` = 252 x false alarms / sessions with 63 more
    behind them, on which alone an alarm can be judged.

    Args:
        regimes: Regimes.
        statistics: RegimeStatistics of them.
        alarms: RegimeAlarms of them.
    Returns:
        RegimeSummary.
    """
    rows = []
    for method, labels in _by_method(regimes):
        own, wrong = alarms.filter(pl.col("method") == method), pl.col("is_false").fill_null(False)
        n, n_false, judged = labels.height, own.filter(wrong).height, labels.height - ALARM_SESSIONS
        rows.append({
            "method": method, "n_sessions": n, "crisis_share": (labels["regime"] == CRISIS).sum() / n,
            "switches_ann": SESSIONS_PER_YEAR * (_runs(labels).height - 1) / (n - 1) if n > 1 else None,
            "n_crisis_spells": own.height, "n_false_alarms": n_false,
            "false_alarms_ann": SESSIONS_PER_YEAR * n_false / judged if judged > 0 else None,
            "is_crisis_worst": is_crisis_worst(statistics.filter(pl.col("method") == method)),
        })  # fmt: skip
    return _table(rows, RegimeSummary)


def is_crisis_worst(statistics: pl.DataFrame) -> bool | None:
    """Whether Crisis has the highest volatility and the worst drawdown of a method's names; None where it has none.

    Args:
        statistics: RegimeStatistics of one method; names without a volatility are not compared.
    """
    known = statistics.drop_nulls(["volatility_ann", "max_drawdown"])
    crisis = known.filter(pl.col("regime") == CRISIS)
    if crisis.is_empty():
        return None
    own = crisis.row(0, named=True)
    return bool(
        own["volatility_ann"] == known["volatility_ann"].max() and own["max_drawdown"] == known["max_drawdown"].min()
    )


def regime_agreement(regimes: pl.DataFrame) -> pl.DataFrame:
    """How alike each pair of methods is, on the sessions that both label.

    Args:
        regimes: Regimes.
    Returns:
        RegimeAgreement, each pair once, `method` before `other` in the alphabet.
    """
    labels = dict(_by_method(regimes))
    rows = []
    for method, other in combinations(sorted(labels), 2):
        both = labels[method].join(labels[other], on="date", suffix="_other")
        if both.height:
            own, its = both["regime"], both["regime_other"]
            rows.append({
                "method": method, "other": other, "n_sessions": both.height, "equal_share": (own == its).mean(),
                "adjusted_rand": adjusted_rand(own, its),
            })  # fmt: skip
    return _table(rows, RegimeAgreement)


def adjusted_rand(labels: pl.Series, others: pl.Series) -> float:
    """Pairs of sessions that two partitions treat alike, beyond what chance gives.

    With n_ij sessions in i here and j there, a_i and b_j the sums of rows and columns, S = sum C(n_ij, 2),
    A = sum C(a_i, 2), B = sum C(b_j, 2), E = A B / C(n, 2): (S - E) / ((A + B) / 2 - E); 1 where both partitions are
    trivial in the same way, as in scikit-learn.

    Source: Hubert and Arabie, Comparing Partitions, Journal of Classification 2 (1985), eq. 5.
    """
    if len(labels) != len(others):
        raise DataError(f"adjusted_rand: {len(labels)} labels beside {len(others)}; wanted the same sessions.")
    both = pl.DataFrame({"a": labels, "b": others})

    def pairs(*keys: str) -> float:
        return sum(math.comb(n, 2) for n in both.group_by(keys).len()["len"])

    together, own, its, every = pairs("a", "b"), pairs("a"), pairs("b"), math.comb(both.height, 2)
    expected = own * its / every if every else 0.0
    most = (own + its) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def _refuse_unknown(regimes: pl.DataFrame, inputs: pl.DataFrame) -> None:
    lost = regimes.join(inputs, on="date", how="anti").sort("date")
    if lost.height:
        raise DataError(
            f"regimes: {lost.height} labels are of sessions without a row of the index, first {lost['date'][0]}; give "
            "the inputs of every labelled session."
        )


def _seen(inside: pl.DataFrame) -> dict[str, Any]:
    """Of the labels inside one window."""
    is_crisis = inside["regime"] == CRISIS
    first = is_crisis.arg_max() if is_crisis.any() else None
    return {
        "first_date": inside["date"][0], "last_date": inside["date"][-1], "n_sessions": inside.height,
        "crisis_share": is_crisis.mean(), "crisis_or_bear_share": inside["regime"].is_in([CRISIS, BEAR]).mean(),
        "delay_sessions": first,
    }  # fmt: skip


def _worst_after(inputs: pl.DataFrame) -> pl.DataFrame:
    """Rows (date, worst_return_63d) of the sessions that have ALARM_SESSIONS more behind them."""
    ordered = inputs.sort("date").select("date", _known("return_1d").fill_null(0.0))
    level = np.cumsum(ordered["return_1d"].to_numpy())
    n = max(len(level) - ALARM_SESSIONS, 0)
    ahead = np.lib.stride_tricks.sliding_window_view(level[1:], ALARM_SESSIONS) if n else np.empty((0, 1))
    worst = np.expm1(ahead.min(axis=1) - level[:n]) if n else np.empty(0)
    return ordered.head(n).select("date", pl.Series("worst_return_63d", worst))


def _earned(returns: Floats) -> dict[str, float | None]:
    if not len(returns):
        return dict.fromkeys(("return_ann", "volatility_ann", "max_drawdown"))
    return {
        "return_ann": p.growth_ann(returns), "volatility_ann": p.volatility_ann(returns),
        "max_drawdown": p.max_drawdown(returns),
    }  # fmt: skip


def _by_method(regimes: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Each method's labels (date, regime) in order; its rows count as consecutive sessions."""
    ordered = regimes.sort("method", "date")
    tables = ordered.partition_by("method", as_dict=True, maintain_order=True)
    return [(str(method), table.select("date", "regime")) for (method,), table in tables.items()]


def _runs(labels: pl.DataFrame) -> pl.DataFrame:
    """Rows (date, regime, n_sessions) of unbroken runs, in order; the date is the run's first."""
    run = pl.col("regime").rle_id().alias("run")
    runs = labels.group_by(run, maintain_order=True).agg(
        pl.col("date").first(), pl.col("regime").first(), n_sessions=pl.len()
    )
    return runs.drop("run")


def _known(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Float64).fill_nan(None)


def _table(rows: Sequence[dict[str, Any]], schema: type[dy.Schema]) -> pl.DataFrame:
    """Rows as their contract has them, sorted by its key."""
    table = table_of(schema, rows).sort(schema.primary_key())
    return validate(table, schema, schema.__name__, BUG)
