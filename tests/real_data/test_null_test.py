"""The null test on NIFTY 50 with dated membership: no bias, no luck that survives, and a weak signal is found."""

import math
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.null_test import BPS, NullTest, NullTestConfig, markdown, mean_and_error, null_test
from quant_core.cleaning.clean import CleaningConfig, clean
from quant_core.market.sources.files import FilesSource

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

FIRST, LAST = date(2015, 1, 1), date(2023, 12, 29)
NOW = datetime(2024, 1, 1, tzinfo=UTC)
CONFIG = BacktestConfig(cost_model="nse_delivery", commission_bps=0.0, spread_bps=0.0, impact_coefficient=1.0)


@pytest.fixture(scope="module")
def result(real_data_dir: Path) -> NullTest:
    begin = date(2014, 10, 1)  # for the trailing averages of the first session
    source = FilesSource(path=str(real_data_dir))
    raw = source.fetch(None, begin, LAST, NOW).rows
    prices = clean(raw, source.membership("nifty50"), CleaningConfig(), begin, LAST).prices
    found = null_test(prices, CONFIG, NullTestConfig(), FIRST, LAST)
    print(markdown(found))
    return found


def test_the_span_is_that_of_the_labs_folds(result: NullTest) -> None:
    assert (result.n_sessions, result.n_decisions) == (2226, 469)
    assert 49.5 < result.mean_eligible <= 50.5


def test_random_books_earn_what_equal_weight_earns(result: NullTest) -> None:
    for noise in (result.independent, result.persistent):
        for excess in (noise.excess_1d, noise.fill_excess_1d):
            mean, error = mean_and_error(excess)
            assert abs(mean) < 2.0 * error
            assert error < 0.1 * BPS  # the claim is not for want of precision


def test_orders_that_stay_open_cost_a_random_book_less_than_a_tenth_of_a_basis_point(result: NullTest) -> None:
    for noise in (result.independent, result.persistent):
        mean, error = mean_and_error(noise.order_excess_1d)
        assert -0.1 * BPS < mean < 3.0 * error
        assert error < 0.01 * BPS


def test_no_random_signal_survives_its_trials(result: NullTest) -> None:
    for noise in (result.independent, result.persistent):
        assert noise.deflated_share == 0.0
        assert noise.found.mean() <= 0.002  # one of 500
        assert 0.2 < noise.pbo < 0.8
        assert 0.02 < (abs(noise.rank_ic_t) > 1.96).mean() < 0.08


def test_a_planted_rank_ic_of_five_hundredths_is_found(result: NullTest) -> None:
    planted = result.planted
    assert planted.rank_ic.mean() == pytest.approx(0.05, abs=0.005)
    assert planted.found.mean() > 0.95
    assert mean_and_error(planted.excess_1d)[0] > 5.0 * BPS
    assert planted.deflated_share > 0.1
    assert math.isnan(planted.pbo)  # choosing among equals tells nothing


def test_costs_are_what_is_between_gross_and_net(result: NullTest) -> None:
    for found in (result.independent, result.persistent, result.planted):
        gap = found.excess_1d.mean() - found.net_excess_1d.mean()
        assert gap == pytest.approx(found.cost_excess_1d.mean(), rel=0.02)
