"""What trying many strategies does to the best of them: which tries count, and how often the best one is luck.

What belongs here: comparing return histories with each other. What does not: the odds of one history's Sharpe ratio
(`significance`), its interval (`bootstrap`).

Source: Bailey, Borwein, Lopez de Prado and Zhu (2017), The probability of backtest overfitting, Journal of
Computational Finance 20 (combinatorially symmetric cross-validation, CSCV).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from quant_core import dense
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.measures.bootstrap import checked_returns
from quant_core.measures.risk import FLAT

N_BLOCKS = 16
MAX_BLOCKS = 20  # 184,756 splits; each two blocks more make about four times as many
CHUNK_CELLS = 2**20  # splits x strategies held at once
ROUNDING = 1e-12  # Sharpe ratios (relative, where above 1) and shares of a sum of squares nearer than this are equal

MIN_COMMON_SESSIONS = 60
SETTLING_SESSIONS = 5
SAME_SHARE = 0.01
OWN = ""  # no trial has an empty name


@dataclass(frozen=True)
class Overfitting:
    """How the strategy that was best in one half of the sessions did in the other, over every split.

    Args:
        pbo: share of the splits in which it was below the median of the other half; exactly at the median (the middle
            of an odd number, or a tie of all) counts half, so that choosing among equals gives 0.5.
        logits: (n_splits,) ln(w / (1 - w)) of its relative rank w = rank / (S + 1) out of sample; below 0 is overfit.
        n_splits: C(n_blocks, n_blocks / 2).
        n_trials: S, the histories that were ranked.
        degradation_slope: of its out-of-sample Sharpe ratio on the in-sample one; NaN where the latter never varies.
        loss_probability: share of the splits in which its out-of-sample Sharpe ratio was below 0.
        sharpe_in_1d, sharpe_out_1d: (n_splits,) its Sharpe ratios per session in and out of sample.
    """

    pbo: float
    logits: Floats
    n_splits: int
    n_trials: int
    degradation_slope: float
    loss_probability: float
    sharpe_in_1d: Floats
    sharpe_out_1d: Floats


def probability_of_backtest_overfitting(returns: ArrayLike, n_blocks: int = N_BLOCKS) -> Overfitting:
    """CSCV: cut time into blocks, choose the best Sharpe ratio on every half of them, rank it on the other half.

    Ties: the choice among equal in-sample Sharpe ratios falls on the first column; equal out-of-sample ones share their
    mean rank. A column that is constant over a half has Sharpe ratio 0 there: it took no risk. Every split works on
    sums and sums of squares of the blocks, so its cost does not depend on T.

    Args:
        returns: (T, S) excess returns of S strategies on the same sessions.
        n_blocks: even, 2 to 20. Blocks are equally long: where T is not a multiple, the oldest rows are dropped.
    Raises:
        DataError: fewer than two strategies, fewer than two sessions a block, an odd or too large number of blocks, a
            return that is not finite.
    """
    values = checked_returns(returns, "overfitting", n_dims=2)
    length = len(values) // n_blocks if n_blocks > 0 else 0
    if values.shape[1] < 2:
        raise DataError(f"overfitting: {values.shape[1]} strategies; wanted at least two to choose from.")
    if n_blocks % 2 or not 2 <= n_blocks <= MAX_BLOCKS or length < 2:
        raise DataError(
            f"overfitting: {n_blocks} blocks of {len(values)} sessions; wanted an even number from 2 to {MAX_BLOCKS} "
            "with at least two sessions each."
        )
    blocks = values[len(values) - length * n_blocks :].reshape(n_blocks, length, -1)  # (B, L, S)
    splits = np.array(list(combinations(range(n_blocks), n_blocks // 2)))
    parts = [_best_and_its_rank(inside, outside) for inside, outside in _sharpes_of_halves(blocks, splits)]
    sharpe_in, sharpe_out, rank = (np.concatenate(column) for column in zip(*parts, strict=True))
    share = rank / (values.shape[1] + 1.0)
    logits = np.log(share / (1.0 - share))
    below, level = rank < (values.shape[1] + 1.0) / 2.0, rank == (values.shape[1] + 1.0) / 2.0
    return Overfitting(
        pbo=float(below.mean() + level.mean() / 2.0),
        logits=logits,
        n_splits=len(splits),
        n_trials=values.shape[1],
        degradation_slope=_slope(sharpe_in, sharpe_out),
        loss_probability=float((sharpe_out < 0.0).mean()),
        sharpe_in_1d=sharpe_in,
        sharpe_out_1d=sharpe_out,
    )


def overfitting_of(tried: pl.DataFrame, days: pl.Series) -> Overfitting | None:
    """CSCV over the trials that cover every tested session; None where too few do, or for too short a test.

    Args:
        tried: `trial`, `date`, `simple_return_1d`, `risk_free_return_1d`, one row a session and trial.
        days: (T,) sessions of the test.
    """
    inside = tried.filter(pl.col("date").is_in(days.implode()))
    whole = inside.filter(pl.len().over("trial") == len(days)).sort("trial", "date")
    names = whole["trial"].unique(maintain_order=True).to_list()
    if len(names) < 2 or len(days) < 2 * N_BLOCKS:
        return None
    excess = whole.select(pl.col("simple_return_1d") - pl.col("risk_free_return_1d")).to_series().to_numpy()
    return probability_of_backtest_overfitting(np.reshape(excess, (len(names), -1)).T)


def overfitting_by_family(tried: pl.DataFrame, days: pl.Series, registered: Sequence[str]) -> dict[str, Overfitting]:
    """`overfitting_of` the variants of each family of which at least two cover the whole test.

    Args:
        tried: as in `overfitting_of`, with `strategy`.
        registered: names of the strategies that there are; a book's family is one of them.
    """
    found = {}
    names = tried["strategy"].unique().sort().to_list()
    for name in sorted({family(strategy, registered) for strategy in names}):
        variants = tried.filter(pl.col("strategy").is_in([own for own in names if family(own, registered) == name]))
        one = overfitting_of(variants, days)
        if one is not None:
            found[name] = one
    return found


def family(strategy: str, registered: Sequence[str]) -> str:
    """The registered strategy whose variant this is: top_n for top_n_ridge; its own name where there is none."""
    known = [name for name in registered if strategy == name or strategy.startswith(f"{name}_")]
    return max(known, key=len, default=strategy)


def _sharpes_of_halves(blocks: Floats, splits: NDArray[np.int64]) -> Iterator[tuple[Floats, Floats]]:
    """Sharpe ratios (C, S) inside and outside the chosen blocks, a chunk of splits at a time."""
    n_blocks, length, n_strategies = blocks.shape
    centre = blocks.mean(axis=(0, 1))  # squares of centred values lose no digits to the mean
    sums, squares = (blocks - centre).sum(axis=1), ((blocks - centre) ** 2).sum(axis=1)  # (B, S) both
    chunk = max(1, CHUNK_CELLS // n_strategies)
    for start in range(0, len(splits), chunk):
        part = splits[start : start + chunk]
        inside = np.zeros((len(part), n_blocks))
        np.put_along_axis(inside, part, 1.0, axis=1)
        yield tuple(  # type: ignore[misc]
            _sharpe(half @ sums, half @ squares, centre, length * n_blocks // 2) for half in (inside, 1.0 - inside)
        )


def _sharpe(total: Floats, squares: Floats, centre: Floats, n: int) -> Floats:
    """Mean over sample standard deviation from sums of values less `centre`; 0 where the values are constant."""
    spread = squares - total**2 / n
    is_flat = (spread <= ROUNDING * squares) | (spread <= n * FLAT**2)
    return np.where(is_flat, 0.0, (centre + total / n) / np.sqrt(np.where(is_flat, 1.0, spread) / (n - 1)))


def _best_and_its_rank(inside: Floats, outside: Floats) -> tuple[Floats, Floats, Floats]:
    """Of each row's best column inside: its values inside and outside, its rank outside from 1 (worst) to S."""
    row = np.arange(len(inside))
    top = inside.max(axis=1, keepdims=True)
    best = np.argmax(inside >= top - _rounding(top), axis=1)  # the first of those that are equal
    chosen = outside[row, best][:, None]
    worse = (outside < chosen - _rounding(chosen)).sum(axis=1)
    equal = (np.abs(outside - chosen) <= _rounding(chosen)).sum(axis=1)  # itself included
    return inside[row, best], chosen[:, 0], worse + (equal + 1.0) / 2.0


