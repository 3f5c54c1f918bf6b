"""The whole way from rows to table against naive loops: raw columns by their twins, z-scores and who is eligible."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import Rows
from test_feature_price import naive_drawdown, naive_log_return, naive_momentum, naive_volatility

from quant_core.calendar import sessions
from quant_core.features import FeatureConfig, compute_features, feature_columns

WINDOWS = (1, 2, 7, 21, 40)
LOOKBACK = 30
NAIVE = {
    "log_return_{w}d": naive_log_return,
    "realized_vol_{w}d_ann": naive_volatility,
    "momentum_{w}d": naive_momentum,
    "max_drawdown_{w}d": naive_drawdown,
}
CONFIG = FeatureConfig(
    names=("log_returns", "realized_volatility", "momentum", "max_drawdown"),
    windows=WINDOWS,
    zscore_lookback=LOOKBACK,
    min_history_sessions=50,
)


def naive_zscore(values: np.ndarray, lookback: int) -> np.ndarray:
    out = np.full(len(values), np.nan)
    for t in range(len(values)):
        window = values[max(t - lookback + 1, 0) : t + 1]
        window = window[~np.isnan(window)]
        if not np.isnan(values[t]) and 2 * len(window) >= lookback:
            std = np.std(window, ddof=1)
            out[t] = (values[t] - np.mean(window)) / std if std > 1e-12 * abs(np.mean(window)) else np.nan
    return out


def naive_eligible(listed: np.ndarray, priced: np.ndarray, t: int, history: int) -> bool:
    begin = t - history + 1
    old = begin >= 1 and listed[max(begin - 10, 0) : begin].any()
    return bool(priced[t] and old and priced[begin : t + 1].sum() >= 0.8 * history)


def check_against_oracle(prices: pl.DataFrame) -> None:
    first, last = prices["date"].min(), prices["date"].max()
    table = compute_features(prices, CONFIG, first, last)
    days = pl.DataFrame({"date": sessions(first, last)})
    made = {template.format(w=w): (naive, w) for template, naive in NAIVE.items() for w in WINDOWS}
    raw = feature_columns(CONFIG)[: len(feature_columns(CONFIG)) // 2]
    for ticker in table["ticker"].unique():
        rows = days.join(prices.filter(pl.col("ticker") == ticker), on="date", how="left").sort("date")
        listed = rows["ticker"].is_not_null().to_numpy()
        priced = listed & ~rows["is_filled"].fill_null(True).to_numpy()
        steps = np.log1p(rows["total_return_1d"].fill_null(np.nan).to_numpy())
        own = Rows(steps, priced)
        found = days.join(table.filter(pl.col("ticker") == ticker), on="date", how="left").sort("date")
        for name in raw:
            naive, w = made[name]
            wanted = [naive(own, t, w) for t in range(days.height)]
            got = found[name].fill_null(np.nan).to_numpy()
            np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-13, err_msg=f"{ticker} {name}")
            scores = naive_zscore(got, LOOKBACK)
            got_scores = found[f"{name}_z{LOOKBACK}"].fill_null(np.nan).to_numpy()
            np.testing.assert_allclose(got_scores, scores, rtol=1e-8, atol=1e-8, err_msg=f"{ticker} z of {name}")
        eligible = [naive_eligible(listed, priced, t, 50) for t in range(days.height)]
        assert found["is_eligible"].fill_null(False).to_list() == eligible


@pytest.mark.parametrize("seed", range(3))
def test_features_equal_a_naive_loop_on_random_panels(make_random_prices, seed: int) -> None:
    first = sessions(date(2012, 1, 1), date(2014, 1, 1))[17 * seed]  # another place in the blocks each time
    check_against_oracle(make_random_prices(n_tickers=4, n_sessions=160, seed=seed, first=first, gap_share=0.03))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_features_equal_a_naive_loop_on_any_panel(make_prices, data: st.DataObject) -> None:
    step = st.one_of(
        st.floats(-0.6, 1.0, allow_nan=False),
        st.sampled_from([0.0, 0.0, 0.01, -0.05]),
        st.none(),
        st.just(float("nan")),
    )
    length = data.draw(st.integers(45, 90))
    offset = data.draw(st.integers(0, 400))
    late = data.draw(st.integers(0, 30))
    returns = {
        "AAA": data.draw(st.lists(step, min_size=length, max_size=length)),
        "BBB": [float("nan")] * late + [0.01 * (k % 7 - 3) for k in range(length - late)],
        "CCC": [0.02 * ((k * k) % 5 - 2) for k in range(length - late)],
    }
    returns["CCC"][-1] = 0.0
    prices = make_prices(returns, first=sessions(date(2012, 1, 1), date(2014, 12, 31))[offset])
    check_against_oracle(prices)
