"""Gradient boosting of regression trees: what a linear model cannot see, thresholds and interactions of the inputs.

One booster is grown for each kind of inputs and each seed. Each is stopped where the mean daily rank IC on the newest
dates of its window was best, then grown that far on the whole window; the score is the mean of the boosters' centred
ranks of the day. Trees ask only whether a value is above a threshold, so inputs need no scaling, and a missing one has
a side of its own at every split.

Source: Friedman 2001 (`trees`); Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS 2017.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, get_args

import numpy as np
import polars as pl

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log
from quant_core.forecasting import boosters, inputs
from quant_core.forecasting.boosters import Booster, Library, TreeSettings
from quant_core.forecasting.ensemble import rank_average
from quant_core.forecasting.inputs import KINDS, LABEL, Kind
from quant_core.forecasting.model import MODELS, ForecasterConfig, Model, TrainingData, manifest
from quant_core.forecasting.validation import SHARE, rank_ic_of, said, validation_slice
from quant_core.runtime import Resources, worker_threads


@dataclass(frozen=True)
class BoostingConfig(ForecasterConfig):
    """Settings of boosting, beside those that every forecaster has.

    Args:
        inputs: kinds of inputs, a booster each: "raw", "rank", "normalized", "channels".
        library: "sklearn" (HistGradientBoostingRegressor), or "lightgbm" where it is installed.
        n_seeds: boosters of each kind, with the seeds `seed`, `seed` + 1, ...
        learning_rate: share of each tree's correction that is taken.
        max_iter: trees of a booster; None chooses among `checkpoints`.
        checkpoints: numbers of trees, ascending; of equals the fewest.
        max_leaf_nodes, min_samples_leaf: leaves of a tree at most, rows of a leaf at least.
        l2: penalty on a leaf's value, in rows.
        max_bins: values that an input is told apart by, at most 255.
        feature_share: share of the inputs that a split may choose from, drawn for each.
        validation_share: share of the window's dates on which checkpoints are judged.
        max_null_share: an input with a greater share of missing rows in the window is left out.
        max_row_null_share: a booster neither learns nor scores a row that lacks a greater share of its inputs.
    """

    inputs: tuple[Kind, ...] = ("rank", "normalized")
    library: Library = "sklearn"
    n_seeds: int = 1
    learning_rate: float = 0.03  # these four: docs/experiments.md
    max_iter: int | None = None
    checkpoints: tuple[int, ...] = (20, 40, 80, 120, 160, 240)
    max_leaf_nodes: int = 15
    min_samples_leaf: int = 200
    l2: float = 10.0
    max_bins: int = 63
    feature_share: float = 0.5
    validation_share: float = SHARE
    max_null_share: float = 0.5
    max_row_null_share: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "checkpoints", tuple(self.checkpoints))
        stops = self.checkpoints if self.max_iter is None else (self.max_iter,)
        for setting, good, wanted in (
            ("inputs", 0 < len(set(self.inputs)) == len(self.inputs) and set(self.inputs) <= set(KINDS),
             f"distinct kinds of {KINDS}"),
            ("library", self.library in get_args(Library), f"one of {get_args(Library)}"),
            ("n_seeds", self.n_seeds >= 1, "at least 1"),
            ("learning_rate", 0.0 < self.learning_rate <= 1.0, "a share in (0, 1]"),
            ("max_iter", all(stop >= 1 for stop in stops), "at least 1 tree"),
            ("checkpoints", all(stop >= 1 for stop in self.checkpoints), "at least 1 tree"),
            ("checkpoints", len(set(self.checkpoints)) > 0 and list(self.checkpoints) == sorted(set(self.checkpoints)),
             "ascending numbers of trees"),
            ("max_leaf_nodes", self.max_leaf_nodes >= 2, "at least 2"),
            ("min_samples_leaf", self.min_samples_leaf >= 1, "at least 1"),
            ("l2", self.l2 >= 0.0, "l2 >= 0"),
            ("max_bins", 2 <= self.max_bins <= 255, "2 to 255"),
            ("feature_share", 0.0 < self.feature_share <= 1.0, "a share in (0, 1]"),
            ("validation_share", 0.0 < self.validation_share < 1.0, "a share in (0, 1)"),
            ("max_null_share", 0.0 <= self.max_null_share <= 1.0, "a share in 0..1"),
            ("max_row_null_share", 0.0 <= self.max_row_null_share < 1.0, "a share in [0, 1)"),
        ):  # fmt: skip
            if not good:
                raise DataError(f"boosting: {setting} is {getattr(self, setting)!r}; wanted {wanted}.")


class Part(NamedTuple):
    """What the boosters of one kind learn from: R rows (date, ticker, label_end_date, label), (R, inputs) values."""

    kind: Kind
    columns: tuple[str, ...]
    left_out: tuple[str, ...]
    rows: pl.DataFrame
    matrix: Floats


class Grown(NamedTuple):
    """A booster on its whole window, and what it said of the newest part before it knew that."""

    part: Part
    seed: int
    booster: Booster
    n_trees: int
    rank_ic: dict[str, float]  # by checkpoint
    validation: pl.DataFrame  # date, ticker, score


def fit(data: TrainingData, config: BoostingConfig, log: Log) -> Fitted:
    """Grow a booster for each kind of inputs and seed.

    Returns:
        the boosters' arrays (see `boosters`) and `gain_share` (an input each, of all that the splits gained); the
        manifest's facts hold the `boosters` (kind, seed, columns, n_trees, rank_ic by checkpoint) and the inputs
        `left_out`. The artifact's validation is the mean rank of the boosters at their chosen checkpoint, grown on the
        older rows.
    Raises:
        DataError: no input of a kind, too few rows, no date to choose on, or a library that is not installed.
    """
    boosters.check_installed(config.library)
    parts = [_part(data, kind, config) for kind in config.inputs]
    tasks = [(part, seed) for part in parts for seed in range(config.seed, config.seed + config.n_seeds)]
    with ThreadPoolExecutor(worker_threads(len(tasks))) as pool:
        grown = list(pool.map(lambda task: _grow(task[0], task[1], config), tasks))
    columns = tuple(dict.fromkeys(name for part in parts for name in part.columns))
    rows = inputs.has_label(inputs.labelled(data, config, columns, "raw"))
    told = [
        {"kind": found.part.kind, "seed": found.seed, "columns": list(found.part.columns), "n_trees": found.n_trees,
         "rank_ic": found.rank_ic}
        for found in grown
    ]  # fmt: skip
    left_out = sorted({name for part in parts for name in part.left_out})
    curve = _curve(grown, log)
    return Fitted(
        boosters.to_arrays([found.booster for found in grown]) | {"gain_share": _gain_share(grown, columns)},
        manifest("boosting", rows, columns, config, boosters=told, left_out=left_out),
        curve,
        _averaged([found.validation for found in grown]),
    )


def predict(fitted: Fitted, features: pl.DataFrame, first: date) -> pl.DataFrame:
    """Scores of the eligible rows from `first` on: the mean rank of the boosters that have most of their inputs there.

    Raises:
        DataError: an input column is absent, or the library is not installed.
    """
    found, settings = fitted.manifest, fitted.manifest.config
    inputs.check_present(features.columns, found.columns, found.kind)
    rows = features.filter(pl.col("date") >= first, "is_eligible")
    said_by = []
    for booster, told in zip(boosters.of_arrays(fitted.arrays), found.facts["boosters"], strict=True):
        read = inputs.as_kind(rows, told["columns"], told["kind"])
        scored, matrix = inputs.usable(read, told["columns"], settings["max_row_null_share"])
        said_by.append(said(scored, booster.scores(matrix, (told["n_trees"],))[:, 0]))
    return _averaged(said_by)


def importance(fitted: Fitted) -> pl.DataFrame:
    """Rows (feature, importance_share): of all that the splits gained, the greatest first."""
    table = pl.DataFrame({"feature": list(fitted.manifest.columns), "importance_share": fitted.arrays["gain_share"]})
    return table.sort(["importance_share", "feature"], descending=[True, False])


def _part(data: TrainingData, kind: Kind, config: BoostingConfig) -> Part:
    named = inputs.named_inputs(data, kind, None, "boosting")
    window = inputs.labelled(data, config, named, kind)
    columns, left_out = inputs.present_often(window, named, config.max_null_share, "boosting")
    rows, matrix = inputs.usable(inputs.has_label(window), columns, config.max_row_null_share)
    if rows.height < 2 * config.min_samples_leaf:
        raise DataError(
            f"boosting: {rows.height} of {window.height} rows have enough of the {len(columns)} {kind} inputs, wanted "
            f"two leaves of {config.min_samples_leaf}; lower min_samples_leaf or widen the training window."
        )
    return Part(kind, columns, left_out, rows.select("date", "ticker", "label_end_date", LABEL), matrix)


def _grow(part: Part, seed: int, config: BoostingConfig) -> Grown:
    """Choose the number of trees on the newest dates, then grow them on the whole window."""
    label, settings = part.rows[LABEL].to_numpy(), _tree_settings(config)
    stops = config.checkpoints if config.max_iter is None else (config.max_iter,)
    n_trees, validation = stops[-1], said(part.rows.clear(), np.empty(0))
    rank_ic: dict[str, float] = {}
    piece = validation_slice(part.rows, config.validation_share)
    if piece.older.sum() >= 2 * config.min_samples_leaf:
        older = boosters.grow(config.library, part.matrix[piece.older], label[piece.older], settings, seed, stops[-1])
        scores = older.scores(part.matrix[piece.newest], stops)  # (rows, stops)
        judged = part.rows.filter(piece.newest)
        rank_ic, _ = rank_ic_of(judged, scores, [str(stop) for stop in stops])
        best = max(range(len(stops)), key=lambda k: (rank_ic.get(str(stops[k]), -np.inf), -stops[k]))
        n_trees, validation = stops[best], said(judged, scores[:, best])
    if config.max_iter is None and not rank_ic:
        raise DataError(
            f"boosting: no date from {piece.first} on can choose the number of trees ({int(piece.older.sum())} rows "
            "before it); give max_iter, or widen the training window or the universe."
        )
    whole = boosters.grow(config.library, part.matrix, label, settings, seed, n_trees)
    return Grown(part, seed, whole, n_trees, rank_ic, validation)


def _tree_settings(config: BoostingConfig) -> TreeSettings:
    return TreeSettings(**{name: getattr(config, name) for name in TreeSettings._fields})


def _averaged(said_by: list[pl.DataFrame]) -> pl.DataFrame:
    """The mean of the boosters' centred ranks of the day."""
    long = [table.with_columns(model=pl.lit(str(k))) for k, table in enumerate(said_by)]
    return rank_average(pl.concat(long), [str(k) for k in range(len(said_by))])


