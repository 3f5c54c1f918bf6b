"""Normalised columns and eligibility: hand-computed scores, ranks and dates."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.features import FeatureConfig, compute_features
from quant_core.features.normalize import cross_sectional_rank, rolling_zscore, winsorized_zscore

NAN = float("nan")
FIRST = date(2015, 1, 1)
LAST = date(2018, 12, 31)


def test_a_zscore_is_the_distance_from_the_trailing_mean_in_standard_deviations() -> None:
    scores = rolling_zscore(np.array([[1.0, 2.0, 3.0, 6.0]]), lookback_sessions=3, first_session=5)[0]
    assert np.isnan(scores[0])
    assert scores[1:] == pytest.approx([0.5 / np.sqrt(0.5), 1.0, (6 - 11 / 3) / np.sqrt(13 / 3)], rel=1e-14)


def test_a_zscore_needs_a_value_today_and_half_of_its_sessions() -> None:
    values = np.array([[1.0, NAN, NAN, 2.0, NAN, 4.0, 8.0]])
    scores = rolling_zscore(values, lookback_sessions=4, first_session=0)[0]
    assert list(np.isnan(scores)) == [True, True, True, False, True, False, False]


def test_a_zscore_of_a_constant_is_null_even_when_rounding_makes_it_vary() -> None:
    constant = np.full((1, 40), 0.1)
    noisy = np.where(np.arange(40)[None, :] % 2 == 0, 0.3, 0.1 + 0.2)
    assert noisy[0, 0] != noisy[0, 1]
    for values in (constant, noisy, np.zeros((1, 40))):
        assert np.isnan(rolling_zscore(values, 10, 0)).all()


def test_a_large_offset_does_not_spoil_a_zscore() -> None:
    values = np.array([[1.0, 2.0, 3.0, 6.0, 5.0, 1.0, 7.0]])
    np.testing.assert_allclose(
        rolling_zscore(values + 1e6, 4, 3), rolling_zscore(values, 4, 3), rtol=1e-8, equal_nan=True
    )


def test_a_winsorised_zscore_cuts_an_outlier_at_the_limits_of_the_days_before_it() -> None:
    values = np.array([[1.0, 3.0, 2.0, 90.0, 2.0]])
    capped = [3.0, 2.0, 2.0 + 2.0 * 1.0]  # mean 2, standard deviation 1 of the three sessions before the outlier
    scores = winsorized_zscore(values, lookback_sessions=3, first_session=4, outlier_sigma=2.0)[0]
    assert scores[3] == pytest.approx((4.0 - 3.0) / np.std(capped, ddof=1), rel=1e-14)
    assert rolling_zscore(values, 3, 4)[0][3] != pytest.approx(scores[3])


def test_a_winsorised_zscore_without_outliers_is_the_zscore() -> None:
    values = np.random.default_rng(0).normal(size=(2, 80))
    assert np.array_equal(winsorized_zscore(values, 20, 3, 10.0), rolling_zscore(values, 20, 3), equal_nan=True)


def test_an_outlier_does_not_flatten_the_scores_of_the_days_after_it() -> None:
    values = np.random.default_rng(1).normal(size=(1, 60))
    values[0, 30] = 1e6
    plain, cut = rolling_zscore(values, 20, 0)[0], winsorized_zscore(values, 20, 0, 10.0)[0]
    assert np.abs(plain[31:40]).max() < 0.3 < np.abs(cut[31:40]).max()


def test_a_value_after_a_constant_history_is_left_as_it_is() -> None:
    values = np.array([[1.0] * 10 + [5.0]])
    assert winsorized_zscore(values, 4, 0, 1.0)[0, -1] == pytest.approx(1.5, rel=1e-14)


def test_ranks_are_centred_share_ties_and_leave_out_ineligible_rows() -> None:
    values = np.array([3.0, 1.0, 3.0, 7.0, 100.0, NAN, 5.0, 2.0])
    eligible = np.array([True, True, True, True, False, True, True, True])
    ranks = cross_sectional_rank(values, eligible, np.array([0, 6]))
    assert list(ranks[:4]) == [0.0, -0.375, 0.0, 0.375]
    assert np.isnan(ranks[4:6]).all()
    assert list(ranks[6:]) == [0.25, -0.25]


@pytest.mark.slow
def test_a_market_wide_series_is_scored_against_its_own_past_and_the_same_for_everyone(make_random_prices) -> None:
    for normalization in ("cross_sectional_rank", "rolling_zscore"):
        config = FeatureConfig(
            names=("breadth_indicators",), normalization=normalization, zscore_lookback=20, min_history_sessions=30
        )
        table = compute_features(make_random_prices(n_tickers=6, n_sessions=120), config, FIRST, LAST)
        scores = table.drop_nulls("breadth_1d_z20")
        days = scores.group_by("date").agg(pl.col("breadth_1d", "breadth_1d_z20").n_unique())
        assert scores.height > 400
        assert days.select(pl.col("breadth_1d", "breadth_1d_z20").max()).row(0) == (1, 1)
        series = table.drop_nulls("breadth_1d").unique("date", keep="first").sort("date")
        wanted = rolling_zscore(series["breadth_1d"].to_numpy()[None, -20:], 20, 0)[0, -1]
        assert series["breadth_1d_z20"][-1] == pytest.approx(wanted, rel=1e-12)


def test_ranks_of_a_table_are_per_date_and_inside_half(make_random_prices) -> None:
    config = FeatureConfig(
        names=("momentum",), windows=(1, 21), normalization="cross_sectional_rank", min_history_sessions=30
    )
    table = compute_features(make_random_prices(n_tickers=6, n_sessions=120), config, FIRST, LAST)
    ranked = table.filter(pl.col("momentum_21d_rank").is_not_null())
    sums = ranked.group_by("date").agg(pl.col("momentum_21d_rank").sum())
    assert ranked.height > 200
    assert ranked["is_eligible"].all()
    assert ranked["momentum_21d_rank"].abs().max() < 0.5
    assert sums["momentum_21d_rank"].abs().max() < 1e-12


def eligible(prices: pl.DataFrame, **settings: object) -> list[bool]:
    config = FeatureConfig(names=("log_returns",), windows=(1,), normalization="none", **settings)  # type: ignore[arg-type]
    return compute_features(prices, config, FIRST, LAST)["is_eligible"].to_list()


def test_a_ticker_becomes_eligible_once_listed_for_the_wanted_history(make_prices) -> None:
    assert eligible(make_prices({"A": [0.01] * 256})) == [False] * 252 + [True] * 4


def test_a_ticker_is_eligible_only_while_a_member(make_prices) -> None:
    days = sessions(FIRST, LAST)
    prices = make_prices({"A": [0.01] * 256}).with_columns(is_member=pl.col("date") != days[253])
    assert eligible(prices)[252:] == [True, False, True, True]


def test_more_than_a_fifth_without_a_price_makes_a_ticker_ineligible_until_the_gap_ages(make_prices) -> None:
    steps = [0.01] * 20 + [None] * 5 + [0.01] * 20
    for share, wanted in ((0.25, True), (0.20, False)):
        found = eligible(make_prices({"A": steps}), min_history_sessions=20, max_missing_share=share)
        assert found[25] == wanted
        assert found[20:25] == [False] * 5
        assert found[40:] == [True] * 5


def test_eligibility_counts_prices_not_filled_rows_and_ignores_one_missing_market_day(make_prices) -> None:
    found = eligible(make_prices({"A": [NAN] + [0.01] * 30 + [NAN] + [0.01] * 40}), min_history_sessions=30)
    assert found.index(True) == 30
    assert all(found[30:])
