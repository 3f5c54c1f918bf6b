"""Limits and timing that the strategies share."""

from dataclasses import dataclass

from quant_core.allocation.book_config import BookConfig
from quant_core.errors import DataError
from quant_core.trading.rebalancing import Rebalance, check_rebalance
from quant_core.trading.weights import check_limits

#: Less history than this says more about noise than about risk.
FEWEST_LOOKBACK_SESSIONS = 60


@dataclass(frozen=True)
class AllocationConfig(BookConfig):
    """Limits and timing shared by the strategies; those of books that mind what they hold are told in `BookConfig`.

    Args:
        top_n: names that a strategy holds which picks the best of a ranking.
        max_position: largest weight of one stock at the decision.
        min_position: smallest weight worth holding for a strategy that picks; those that spread over every name (equal
            weight, inverse volatility, the optimisers) do not apply it: 1 / 60 of NIFTY 50 is below 0.02.
        rebalance: "threshold", "daily", "weekly" or "monthly": see `rebalance_dates`.
        min_priced_members: least share of the members that must have a price on a date for it to be decided on; else
            the next session that has enough decides instead.
        index_ticker: what buy_hold_index holds.
        lookback_sessions: history that risk is estimated from, the session of the estimate included; at least 60.
        momentum_sessions: history that momentum looks at; 252 less 21 skipped is the usual "12-1 months".
        momentum_skip_sessions: newest sessions that momentum leaves out, as they tend to reverse.
        strategies: registered names of those that decide; None for all. A profile names them as `strategies`.
        optimiser_names: stocks that an optimiser chooses from: the most traded ones, by median turnover of the
            lookback.
        regime_method: whose regimes are traded; a profile names it as `regime_method`.
        crisis_enter: P(Crisis) above which regime_gated holds no more than the floor.
        crisis_leave: P(Crisis) below which it comes back; the gap between the two keeps it from going to and fro.
        exposure_band: how far the wanted exposure must be from the held one for regime_gated to change it.
        exposure_floor: least share of the index that regime_gated holds.
    """

    top_n: int = 5
    max_position: float = 0.20
    min_position: float = 0.02
    rebalance: Rebalance = "weekly"
    min_priced_members: float = 0.95
    index_ticker: str = "^NSEI"
    lookback_sessions: int = 252
    momentum_sessions: int = 252
    momentum_skip_sessions: int = 21
    optimiser_names: int = 100
    strategies: tuple[str, ...] | None = None
    regime_method: str = "hmm"
    crisis_enter: float = 0.6
    crisis_leave: float = 0.3
    exposure_band: float = 0.2
    exposure_floor: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self.max_position, self.min_position)
        check_rebalance(self.rebalance)
        if not 0.0 <= self.min_priced_members <= 1.0:
            raise DataError(
                f"allocation: min_priced_members is {self.min_priced_members}; wanted a fraction from 0 to 1, 0.95 for "
                "95 %."
            )
        if self.top_n < 1 or self.top_n * self.min_position > 1.0:
            raise DataError(
                f"allocation: top_n {self.top_n} with min_position {self.min_position}; "
                "wanted top_n >= 1 and top_n x min_position <= 1, else no position would reach the minimum."
            )
        if not self.index_ticker:
            raise DataError("allocation: index_ticker is empty; name the index, e.g. '^NSEI'.")
        if self.lookback_sessions < FEWEST_LOOKBACK_SESSIONS:
            raise DataError(
                f"allocation: lookback_sessions is {self.lookback_sessions}; "
                f"wanted at least {FEWEST_LOOKBACK_SESSIONS}, 252 for a year."
            )
        if not 0 <= self.momentum_skip_sessions < self.momentum_sessions:
            raise DataError(
                f"allocation: momentum_skip_sessions {self.momentum_skip_sessions} with momentum_sessions "
                f"{self.momentum_sessions}; wanted 0 <= skipped < looked at, e.g. 21 and 252."
            )
        if self.strategies is not None and not 0 < len(set(self.strategies)) == len(self.strategies):
            raise DataError(f"allocation: strategies is {list(self.strategies)}; wanted different names, at least one.")
        if self.optimiser_names < 1:
            raise DataError(f"allocation: optimiser_names is {self.optimiser_names}; wanted at least 1.")
        self._check_regimes()

    def _check_regimes(self) -> None:
        if not self.regime_method:
            raise DataError("allocation: regime_method is empty; name a regime method, e.g. 'hmm'.")
        if not 0.0 < self.crisis_leave <= self.crisis_enter < 1.0:
            raise DataError(
                f"allocation: crisis_leave {self.crisis_leave} with crisis_enter {self.crisis_enter}; "
                "wanted 0 < leave <= enter < 1, e.g. 0.3 and 0.6."
            )
        for name in ("exposure_band", "exposure_floor"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise DataError(f"allocation: {name} is {getattr(self, name)}; wanted a fraction from 0 to below 1.")

    @property
    def history_sessions(self) -> int:
        """Sessions that a strategy may look back over: the longest of its histories."""
        return max(self.lookback_sessions, self.momentum_sessions, self.volatility_sessions)
