"""What an account assumes, whoever trades it: the settings that a backtest and a learning environment share.

What belongs here: money, costs, rules, what of the market may be traded. What does not: whose decisions are tried, how
a result is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Literal

from quant_core.errors import DataError
from quant_core.trading.costs import COST_MODELS, CostModel, CostSchedule, FlatCosts, NseDeliveryCosts
from quant_core.trading.market import Dividends
from quant_core.trading.rules import Rules, check_capital


@dataclass(frozen=True)
class Funding:
    """What an account opens with, and what trading takes from it.

    Args:
        initial_capital_inr: cash at the close of a strategy's first decision.
        cost_model: "flat", or "nse_delivery" for the dated charges of docs/costs.md.
        commission_bps: each side, on traded value; the broker's part, which the NSE charges come on top of.
        slippage_bps, spread_bps: each side, on traded value.
        impact_coefficient: square-root impact: coefficient x daily volatility x root of the order's share of average
            daily traded value; 0 for none.
    Raises:
        DataError: a capital that is not positive, an unknown model, a component that cannot be.
    """

    initial_capital_inr: float = 1e7
    cost_model: Literal["flat", "nse_delivery"] = "flat"
    commission_bps: float = 10.0
    slippage_bps: float = 5.0
    spread_bps: float = 5.0
    impact_coefficient: float = 0.0

    def __post_init__(self) -> None:
        check_capital(self.initial_capital_inr)
        if self.cost_model not in COST_MODELS:
            raise DataError(f"account: cost_model is {self.cost_model!r}; wanted one of {', '.join(COST_MODELS)}.")
        for name in ("commission_bps", "slippage_bps", "spread_bps"):
            if getattr(self, name) < 0.0:
                raise DataError(f"account: {name} is {getattr(self, name)}; wanted at least 0.")
        _ = self.costs  # its own checks

    @property
    def costs(self) -> CostModel:
        if self.cost_model == "flat":
            return FlatCosts(self.commission_bps, self.slippage_bps, self.spread_bps)
        return NseDeliveryCosts(self.commission_bps, self.slippage_bps + self.spread_bps, self.impact_coefficient)

    def cost_schedule(self, sessions: Sequence[date]) -> CostSchedule:
        """What trades cost on each session."""
        return replace(self.costs.schedule(sessions), impact_coefficient=self.impact_coefficient)


@dataclass(frozen=True)
class AccountConfig(Rules, Funding):
    """Everything that the day loop needs to know beside prices and decisions; money and costs first, then the rules.

    Args:
        fill: "open", "close" or "vwap" of the session of the fill.
        delay_sessions: sessions from the decision to the fill.
        dividends: "cash" pays them out, "reinvest" leaves them in the name.
        no_trade_band, trade_threshold, max_participation, carry_over, whole_shares, max_position, min_position,
            delisting_haircut: see `Rules`. trade_threshold is for targets decided with rebalance "threshold". The
            haircut's default: Shumway (1997), The delisting bias in CRSP data, finds a mean return of about -30 % where
            a performance delisting has none on record.
        delisted_after_sessions: sessions without a price after which a position without terms of its end is paid out; 0
            for never.
        price_band: daily limit of every stock as a fraction; 0 where none is known (stocks with derivatives have
            none). A stock of one price all day is locked with or without it.
        risk_free_rate_ann: what cash earns, and what ratios subtract; None for the dated RBI policy repo rate.
    """

    dividends: Dividends = "cash"
    delisting_haircut: float = 0.30
    delisted_after_sessions: int = 60
    price_band: float = 0.0
    risk_free_rate_ann: float | None = None

    def __post_init__(self) -> None:
        Funding.__post_init__(self)
        Rules.__post_init__(self)
        if self.risk_free_rate_ann is not None and not -1.0 < self.risk_free_rate_ann < 1.0:
            raise DataError(
                f"account: risk_free_rate_ann is {self.risk_free_rate_ann}; wanted a fraction, 0.06 for 6 %, or null "
                "for the dated repo rate."
            )
        if not (0.0 <= self.price_band < 1.0 and self.delisted_after_sessions >= 0):
            raise DataError(
                f"account: price_band {self.price_band} and delisted_after_sessions {self.delisted_after_sessions}; "
                "wanted a fraction below 1 and a number >= 0."
            )

    @property
    def rules(self) -> Rules:
        """The rules alone, which a scenario may change one by one."""
        return Rules(**{setting.name: getattr(self, setting.name) for setting in fields(Rules)})
