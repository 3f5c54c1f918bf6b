"""Names of states, by rules on what the fit window looked like while each of them was the state.

| Rule, the first that holds | Name |
|---|---|
| the state is "none of the others" | Transition |
| mean return above the bar, volatility below the usual one | Low-Vol Bull |
| mean return above the bar | High-Vol Bull |
| volatility >= CRISIS_VOLATILITY x the usual one, drawdown deeper than the mean one | Crisis |
| mean return below minus the bar | Bear |
| else: the return cannot be told from nothing | Transition |

The usual volatility is the median of the window's 21-session volatilities; the bar is BAR a year, or BAR_ERRORS
standard errors of the state's mean return where that is more. Several states may bear one name: their probabilities add
up.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.schema import CRISIS, TRANSITION
from quant_core.schema.regimes import BEAR, HIGH_VOL_BULL, LOW_VOL_BULL

Array = NDArray[np.float64]

CRISIS_VOLATILITY = 1.75
BAR = 0.05
BAR_ERRORS = 1.0


@dataclass(frozen=True)
class StateStatistics:
    """A state over the fit window, every session weighed by the state's filtered probability.

    Args:
        share: of the sessions' probability.
        return_ann: mean log return x 252.
        return_error: standard error of it: volatility_ann / sqrt(years that the state lasted).
        volatility_ann: standard deviation of log returns x sqrt(252).
        drawdown: mean of the log level over its highest of a year, at most 0.
    """

    share: float
    return_ann: float
    return_error: float
    volatility_ann: float
    drawdown: float

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Usual:
    """What the whole fit window was like: the median 21-session volatility a year, the mean drawdown."""

    volatility_ann: float
    drawdown: float


def statistics(probabilities: Array, returns: Array, drawdowns: Array) -> list[StateStatistics]:
    """One a state.

    Args:
        probabilities: (T, K) filtered.
        returns, drawdowns: (T,) log return and log drawdown of the sessions; NaN where there is no index row.
    """
    known = np.isfinite(returns) & np.isfinite(drawdowns)
    weights, r, d = probabilities[known], returns[known], drawdowns[known]
    return [_of_state(weights[:, k], r, d) for k in range(probabilities.shape[1])]


def _of_state(weight: Array, returns: Array, drawdowns: Array) -> StateStatistics:
    total = float(weight.sum())
    if total < 1e-9:
        return StateStatistics(0.0, 0.0, math.inf, 0.0, 0.0)
    mean = float(weight @ returns) / total
    volatility = math.sqrt(float(weight @ (returns - mean) ** 2) / total * SESSIONS_PER_YEAR)
    error = volatility / math.sqrt(total / SESSIONS_PER_YEAR)
    drawdown = float(weight @ drawdowns) / total
    return StateStatistics(total / len(weight), mean * SESSIONS_PER_YEAR, error, volatility, drawdown)


def order_of(states: Sequence[StateStatistics], has_noise: bool) -> list[int]:
    """States from the lowest volatility to the highest, then by return; "none of the others" stays last."""
    own = range(len(states) - has_noise)
    ordered = sorted(own, key=lambda k: (states[k].volatility_ann, states[k].return_ann))
    return [*ordered, *range(len(states) - has_noise, len(states))]


def name_of(state: StateStatistics, usual: Usual, is_noise: bool = False) -> str:
    """The name of a state by the rules above."""
    if is_noise:
        return TRANSITION
    bar = max(BAR, BAR_ERRORS * state.return_error)
    if state.return_ann > bar:
        return LOW_VOL_BULL if state.volatility_ann < usual.volatility_ann else HIGH_VOL_BULL
    if state.volatility_ann >= CRISIS_VOLATILITY * usual.volatility_ann and state.drawdown < usual.drawdown:
        return CRISIS
    return BEAR if state.return_ann < -bar else TRANSITION
