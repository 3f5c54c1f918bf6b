"""Permutation importance: how much rank IC a fitted model loses when an input no longer belongs to its name.

It asks any model the same question, whatever it is inside: score once with every name's own values, again with those of
another name of the date, and take the difference. What the values of two inputs share cannot be told apart one by one,
so inputs of one family (the same measure over other windows) are exchanged together.

Source: Breiman, Random Forests, Machine Learning 45, 2001; Fisher, Rudin and Dominici, All Models are Wrong, but Many
are Useful, JMLR 20, 2019.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import polars as pl

from quant_core.errors import DataError
from quant_core.fitted import Fitted
from quant_core.forecasting.model import Model
from quant_core.measures.information_coefficient import FORWARD_PREFIX, rank_ic_by_date

#: What tells members of a family apart: the normalisation, the unit, the windows.
_WINDOW = re.compile(r"_(w?z\d+|rank|ann|skip_\d+d|\d+d)(?=_|$)")
MOST_GROUPS, MOST_DATES = 20, 125


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
    whole = _mean_rank_ic(model.predict(fitted, rows, first), judged)
    rng = np.random.default_rng(seed)
    found = []
    for name, columns in grouped.items():
        drops = []
        for _ in range(repeats):
            exchanged = _exchanged(rows, columns, rng, whole_history=context_sessions > 0)
            drops.append(whole - _mean_rank_ic(model.predict(fitted, exchanged, first), judged))
        found.append((name, float(np.mean(drops)), float(np.std(drops, ddof=1)) if repeats > 1 else 0.0))
    schema = {"feature": pl.String, "importance": pl.Float64, "importance_std": pl.Float64}
    table = pl.DataFrame(found, schema=schema, orient="row")
    return table.sort(["importance", "feature"], descending=[True, False])


def families(columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Columns by what they measure: `realized_vol_21d_ann` and `realized_vol_63d_ann_z252` are of `realized_vol`."""
    found: dict[str, tuple[str, ...]] = {}
    for column in columns:
        name = _WINDOW.sub("", column)
        found[name] = (*found.get(name, ()), column)
    return found


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


def _mean_rank_ic(scores: pl.DataFrame, judged: pl.DataFrame) -> float:
    mean = rank_ic_by_date(scores, judged)["rank_ic"].mean()
    if not isinstance(mean, float):
        raise DataError(
            "permutation_importance: no date has enough scored and labelled names for a rank IC; give more dates or "
            "names, or features that reach further back."
        )
    return mean


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
