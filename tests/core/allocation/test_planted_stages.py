"""What is planted in simulated stages is there: the oracle earns it after costs, and equal weight does not."""

import numpy as np
import pytest

from quant_core.allocation.learning.env_config import EnvConfig
from quant_core.allocation.learning.environment import PortfolioEnv
from quant_core.allocation.learning.planted import KINDS, planted_stage, split
from quant_core.errors import DataError


def played(stage, mode):
    """(Sharpe ratio a year of the steps beyond cash, largest drawdown, turnover a year) of the action that is zero."""
    env = PortfolioEnv(stage, EnvConfig(mode=mode, episode_decisions=0, reward="log_return"))
    env.reset(options={"start": 0})
    rewards, equity, turnover = [], [stage.capital_inr], 0.0
    for _ in range(stage.n_made):
        _, reward, _, _, info = env.step(np.zeros(env.action_space.shape))
        rewards.append(reward)
        equity.append(info["equity"])
        turnover += info["turnover"]
    steps = len(rewards) / (len(stage.sessions) / 252.0)
    drawdown = (1.0 - np.array(equity) / np.maximum.accumulate(equity)).max()
    return np.mean(rewards) / np.std(rewards) * np.sqrt(steps), drawdown, turnover * steps / len(rewards)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_planted_pays_the_oracle_after_costs(seed):
    book, equal = ({kind: played(planted_stage(kind, seed), mode) for kind in KINDS} for mode in ("residual", "direct"))
    assert book["future"][0] > 5.0
    assert book["signal"][0] > equal["signal"][0] + 1.5
    assert book["none"] == equal["none"]
    assert book["crisis"][1] < 0.5 * equal["crisis"][1]
    assert book["none"][2] < 1.0 < book["signal"][2] < 20.0


def test_a_stage_is_a_function_of_its_seed_and_splits_into_windows():
    one, other, third = (planted_stage("signal", seed) for seed in (4, 4, 5))
    for name in ("asset_inputs", "market_inputs", "book"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).shape[0] == len(one.decisions)
    assert (one.asset_inputs != third.asset_inputs).any()
    train, validation, test = split(one)
    assert [len(each.sessions) for each in (train, validation, test)] == [900, 300, 300]
    assert train.sessions[-1] < validation.sessions[0] <= validation.sessions[-1] < test.sessions[0]
    assert sum(len(each.decisions) for each in (train, validation, test)) == len(one.decisions)


def test_only_the_future_is_in_the_observation_of_its_own_kind():
    """The correlation of what is seen with what is earned until the next decision."""

    def foresight(kind):
        stage = planted_stage(kind, 1)
        growth = np.cumsum(np.log1p(stage.market.intraday_return), axis=0)
        earned = np.diff(growth[stage.decisions], axis=0)
        beyond = earned - earned.mean(axis=1, keepdims=True)
        return np.corrcoef(beyond.ravel(), stage.asset_inputs[:-1, :, 0].ravel())[0, 1]

    told = {kind: foresight(kind) for kind in KINDS}
    assert told["future"] > 0.9
    assert 0.15 < told["signal"] < 0.5
    assert max(abs(told["none"]), abs(told["crisis"])) < 0.05


def test_a_stage_that_cannot_be_planted_is_refused():
    with pytest.raises(DataError, match="kind is 'boom'; wanted one of future, signal, none, crisis"):
        planted_stage("boom", 0)
    with pytest.raises(DataError, match="4 names; wanted 5 at least"):
        planted_stage("none", 0, names=4)
