"""K-means: sessions are divided among K centres so that they lie as near to them as can be.

Probabilities are those of equally likely Gaussians, round and of one width, around the centres:

    p(k | x) = exp(-|x - c_k|^2 / (2 s^2)) / (sum over j of exp(-|x - c_j|^2 / (2 s^2))),
    s^2 = (sum of squared distances to the own centre) / (F (T - K)),

so the nearest centre is the most probable. Source: MacQueen 1967; the Gaussians as in Celeux and Govaert, A
classification EM algorithm, 1992, of which k-means is the hard limit; fitted by scikit-learn.
"""

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.regimes.filtering import log_gaussians, memoryless, shares
from quant_core.regimes.model import METHODS, Arrays, Method, MethodConfig
from quant_core.regimes.sound import CLUSTER_COLUMNS, check_rows, check_states, chosen


@dataclass(frozen=True)
class KmeansConfig(MethodConfig):
    """Settings of k-means, beside those of every method; n_states None takes the highest silhouette.

    Args:
        n_starts: starts, of which the tightest end is taken.
        silhouette_rows: sessions, drawn with the seed, on which silhouettes are measured.
        min_share: of the sessions that a state must have, and never below 21 sessions.
    """

    columns: tuple[str, ...] = CLUSTER_COLUMNS
    n_starts: int = 10
    silhouette_rows: int = 1500
    min_share: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_starts < 1 or self.silhouette_rows < 100 or not 0.0 <= self.min_share < 0.5:
            raise DataError(
                f"kmeans: {self}; wanted at least 1 of n_starts, 100 of silhouette_rows and a min_share in [0, 0.5)."
            )


def fit(rows: Floats, config: KmeansConfig, seed: int) -> Arrays:
    """The centres.

    Returns:
        `centers` (K, F), `width` (1,) s of the formula, `usual` (K,) shares of the states.
    Raises:
        DataError: rows that no method can learn from, or a state that hardly occurs.
    """
    check_rows(rows)
    with threadpool_limits(1):
        return chosen(config, lambda n_states: _fit(rows, n_states, config, seed))


def _fit(rows: Floats, n_states: int, config: KmeansConfig, seed: int) -> tuple[Arrays, float]:
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    model = KMeans(n_states, n_init=config.n_starts, random_state=seed).fit(rows)
    sessions = np.bincount(model.labels_, minlength=n_states)
    check_states(sessions, len(rows), config.min_share)
    width = np.sqrt(model.inertia_ / (rows.shape[1] * (len(rows) - n_states)))
    if width < 1e-6:
        raise DataError(f"{n_states} values explain every session; wanted inputs that vary; correct columns.")
    drawn = min(config.silhouette_rows, len(rows))
    quality = (
        silhouette_score(rows, model.labels_, sample_size=drawn, random_state=seed) if not config.n_states else 0.0
    )
    arrays = {"centers": model.cluster_centers_, "width": np.array([width]), "usual": sessions / len(rows)}
    return arrays, -float(quality)


def filter(arrays: Arrays, rows: Floats, state: Floats | None) -> tuple[Floats, Floats]:
    """Probabilities by the formula of this module."""
    states, width = arrays["centers"].shape
    roots = np.broadcast_to(np.eye(width) / arrays["width"][0], (states, width, width)).copy()
    return memoryless(
        lambda known: shares(log_gaussians(known, arrays["centers"], roots)), rows, state, arrays["usual"]
    )


METHODS.register("kmeans")(
    Method("kmeans", KmeansConfig, fit, filter, summary="K-means: the nearest of K typical sessions.")
)
