"""What a session is open to, and what of the past a trade may know."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core import calendar
from quant_core.causality import assert_causal
from quant_core.errors import DataError
from quant_core.trading.absences import delistings
from quant_core.trading.market import BOTH, BUY, CLOSED, SELL
from quant_core.trading.panel import assemble_panel

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


@pytest.mark.slow
def test_one_price_all_day_at_the_previous_close_locks_nothing_whatever_rounding_does():
    for paid in np.random.default_rng(1).uniform(0.0, 0.1, 100):  # 1 + paid - paid is not always 1
        same = dict.fromkeys(("open_inr", "high_inr", "low_inr", "close_inr"), before())
        assert bits(**same, intraday_return_1d=0.0, overnight_return_1d=paid, dividend_return_1d=paid) == BOTH


def test_a_fill_within_a_tick_of_the_daily_limit_is_locked_where_the_limit_is_known():
    for move, expected in ((0.05, SELL), (0.0496, SELL), (0.04, BOTH), (-0.04, BOTH), (-0.0496, BUY), (-0.05, BUY)):
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
    low, high = row["low_inr"], row["high_inr"]
    for turnover, expected in ((low * 1e3, low), (low * 900, typical), (high * 1100, typical), (None, typical)):
        found = panel(prices(turnover_inr=turnover), fill="vwap")
        assert found.fill_price_inr[T, 0] == pytest.approx(expected)


def test_a_delisting_is_known_only_after_so_many_absent_sessions_and_never_before_listing():
    absent = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [1, 0], [1, 1], [0, 1], [1, 1]], dtype=bool)
    rows, columns = delistings(absent, 3, 0)
    assert list(zip(rows, columns, strict=True)) == [(4, 1), (6, 0), (8, 1)]
    assert len(delistings(absent, 0, 0)[0]) == 0
    assert delistings(absent, 3, 5)[0].tolist() == [1, 3]


def test_a_session_without_a_row_is_closed_without_a_return_and_had_no_turnover():
    row = (pl.col("ticker") == "AAA") & (pl.col("date") == DAYS[T])
    lost = panel(prices().filter(~row)).market
    assert lost.open_to[T, 0] == CLOSED
    assert np.isnan(lost.overnight_return[T, 0])
    own = prices().filter(pl.col("ticker") == "AAA")["turnover_inr"]
    assert lost.traded_value_inr[T + 1, 0] == pytest.approx(own[T - 20 : T].sum() / 21)  # the lost one counts 0
    assert bits(is_filled=True, is_tradable=False) == CLOSED


def test_an_index_row_that_was_carried_forward_is_closed():
    carried = prices().with_columns(is_filled=(pl.col("ticker") == "^NSEI") & (pl.col("date") == DAYS[T]))
    found = panel(carried).market.open_to[:, 1]
    assert found[T] == CLOSED
    assert (np.delete(found, T) == BOTH).all()


def test_a_listing_has_no_history_before_it_and_no_volatility_before_five_returns():
    listed = prices().filter((pl.col("ticker") != "AAA") | (pl.col("date") >= DAYS[10]))
    market = panel(listed).market
    own = prices().filter(pl.col("ticker") == "AAA")
    assert np.isnan(market.traded_value_inr[:11, 0]).all()
    assert market.traded_value_inr[12, 0] == pytest.approx(own["turnover_inr"][10:12].mean())
    assert np.isnan(market.volatility_1d[:15, 0]).all()
    assert market.volatility_1d[15, 0] == pytest.approx(own["total_return_1d"][10:15].std(ddof=0))


def test_without_a_turnover_the_traded_value_is_close_times_volume():
    table = prices().with_columns(turnover_inr=pl.lit(None, pl.Float64))
    own = prices().filter(pl.col("ticker") == "AAA").slice(T - 21, 21)
    expected = (own["close_inr"] * own["volume_shares"]).mean()
    assert panel(table).market.traded_value_inr[T, 0] == pytest.approx(expected)


def test_a_locked_session_is_judged_against_the_previous_close_on_the_days_own_basis():
    paid, price = (
        0.05,
        before() * 0.97,
    )  # 3 % lower on an ex-date of 5 %: dearer than the close before less the dividend
    changes = {
        "open_inr": price, "high_inr": price, "low_inr": price, "close_inr": price, "intraday_return_1d": 0.0,
        "overnight_return_1d": price / before() - 1.0 + paid, "dividend_return_1d": paid,
    }  # fmt: skip
    assert bits(**changes) == BUY  # the exchange compares prices: nobody could sell
    split = {name: price / 5 for name in ("open_inr", "high_inr", "low_inr", "close_inr")}
    assert bits(**changes | split) == BUY  # a fifth of the price after a split is the same move


def test_nothing_in_the_panel_of_a_day_knows_what_came_after_it():
    table = prices(is_tradable=False)

    def step(rows):
        found = panel(rows, fill="vwap", price_band=0.01)
        grid = {
            name: getattr(found.market, name)[:, 0]
            for name in ("overnight_return", "intraday_return", "vwap_return", "open_to", "traded_value_inr",
                         "volatility_1d", "open_inr", "dividend_return")
        }  # fmt: skip
        return pl.DataFrame({"date": found.sessions, "ticker": "AAA", "price": found.fill_price_inr[:, 0]} | grid)

    def rows_until(rows):
        n = rows["date"].n_unique()
        return assemble_panel(rows, TICKERS, DAYS[0], np.zeros(n), fill="vwap", price_band=0.01)

    for cut in (DAYS[T - 1], DAYS[T], DAYS[T + 3]):
        assert_causal(step, table, cut, how=("null", "shuffle"))
        whole, short = panel(table, fill="vwap", price_band=0.01), rows_until(table.filter(pl.col("date") <= cut))
        kept = len(short.sessions)
        np.testing.assert_array_equal(short.market.open_to, whole.market.open_to[:kept])
        np.testing.assert_array_equal(short.market.volatility_1d, whole.market.volatility_1d[:kept])


def test_a_name_that_returns_after_its_delisting_can_be_traded_again():
    away = (pl.col("ticker") == "AAA") & pl.col("date").is_between(DAYS[T], DAYS[T + 9])
    market = panel(prices().filter(~away), delisted_after_sessions=5).market
    assert [part.tolist() for part in market.delistings[:2]] == [[T + 4], [0]]
    assert (market.open_to[T : T + 10, 0] == CLOSED).all()
    assert market.open_to[T + 10, 0] == BOTH


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.filter(pl.col("ticker") != "AAA"), "'AAA'"),
        (lambda rows: pl.concat([rows, rows.head(1)]), "repeats"),
        (lambda rows: rows.with_columns(date=pl.col("date").replace(DAYS[T], date(2021, 2, 28))), "no NSE session"),
    ],
)
def test_prices_that_no_panel_can_be_made_of_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        panel(change(prices()))
