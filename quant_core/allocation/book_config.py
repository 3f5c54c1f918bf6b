"""Settings of the books that mind what they hold, because trading costs money."""

from dataclasses import dataclass
from typing import Literal, get_args

from quant_core.errors import DataError

Weighting = Literal["equal", "volatility", "conviction"]


@dataclass(frozen=True)
class BookConfig:
    """How forecasts become a book that is traded sparingly.

    Args:
        book_models: forecasters that such books follow; None for the ensemble where there is one, else every model.
        half_life_sessions: after how many sessions a score's rank counts half.
        sell_multiple: a name is sold when its rank falls below this many times the number of names held (2 x top_n).
        book_weighting: "equal", "volatility" (by 1 / volatility) or "conviction" (by rank) among the names held.
        drift_band: share of its wanted weight by which a held name may miss it before it is traded.
        risk_aversion: of the investor, for wealth of 1: 5 gives up 10 % a year to lose a variance of 0.04.
        quadratic_cost: of trading x of the wealth in a name, as x^2 / 2 times this.
        information_coefficient: correlation of standardised scores and returns that expected returns are made by.
        trade_cost_bps: of a trade, each side, as the optimiser reckons it; the account's own charges are elsewhere.
        holding_sessions: over which it spreads the cost of a trade.
        max_turnover: largest one-way turnover of one of its decisions.
        is_benchmark_relative: whether its risk is that of the difference to the price index.
        least_beta, most_beta: bounds of its book's beta to the price index; None for none.
        most_tracking_error: largest yearly standard deviation of the difference to the price index; None for none.
        most_sector: largest share of one sector, in the optimiser's weights and in the names that a buffered book buys;
            None for none. Names without a sector are one of their own.
        target_volatility: yearly standard deviation at which a volatility-targeted book aims, at most.
        volatility_sessions: trailing sessions that its volatility is measured on.

    Where a fold has BookSettings, half_life_sessions, sell_multiple and quadratic_cost are those that it chose.
    """

    book_models: tuple[str, ...] | None = None
    half_life_sessions: float = 21.0
    sell_multiple: float = 2.0
    book_weighting: Weighting = "equal"
    drift_band: float = 0.5
    risk_aversion: float = 5.0
    quadratic_cost: float = 0.2
    information_coefficient: float = 0.03
    trade_cost_bps: float = 20.0
    holding_sessions: float = 63.0
    max_turnover: float = 0.25
    is_benchmark_relative: bool = False
    least_beta: float | None = None
    most_beta: float | None = None
    most_tracking_error: float | None = None
    most_sector: float | None = None
    target_volatility: float = 0.15
    volatility_sessions: int = 60

    def __post_init__(self) -> None:
        if self.book_models is not None:
            object.__setattr__(self, "book_models", tuple(self.book_models))
        if self.book_weighting not in get_args(Weighting):
            raise DataError(
                f"allocation: book_weighting is {self.book_weighting!r}; wanted one of {get_args(Weighting)}."
            )
        positive = ("half_life_sessions", "risk_aversion", "quadratic_cost", "target_volatility", "holding_sessions")
        for name in positive:
            if not 0.0 < getattr(self, name) < float("inf"):
                raise DataError(f"allocation: {name} is {getattr(self, name)}; wanted a number above 0.")
        if not self.sell_multiple >= 1.0:
            raise DataError(
                f"allocation: sell_multiple is {self.sell_multiple}; wanted at least 1, which has no buffer."
            )
        if not 0.0 <= self.drift_band < 1.0:
            raise DataError(f"allocation: drift_band is {self.drift_band}; wanted a fraction from 0 to below 1.")
        if not (0.0 <= self.information_coefficient < 1.0 and 0.0 <= self.trade_cost_bps < 10_000.0):
            raise DataError(
                f"allocation: information_coefficient {self.information_coefficient} and trade_cost_bps "
                f"{self.trade_cost_bps}; wanted a correlation from 0 to below 1 and basis points from 0 to below 10000."
            )
        if not 0.0 < self.max_turnover <= 1.0:
            raise DataError(f"allocation: max_turnover is {self.max_turnover}; wanted a share above 0, at most 1.")
        if self.least_beta is not None and self.most_beta is not None and self.least_beta > self.most_beta:
            raise DataError(f"allocation: least_beta {self.least_beta} is above most_beta {self.most_beta}.")
        if self.most_tracking_error is not None and not self.most_tracking_error > 0.0:
            raise DataError(
                f"allocation: most_tracking_error is {self.most_tracking_error}; wanted above 0, 0.05 for 5 % a year."
            )
        if self.most_sector is not None and not 0.0 < self.most_sector <= 1.0:
            raise DataError(f"allocation: most_sector is {self.most_sector}; wanted a share above 0, at most 1.")
        if self.volatility_sessions < 2:
            raise DataError(f"allocation: volatility_sessions is {self.volatility_sessions}; wanted at least 2.")
