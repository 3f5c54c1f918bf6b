import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecNormalize
from toy_market import ToyMarket

from quant_core.allocation.learning.baseline import Share, equal_weight_growth
from quant_core.allocation.learning.normalise import NameSharedNormalize
from quant_core.allocation.learning.planted import planted_stage
from quant_core.errors import DataError


def walked(env, steps=20, seed=1):
    env.seed(seed)
    rng, shown, rewards = np.random.default_rng(0), [env.reset()], []
    for _ in range(steps):
        seen, reward, _, _ = env.step(
            rng.uniform(-1.0, 1.0, (env.num_envs, env.action_space.shape[0])).astype(np.float32)
        )
        shown.append(seen)
        rewards.append(reward)
    return shown, np.array(rewards)


def test_a_column_has_the_mean_and_variance_of_all_open_names_and_closed_ones_are_zero():
    raw, _ = walked(ToyMarket(3, n_names=4, n_closed=1))
    env = NameSharedNormalize(ToyMarket(3, n_names=4, n_closed=1), gamma=0.9)
    scaled, _ = walked(env)
    rows = np.stack([seen["assets"] for seen in raw])[:, :, :3].reshape(-1, 2).astype(np.float64)
    np.testing.assert_allclose(env.scaling.names_mean, rows.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(env.scaling.names_scale, rows.std(axis=0), rtol=1e-9)
    last = (raw[-1]["assets"][:, :3] - rows.mean(axis=0)) / rows.std(axis=0)
    np.testing.assert_allclose(scaled[-1]["assets"][:, :3], np.clip(last, -10, 10), atol=1e-5)
    assert not scaled[-1]["assets"][:, 3].any()
    np.testing.assert_allclose(env.unnormalize_obs(scaled[-1])["assets"][:, :3], raw[-1]["assets"][:, :3], atol=1e-6)


def test_a_column_that_never_varies_is_only_centred():
    env = NameSharedNormalize(ToyMarket(3), gamma=0.9)
    scaled, _ = walked(env)
    assert (scaled[-1]["market"] == 0.0).all()
    assert env.scaling.market_scale.tolist() == [1.0]


def test_rewards_are_scaled_as_sb3_does():
    _, ours = walked(NameSharedNormalize(ToyMarket(3), gamma=0.9))
    _, theirs = walked(VecNormalize(ToyMarket(3), norm_obs=False, gamma=0.9))
    np.testing.assert_array_equal(ours, theirs)


def test_frozen_statistics_stay():
    env = NameSharedNormalize(ToyMarket(3), gamma=0.9)
    walked(env)
    env.training = False
    before = env.state()
    walked(env)
    assert all((before[name] == value).all() for name, value in env.state().items())


def test_a_reward_that_is_no_number_is_refused():
    market = ToyMarket(3)
    market.broken_at = 5
    with pytest.raises(DataError, match="the reward of episode 1 is nan"):
        walked(NameSharedNormalize(market, gamma=0.9))


def test_the_share_of_the_market_is_the_slope_of_a_regression():
    rng = np.random.default_rng(0)
    growth = rng.normal(0.01, 0.02, (50, 4))
    reward = 0.7 * growth + rng.normal(0.3, 0.01, growth.shape)
    share = Share()
    for x, y in zip(growth, reward, strict=True):
        share.learn(x, y)
    assert share.beta == pytest.approx(np.polyfit(growth.ravel(), reward.ravel(), 1)[0], rel=1e-9)


def test_growth_of_equal_weight_by_hand():
    stage = planted_stage("none", 0, sessions=60)
    first, second = stage.decisions[:2]
    by_hand = np.log((1.0 + stage.market.intraday_return[first + 1 : second + 1]).prod(axis=0).mean())
    assert equal_weight_growth(stage)[0] == pytest.approx(by_hand, rel=1e-12)
