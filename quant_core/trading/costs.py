"""What a trade costs, as a rate on traded value. Deciding what to trade belongs to the ledger's caller."""

import math
from dataclasses import dataclass, fields

from quant_core.errors import DataError

BPS = 1e-4


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
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0.0):
                raise DataError(f"costs: {field.name} is {value}; wanted a finite number of basis points >= 0.")
        if self.rate >= 1.0:
            raise DataError(
                f"costs: {self.rate / BPS:.0f} bps a side in total; wanted less than 10000 (1 bp = 0.01 %)."
            )

    @property
    def rate(self) -> float:
        """Cost as a fraction of traded value on each side, 0.0020 for the default."""
        return (self.commission_bps + self.slippage_bps + self.spread_bps) * BPS
