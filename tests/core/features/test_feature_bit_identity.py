"""A value is the same to the last bit whichever history, order, tickers or span it was computed with."""

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.features import (
    FEATURES,
    FeatureConfig,
    compute_feature_blocks,
    compute_features,
    day_kernels,
    feature_columns,
    kernels,
    level_kernels,
    pair_kernels,
    warm_up_sessions,
)

WINDOWS = (1, 5, 21, 63)
CONFIGS = {
    "rolling_zscore": FeatureConfig(names=("all",), windows=WINDOWS, zscore_lookback=63, min_history_sessions=63),
    "winsorized_zscore": FeatureConfig(
        names=("all",),
        windows=WINDOWS,
        normalization="winsorized_zscore",
        zscore_lookback=63,
        min_history_sessions=63,
        outlier_sigma=2.0,
    ),
    "cross_sectional_rank": FeatureConfig(
        names=("all",),
        windows=WINDOWS,
        normalization="cross_sectional_rank",
        zscore_lookback=63,
        min_history_sessions=63,
    ),
    "none": FeatureConfig(names=("all",), windows=WINDOWS, normalization="none", min_history_sessions=63),
}


def assert_same_bits(left: pl.DataFrame, right: pl.DataFrame) -> None:
    """Equal tables whose floats also agree in sign of zero and last bit."""
    assert left.equals(right)
    for name in left.columns:
        if left[name].dtype == pl.Float64:
            bits = [frame[name].fill_null(0.0).to_numpy().view(np.int64) for frame in (left, right)]
            assert np.array_equal(*bits), name


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_months_computed_one_at_a_time_equal_the_range(make_random_prices, sectors, config: FeatureConfig) -> None:
    prices = make_random_prices(n_tickers=6, n_sessions=620, seed=1, first=date(2014, 3, 3))
    whole = compute_features(prices, config, date(2015, 10, 1), date(2016, 8, 31), sectors)
    assert min(whole[column].count() for column in feature_columns(config)) > 500
    firsts = [date(2015, m, 1) for m in (10, 11, 12)] + [date(2016, m, 1) for m in range(1, 10)]
    days = sessions(date(2012, 1, 1), date(2016, 12, 31))
    parts = []
    for first, following in pairwise(firsts):
        before = [day for day in days if day < first][-warm_up_sessions(config)]
        month = prices.filter(pl.col("date").is_between(before, following - timedelta(days=1)))
        parts.append(compute_features(month, config, first, following - timedelta(days=1), sectors))
    assert whole.height > 1000
    assert_same_bits(whole, pl.concat(parts))


def test_the_default_windows_are_the_same_for_a_month_and_for_a_range(make_random_prices) -> None:
    prices = make_random_prices(n_tickers=4, n_sessions=700, seed=2)
    config = FeatureConfig()
    month = (date(2017, 6, 1), date(2017, 6, 30))
    range_ = compute_features(prices, config, date(2017, 3, 1), date(2017, 9, 30))
    wanted = range_.filter(pl.col("date").is_between(*month))
    before = sessions(date(2014, 1, 1), month[0] - timedelta(days=1))[-warm_up_sessions(config)]
    assert wanted["momentum_252d_z252"].count() > 20
    assert wanted["market_beta_252d_z252"].count() > 20
    assert_same_bits(wanted, compute_features(prices.filter(pl.col("date") >= before), config, *month))


@pytest.mark.parametrize("surplus", [0, 1, 2, 20, 62, 63, 100])
def test_history_may_start_at_any_session(make_random_prices, surplus: int) -> None:
    prices = make_random_prices(n_tickers=5, n_sessions=620, seed=3, first=date(2013, 12, 2))
    config = CONFIGS["rolling_zscore"]
    start, end = date(2016, 3, 1), date(2016, 5, 31)
    before = sessions(date(2013, 1, 1), start - timedelta(days=1))[-warm_up_sessions(config) - surplus]
    assert_same_bits(
        compute_features(prices, config, start, end),
        compute_features(prices.filter(pl.col("date") >= before), config, start, end),
    )


