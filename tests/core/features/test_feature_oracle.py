"""Every window statistic against a naive loop over one ticker's rows, on random panels with holes."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.calendar import sessions
from quant_core.features import BASIC_FEATURES, FeatureConfig, compute_features, feature_columns

WINDOWS = (1, 2, 7, 21, 40)
LOOKBACK = 30
CONFIG = FeatureConfig(names=BASIC_FEATURES, windows=WINDOWS, zscore_lookback=LOOKBACK, min_history_sessions=50)


def naive_window(steps: np.ndarray, priced: np.ndarray, t: int, w: int) -> np.ndarray | None:
    """The log returns of a full window ending at t, or None, straight from the rule's wording."""
    begin = t - w + 1
    if not priced[t] or begin < 1 or not priced[max(begin - 10, 0) : begin].any():
        return None
    window = steps[begin : t + 1]
    window = window[~np.isnan(window)]
    return window if len(window) >= math.ceil(round(0.9 * w, 9)) else None


def naive_drawdown(steps: np.ndarray) -> float:
    levels = np.concatenate([[1.0], np.exp(np.cumsum(steps))])
    return min(levels[j] / levels[i] - 1.0 for i in range(len(levels)) for j in range(i, len(levels)))


def naive_raw(steps: np.ndarray, priced: np.ndarray, name: str, w: int) -> np.ndarray:
    out = np.full(len(steps), np.nan)
    for t in range(len(steps)):
        window = naive_window(steps, priced, t, w)
        if window is None:
            continue
        if name == f"log_return_{w}d":
            out[t] = math.fsum(window)
        elif name == f"momentum_{w}d":
            out[t] = math.prod(np.exp(window)) - 1.0
        elif name == f"realized_vol_{w}d_ann":
            out[t] = np.std(window, ddof=1) * math.sqrt(252.0) if len(window) > 1 else np.nan
        else:
            assert name == f"max_drawdown_{w}d"
            out[t] = naive_drawdown(window)
    return out


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
    raw = feature_columns(CONFIG)[: len(feature_columns(CONFIG)) // 2]
    for ticker in table["ticker"].unique():
        rows = days.join(prices.filter(pl.col("ticker") == ticker), on="date", how="left").sort("date")
        listed = rows["ticker"].is_not_null().to_numpy()
        priced = listed & ~rows["is_filled"].fill_null(True).to_numpy()
        steps = np.log1p(rows["total_return_1d"].fill_null(np.nan).to_numpy())
        found = days.join(table.filter(pl.col("ticker") == ticker), on="date", how="left").sort("date")
        for name in raw:
            w = int(name.removesuffix("_ann").removesuffix("d").rsplit("_")[-1])
            wanted = naive_raw(steps, priced, name, w)
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
