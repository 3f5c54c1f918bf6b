"""The environment: the backtest's account to the last bit, the rules of Gymnasium and stable-baselines3, windows."""

from dataclasses import replace

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_stages import NAN, days, ledger_of, plain_stage, wild_stage
from stable_baselines3.common.env_checker import check_env as check_for_sb3

from quant_core.allocation.learning.env_config import MODES, EnvConfig
from quant_core.allocation.learning.environment import PortfolioEnv
from quant_core.allocation.learning.vector import VectorPortfolioEnv
from quant_core.errors import DataError
from quant_core.trading.market import CLOSED
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


@settings(max_examples=40, deadline=None)
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


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from(MODES), st.sampled_from(RULES))
def test_episodes_side_by_side_are_those_of_single_environments_to_the_last_bit(seed, mode, rules):
    stage, seed = wild_stage(seed, rules=rules), seed % 1000
    config = EnvConfig(mode=mode, episode_decisions=7, lambda_drawdown=0.5, lambda_turnover=0.1, sharpe_warm_up=2)
    many, singles = VectorPortfolioEnv(stage, config, 3, seed), [PortfolioEnv(stage, config) for _ in range(3)]
    seen = many.reset()
    for e, env in enumerate(singles):
        assert_same({k: v[e] for k, v in seen.items()}, env.reset(seed=seed + e)[0])
    rng = np.random.default_rng(seed)
    for _ in range(20):  # beyond the ends of episodes
        actions = rng.uniform(-1.0, 1.0, (3, *many.action_space.shape)).astype(np.float32)
        seen, rewards, dones, infos = many.step(actions)
        for e, env in enumerate(singles):
            own, reward, terminated, truncated, info = env.step(actions[e])
            assert (np.float32(reward), terminated or truncated) == (rewards[e], dones[e])
            np.testing.assert_array_equal(info["weights"], many.last.weights[e])
            assert info["equity"] == many.last.equity[e]
            if dones[e]:
                assert_same(infos[e]["terminal_observation"], own)
                assert infos[e]["TimeLimit.truncated"] == truncated
                own = env.reset()[0]
            assert_same({k: v[e] for k, v in seen.items()}, own)


