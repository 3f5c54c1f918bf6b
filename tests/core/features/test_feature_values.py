"""Hand-computed numbers for each feature, and what gaps, filled rows and young tickers do to them."""

import math
from datetime import date

import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.errors import DataError, UnknownName
from quant_core.features import (
    FEATURES,
    FeatureConfig,
    compute_features,
    feature_columns,
    model_columns,
    warm_up_sessions,
)

NAN = float("nan")
FIRST = date(2015, 1, 1)
RAW = "none"


def column(prices: pl.DataFrame, name: str, feature: str, windows: tuple[int, ...]) -> list[float | None]:
    """One feature column of the first ticker over the whole table."""
    config = FeatureConfig(names=(feature,), windows=windows, normalization=RAW)
    table = compute_features(prices, config, prices["date"].min(), prices["date"].max())
    return table.filter(pl.col("ticker") == table["ticker"][0])[name].to_list()


def test_log_return_is_the_sum_of_log_one_plus_return(make_prices) -> None:
    found = column(make_prices({"A": [0.0, 0.1, -0.2, 0.05, 0.3]}), "log_return_2d", "log_returns", (2,))
    assert found[:2] == [None, None]
    assert found[2:] == pytest.approx([math.log(1.1 * 0.8), math.log(0.8 * 1.05), math.log(1.05 * 1.3)], rel=1e-14)


def test_one_day_log_return_is_null_only_on_the_first_row(make_prices) -> None:
    found = column(make_prices({"A": [0.0, 0.1, -0.2]}), "log_return_1d", "log_returns", (1,))
    assert found == [None, math.log1p(0.1), math.log1p(-0.2)]


def test_momentum_is_the_compounded_simple_return(make_prices) -> None:
    found = column(make_prices({"A": [0.0, 0.1, -0.2, 0.05, 0.3]}), "momentum_3d", "momentum", (3,))
    assert found[:3] == [None] * 3
    assert found[3:] == pytest.approx([1.1 * 0.8 * 1.05 - 1, 0.8 * 1.05 * 1.3 - 1], rel=1e-14)


def test_volatility_of_two_returns_is_their_distance_over_root_two_annualised(make_prices) -> None:
    found = column(make_prices({"A": [0.0, 0.1, -0.2, 0.05]}), "realized_vol_2d_ann", "realized_volatility", (2,))
    distances = [math.log(1.1) - math.log(0.8), math.log(1.05) - math.log(0.8)]
    assert found[:2] == [None, None]
    assert found[2:] == pytest.approx([d / math.sqrt(2) * math.sqrt(252) for d in distances], rel=1e-14)


def test_volatility_of_a_steady_return_is_exactly_zero(make_prices) -> None:
    found = column(make_prices({"A": [0.01] * 12}), "realized_vol_5d_ann", "realized_volatility", (5,))
    assert found[5:] == [0.0] * 7


def test_drawdown_is_the_worst_fall_from_a_peak_to_a_later_trough(make_prices) -> None:
    steps = [0.0] * 8 + [0.5, -0.5, 0.2, 0.0, 1.0, -0.3] + [0.0] * 9
    found = column(make_prices({"A": steps}), "max_drawdown_21d", "max_drawdown", (21,))
    assert found[-1] == pytest.approx(-0.5, rel=1e-14)
    assert found[:21] == [None] * 21


def test_the_level_before_the_first_return_counts_as_a_peak(make_prices) -> None:
    steps = [0.0, -0.4, *[0.0] * 20, 0.0]
    found = column(make_prices({"A": steps}), "max_drawdown_21d", "max_drawdown", (21,))
    assert found[21] == pytest.approx(-0.4, rel=1e-14)
    assert found[22] == 0.0  # the fall has left the window


