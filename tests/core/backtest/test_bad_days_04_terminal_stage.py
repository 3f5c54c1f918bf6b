"""Ends of names from clean prices to the tables of a backtest: terms, shares received, the clock of an absence."""

from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from stage_cases import END, FREE, START, make_prices, make_targets

from quant_core import calendar
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.reconcile import unreconciled
from quant_core.backtest.simulate import simulate
from quant_core.errors import DataError
from quant_core.measures.trips import round_trips
from quant_core.schema import BUY, DELISTING, SELL
from quant_core.trading.absences import outages

PRICES = make_prices(("AAA", "BBB", "CCC", "DDD"))
DAYS = calendar.sessions(START, END)
D1, D2 = date(2021, 1, 8), date(2021, 1, 15)
LAST, ENDS = date(2021, 1, 22), date(2021, 1, 25)
HALF = make_targets([(D1, "one", "AAA", 0.5), (D1, "one", "CCC", 0.5)])


def ended(factor, into=None, day=ENDS):
    """AAA's rows up to the session before `day`, and a terminal row."""
    own = PRICES.filter(pl.col("ticker") == "AAA", pl.col("date") < day)
    empty = [c for c in PRICES.columns if c.endswith("return_1d")] + ["volume_shares", "turnover_inr"]
    last = own.tail(1).with_columns(
        *(pl.lit(None, PRICES.schema[name]).alias(name) for name in empty), date=pl.lit(day), is_filled=pl.lit(True),
        is_tradable=pl.lit(False), flags=pl.lit("filled|terminal"), terminal_factor=pl.lit(factor),
        terminal_into=pl.lit(into, pl.String),
    )  # fmt: skip
    others = PRICES.filter(pl.col("ticker") != "AAA")
    return pl.concat([others, own, last.select(PRICES.columns)]).sort("date", "ticker")


def sound(result):
    """Everything adds up: the books, and the trips to the change of equity."""
    assert unreconciled(result.daily, result.positions, result.trades, result.costs).is_empty()
    gained = result.trips["pnl_inr"].sum() + result.daily["interest_inr"].sum()
    assert gained == pytest.approx(result.daily["equity_inr"][-1] - 1e7, abs=0.01)
    return result


def row_of(table, **wanted):
    return table.filter(*(pl.col(name) == value for name, value in wanted.items())).row(0, named=True)


def value_before(result, ticker="AAA"):
    return row_of(result.positions, date=LAST, ticker=ticker)["value_inr"]


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.05])
def test_a_cash_out_and_a_write_off_are_returns_and_cost_nothing(factor):
    result = sound(simulate(ended(factor), HALF, BacktestConfig(delisting_haircut=0.3)))
    event, worth = row_of(result.trades, side=DELISTING), value_before(result)
    assert (event["date"], event["ticker"], event["cost_inr"]) == (ENDS, "AAA", 0.0)
    assert event["value_inr"] == pytest.approx(factor * worth)
    assert row_of(result.daily, date=ENDS)["turnover_1d"] == 0.0
    trip = row_of(result.trips, ticker="AAA")
    assert trip["exit_date"] == ENDS
    assert trip["pnl_inr"] == pytest.approx(factor * worth - trip["bought_inr"] * (1 + 20e-4))


def test_shares_of_a_name_that_no_target_names_are_received_at_its_open():
    result = sound(simulate(ended(1.1, "BBB"), HALF, FREE))
    worth, today = value_before(result), row_of(PRICES, date=ENDS, ticker="BBB")
    left, came = row_of(result.trades, side=DELISTING), row_of(result.trades, side=BUY, ticker="BBB")
    assert left["value_inr"] == came["value_inr"] == pytest.approx(1.1 * worth)
    assert (came["decision_date"], came["cost_inr"], came["date"]) == (None, 0.0, ENDS)
    assert came["price_inr"] == pytest.approx(today["open_inr"])
    assert came["shares"] == pytest.approx(1.1 * worth / today["open_inr"])
    held = row_of(result.positions, date=ENDS, ticker="BBB")["value_inr"]
    assert held == pytest.approx(1.1 * worth * (1 + today["intraday_return_1d"]))
    day = row_of(result.daily, date=ENDS)
    assert (day["n_fills"], day["turnover_1d"], day["cost_inr"]) == (0, 0.0, 0.0)
    assert row_of(result.trips, ticker="BBB")["entry_date"] == ENDS


def test_an_order_for_the_name_received_is_one_row_with_it():
    both = pl.concat([HALF, make_targets([(LAST, "one", "BBB", 0.9)])])
    result = sound(simulate(ended(1.0, "BBB"), both, FREE))
    rows = result.trades.filter(pl.col("date") == ENDS, pl.col("ticker") == "BBB")
    assert rows["side"].to_list() == [BUY]
    assert rows["decision_date"].to_list() == [LAST]
    assert rows["value_inr"][0] > value_before(result)
    assert rows["shares"][0] * rows["price_inr"][0] == pytest.approx(rows["value_inr"][0])


def test_what_is_received_and_sold_on_the_same_day_is_a_trip_of_no_close():
    away = pl.concat([HALF, make_targets([(LAST, "one", "CCC", 0.9)])])
    result = sound(simulate(ended(1.0, "BBB"), away, BacktestConfig()))
    sides = result.trades.filter(pl.col("date") == ENDS, pl.col("ticker") == "BBB")["side"].to_list()
    assert sorted(sides) == [BUY, SELL]
    trip = row_of(result.trips, ticker="BBB")
    assert (trip["entry_date"], trip["exit_date"], trip["n_sessions"]) == (ENDS, ENDS, 0)
    assert trip["pnl_inr"] == pytest.approx(-20e-4 * value_before(result))
    again = round_trips(result.trades, result.positions, result.benchmark["date"].to_list())
    assert again.equals(result.trips)