def _gain_share(grown: list[Grown], columns: tuple[str, ...]) -> Floats:
    """(columns,) mean over boosters of the share that each input had in what the splits gained."""
    share = np.zeros(len(columns))
    for found in grown:
        at = [columns.index(name) for name in found.part.columns]
        share[at] += found.booster.gain / (found.booster.gain.sum() or 1.0) / len(grown)
    return share


def _curve(grown: list[Grown], log: Log) -> pl.DataFrame:
    """Mean daily rank IC on the validation slice after so many trees, a column for each kind, mean over seeds."""
    steps = sorted({int(stop) for found in grown for stop in found.rank_ic})
    kinds = dict.fromkeys(found.part.kind for found in grown)
    rows = []
    for step in steps:
        values = {}
        for kind in kinds:
            known = [
                found.rank_ic[str(step)] for found in grown if found.part.kind == kind and str(step) in found.rank_ic
            ]
            if known:
                values[f"rank_ic_{kind}"] = float(np.mean(known))
        log(step, values)
        rows.append({"epoch": step, **values})
    return pl.DataFrame(rows, schema={"epoch": pl.Int32} | {f"rank_ic_{kind}": pl.Float64 for kind in kinds})


SUMMARY = "Gradient boosting of trees on the day's ranks and on z-scores, averaged."
MODELS.register("boosting")(
    Model(
        "boosting", BoostingConfig, fit, predict,
        resources=Resources(cpu_cores=2), summary=SUMMARY, importance=importance,
    )
)  # fmt: skip
