"""No feature and no normalisation reads the future; a new feature is covered by being registered."""

from datetime import date

import polars as pl
import pytest

from quant_core.causality import PERTURBATIONS, assert_causal
from quant_core.errors import LookaheadError
from quant_core.features import FEATURES, FeatureConfig, compute_features, feature_columns
from quant_core.features.normalize import NORMALIZATIONS

START, CUT, END = date(2015, 11, 1), date(2016, 1, 15), date(2016, 12, 31)
WINDOWS = (1, 5, 21, 63)


@pytest.fixture(scope="module")
def prices(make_random_prices) -> pl.DataFrame:
    return make_random_prices(n_tickers=6, n_sessions=560, seed=8, first=date(2014, 1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("name", list(FEATURES))
def test_a_feature_never_reads_the_future(
    prices: pl.DataFrame, sectors: pl.DataFrame, name: str, normalization: str
) -> None:
    config = FeatureConfig(
        names=(name,), windows=WINDOWS, normalization=normalization, zscore_lookback=63, min_history_sessions=63
    )
    known = compute_features(prices, config, START, CUT, sectors)
    assert min(known[column].count() for column in feature_columns(config)) > 50, "nothing to certify"
    assert_causal(lambda rows: compute_features(rows, config, START, END, sectors), prices, CUT, atol=0.0)


@pytest.mark.parametrize("how", PERTURBATIONS)
def test_a_leak_planted_behind_the_features_is_caught(prices: pl.DataFrame, how: str) -> None:
    def leaky(rows: pl.DataFrame) -> pl.DataFrame:
        table = compute_features(
            rows, FeatureConfig(names=("momentum",), windows=WINDOWS, normalization="none"), START, END
        )
        return table.with_columns(pl.col("momentum_5d").shift(-1).over("ticker", order_by="date"))

    with pytest.raises(LookaheadError, match="momentum_5d at \\(2016-01-15"):
        assert_causal(leaky, prices, CUT, how=how)


@pytest.mark.parametrize("how", PERTURBATIONS)
def test_a_leak_planted_before_the_features_is_caught(prices: pl.DataFrame, how: str) -> None:
    def leaky(rows: pl.DataFrame) -> pl.DataFrame:
        moved = rows.with_columns(pl.col("total_return_1d").shift(-1).over("ticker", order_by="date"))
        return compute_features(moved, FeatureConfig(windows=WINDOWS, zscore_lookback=63), START, END)

    with pytest.raises(LookaheadError, match="log_return_1d at"):
        assert_causal(leaky, prices, CUT, how=how)
