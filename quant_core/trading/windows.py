"""Part of a market: some sessions of it, with nothing of the others."""

from dataclasses import replace

import numpy as np

from quant_core.trading.costs import CostSchedule
from quant_core.trading.market import Market

PANELS = (
    "overnight_return", "intraday_return", "open_to", "dividend_return", "vwap_return", "traded_value_inr",
    "volatility_1d", "open_inr",
)  # fmt: skip


def market_window(market: Market, first: int, end: int) -> Market:
    """The sessions first..end (excluded): their panels, and the positions that end in them."""
    panels = {name: getattr(market, name)[first:end] for name in PANELS if getattr(market, name).size}
    events = market.delistings
    inside = (events.rows >= first) & (events.rows < end)
    ends = (events.rows[inside] - first, *(part[inside] for part in events[1:]))
    cash, outage = market.cash_return_1d[first:end], market.outage[first:end]
    return replace(market, **panels, cash_return_1d=cash, outage=outage, delistings=ends)  # type: ignore[arg-type]


def costs_window(costs: CostSchedule, first: int, end: int) -> CostSchedule:
    """What trades cost on the sessions first..end (excluded)."""
    kept = slice(first, end)
    return replace(
        costs, buy_rate=costs.buy_rate[kept], sell_rate=costs.sell_rate[kept], per_sale_inr=costs.per_sale_inr[kept]
    )


def most_delistings(market: Market) -> int:
    """Events of the session that has most."""
    return int(np.max(np.bincount(market.delistings.rows), initial=0))
