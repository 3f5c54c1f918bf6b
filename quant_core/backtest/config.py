"""What a backtest assumes: an account's costs, fills, limits and cash, and what it is compared with."""

from dataclasses import dataclass
from datetime import date

from quant_core.errors import DataError
from quant_core.trading.account_config import AccountConfig
from quant_core.trading.rules import check_capital


@dataclass(frozen=True)
class BacktestConfig(AccountConfig):
    """What a backtest assumes; the settings of the account itself are told in `AccountConfig`.

    Args:
        capital_levels_inr: starting capitals of the capacity curve; 1e7 is a crore.
        until: last day of the test; null for the last price. `quant run --to` sets it for a fold that ends later.
        index_ticker: price index, the benchmark where the total-return index has no data.
        total_return_index_ticker: the benchmark.
        regime_method: by whose regimes the strategies are judged; a profile names it as `regime_method`.
    """

    capital_levels_inr: tuple[float, ...] = (1e7, 1e8, 1e9, 5e9, 1e10, 1e11)
    until: date | None = None
    index_ticker: str = "^NSEI"
    total_return_index_ticker: str = "NIFTY 50 TRI"
    regime_method: str = "hmm"

    def __post_init__(self) -> None:
        super().__post_init__()
        for capital in self.capital_levels_inr:
            check_capital(capital)
        if not self.regime_method:
            raise DataError("backtest: regime_method is empty; name a regime method, e.g. 'hmm'.")
        for name in ("index_ticker", "total_return_index_ticker"):
            if not getattr(self, name):
                raise DataError(f"backtest: {name} is empty; name the index, e.g. '^NSEI'.")