def test_a_rising_index_has_no_drawdown(make_prices) -> None:
    assert column(make_prices({"A": [0.01] * 25}), "max_drawdown_21d", "max_drawdown", (21,))[21:] == [0.0] * 4


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
    table = compute_features(make_prices({"A": steps}), FeatureConfig(), FIRST, date(2018, 12, 31))
    filled = table.row(560, named=True)
    assert [value for name, value in filled.items() if name not in ("date", "ticker", "is_eligible")] == [None] * 40
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
    index = prices.filter(pl.col("ticker") == "T00").with_columns(instrument=pl.lit("index"), ticker=pl.lit("NIFTY"))
    start, end = date(2015, 9, 5), date(2015, 12, 27)
    table = compute_features(pl.concat([prices, index]), FeatureConfig(), start, end)
    wanted = prices.filter(pl.col("date").is_between(start, end)).sort("date", "ticker").select("date", "ticker")
    assert table.select("date", "ticker").equals(wanted)
    assert table.columns == ["date", "ticker", "is_eligible", *feature_columns(FeatureConfig())]


def test_lazy_prices_give_the_same_table(make_random_prices) -> None:
    prices = make_random_prices(n_tickers=2, n_sessions=300)
    arguments = (FeatureConfig(), date(2015, 9, 1), date(2015, 12, 31))
    assert compute_features(prices.lazy(), *arguments).equals(compute_features(prices, *arguments))


@pytest.mark.parametrize("normalization", ["rolling_zscore", "cross_sectional_rank", "none"])
def test_a_month_without_rows_gives_an_empty_table_with_the_same_schema(make_random_prices, normalization: str) -> None:
    prices = make_random_prices(n_tickers=2, n_sessions=40)
    config = FeatureConfig(normalization=normalization)
    full = compute_features(prices, config, FIRST, date(2015, 12, 31))
    for rows in (prices, prices.clear()):
        empty = compute_features(rows, config, date(2016, 1, 1), date(2016, 1, 31))
        assert empty.is_empty()
        assert empty.schema == full.schema


def test_the_default_table_has_twenty_columns_and_their_zscores() -> None:
    columns = feature_columns(FeatureConfig())
    assert len(columns) == 40
    assert columns[:7] == [*[f"log_return_{w}d" for w in (1, 5, 21, 63, 126, 252)], "realized_vol_5d_ann"]
    assert columns[20:] == [f"{name}_z252" for name in columns[:20]] == model_columns(FeatureConfig())
    assert {name for name in columns[:20] if name.startswith("max_drawdown")} == {
        f"max_drawdown_{w}d" for w in (21, 63, 126, 252)
    }
    assert model_columns(FeatureConfig(normalization="none")) == columns[:20]
    assert model_columns(FeatureConfig(normalization="cross_sectional_rank"))[0] == "log_return_1d_rank"


def test_warm_up_is_the_longest_window_its_reach_and_the_zscore() -> None:
    assert warm_up_sessions(FeatureConfig()) == 252 + 10 + 252
    assert warm_up_sessions(FeatureConfig(normalization="none")) == 252 + 10


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"windows": (0, 5)}, "windows is \\(0, 5\\)"),
        ({"windows": ()}, "wanted distinct windows"),
        ({"names": ("momentum", "momentum")}, "wanted distinct names"),
        ({"zscore_lookback": 1}, "zscore_lookback is 1"),
        ({"max_missing_share": 1.0}, "max_missing_share"),
        ({"min_history_sessions": 0}, "min_history_sessions"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        FeatureConfig(**settings)  # type: ignore[arg-type]


def test_an_unknown_feature_or_normalisation_lists_the_known_ones(make_prices) -> None:
    with pytest.raises(UnknownName, match="feature 'returns' is unknown; known: log_returns, max_drawdown, momentum"):
        compute_features(make_prices({"A": [0.0]}), FeatureConfig(names=("returns",)), FIRST, FIRST)
    with pytest.raises(UnknownName, match="normalization 'zscore' is unknown"):
        FeatureConfig(normalization="zscore")


def test_a_feature_that_no_window_suits_is_refused() -> None:
    with pytest.raises(DataError, match="none of the windows \\[1\\] is long enough for realized_volatility"):
        feature_columns(FeatureConfig(windows=(1,)))


def test_a_volatility_of_one_session_is_refused() -> None:
    with pytest.raises(DataError, match="windows \\[1\\] are below 2"):
        FEATURES["realized_volatility"].function(None, [1, 5])  # type: ignore[arg-type]


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