def test_shares_of_a_name_without_prices_are_a_named_problem():
    gone = ended(1.0, "BBB").filter((pl.col("ticker") != "BBB") | (pl.col("date") < ENDS))
    with pytest.raises(DataError, match="holders of AAA receive shares of BBB on 2021-01-25, which has no price"):
        simulate(gone, HALF, FREE)


def absent_from(day):
    return PRICES.filter((pl.col("ticker") != "AAA") | (pl.col("date") < day))


def test_without_terms_the_default_is_sixty_sessions_and_a_haircut_of_thirty_percent():
    config = replace(FREE, delisted_after_sessions=20)
    assert BacktestConfig().delisting_haircut == 0.30
    assert BacktestConfig().delisted_after_sessions == 60
    result = sound(simulate(absent_from(ENDS), HALF, config))
    event = row_of(result.trades, side=DELISTING)
    assert event["date"] == calendar.sessions(ENDS, END)[19]
    assert event["cost_inr"] == pytest.approx(0.3 * event["value_inr"])
    told = {row["level"]: row for row in result.sensitivity.filter(scenario="delisting_haircut").to_dicts()}
    assert told.keys() == {0.0, 1.0}
    for level, row in told.items():
        own = simulate(absent_from(ENDS), HALF, replace(config, delisting_haircut=level)).metrics
        assert row["cagr"] == pytest.approx(row_of(own, strategy="one")["cagr"], rel=1e-12)
    assert told[0.0]["cagr"] > row_of(result.metrics, strategy="one")["cagr"] > told[1.0]["cagr"]


def test_a_suspension_and_an_outage_stop_the_clock():
    config = replace(FREE, delisted_after_sessions=10)
    suspended = absent_from(ENDS).with_columns(
        flags=pl.when(pl.col("ticker") == "AAA", pl.col("date") == LAST).then(pl.lit("suspended")).otherwise("flags")
    )
    assert simulate(suspended, HALF, config).trades.filter(side=DELISTING).is_empty()
    back = PRICES.filter((pl.col("ticker") != "AAA") | (pl.col("date") < ENDS) | (pl.col("date") == date(2021, 2, 15)))
    resumed = back.with_columns(
        flags=pl.when(pl.col("ticker") == "AAA", pl.col("date") == LAST).then(pl.lit("suspended")).otherwise("flags")
    )
    event = row_of(simulate(resumed, HALF, config).trades, side=DELISTING)
    assert event["date"] == calendar.sessions(date(2021, 2, 16), END)[9]  # the tenth after it traded once more
    stocks = pl.col("instrument") == "equity"
    lost = absent_from(ENDS).filter(~(stocks & (pl.col("date") == date(2021, 2, 1))))
    assert row_of(simulate(lost, HALF, config).trades, side=DELISTING)["date"] == calendar.sessions(ENDS, END)[10]


def test_an_outage_is_a_session_with_fewer_than_half_of_the_usual_stocks_for_five_in_a_row_at_most():
    stocks, ticker, day = pl.col("instrument") == "equity", pl.col("ticker"), pl.col("date")

    def lost(table, days, names):
        return table.filter(~(stocks & ticker.is_in(names) & day.is_in(days)))

    def found(table):
        return [d for d, is_out in zip(DAYS, outages(table, DAYS), strict=True) if is_out]

    three, two = ["AAA", "BBB", "CCC"], ["AAA", "BBB"]
    assert found(PRICES) == []
    assert found(lost(PRICES, DAYS[9:11], [*three, "DDD"])) == DAYS[9:11]
    assert found(lost(PRICES, DAYS[9:11], three)) == DAYS[9:11]
    assert found(lost(PRICES, DAYS[9:11], two)) == []
    assert found(lost(PRICES, DAYS[9:], three)) == DAYS[9:14]
    assert found(lost(PRICES, DAYS[9:30], [*three, "DDD"])) == DAYS[9:30]
    carried = PRICES.with_columns(is_filled=stocks & (day == DAYS[9]))
    assert found(carried) == [DAYS[9]]
    assert found(PRICES.filter(~stocks)) == []
    before = outages(lost(PRICES, DAYS[9:11], three), DAYS[9:])  # judged by the rows before the first day
    assert before.tolist()[:3] == [True, True, False]


def test_orders_of_an_outage_are_filled_in_the_next_session_whatever_carry_over_says():
    stocks, day = pl.col("instrument") == "equity", calendar.next_session(D1)
    lost = PRICES.filter(~(stocks & (pl.col("date") == day)))
    for carry in (False, True):
        trades = simulate(lost, HALF, replace(FREE, carry_over=carry)).trades
        assert trades["date"].unique().to_list() == [calendar.next_session(day)]
    halt = PRICES.filter(~((pl.col("ticker") == "AAA") & (pl.col("date") == day)))
    assert simulate(halt, HALF, FREE).trades["ticker"].to_list() == ["CCC"]  # one name's order lapses


def test_a_kept_name_that_never_trades_in_the_test_is_no_error_and_a_wanted_one_is() -> None:
    prices = make_prices()
    day = D1
    rows = [(day, "one", "AAA", 0.5), (day, "one", "GONE", None)]
    kept = simulate(prices, make_targets(rows), FREE)
    assert kept.daily.equals(simulate(prices, make_targets(rows[:1]), FREE).daily)
    with pytest.raises(DataError, match="GONE"):
        simulate(prices, make_targets([(day, "one", "AAA", 0.5), (day, "one", "GONE", 0.1)]), FREE)
