"""Accounts side by side: E of them over one market, taken from decision to decision by compiled code.

There is no second accounting here: every account goes through `day_loop`'s sessions and is to the last bit what
`ledger.run_ledger` gives for the same decisions. What is kept is what an environment asks for: states, and a few sums.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from quant_core.dense import Flags, Floats, Integers
from quant_core.trading.arrays import CASH, COST, EQUITY, N_SERIES, TURNOVER, AccountState, Log, Terms, Wanted
from quant_core.trading.day_loop import UNCOUNTED, run_sessions

_uncounted = numba.njit(cache=True, forceinline=True, **UNCOUNTED)


class Accounts(NamedTuple):
    """E states of N names, as in `arrays.AccountState`; the log of one session, which all use in turn."""

    value: Floats  # (E, N)
    order: Floats  # (E, N)
    decided: Integers  # (E, N)
    active: NDArray[np.uint64]  # (E, N)
    listed: Flags  # (E, N)
    cash: Floats  # (E, 1)
    n_active: Integers  # (E, 1)
    opening: Integers  # (E,) session that opened each account
    log: Log
    size: Floats  # (N,)
    impact: Floats  # (N,)


class Waiting(NamedTuple):
    """Decisions that may still fall due, the first `n` of Q for each account; as in `arrays.Wanted`."""

    n: Integers  # (E,)
    rows: Integers  # (E, Q)
    due: Integers  # (E, Q)
    start: Integers  # (E, Q + 1)
    names: NDArray[np.uint64]  # (E, Q x N)
    amounts: Floats  # (E, Q x N)
    keeps: Flags  # (E, Q)
    acted: Flags  # (E, Q)


def empty_accounts(n_accounts: int, n_names: int, n_delistings: int) -> Accounts:
    """Accounts without money; `n_delistings` is the most events of a session."""
    room = 4 * (n_names + n_delistings) + 8  # more than a session can write: names held, ordered, delisted, received
    log = Log(
        np.zeros((N_SERIES, 1)), np.zeros((2, 1), np.int32), np.zeros(2, np.int64), np.zeros((1, room), np.int32),
        np.zeros((1, room)), np.zeros(2, np.int64), np.zeros((2, room), np.int32), np.zeros((2, room)),
    )  # fmt: skip
    shape = (n_accounts, n_names)
    return Accounts(
        np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape, np.uint64),
        np.zeros(shape, np.bool_), np.zeros((n_accounts, 1)), np.zeros((n_accounts, 1), np.int64),
        np.zeros(n_accounts, np.int64), log, np.zeros(n_names), np.zeros(n_names),
    )  # fmt: skip


def none_waiting(n_accounts: int, n_names: int, most: int) -> Waiting:
    """Room for `most` decisions an account that wait at once."""
    shape, targets = (n_accounts, most), (n_accounts, most * n_names)
    return Waiting(
        np.zeros(n_accounts, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.int64),
        np.zeros((n_accounts, most + 1), np.int64), np.zeros(targets, np.uint64), np.zeros(targets),
        np.zeros(shape, np.bool_), np.zeros(shape, np.bool_),
    )  # fmt: skip


def most_waiting(rows: Integers, due: Integers) -> int:
    """How many of the decisions at `rows` wait at once at most, the one just taken included."""
    after = np.searchsorted(due, rows, side="right")  # the decisions before this one are over
    return int(np.max(np.arange(1, len(rows) + 1) - after, initial=1))


@_uncounted
def open_at(accounts, waiting, e, session, capital):  # type: ignore[no-untyped-def]
    """Account `e` holds cash only, at the close of `session`, and nothing waits."""
    accounts.value[e], accounts.order[e], accounts.listed[e] = 0.0, 0.0, False
    accounts.cash[e, 0], accounts.n_active[e, 0] = capital, 0
    accounts.opening[e], waiting.n[e] = session, 0


@_uncounted
def decide(waiting, e, session, due, weights):  # type: ignore[no-untyped-def]
    """Account `e` wants `weights` (N,) when the decision of `session` falls due; NaN keeps, what is 0 is sold."""
    over, count, start = 0, waiting.n[e], waiting.start[e]
    while over < count and waiting.due[e, over] <= session:
        over += 1
    _forget(waiting, e, over)
    k, keeps = waiting.n[e], False
    at = start[k]
    for i in range(weights.size):
        amount = weights[i]
        if amount != 0.0:
            waiting.names[e, at], waiting.amounts[e, at] = i, amount
            keeps |= amount != amount
            at += 1
    waiting.rows[e, k], waiting.due[e, k], start[k + 1] = session, due, at
    waiting.keeps[e, k], waiting.acted[e, k] = keeps, True
    waiting.n[e] = k + 1


@_uncounted
def _forget(waiting, e, over):  # type: ignore[no-untyped-def]
    """Move the decisions behind the first `over` ones to the front."""
    left, start = waiting.n[e] - over, waiting.start[e]
    first = start[over]
    for k in range(left):
        waiting.rows[e, k], waiting.due[e, k] = waiting.rows[e, k + over], waiting.due[e, k + over]
        waiting.keeps[e, k], waiting.acted[e, k] = waiting.keeps[e, k + over], waiting.acted[e, k + over]
    for k in range(start[over + left] - first):
        waiting.names[e, k], waiting.amounts[e, k] = waiting.names[e, first + k], waiting.amounts[e, first + k]
    for k in range(left + 1):
        start[k] = start[k + over] - first
    waiting.n[e] = left


@_uncounted
def through(first, last, market, charges, terms, accounts, waiting, e, peak):  # type: ignore[no-untyped-def]
    """Take account `e` through the sessions first..last (excluded).

    Returns:
        equity, cash, cost (rupees), turnover, what a rupee of cash grew to, and the highest close, `peak` included.
    """
    state = AccountState(
        accounts.value[e], accounts.order[e], accounts.decided[e], accounts.active[e], accounts.listed[e],
        accounts.cash[e], accounts.n_active[e],
    )  # fmt: skip
    k = waiting.n[e]
    wanted = Wanted(
        waiting.rows[e][:k], waiting.due[e][:k], waiting.start[e][: k + 1], waiting.names[e], waiting.amounts[e],
        waiting.keeps[e][:k], waiting.acted[e][:k],
    )  # fmt: skip
    own = Terms(
        terms.band, terms.participation, terms.carry, terms.whole_shares, terms.haircut, terms.largest, terms.smallest,
        terms.in_rupees, terms.delay, terms.threshold, accounts.opening[e],
    )  # fmt: skip
    log, series = accounts.log, accounts.log.series
    equity, cash, cost, turnover, cash_growth = 0.0, accounts.cash[e, 0], 0.0, 0.0, 1.0
    for t in range(first, last):
        series[:, 0] = 0.0
        log.counts[:, 0] = 0
        run_sessions(t, t + 1, t, market, charges, own, wanted, state, log, accounts.size, accounts.impact)
        equity, cash = series[EQUITY, 0], series[CASH, 0]
        cost += series[COST, 0]
        turnover += series[TURNOVER, 0]
        cash_growth *= 1.0 + market.cash_return[t]
        peak = max(peak, equity)
    return equity, cash, cost, turnover, cash_growth, peak


@_uncounted
def weights_of(accounts, e, equity, weights):  # type: ignore[no-untyped-def]
    """Write the (N,) holdings of account `e` as fractions of its equity."""
    weights[:] = 0.0
    for k in range(accounts.n_active[e, 0]):
        i = accounts.active[e, k]
        worth = accounts.value[e, i]
        weights[i] = worth / equity if worth > 0.0 else 0.0
