"""The one book of account: what target weights would have earned, day by day, net of costs.

Backtest and learning environment both use it. It knows arrays only: which tables they came from, and which decisions
are wise, is the caller's. Prices never enter; holdings drift with simple returns, so splits and dividends are in.

Rules of a session, in order:
1. Cash earns its rate since the last close; holdings earn the overnight return (NaN is 0: a halt, the spanning
   return arrives when the name trades again).
2. A decision taken at the last close is filled: each trade is target x equity - value at the fill price, sells first,
   costs paid from cash. Where cash does not reach, all buys shrink by one factor and cash ends at exactly 0.
   A name that is not tradable keeps its position; its part of the decision lapses.
3. Holdings earn the intraday return. With fill="close" steps 2 and 3 change places.
The first session only opens the account.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from quant_core.errors import DataError
from quant_core.trading.costs import FlatCosts

Fill = Literal["open", "close"]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SUM_TOLERANCE = 1e-9  # a row of targets may exceed 1 by this much, for rounding in the caller
DUST = 1e-12  # a change smaller than this share of equity is rounding, not a trade

_FINE, _MIXED_NAN, _BAD_WEIGHT, _BAD_SUM = 0, 1, 2, 3


@dataclass(frozen=True)
class Ledger:
    """One row a session, after the close. T sessions, N names; rupees where no unit is named."""

    equity: Floats  # (T,) cash + holdings
    cash: Floats  # (T,)
    weights: Floats  # (T, N) drifted, as fractions of equity; the rest is cash
    simple_return: Floats  # (T,) net of costs, 0 on the first session
    turnover: Floats  # (T,) one-way: half the sum of |weight change| at the fill, cash included
    cost: Floats  # (T,)
    n_fills: Integers  # (T,) trades done
    n_unfilled: Integers  # (T,) trades wanted in names that were not tradable


def run_ledger(
    overnight_return: ArrayLike,
    intraday_return: ArrayLike,
    target_weights: ArrayLike,
    tradable: ArrayLike,
    *,
    costs: FlatCosts,
    initial_capital: float = 1e7,
    fill: Fill = "open",
    cash_return_1d: ArrayLike = 0.0,
) -> Ledger:
    """Account for one strategy over one panel.

    Args:
        overnight_return: (T, N) simple return from the previous close to the open; NaN for none.
        intraday_return: (T, N) simple return from the open to the close; NaN for none.
        target_weights: (T, N); row t is decided at the close of session t and filled at session t + 1. A row of NaN is
            no decision; a row of zeros sells everything.
        tradable: (T, N) whether the name can be traded in the session.
        costs: rate on traded value, both sides.
        initial_capital: cash on the first session.
        fill: "open" or "close" of the session after the decision.
        cash_return_1d: what cash earns per session, one number or (T,).
    Raises:
        DataError: shapes that differ, a return of -1 or less or infinite, a row of targets that is negative, infinite,
            sums to more than 1 or mixes NaN with numbers; the message names row and column.
    """
    overnight, intraday, targets = (_panel(a) for a in (overnight_return, intraday_return, target_weights))
    can_trade = np.ascontiguousarray(tradable, dtype=np.bool_)
    shapes = [overnight.shape, intraday.shape, targets.shape, can_trade.shape]
    if overnight.ndim != 2 or len(set(shapes)) != 1 or overnight.shape[0] == 0:
        raise DataError(
            f"ledger: shapes of overnight, intraday, targets, tradable are {shapes}; wanted one (sessions, names)."
        )
    _check_returns(overnight, "overnight_return")
    _check_returns(intraday, "intraday_return")
    interest = _cash_returns(cash_return_1d, overnight.shape[0])
    if fill not in ("open", "close"):
        raise DataError(f"ledger: fill is {fill!r}; wanted 'open' or 'close'.")
    if not (math.isfinite(initial_capital) and initial_capital > 0.0):
        raise DataError(f"ledger: initial_capital is {initial_capital}; wanted a positive number of rupees.")
    weights = np.zeros(targets.shape)  # numpy asks the system for zero pages; a kernel would write them first
    problem, row, column, series, counts = _run(
        overnight, intraday, targets, can_trade, interest, costs.rate, float(initial_capital), fill == "open", weights
    )
    if problem != _FINE:
        raise DataError(_complaint(problem, row, column, targets))
    equity, cash, turnover, cost, simple_return = series
    return Ledger(equity, cash, weights, simple_return, turnover, cost, counts[0], counts[1])


def _panel(values: ArrayLike) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float64)


def _check_returns(panel: Floats, name: str) -> None:
    if _count_bad_returns(panel.ravel()):
        row, column = np.argwhere((panel <= -1.0) | np.isposinf(panel))[0]
        raise DataError(
            f"ledger: {name} row {row} column {column} is {panel[row, column]}; "
            "wanted a finite number above -1, or NaN."
        )


def _cash_returns(cash_return_1d: ArrayLike, n_sessions: int) -> Floats:
    rate = np.asarray(cash_return_1d, dtype=np.float64)
    if rate.ndim != 0 and rate.shape != (n_sessions,):
        raise DataError(f"ledger: cash_return_1d has shape {rate.shape}; wanted one number or ({n_sessions},).")
    bad = np.flatnonzero(~(np.isfinite(rate) & (rate > -1.0)))
    if len(bad):
        raise DataError(
            f"ledger: cash_return_1d row {bad[0]} is {rate.ravel()[bad[0]]}; wanted a finite number above -1."
        )
    return np.ascontiguousarray(np.broadcast_to(rate, (n_sessions,)))


def _complaint(problem: int, row: int, column: int, targets: Floats) -> str:
    where = f"ledger: target_weights row {row} column {column} is {targets[row, column]}"
    if problem == _MIXED_NAN:
        return f"{where} beside numbers; use 0 for a name not wanted and a whole row of NaN for no decision."
    if problem == _BAD_WEIGHT:
        return f"{where}; wanted a finite weight >= 0 (the book holds no short positions)."
    total = float(targets[row].sum())
    return (
        f"ledger: target_weights row {row} sums to {total!r} (largest in column {column}); wanted at most 1, no credit."
    )


@numba.njit(cache=True, fastmath={"reassoc"})
def _count_bad_returns(values):  # type: ignore[no-untyped-def]
    bad = 0.0  # a float sum over an index is what the compiler turns into vector instructions; so in _sums
    for i in range(values.size):
        bad += 1.0 if values[i] <= -1.0 else 0.0
        bad += 1.0 if values[i] == np.inf else 0.0
    return bad


@numba.njit(cache=True, fastmath={"reassoc"})
def _sums(row):  # type: ignore[no-untyped-def]
    """The sum of a row and the sum of its negative part."""
    total, negative = 0.0, 0.0
    for i in range(row.size):
        total += row[i]
        negative += min(0.0, row[i])
    return total, negative


@numba.njit(cache=True, error_model="numpy")
def _verdict(row):  # type: ignore[no-untyped-def]
    """(whether the row decides something, problem code, column of the problem)."""
    total, negative = _sums(row)
    if total <= 1.0 + SUM_TOLERANCE and negative == 0.0:  # no NaN nor infinity can hide in such a sum
        return row.size > 0, _FINE, 0
    missing = np.isnan(row)
    if missing.all():
        return False, _FINE, 0
    if missing.any():
        return True, _MIXED_NAN, np.argmax(missing)
    bad = (row < 0.0) | (row == np.inf)
    if bad.any():
        return True, _BAD_WEIGHT, np.argmax(bad)
    return True, _BAD_SUM, np.argmax(row)


@numba.njit(cache=True, error_model="numpy")
def _drift(value, held, n_held, session_return):  # type: ignore[no-untyped-def]
    for k in range(n_held):
        r = session_return[held[k]]
        if not np.isnan(r):
            value[held[k]] *= 1.0 + r


@numba.njit(cache=True, error_model="numpy")
def _total(value, held, n_held):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(n_held):
        total += value[held[k]]
    return total


@numba.njit(cache=True, error_model="numpy")
def _trade(target, can_trade, value, held, n_held, trade, cash, rate):  # type: ignore[no-untyped-def]
    """Move `value` to the targets; `held[:n]` lists the names with value > 0 before and after."""
    equity = cash + _total(value, held, n_held)
    n = n_held
    for i in range(target.size):
        if target[i] > 0.0 and value[i] == 0.0:
            held[n] = i
            n += 1
    sold, bought, n_unfilled = 0.0, 0.0, 0
    for k in range(n):
        i = held[k]
        wanted = target[i] * equity - value[i]
        trade[k] = 0.0
        if abs(wanted) <= DUST * equity and target[i] > 0.0:
            continue
        if not can_trade[i]:
            n_unfilled += 1
        else:
            bought += max(0.0, wanted)
            sold -= min(0.0, wanted)
            trade[k] = wanted
    funds, needed, scale = cash + (1.0 - rate) * sold, (1.0 + rate) * bought, 1.0
    if needed > funds:
        scale = funds / needed
    bought *= scale
    cash_after = 0.0 if needed > funds else funds - needed
    n_fills, n_after = 0, 0
    for k in range(n):
        i = held[k]
        done = trade[k] * (scale if trade[k] > 0.0 else 1.0)
        n_fills += abs(done) > DUST * equity
        value[i] += done
        held[n_after] = i
        n_after += value[i] > 0.0
    turnover = 0.5 * (sold + bought + abs(cash_after - cash)) / equity
    return n_after, cash_after, turnover, rate * (sold + bought), n_fills, n_unfilled


@numba.njit(cache=True, error_model="numpy")
def _run(overnight, intraday, targets, tradable, interest, rate, capital, fill_open, weights):  # type: ignore[no-untyped-def]
    """The day loop over names held or wanted; writes `weights`. Returns a problem code, its row and column first."""
    n_sessions, n_names = targets.shape
    series = np.zeros((5, n_sessions))  # equity, cash, turnover, cost, simple return
    counts = np.zeros((2, n_sessions), np.int64)  # fills, unfilled
    value, trade, held, n_held = np.zeros(n_names), np.zeros(n_names), np.zeros(n_names, np.int64), 0
    cash, decided = capital, False
    for t in range(n_sessions):
        if t > 0:
            cash *= 1.0 + interest[t]
            _drift(value, held, n_held, overnight[t])
            if not fill_open:
                _drift(value, held, n_held, intraday[t])
            if decided:
                n_held, cash, series[2, t], series[3, t], counts[0, t], counts[1, t] = _trade(
                    targets[t - 1], tradable[t], value, held, n_held, trade, cash, rate
                )
            if fill_open:
                _drift(value, held, n_held, intraday[t])
        equity = cash + _total(value, held, n_held)
        series[0, t], series[1, t] = equity, cash
        if t > 0:
            series[4, t] = equity / series[0, t - 1] - 1.0
        for k in range(n_held):
            weights[t, held[k]] = value[held[k]] / equity
        decided, problem, column = _verdict(targets[t])
        if problem != _FINE:
            return problem, t, column, series, counts
    return _FINE, 0, 0, series, counts