def test_the_kernels_do_not_see_where_the_panel_begins() -> None:
    random = np.random.default_rng(4)
    values = np.where(random.random((3, 200)) < 0.05, np.nan, random.normal(0.001, 0.02, (3, 200)))
    priced = ~np.isnan(values)
    for cut in range(1, 60):
        for w in (1, 2, 5, 21):
            outcomes = []
            for begin in (0, cut):
                x, p = np.ascontiguousarray(values[:, begin:]), np.ascontiguousarray(priced[:, begin:])
                full = kernels.full_windows(x, p, w, -(-9 * w // 10), 10)
                first = 1000 + begin
                index = np.cos(np.arange(200.0))[None, begin:]
                computed = [
                    kernels.window_sum(x, w, first, full),
                    kernels.window_mean(x, w, first, full),
                    kernels.window_max(x, w, first, full),
                    kernels.window_std(x, w, first, full),
                    kernels.window_zscore(x, w, first, (w + 1) // 2),
                    kernels.cap_outliers(x, w, first, (w + 1) // 2, 1.0),
                    level_kernels.window_max_drawdown(x, w, first, full),
                    level_kernels.distance_to_high(x, w, first, full),
                    level_kernels.distance_to_mean(x, w, first, full),
                    *(pair_kernels.window_regression(x, index, w, first, full, what) for what in range(3)),
                ]
                outcomes.append([out[:, cut + w + 10 - begin :].tobytes() for out in computed])
            assert outcomes[0] == outcomes[1]


def test_the_order_of_rows_does_not_matter(make_random_prices, sectors) -> None:
    prices = make_random_prices(n_tickers=6, n_sessions=500, seed=5)
    config, start, end = CONFIGS["rolling_zscore"], date(2016, 9, 1), date(2016, 12, 31)
    whole = compute_features(prices, config, start, end, sectors)
    shuffled = prices.sample(fraction=1.0, shuffle=True, seed=0)
    assert_same_bits(whole, compute_features(shuffled, config, start, end, sectors.sample(fraction=1.0, shuffle=True)))


def test_a_feature_of_one_ticker_does_not_depend_on_who_else_is_loaded(make_random_prices) -> None:
    """Fewer than five names make no market: which sessions the data lost is then unknown, so that day has its rows."""
    prices = make_random_prices(n_tickers=6, n_sessions=500, seed=5, lost_session=False)
    names = tuple(name for name in FEATURES if FEATURES[name].scope == "ticker")
    config = FeatureConfig(names=names, zscore_lookback=63, min_history_sessions=63)
    start, end = date(2016, 9, 1), date(2016, 12, 31)
    some = ["T01", "T04"]
    alone = compute_features(prices.filter(pl.col("ticker").is_in([*some, "^NSEI"])), config, start, end)
    whole = compute_features(prices, config, start, end)
    assert len(names) > 15
    assert_same_bits(whole.filter(pl.col("ticker").is_in(some)), alone)


def test_who_is_not_a_member_changes_no_rank_no_sector_mean_and_no_breadth(make_random_prices, sectors) -> None:
    prices = make_random_prices(n_tickers=6, n_sessions=500, seed=5).with_columns(
        is_member=pl.col("is_member") & (pl.col("ticker") != "T00")
    )
    names = tuple(name for name in FEATURES if FEATURES[name].scope != "ticker")
    config = FeatureConfig(names=names, zscore_lookback=63, min_history_sessions=63)
    start, end = date(2016, 9, 1), date(2016, 12, 31)
    without = compute_features(prices.filter(pl.col("ticker") != "T00"), config, start, end, sectors)
    whole = compute_features(prices, config, start, end, sectors)
    assert len(names) == 5
    assert_same_bits(whole.filter(pl.col("ticker") != "T00"), without)


@pytest.mark.parametrize("settings", [{"MOST_THREADS": 1}, {"PART_CELLS": 1}, {"PART_CELLS": 1 << 30}])
def test_neither_threads_nor_parts_change_a_bit(make_random_prices, monkeypatch, settings: dict[str, int]) -> None:
    prices = make_random_prices(n_tickers=3, n_sessions=400, seed=6)
    arguments = (CONFIGS["rolling_zscore"], date(2015, 6, 1), date(2016, 7, 31))
    before = compute_features(prices, *arguments)
    for name, value in settings.items():
        monkeypatch.setattr(f"quant_core.features.engine.{name}", value)
    assert_same_bits(before, compute_features(prices, *arguments))


def test_blocks_of_sessions_join_to_the_whole(make_random_prices, sectors) -> None:
    prices = make_random_prices(n_tickers=4, n_sessions=500, seed=7)
    arguments = (CONFIGS["rolling_zscore"], date(2016, 5, 1), date(2016, 12, 31), sectors)
    blocks = list(compute_feature_blocks(prices.lazy(), *arguments, sessions_per_block=50))
    assert len(blocks) == 4
    assert_same_bits(compute_features(prices, *arguments), pl.concat(blocks))


def test_a_rank_does_not_depend_on_the_order_of_tickers() -> None:
    random = np.random.default_rng(9)
    values = random.integers(0, 4, (7, 40)).astype(float)
    values[random.random(values.shape) < 0.2] = np.nan
    among = random.random(values.shape) < 0.7
    order = random.permutation(7)
    moved = day_kernels.rank_among(values[order], among[order])
    assert np.array_equal(day_kernels.rank_among(values, among)[order], moved, equal_nan=True)
