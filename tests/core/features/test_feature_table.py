"""The features table as a whole: the window rule, rows and columns, settings, and what broken input is told."""

import math
import subprocess
import sys
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from by_hand import column

from quant_core.calendar import sessions
from quant_core.errors import DataError, UnknownName
from quant_core.features import (
    FEATURES,
    FeatureConfig,
    compute_features,
    feature_columns,
    features_of,
    model_columns,
    warm_up_sessions,
)
from quant_core.features.normalize import NORMALIZATIONS

NAN = float("nan")
FIRST = date(2015, 1, 1)
BASIC_NAMES = ("log_returns", "realized_volatility", "momentum", "max_drawdown")
BASIC = FeatureConfig(names=BASIC_NAMES)


def test_a_session_missing_for_the_whole_market_does_not_null_a_month(make_prices) -> None:
    steps = [0.01] * 15 + [NAN] + [0.01] * 15
    found = column(make_prices({"A": steps}), "log_return_21d", "log_returns", (21,))
    assert len(found) == 30
    assert found[21:] == pytest.approx([20 * math.log(1.01)] * 9, rel=1e-13)


def test_a_window_needs_nine_tenths_of_its_returns(make_prices) -> None:
    for missing, wanted in ((2, False), (3, True)):
        steps = [0.01] * 12 + [None] * missing + [0.01] * 12
        assert (column(make_prices({"A": steps}), "log_return_21d", "log_returns", (21,))[-1] is None) == wanted


def test_a_window_that_needs_every_return_is_null_until_the_gap_has_left_it(make_prices) -> None:
    found = column(make_prices({"A": [0.01] * 8 + [None] + [0.01] * 8}), "log_return_5d", "log_returns", (5,))
    assert [value is None for value in found] == [True] * 5 + [False] * 3 + [True] * 5 + [False] * 4


def test_filled_rows_have_no_features_and_are_not_eligible(make_prices) -> None:
    steps = [0.01] * 560 + [None] + [0.01] * 3
    prices = make_prices({"A": steps, "B": [0.01] * 564, "^NSEI": [0.01] * 564})
    table = compute_features(prices, FeatureConfig(), FIRST, date(2018, 12, 31)).filter(pl.col("ticker") == "A")
    filled = table.row(560, named=True)
    assert {value for name, value in filled.items() if name not in ("date", "ticker", "is_eligible")} == {None}
    assert not filled["is_eligible"]
    assert table.row(561, named=True)["log_return_252d"] == pytest.approx(251 * math.log(1.01))


def test_a_price_more_than_ten_sessions_before_the_window_does_not_count(make_prices) -> None:
    def after_a_halt(halt: int) -> float | None:
        steps = [0.01] * 30 + [None] * halt + [0.01] * 21
        return column(make_prices({"A": steps}), "log_return_21d", "log_returns", (21,))[-1]

    assert after_a_halt(9) == pytest.approx(21 * math.log(1.01))
    assert after_a_halt(10) is None


def test_rows_are_those_of_equities_between_start_and_end_in_key_order(make_random_prices) -> None:
    prices = make_random_prices(n_tickers=4, n_sessions=300)
    start, end = date(2015, 9, 5), date(2015, 12, 27)
    table = compute_features(prices, FeatureConfig(), start, end)
    wanted = prices.filter(pl.col("date").is_between(start, end), pl.col("ticker") != "^NSEI").sort("date", "ticker")
    assert table.select("date", "ticker").equals(wanted.select("date", "ticker"))
    assert table.columns == ["date", "ticker", "is_eligible", *feature_columns(FeatureConfig())]


def test_lazy_prices_give_the_same_table(make_random_prices) -> None:
    prices = make_random_prices(n_tickers=2, n_sessions=300)
    arguments = (FeatureConfig(), date(2015, 9, 1), date(2015, 12, 31))
    assert compute_features(prices.lazy(), *arguments).equals(compute_features(prices, *arguments))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_a_month_without_rows_gives_an_empty_table_with_the_same_schema(make_random_prices, normalization: str) -> None:
    prices = make_random_prices(n_tickers=2, n_sessions=40)
    config = FeatureConfig(normalization=normalization)
    full = compute_features(prices, config, FIRST, date(2015, 12, 31))
    for rows in (prices, prices.clear()):
        empty = compute_features(rows, config, date(2016, 1, 1), date(2016, 1, 31))
        assert empty.is_empty()
        assert empty.schema == full.schema


def test_the_basic_table_has_twenty_columns_and_their_zscores() -> None:
    columns = feature_columns(BASIC)
    assert len(columns) == 40
    assert columns[:7] == [*[f"log_return_{w}d" for w in (1, 5, 21, 63, 126, 252)], "realized_vol_5d_ann"]
    assert columns[20:] == [f"{name}_z252" for name in columns[:20]] == model_columns(BASIC)
    assert {name for name in columns[:20] if name.startswith("max_drawdown")} == {
        f"max_drawdown_{w}d" for w in (21, 63, 126, 252)
    }
    assert model_columns(FeatureConfig(names=BASIC_NAMES, normalization="none")) == columns[:20]


def test_the_default_is_every_feature_but_a_mirror_image_and_one_that_not_every_source_can_fill() -> None:
    assert set(FEATURES) - set(FeatureConfig().names) == {"short_term_reversal", "vwap_gap"}
    assert features_of(FeatureConfig(names=("all",))) == [FEATURES[name] for name in FEATURES]
    assert FeatureConfig().names[:4] == BASIC_NAMES
    assert feature_columns(FeatureConfig())[:20] == feature_columns(BASIC)[:20]


