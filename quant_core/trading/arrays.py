"""What an account is made of, as arrays for compiled code: the market, charges, rules and decisions that it is given,
its state between sessions, the log that it leaves. How a session goes is in `day_loop`, how the arrays are made in
`loop_input`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_core.dense import Floats, Integers

Small = NDArray[np.int32]
Names = NDArray[np.uint64]  # columns of the panel, unsigned: the loop need not ask whether one counts from the end

ORDER, DELISTING, DIVIDEND, RECEIVED = 0, -1, -2, -3  # kinds on the tape


class MarketArrays(NamedTuple):
    """The market as a ledger trades it; (0, 0) for what was not given."""

    before: Floats  # (T, N) return from the previous close to the fill
    after: Floats  # (T, N) return from the fill to the close
    dividend: Floats  # (T, N) paid out, over the previous close
    open_to: NDArray[np.uint8]  # (T, N) bits 1: may buy, 2: may sell
    cash_return: Floats  # (T,)
    traded_value: Floats  # (T, N)
    volatility: Floats  # (T, N)
    price: Floats  # (T, N) at the fill
    delisted_start: Integers  # (T + 1,) where each session's names begin in
    delisted_name: Names
    delisted_factor: Floats  # of the last value that a holder gets; NaN: the haircut applies
    delisted_into: Integers  # name received instead of cash, else -1
    delisted_growth: Floats  # of what is received, before the session's drift to the fill, to be right after it


class Charges(NamedTuple):
    """What trades cost: a rate on value for each side, rupees a name sold, and impact."""

    buy: Floats  # (T,)
    sell: Floats  # (T,)
    per_sale: Floats  # (T,)
    impact: float


class Terms(NamedTuple):
    """Rules of `rules.Rules` as numbers."""

    band: float
    participation: float  # 0: no limit
    carry: bool
    whole_shares: bool
    haircut: float
    largest: float
    smallest: float
    in_rupees: bool  # targets are rupees at the fill, not fractions of equity
    delay: int
    threshold: float
    opening: int  # session that only opens the account


class Wanted(NamedTuple):
    """The decisions, as in `decisions.Decisions`."""

    rows: Integers
    due: Integers  # (D,) session of the fill, rising
    start: Integers
    names: Names
    amounts: Floats  # NaN keeps what is held
    keeps: NDArray[np.bool_]  # (D,) whether the decision keeps any name
    acted: NDArray[np.bool_]  # (D,) all true; changed in place where the threshold was not reached


class AccountState(NamedTuple):
    """An account between sessions; changed in place."""

    value: Floats  # (N,) rupees held
    order: Floats  # (N,) rupees still to be bought (+) or sold (-)
    decided: Integers  # (N,) session of the decision behind each open order
    active: Names  # (N,) names with a value or an order, the first n_active entries
    listed: NDArray[np.bool_]  # (N,) whether a name is among them
    cash: Floats  # (1,)
    n_active: Integers  # (1,)


class Log(NamedTuple):
    """What happened from one session to another. Names and sessions are short integers: a log is mostly these."""

    series: Floats  # (N_SERIES, sessions) rupees; TURNOVER is a fraction
    counts: Small  # (2, sessions) fills, orders that a closed name or the participation cap left open
    held_start: Integers  # (sessions + 1,)
    held: Small  # (P,) names
    held_inr: Floats  # (P,)
    tape_start: Integers  # (sessions + 1,)
    tape: Small  # (2, R) name; session of the decision behind an order, else DELISTING, DIVIDEND or RECEIVED
    tape_inr: Floats  # (2, R) amount (+ bought, - sold; what a delisting paid or was worth; a dividend), cost


EQUITY, CASH, INTEREST, PAID, BOUGHT, SOLD, COST, IMPACT, FLAT, HAIRCUT, TURNOVER = range(11)
N_SERIES = 11
FILLS, UNFILLED = 0, 1


def open_state(n_names: int, cash_inr: float) -> AccountState:
    """An account that holds cash only."""
    return AccountState(
        np.zeros(n_names), np.zeros(n_names), np.zeros(n_names, np.int64), np.zeros(n_names, np.uint64),
        np.zeros(n_names, np.bool_), np.full(1, cash_inr), np.zeros(1, np.int64),
    )  # fmt: skip
