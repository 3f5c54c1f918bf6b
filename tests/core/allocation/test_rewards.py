"""What is rewarded: numbers by hand, the slope of the Sharpe ratio, costs once."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from learning_stages import NAN, ledger_of, plain_stage, wild_stage

from quant_core.allocation.learning import reward as reward_module
from quant_core.allocation.learning.env_config import EnvConfig
from quant_core.allocation.learning.environment import PortfolioEnv
from quant_core.allocation.learning.reward import MEMORY, PARAMETERS, REWARDS
from quant_core.errors import DataError, UnknownName


def rewards(name, simple, **settings):
    """Of an episode that earns these simple returns beyond cash."""
    kernel, given = REWARDS[name].kernel, REWARDS[name].parameters(EnvConfig(**settings))
    memory, parameters = np.zeros(MEMORY), np.zeros(PARAMETERS)
    parameters[: len(given)] = given
    pointers = [array.ctypes.data_as(kernel.ctypes.argtypes[2]) for array in (memory, parameters)]
    return np.array([kernel.ctypes(r, np.log1p(r), *pointers) for r in simple])


def played(stage, actions=None, **settings):
    env = PortfolioEnv(stage, EnvConfig(**({"max_position": 1.0, "episode_decisions": 0} | settings)))
    env.reset(options={"start": 0})
    total, infos = [], []
    for k in range(stage.n_made):
        action = np.zeros(env.action_space.shape) if actions is None else actions[k]
        _, one, terminated, _, info = env.step(action)
        total.append(one)
        infos.append(info)
        if terminated:
            break
    return np.array(total), infos


def test_the_differential_sharpe_ratio_by_hand():
    """Two steps of warm-up with returns 1 % and 3 %: A = 0.02, B = 0.0005. Then 4 %, with a decay of a tenth."""
    told = rewards("differential_sharpe", [0.01, 0.03, 0.04, 0.0], sharpe_warm_up=2, sharpe_decay=0.1)
    third = (0.0005 * 0.02 - 0.5 * 0.02 * (0.0016 - 0.0005)) / (0.0005 - 0.0004) ** 1.5
    mean, square = 0.02 + 0.1 * 0.02, 0.0005 + 0.1 * 0.0011
    fourth = (square * -mean + 0.5 * mean * square) / (square - mean**2) ** 1.5
    np.testing.assert_allclose(told, [0.0, 0.0, third, fourth], rtol=1e-12)


def test_it_is_the_slope_of_the_sharpe_ratio_in_the_decay():
    """S(eta) = A / sqrt(B - A^2) of moments that have moved by eta towards the new return."""
    past, new, eta = np.random.default_rng(0).normal(0.01, 0.02, 50), 0.03, 1e-6
    mean, square = past.mean(), (past**2).mean()

    def sharpe(step):
        a, b = mean + step * (new - mean), square + step * (new**2 - square)
        return a / np.sqrt(b - a**2)

    slope = (sharpe(eta) - sharpe(-eta)) / (2.0 * eta)
    told = rewards("differential_sharpe", [*past, new], sharpe_warm_up=50)[-1]
    assert told == pytest.approx(slope, rel=1e-6)


def test_a_return_without_spread_is_not_worth_infinitely_much():
    """B = r^2 and variance 0, which counts as a hundredth of B: D = (B dA - A dB / 2) / (B / 100)^1.5."""
    told = rewards("differential_sharpe", [0.01, 0.01, 0.02, 0.0], sharpe_warm_up=2, sharpe_decay=1e-9)
    expected = (1e-4 * 0.01 - 0.5 * 0.01 * (4e-4 - 1e-4)) / (1e-6) ** 1.5
    assert told[2] == pytest.approx(expected, rel=1e-6)
    assert rewards("differential_sharpe", [0.0, 0.0, 0.02], sharpe_warm_up=2).tolist() == [0.0, 0.0, 0.0]


def test_mean_variance_and_log_return_by_hand():
    np.testing.assert_allclose(rewards("mean_variance", [0.02, -0.1], risk_aversion=4.0), [0.0192, -0.12])
    np.testing.assert_allclose(rewards("log_return", [0.02, -0.1]), np.log([1.02, 0.9]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
@example(464)  # two sessions end with one equity, while cash grows
def test_log_returns_sum_to_the_growth_beyond_cash_with_costs_once(seed):
    stage = wild_stage(seed)
    actions = np.random.default_rng(seed).uniform(-1.0, 1.0, (stage.n_made, 7))
    told, infos = played(stage, actions, reward="log_return")
    book = ledger_of(stage, [info["weights"] for info in infos])
    opening = int(stage.decisions[0])
    last = int(np.append(stage.decisions, len(stage.sessions) - 1)[len(infos)]) - opening
    assert book.equity[last] == infos[-1]["equity"]
    cash = np.log1p(stage.market.cash_return_1d[opening + 1 : opening + last + 1]).sum()
    assert told.sum() == pytest.approx(np.log(book.equity[last] / stage.capital_inr) - cash, abs=1e-9)
    assert book.cost.sum() > 0.0


def test_a_drawdown_costs_as_it_deepens_and_nothing_else():
    """Down a tenth, up, down to the same depth, then to a fifth: 0.1, 0, what was regained, the rest."""
    closes = np.array([1.0, 1.0, 0.9, 0.95, 0.9, 0.8, 1.0])
    returns = np.append(0.0, closes[1:] / closes[:-1] - 1.0)[:, None]
    plain, _ = played(plain_stage(returns), reward="log_return")
    told, _ = played(plain_stage(returns), reward="log_return", lambda_drawdown=2.0)
    np.testing.assert_allclose(plain - told, [0.0, 0.2, 0.0, 0.1, 0.2, 0.0], atol=1e-12)


def test_turnover_costs_beyond_the_budget_only():
    """One name bought and sold in turn: 1 opens the book, each session allows 0.25, each trade takes 1."""
    stage = plain_stage(np.zeros((6, 1)))
    actions = [[0, -1], [0, 1], [0, -1], [0, -1], [0, -1]]
    plain, _ = played(stage, actions, reward="log_return")
    told, infos = played(stage, actions, reward="log_return", lambda_turnover=10.0, turnover_budget=63.0)
    assert [info["turnover"] for info in infos] == [1.0, 1.0, 1.0, 0.0, 0.0]
    # spent 1, 2, 3, 3, 3 of 1.25, 1.5, 1.75, 2, 2.25: only what is new beyond the budget is charged
    np.testing.assert_allclose(plain - told, [0.0, 5.0, 10.0, 0.0, 0.0])


def test_a_total_loss_has_a_reward_that_is_a_number():
    stage = plain_stage([[0.0], [0.1], [-0.99999], [0.0]])
    told, _ = played(stage, reward="log_return")
    assert len(told) == 2
    assert np.isfinite(told).all()


def test_a_reward_that_is_no_number_says_where_it_came_from(monkeypatch):
    numba = pytest.importorskip("numba")

    @numba.cfunc(reward_module.SIGNATURE)
    def broken(excess_simple, excess_log, memory, parameters):
        return np.nan

    monkeypatch.setitem(REWARDS._entries, "log_return", reward_module.Reward(broken, lambda config: ()))
    message = "environment 2015-01-02: reward 'log_return' of episode 0 is nan after a return of 0.5 and a cost of 0.0"
    with pytest.raises(DataError, match=message):
        played(plain_stage([[0.0], [0.5], [0.0]]), reward="log_return")


def test_every_reward_is_in_its_own_file_and_others_are_unknown():
    assert list(REWARDS) == ["differential_sharpe", "log_return", "mean_variance"]
    with pytest.raises(UnknownName, match="reward 'sharpe' is unknown; known: differential_sharpe, log_return"):
        PortfolioEnv(plain_stage(np.zeros((3, 1))), EnvConfig(reward="sharpe"))
    with pytest.raises(DataError, match="sharpe_decay is nan"):
        EnvConfig(sharpe_decay=NAN)
