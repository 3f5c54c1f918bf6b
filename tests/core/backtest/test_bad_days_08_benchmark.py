"""The benchmark knows nothing that was published later, and counts every move once."""

from datetime import date
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from quant_core import calendar
from quant_core.backtest.benchmark import benchmark_returns, estimated_days
from quant_core.causality import assert_causal
from quant_core.schema import CARRIED, NO_SERIES, PROVISIONAL

TRI, NIFTY = "NIFTY 50 TRI", "^NSEI"
DAYS = calendar.sessions(date(2020, 1, 1), date(2021, 12, 31))
YIELD_1D = 0.00005


def indices(seed=1, lost_total=(), lost_price=(), total_from=0):
    """Price index and total return index; the row after a lost one spans it."""
    rng = np.random.default_rng(seed)
    price = 100.0 * np.cumprod(1 + rng.normal(0.0004, 0.01, len(DAYS)))
    total = price * (1 + YIELD_1D) ** np.arange(len(DAYS))
    tables = []
    for ticker, level, lost in ((NIFTY, price, set(lost_price)), (TRI, total, {*lost_total, *range(total_from)})):
        kept = [k for k in range(len(DAYS)) if k not in lost]
        earned = [None] + [level[b] / level[a] - 1 for a, b in pairwise(kept)]
        tables.append(pl.DataFrame({"date": [DAYS[k] for k in kept], "ticker": ticker, "total_return_1d": earned}))
    table = pl.concat(tables).with_columns(is_filled=pl.lit(False)).sort("date", "ticker")
    return table, price, total


def benchmark(prices, days=None):
    days = days or DAYS
    return benchmark_returns(prices, days, TRI, NIFTY)


def level(table):
    return np.cumprod(1 + table["simple_return_1d"].to_numpy())


def test_an_unpublished_day_is_the_price_return_and_the_trailing_dividend_yield():
    prices, price, _ = indices(lost_total=[len(DAYS) - 1])
    last = benchmark(prices).tail(1).row(0, named=True)
    assert last["series"] == TRI + PROVISIONAL
    assert last["simple_return_1d"] == pytest.approx(price[-1] / price[-2] * (1 + YIELD_1D) - 1, abs=1e-12)


def test_the_day_of_publication_takes_the_difference_and_no_earlier_day_changes():
    late = [400, 401, 402]
    full, _, total = indices()
    waiting, _, _ = indices(lost_total=late)
    found, wanted = benchmark(waiting), benchmark(full)
    assert found["series"][400:404].to_list() == [TRI + PROVISIONAL] * 3 + [TRI]
    assert level(found)[403:] == pytest.approx(total[403:] / total[0], rel=1e-12)
    assert level(found)[:400] == pytest.approx(level(wanted)[:400], rel=1e-14)
    assert estimated_days(found)["date"].to_list() == [DAYS[k] for k in late]


@pytest.mark.parametrize("cut", [10, 120, 299, 300, 301, 302, 303, 450, 490])
def test_the_benchmark_has_the_leak_certificate(cut):
    prices, _, _ = indices(lost_total=[300, 301, 450, 495, 496], lost_price=[120, 301, 451], total_from=100)

    def step(table):
        return benchmark(table).with_columns(ticker=pl.lit("benchmark"))

    assert_causal(step, prices, DAYS[cut], atol=1e-12)


def test_a_later_value_of_the_same_index_moves_no_earlier_day():
    """The newest session without a total return kept its value when the next row arrived: it was turned into 0."""
    prices, _, _ = indices(lost_total=[450])
    before = benchmark(prices.filter(pl.col("date") <= DAYS[450]), DAYS[:451])
    after = benchmark(prices)
    assert before.row(450) == after.row(450)
    assert after["simple_return_1d"][450] != 0.0


def test_a_day_that_neither_index_has_is_carried_and_counted_once():
    prices, _, total = indices(lost_total=[200], lost_price=[200])
    found = benchmark(prices)
    assert (found["series"][200], found["simple_return_1d"][200]) == (TRI + CARRIED, 0.0)
    assert level(found)[201:] == pytest.approx(total[201:] / total[0], rel=1e-12)


def test_a_price_gap_next_to_an_unpublished_day_is_not_counted_twice():
    """The price index lacks a day that the total-return index has, and the next day it is the other way round."""
    prices, price, total = indices(lost_price=[300], lost_total=[301])
    found = level(benchmark(prices))
    assert found[300] == pytest.approx(total[300] / total[0], rel=1e-12)
    assert found[301] == pytest.approx(total[299] * price[301] / price[299] * (1 + YIELD_1D) ** 2 / total[0], rel=1e-9)


def test_before_the_total_return_index_begins_the_price_index_stands_unflagged():
    prices, price, total = indices(total_from=150)
    found = benchmark(prices)
    assert found["series"][:151].to_list() == [NIFTY] * 150 + [TRI]
    joined = price[150] / price[0]
    assert level(found)[150:] == pytest.approx(joined * total[150:] / total[150], rel=1e-12)


def test_without_a_year_of_both_indices_no_dividend_is_assumed():
    prices, price, _ = indices(total_from=100, lost_total=[120])
    assert benchmark(prices)["simple_return_1d"][120] == pytest.approx(price[120] / price[119] - 1, abs=1e-12)


def test_after_the_actions_end_the_benchmark_earns_price_returns_as_the_stocks_do():
    prices, price, total = indices()
    found = benchmark_returns(prices, DAYS, TRI, NIFTY, price_returns_after=DAYS[400])
    assert found["series"].to_list() == [TRI] * 401 + [NIFTY] * (len(DAYS) - 401)
    assert level(found)[400:] == pytest.approx(total[400] / total[0] * price[400:] / price[400], rel=1e-12)


def test_without_any_index_nothing_is_earned_and_it_says_so():
    prices, _, _ = indices()
    found = benchmark(prices.clear())
    assert found["series"].unique().to_list() == [NO_SERIES]
    assert found["simple_return_1d"].abs().sum() == 0.0
