"""Permutation importance: how much rank IC a fitted model loses when an input no longer belongs to its name.

It asks any model the same question, whatever it is inside: score once with every name's own values, again with those of
another name of the date, and take the difference. What the values of two inputs share cannot be told apart one by one,
so inputs of one family (the same measure over other windows) are exchanged together.

Source: Breiman, Random Forests, Machine Learning 45, 2001; Fisher, Rudin and Dominici, All Models are Wrong, but Many
are Useful, JMLR 20, 2019.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date

import numpy as np
import polars as pl

from quant_core.calendar import sessions_before
from quant_core.errors import DataError
from quant_core.fitted import Fitted
from quant_core.forecasting.ensemble import combine
from quant_core.forecasting.model import ForecasterConfig, Model, TrainingData
from quant_core.measures.information_coefficient import FORWARD_PREFIX, rank_ic_by_date

#: What tells members of a family apart: the normalisation, the unit, the windows.
_WINDOW = re.compile(r"_(w?z\d+|rank|ann|skip_\d+d|\d+d)(?=_|$)")
MOST_GROUPS, MOST_DATES = 20, 125
#: Exchanges after a fit: the drop is of the same days' rank ICs, so that two say enough of what luck does to it.
REPEATS = 2
SCHEMA = {"feature": pl.String, "importance": pl.Float64, "importance_std": pl.Float64}


def validation_importance(model: Model, fitted: Fitted, data: TrainingData, config: ForecasterConfig) -> pl.DataFrame:
    """Permutation importance on `config.importance_dates` dates of the fit's own validation slice.

    The dates are spread evenly over the slice where the model reads single days; they are the newest of it where it
    looks back, as its windows then overlap and every date between would be scored as well. A model that was fitted
    once more on its whole window has seen them: what it learned by heart counts there.

    Args:
        data: what it was fitted on.
    Returns:
        as `permutation_importance`; no row where the setting is 0 or no such date can be judged.
    """
    looks_back = model.context_sessions(config)
    labels = _slice_labels(fitted, data.at(config.horizon_sessions), config.importance_dates, spread=looks_back == 0)
    if labels.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    first, last = labels["date"].min(), labels["date"].max()
    assert isinstance(first, date)  # there are rows
    rows = data.features.filter(pl.col("date").is_between(sessions_before(first, looks_back), last))
    if not looks_back:
        rows = rows.filter(pl.col("date").is_in(labels["date"].unique().to_list()))
    return permutation_importance(
        model, fitted, rows.collect(), labels, config.seed, REPEATS, looks_back, most_dates=config.importance_dates
    )


def ensemble_importance(
    fitted: Fitted, members: Mapping[str, Fitted], labels: pl.DataFrame, config: ForecasterConfig
) -> pl.DataFrame:
    """`validation_importance` of an ensemble: what its rank IC loses without a member's scores.

    Args:
        members: the fold's fits by name; what each said of its validation slice stands for its forecasts.
        labels: TrainingLabels of the fold.
    """
    names = fitted.manifest.columns
    own = labels.filter(pl.col("horizon_sessions") == config.horizon_sessions)
    judged = _slice_labels(fitted, own, config.importance_dates, spread=True)
    if judged.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    table = judged.select("date", "ticker")
    for name in names:
        scores = members[name].validation.select("date", "ticker", pl.col("score").alias(name))
        table = table.join(scores, on=["date", "ticker"], how="left")
    forward = judged.select("date", "ticker", pl.col("rank_label").alias(f"{FORWARD_PREFIX}0"))
    rows, groups = table.sort("date", "ticker"), {name: (name,) for name in names}
    return _drops(lambda said: _combined(fitted, said), rows, groups, forward, config.seed, REPEATS, False)


def permutation_importance(
    model: Model,
    fitted: Fitted,
    features: pl.DataFrame,
    labels: pl.DataFrame,
    seed: int,
    repeats: int = 3,
    context_sessions: int = 0,
    groups: Mapping[str, Sequence[str]] | None = None,
    most_groups: int = MOST_GROUPS,
    most_dates: int = MOST_DATES,
) -> pl.DataFrame:
    """The drop of the mean daily rank IC when a group of columns is exchanged between names.

    A model of single days has the group's values of each date exchanged among its eligible names. One that looks back
    has the whole history of the group exchanged between names, so that every name still reads a sequence; on a date
    that the other name lacks the values are missing. Columns of a group move together. What is the same for all names
    of a date, as breadth is, cannot be judged so: it shows 0.

    Args:
        features: Features of the dates to judge on, and of the model's context before them.
        labels: rows (date, ticker, rank_label) of those dates, one horizon. On rows that the fit has seen, what it
            learned by heart counts as important.
        repeats: exchanges that are averaged, at least 1.
        context_sessions: how far back a score looks.
        groups: columns by name; families of the model's columns where it is None.
        most_groups: where there are more, the groups that the model's own importance names first, or else that the
            manifest does, are kept; the others are not judged.
        most_dates: the newest dates of the labels that are judged, so that time is bounded: one prediction of these for
            each repeat of each group, and one more.
    Returns:
        rows (feature, importance, importance_std), the greatest first: the mean and the standard deviation over
        repeats, which is 0 for one.
    Raises:
        DataError: no repeat, a group of columns that the model does not read, or no date with a rank IC.
    """
    grouped = _most_used(model, fitted, _checked(fitted, groups), most_groups)
    judged = _newest(labels, most_dates)
    first: date = judged["date"].min()  # type: ignore[assignment]
    if repeats < 1:
        raise DataError(f"permutation_importance: repeats is {repeats}, wanted at least 1.")
    rows = features.filter(pl.col("date") <= judged["date"].max()).sort("date", "ticker")
    rows = rows if context_sessions else rows.filter(pl.col("date") >= first, "is_eligible")
    table = _drops(
        lambda exchanged: model.predict(fitted, exchanged, first),
        rows, grouped, judged, seed, repeats, context_sessions > 0,
    )  # fmt: skip
    if table.is_empty():
        raise DataError(
            "permutation_importance: no date has enough scored and labelled names for a rank IC; give more dates or "
            "names, or features that reach further back."
        )
    return table


def _drops(
    predict: Callable[[pl.DataFrame], pl.DataFrame],
    rows: pl.DataFrame,
    groups: Mapping[str, Sequence[str]],
    judged: pl.DataFrame,
    seed: int,
    repeats: int,
    whole_history: bool,
) -> pl.DataFrame:
    """What the mean daily rank IC of `predict` loses when the columns of each group are exchanged; no row where it has
    none. Where it has none any more, all is lost."""
    whole = _mean_rank_ic(predict(rows), judged)
    if whole is None:
        return pl.DataFrame(schema=SCHEMA)
    rng = np.random.default_rng(seed)
    found = []
    for name, columns in groups.items():
        exchanged = (_exchanged(rows, columns, rng, whole_history) for _ in range(repeats))
        drops = [whole - (_mean_rank_ic(predict(table), judged) or 0.0) for table in exchanged]
        found.append((name, float(np.mean(drops)), float(np.std(drops, ddof=1)) if repeats > 1 else 0.0))
    table = pl.DataFrame(found, schema=SCHEMA, orient="row")
    return table.sort(["importance", "feature"], descending=[True, False])


def families(columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Columns by what they measure: `realized_vol_21d_ann` and `realized_vol_63d_ann_z252` are of `realized_vol`."""
    found: dict[str, tuple[str, ...]] = {}
    for column in columns:
        name = _WINDOW.sub("", column)
        found[name] = (*found.get(name, ()), column)
    return found


