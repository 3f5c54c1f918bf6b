"""Drift of a month's features against the months before."""

import numpy as np
import polars as pl
import pytest

from quant_core.errors import DataError
from quant_core.features.drift import DriftConfig, drift, population_stability

RNG = np.random.default_rng(5)
REFERENCE = pl.DataFrame({"ticker": ["A"] * 2000, "x": RNG.normal(size=2000), "y": RNG.normal(size=2000)})


def test_the_index_of_two_known_histograms_is_the_hand_computed_one() -> None:
    reference = np.arange(1000) / 1000
    current = np.concatenate(
        [np.full(200, 0.05), np.arange(100, 1000)[:800] / 1000]
    )  # first tenth holds 20 %, last none
    shares_now = np.array([0.2, *[0.1] * 8, 1e-4])
    expected = np.sum((shares_now - 0.1) * np.log(shares_now / 0.1))
    assert population_stability(current, reference) == pytest.approx(expected)


def test_an_unchanged_distribution_does_not_drift_and_a_moved_or_emptied_one_does() -> None:
    current = pl.DataFrame(
        {
            "ticker": ["A"] * 500,
            "x": RNG.normal(size=500),
            "y": np.where(np.arange(500) < 250, np.nan, RNG.normal(size=500)),
        }
    ).fill_nan(None)
    table = {row["feature"]: row for row in drift(current, REFERENCE, DriftConfig()).to_dicts()}
    assert set(table) == {"x", "y"}
    assert not table["x"]["drifted"]
    assert table["x"]["psi"] < 0.1
    assert table["y"]["drifted"]
    assert (table["y"]["coverage"], table["y"]["coverage_before"]) == (0.5, 1.0)
    moved = drift(current.with_columns(x=pl.col("x") + 3), REFERENCE, DriftConfig())
    assert moved.row(0, named=True)["feature"] == "x"
    assert moved.row(0, named=True)["drifted"]


def test_too_few_values_have_no_index() -> None:
    assert population_stability(np.zeros(99), np.zeros(1000)) is None


def test_limits_must_be_positive() -> None:
    with pytest.raises(DataError, match="above 0"):
        DriftConfig(largest_psi=0.0)
