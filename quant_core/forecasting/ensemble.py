"""Many forecasts as one: the mean of the members' ranks among the day's names, equal or by weights.

A member's score is read as its centred rank (r - 1/2) / n - 1/2 among the n names of the date that it scored, so that
members of any unit count alike. Weights are learned from what the members said of the validation slices of their own
fit windows, never from the days that they are used on.

Source: Bates and Granger, The Combination of Forecasts, Operational Research Quarterly 20(4), 1969; shrinkage towards
equal weights: Diebold and Pauly, The use of prior information in forecast combination, International Journal of
Forecasting 6, 1990.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

import numpy as np
import polars as pl

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Manifest, code_version, frame_hash, plain_settings
from quant_core.folds import fold
from quant_core.forecasting.model import ForecasterConfig, completed
from quant_core.measures.information_coefficient import FORWARD_PREFIX, rank_ic_by_date
from quant_core.schema import Forecasts

#: What the ensemble is called among the models.
ENSEMBLE = "ensemble"
Method = Literal["rank_average", "stacked"]
#: How far stacked weights go towards equal ones. Half: a few years of daily rank ICs hardly tell two members apart, and
#: equal weights are hard to beat (Smith and Wallis, A Simple Explanation of the Forecast Combination Puzzle, Oxford
#: Bulletin of Economics and Statistics 71(3), 2009).
SHRINKAGE = 0.5
KEYS = ("date", "ticker")


@dataclass(frozen=True)
class EnsembleConfig(ForecasterConfig):
    """Settings of the ensemble, beside those that every forecaster has: its horizon is what members are judged over.

    Args:
        members: models by name; None takes all that there are.
        method: "rank_average" weighs members alike, "stacked" by `stacking_weights`.
        min_validation_rank_ic: a member whose mean daily rank IC on the validation slices is lower, or unknown, is left
            out; where none reaches it, all stay.
    """

    members: tuple[str, ...] | None = None
    method: Method = "rank_average"
    min_validation_rank_ic: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.members is not None:
            object.__setattr__(self, "members", tuple(self.members))
            if not 0 < len(set(self.members)) == len(self.members):
                raise DataError(f"ensemble: members are {self.members}, wanted distinct names or none at all.")
        if self.method not in get_args(Method):
            raise DataError(f"ensemble: method is {self.method!r}, wanted one of {get_args(Method)}.")
        if not -1.0 <= self.min_validation_rank_ic <= 1.0:
            raise DataError(f"ensemble: min_validation_rank_ic is {self.min_validation_rank_ic}, wanted a correlation.")


def rank_average(
    forecasts: pl.DataFrame, members: Sequence[str], weights: Mapping[str, float] | None = None
) -> pl.DataFrame:
    """The weighted mean of the members' centred ranks, sum_m w_m r_m / sum_m w_m over the members that scored the name.

    Args:
        forecasts: rows (date, ticker, model, score) of any models.
        weights: of the members, none negative; equal where it is None. A member that weighs nothing is none.
    Returns:
        rows (date, ticker, score) of the names that at least half of the members scored, sorted; ranks are among these.
        A date alone has the scores that it has within a range.
    Raises:
        DataError: no member weighs anything, or a weight is absent or negative.
    """
    weighed = _weighed(members, weights)
    rows = forecasts.filter(pl.col("model").is_in(list(weighed)), pl.col("score").is_finite())
    rows = rows.filter(2 * pl.len().over("date", "ticker") >= len(weighed))
    weight = pl.col("model").replace_strict(weighed, return_dtype=pl.Float64)
    rows = rows.with_columns(rank=_centred("score").over("date", "model"), weight=weight).sort(
        "date", "ticker", "model"
    )
    score = (pl.col("rank") * pl.col("weight")).sum() / pl.col("weight").sum()
    return rows.group_by("date", "ticker", maintain_order=True).agg(score=score)


def _weighed(members: Sequence[str], weights: Mapping[str, float] | None) -> dict[str, float]:
    found = {name: 1.0 if weights is None else weights.get(name, np.nan) for name in members}
    if not all(weight >= 0.0 for weight in found.values()) or not sum(found.values()) > 0.0:
        raise DataError(
            f"ensemble: weights of {list(members)} are {list(found.values())}, wanted a number of at least 0 for each "
            "and one above 0; correct the weights."
        )
    return {name: weight for name, weight in found.items() if weight > 0.0}


def _centred(name: str) -> pl.Expr:
    return (pl.col(name).rank("average") - 0.5) / pl.count(name) - 0.5


def stacking_weights(validation: Mapping[str, pl.DataFrame], labels: pl.DataFrame) -> dict[str, float]:
    """How much each member's rank counts: non-negative least squares of the rank label on the members' ranks, halfway
    to equal weights.

        b = argmin_{b >= 0} sum_i (y_i - sum_m b_m r_im)^2,    w = (1 - SHRINKAGE) b / sum b + SHRINKAGE / M

    A name that a member did not score has its rank 0, the middle. Where no member helps, b = 0, all weigh alike.

    Args:
        validation: by member, rows (date, ticker, score), one a key, which the member had not learned from.
        labels: rows (date, ticker, rank_label) of one horizon; keys that are not in both are left out.
    Returns:
        weights by member, summing to 1.
    Raises:
        DataError: no label for any of the scores.
    """
    table = _side_by_side(validation, labels)
    names = sorted(validation)
    if table.is_empty():
        raise DataError(
            f"ensemble: none of the validation scores of {names} has a label; fit the members on folds whose labels "
            "these are, or use method 'rank_average'."
        )
    return _nnls_weights(table.select(names).to_numpy(), table["rank_label"].to_numpy(), names)


def _nnls_weights(ranks: Floats, label: Floats, names: Sequence[str]) -> dict[str, float]:
    from scipy.optimize import nnls

    learned, _ = nnls(ranks, label)
    equal = np.full(len(names), 1.0 / len(names))
    learned = learned / learned.sum() if learned.sum() > 0.0 else equal
    weights = (1.0 - SHRINKAGE) * learned + SHRINKAGE * equal
    return dict(zip(names, weights.tolist(), strict=True))


def _side_by_side(validation: Mapping[str, pl.DataFrame], labels: pl.DataFrame) -> pl.DataFrame:
    """Rows (date, ticker, rank_label, a column of centred ranks a member), sorted by key; of keys with any score."""
    table = labels.select(*KEYS, "rank_label")
    for name in sorted(validation):
        scores = validation[name].filter(pl.col("score").is_finite())
        ranked = scores.select(*KEYS, _centred("score").over("date").alias(name))
        table = table.join(ranked, on=KEYS, how="left")
    members = pl.col(sorted(validation))
    known = table.filter(pl.any_horizontal(members.is_not_null()))
    return known.with_columns(members.fill_null(0.0)).sort(KEYS)


def fit_ensemble(members: Mapping[str, Mapping[str, Fitted]], labels: pl.DataFrame, config: EnsembleConfig) -> Fitted:
    """Choose and weigh members on the validation slices of their folds.

    Args:
        members: by model and fold name; no fold after the one that the ensemble is for. A date that lies in the slices
            of several folds counts once, as the newest of them said it.
        labels: TrainingLabels of the newest fold; those of `config.horizon_sessions` judge.
    Returns:
        array `weights` (a member each, as in the manifest's columns). `fit_end` is the latest of the members'; facts
        hold weights, `validation_rank_ic`, members `left_out` and the `folds`; the artifact's validation is what the
        ensemble says of the newest slice.
    Raises:
        DataError: a wanted member is not fitted for the newest fold, no label has the horizon, or no row of the slices
            has a label to learn weights from.
    """
    wanted = _wanted(members, config)
    newest = max(name for folds in wanted.values() for name in folds)
    own = labels.filter(pl.col("horizon_sessions") == config.horizon_sessions)
    if own.is_empty():
        raise DataError(
            f"ensemble: no label over {config.horizon_sessions} sessions judges the members; choose one of "
            "training_window.horizons_sessions as horizon_sessions."
        )
    slices = {name: _said(folds) for name, folds in wanted.items()}
    judged = _judge(slices, own)
    kept = [name for name in wanted if judged.get(name, -np.inf) >= config.min_validation_rank_ic] or list(wanted)
    if config.method == "stacked":
        weights = stacking_weights({name: slices[name] for name in kept}, own)
    else:
        weights = dict.fromkeys(kept, 1.0 / len(kept))
    fits = [fitted.manifest for folds in wanted.values() for fitted in folds.values()]
    rows = _side_by_side(slices, own)
    seen = Manifest(
        kind=ENSEMBLE,
        fit_start=min(fit.fit_start for fit in fits),
        fit_end=max(fit.fit_end for fit in fits),
        n_rows=rows.height,
        columns=tuple(kept),
        data_hash=frame_hash(rows),
        config=plain_settings(config),
        code_version=code_version(),
        facts={
            "horizon_sessions": config.horizon_sessions,
            "weights": weights,
            "validation_rank_ic": judged,
            "left_out": [name for name in wanted if name not in kept],
            "folds": sorted({name for folds in wanted.values() for name in folds}),
        },
    )
    arrays = {"weights": np.array([weights[name] for name in kept])}
    alone = {name: {newest: wanted[name][newest]} for name in kept}
    long = [_said(folds).select(*KEYS, "score", model=pl.lit(name)) for name, folds in alone.items()]
    return Fitted(arrays, seen, validation=rank_average(pl.concat(long), kept, weights))


def combine(fitted: Fitted, forecasts: pl.DataFrame) -> pl.DataFrame:
    """Rows (date, ticker, score): the fitted ensemble's mean of its members' scores, as `rank_average` has it.

    Args:
        forecasts: Forecasts of the members, and of any other models.
    Raises:
        DataError: a member has no row at all.
    """
    members = fitted.manifest.columns
    absent = sorted(set(members) - set(forecasts["model"].unique()))
    if absent and forecasts.height:
        raise DataError(
            f"ensemble: members {absent} have no forecast; materialize theirs, or fit the ensemble without."
        )
    weights = dict(zip(members, fitted.arrays["weights"].tolist(), strict=True))
    return rank_average(forecasts, members, weights)


def ensemble_forecasts(
    fitted: Mapping[str, Fitted], forecasts: pl.DataFrame, features: pl.LazyFrame, first: date, last: date
) -> pl.DataFrame:
    """Forecasts of the ensemble, each date's by the fold that contains it.

    Args:
        fitted: by fold name.
        forecasts: Forecasts of the members from `first` to `last`.
        features: Features of the same span.
    Returns:
        Forecasts; no row where no fold is fitted.
    """
    parts: list[pl.DataFrame] = [Forecasts.create_empty()]
    for name in sorted(fitted):
        inside = pl.col("date").is_between(max(first, fold(name).test_start), min(last, fold(name).test_end))
        rows = features.filter("is_eligible", inside).collect()
        scores = combine(fitted[name], forecasts.filter(inside)).join(rows, on=["date", "ticker"], how="semi")
        parts.append(completed(ENSEMBLE, name, fitted[name], scores, rows))
    return pl.concat(parts).sort("date", "ticker", "model")


def _wanted(members: Mapping[str, Mapping[str, Fitted]], config: EnsembleConfig) -> dict[str, Mapping[str, Fitted]]:
    """The members that the settings name, by name; each is fitted for the newest fold of all."""
    names = sorted(members) if config.members is None else sorted(config.members)
    folds = {name: sorted(members.get(name, {})) for name in names}
    newest = max((found[-1] for found in folds.values() if found), default="")
    late = [name for name, found in folds.items() if newest not in found]
    if late or not names:
        raise DataError(
            f"ensemble: members {late} have no fit for fold {newest or 'of any year'} (there are {sorted(members)}); "
            "materialize theirs, or name other members."
        )
    return {name: members[name] for name in names}


def _said(folds: Mapping[str, Fitted]) -> pl.DataFrame:
    """What a member said of its folds' validation slices: rows (date, ticker, score), one a key."""
    empty = pl.DataFrame(schema={"date": pl.Date, "ticker": pl.String, "score": pl.Float64})
    tables = [folds[name].validation for name in sorted(folds)]
    said = pl.concat([empty, *(table.select(empty.columns) for table in tables if table.width)])
    return said.unique(list(KEYS), keep="last", maintain_order=True).sort(KEYS)


def _judge(slices: Mapping[str, pl.DataFrame], labels: pl.DataFrame) -> dict[str, float]:
    """Mean daily rank IC of each member that has one."""
    long = pl.concat(table.with_columns(model=pl.lit(name)) for name, table in slices.items())
    ics = rank_ic_by_date(long, labels.select(*KEYS, pl.col("rank_label").alias(f"{FORWARD_PREFIX}0")))
    daily = ics.group_by("model", maintain_order=True).agg(pl.col("rank_ic").mean()).sort("model")
    return dict(daily.iter_rows())
