"""A learning environment against the backtest of the same weights, from one set of clean prices."""

import numpy as np
import polars as pl
import pytest
from stage_cases import make_prices

from quant_core.allocation.learning.env_config import EnvConfig
from quant_core.allocation.learning.environment import PortfolioEnv
from quant_core.allocation.learning.stage import Stage
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.simulate import simulate
from quant_core.trading.panel import market_panel
from quant_core.trading.rebalancing import rebalance_dates

TICKERS = ("AAA", "BBB", "CCC")
START, END = make_prices()["date"].min(), make_prices()["date"].max()


def stage_of(prices, decided, config):
    panel = market_panel(prices, pl.Series(sorted(TICKERS)), decided[0], config)
    rows = np.array([panel.sessions.index(day) for day in decided])
    return Stage(
        sessions=panel.sessions, tickers=sorted(TICKERS), market=panel.market,
        costs=config.cost_schedule(panel.sessions), rules=config.rules, capital_inr=config.initial_capital_inr,
        decisions=rows, eligible=np.ones((len(rows), 3), bool), asset_inputs=np.zeros((len(rows), 3, 0)),
        asset_names=(), market_inputs=np.zeros((len(rows), 0)), market_names=(),
    )  # fmt: skip


@pytest.mark.parametrize("every", ["weekly", "monthly", "daily"])
@pytest.mark.parametrize("action", [(0.0, 0.0, 0.0, 0.0), (0.3, -0.2, 0.5, 0.25)])
def test_a_constant_action_earns_what_the_backtest_of_its_weights_earns(every, action):
    """Under the dated NSE charges, with impact, dividends in cash and the repo rate."""
    config = BacktestConfig(cost_model="nse_delivery", impact_coefficient=0.5)
    prices = make_prices(TICKERS)
    decided = rebalance_dates(START, END, every)
    stage = stage_of(prices, decided, config)
    env = PortfolioEnv(stage, EnvConfig(max_position=1.0, episode_decisions=0))
    env.reset(options={"start": 0})
    steps = [env.step(np.float32(action))[4] for _ in range(stage.n_made)]
    targets = pl.DataFrame(
        [
            {"date": day, "strategy": "one", "ticker": ticker, "weight": float(weight)}
            for day, step in zip(decided, steps, strict=False)
            for ticker, weight in zip(stage.tickers, step["weights"], strict=True)
        ]
    )
    daily = simulate(prices, targets, config).daily
    closes = np.append(stage.decisions, len(stage.sessions) - 1)[1 : stage.n_made + 1]
    equity = daily["equity_inr"].to_numpy()[closes]
    np.testing.assert_allclose([step["equity"] for step in steps], equity, rtol=1e-9)
    assert sum(step["cost"] for step in steps) == pytest.approx(daily["cost_inr"][: closes[-1] + 1].sum(), rel=1e-9)
    assert sum(step["cost"] for step in steps) > 0.0
