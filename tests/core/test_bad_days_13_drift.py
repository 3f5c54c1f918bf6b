"""Drift at its limits: how many values, which bins, which way coverage moved, in which order rows come."""

import math

import numpy as np
import polars as pl
import pytest

from quant_core.features.drift import DriftConfig, drift, population_stability

RAMP = np.arange(1000) / 1000


def test_a_hundred_values_a_side_are_enough_and_one_fewer_on_either_is_not() -> None:
    assert population_stability(RAMP[:100], RAMP[:100]) == 0.0
    assert population_stability(RAMP[:99], RAMP[:100]) is None
    assert population_stability(RAMP[:100], RAMP[:99]) is None


def test_a_value_on_an_edge_belongs_to_the_bin_above_it() -> None:
    """The first edge of 0..9 in equal shares is 0.9 by interpolation; a constant at an edge of a two-valued series."""
    reference = np.repeat([0.0, 1.0], 500)
    share = np.array([0.5, 0.5])
    now = np.repeat([0.0, 1.0], [900, 100])
    expected = np.sum((np.array([0.9, 0.1]) - share) * np.log(np.array([0.9, 0.1]) / share))
    assert population_stability(now, reference) == pytest.approx(expected)


def test_moving_all_out_of_one_tenth_counts_it_as_a_ten_thousandth() -> None:
    upper = RAMP[RAMP >= 0.1]
    shares = np.array([1e-4, *[1 / 9] * 9])
    expected = np.sum((shares - 0.1) * np.log(shares / 0.1))
    assert population_stability(upper, RAMP) == pytest.approx(expected, rel=1e-3)


def features(n: int, **columns: object) -> pl.DataFrame:
    return pl.DataFrame({"ticker": ["A"] * n, **columns})


@pytest.mark.parametrize(("share", "drifted"), [(0.80, False), (0.79, True), (1.0, False)])
def test_coverage_that_falls_by_more_than_the_limit_drifts_and_coverage_that_rises_does_not(
    share: float, drifted: bool
) -> None:
    reference = features(1000, x=RAMP, y=np.where(np.arange(1000) < 500, RAMP, np.nan))
    holes = np.where(np.arange(1000) % 100 < round(share * 100), RAMP, np.nan)
    table = drift(
        features(1000, x=holes, y=RAMP), reference, DriftConfig(largest_psi=99.0, largest_coverage_drop=0.2000001)
    )
    rows = {row["feature"]: row for row in table.to_dicts()}
    assert rows["x"]["drifted"] is drifted
    assert rows["x"]["coverage"] == pytest.approx(share)
    assert (rows["y"]["coverage_before"], rows["y"]["coverage"], rows["y"]["drifted"]) == (0.5, 1.0, False)


def test_an_index_at_the_limit_is_no_drift_and_just_above_it_is() -> None:
    moved, reference = features(1000, x=RAMP + 0.3), features(1000, x=RAMP)
    psi = population_stability(RAMP + 0.3, RAMP)
    assert psi is not None
    for limit, drifted in ((psi, False), (math.nextafter(psi, 0.0), True)):
        assert drift(moved, reference, DriftConfig(largest_psi=limit))["drifted"].to_list() == [drifted]


def test_rows_come_largest_index_first_then_by_name_and_those_without_one_last() -> None:
    current = features(
        1000, b=RAMP, a=RAMP, far=RAMP + 0.5, empty=np.full(1000, np.nan), new=RAMP, whole=np.arange(1000)
    )
    reference = features(1000, b=RAMP, a=RAMP, far=RAMP, empty=np.full(1000, np.nan), whole=np.arange(1000))
    table = drift(current, reference, DriftConfig())
    assert table["feature"].to_list() == ["far", "a", "b", "empty"]
    assert table.filter(feature="empty").select("psi", "coverage", "coverage_before", "drifted").rows() == [
        (None, 0.0, 0.0, False)
    ]
