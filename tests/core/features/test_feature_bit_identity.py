"""A value is the same to the last bit whichever history, order, tickers or span it was computed with."""

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.features import FeatureConfig, compute_features, kernels, warm_up_sessions

WINDOWS = (1, 5, 21, 63)
CONFIGS = {
    "rolling_zscore": FeatureConfig(windows=WINDOWS, zscore_lookback=63, min_history_sessions=63),
    "cross_sectional_rank": FeatureConfig(
        windows=WINDOWS, normalization="cross_sectional_rank", min_history_sessions=63
    ),
    "none": FeatureConfig(windows=WINDOWS, normalization="none", min_history_sessions=63),
}


def assert_same_bits(left: pl.DataFrame, right: pl.DataFrame) -> None:
    """Equal tables whose floats also agree in sign of zero and last bit."""
    assert left.equals(right)
    for name in left.columns:
        if left[name].dtype == pl.Float64:
            bits = [frame[name].fill_null(0.0).to_numpy().view(np.int64) for frame in (left, right)]
            assert np.array_equal(*bits), name


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_months_computed_one_at_a_time_equal_the_range(make_random_prices, config: FeatureConfig) -> None:
    prices = make_random_prices(n_tickers=6, n_sessions=420, seed=1)
    whole = compute_features(prices, config, date(2015, 10, 1), date(2016, 8, 31))
    firsts = [date(2015, m, 1) for m in (10, 11, 12)] + [date(2016, m, 1) for m in range(1, 10)]
    days = sessions(date(2014, 1, 1), date(2016, 12, 31))
    parts = []
    for first, following in pairwise(firsts):
        before = [day for day in days if day < first][-warm_up_sessions(config)]
        month = prices.filter(pl.col("date").is_between(before, following - timedelta(days=1)))
        parts.append(compute_features(month, config, first, following - timedelta(days=1)))
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
    assert_same_bits(wanted, compute_features(prices.filter(pl.col("date") >= before), config, *month))


@pytest.mark.parametrize("surplus", [0, 1, 2, 20, 62, 63, 100])
def test_history_may_start_at_any_session(make_random_prices, surplus: int) -> None:
    prices = make_random_prices(n_tickers=5, n_sessions=420, seed=3)
    config = CONFIGS["rolling_zscore"]
    start, end = date(2016, 3, 1), date(2016, 5, 31)
    before = sessions(date(2014, 1, 1), start - timedelta(days=1))[-warm_up_sessions(config) - surplus]
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
                computed = [
                    kernels.window_sum(x, w, first, full),
                    kernels.window_std(x, w, first, full),
                    kernels.window_max_drawdown(x, w, first, full),
                    kernels.window_zscore(x, w, first, (w + 1) // 2),
                ]
                outcomes.append([out[:, cut + w + 10 - begin :].tobytes() for out in computed])
            assert outcomes[0] == outcomes[1]


def test_the_order_of_rows_and_the_presence_of_other_tickers_do_not_matter(make_random_prices) -> None:
    prices = make_random_prices(n_tickers=6, n_sessions=300, seed=5)
    config, start, end = CONFIGS["rolling_zscore"], date(2015, 11, 1), date(2015, 12, 31)
    whole = compute_features(prices, config, start, end)
    assert_same_bits(whole, compute_features(prices.sample(fraction=1.0, shuffle=True, seed=0), config, start, end))
    some = ["T01", "T04"]
    alone = compute_features(prices.filter(pl.col("ticker").is_in(some)), config, start, end)
    assert_same_bits(whole.filter(pl.col("ticker").is_in(some)), alone)


def test_one_thread_gives_the_same_bits_as_many(make_random_prices, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = make_random_prices(n_tickers=3, n_sessions=300, seed=6)
    arguments = (CONFIGS["rolling_zscore"], date(2015, 6, 1), date(2015, 12, 31))
    many = compute_features(prices, *arguments)
    monkeypatch.setattr("quant_core.features.MOST_THREADS", 1)
    assert_same_bits(many, compute_features(prices, *arguments))
