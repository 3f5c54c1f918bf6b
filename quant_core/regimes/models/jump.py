"""Statistical jump model: k-means whose sessions pay for every change of state.

Fitted (by the package jumpmodels, coordinate descent from several k-means++ starts) to the least of

    sum over t of |x_t - c_{s_t}|^2 / 2  +  jump_penalty x (number of changes of s).

Filtered by the forward part of its dynamic programme,

    V_t(k) = |x_t - c_k|^2 / 2 + min over i of (V_{t-1}(i) + jump_penalty if i != k),

whose lowest value is the end of the best path so far. Values are costs, not likelihoods: the best state has
probability 1.

Source: Bemporad, Breschi, Piga and Boyd, Fitting jump models, Automatica 96, 2018; Nystrup, Lindstrom and Madsen,
Learning hidden Markov models with persistent states by penalizing jumps, 2020; Shu, Yu and Mulvey, Downside risk
reduction using regime-switching signals: a statistical jump model approach, 2024.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from quant_core.compiling import compiled
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.regimes.model import METHODS, Arrays, Method, MethodConfig
from quant_core.regimes.sound import check_rows, check_states


@dataclass(frozen=True)
class JumpConfig(MethodConfig):
    """Settings of the jump model, beside those of every method; it has no criterion, so n_states is a number.

    Args:
        jump_penalty: price of a change of state, in squared standard deviations of the inputs; more makes states last.
        n_starts: starts, of which the cheapest end is taken.
        min_share: of the sessions that a state must have, and never below 21 sessions.
    """

    columns: tuple[str, ...] = ("log_volatility_10d", "log_volatility_63d", "momentum_63d", "drawdown_252d")
    n_states: int | None = 3
    jump_penalty: float = 50.0
    n_starts: int = 5
    min_share: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_states is None:
            raise DataError("jump: n_states is None; wanted a number, as a jump model has no likelihood to choose by.")
        if not self.jump_penalty >= 0.0 or self.n_starts < 1 or not 0.0 <= self.min_share < 0.5:
            raise DataError(
                f"jump: {self}; wanted a jump_penalty of 0 or more, 1 or more of n_starts and a min_share in [0, 0.5)."
            )


def fit(rows: Floats, config: JumpConfig, seed: int) -> Arrays:
    """Returns `centers` (K, F) and `penalty` (1,).

    Raises:
        DataError: rows that no method can learn from, or a state that hardly occurs on the best path.
    """
    from jumpmodels.jump import JumpModel

    check_rows(rows)
    assert config.n_states is not None
    with threadpool_limits(1), np.errstate(invalid="ignore"):  # of a state that a path never visits
        model = JumpModel(config.n_states, config.jump_penalty, n_init=config.n_starts, random_state=seed)
        model.fit(rows, sort_by=None)
    check_states(np.bincount(model.labels_, minlength=config.n_states), len(rows), config.min_share)
    return {"centers": model.centers_, "penalty": np.array([config.jump_penalty])}


def filter(arrays: Arrays, rows: Floats, state: Floats | None) -> tuple[Floats, Floats]:
    """Probability 1 of the state in which the best path so far ends.

    Args:
        state: (K,) values after the session before, less the lowest; None at the start.
    """
    begin = np.zeros(len(arrays["centers"])) if state is None else np.asarray(state, np.float64)
    values = _forward(np.ascontiguousarray(rows), arrays["centers"], arrays["penalty"][0], begin)
    return _certain(values.argmin(axis=1), len(begin)), (values[-1] if len(values) else begin).copy()


def smooth(arrays: Arrays, rows: Floats) -> Floats:
    """Probability 1 of the states on the best path through all rows."""
    penalty, states = arrays["penalty"][0], len(arrays["centers"])
    values = _forward(np.ascontiguousarray(rows), arrays["centers"], penalty, np.zeros(states))
    return _certain(_path(values, penalty), states)


def _certain(path: NDArray[np.int64], states: int) -> Floats:
    return np.eye(states)[path]


@compiled
def _forward(rows: Floats, centers: Floats, penalty: float, begin: Floats) -> Floats:
    """(S, K) values V_t less their lowest; a row with a NaN costs nothing in any state."""
    sessions, width = rows.shape
    states = len(centers)
    out = np.empty((sessions, states))
    before = begin
    for t in range(sessions):
        lowest = before.min()
        observed = np.isfinite(rows[t]).all()
        for k in range(states):
            cost = 0.0
            if observed:
                for f in range(width):
                    cost += 0.5 * (rows[t, f] - centers[k, f]) ** 2
            out[t, k] = cost + min(before[k], lowest + penalty)
        least = out[t].min()
        for k in range(states):
            out[t, k] -= least
        before = out[t]
    return out


@compiled
def _path(values: Floats, penalty: float) -> NDArray[np.int64]:
    """(S,) the path that ends best, followed back."""
    sessions, states = values.shape
    out = np.zeros(sessions, dtype=np.int64)
    for back in range(sessions):
        t = sessions - 1 - back
        best = np.inf
        for k in range(states):
            value = values[t, k]
            if back > 0 and k != out[t + 1]:
                value += penalty
            if value < best:
                best = value
                out[t] = k
    return out


METHODS.register("jump")(
    Method("jump", JumpConfig, fit, filter, smooth, summary="Statistical jump model: clusters with a price on change.")
)
