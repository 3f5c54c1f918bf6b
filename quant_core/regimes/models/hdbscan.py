"""HDBSCAN: states are places where sessions lie densely; what lies between them belongs to none.

Fitted by the package hdbscan. A new session joins as the package's `approximate_predict` says, from arrays alone: the
fit window's rows, the tree of clusters, where each row left it (lambda = 1 / distance) and what each cluster is called.
Its strength, min(lambda, the cluster's highest) / the cluster's highest, is 1 in the cluster's densest place and falls
towards its rim. A member has its cluster with probability (1 + strength) / 2 and "none of them", the last state, with
the rest, so that the most probable state is what the package says; what belongs to no cluster is none with certainty.

Source: Campello, Moulavi and Sander, Density-based clustering based on hierarchical density estimates, 2013; McInnes,
Healy and Astels, hdbscan, JOSS 2017.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from quant_core.compiling import compiled
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.regimes.filtering import memoryless
from quant_core.regimes.model import METHODS, Arrays, Method, MethodConfig
from quant_core.regimes.sound import CLUSTER_COLUMNS, check_rows

Selection = Literal["eom", "leaf"]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class HdbscanConfig(MethodConfig):
    """Settings of HDBSCAN, beside those of every method; it finds the number of states itself: `n_states` is not read.

    Args:
        min_cluster_shares: of the sessions that the smallest cluster has; the first of them that leads to two clusters
            or more is taken.
        min_samples: neighbours within whose distance a session's density is measured.
        selection: "eom" for the most persistent clusters, "leaf" for the finest.
    """

    columns: tuple[str, ...] = CLUSTER_COLUMNS
    n_states: int | None = None
    min_cluster_shares: tuple[float, ...] = (0.05, 0.02, 0.01)
    min_samples: int = 10
    selection: Selection = "eom"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "min_cluster_shares", tuple(self.min_cluster_shares))
        for setting, good, wanted in (
            ("min_cluster_shares", bool(self.min_cluster_shares) and all(0 < s < 0.5 for s in self.min_cluster_shares),
             "shares between 0 and 0.5, at least one"),
            ("min_samples", 1 <= self.min_samples <= 100, "1 to 100"),
            ("selection", self.selection in get_args(Selection), f"one of {get_args(Selection)}"),
        ):  # fmt: skip
            if not good:
                raise DataError(f"hdbscan: {setting} is {getattr(self, setting)!r}; wanted {wanted}.")


def fit(rows: Floats, config: HdbscanConfig, seed: int) -> Arrays:
    """The clusters.

    Returns:
        `rows` (T, F); per row `core_distances`, `row_parents` and `row_lambdas`; per node of the tree `node_parents`,
        `node_lambdas`, `node_labels` (-1: none) and `node_highest`; `usual` (K + 1,) shares of the states, none last;
        `min_samples`, `min_cluster_size`.
    Raises:
        DataError: rows that no method can learn from, or fewer than two clusters.
    """
    check_rows(rows)
    found = {}
    for share in config.min_cluster_shares:
        size = max(int(share * len(rows)), 5)
        model = _clustered(rows, size, config)
        found[size] = int(model.labels_.max()) + 1
        if found[size] >= 2:
            return _arrays(rows, model, size)
    told = ", ".join(f"{n} of at least {size} sessions" for size, n in found.items())
    raise DataError(
        f"clusters: {told}; wanted 2 or more; lower min_cluster_shares, set selection: leaf, or choose other columns."
    )


def _clustered(rows: Floats, size: int, config: HdbscanConfig) -> Any:
    import hdbscan

    with threadpool_limits(1):
        return hdbscan.HDBSCAN(
            min_cluster_size=size, min_samples=config.min_samples, cluster_selection_method=config.selection,
            prediction_data=True, core_dist_n_jobs=1,
        ).fit(rows)  # fmt: skip


def _arrays(rows: Floats, model: Any, size: int) -> Arrays:
    """What `approximate_predict` reads of a clustering."""
    known, tree, n = model.prediction_data_, model.condensed_tree_._raw_tree, len(rows)
    own, nodes = tree[tree["child"] < n], tree[tree["child"] >= n]
    n_nodes = 1 + len(nodes)
    parents, lambdas = np.zeros(n, np.int64), np.zeros(n)
    parents[own["child"]], lambdas[own["child"]] = own["parent"] - n, own["lambda_val"]
    node_parents, node_lambdas = np.zeros(n_nodes, np.int64), np.zeros(n_nodes)
    node_parents[nodes["child"] - n], node_lambdas[nodes["child"] - n] = nodes["parent"] - n, nodes["lambda_val"]
    labels, highest = np.full(n_nodes, -1, np.int64), np.zeros(n_nodes)
    for node, label in known.cluster_map.items():
        labels[node - n], highest[node - n] = label, known.max_lambdas[node]
    usual = np.bincount(np.where(model.labels_ < 0, model.labels_.max() + 1, model.labels_)) / n
    if len(usual) == model.labels_.max() + 1:
        usual = np.append(usual, 0.0)
    return {
        "rows": rows.copy(), "core_distances": known.core_distances, "row_parents": parents, "row_lambdas": lambdas,
        "node_parents": node_parents, "node_lambdas": node_lambdas, "node_labels": labels, "node_highest": highest,
        "usual": usual, "min_samples": np.array([model.min_samples]), "min_cluster_size": np.array([size]),
    }  # fmt: skip


def filter(arrays: Arrays, rows: Floats, state: Floats | None) -> tuple[Floats, Floats]:
    """(1 + strength) / 2 of a session in its cluster, and what is missing to 1 in "none of them"."""
    return memoryless(lambda known: _said(arrays, known), rows, state, arrays["usual"])


def _said(arrays: Arrays, rows: Floats) -> Floats:
    labels, strengths = joined(arrays, rows)
    found = np.zeros((len(rows), len(arrays["usual"])))
    member = np.flatnonzero(labels >= 0)
    found[member, labels[member]] = 0.5 + 0.5 * strengths[member]
    found[:, -1] = 1.0 - found[:, :-1].sum(axis=1)
    return found


def joined(arrays: Arrays, rows: Floats) -> tuple[Whole, Floats]:
    """Label (-1: none) and strength of each of (S, F) rows, as `hdbscan.approximate_predict` has them."""
    from sklearn.neighbors import KDTree

    if not len(rows):
        return np.zeros(0, np.int64), np.zeros(0)
    samples = int(arrays["min_samples"][0])
    distances, near = KDTree(arrays["rows"]).query(rows, k=2 * samples)
    names = (
        "core_distances",
        "row_parents",
        "row_lambdas",
        "node_parents",
        "node_lambdas",
        "node_labels",
        "node_highest",
    )
    return _join(distances, near, samples, *(arrays[name] for name in names))


@compiled
def _join(
    distances: Floats,
    near: Whole,
    samples: int,
    core_distances: Floats,
    row_parents: Whole,
    row_lambdas: Floats,
    node_parents: Whole,
    node_lambdas: Floats,
    node_labels: Whole,
    node_highest: Floats,
) -> tuple[Whole, Floats]:
    """Each row joins where its nearest neighbour is, or the nearest cluster above that is wide enough to hold it.

    Args:
        distances, near: (S, 2 x samples) to the nearest rows of the fit window, and which those are.
    """
    labels, strengths = np.full(len(distances), -1, dtype=np.int64), np.zeros(len(distances))
    for t in range(len(distances)):
        reach, neighbour = np.inf, near[t, 0]
        for n in range(near.shape[1]):
            mutual = max(core_distances[near[t, n]], distances[t, samples], distances[t, n])
            if mutual < reach:
                reach, neighbour = mutual, near[t, n]
        own = 1.0 / reach if reach > 0.0 else np.finfo(np.float64).max
        node = row_parents[neighbour]
        if row_lambdas[neighbour] > own:
            while node > 0 and node_lambdas[node] >= own:
                node = node_parents[node]
        labels[t] = node_labels[node]
        if labels[t] >= 0:
            strengths[t] = min(own, node_highest[node]) / node_highest[node] if node_highest[node] > 0.0 else 1.0
    return labels, strengths


METHODS.register("hdbscan")(
    Method(
        "hdbscan",
        HdbscanConfig,
        fit,
        filter,
        has_noise=True,
        summary="HDBSCAN: dense places among the sessions, and none of them in between.",
    )
)
