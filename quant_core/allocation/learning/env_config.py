"""Settings of an environment: what an agent may do, what it sees and what it is rewarded for."""

from dataclasses import dataclass
from typing import Literal, get_args

from quant_core.errors import DataError
from quant_core.trading.weights import check_limits

Mode = Literal["direct", "residual", "partial"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class EnvConfig:
    """All of it plain values, so that it becomes a run's configuration.

    Args:
        mode: what an action means, see `actions`: weights, tilts of the book, or how far to trade towards the book.
        reward: name in `rewards`.
        sharpe_decay: of the differential Sharpe ratio's moving averages, a decision; 0.01 remembers about 100.
        sharpe_warm_up: decisions over which these are plain means and nothing is rewarded.
        sharpe_epsilon: least variance, as a share of the mean square.
        risk_aversion: of "mean_variance": r - risk_aversion / 2 * r^2.
        reward_scale: multiplies the reward, not the penalties.
        lambda_drawdown: of every deepening of the drawdown, a fraction of the peak.
        lambda_turnover: of every unit of one-way turnover beyond the budget.
        turnover_budget: one-way turnover a year that is not penalised, beside 1 for what opens the book.
        episode_decisions: length of an episode; 0 goes to the end of the stage.
        blocks: of columns that are seen, see `Stage`; None for all.
        regime_aware: whether block "regimes" is seen.
        logit_scale, tilt_scale: what an action of 1 means, in logits and in the logarithm of a weight.
        max_position, min_position: limits of a name's weight, as in `make_feasible`.
    Raises:
        DataError: an unknown mode or a number that cannot be.
    """

    mode: Mode = "direct"
    reward: str = "differential_sharpe"
    sharpe_decay: float = 0.02
    sharpe_warm_up: int = 10
    sharpe_epsilon: float = 0.01
    risk_aversion: float = 5.0
    reward_scale: float = 1.0
    lambda_drawdown: float = 0.0
    lambda_turnover: float = 0.0
    turnover_budget: float = 4.0
    episode_decisions: int = 126
    blocks: tuple[str, ...] | None = None
    regime_aware: bool = True
    logit_scale: float = 3.0
    tilt_scale: float = 1.0
    max_position: float = 0.20
    min_position: float = 0.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise DataError(f"environment: mode is {self.mode!r}; wanted one of {', '.join(MODES)}.")
        check_limits(self.max_position, self.min_position)
        not_negative = (
            "lambda_drawdown", "lambda_turnover", "turnover_budget", "episode_decisions", "logit_scale", "tilt_scale",
            "risk_aversion", "sharpe_warm_up",
        )  # fmt: skip
        for name in not_negative:
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise DataError(f"environment: {name} is {getattr(self, name)}; wanted a finite number >= 0.")
        for name in ("sharpe_decay", "sharpe_epsilon"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise DataError(f"environment: {name} is {getattr(self, name)}; wanted above 0, at most 1.")
        if not 0.0 < self.reward_scale < float("inf"):
            raise DataError(f"environment: reward_scale is {self.reward_scale}; wanted a finite number above 0.")
