"""What trades cost: models that turn a calendar into a `CostSchedule`, which is all that the ledger sees of them.

A cost model is a frozen dataclass with `schedule(sessions)`. Deciding what to trade belongs to the ledger's caller; the
dated NSE rates and their sources are in `nse_charges`, told in docs/costs.md.

Sources of the impact rule: Grinold and Kahn, Active Portfolio Management (2000), ch. 16; Almgren, Thum, Hauptmann and
Li (2005), Direct estimation of equity market impact; Toth et al. (2011), Anomalous price impact and the critical
nature of liquidity in financial markets.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Protocol

import numpy as np

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.trading import nse_charges as nse
from quant_core.trading.dated import session_ordinals

BPS = 1e-4
EVENT_KINDS = ("impact", "dp_charge", "delisting")  # the ledger's own names for costs that are no rate on value
PAISA, RUPEE = Decimal("0.01"), Decimal(1)


class CostModel(Protocol):
    """Anything that knows what trading costs on given sessions."""

    def schedule(self, sessions: Sequence[date]) -> "CostSchedule": ...


@dataclass(frozen=True, eq=False)
class CostSchedule:
    """What a trade costs on each of T sessions, in K proportional kinds.

    Args:
        kinds: K names, each once, none of "impact", "dp_charge", "delisting".
        buy_rate: (T, K) fractions of traded value on purchases.
        sell_rate: (T, K) on sales; less than 1 in total, else a sale would pay nothing.
        per_sale_inr: (T,) rupees for each name sold in a session, kind "dp_charge".
        impact_coefficient: kind "impact": rate = coefficient x daily volatility x sqrt(order / average daily value).
    Raises:
        DataError: shapes that do not fit, or a value that is negative or not finite.
    """

    kinds: tuple[str, ...]
    buy_rate: Floats
    sell_rate: Floats
    per_sale_inr: Floats
    impact_coefficient: float

    def __post_init__(self) -> None:
        for name in ("buy_rate", "sell_rate", "per_sale_inr"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        if len(set(self.kinds)) != len(self.kinds) or set(EVENT_KINDS) & set(self.kinds):
            raise DataError(f"costs: kinds {self.kinds}; wanted different names, none of {sorted(EVENT_KINDS)}.")
        shape = (self.per_sale_inr.shape[0] if self.per_sale_inr.ndim == 1 else -1, len(self.kinds))
        if not self.buy_rate.shape == self.sell_rate.shape == shape:
            raise DataError(
                f"costs: buy_rate {self.buy_rate.shape}, sell_rate {self.sell_rate.shape}, per_sale_inr "
                f"{self.per_sale_inr.shape} for {len(self.kinds)} kinds; wanted (T, kinds), (T, kinds), (T,)."
            )
        for name in ("buy_rate", "sell_rate", "per_sale_inr", "impact_coefficient"):
            values = np.asarray(getattr(self, name))
            if not (np.isfinite(values).all() and (values >= 0.0).all()):
                raise DataError(f"costs: {name} has a value that is negative or not finite; wanted numbers >= 0.")
        if (self.total_sell_rate >= 1.0).any():
            raise DataError(
                f"costs: {self.total_sell_rate.max() / BPS:.0f} bps on sales; wanted less than 10000, or a sale pays "
                "nothing; lower the cost or its multiple."
            )

    @cached_property
    def total_buy_rate(self) -> Floats:
        """(T,) all proportional kinds on purchases."""
        return np.asarray(self.buy_rate.sum(axis=1))

    @cached_property
    def total_sell_rate(self) -> Floats:
        """(T,) all proportional kinds on sales."""
        return np.asarray(self.sell_rate.sum(axis=1))

    def scaled(self, multiple: float) -> "CostSchedule":
        """Every part times `multiple`, as in results at 2x costs.

        Raises:
            DataError: a multiple that is negative or not finite, or that makes sales pay nothing.
        """
        if not (math.isfinite(multiple) and multiple >= 0.0):
            raise DataError(f"costs: multiple is {multiple}; wanted a finite number >= 0, 2.0 for twice the cost.")
        return CostSchedule(
            self.kinds,
            self.buy_rate * multiple,
            self.sell_rate * multiple,
            self.per_sale_inr * multiple,
            self.impact_coefficient * multiple,
        )


@dataclass(frozen=True)
class FlatCosts:
    """One rate for every trade, charged on each side on the traded value.

    The default, 20 bps a side, is a cautious round number for NSE delivery trades in large names: statutory charges are
    about 12 bps a side (securities transaction tax alone is 10), the rest stands for spread and slippage.

    Raises:
        DataError: a negative or non-finite component, or 10,000 bps and more in total (a sale would pay nothing).
    """

    commission_bps: float = 10.0
    slippage_bps: float = 5.0
    spread_bps: float = 5.0

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_not_negative(field.name, getattr(self, field.name), "basis points")
        if self.rate >= 1.0:
            raise DataError(
                f"costs: {self.rate / BPS:.0f} bps a side in total; wanted less than 10000 (1 bp = 0.01 %)."
            )

    @property
    def rate(self) -> float:
        """Cost as a fraction of traded value on each side, 0.0020 for the default."""
        return (self.commission_bps + self.slippage_bps + self.spread_bps) * BPS

    def schedule(self, sessions: Sequence[date]) -> CostSchedule:
        """The same rates on every session; no charge for a sale as such and no impact.

        Raises:
            DataError: no sessions, or sessions out of order.
        """
        n_sessions = len(session_ordinals(sessions, "costs"))
        rates = np.tile(np.array([self.commission_bps, self.slippage_bps, self.spread_bps]) * BPS, (n_sessions, 1))
        return CostSchedule(("commission", "slippage", "spread"), rates, rates, np.zeros(n_sessions), 0.0)


@dataclass(frozen=True)
class NseDeliveryCosts:
    """What a resident pays for delivery trades on NSE, by the rates of the day.

    Args:
        brokerage_bps: each side; discount brokers take nothing on delivery since about 2016, 30 to 50 bps was usual
            before.
        slippage_bps: each side, half the spread and the wait for a fill; not taxed.
        impact_coefficient: cost of an order as large as a day's traded value, in daily volatilities; of order 1 by
            Toth et al., less for smaller orders as the square root of their share. 0 for none.
        dp_charge: whether the depository participant's charge for each name sold is paid.
    Raises:
        DataError: a number that is negative or not finite.
    """

    brokerage_bps: float = 0.0
    slippage_bps: float = 5.0
    impact_coefficient: float = 1.0
    dp_charge: bool = True

    def __post_init__(self) -> None:
        for name, unit in (("brokerage_bps", "bps"), ("slippage_bps", "bps"), ("impact_coefficient", "volatilities")):
            _check_not_negative(name, getattr(self, name), unit)

    def schedule(self, sessions: Sequence[date]) -> CostSchedule:
        """Unrounded rates of each session; sessions before 2000 are charged like the first of that year.

        Raises:
            DataError: no sessions, or sessions out of order.
        """
        days = session_ordinals(sessions, "costs")
        tax = nse.levels(nse.SERVICE_TAX_PCT, days) / 100.0
        exchange_taxed = days >= nse.EXCHANGE_TAXED_FROM.toordinal()
        sebi_taxed = days >= nse.SEBI_FEE_TAXED_FROM.toordinal()
        rates = []
        for side in (0, 1):
            stt, stamp_duty, exchange, sebi = (
                nse.side_rates(table, days)[side] * BPS
                for table in (nse.STT, nse.STAMP_DUTY, nse.EXCHANGE, nse.SEBI_FEE)
            )
            brokerage, slippage = (np.full(len(days), bps * BPS) for bps in (self.brokerage_bps, self.slippage_bps))
            gst = tax * (brokerage + exchange_taxed * exchange + sebi_taxed * sebi)
            rates.append(np.column_stack([brokerage, stt, stamp_duty, exchange, sebi, gst, slippage]))
        return CostSchedule(
            kinds=("brokerage", "stt", "stamp_duty", "exchange", "sebi", "gst", "slippage"),
            buy_rate=rates[0],
            sell_rate=rates[1],
            per_sale_inr=self.dp_charge * nse.levels(nse.DP_CHARGE_INR, days) * (1.0 + tax),
            impact_coefficient=self.impact_coefficient,
        )


#: Models by the name that a configuration gives them.
COST_MODELS: Mapping[str, type[FlatCosts] | type[NseDeliveryCosts]] = {
    "flat": FlatCosts,
    "nse_delivery": NseDeliveryCosts,
}


def contract_note(
    day: date, purchases_inr: Sequence[float], sales_inr: Sequence[float], model: NseDeliveryCosts
) -> dict[str, float]:
    """A day's charges as a broker bills them; slippage and impact are in the prices and not on the note.

    Rounding: STT of the whole day to the nearest rupee, 50 paise up (Securities Transaction Tax Rules 2004, rule 4);
    every other line to the paisa; GST (service tax before July 2017) on the rounded lines that it is due on.

    Args:
        purchases_inr, sales_inr: traded value of each name, before costs; a name of 0 was not traded.
    Returns:
        rupees by kind: brokerage, stt, stamp_duty, exchange, sebi, gst, dp_charge with its tax (which brokers post to
        the account instead of the note), and their total.
    Raises:
        DataError: a value that is negative or not finite.
    """
    bought, sold = _values(purchases_inr, "purchases_inr"), _values(sales_inr, "sales_inr")
    buy, sell = sum(bought, Decimal(0)), sum(sold, Decimal(0))

    def charge(buy_bps: float, sell_bps: float, unit: Decimal = PAISA) -> Decimal:
        return _rounded((buy * _exact(buy_bps) + sell * _exact(sell_bps)) * _exact(BPS), unit)

    note = {"brokerage": charge(model.brokerage_bps, model.brokerage_bps)}
    for kind, table in (
        ("stt", nse.STT),
        ("stamp_duty", nse.STAMP_DUTY),
        ("exchange", nse.EXCHANGE),
        ("sebi", nse.SEBI_FEE),
    ):
        row = nse.row_on(table, day)
        note[kind] = charge(row.buy_bps, row.sell_bps, RUPEE if kind == "stt" else PAISA)
    tax = _exact(nse.row_on(nse.SERVICE_TAX_PCT, day).value) / 100
    taxed = note["brokerage"] + note["exchange"] * (day >= nse.EXCHANGE_TAXED_FROM)
    note["gst"] = _rounded(tax * (taxed + note["sebi"] * (day >= nse.SEBI_FEE_TAXED_FROM)), PAISA)
    a_sale = _rounded(_exact(nse.row_on(nse.DP_CHARGE_INR, day).value) * (1 + tax), PAISA)
    note["dp_charge"] = a_sale * len(sold) * model.dp_charge
    note["total"] = sum(note.values(), Decimal(0))
    return {kind: float(amount) for kind, amount in note.items()}


def _values(values: Sequence[float], name: str) -> list[Decimal]:
    for position, value in enumerate(values):
        _check_not_negative(f"{name}[{position}]", value, "rupees")
    return [_exact(value) for value in values if value > 0.0]


def _exact(number: float) -> Decimal:
    """The decimal that is meant by a float: 0.1 is a tenth."""
    return Decimal(repr(float(number)))


def _rounded(amount: Decimal, unit: Decimal) -> Decimal:
    return amount.quantize(unit, rounding=ROUND_HALF_UP)


def _check_not_negative(name: str, value: float, unit: str) -> None:
    if not (math.isfinite(value) and value >= 0.0):
        raise DataError(f"costs: {name} is {value}; wanted a finite number of {unit} >= 0.")
