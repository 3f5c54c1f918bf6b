"""Which lists of facts a profile's run and each of its assets read; until when each is known is `market.lists`."""

from datetime import date
from typing import Any

import polars as pl

from quant_core import calendar
from quant_core.backtest.config import BacktestConfig
from quant_core.folds import fold
from quant_core.market.lists import (
    CALENDAR,
    CHARGES,
    MEMBERSHIP,
    RATES,
    SECTORS,
    KnownList,
)
from quant_core.market.universe import SHIPPED_SECTORS, Universe
from quant_core.trading.nse_charges import CHARGES_KNOWN_UNTIL
from quant_core.trading.risk_free import RATES_KNOWN_UNTIL

#: Lists that an asset does not read; every other one bears on it. The report shows what all of them gave.
UNREAD = {
    "raw_ohlcv": {MEMBERSHIP, SECTORS, CHARGES, RATES},
    "clean_prices": {SECTORS, CHARGES, RATES},
    "features": {CHARGES, RATES},
    "forecast_quality": {MEMBERSHIP, CHARGES, RATES},
}


def lists_of(source: Any, chosen: Universe | None, settings: BacktestConfig, asset: str = "") -> list[KnownList]:
    """The lists that a profile uses, or those of them that one asset reads.

    Args:
        source: the profile's, which may bring lists of its own.
        chosen: the universe; None where everything that the source has is a member.
        settings: of the backtest.
    """
    unread = UNREAD.get(asset, set())
    return [one for one in _all_lists(source, chosen, settings) if one.name not in unread]


def _all_lists(source: Any, chosen: Universe | None, settings: BacktestConfig) -> list[KnownList]:
    found: list[KnownList] = []
    if chosen is not None:
        found.append(
            KnownList(
                MEMBERSHIP, chosen.known_until, chosen.description,
                "who joined the index later is no member, who left it still is",
                "add the later changes to index_membership.csv beside the prices, or state known_until in it",
            )
        )  # fmt: skip
    if hasattr(source, "lists"):
        found += source.lists()
    elif not hasattr(source, "sectors"):
        found.append(SHIPPED_SECTORS)
    found.append(
        KnownList(
            CALENDAR, calendar.LAST_PUBLISHED_DAY, "quant_core/calendar.py",
            "sessions are weekdays less fixed holidays", "add the holidays that NSE has published since",
        )
    )  # fmt: skip
    same = "the last rates are taken to hold on"
    if settings.cost_model == "nse_delivery":
        remedy = "add the later rates to quant_core/trading/nse_charges.py"
        found.append(KnownList(CHARGES, CHARGES_KNOWN_UNTIL, "docs/costs.md", same, remedy))
    if settings.risk_free_rate_ann is None:
        remedy = "add the later decisions to quant_core/trading/risk_free.py, or set backtest.risk_free_rate_ann"
        found.append(KnownList(RATES, RATES_KNOWN_UNTIL, "RBI policy repo rate", same, remedy))
    return found


#: Assets that read lists, by how they are partitioned.
BY_MONTH = ("raw_ohlcv", "clean_prices", "features", "signals")
BY_FOLD = ("backtest", "forecast_quality", "backtest_report")


def members_text(members: pl.DataFrame | None, end: date) -> str:
    """Dated membership as of `end`: a change of the index leaves what lies before it current."""
    if members is None:
        return ""
    known = members.filter(pl.col("from_date") <= end)
    return known.with_columns(to_date=pl.when(pl.col("to_date") <= end).then("to_date")).write_csv()


def last_day_of(asset: str, partition: str) -> date:
    """Last day of an asset's fold or month."""
    if asset in BY_FOLD:
        return fold(partition).test_end
    year, month = int(partition[:4]), int(partition[5:])
    return date.fromordinal(date(year + month // 12, month % 12 + 1, 1).toordinal() - 1)
