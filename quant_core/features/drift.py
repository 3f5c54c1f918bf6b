"""Has a month's feature distribution moved away from the months before it? A warning to look, never a reason to drop.

Source: population stability index as in Siddiqi, Credit Risk Scorecards (2006): 0.1 is a small move, 0.25 a large one
for a slow portfolio; features of a market move more with every change of volatility, hence the wider default.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_core.errors import DataError

BINS = 10
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


def drift(current: pl.DataFrame, reference: pl.DataFrame, config: DriftConfig) -> pl.DataFrame:
    """How far each float column of `current` lies from `reference`.

    Args:
        current: features of the month in question.
        reference: features of the months before it.
    Returns:
        rows (feature, psi, coverage, coverage_before, drifted), the largest psi first. psi compares shares in the ten
        quantile bins of the reference; null where either side has fewer than 100 values.
    """
    columns = [name for name, dtype in current.schema.items() if dtype.is_float() and name in reference.columns]
    rows = [_compare(name, current[name], reference[name]) for name in columns]
    schema = {"feature": pl.String, "psi": pl.Float64, "coverage": pl.Float64, "coverage_before": pl.Float64}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    moved = (pl.col("psi") > config.largest_psi).fill_null(False)
    emptied = pl.col("coverage_before") - pl.col("coverage") > config.largest_coverage_drop
    return table.with_columns(drifted=moved | emptied).sort("psi", "feature", descending=[True, False], nulls_last=True)


def _compare(name: str, current: pl.Series, reference: pl.Series) -> tuple[str, float | None, float, float]:
    now, before = (side.drop_nulls().drop_nans().to_numpy() for side in (current, reference))
    coverage = [len(values) / max(len(side), 1) for values, side in ((now, current), (before, reference))]
    return name, population_stability(now, before), coverage[0], coverage[1]


def population_stability(current: np.ndarray, reference: np.ndarray) -> float | None:
    """Sum over bins of (share now - share before) x ln(share now / share before); None below 100 values a side."""
    if min(len(current), len(reference)) < 100:
        return None
    edges = np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1])
    shares = [
        np.maximum(
            np.bincount(np.searchsorted(edges, values, side="right"), minlength=BINS) / len(values), SMALLEST_SHARE
        )
        for values in (current, reference)
    ]
    return float(np.sum((shares[0] - shares[1]) * np.log(shares[0] / shares[1])))
