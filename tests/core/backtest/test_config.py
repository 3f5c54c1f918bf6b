"""Settings of a backtest: each reaches the ledger, and those that cannot hold are refused by name."""

from dataclasses import fields, replace
from datetime import date

import numpy as np
import pytest

from quant_core import calendar
from quant_core.backtest.config import BacktestConfig
from quant_core.errors import DataError
from quant_core.trading.costs import FlatCosts, NseDeliveryCosts
from quant_core.trading.ledger import Rules

DAYS = calendar.sessions(date(2021, 1, 1), date(2021, 1, 15))
OTHER = {
    "fill": "vwap", "delay_sessions": 2, "dividends": "reinvest", "no_trade_band": 0.01, "max_participation": 0.1,
    "carry_over": True, "whole_shares": True, "max_position": 0.3, "min_position": 0.02, "delisting_haircut": 0.5,
    "trade_threshold": 0.05,
}  # fmt: skip


def test_every_rule_of_the_ledger_is_a_setting_and_reaches_it():
    assert set(OTHER) == {field.name for field in fields(Rules)}
    config = BacktestConfig(**OTHER)
    for name, value in OTHER.items():
        assert getattr(config.rules, name) == value != getattr(BacktestConfig().rules, name)


def test_flat_costs_are_charged_on_both_sides_and_impact_on_top():
    config = BacktestConfig(commission_bps=10.0, slippage_bps=5.0, spread_bps=2.5, impact_coefficient=0.7)
    schedule = config.cost_schedule(DAYS)
    assert config.costs == FlatCosts(10.0, 5.0, 2.5)
    assert schedule.kinds == ("commission", "slippage", "spread")
    np.testing.assert_allclose(schedule.total_buy_rate, 17.5e-4)
    np.testing.assert_allclose(schedule.total_sell_rate, 17.5e-4)
    assert schedule.impact_coefficient == 0.7


def test_the_exchanges_charges_come_with_the_brokers_commission_and_the_spread_as_slippage():
    config = BacktestConfig(cost_model="nse_delivery", commission_bps=3.0, slippage_bps=5.0, spread_bps=2.0)
    assert config.costs == NseDeliveryCosts(brokerage_bps=3.0, slippage_bps=7.0, impact_coefficient=0.0)
    schedule = config.cost_schedule(DAYS)
    rates = dict(zip(schedule.kinds, schedule.buy_rate[0], strict=True))
    assert rates["brokerage"] == pytest.approx(3e-4)
    assert rates["slippage"] == pytest.approx(7e-4)
    assert rates["stt"] == pytest.approx(10e-4)  # 0.1 % since July 2012
    assert schedule.impact_coefficient == 0.0
    np.testing.assert_allclose(schedule.per_sale_inr, 13.5 * 1.18)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"initial_capital_inr": 0.0}, "capital of 0.0"),
        ({"initial_capital_inr": float("inf")}, "capital of inf"),
        ({"capital_levels_inr": (1e7, -1.0)}, "capital of -1.0"),
        ({"cost_model": "free"}, "cost_model is 'free'"),
        ({"risk_free_rate_ann": 6.0}, "0.06 for 6 %"),
        ({"risk_free_rate_ann": float("nan")}, "0.06 for 6 %"),
        ({"price_band": 1.0}, "price_band 1.0"),
        ({"delisted_after_sessions": -1}, "delisted_after_sessions -1"),
        ({"trade_threshold": 1.1}, "trade_threshold is 1.1"),
        ({"commission_bps": -1.0}, "commission_bps"),
        ({"slippage_bps": 9e3, "spread_bps": 9e3}, "less than 10000"),
        ({"cost_model": "nse_delivery", "commission_bps": -1.0}, "commission_bps"),
        ({"fill": "noon"}, "fill is 'noon'"),
        ({"delay_sessions": 0}, "delay_sessions is 0"),
        ({"min_position": 0.5, "max_position": 0.4}, "min_position 0.5"),
    ],
)
def test_settings_that_cannot_hold_are_refused_by_name(bad, message):
    with pytest.raises(DataError, match=message):
        BacktestConfig(**bad)


def test_a_changed_copy_is_checked_too():
    with pytest.raises(DataError, match="fill is 'noon'"):
        replace(BacktestConfig(), fill="noon")
