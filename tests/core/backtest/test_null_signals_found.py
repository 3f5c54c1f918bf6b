"""The null test on a small random market: nothing is found in noise, a planted signal is, and a seed decides it all."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core import calendar
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.null_test import NullTestConfig, markdown, mean_and_error, null_test
from quant_core.errors import DataError

SETTINGS = NullTestConfig(n_signals=80, n_planted=10, rank_ic=0.15, seed=3)


@pytest.fixture(scope="module")
def prices() -> pl.DataFrame:
    """Thirty stocks of one factor each session for two years; no skill to be had."""
    rng = np.random.default_rng(5)
    days = calendar.sessions(date(2019, 1, 1), date(2020, 12, 31))
    market = rng.normal(0.0003, 0.008, len(days))
    frames = []
    for k in range(30):
        night, day = rng.normal(0, 0.006, len(days)) + market / 2, rng.normal(0, 0.012, len(days)) + market / 2
        close = 100.0 * np.cumprod((1 + night) * (1 + day))
        open_ = close / (1 + day)
        frames.append(pl.DataFrame({
            "date": days, "ticker": f"S{k:02d}", "instrument": "equity", "open_inr": open_,
            "high_inr": np.maximum(open_, close) * 1.001, "low_inr": np.minimum(open_, close) * 0.999,
            "close_inr": close, "volume_shares": 1_000_000, "turnover_inr": close * 1e6,
            "overnight_return_1d": night, "intraday_return_1d": day, "total_return_1d": (1 + night) * (1 + day) - 1,
            "dividend_return_1d": 0.0, "is_member": True, "is_filled": False, "is_tradable": True,
        }))  # fmt: skip
    return pl.concat(frames).sort("date", "ticker")


@pytest.mark.slow
def test_noise_earns_nothing_and_is_not_found_while_a_planted_signal_is(prices: pl.DataFrame) -> None:
    result = null_test(prices, BacktestConfig(), SETTINGS)
    for noise in (result.independent, result.persistent):
        mean, error = mean_and_error(noise.fill_excess_1d)
        assert abs(mean) < 3 * error
        assert noise.deflated_share <= 0.05
        assert noise.found.mean() <= 0.05
        assert 0.1 < noise.pbo < 0.9
        gap = (noise.excess_1d - noise.net_excess_1d).mean()
        assert gap == pytest.approx(noise.cost_excess_1d.mean(), rel=0.05)
        assert gap > 1e-4  # equal weight trades less, so a random book pays more
        np.testing.assert_allclose(noise.order_excess_1d, 0.0, atol=1e-12)  # every order is filled in this market
    assert result.planted.rank_ic.mean() == pytest.approx(0.15, abs=0.03)
    assert result.planted.found.all()


def test_a_seed_decides_every_figure(prices: pl.DataFrame) -> None:
    few = NullTestConfig(n_signals=4, n_planted=2, seed=1)
    config = BacktestConfig()
    assert markdown(null_test(prices, config, few)) == markdown(null_test(prices, config, few))
    other = NullTestConfig(n_signals=4, n_planted=2, seed=2)
    assert markdown(null_test(prices, config, other)) != markdown(null_test(prices, config, few))


def test_what_cannot_be_drawn_is_refused(prices: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="n_signals"):
        NullTestConfig(n_signals=1)
    with pytest.raises(DataError, match="rank_ic"):
        NullTestConfig(rank_ic=1.0)
    with pytest.raises(DataError, match="top_n is 40"):
        null_test(prices, BacktestConfig(), NullTestConfig(top_n=40))
    with pytest.raises(DataError, match="two or more"):
        null_test(prices, BacktestConfig(), SETTINGS, start=date(2020, 12, 24))


def test_a_planted_signal_is_deflated_by_all_the_random_ones_that_were_tried(prices: pl.DataFrame) -> None:
    faint = NullTestConfig(n_signals=40, n_planted=20, rank_ic=0.001, seed=3)
    planted = null_test(prices, BacktestConfig(), faint).planted
    assert (planted.deflated_sharpe < planted.probabilistic_sharpe).all()
    assert planted.deflated_share == 0.0
    assert not planted.found.any()
    assert np.isnan(planted.pbo)
