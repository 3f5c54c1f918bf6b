"""What a backtest and an environment share: every setting once, in one order."""

from dataclasses import fields

import pytest

from quant_core.backtest.config import BacktestConfig
from quant_core.errors import DataError
from quant_core.trading.account_config import AccountConfig
from quant_core.trading.rules import Rules

ORDER = (
    "initial_capital_inr", "cost_model", "commission_bps", "slippage_bps", "spread_bps", "impact_coefficient", "fill",
    "delay_sessions", "dividends", "no_trade_band", "trade_threshold", "max_participation", "carry_over",
    "whole_shares", "max_position", "min_position", "delisting_haircut", "delisted_after_sessions", "price_band",
    "risk_free_rate_ann",
)  # fmt: skip


def test_settings_are_shown_with_money_and_costs_first_and_a_backtests_own_last():
    assert tuple(f.name for f in fields(AccountConfig)) == ORDER
    own = tuple(f.name for f in fields(BacktestConfig))
    assert own[: len(ORDER)] == ORDER
    last = ("capital_levels_inr", "until", "index_ticker", "total_return_index_ticker", "regime_method")
    assert own[len(ORDER) :] == last


def test_an_account_pays_dividends_out_and_expects_shumways_loss_where_a_bare_ledger_does_neither():
    config = AccountConfig()
    assert (config.dividends, config.delisting_haircut) == ("cash", 0.30)
    changed = {f.name for f in fields(Rules) if getattr(config, f.name) != getattr(Rules(), f.name)}
    assert changed == {"dividends", "delisting_haircut"}
    assert type(config.rules) is Rules


@pytest.mark.parametrize("bad", [{"fill": "noon"}, {"cost_model": "free"}, {"price_band": -0.1}, {"spread_bps": -1.0}])
def test_money_costs_and_rules_are_checked_together(bad):
    with pytest.raises(DataError, match=next(iter(bad))):
        AccountConfig(**bad)