def _rounding(values: Floats) -> Floats:
    """Products of matrices round the same column differently at another place."""
    return ROUNDING * np.maximum(1.0, np.abs(values))


def _slope(x: Floats, y: Floats) -> float:
    centred = x - x.mean()
    variance = float(centred @ centred)
    return float(centred @ (y - y.mean())) / variance if variance > len(x) * ROUNDING**2 else math.nan


def trials_like(history: pl.DataFrame, trials: pl.DataFrame) -> list[str]:
    """The trials that are the same bet as `history`, in order of appearance.

    Two histories are one trial where, over their common sessions, the standard deviation of their difference is at most
    1 % of that of either. The number of trials measures how many different bets luck could choose from: a rerun, a
    longer run, a restated price or another cost assumption follows the same bet again and adds nothing to choose from,
    while a doubled stake or a changed rule differs on most days by more than that. Fewer than 60 common sessions
    cannot show it, so that both count, which makes the deflated Sharpe ratio stricter. The first five sessions of each
    are left out: they open the account and buy the first holdings, whatever the bet.

    Args:
        history: `date`, `simple_return_1d`, one row a session.
        trials: `trial`, `date`, `simple_return_1d`, one row a session and trial.
    Raises:
        DataError: a return that is missing or not finite, a session that a trial has twice.
    """
    if history.is_empty() or trials.is_empty():
        return []
    names, panel = _panel(pl.concat([_long(history, OWN), _long(trials)]))
    same = _is_same(panel[:, :1], panel[:, 1:])[0]
    return [name for name, is_like in zip(names[1:], same, strict=True) if is_like]


