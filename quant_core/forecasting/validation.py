"""The newest part of a fit window, on which a model chooses what it cannot learn: penalties, iterations, epochs.

The slice is the last dates of the window; of the older rows only those train for it whose label ended before it began.
"""

from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from quant_core.dense import Flags, Floats
from quant_core.fitted import Fitted
from quant_core.forecasting.inputs import LABEL
from quant_core.measures.information_coefficient import FORWARD_PREFIX, rank_ic_by_date

SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Slice:
    """Which of R labelled rows belong to the slice.

    Args:
        first: its first date.
        older: (R,) rows that may train for it, `newest`: (R,) rows of it. What is in neither is purged.
    """

    first: date
    older: Flags
    newest: Flags


def validation_slice(rows: pl.DataFrame, share: float) -> Slice:
    """The last `share` of the dates, at least one.

    Args:
        rows: (date, label_end_date), in any order.
    """
    days = rows["date"].unique().sort()
    first = days[len(days) - max(round(share * len(days)), 1)]
    older = (rows["label_end_date"] < first).fill_null(False).to_numpy()
    return Slice(first, older, (rows["date"] >= first).to_numpy())


def rank_ic_of(judged: pl.DataFrame, scores: Floats, names: list[str]) -> tuple[dict[str, float], int]:
    """Mean daily rank IC of each candidate's scores against the label, and the dates that have one.

    Args:
        judged: R rows (date, ticker, label).
        scores: (R, C) a column for each of the C names.
    Returns:
        no entry for a candidate that no date could judge: too few names, or the same score for all.
    """
    keys = judged.select("date", "ticker")
    long = [keys.with_columns(model=pl.lit(name), score=pl.Series(scores[:, k])) for k, name in enumerate(names)]
    ics = rank_ic_by_date(pl.concat(long), judged.select("date", "ticker", pl.col(LABEL).alias(f"{FORWARD_PREFIX}0")))
    mean = {name: ics.filter(pl.col("model") == name)["rank_ic"].mean() for name in names}
    return {name: float(ic) for name, ic in mean.items() if isinstance(ic, float)}, ics["date"].n_unique()


def with_rank_ic(fitted: Fitted, labels: pl.DataFrame) -> Fitted:
    """The fit with the rank IC of what it said of its validation slice, in the manifest's facts as `validation_slice`.

    Args:
        labels: TrainingLabels of the model's own horizon.
    Returns:
        facts `first`, `last`, `dates` (that have a rank IC), `rank_ic` (their mean) and `icir` (that over the standard
        deviation, a day); null where there is no slice. The slice chose the model's settings: it flatters.
    """
    told = None
    if fitted.validation.height:
        forward = labels.select("date", "ticker", pl.col("rank_label").alias(f"{FORWARD_PREFIX}0"))
        daily = rank_ic_by_date(fitted.validation, forward)["rank_ic"].drop_nans()
        days, mean, deviation = fitted.validation["date"], daily.mean(), daily.std()
        told = {
            "first": str(days.min()), "last": str(days.max()), "dates": len(daily), "rank_ic": mean,
            "icir": mean / deviation if len(daily) > 1 and deviation else None,  # type: ignore[operator]
        }  # fmt: skip
    return replace(fitted, manifest=replace(fitted.manifest, facts={**fitted.manifest.facts, "validation_slice": told}))


def said(judged: pl.DataFrame, score: Floats) -> pl.DataFrame:
    """What `Fitted.validation` holds: rows (date, ticker, score)."""
    return judged.select("date", "ticker", score=pl.Series(score, dtype=pl.Float64))
