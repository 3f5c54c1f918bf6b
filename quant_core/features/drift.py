"""Has a month's feature distribution moved away from the months before it? A warning to look, never a reason to drop.

Source: population stability index as in Siddiqi, Credit Risk Scorecards (2006): 0.1 is a small move, 0.25 a large one
for a slow portfolio; features of a market move more with every change of volatility, hence the wider default.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.errors import DataError

BINS = 10
#: Values that either side needs for an index.
FEWEST_VALUES = 100
#: Values of a column that stand for a month of the reference where there are more: for a hundred names or more.
THINNED_VALUES = 2000
#: A share of zero would make the index infinite.
SMALLEST_SHARE = 1e-4


@dataclass(frozen=True)
class DriftConfig:
    """What counts as drift.

    Args:
        largest_psi: of one feature against the reference months.
        largest_coverage_drop: fall of the share of rows with a value, as a fraction.
        largest_share_of_features: features over a limit that are tolerated, as a share of all.
    """

    largest_psi: float = 1.0
    largest_coverage_drop: float = 0.2
    largest_share_of_features: float = 0.35

    def __post_init__(self) -> None:
        if min(self.largest_psi, self.largest_coverage_drop, self.largest_share_of_features) <= 0:
            raise DataError(f"drift: {self}; every limit must be above 0.")


@dataclass(frozen=True)
class SortedColumns:
    """The float columns of a table, each sorted and without nulls: a month is sorted once and compared often.

    Args:
        values: by column; all of them, or some that stand for all.
        n_known: how many values a column has.
    """

    values: Mapping[str, NDArray[np.float64]]
    n_known: Mapping[str, int]
    n_rows: int


def sorted_columns(table: pl.DataFrame) -> SortedColumns:
    """What `compare` needs of a table."""
    names = [name for name, dtype in table.schema.items() if dtype.is_float()]
    rows = table.select(pl.col(names).cast(pl.Float64)).to_numpy() if names else np.empty((table.height, 0))
    ordered = np.sort(rows.T, axis=1)  # (columns, rows); nulls are NaN here, and come last
    known = [int(n) for n in np.count_nonzero(~np.isnan(ordered), axis=1)]
    values = {name: ordered[n, : known[n]] for n, name in enumerate(names)}
    return SortedColumns(values, dict(zip(names, known, strict=True)), table.height)


def thinned(columns: SortedColumns) -> SortedColumns:
    """The same month by at most THINNED_VALUES evenly spaced values a column, so that many names cost little more."""
    return SortedColumns({name: _spaced(v) for name, v in columns.values.items()}, columns.n_known, columns.n_rows)


def _spaced(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(ordered) <= THINNED_VALUES:
        return ordered
    return ordered[((np.arange(THINNED_VALUES) + 0.5) * len(ordered) / THINNED_VALUES).astype(np.int64)]


def drift(current: pl.DataFrame, reference: pl.DataFrame, config: DriftConfig) -> pl.DataFrame:
    """How far each float column of `current` lies from `reference`: `compare` of two tables."""
    return compare(sorted_columns(current), [sorted_columns(reference)], config)


def compare(current: SortedColumns, reference: Sequence[SortedColumns], config: DriftConfig) -> pl.DataFrame:
    """How far each column of a month lies from the months before it.

    Args:
        current: features of the month in question.
        reference: features of the months before it, in any order, whole or thinned.
    Returns:
        rows (feature, psi, coverage, coverage_before, drifted), the largest psi first. psi compares shares in the ten
        quantile bins of the reference; null where either side has fewer than FEWEST_VALUES values.
    """
    names = [name for name in current.values if any(name in month.values for month in reference)]
    rows = [_compare(name, current, [month for month in reference if name in month.values]) for name in names]
    schema = {"feature": pl.String, "psi": pl.Float64, "coverage": pl.Float64, "coverage_before": pl.Float64}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    moved = (pl.col("psi") > config.largest_psi).fill_null(False)
    emptied = pl.col("coverage_before") - pl.col("coverage") > config.largest_coverage_drop
    return table.with_columns(drifted=moved | emptied).sort("psi", "feature", descending=[True, False], nulls_last=True)


def _compare(
    name: str, current: SortedColumns, reference: Sequence[SortedColumns]
) -> tuple[str, float | None, float, float]:
    now = current.values[name]
    # Sorted pieces in a row: a stable sort merges them, five times quicker than sorting their values anew.
    before = np.sort(np.concatenate([month.values[name] for month in reference]), kind="stable")
    n_known, n_rows = sum(month.n_known[name] for month in reference), sum(month.n_rows for month in reference)
    return name, population_stability(now, before), len(now) / max(current.n_rows, 1), n_known / max(n_rows, 1)


def population_stability(current: NDArray[np.float64], reference: NDArray[np.float64]) -> float | None:
    """Population stability index of two sorted samples; None below FEWEST_VALUES values a side.

    PSI = sum over bins of (share now - share before) x ln(share now / share before), the bins being the tenths of the
    reference.
    """
    if min(len(current), len(reference)) < FEWEST_VALUES:
        return None
    edges = _quantiles(reference, np.arange(1, BINS) / BINS)
    now, before = (_shares(values, edges) for values in (current, reference))
    return float(np.sum((now - before) * np.log(now / before)))


def _quantiles(ordered: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles by linear interpolation, as np.quantile gives them, of values that are sorted already."""
    place = shares * (len(ordered) - 1)
    low = np.floor(place).astype(np.int64)
    below, above = ordered[low], ordered[np.minimum(low + 1, len(ordered) - 1)]
    return below + (above - below) * (place - low)


def _shares(ordered: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the values in each bin; a value on an edge belongs to the bin above it."""
    below = np.concatenate(([0], np.searchsorted(ordered, edges, side="left"), [len(ordered)]))
    return np.maximum((below[1:] - below[:-1]) / len(ordered), SMALLEST_SHARE)
