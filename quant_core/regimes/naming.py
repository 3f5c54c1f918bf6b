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

The rules are applied at the end of every year of the fit window, to what was known by then; from one year to the next a
name is kept unless a volatility passes its limit by KEPT, or the return comes to the other side of nothing. So a refit
a year later begins from the same names.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Floats
from quant_core.schema import CRISIS, TRANSITION
from quant_core.schema.regimes import BEAR, HIGH_VOL_BULL, LOW_VOL_BULL

CRISIS_VOLATILITY = 1.75
BAR = 0.05
BAR_ERRORS = 2.0
#: By how much a volatility must pass a limit to take a name away.
KEPT = 0.3
#: Which side of nothing the return of a name is on: it keeps the name up to nothing, the other side is two bars away.
SIDES = {LOW_VOL_BULL: 1, HIGH_VOL_BULL: 1, BEAR: -1, CRISIS: -1}


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


def statistics(probabilities: Floats, returns: Floats, drawdowns: Floats) -> list[StateStatistics]:
    """One a state.

    Args:
        probabilities: (T, K) filtered.
        returns, drawdowns: (T,) log return and log drawdown of the sessions; NaN where there is no index row.
    """
    known = np.isfinite(returns) & np.isfinite(drawdowns)
    weights, r, d = probabilities[known], returns[known], drawdowns[known]
    return [_of_state(weights[:, k], r, d) for k in range(probabilities.shape[1])]


def _of_state(weight: Floats, returns: Floats, drawdowns: Floats) -> StateStatistics:
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


def names_of(
    probabilities: Floats,
    returns: Floats,
    drawdowns: Floats,
    log_volatilities: Floats,
    ends: Sequence[int],
    has_noise: bool,
) -> list[str]:
    """A name a state, kept from one of `ends` to the next unless the statistics leave it clearly.

    Args:
        probabilities: (T, K) filtered.
        returns, drawdowns, log_volatilities: (T,) of the index, the last over 21 sessions; NaN where unknown.
        ends: sessions after which names are looked at, ascending; the last is T.
    """
    names: list[str | None] = [None] * probabilities.shape[1]
    for end in ends:
        usual = usual_of(log_volatilities[:end], drawdowns[:end])
        states = statistics(probabilities[:end], returns[:end], drawdowns[:end])
        names = [name_of(state, usual, has_noise and k == len(states) - 1, names[k]) for k, state in enumerate(states)]
    return [name or TRANSITION for name in names]


def usual_of(log_volatilities: Floats, drawdowns: Floats) -> Usual:
    """What a window was like; one without a volatility (a constant index) has 0."""
    volatility, drawdown = (values[np.isfinite(values)] for values in (log_volatilities, drawdowns))
    return Usual(
        float(np.exp(np.median(volatility))) if len(volatility) else 0.0,
        float(drawdown.mean()) if len(drawdown) else 0.0,
    )


def name_of(state: StateStatistics, usual: Usual, is_noise: bool = False, before: str | None = None) -> str:
    """The name of a state by the rules above.

    Args:
        before: its name a year ago, which it keeps near a threshold; None for none.
    """
    if is_noise:
        return TRANSITION
    bar, side = max(BAR, BAR_ERRORS * state.return_error), SIDES.get(before or "", 0)
    if state.return_ann > bar * (1 - side):
        calm = {LOW_VOL_BULL: 1.0 + KEPT, HIGH_VOL_BULL: 1.0 - KEPT}.get(before or "", 1.0)
        return LOW_VOL_BULL if state.volatility_ann < calm * usual.volatility_ann else HIGH_VOL_BULL
    wild = CRISIS_VOLATILITY * (1.0 - KEPT if before == CRISIS else 1.0)
    if state.volatility_ann >= wild * usual.volatility_ann and state.drawdown < usual.drawdown:
        return CRISIS
    return BEAR if state.return_ann < -bar * (1 + side) else TRANSITION
