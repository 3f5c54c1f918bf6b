"""How decisions become trades: the settings of a ledger. What each of them does is told in `ledger`."""

import math
from dataclasses import dataclass

from quant_core.errors import DataError
from quant_core.trading.market import FILLS, Dividends, Fill


@dataclass(frozen=True)
class Rules:
    """How decisions become trades.

    Args:
        fill: price of the fill: "open", "close" or "vwap" of the session.
        delay_sessions: sessions from the decision to the fill, at least 1.
        dividends: "reinvest" leaves them in the name, "cash" pays them out.
        no_trade_band: a change smaller than this share of equity is not traded.
        trade_threshold: a decision is acted on only when the one-way distance from what is held at its close exceeds
            this share of equity; for rebalance="threshold".
        max_participation: largest share of a name's average daily traded value that is filled a session; 0: no limit.
        carry_over: keep what is left of an order open until the next decision.
        whole_shares: orders are whole numbers of shares.
        max_position: larger targets are cut to it.
        min_position: smaller targets are dropped.
        delisting_haircut: share of the last value that is lost when a name is delisted.
    """

    fill: Fill = "open"
    delay_sessions: int = 1
    dividends: Dividends = "reinvest"
    no_trade_band: float = 0.0
    trade_threshold: float = 0.0
    max_participation: float = 0.0
    carry_over: bool = False
    whole_shares: bool = False
    max_position: float = 1.0
    min_position: float = 0.0
    delisting_haircut: float = 0.0

    def __post_init__(self) -> None:
        if self.fill not in FILLS:
            raise DataError(f"ledger: fill is {self.fill!r}; wanted one of {', '.join(FILLS)}.")
        if self.dividends not in ("reinvest", "cash"):
            raise DataError(f"ledger: dividends is {self.dividends!r}; wanted 'reinvest' or 'cash'.")
        if self.delay_sessions < 1:
            raise DataError(
                f"ledger: delay_sessions is {self.delay_sessions}; wanted 1 or more, a decision at the close is filled "
                "in a later session."
            )
        names = ("no_trade_band", "trade_threshold", "max_participation", "min_position", "max_position")
        for name in (*names, "delisting_haircut"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise DataError(f"ledger: {name} is {getattr(self, name)}; wanted a fraction from 0 to 1.")
        if self.min_position > self.max_position or self.max_position == 0.0:
            raise DataError(
                f"ledger: min_position {self.min_position} and max_position {self.max_position}; "
                "wanted min_position <= max_position and max_position > 0."
            )


def check_capital(capital_inr: float) -> None:
    """Raise a DataError unless an account can open with so many rupees."""
    if not 0.0 < capital_inr < math.inf:
        raise DataError(f"account: a capital of {capital_inr} rupees; wanted a positive amount.")
