"""What the rows and the states of a fit must be like, whatever the method."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.regimes.model import Arrays, MethodConfig

#: Inputs of the methods that look at one session at a time: what was around it must be in its own row.
CLUSTER_COLUMNS = (
    "log_volatility_21d", "log_volatility_63d", "drawdown_252d", "momentum_63d", "breadth_21d", "log_dispersion_21d",
    "correlation_63d",
)  # fmt: skip
#: Sessions below which no method finds states: one year.
FEWEST_ROWS = 252
#: Sessions that a state must have, whatever its share: one month.
FEWEST_SESSIONS = 21
#: A standard deviation of a standardised column below which it is a constant.
CONSTANT = 1e-8


def check_rows(rows: Floats) -> None:
    """Rows that a method may learn from.

    Raises:
        DataError: not (T, F), fewer than FEWEST_ROWS, a NaN or an infinity, or a column that does not vary.
    """
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise DataError(f"rows of shape {rows.shape}; wanted (sessions, inputs), one input or more; see columns.")
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise DataError(f"row {bad} of the fit is {rows[bad].tolist()}; wanted numbers; leave such sessions out.")
    if len(rows) < FEWEST_ROWS:
        raise DataError(f"{len(rows)} complete sessions; wanted {FEWEST_ROWS} or more; start the profile earlier.")
    flat = np.flatnonzero(rows.std(axis=0) < CONSTANT)
    if len(flat):
        raise DataError(f"column {int(flat[0])} of the fit does not vary; wanted inputs that do; correct columns.")


def fewest_sessions(n_rows: int, min_share: float) -> float:
    """Sessions that a state must have: `min_share` of all, and FEWEST_SESSIONS."""
    return max(min_share * n_rows, float(FEWEST_SESSIONS))


def check_states(sessions: Floats | NDArray[np.int64], n_rows: int, min_share: float) -> None:
    """Refuse states that hardly occur.

    Args:
        sessions: (K,) of each state, expected ones where probabilities are.
    Raises:
        DataError: a state has too few.
    """
    fewest = fewest_sessions(n_rows, min_share)
    if (sessions < fewest).any():
        raise DataError(
            f"states have {np.round(sessions, 1).tolist()} of {n_rows} sessions; wanted {fewest:.0f} or more each; "
            "ask for fewer n_states or lower min_share."
        )


def chosen(config: MethodConfig, fit: Callable[[int], tuple[Arrays, float]]) -> Arrays:
    """What a method learned with as many states as its settings ask for, or as its own criterion prefers.

    Where `n_states` is None and none of the `candidates` leads to sound states, fewer are tried, down to two.

    Args:
        fit: number of states -> arrays and the criterion, of which lower is better; a DataError where it is degenerate.
    Raises:
        DataError: no number led to sound states.
    """
    asked = sorted(config.candidates) if config.n_states is None else [config.n_states]
    found: list[tuple[Arrays, float]] = []
    faults: list[str] = []
    for n_states in [*asked, *(range(asked[0] - 1, 1, -1) if config.n_states is None else ())]:
        if n_states < asked[0] and found:
            break
        try:
            found.append(fit(n_states))
        except DataError as error:
            faults.append(f"{n_states} states: {error}")
    if not found:
        raise DataError(f"no sound states: {' '.join(faults)}")
    return min(found, key=lambda pair: pair[1])[0]