def _slice_labels(fitted: Fitted, labels: pl.DataFrame, most: int, spread: bool) -> pl.DataFrame:
    """Labels of at most `most` of the dates that the fit said something of and that have a rank IC."""
    said = fitted.validation
    if most == 0 or said.is_empty():
        return labels.clear()
    inside = labels.join(said, on=["date", "ticker"], how="semi")
    judged = rank_ic_by_date(said, inside.select("date", "ticker", pl.col("rank_label").alias(f"{FORWARD_PREFIX}0")))
    days = judged.filter(pl.col("rank_ic").is_finite())["date"].unique().sort()
    chosen = days.gather_every(-(-len(days) // most)) if spread and len(days) else days[-min(most, len(days)) :]
    return inside.filter(pl.col("date").is_in(chosen.to_list())).sort("date", "ticker")


def _combined(fitted: Fitted, rows: pl.DataFrame) -> pl.DataFrame:
    """The ensemble's scores of rows that hold a column of scores for each member."""
    names = list(fitted.manifest.columns)
    long = rows.unpivot(names, index=["date", "ticker"], variable_name="model", value_name="score")
    return combine(fitted, long)


def _checked(fitted: Fitted, groups: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]]:
    columns = fitted.manifest.columns
    if groups is None:
        return families(columns)
    stray = sorted({name for group in groups.values() for name in group} - set(columns))
    if stray or not all(groups.values()):
        raise DataError(
            f"permutation_importance: {fitted.manifest.kind} does not read {stray}; wanted groups of one or more of "
            f"its columns {list(columns)}."
        )
    return groups


def _most_used(
    model: Model, fitted: Fitted, groups: Mapping[str, Sequence[str]], most: int
) -> Mapping[str, Sequence[str]]:
    """The groups with the greatest sum of the model's own importance shares; the first where it has none."""
    if len(groups) <= most:
        return groups
    share: dict[str, float] = {}
    if model.importance is not None:
        share = dict(model.importance(fitted).select("feature", "importance_share").iter_rows())
    used = {name: sum(share.get(column, 0.0) for column in group) for name, group in groups.items()}
    kept = sorted(groups, key=lambda name: -used[name])[:most]  # a stable sort: ties stay in order
    return {name: groups[name] for name in kept}


def _newest(labels: pl.DataFrame, most_dates: int) -> pl.DataFrame:
    days = labels["date"].unique().sort()
    if days.is_empty():
        raise DataError("permutation_importance: there are no labels; give those of the dates to judge on.")
    newest = labels.filter(pl.col("date") >= days[-min(most_dates, len(days))])
    return newest.select("date", "ticker", pl.col("rank_label").alias(f"{FORWARD_PREFIX}0"))


def _mean_rank_ic(scores: pl.DataFrame, judged: pl.DataFrame) -> float | None:
    """None where no date has enough scored and labelled names."""
    mean = rank_ic_by_date(scores, judged)["rank_ic"].drop_nans().mean()
    return mean if isinstance(mean, float) else None


def _exchanged(
    rows: pl.DataFrame, columns: Sequence[str], rng: np.random.Generator, whole_history: bool
) -> pl.DataFrame:
    """The rows with the columns' values of other names.

    Args:
        rows: sorted by (date, ticker).
    """
    if not whole_history:
        day = rows["date"].rank("dense").to_numpy()
        order = np.lexsort((rng.random(len(day)), day))  # within each date any order of its names
        return rows.with_columns(rows.select(columns)[order])
    names = rows["ticker"].unique().sort()
    other = pl.DataFrame({"ticker": names, "from": names.gather(rng.permutation(len(names)))})
    theirs = rows.select("date", pl.col("ticker").alias("from"), *columns)
    own = rows.drop(columns).join(other, on="ticker", how="left", maintain_order="left")
    return own.join(theirs, on=["date", "from"], how="left", maintain_order="left").select(rows.columns)
