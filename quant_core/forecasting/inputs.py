"""What a forecaster reads of the features table: the kinds of inputs, one at a time, and the labelled rows of a window.

"raw" is what a feature says, "normalized" what the features stage made of it (against the name's own past), "rank" the
raw value's standing among the date's eligible names, "channels" what happened on one day, for models that read
sequences. Which kind a model reads is its setting; what it makes of it is its own business.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import polars as pl

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.forecasting.model import KEYS, ForecasterConfig, TrainingData
from quant_core.schema import CHANNEL_PREFIX, STATIC_PREFIX

Kind = Literal["raw", "normalized", "rank", "channels"]

KINDS: tuple[Kind, ...] = get_args(Kind)
LABEL = "label"
#: How the features stage names what it normalised: a z-score, a winsorised one, a rank among the day's names.
NORMALIZED = re.compile(r"_(w?z\d+|rank)$")


def columns_of(schema: Mapping[str, pl.DataType], kind: Kind) -> tuple[str, ...]:
    """Numeric columns of one kind, in the order of the table.

    Args:
        schema: of the features table; its keys are no input.
        kind: "raw" and "rank" name the measures that are not normalised, channels and static columns being none;
            "normalized" names all measures in a table that has none normalised (features.normalization "none").
    """
    numeric = [name for name, dtype in schema.items() if dtype.is_numeric() or dtype == pl.Boolean]
    usable = [name for name in numeric if name not in KEYS]
    if kind == "channels":
        return tuple(name for name in usable if name.startswith(CHANNEL_PREFIX))
    measures = [name for name in usable if not name.startswith((CHANNEL_PREFIX, STATIC_PREFIX))]
    normalized = [name for name in measures if NORMALIZED.search(name)]
    if kind == "normalized":
        return tuple(normalized or measures)
    return tuple(name for name in measures if name not in normalized)


def as_kind(rows: pl.DataFrame, columns: Iterable[str], kind: Kind) -> pl.DataFrame:
    """The rows as a model of this kind reads them; only "rank" changes anything.

    A rank is (r - 1/2) / n - 1/2 among the n names of the date that have a finite value, in (-0.5, 0.5), equal values
    sharing their mean rank; what is missing stays missing. A date alone has the ranks that it has within a range.

    Args:
        rows: `date` and the columns, of *every* eligible name of each date and of no other.
    """
    if kind != "rank":
        return rows
    return rows.with_columns(_rank(name).over("date").alias(name) for name in columns)


def _rank(name: str) -> pl.Expr:
    value = pl.when(_finite(name)).then(pl.col(name).cast(pl.Float64))
    return (value.rank("average") - 0.5) / value.count() - 0.5


def labelled(data: TrainingData, config: ForecasterConfig, columns: Sequence[str], kind: Kind) -> pl.DataFrame:
    """The labelled rows of a window with the inputs as the model reads them, sorted by (date, ticker).

    Returns:
        `date`, `ticker`, `label_end_date`, `label` and the columns.
    """
    labels = data.at(config.horizon_sessions).select(
        "date", "ticker", "label_end_date", pl.col(config.label_column).alias(LABEL)
    )
    inside = pl.col("date").is_between(labels["date"].min(), labels["date"].max())
    rows = data.features.filter("is_eligible", inside).select("date", "ticker", *columns).collect()
    read = as_kind(rows, columns, kind)  # before the join: a name without a label has a standing too
    return labels.join(read, on=["date", "ticker"], how="inner").sort("date", "ticker")


def named_inputs(data: TrainingData, kind: Kind, columns: Sequence[str] | None, model: str) -> tuple[str, ...]:
    """Columns named by hand, or those of the kind.

    Raises:
        DataError: one named by hand is absent, or the table has none of the kind.
    """
    if columns is not None:
        check_present(data.columns, columns, model)
        return tuple(columns)
    schema = data.features.collect_schema()
    named = columns_of({name: schema[name] for name in data.columns}, kind)
    if not named:
        raise DataError(f"{model}: the features have no {kind} input; set inputs or columns to what they have.")
    return named


def present_often(
    window: pl.DataFrame, named: Sequence[str], max_null_share: float, model: str, by_hand: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Inputs that are finite in enough of the window's rows, and those left out.

    Raises:
        DataError: none is, or one that was named by hand is not.
    """
    missing = window.select((1.0 - _finite(name).mean().fill_null(0.0)).alias(name) for name in named)
    kept = tuple(name for name in named if missing[name].item() <= max_null_share)
    left_out = tuple(name for name in named if name not in kept)
    if not kept or (left_out and by_hand):
        raise DataError(
            f"{model}: {len(kept) or 'none'} of {len(named)} inputs is present in {1 - max_null_share:.0%} of the "
            f"{window.height} rows, {list(left_out)} are not; materialize more history, name other columns or raise "
            "max_null_share."
        )
    return kept, left_out


def usable(rows: pl.DataFrame, columns: Sequence[str], max_row_null_share: float) -> tuple[pl.DataFrame, Floats]:
    """Rows that lack at most that share of the inputs, and those inputs (rows, inputs) with NaN for what is missing."""
    matrix = rows.select(pl.col(columns).cast(pl.Float64)).to_numpy()
    matrix = np.where(np.isfinite(matrix), matrix, np.nan)
    kept = np.isnan(matrix).sum(axis=1) <= max_row_null_share * len(columns)
    return rows.filter(kept), matrix[kept]


def has_label(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows whose label is a finite number."""
    return rows.filter(_finite(LABEL))


def check_present(there: Sequence[str], columns: Sequence[str], model: str) -> None:
    """Raise where an input is absent."""
    missing = [name for name in columns if name not in there]
    if missing:
        raise DataError(
            f"{model}: inputs {missing} are missing; enable these features or refit the model without them."
        )


def _finite(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64).is_finite().fill_null(False)
