"""Boosters of two libraries behind one contract: grown in one thread, kept as plain arrays, the same when repeated.

scikit-learn's trees are stored node by node and walked by `trees`; LightGBM's are stored as its own text and scored by
the library, which is installed only where it is wanted (`pip install quant-lab[boosting]`). A booster is grown in one
thread, since the order of a sum is part of its last digit; several boosters are grown beside one another.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.forecasting.trees import Trees, joined, of_sklearn, walk

Library = Literal["sklearn", "lightgbm"]


class TreeSettings(NamedTuple):
    """How trees are grown; the names are those of `BoostingConfig`."""

    learning_rate: float
    max_leaf_nodes: int
    min_samples_leaf: int
    l2: float
    max_bins: int
    feature_share: float


class SklearnBooster(NamedTuple):
    """A fitted HistGradientBoostingRegressor, without it."""

    trees: Trees
    base: float
    gain: Floats  # (columns,) of all splits on each

    def scores(self, matrix: Floats, stops: tuple[int, ...]) -> Floats:
        """(rows, stops) scores after the first `stops` trees."""
        return walk(self.trees, self.base, matrix, stops)


class LightgbmBooster(NamedTuple):
    """A fitted LightGBM model as its own text."""

    text: str
    gain: Floats

    def scores(self, matrix: Floats, stops: tuple[int, ...]) -> Floats:
        """(rows, stops) scores after the first `stops` trees."""
        check_installed("lightgbm")
        import lightgbm

        model = lightgbm.Booster(model_str=self.text)
        return np.column_stack([model.predict(matrix, num_iteration=stop, num_threads=1) for stop in stops])


Booster = SklearnBooster | LightgbmBooster


def check_installed(library: Library) -> None:
    """Raise where a library is not there."""
    if library == "lightgbm" and find_spec("lightgbm") is None:
        raise DataError(
            'boosting: library is "lightgbm", which is not installed; run `pip install "quant-lab[boosting]"`, or set '
            'library to "sklearn".'
        )


def grow(library: Library, matrix: Floats, label: Floats, settings: TreeSettings, seed: int, n_trees: int) -> Booster:
    """A booster of `n_trees` trees on (rows, columns) inputs, NaN for missing, and (rows,) labels; squared error."""
    make = _grow_lightgbm if library == "lightgbm" else _grow_sklearn
    return make(matrix, label, settings, seed, n_trees)


def _grow_sklearn(matrix: Floats, label: Floats, settings: TreeSettings, seed: int, n_trees: int) -> Booster:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    model = HistGradientBoostingRegressor(
        learning_rate=settings.learning_rate,
        max_iter=n_trees,
        max_leaf_nodes=settings.max_leaf_nodes,
        min_samples_leaf=settings.min_samples_leaf,
        l2_regularization=settings.l2,
        max_bins=settings.max_bins,
        max_features=settings.feature_share,
        early_stopping=False,
        random_state=seed,
    )
    with threadpool_limits(1, user_api="openmp"):
        model.fit(matrix, label)
    return SklearnBooster(*of_sklearn(model))


def _grow_lightgbm(matrix: Floats, label: Floats, settings: TreeSettings, seed: int, n_trees: int) -> Booster:
    import lightgbm

    params: dict[str, Any] = {
        "objective": "regression",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.max_leaf_nodes,
        "min_data_in_leaf": settings.min_samples_leaf,
        "lambda_l2": settings.l2,
        "max_bin": settings.max_bins,
        "feature_fraction_bynode": settings.feature_share,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    model = lightgbm.train(params, lightgbm.Dataset(matrix, label, params=params), num_boost_round=n_trees)
    return LightgbmBooster(model.model_to_string(), model.feature_importance("gain").astype(np.float64))


def to_arrays(boosters: Sequence[Booster]) -> dict[str, np.ndarray]:
    """Boosters of one library as arrays: LightGBM's texts as UTF-8 bytes behind one another and where each ends, or the
    nodes of all trees, the trees and the base of each booster."""
    texts = [found.text.encode() for found in boosters if isinstance(found, LightgbmBooster)]
    if texts:
        text = np.frombuffer(b"".join(texts), dtype=np.uint8)
        return {"text": text, "text_ends": np.cumsum([len(part) for part in texts])}
    grown = [found for found in boosters if isinstance(found, SklearnBooster)]
    return joined([found.trees for found in grown])._asdict() | {
        "n_trees": np.array([len(found.trees.roots) for found in grown]),
        "base": np.array([found.base for found in grown]),
    }


def of_arrays(arrays: Mapping[str, np.ndarray]) -> list[Booster]:
    """The way back, without the gains."""
    unknown = np.empty(0)
    if "text" in arrays:
        begins = [0, *arrays["text_ends"].tolist()]
        return [LightgbmBooster(arrays["text"][a:b].tobytes().decode(), unknown) for a, b in pairwise(begins)]
    trees = Trees(*(arrays[name] for name in Trees._fields))
    ends = np.cumsum(arrays["n_trees"])
    return [
        SklearnBooster(trees._replace(roots=trees.roots[end - n : end]), float(base), unknown)
        for end, n, base in zip(ends, arrays["n_trees"], arrays["base"], strict=True)
    ]
