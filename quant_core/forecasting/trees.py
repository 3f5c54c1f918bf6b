"""Boosted regression trees as plain arrays: grown by scikit-learn, walked here.

Nothing of scikit-learn is stored, so that an artifact outlives its versions and is never unpickled. A score is the base
plus one leaf of each tree, added in the order of the trees: a row's last digit is no matter of its neighbours.

Source: J. H. Friedman, Greedy function approximation: a gradient boosting machine, Annals of Statistics 29(5), 2001;
histograms as in Ke et al., LightGBM, NeurIPS 2017.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from quant_core.dense import Floats

LEAF = -1


class Trees(NamedTuple):
    """The nodes of T trees behind one another.

    Args:
        feature: (nodes,) column that a node asks for; LEAF where it is one.
        threshold: (nodes,) a row goes left where its value is at most this.
        left, right: (nodes,) the node to go to.
        missing_left: (nodes,) whether a row goes left where its value is missing (NaN).
        value: (nodes,) what a leaf adds to the score.
        roots: (T,) node at which each tree begins.
    """

    feature: NDArray[np.int32]
    threshold: Floats
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    value: Floats
    roots: NDArray[np.int32]


def joined(parts: list[Trees]) -> Trees:
    """All trees in one; those of the first part come first."""
    begins = np.cumsum([0, *(len(part.feature) for part in parts)]).astype(np.int32)
    moved = [
        part._replace(left=part.left + begin, right=part.right + begin, roots=part.roots + begin)
        for part, begin in zip(parts, begins, strict=False)
    ]
    return Trees(*(np.concatenate(arrays) for arrays in zip(*moved, strict=True)))


def of_sklearn(model: Any) -> tuple[Trees, float, Floats]:
    """The trees of a fitted HistGradientBoostingRegressor, its base, and the gain of the splits on each column.

    `_predictors` and `_baseline_prediction` are private: the version is pinned, and a test holds the walk against
    `predict`.
    """
    parts, gain = [], np.zeros(model.n_features_in_)
    for (tree,) in model._predictors:
        nodes = tree.nodes
        is_leaf = nodes["is_leaf"].astype(bool)
        np.add.at(gain, nodes["feature_idx"][~is_leaf], nodes["gain"][~is_leaf])
        parts.append(
            Trees(
                np.where(is_leaf, LEAF, nodes["feature_idx"]).astype(np.int32),
                nodes["num_threshold"].astype(np.float64),
                nodes["left"].astype(np.int32),
                nodes["right"].astype(np.int32),
                nodes["missing_go_to_left"].astype(bool),
                nodes["value"].astype(np.float64),
                np.zeros(1, np.int32),
            )
        )
    return joined(parts), float(np.ravel(model._baseline_prediction)[0]), gain


def walk(trees: Trees, base: float, matrix: Floats, stops: tuple[int, ...]) -> Floats:
    """(rows, stops) scores of a matrix (rows, columns) after the first `stops` trees, ascending."""
    return np.asarray(_walk(*trees, base, np.ascontiguousarray(matrix), np.asarray(stops, dtype=np.int64)))


@numba.njit(cache=True, nogil=True)
def _walk(feature, threshold, left, right, missing_left, value, roots, base, matrix, stops):  # type: ignore[no-untyped-def]
    scores = np.empty((len(matrix), len(stops)))
    for row in range(len(matrix)):
        score, done = base, 0
        for k in range(len(stops)):
            for tree in range(done, stops[k]):
                node = roots[tree]
                while feature[node] >= 0:
                    asked = matrix[row, feature[node]]
                    goes_left = missing_left[node] if np.isnan(asked) else asked <= threshold[node]
                    node = left[node] if goes_left else right[node]
                score += value[node]
            done = stops[k]
            scores[row, k] = score
    return scores
