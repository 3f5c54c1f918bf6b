"""An account that is stepped: decide at a close, see the next one. For an environment, in which decisions depend on the
day before; whole histories go through `ledger`, at once.

There is no second accounting here: a step is `day_loop.advance` over one session, and a history of steps is to the last
bit what `ledger.run_ledger` gives for the same decisions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.trading import arrays as b
from quant_core.trading.costs import CostSchedule
from quant_core.trading.day_loop import advance
from quant_core.trading.decisions import SUM_TOLERANCE, Decisions
from quant_core.trading.loop_input import loop_input
from quant_core.trading.market import Market
from quant_core.trading.rules import Rules, check_capital


@dataclass(frozen=True)
class Day:
    """One session of an account, after its close; rupees where no unit is named."""

    session: int  # row of the market
    equity: float  # cash + holdings
    cash: float
    simple_return: float  # net of costs, since the close before; 0 on the first session
    turnover: float  # one-way: half the sum of |weight change| at the fill, cash included
    cost: float
    interest: float
    dividend: float  # paid into cash
    weights: Floats  # (N,) drifted holdings as fractions of equity; the rest is cash
    n_fills: int  # trades done
    n_unfilled: int  # orders that a closed name or the participation cap left open, whole or in part


class Account:
    """Cash that is invested day by day.

    Args:
        market: T sessions of N names.
        costs: what trades cost on each of the T sessions.
        rules: how decisions become trades; the defaults of `Rules` without.
        capital_inr: cash on the first session.
        first: session that opens the account.
    Raises:
        DataError: what `loop_input` refuses; a capital that is not positive.
    """

    day: Day  # the newest

    def __init__(
        self,
        market: Market,
        costs: CostSchedule,
        rules: Rules | None = None,
        capital_inr: float = 1e7,
        first: int = 0,
    ) -> None:
        check_capital(capital_inr)
        self._market, rules = market, rules or Rules()
        self._input = loop_input(market, Decisions.of([], [], [], []), costs, rules, first)
        self._due = market.due_sessions(np.arange(market.n_sessions), rules.delay_sessions)
        self._state = b.open_state(market.n_names, float(capital_inr))
        self.day = self._pass(first, 0.0)

    @property
    def is_over(self) -> bool:
        """Whether the market has no further session."""
        return self.day.session + 1 >= self._market.n_sessions

    def step(self, weights: ArrayLike | None = None) -> Day:
        """Decide at the close of the newest day, and go to the next one.

        Args:
            weights: (N,) fractions of equity that are wanted `delay_sessions` later; 0 sells, NaN keeps what is held,
                what is missing to 1 is cash. None: nothing is decided, open orders and holdings are left alone.
        Raises:
            DataError: the market is over; weights of another shape, negative, infinite or of a sum above 1.
        """
        today = self.day.session
        if self.is_over:
            raise DataError(f"account: session {today} is the market's last; open another account.")
        if weights is not None:
            self._input = self._input._replace(wanted=_joined(self._input.wanted, self._decision(today, weights)))
        self.day = self._pass(today + 1, self.day.equity)
        if len(self._input.wanted.rows):
            self._input = self._input._replace(wanted=_still_waiting(self._input.wanted, today + 1))
        return self.day

    def _decision(self, today: int, weights: ArrayLike) -> b.Wanted:
        wanted = np.asarray(weights, dtype=np.float64)
        if wanted.shape != (self._market.n_names,):
            raise DataError(f"account: weights have shape {wanted.shape}; wanted ({self._market.n_names},).")
        names = np.flatnonzero(wanted)
        amounts, start = wanted[names], np.array([0, len(names)])
        kept = np.isnan(amounts)
        known = amounts[~kept]
        if len(known) and not (known.min() >= 0.0 and known.sum() <= 1.0 + SUM_TOLERANCE):
            Decisions(np.array([today]), start, names, amounts)  # says what is wrong
        keeps, acted = np.array([kept.any()]), np.array([True])
        due = self._due[today : today + 1]
        return b.Wanted(np.array([today]), due, start, names.view(np.uint64), amounts, keeps, acted)

    def _pass(self, session: int, equity_before: float) -> Day:
        log = advance(session, session + 1, *self._input, self._state)
        series = log.series[:, 0]
        equity = float(series[b.EQUITY])
        weights = np.zeros(self._market.n_names)
        weights[log.held] = log.held_inr / equity
        return Day(
            session=session,
            equity=equity,
            cash=float(series[b.CASH]),
            simple_return=equity / equity_before - 1.0 if equity_before > 0.0 else 0.0,
            turnover=float(series[b.TURNOVER]),
            cost=float(series[b.COST]),
            interest=float(series[b.INTEREST]),
            dividend=float(series[b.PAID]),
            weights=weights,
            n_fills=int(log.counts[b.FILLS, 0]),
            n_unfilled=int(log.counts[b.UNFILLED, 0]),
        )


def _joined(waiting: b.Wanted, decision: b.Wanted) -> b.Wanted:
    """Both, in the order of their sessions."""
    if not len(waiting.rows):
        return decision
    return b.Wanted(
        rows=np.append(waiting.rows, decision.rows),
        due=np.append(waiting.due, decision.due),
        start=np.append(waiting.start, waiting.start[-1] + decision.start[1:]),
        names=np.append(waiting.names, decision.names),
        amounts=np.append(waiting.amounts, decision.amounts),
        keeps=np.append(waiting.keeps, decision.keeps),
        acted=np.append(waiting.acted, decision.acted),
    )


def _still_waiting(wanted: b.Wanted, session: int) -> b.Wanted:
    """The decisions that fall due after `session`."""
    over = int(np.searchsorted(wanted.due, session, side="right"))
    first = wanted.start[over]
    return b.Wanted(
        rows=wanted.rows[over:],
        due=wanted.due[over:],
        start=wanted.start[over:] - first,
        names=wanted.names[first:],
        amounts=wanted.amounts[first:],
        keeps=wanted.keeps[over:],
        acted=wanted.acted[over:],
    )
