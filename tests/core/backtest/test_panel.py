"""What a session is open to, and what of the past a trade may know."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core import calendar
from quant_core.backtest.panel import assemble_panel, delistings
from quant_core.trading.market import BOTH, BUY, CLOSED, SELL

DAYS = calendar.sessions(date(2021, 1, 1), date(2021, 3, 31))
TICKERS = pl.Series(["AAA", "^NSEI"])
T = 40  # the session that the tests change


def prices(**changes):
    """A stock and an index; `changes` replace the stock's values in session T."""
    rng = np.random.default_rng(1)
    frames = []
    for ticker in TICKERS:
        is_index = ticker == "^NSEI"
        night, day = rng.normal(0, 0.01, len(DAYS)), rng.normal(0, 0.01, len(DAYS))
        close = 100.0 * np.cumprod((1 + night) * (1 + day))
        open_ = close / (1 + day)
        table = pl.DataFrame({
            "date": DAYS, "ticker": ticker, "instrument": "index" if is_index else "equity", "open_inr": open_,
            "high_inr": np.maximum(open_, close) + 0.5, "low_inr": np.minimum(open_, close) - 0.5, "close_inr": close,
            "volume_shares": 1000, "turnover_inr": close * 1000.0, "overnight_return_1d": night,
            "intraday_return_1d": day, "total_return_1d": (1 + night) * (1 + day) - 1, "dividend_return_1d": 0.0,
            "is_member": not is_index, "is_filled": False, "is_tradable": not is_index,
        })  # fmt: skip
        if not is_index:
            here = pl.int_range(pl.len()) == T
            table = table.with_columns(
                pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in changes.items()
            )
        frames.append(table)
    return pl.concat(frames).sort("date", "ticker")


def panel(table, start=DAYS[0], **settings):
    n = len([day for day in DAYS if day >= start])
    return assemble_panel(table, TICKERS, start, np.zeros(n), **settings)


def bits(**changes):
    return int(panel(prices(**changes)).market.open_to[T, 0])


def before():
    """The stock's close before session T."""
    return prices().filter(pl.col("ticker") == "AAA")["close_inr"][T - 1]


def test_a_member_with_volume_can_be_bought_and_sold_and_an_ex_member_only_sold():
    assert bits() == BOTH
    assert bits(is_member=False) == SELL
    assert bits(is_tradable=False) == CLOSED


def test_one_price_all_day_locks_the_side_that_nobody_could_trade():
    up, down = before() * 1.05, before() * 0.95

    def locked(price):
        return bits(open_inr=price, high_inr=price, low_inr=price, close_inr=price, intraday_return_1d=0.0,
                    overnight_return_1d=price / before() - 1.0)  # fmt: skip

    assert locked(up) == SELL
    assert locked(down) == BUY
    assert locked(before()) == BOTH


def test_a_fill_within_a_tick_of_the_daily_limit_is_locked_where_the_limit_is_known():
    for move, expected in ((0.05, SELL), (0.0496, SELL), (0.04, BOTH), (-0.05, BUY)):
        price = before() * (1 + move)
        table = prices(open_inr=price, overnight_return_1d=move)
        assert int(panel(table, price_band=0.05).market.open_to[T, 0]) == expected, move
        assert int(panel(table).market.open_to[T, 0]) == BOTH


def test_an_index_is_open_wherever_it_has_a_row_and_is_as_deep_as_anyone_wants():
    found = panel(prices()).market
    assert (found.open_to[:, 1] == BOTH).all()
    assert np.isinf(found.traded_value_inr[:, 1]).all()


def test_traded_value_and_volatility_are_means_of_the_sessions_before_and_know_nothing_later():
    found, own = panel(prices()).market, prices().filter(pl.col("ticker") == "AAA")
    past = own.slice(T - 21, 21)
    assert found.traded_value_inr[T, 0] == pytest.approx(past["turnover_inr"].mean())
    assert found.volatility_1d[T, 0] == pytest.approx(past["total_return_1d"].std(ddof=0))
    changed = panel(prices(turnover_inr=9e12, total_return_1d=0.9)).market
    for name in ("traded_value_inr", "volatility_1d"):
        np.testing.assert_array_equal(getattr(changed, name)[: T + 1, 0], getattr(found, name)[: T + 1, 0])
        assert getattr(changed, name)[T + 1, 0] > getattr(found, name)[T + 1, 0]


def test_rows_before_the_start_feed_the_trailing_means_only():
    whole, late = panel(prices()), panel(prices(), start=DAYS[T])
    assert late.sessions == whole.sessions[T:]
    np.testing.assert_allclose(late.market.traded_value_inr, whole.market.traded_value_inr[T:])
    np.testing.assert_array_equal(late.market.overnight_return, whole.market.overnight_return[T:])


def test_vwap_is_turnover_over_volume_inside_the_days_range_and_the_typical_price_outside_it():
    row = prices().filter(pl.col("ticker") == "AAA").row(T, named=True)
    typical = (row["open_inr"] + row["high_inr"] + row["low_inr"] + row["close_inr"]) / 4
    for turnover, expected in ((row["low_inr"] * 1000.0, row["low_inr"]), (1.0, typical), (None, typical)):
        found = panel(prices(turnover_inr=turnover), fill="vwap")
        assert found.fill_price_inr[T, 0] == pytest.approx(expected)


def test_a_delisting_is_known_only_after_so_many_absent_sessions_and_never_before_listing():
    absent = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [1, 0], [1, 1], [0, 1], [1, 1]], dtype=bool)
    rows, columns = delistings(absent, 3, 0)
    assert list(zip(rows, columns, strict=True)) == [(4, 1), (6, 0), (8, 1)]
    assert len(delistings(absent, 0, 0)[0]) == 0
    assert delistings(absent, 3, 5)[0].tolist() == [1, 3]
