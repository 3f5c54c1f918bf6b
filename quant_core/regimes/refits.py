"""Whether a refit keeps its states: which state of one fold is which of the next, and whether both say the same of the
sessions that both were fitted on."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.errors import DataError
from quant_core.fitted import Fitted
from quant_core.regimes.config import is_of_embeddings
from quant_core.regimes.table import fit_window_labels, methods_of
from quant_core.schema import RegimeStability, table_of, validate

#: What a state without a mean or a volatility (no session of the fit window was in it) is away from every other.
FAR = 1e6


@dataclass(frozen=True)
class Refit:
    """What one fold's model of a method says of its own fit window.

    Args:
        labels: rows (date, regime).
        states: rows (regime, return_ann, volatility_ann), one a state: its name, mean and volatility of the index' log
            returns in its sessions.
    """

    labels: pl.DataFrame
    states: pl.DataFrame


def refits_of(fitted: Mapping[str, Fitted], inputs: pl.DataFrame) -> dict[str, dict[str, Refit]]:
    """Each fold's methods over their own fit windows, oldest fold first.

    Args:
        fitted: by fold.
        inputs: `inputs.market_inputs` of every session before the newest fold.
    Returns:
        by fold, then by method; one that reads embeddings has no labels, for every fold has an encoder of its own.
    """
    return {
        fold: {method: _refit(fitted[fold], inputs, method) for method in methods_of(fitted[fold])}
        for fold in sorted(fitted)
    }


def _refit(fitted: Fitted, inputs: pl.DataFrame, method: str) -> Refit:
    dtypes = {"regime": pl.String, "return_ann": pl.Float64, "volatility_ann": pl.Float64}
    told = fitted.manifest.facts["methods"][method]["states"]
    states = pl.DataFrame(
        [(one["name"], one["return_ann"], one["volatility_ann"]) for one in told], dtypes, orient="row"
    )
    if is_of_embeddings(method):
        return Refit(pl.DataFrame(schema={"date": pl.Date, "regime": pl.String}), states)
    return Refit(fit_window_labels(fitted, inputs, method), states)


def aligned(previous: pl.DataFrame, current: pl.DataFrame) -> NDArray[np.int64]:
    """Which current state is the counterpart of each previous one.

    The one-to-one assignment with the least sum of (ln s_i - ln s_j)^2 + ((m_i - m_j) / s)^2, m_i a state's mean and
    s_i its volatility of one session, s the mean of all volatilities: volatilities decide, means between states of like
    volatility.

    Args:
        previous, current: rows (return_ann, volatility_ann), one a state; a volatility that is null or not above 0 is
            like no other.
    Returns:
        (previous states,) row of `current`; -1 where `current` has fewer states and none is left.
    Source: Kuhn, The Hungarian method for the assignment problem, 1955; scipy.optimize.linear_sum_assignment.
    """
    from scipy.optimize import linear_sum_assignment

    means, volatilities = zip(*(_moments(table) for table in (previous, current)), strict=True)
    every = np.concatenate(volatilities)
    scale = np.nanmean(every) if np.isfinite(every).any() else 1.0
    levels = [np.log(values) for values in volatilities]
    cost = (levels[0][:, None] - levels[1]) ** 2 + ((means[0][:, None] - means[1]) / scale) ** 2
    own, its = linear_sum_assignment(np.where(np.isnan(cost), FAR, cost))
    found = np.full(previous.height, -1, dtype=np.int64)
    found[own] = its
    return found


def refit_stability(refits: Mapping[str, Mapping[str, Refit]]) -> pl.DataFrame:
    """Each fold's model beside that of the fold before it, by method.

    Args:
        refits: by fold, oldest first, then by method; a method that a fold lacks is compared with neither neighbour.
    Returns:
        RegimeStability; `equal_share` over the sessions that both label, null for none, `names_kept_share` of the
        previous fold's states.
    Raises:
        DataError: the folds are not in order.
    """
    folds = list(refits)
    if folds != sorted(folds):
        raise DataError(f"refit_stability: folds {folds} are out of order; give them oldest first.")
    rows = [
        {"method": method, "fold": fold, "previous_fold": before, **_kept(refits[before][method], refit)}
        for before, fold in itertools.pairwise(folds)
        for method, refit in refits[fold].items()
        if method in refits[before]
    ]
    table = table_of(RegimeStability, rows).sort("method", "fold")
    return validate(table, RegimeStability, "RegimeStability", "report this as a bug.")


def _kept(previous: Refit, current: Refit) -> dict[str, float | int | None]:
    both = previous.labels.join(current.labels, on="date", suffix="_now")
    counterpart = aligned(previous.states, current.states)
    names = [current.states["regime"][k] if k >= 0 else None for k in counterpart.tolist()]
    kept = [own == its for own, its in zip(previous.states["regime"], names, strict=True)]
    return {
        "n_sessions": both.height,
        "equal_share": (both["regime"] == both["regime_now"]).mean() if both.height else None,  # type: ignore[dict-item]
        "n_states": current.states.height, "n_states_before": previous.states.height,
        "names_kept_share": sum(kept) / len(kept) if kept else 1.0,
    }  # fmt: skip


def _moments(states: pl.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(K,) means and (K,) volatilities of one session, NaN where a state has none."""
    mean, volatility = (
        states[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in ("return_ann", "volatility_ann")
    )
    daily = np.where(volatility > 0.0, volatility, np.nan) / math.sqrt(SESSIONS_PER_YEAR)
    return mean / SESSIONS_PER_YEAR, daily
