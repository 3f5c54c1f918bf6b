"""The same decisions under more cost, more delay and more money."""

from dataclasses import replace

import polars as pl
import pytest
from stage_cases import END, WEEKS, make_prices, make_targets

from quant_core import calendar
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.sensitivity import CAPACITY_IMPACT, CAPACITY_PARTICIPATION, scenarios
from quant_core.backtest.simulate import simulate

PRICES = make_prices()
TURNING = make_targets([(day, "turning", "AAA" if k % 2 else "BBB", 1.0) for k, day in enumerate(WEEKS)])
MEASURES = ("cagr", "sharpe_ann", "max_drawdown", "turnover_ann", "cost_ann", "exposure")
NSE = BacktestConfig(cost_model="nse_delivery", commission_bps=2.0, impact_coefficient=0.5, delay_sessions=2)


def costs_of(config):
    return config.cost_schedule(calendar.sessions(WEEKS[0], END))


def row(table, scenario, level):
    return table.filter((pl.col("scenario") == scenario) & (pl.col("level") == level)).row(0, named=True)


def test_every_strategy_has_every_scenario():
    targets = pl.concat([TURNING, TURNING.with_columns(strategy=pl.lit("again"))]).sort("date", "strategy", "ticker")
    config = BacktestConfig(capital_levels_inr=(1e6, 1e9))
    table = simulate(PRICES, targets, config).sensitivity
    wanted = [("capital_inr", 1e6), ("capital_inr", 1e9)]
    wanted += [("cost_multiple", k) for k in (1.0, 2.0, 3.0)] + [("delisting_haircut", k) for k in (0.0, 1.0)]
    wanted += [("extra_delay_sessions", k) for k in (0.0, 1.0, 2.0)]
    for name in ("again", "turning"):
        own = table.filter(pl.col("strategy") == name)
        assert list(own.select("scenario", "level").iter_rows()) == wanted


@pytest.mark.parametrize("config", [BacktestConfig(), NSE], ids=["flat", "nse"])
def test_the_base_case_and_each_delay_are_what_a_backtest_of_their_own_gives(config):
    base = simulate(PRICES, TURNING, config)
    for extra in (0, 1, 2):
        own = simulate(PRICES, TURNING, replace(config, delay_sessions=config.delay_sessions + extra))
        direct = own.metrics.filter(pl.col("strategy") == "turning").row(0, named=True)
        for measure in MEASURES:
            expected = pytest.approx(direct[measure], rel=1e-12)
            assert row(base.sensitivity, "extra_delay_sessions", extra)[measure] == expected
            if extra == 0:
                assert row(base.sensitivity, "cost_multiple", 1.0)[measure] == expected


def test_twice_the_cost_is_twice_every_part_of_it():
    _, (_, level, doubled, rules, capital), *_ = scenarios(plain := costs_of(NSE), NSE)
    assert (level, rules, capital) == (2.0, NSE.rules, NSE.initial_capital_inr)
    assert (doubled.buy_rate == 2.0 * plain.buy_rate).all()
    assert (doubled.sell_rate == 2.0 * plain.sell_rate).all()
    assert (doubled.per_sale_inr == 2.0 * plain.per_sale_inr).all()
    assert doubled.impact_coefficient == 2.0 * plain.impact_coefficient == 1.0


def falls(values):
    return (values.diff().drop_nulls() < 0.0).all()


def test_each_multiple_of_the_cost_costs_more_and_leaves_less():
    table = simulate(PRICES, TURNING, NSE).sensitivity.filter(pl.col("scenario") == "cost_multiple").sort("level")
    assert falls(-table["cost_ann"])
    assert falls(table["cagr"])
    assert table["cost_ann"][1] == pytest.approx(2.0 * table["cost_ann"][0], rel=0.1)


def test_more_money_moves_prices_more():
    config = BacktestConfig(capital_levels_inr=(1e3, 1e4, 1e5))
    table = simulate(PRICES, TURNING, config).sensitivity
    curve = table.filter(pl.col("scenario") == "capital_inr").sort("level")
    assert falls(-curve["cost_ann"])
    assert falls(curve["cagr"])
    impact = curve["cost_ann"] - row(table, "cost_multiple", 1.0)["cost_ann"]  # the backtest itself charges none
    assert impact[1] / impact[0] == pytest.approx(10**0.5, rel=0.05)  # the square-root law


def test_money_that_finds_no_other_side_stays_in_cash():
    config = BacktestConfig(capital_levels_inr=(1e4, 1e6, 1e7, 1e8))
    curve = simulate(PRICES, TURNING, config).sensitivity.filter(pl.col("scenario") == "capital_inr").sort("level")
    assert curve["exposure"][0] == pytest.approx(1.0)
    assert falls(curve["exposure"])
    assert curve["exposure"][-1] < 0.05


@pytest.mark.parametrize(("own", "expected"), [(0.0, CAPACITY_PARTICIPATION), (0.02, 0.02), (0.5, 0.1)])
def test_the_capacity_curve_trades_a_share_of_a_day_and_waits(own, expected):
    config = BacktestConfig(max_participation=own, capital_levels_inr=(1e8,))
    *_, (_, _, _, rules, _), _, _ = scenarios(costs_of(config), config)
    assert (rules.max_participation, rules.carry_over) == (expected, True)


@pytest.mark.parametrize(("own", "expected"), [(0.0, CAPACITY_IMPACT), (0.5, CAPACITY_IMPACT), (2.0, 2.0)])
def test_the_capacity_curve_charges_impact_even_where_the_backtest_does_not(own, expected):
    config = BacktestConfig(impact_coefficient=own, capital_levels_inr=(1e8,))
    *_, (scenario, level, costs, _, capital), _, _ = scenarios(costs_of(config), config)
    assert (scenario, level, capital) == ("capital_inr", 1e8, 1e8)
    assert costs.impact_coefficient == expected


def test_a_strategy_that_begins_on_the_last_session_has_scenarios_without_measures():
    last = calendar.sessions(WEEKS[0], WEEKS[4])[-1]
    short = PRICES.filter(pl.col("date") <= last)
    late = make_targets(
        [(WEEKS[0], "early", "AAA", 1.0), (WEEKS[4], "early", "AAA", 1.0), (WEEKS[4], "late", "AAA", 1.0)]
    )
    table = simulate(short, late, BacktestConfig()).sensitivity
    assert table.filter(pl.col("strategy") == "late").select(MEASURES).null_count().row(0) == (14,) * 6
    assert table.filter(pl.col("strategy") == "early")["cagr"].null_count() == 0


def test_a_backtest_without_the_stress_is_the_same_but_for_it():
    whole, plain = simulate(PRICES, TURNING, NSE), simulate(PRICES, TURNING, NSE, stress=False)
    assert plain.sensitivity.is_empty()
    assert plain.stressed.is_empty()
    assert plain.metrics.equals(whole.metrics)


def test_the_stressed_returns_are_a_backtest_of_their_own_at_twice_the_costs():
    plain = BacktestConfig(commission_bps=10.0, slippage_bps=5.0, spread_bps=4.0)
    own = simulate(
        PRICES, TURNING, replace(plain, commission_bps=20.0, slippage_bps=10.0, spread_bps=8.0), stress=False
    ).daily
    stressed = simulate(PRICES, TURNING, plain).stressed
    assert stressed["date"].equals(own["date"])
    assert stressed["simple_return_1d"].to_list() == pytest.approx(own["simple_return_1d"].to_list(), abs=1e-14)
