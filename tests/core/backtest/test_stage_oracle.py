"""The whole stage against a plain day loop that reads the price rows itself, and the laws that every backtest keeps."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from stage_cases import NIFTY, wild_case

from quant_core import calendar
from quant_core.backtest.simulate import simulate
from quant_core.causality import assert_causal
from quant_core.errors import LookaheadError
from quant_core.schema import CASH
from quant_core.trading import grid
from quant_core.trading.risk_free import cash_return_1d

pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 2**32 - 1)
KEYS = {
    "daily": ("date", "strategy"),
    "positions": ("date", "strategy", "ticker"),
    "trades": ("date", "strategy", "ticker", "side"),
    "costs": ("date", "strategy", "kind"),
    "benchmark": ("date",),
}
#: Everything that looks at the past of a name: averages, volatility, absence.
DEEP = {
    "fill": "vwap", "max_participation": 0.02, "carry_over": True, "whole_shares": True, "impact_coefficient": 1.0,
    "cost_model": "nse_delivery", "delay_sessions": 2, "price_band": 0.02, "initial_capital_inr": 1e6,
}  # fmt: skip


def naive_book(case):
    """(equity, cash, fills, unfilled, cost) a session for fills at the open and flat costs, one name at a time."""
    config, rate = case.config, 20e-4
    rows = {(row["date"], row["ticker"]): row for row in case.prices.to_dicts()}
    first, priced = case.targets["date"][0], {day for day, _ in rows}
    decided, waiting, usual, run = set(case.targets["date"]), None, 0, 0
    days = calendar.sessions(min(priced), max(priced))
    interest = dict(zip(days, cash_return_1d(days), strict=True))
    cash, value, absent, close, out = config.initial_capital_inr, {}, {}, {}, []
    for before, day in zip([None, *days], days, strict=False):
        fresh = {name: row for (d, name), row in rows.items() if d == day and not row["is_filled"]}
        stocks = len([name for name in fresh if name != NIFTY])
        outage = usual > 1 and (stocks == 0 or (stocks < usual / 2 and run < 5))
        usual, run = (usual, run + 1) if outage else (stocks, 0)
        absent = {name: n + (not outage) for name, n in absent.items()} | dict.fromkeys(fresh, 0)
        waiting = before if before in decided else waiting
        fills = unfilled = cost = 0.0
        if day > first:
            cash *= 1 + interest[day]
            for name, row in fresh.items():
                cash += value.get(name, 0.0) * row["dividend_return_1d"]
            received = {}
            ends = {n: rows[day, n] for n in value if rows.get((day, n), {}).get("terminal_factor") is not None}
            for name, row in sorted(ends.items(), key=lambda item: item[1]["terminal_into"] is None):
                paid = value.pop(name) * row["terminal_factor"] + received.pop(name, 0.0) * row["terminal_factor"]
                if row["terminal_into"] is None:
                    cash += paid
                else:
                    received[row["terminal_into"]] = received.get(row["terminal_into"], 0.0) + paid
            for name in [n for n in value if absent[n] == config.delisted_after_sessions and not outage]:
                cost += value[name] * config.delisting_haircut if value[name] else 0.0
                cash += value.pop(name) * (1 - config.delisting_haircut)
            for name in value:
                row = rows.get((day, name))
                if row:
                    value[name] *= 1 + row["overnight_return_1d"] - row["dividend_return_1d"]
            for name, paid in received.items():
                value[name] = value.get(name, 0.0) + paid
            if waiting and not outage:
                wanted = dict(case.targets.filter(pl.col("date") == waiting).select("ticker", "weight").iter_rows())
                waiting = None
                kept = {name for name, weight in wanted.items() if weight is None}
                wanted = {n: w for n, w in wanted.items() if n not in kept and n != CASH}
                equity = cash + sum(value.values())
                room, asked = equity - sum(value.get(n, 0.0) for n in kept), sum(wanted.values()) * equity
                wanted = {n: w * min(1.0, room / asked) for n, w in wanted.items()} if room < equity else wanted
                orders = {n: wanted.get(n, 0.0) * equity - value.get(n, 0.0) for n in {*wanted, *value} - kept}
                orders = {n: x for n, x in orders.items() if abs(x) > 1e-12 * equity}
                done = {n: x for n, x in orders.items() if is_open(fresh.get(n), x > 0, close.get(n))}
                unfilled = len(orders) - len(done)
                cash -= sum(x for x in done.values() if x < 0) * (1 - rate)
                bill = sum(x for x in done.values() if x > 0) * (1 + rate)
                share = min(1.0, cash / bill) if bill else 1.0
                for name, order in done.items():
                    size = order * share if order > 0 else order
                    cash -= size * (1 + rate) if size > 0 else 0.0
                    value[name] = value.get(name, 0.0) + size
                    cost += abs(size) * rate
                cash = 0.0 if share < 1.0 else cash  # not what rounding leaves of it
                fills = len([x for x in done.values() if x < 0 or share > 0])
            for name in value:
                row = rows.get((day, name))
                if row:
                    value[name] *= 1 + row["intraday_return_1d"]
        if day >= first:
            out.append((cash + sum(value.values()), cash, fills, unfilled, cost))
        close |= {name: row["close_inr"] for name, row in fresh.items()}
    return np.array(out)


def is_open(row, is_purchase, close_before):
    """Whether an order goes through in a session, from its own row and the close before."""
    if row is None or row["ticker"] == NIFTY:
        return row is not None
    one_price = row["high_inr"] == row["low_inr"] and close_before is not None
    move = row["open_inr"] / close_before - 1.0 if one_price else 0.0
    locked = move > 1e-12 if is_purchase else move < -1e-12
    return row["is_tradable"] and not locked and (row["is_member"] or not is_purchase)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
@example(4719)  # an account that comes to be worth nothing
def test_the_stage_equals_a_plain_loop_over_the_price_rows(seed):
    case = wild_case(seed, rebalance="daily" if seed % 2 else "weekly")
    daily = simulate(*case).daily
    found = daily.select("equity_inr", "cash_inr", "n_fills", "n_unfilled", "cost_inr").to_numpy()
    np.testing.assert_allclose(found, naive_book(case), rtol=1e-9, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
@example(3723)  # a name received for another on the day on which it is delisted itself
def test_trades_costs_positions_and_trips_add_up_to_the_daily_books(seed):
    rng = np.random.default_rng(seed)
    drawn = {"dividends": str(rng.choice(["cash", "reinvest"])), "fill": str(rng.choice(["open", "close", "vwap"]))}
    case = wild_case(seed, **(DEEP if seed % 3 == 0 else {}) | drawn)
    result = simulate(*case)
    daily = result.daily
    cash = daily["cash_inr"].to_numpy()
    into_cash = {"buy": -1.0, "sell": 1.0, "delisting": 1.0, "dividend": 1.0}
    for t, (day, equity, own_cash, cost) in enumerate(
        daily.select("date", "equity_inr", "cash_inr", "cost_inr").iter_rows()
    ):
        held = result.positions.filter(pl.col("date") == day)
        trades = result.trades.filter(pl.col("date") == day)
        assert held["value_inr"].sum() + own_cash == pytest.approx(equity, abs=0.005)
        assert len(held) == daily["n_holdings"][t]
        assert trades["cost_inr"].sum() == pytest.approx(cost, abs=1e-4)
        assert result.costs.filter(pl.col("date") == day)["cost_inr"].sum() == pytest.approx(cost, abs=1e-4)
        assert trades["decision_date"].count() == daily["n_fills"][t]
        moved = sum(
            into_cash[side] * value - c for side, value, c in trades.select("side", "value_inr", "cost_inr").rows()
        )
        if t:
            assert cash[t] == pytest.approx(cash[t - 1] + daily["interest_inr"][t] + moved, abs=0.005)
    assert (cash >= 0.0).all()
    gained = result.trips["pnl_inr"].sum() + daily["interest_inr"].sum()
    assert gained == pytest.approx(daily["equity_inr"][-1] - case.config.initial_capital_inr, abs=0.05)
    orders = result.trades.filter(pl.col("decision_date").is_not_null())
    assert (orders["decision_date"] < orders["date"]).all()
    np.testing.assert_allclose(orders["shares"] * orders["price_inr"], orders["value_inr"], rtol=1e-9)


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_the_order_of_rows_of_prices_and_targets_changes_nothing(seed):
    case = wild_case(seed)
    shuffled = (
        case.prices.sample(fraction=1.0, shuffle=True, seed=1),
        case.targets.sample(fraction=1.0, shuffle=True, seed=2),
    )
    again, result = simulate(*shuffled, case.config), simulate(*case)
    for table in (*KEYS, "trips", "metrics", "sensitivity"):
        assert_frame_equal(getattr(again, table), getattr(result, table), check_exact=True)


def stage(case, table):
    """The stage as a step from prices to one of its tables; targets end with the prices."""

    def step(prices):
        return getattr(
            simulate(prices, case.targets.filter(pl.col("date") <= prices["date"].max()), case.config), table
        )

    return step


@pytest.mark.parametrize("table", KEYS)
@pytest.mark.parametrize("settings_", [{}, DEEP], ids=["plain", "deep"])
def test_no_table_of_a_day_knows_what_prices_did_after_it(table, settings_):
    for seed in range(4):
        case = wild_case(seed, **settings_)
        cut = calendar.sessions(case.prices["date"].min(), case.prices["date"].max())[20]
        assert_causal(stage(case, table), case.prices, cut, keys=KEYS[table])


def test_a_row_that_is_moved_by_a_session_is_caught_in_the_books():
    case = wild_case(3)
    tomorrow = pl.col("intraday_return_1d").shift(-1).over("ticker", order_by="date").fill_null(0.0)

    def leak(prices):
        return stage(case, "daily")(prices.with_columns(tomorrow.alias("intraday_return_1d")))

    with pytest.raises(LookaheadError, match=r"inr|return"):
        assert_causal(leak, case.prices, case.prices["date"].unique().sort()[20], keys=KEYS["daily"])


def test_an_average_that_reaches_ahead_is_caught_in_the_books(monkeypatch):
    case = wild_case(3, **DEEP)

    def ahead(values):
        total = values.copy()
        total[:-1] += values[1:]
        return total

    monkeypatch.setattr(grid, "_window_sum", ahead)
    days = case.prices["date"].unique().sort()
    caught = 0
    for cut in days[10:20]:  # a fill must fall on the cut to show it
        try:
            assert_causal(stage(case, "trades"), case.prices, cut, keys=KEYS["trades"])
        except LookaheadError:
            caught += 1
    assert caught >= 1


def test_no_fill_exceeds_its_share_of_what_the_name_traded_before():
    for carry_over in (False, True):
        case = wild_case(11, max_participation=0.02, carry_over=carry_over, initial_capital_inr=1e7)
        trades = simulate(*case).trades.filter(pl.col("decision_date").is_not_null() & (pl.col("ticker") != NIFTY))
        assert len(trades) > 8
        for day, name, value in trades.select("date", "ticker", "value_inr").iter_rows():
            days = calendar.sessions(case.prices["date"].min(), day)[-22:-1]
            own = case.prices.filter(pl.col("ticker") == name)
            known = dict(own.select("date", "turnover_inr").iter_rows())
            listed = own["date"].min()
            traded = [known.get(d, 0.0) for d in days if d >= listed]
            assert value <= 0.02 * np.mean(traded) * (1 + 1e-9)
        late = (trades["date"] != trades["decision_date"].map_elements(calendar.next_session, pl.Date)).any()
        assert late == carry_over  # a rest that is carried over is filled later by the same decision


def test_each_fill_is_at_the_days_own_price_whenever_the_strategy_began():
    for fill in ("open", "close"):
        case = wild_case(4, rebalance="daily", fill=fill)
        late = case.targets.filter(pl.col("date") >= case.targets["date"].unique().sort()[8])
        both = pl.concat([case.targets, late.with_columns(strategy=pl.lit("late"))])
        trades = simulate(case.prices, both, case.config).trades.filter(pl.col("decision_date").is_not_null())
        own = trades.join(case.prices, on=["date", "ticker"], how="left")
        np.testing.assert_allclose(own["price_inr"], own[f"{fill}_inr"], rtol=1e-12)
        assert own.filter(pl.col("strategy") == "late").height > 20


def test_whole_shares_are_whole_but_for_a_sale_of_everything():
    case = wild_case(5, whole_shares=True)
    result = simulate(*case)
    bought = result.trades.filter(pl.col("side") == "buy")
    assert len(bought) > 5
    np.testing.assert_allclose(bought["shares"], bought["shares"].round(), rtol=0, atol=1e-6)
    fractional = simulate(case.prices, case.targets, replace(case.config, whole_shares=False)).trades
    assert (fractional["shares"].drop_nulls() % 1.0 > 0.01).any()