def _long(table: pl.DataFrame, trial: str | None = None) -> pl.DataFrame:
    """`trial`, `date`, `simple_return_1d` of settled sessions; checked."""
    checked_returns(table["simple_return_1d"].cast(pl.Float64).to_numpy(), "trials")
    name = pl.col("trial").cast(pl.String) if trial is None else pl.lit(trial).alias("trial")
    rows = table.select(name, "date", pl.col("simple_return_1d").cast(pl.Float64))
    repeated = rows.filter(pl.struct("trial", "date").is_duplicated())
    if len(repeated):
        raise DataError(f"trials: {repeated.row(0)[:2]} is there twice; wanted one return a trial and session.")
    is_settled = pl.int_range(pl.len()).over("trial", order_by="date") >= SETTLING_SESSIONS
    # a row without a date keeps the trial's place among the names even where nothing of it is settled
    return rows.with_columns(pl.when(is_settled).then("date").alias("date"))


def _panel(rows: pl.DataFrame) -> tuple[list[str], Floats]:
    """Names in order of appearance and (T, K) returns, NaN where a trial has none."""
    names, settled = rows["trial"].unique(maintain_order=True), rows.drop_nulls("date")
    cells = dense.cells(settled, settled["date"].unique().sort(), names, "trials", key="trial")
    return names.to_list(), cells.floats(settled["simple_return_1d"])


def _is_same(one: Floats, other: Floats) -> NDArray[np.bool_]:
    """(T, J) against (T, K) -> (J, K), every pair from a handful of matrix products."""
    (x, in_x), (y, in_y) = _centred(one), _centred(other)
    n = in_x.T @ in_y  # common sessions
    x_sum, y_sum = x.T @ in_y, in_x.T @ y
    x_square, y_square, product = (x**2).T @ in_y, in_x.T @ y**2, x.T @ y
    degrees = np.maximum(n - 1.0, 1.0)
    x_variance = (x_square - x_sum**2 / np.maximum(n, 1.0)) / degrees
    y_variance = (y_square - y_sum**2 / np.maximum(n, 1.0)) / degrees
    gap_sum = x_sum - y_sum
    gap_variance = (x_square - 2.0 * product + y_square - gap_sum**2 / np.maximum(n, 1.0)) / degrees
    allowed = SAME_SHARE**2 * np.minimum(x_variance, y_variance)
    return (n >= MIN_COMMON_SESSIONS) & (gap_variance <= np.maximum(allowed, FLAT**2))


def _centred(panel: Floats) -> tuple[Floats, Floats]:
    """Returns less their own mean, 0 where there is none, and 1 where there is one."""
    present = ~np.isnan(panel)
    total = np.where(present, panel, 0.0).sum(axis=0)
    mean = total / np.maximum(present.sum(axis=0), 1)
    return np.where(present, panel - mean, 0.0), present.astype(np.float64)