def assert_same(one, other):
    for name in ("assets", "market", "mask"):
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_two_steps_by_hand():
    """Two names, half each at 1 %; the first doubles. 1,000 rupees buy 500 + 500, scaled so that costs are paid."""
    stage = plain_stage([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]], rate_bps=100.0)
    env = PortfolioEnv(
        stage, EnvConfig(max_position=1.0, episode_decisions=0, reward="log_return", turnover_budget=252)
    )
    seen, info = env.reset(options={"start": 0})
    assert info == {"start": 0, "date": stage.sessions[0]}
    assert env.asset_columns == ("forecast.rank", "account.weight", "account.eligible")
    assert env.market_columns == ("regimes.prob_crisis", "account.cash", "account.drawdown", "account.turnover_spent")
    np.testing.assert_array_equal(seen["assets"], [[0, 0, 1], [0, 0, 1]])
    np.testing.assert_array_equal(seen["market"], [0, 1, 0, 0])
    seen, reward, terminated, truncated, info = env.step(np.zeros(3))
    bought = 500.0 / 1.01
    assert info["equity"] == pytest.approx(3 * bought)
    assert (info["cost"], info["turnover"]) == pytest.approx((0.02 * bought, 0.5 * (2 * bought + 1000.0) / 1000.0))
    assert info["fill_date"] == stage.sessions[1]
    assert reward == pytest.approx(np.log(3 * bought / 1000.0))
    assert (terminated, truncated) == (False, False)
    np.testing.assert_allclose(seen["assets"][:, 1], [2 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(seen["market"], [0, 0, 0, info["turnover"] / 2.0], atol=1e-6)  # allowed: 1 + 1 a session
    *_, info = env.step(np.array([0, 0, 1.0]))  # all to cash
    assert info["equity"] == pytest.approx(3 * bought * 0.99)
    *_, truncated, info = env.step(np.array([0, 0, 1.0]))
    assert truncated
    assert info["cost"] == 0.0
    with pytest.raises(DataError, match="the episode is over or was never begun; call reset first"):
        env.step(np.zeros(3))


def test_a_reset_is_a_function_of_its_seed():
    stage = wild_stage(1, sessions=200)
    env = PortfolioEnv(stage, EnvConfig(episode_decisions=10))
    starts = [env.reset(seed=5)[1]["start"], *(env.reset()[1]["start"] for _ in range(30))]
    assert starts == [env.reset(seed=5)[1]["start"], *(env.reset()[1]["start"] for _ in range(30))]
    assert len(set(starts)) > 10
    assert 0 <= min(starts) <= max(starts) <= stage.n_made - 10
    many = VectorPortfolioEnv(stage, EnvConfig(episode_decisions=10), 4)
    many.seed(9)
    first = many.reset()
    many.step(np.zeros((4, 7)))
    many.seed(9)
    assert_same(first, many.reset())


def test_an_observation_that_is_held_stays_as_it_was():
    """Arrays are used again only when nobody holds them, or a view of them."""
    many = VectorPortfolioEnv(wild_stage(1, sessions=120), EnvConfig(episode_decisions=20), 2, seed=1)
    rng, held, copies = np.random.default_rng(0), [], []
    seen = many.reset()
    for k in range(40):
        part = seen["assets"][1:, :, 3] if k % 3 == 0 else seen["market" if k % 3 == 1 else "mask"]
        if k % 4 != 2:
            held.append(part)
            copies.append(part.copy())
        seen = many.step(rng.uniform(-1.0, 1.0, (2, 7)).astype(np.float32))[0]
    for one, copy in zip(held, copies, strict=True):
        np.testing.assert_array_equal(one, copy)


def test_a_start_and_an_open_end_walk_a_stage_once():
    many = VectorPortfolioEnv(wild_stage(1), EnvConfig(episode_decisions=0), 2, start=0)
    many.reset()
    dones = [many.step(np.zeros((2, 7)))[2].tolist() for _ in range(many.stage.n_made)]
    assert dones == [[False, False]] * (many.stage.n_made - 1) + [[True, True]]


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_a_window_knows_nothing_of_later_sessions(seed):
    """Another future gives the same stage, and no fill lies beyond the window."""
    stage = wild_stage(seed, sessions=80)
    first, last = stage.sessions[10], stage.sessions[49]
    window = stage.between(first, last)
    rng = np.random.default_rng(seed)
    moved = replace(stage.market, intraday_return=changed(stage.market.intraday_return, rng))
    inputs = changed(stage.asset_inputs, rng, int(np.searchsorted(stage.decisions, 50)))
    other = replace(stage, market=moved, asset_inputs=inputs).between(first, last)
    env, again = (PortfolioEnv(each, EnvConfig(episode_decisions=0)) for each in (window, other))
    actions = random_actions(env, seed)
    infos, others = walked(env, actions), walked(again, actions)
    assert [info["equity"] for info in infos] == [info["equity"] for info in others]
    assert len(infos) == window.n_made
    assert all(first < info["fill_date"] <= last for info in infos)
    assert window.sessions == tuple(days(80)[10:50])


def changed(values, rng, first=50):
    result = values.copy()
    result[first:] += 0.01 * rng.random(result[first:].shape)
    return result


def test_a_window_is_accounted_for_as_in_the_whole():
    stage = wild_stage(11, sessions=80, rules=Rules(dividends="cash", whole_shares=True))
    window = stage.between(stage.sessions[20], stage.sessions[60])
    inside = np.flatnonzero((stage.decisions >= 20) & (stage.decisions <= 60))
    weights = np.random.default_rng(0).dirichlet(np.ones(7), len(inside))[:, :6]
    cut, whole = ledger_of(window, weights), ledger_of(stage, weights, int(inside[0]))
    np.testing.assert_array_equal(cut.equity, whole.equity[: len(cut.equity)])


def test_names_come_and_go_by_their_mask_and_stuck_ones_are_kept():
    """The third name is not eligible at first; the first stops trading while it is held, and trades again."""
    returns, eligible = np.zeros((6, 3)), np.ones((6, 3), bool)
    eligible[:2, 2] = False
    eligible[3:, 1] = False
    stage = plain_stage(returns, eligible=eligible)
    is_open = np.ones((6, 3), bool)
    is_open[2:4, 0] = False
    stage = replace(stage, market=replace(stage.market, open_to=is_open))
    env = PortfolioEnv(stage, EnvConfig(max_position=1.0, episode_decisions=0))
    seen, _ = env.reset(options={"start": 0})
    weights, masks = [], [seen["mask"]]
    for _ in range(5):
        seen, *_, info = env.step(np.zeros(4))
        weights.append(info["weights"])
        masks.append(seen["mask"])
    np.testing.assert_array_equal(
        weights, [[0.5, 0.5, 0], [0.5, 0.5, 0], [NAN, 0.25, 0.25], [NAN, 0, 0.5], [0.5, 0, 0.5]]
    )
    np.testing.assert_array_equal(masks, [[1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1], [1, 0, 1], [1, 0, 1]])


def test_a_lost_account_is_over():
    stage = plain_stage([[0.0], [-0.9], [-0.95], [0.0], [0.0]])
    env = PortfolioEnv(stage, EnvConfig(max_position=1.0, episode_decisions=0, reward="log_return"))
    env.reset(options={"start": 0})
    assert env.step([0, 0])[2:4] == (False, False)
    assert env.step([0, 0])[2:4] == (True, False)


def test_weights_may_be_asked_for_and_given():
    stage = wild_stage(5)
    for env in (PortfolioEnv(stage, EnvConfig()), PortfolioEnv(stage, EnvConfig(mode="residual"))):
        action = random_actions(env, 1)[0]
        env.reset(options={"start": 0})
        wanted = env.weights_of(action)
        by_weights = env.step_weights(wanted)
        env.reset(options={"start": 0})
        by_action = env.step(action)
        assert by_action[1:4] == by_weights[1:4]
        assert_same(by_action[0], by_weights[0])
        np.testing.assert_array_equal(by_action[4]["weights"], wanted)
    many = VectorPortfolioEnv(stage, EnvConfig(), 2, start=0)
    many.reset()
    np.testing.assert_array_equal(many.weights_of(np.zeros((2, 7)))[1], zero_weights(stage))
    many.step_weights(np.full((2, 6), NAN))  # nothing is decided
    assert many.last.equity.tolist() == pytest.approx([stage.capital_inr] * 2, rel=1e-2)
    assert many.last.turnover.tolist() == [0.0, 0.0]


def zero_weights(stage):
    env = PortfolioEnv(stage, EnvConfig())
    env.reset(options={"start": 0})
    return env.weights_of(np.zeros(7))


def test_blocks_are_seen_or_not():
    stage = wild_stage(2)

    def columns(**settings):
        env = PortfolioEnv(stage, EnvConfig(**settings))
        assert env.observation_space["assets"].shape == (6, len(env.asset_columns))
        seen, _ = env.reset(options={"start": 3})
        for k, name in enumerate(env.asset_columns[:-2]):
            np.testing.assert_array_equal(seen["assets"][:, k], stage.asset_inputs[3, :, stage.asset_names.index(name)])
        for k, name in enumerate(env.market_columns[:-3]):
            assert seen["market"][k] == stage.market_inputs[3, stage.market_names.index(name)]
        return env.asset_columns[:-2] + env.market_columns[:-3]

    assert columns() == stage.asset_names + stage.market_names
    assert columns(regime_aware=False) == (*stage.asset_names, "market.volatility")
    assert columns(blocks=("risk", "regimes")) == ("risk.volatility", "regimes.prob_crisis")
    assert columns(blocks=("forecast", "regimes"), regime_aware=False) == ("forecast.rank", "forecast.uncertainty")
    assert columns(blocks=()) == ()


NO_NUMBER = np.array([0, 0, NAN, 0, 0, 0, 0], np.float32)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda env: env.step(NO_NUMBER), r"environment 2015-\S+: number 2 of the action of episode 0 is nan; wanted"),
        (
            lambda env: env.step(np.zeros(3)),
            r"the action has shape \(3,\); wanted \(7,\) in mode 'direct'; use a policy",
        ),
        (lambda env: env.step_weights(np.full(6, 0.5)), r"episode 0 run from 0.5 to 0.5 and sum to 3.0; wanted"),
        (lambda env: env.step_weights(np.zeros(3)), r"weights have shape \(1, 3\); wanted \(1, 6\)"),
        (lambda env: env.reset(options={"start": 500}), r"start 500; the stage has decisions 0 to \d+ whose fill"),
    ],
)
def test_what_cannot_be_decided_is_refused_and_nothing_moves(act, message):
    env = PortfolioEnv(wild_stage(1), EnvConfig())
    env.reset(options={"start": 0})
    with pytest.raises(DataError, match=message):
        act(env)
    assert env.step(np.zeros(7))[4]["fill_date"] == env.stage.sessions[int(env.stage.due[0])]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sessions": days(5)}, r"stage: market has shape \(6, 3\); wanted \(5, 3\) for 5 sessions, 3 names"),
        ({"eligible": np.ones((6, 2), bool)}, r"eligible has shape \(6, 2\); wanted \(6, 3\)"),
        ({"asset_names": ("a", "b")}, r"asset_inputs has shape \(6, 3, 1\); wanted \(6, 3, 2\)"),
        ({"tickers": ["A", "A", "B"]}, "tickers has one twice"),
        ({"decisions": [0, 1, 2, 3, 5, 4]}, "decisions are rows .* wanted one at least, ascending, from 0 to 5"),
        ({"decisions": [0, 1, 2, 3, 4, 6]}, "from 0 to 5"),
        ({"asset_inputs": np.full((6, 3, 1), NAN)}, r"stage 2015-01-01: forecast.rank of S0 is nan; .* write 0 where"),
        ({"market_inputs": np.full((6, 1), np.inf)}, r"stage 2015-01-01: regimes.prob_crisis is inf"),
        ({"eligible": np.arange(18).reshape(6, 3) > 2}, r"stage 2015-01-01: no name may be bought \(0 eligible"),
        ({"book": np.full((6, 3), 0.5)}, r"the book's weights run from 0.5 to 0.5 and sum to 1.5; wanted"),
        ({"capital_inr": 0.0}, "a capital of 0.0 rupees"),
    ],
)
def test_a_stage_whose_parts_disagree_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        plain_stage(np.zeros((6, 3)), **changes)


def test_what_an_environment_cannot_use_is_refused():
    stage = plain_stage(np.zeros((6, 3)))
    with pytest.raises(DataError, match="mode 'residual' starts from a book and the stage has none"):
        PortfolioEnv(stage, EnvConfig(mode="residual"))
    with pytest.raises(DataError, match="blocks news are in no column; known: forecast, regimes"):
        PortfolioEnv(stage, EnvConfig(blocks=("news",)))
    with pytest.raises(DataError, match="no decision of the stage, from 2015-01-08 on, is filled by 2015-01-08"):
        PortfolioEnv(stage.between(stage.sessions[5], stage.sessions[5]))
    with pytest.raises(DataError, match="no decision from 2015-12-29 to 2016-02-03; it has 6 from 2015-01-01"):
        stage.between(days(400)[245], days(400)[270])
    with pytest.raises(DataError, match="mode is 'tilt'; wanted one of direct, residual, partial"):
        EnvConfig(mode="tilt")
    with pytest.raises(DataError, match="lambda_drawdown is nan; wanted a finite number >= 0"):
        EnvConfig(lambda_drawdown=NAN)
    assert (stage.market.open_to != CLOSED).all()
