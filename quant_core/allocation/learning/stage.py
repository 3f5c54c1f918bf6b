"""What one market looks like to an agent: sessions that are traded, decisions, and what is known at each of them.

Where the numbers come from is the caller's question; here they are arrays that must agree.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quant_core.dense import Flags, Floats, Integers
from quant_core.errors import DataError
from quant_core.trading.costs import CostSchedule
from quant_core.trading.decisions import unholdable
from quant_core.trading.market import CLOSED, Market
from quant_core.trading.rules import Rules, check_capital
from quant_core.trading.windows import costs_window, market_window

Inputs = NDArray[np.float32]

REMEDY = "build the stage from one set of tables."


@dataclass(frozen=True, eq=False)
class Stage:
    """T sessions of N names with D decisions.

    Args:
        sessions: (T,) dates, ascending.
        tickers: (N,) names, the market's columns.
        market: what the account trades.
        costs: of the T sessions.
        rules: how decisions become trades.
        capital_inr: what every account opens with.
        decisions: (D,) rows of `sessions` at whose close is decided, ascending.
        eligible: (D, N) names that may be bought.
        asset_inputs: (D, N, F) what is known of each name; no NaN, 0 where nothing is known.
        asset_names: (F,) columns "block.column": a block is what stands before the first dot.
        market_inputs: (D, M) what is known of the market; no NaN.
        market_names: (M,) columns, named alike.
        book: (D, N) weights that the cost-aware book wants; NaN keeps what is held, a whole row of NaN decides nothing.
            None where there is no such book.
    Raises:
        DataError: shapes that disagree, an input that is not finite, decisions that do not ascend or lie outside, a
            decision at which no name that trades may be bought, weights that no account could hold.
    """

    sessions: Sequence[date]
    tickers: Sequence[str]
    market: Market
    costs: CostSchedule
    rules: Rules
    capital_inr: float
    decisions: Integers
    eligible: Flags
    asset_inputs: Inputs
    asset_names: tuple[str, ...]
    market_inputs: Inputs
    market_names: tuple[str, ...]
    book: Floats | None = None

    def __post_init__(self) -> None:
        check_capital(self.capital_inr)
        for name in ("sessions", "tickers", "asset_names", "market_names"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        kinds = {
            "decisions": np.int64, "eligible": np.bool_, "asset_inputs": np.float32, "market_inputs": np.float32,
        }  # fmt: skip
        for name, kind in kinds.items():
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=kind))
        if self.book is not None:
            object.__setattr__(self, "book", np.ascontiguousarray(self.book, dtype=np.float64))
        self._check_shapes()
        self._check_decisions()
        self._check_inputs()
        self._check_book()

    @cached_property
    def due(self) -> Integers:
        """(D,) session in which each decision falls due; T for one that never does."""
        return self.market.due_sessions(self.decisions, self.rules.delay_sessions)

    @cached_property
    def n_made(self) -> int:
        """How many decisions are made: those, from the first on, that are filled in one of the sessions."""
        return int(np.searchsorted(self.due, self.market.n_sessions))

    @cached_property
    def closed(self) -> Flags:
        """(D, N) names that did not trade in the session of the decision: they are neither bought nor sold."""
        return self.market.open_to[self.decisions] == CLOSED

    @property
    def buyable(self) -> Flags:
        """(D, N) eligible names that trade."""
        return self.eligible & ~self.closed

    def between(self, first: date, last: date) -> "Stage":
        """The sessions from `first` to `last` alone, with the decisions taken in them.

        Nothing of later sessions is in it: a decision whose fill lies beyond `last` is not made.

        Raises:
            DataError: no decision in these sessions.
        """
        begin, end = bisect_left(self.sessions, first), bisect_right(self.sessions, last)
        kept = (self.decisions >= begin) & (self.decisions < end)
        if not kept.any():
            raise DataError(
                f"stage: no decision from {first} to {last}; it has {len(self.decisions)} from "
                f"{self.sessions[self.decisions[0]]} to {self.sessions[self.decisions[-1]]}; choose a window of these."
            )
        return replace(
            self,
            sessions=self.sessions[begin:end],
            market=market_window(self.market, begin, end),
            costs=costs_window(self.costs, begin, end),
            decisions=self.decisions[kept] - begin,
            eligible=self.eligible[kept],
            asset_inputs=self.asset_inputs[kept],
            market_inputs=self.market_inputs[kept],
            book=None if self.book is None else self.book[kept],
        )

    def when(self, decision: int) -> str:
        """Date of a decision, for messages."""
        return f"{self.sessions[int(self.decisions[decision])]}"

    def _check_shapes(self) -> None:
        t, n, d = len(self.sessions), len(self.tickers), len(self.decisions)
        wanted = {
            "market": ((self.market.n_sessions, self.market.n_names), (t, n)),
            "costs": (self.costs.per_sale_inr.shape, (t,)),
            "eligible": (self.eligible.shape, (d, n)),
            "asset_inputs": (self.asset_inputs.shape, (d, n, len(self.asset_names))),
            "market_inputs": (self.market_inputs.shape, (d, len(self.market_names))),
            "book": ((d, n) if self.book is None else self.book.shape, (d, n)),
        }
        for name, (got, right) in wanted.items():
            if got != right:
                raise DataError(
                    f"stage: {name} has shape {got}; wanted {right} for {t} sessions, {n} names, {d} decisions, "
                    f"{len(self.asset_names)} columns a name and {len(self.market_names)} of the market; {REMEDY}"
                )
        for name in ("tickers", "asset_names", "market_names"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise DataError(f"stage: {name} has one twice: {getattr(self, name)}; wanted each once; {REMEDY}")

    def _check_decisions(self) -> None:
        rows, t = self.decisions, len(self.sessions)
        if not len(rows) or (np.diff(rows) <= 0).any() or rows[0] < 0 or rows[-1] >= t:
            raise DataError(
                f"stage: decisions are rows {rows.tolist()[:5]}... ({len(rows)}); wanted one at least, ascending, "
                f"from 0 to {t - 1}; {REMEDY}"
            )
        empty = np.flatnonzero(~self.buyable.any(axis=1))
        if len(empty):
            raise DataError(
                f"stage {self.when(empty[0])}: no name may be bought ({int(self.eligible[empty[0]].sum())} eligible, "
                f"none of them trades); wanted one at least; leave that decision out ({len(empty)} are like it)."
            )

    def _check_inputs(self) -> None:
        for name, columns in (("asset_inputs", self.asset_names), ("market_inputs", self.market_names)):
            values = getattr(self, name)
            if np.isfinite(values).all():
                continue
            where = np.argwhere(~np.isfinite(values))[0]
            of = f" of {self.tickers[where[1]]}" if values.ndim == 3 else ""
            raise DataError(
                f"stage {self.when(where[0])}: {columns[where[-1]]}{of} is {values[tuple(where)]}; wanted a finite "
                "number; write 0 where nothing is known."
            )

    def _check_book(self) -> None:
        if self.book is None:
            return
        bad = unholdable(self.book)
        if bad.any():
            d = int(np.argmax(bad))
            row = self.book[d]
            raise DataError(
                f"stage {self.when(d)}: the book's weights run from {np.nanmin(row)} to {np.nanmax(row)} and sum to "
                f"{float(np.nansum(row))!r}; wanted weights >= 0 of at most 1 in all, NaN to keep a name; rebuild the "
                "book."
            )


def block_of(column: str) -> str:
    """What stands before the first dot of a column's name."""
    return column.partition(".")[0]
