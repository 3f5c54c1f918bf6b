"""The environment: the backtest's account to the last bit, the rules of Gymnasium and stable-baselines3, windows."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_stages import ledger_of, plain_stage, wild_stage
from stable_baselines3.common.env_checker import check_env as check_for_sb3

from quant_core.allocation.learning.env_config import MODES, EnvConfig
from quant_core.allocation.learning.environment import PortfolioEnv
from quant_core.trading.rules import Rules

SEEDS = st.integers(0, 2**32 - 1)
RULES = (
    Rules(), Rules(delay_sessions=3, carry_over=True), Rules(dividends="cash", trade_threshold=0.05),
    Rules(whole_shares=True, max_participation=0.1), Rules(fill="close", no_trade_band=0.01, delisting_haircut=1.0),
)  # fmt: skip


def walked(env, actions, start=0):
    """Infos of an episode from decision `start` to the end."""
    env.reset(seed=0, options={"start": start})
    infos = []
    for action in actions:
        *_, terminated, truncated, info = env.step(action)
        infos.append(info)
        if terminated or truncated:
            return infos
    return infos


def random_actions(env, seed, n=200):
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (n, *env.action_space.shape)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(RULES), st.sampled_from(MODES), st.booleans())
def test_an_episode_is_the_backtest_of_its_weights_to_the_last_bit(seed, rules, mode, late):
    stage = wild_stage(seed, rules=rules)
    start = stage.n_made // 2 if late else 0
    env = PortfolioEnv(stage, EnvConfig(mode=mode, episode_decisions=0, reward="log_return"))
    infos = walked(env, random_actions(env, seed), start)
    book = ledger_of(stage, [info["weights"] for info in infos], start)
    opening, rows = int(stage.decisions[start]), stage.decisions[start : start + len(infos)]
    closes = np.append(stage.decisions, len(stage.sessions) - 1)[start + 1 : start + 1 + len(infos)]
    closes = np.where(closes > rows, closes, len(stage.sessions) - 1)
    np.testing.assert_array_equal([info["equity"] for info in infos], book.equity[closes - opening])
    for k, (first, last) in enumerate(zip(rows - opening, closes - opening, strict=True)):
        assert infos[k]["cost"] == pytest.approx(book.cost[first + 1 : last + 1].sum(), rel=1e-12)
        assert infos[k]["turnover"] == pytest.approx(book.turnover[first + 1 : last + 1].sum(), rel=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_both_checkers_pass(mode):
    env = PortfolioEnv(wild_stage(3, sessions=100, every=1), EnvConfig(mode=mode, episode_decisions=20))
    check_env(env, skip_render_check=True)
    check_for_sb3(env)
    assert plain_stage(np.zeros((4, 2))).n_made == 3
