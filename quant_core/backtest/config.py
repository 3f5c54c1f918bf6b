"""What a backtest assumes: costs, fills, limits, cash, benchmark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Literal

from quant_core.errors import DataError
from quant_core.trading.costs import COST_MODELS, CostModel, CostSchedule, FlatCosts, NseDeliveryCosts
from quant_core.trading.ledger import Rules
from quant_core.trading.market import Dividends, Fill


@dataclass(frozen=True)
class BacktestConfig:
    """What a backtest assumes.

    Args:
        initial_capital_inr: cash at the close of a strategy's first decision.
        cost_model: "flat", or "nse_delivery" for the dated charges of docs/costs.md.
        commission_bps: each side, on traded value; the broker's part, which the NSE charges come on top of.
        slippage_bps, spread_bps: each side, on traded value.
        impact_coefficient: square-root impact: coefficient x daily volatility x root of the order's share of average
            daily traded value; 0 for none.
        fill: "open", "close" or "vwap" of the session of the fill.
        delay_sessions: sessions from the decision to the fill.
        dividends: "cash" pays them out, "reinvest" leaves them in the name.
        no_trade_band, trade_threshold, max_participation, carry_over, whole_shares, max_position, min_position,
            delisting_haircut: see `trading.ledger.Rules`. trade_threshold is for targets decided with rebalance
            "threshold". The haircut's default: Shumway (1997), The delisting bias in CRSP data, finds a mean return of
            about -30 % where a performance delisting has none on record.
        delisted_after_sessions: sessions without a price after which a position without terms of its end is paid out; 0
            for never.
        price_band: daily limit of every stock as a fraction; 0 where none is known (stocks with derivatives have
            none). A stock of one price all day is locked with or without it.
        risk_free_rate_ann: what cash earns, and what ratios subtract; None for the dated RBI policy repo rate.
        capital_levels_inr: starting capitals of the capacity curve.
        until: last day of the test; null for the last price. `quant run --to` sets it for a fold that ends later.
        index_ticker: price index, the benchmark where the total-return index has no data.
        total_return_index_ticker: the benchmark.
    """

    initial_capital_inr: float = 1e7
    cost_model: Literal["flat", "nse_delivery"] = "flat"
    commission_bps: float = 10.0
    slippage_bps: float = 5.0
    spread_bps: float = 5.0
    impact_coefficient: float = 0.0
    fill: Fill = "open"
    delay_sessions: int = 1
    dividends: Dividends = "cash"
    no_trade_band: float = 0.0
    trade_threshold: float = 0.0
    max_participation: float = 0.0
    carry_over: bool = False
    whole_shares: bool = False
    max_position: float = 1.0
    min_position: float = 0.0
    delisting_haircut: float = 0.30
    delisted_after_sessions: int = 60
    price_band: float = 0.0
    risk_free_rate_ann: float | None = None
    capital_levels_inr: tuple[float, ...] = (1e7, 1e8, 1e9, 1e10, 1e11)
    until: date | None = None
    index_ticker: str = "^NSEI"
    total_return_index_ticker: str = "NIFTY 50 TRI"

    def __post_init__(self) -> None:
        for capital in (self.initial_capital_inr, *self.capital_levels_inr):
            if not 0.0 < capital < math.inf:
                raise DataError(f"backtest: a capital of {capital} rupees; wanted a positive amount.")
        if self.cost_model not in COST_MODELS:
            raise DataError(f"backtest: cost_model is {self.cost_model!r}; wanted one of {', '.join(COST_MODELS)}.")
        if self.risk_free_rate_ann is not None and not -1.0 < self.risk_free_rate_ann < 1.0:
            raise DataError(
                f"backtest: risk_free_rate_ann is {self.risk_free_rate_ann}; wanted a fraction, 0.06 for 6 %, or null "
                "for the dated repo rate."
            )
        if not (0.0 <= self.price_band < 1.0 and self.delisted_after_sessions >= 0):
            raise DataError(
                f"backtest: price_band {self.price_band} and delisted_after_sessions {self.delisted_after_sessions}; "
                "wanted a fraction below 1 and a number >= 0."
            )
        _ = self.costs, self.rules  # their own checks

    @property
    def costs(self) -> CostModel:
        if self.cost_model == "flat":
            return FlatCosts(self.commission_bps, self.slippage_bps, self.spread_bps)
        return NseDeliveryCosts(self.commission_bps, self.slippage_bps + self.spread_bps, self.impact_coefficient)

    def cost_schedule(self, sessions: Sequence[date]) -> CostSchedule:
        """What trades cost on each session."""
        return replace(self.costs.schedule(sessions), impact_coefficient=self.impact_coefficient)

    @property
    def rules(self) -> Rules:
        return Rules(**{setting.name: getattr(self, setting.name) for setting in fields(Rules)})