def test_market_wide_columns_are_z_scored_where_the_others_are_ranked() -> None:
    columns = model_columns(FeatureConfig(normalization="cross_sectional_rank"))
    assert columns[0] == "log_return_1d_rank"
    assert "breadth_1d_z252" in columns
    assert "breadth_1d_rank" not in columns
    assert model_columns(FeatureConfig(normalization="winsorized_zscore"))[0] == "log_return_1d_wz252"


def test_warm_up_is_the_longest_window_its_reach_and_the_zscore() -> None:
    for config in (BASIC, FeatureConfig()):
        assert warm_up_sessions(config) == 252 + 10 + 252
    assert warm_up_sessions(FeatureConfig(normalization="none")) == 252 + 10
    assert warm_up_sessions(FeatureConfig(normalization="winsorized_zscore")) == 252 + 10 + 2 * 252
    ranked = FeatureConfig(names=("cross_sectional_rank",), min_history_sessions=400)
    assert warm_up_sessions(ranked) == 400 + 10 + 252  # who is eligible is asked on every day of the z-score
    market = FeatureConfig(names=("breadth_indicators",), normalization="cross_sectional_rank")
    assert warm_up_sessions(market) == 252 + 10 + 252


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"windows": (0, 5)}, "windows is \\(0, 5\\)"),
        ({"windows": ()}, "wanted distinct windows"),
        ({"names": ("momentum", "momentum")}, "wanted distinct names"),
        ({"zscore_lookback": 1}, "zscore_lookback is 1"),
        ({"max_missing_share": 1.0}, "max_missing_share"),
        ({"min_history_sessions": 0}, "min_history_sessions"),
        ({"outlier_sigma": 0.0}, "outlier_sigma"),
        ({"names": ("all", "momentum")}, '"all" alone'),
    ],
)
def test_a_setting_out_of_range_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        FeatureConfig(**settings)  # type: ignore[arg-type]


def test_an_unknown_feature_or_normalisation_lists_the_known_ones(make_prices) -> None:
    with pytest.raises(
        UnknownName, match=r"feature 'returns' is unknown; known: .*log_returns, max_drawdown, momentum"
    ):
        compute_features(make_prices({"A": [0.0]}), FeatureConfig(names=("returns",)), FIRST, FIRST)
    with pytest.raises(UnknownName, match="normalization 'zscore' is unknown"):
        FeatureConfig(normalization="zscore")


def test_a_feature_that_no_window_suits_is_refused() -> None:
    with pytest.raises(DataError, match="none of the windows \\[1\\] is long enough for realized_volatility"):
        feature_columns(FeatureConfig(names=BASIC_NAMES, windows=(1,)))
    with pytest.raises(DataError, match="for turnover, which starts at 21 sessions and ends at 63"):
        feature_columns(FeatureConfig(names=("turnover",), windows=(5, 126)))


def test_a_start_after_the_end_is_refused(make_prices) -> None:
    with pytest.raises(DataError, match="is after end"):
        compute_features(make_prices({"A": [0.0]}), FeatureConfig(), date(2015, 2, 1), date(2015, 1, 1))


def test_broken_clean_prices_are_refused_with_the_row_named(make_prices) -> None:
    prices = make_prices({"A": [0.0, 0.1, 0.2]})
    days = sessions(FIRST, date(2015, 2, 1))
    broken = {
        "appears more than once": pl.concat([prices, prices.tail(1)]),
        f"A {days[1]}: total_return_1d is -1.0": prices.with_columns(
            total_return_1d=pl.when(pl.col("date") == days[1]).then(-1.0).otherwise("total_return_1d")
        ),
        "2015-01-03, which is no NSE session": prices.with_columns(
            date=pl.when(pl.col("date") == days[1]).then(date(2015, 1, 3)).otherwise("date")
        ),
    }
    for words, rows in broken.items():
        with pytest.raises(DataError, match=words):
            compute_features(rows, FeatureConfig(), FIRST, date(2015, 1, 31))


def test_a_column_that_a_feature_reads_and_the_table_lacks_is_named(make_prices) -> None:
    prices = make_prices({"A": [0.0, 0.1]}).drop("high_inr")
    with pytest.raises(DataError, match=r"columns \['high_inr'\] are missing .*parkinson_volatility"):
        compute_features(prices, FeatureConfig(), FIRST, FIRST)
    assert compute_features(prices, BASIC, FIRST, FIRST).height == 1


def test_a_ticker_in_two_sectors_is_refused(make_prices) -> None:
    sectors = pl.DataFrame({"ticker": ["A", "A"], "sector": ["Banks", "Steel"]})
    with pytest.raises(DataError, match=r"sectors: A is in \['Banks', 'Steel'\]"):
        compute_features(make_prices({"A": [0.0, 0.1]}), FeatureConfig(), FIRST, FIRST, sectors)


def test_a_feature_that_breaks_its_promise_is_refused_by_name(make_prices, monkeypatch) -> None:
    entry = FEATURES["log_returns"]
    for made, words in (
        ({"other": None}, r"log_returns: made columns \['other'\], wanted \['log_return_1d'\]"),
        ({"log_return_1d": np.zeros(2)}, r"log_return_1d is float64 of shape \(2,\), wanted float64 of \(1, 2\)"),
    ):
        broken = replace(entry, function=lambda panel, windows, made=made: made)
        monkeypatch.setitem(FEATURES._entries, "log_returns", broken)
        with pytest.raises(DataError, match=words):
            compute_features(
                make_prices({"A": [0.0, 0.1]}),
                FeatureConfig(names=("log_returns",), windows=(1,)),
                FIRST,
                date(2015, 1, 31),
            )


@pytest.mark.slow
def test_importing_the_features_loads_no_compiler() -> None:
    code = "import sys, quant_core.features; assert not {'numba', 'pandas', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
