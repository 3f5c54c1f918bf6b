import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution

from quant_core.allocation.learning.actor_critic import NameSharedActorCritic
from quant_core.allocation.learning.networks import Shape
from quant_core.allocation.learning.policy import Policy, Scaling
from quant_core.allocation.learning.soft_actor import NameSharedSoftPolicy
from quant_core.errors import DataError

N, F, M, B = 5, 3, 2, 4


def space(n_names):
    parts = {"assets": (n_names, F), "market": (M,), "mask": (n_names,)}
    return spaces.Dict({key: spaces.Box(-10.0, 10.0, shape, np.float32) for key, shape in parts.items()})


def shape_of(kind, n_names=N, has_names=True):
    return Shape(kind, F, M, n_names, has_names, (8, 6))


def ppo(kind="shared", n_names=N, has_names=True):
    torch.manual_seed(3)
    actions = spaces.Box(-1.0, 1.0, (n_names + 1 if has_names else 1,), np.float32)
    shape = shape_of(kind, n_names, has_names)
    return NameSharedActorCritic(space(n_names), actions, lambda _: 1e-3, shape=shape, log_std_start=-1.0)


def sac(kind="shared", n_names=N):
    torch.manual_seed(3)
    actions = spaces.Box(-1.0, 1.0, (n_names + 1,), np.float32)
    shape = shape_of(kind, n_names)
    return NameSharedSoftPolicy(space(n_names), actions, lambda _: 1e-3, shape=shape, log_std_start=-1.0)


def seen(n_names=N, closed=(1,), seed=0):
    rng = np.random.default_rng(seed)
    mask = np.ones((B, n_names), np.float32)
    mask[:, list(closed)] = 0.0
    rows = rng.standard_normal((B, n_names, F)).astype(np.float32) * mask[..., None]
    return {"assets": rows, "market": rng.standard_normal((B, M)).astype(np.float32), "mask": mask}


def tensors(given):
    return {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in given.items()}


def louder(module):
    """Heads that say something from the beginning."""
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.3 * torch.randn_like(value))
    return module


def test_names_in_another_order_get_the_same_numbers_in_that_order():
    order, given = np.array([3, 0, 4, 1, 2]), seen()
    turned = {**given, "assets": given["assets"][:, order], "mask": given["mask"][:, order]}
    policy, soft = louder(ppo()), louder(sac())
    actor, value = policy.actor(tensors(given))[..., 0], policy.value(tensors(given))
    again = policy.actor(tensors(turned))[..., 0]
    torch.testing.assert_close(again[:, :-1], actor[:, :-1][:, order])
    torch.testing.assert_close(again[:, -1], actor[:, -1])
    torch.testing.assert_close(policy.value(tensors(turned)), value)
    action = torch.randn(B, N + 1)
    other = torch.cat([action[:, :-1][:, order], action[:, -1:]], dim=1)
    for one, two in zip(soft.critic(tensors(given), action), soft.critic(tensors(turned), other), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("make", [ppo, sac])
def test_no_parameter_depends_on_the_number_of_names(make):
    shapes = [{name: value.shape for name, value in make(n_names=n).state_dict().items()} for n in (5, 50)]
    assert shapes[0] == shapes[1]


def test_a_name_that_cannot_be_traded_changes_nothing():
    given = seen(closed=(4,))
    shorter = {**given, "assets": given["assets"][:, :4], "mask": given["mask"][:, :4]}
    policy = louder(ppo())
    wide, narrow = policy.actor(tensors(given)), policy.actor(tensors(shorter))
    torch.testing.assert_close(wide[:, [0, 1, 2, 3, 5]], narrow)
    torch.testing.assert_close(policy.value(tensors(given)), policy.value(tensors(shorter)))
    actions = torch.randn(B, N + 1)
    moved = actions.clone()
    moved[:, 4] += 1.0
    for one, two in zip(
        policy.evaluate_actions(tensors(given), actions), policy.evaluate_actions(tensors(given), moved), strict=True
    ):
        torch.testing.assert_close(one, two)


def test_the_first_policy_wants_what_zeros_want():
    assert not ppo().actor(tensors(seen())).any()
    assert not sac().actor(tensors(seen()), deterministic=True).any()


def test_likelihood_and_entropy_are_those_of_a_gaussian_over_the_numbers_that_act():
    policy, given, actions = louder(ppo()), tensors(seen()), torch.randn(B, N + 1)
    _, likelihood, entropy = policy.evaluate_actions(given, actions)
    spread = policy.log_std.exp()[[0] * N + [1]]
    oracle = torch.distributions.Normal(policy.actor(given)[..., 0], spread)
    acts = [0, 2, 3, 4, 5]
    torch.testing.assert_close(likelihood, oracle.log_prob(actions)[:, acts].sum(1))
    torch.testing.assert_close(entropy, oracle.entropy()[:, acts].sum(1))


def test_soft_likelihood_is_the_mean_of_the_squashed_gaussian_of_sb3():
    policy, given = louder(sac()), tensors(seen(closed=()))
    torch.manual_seed(0)
    action, likelihood = policy.actor.action_log_prob(given)
    mean, log_std = policy.actor._parameters_of(given)
    oracle = SquashedDiagGaussianDistribution(N + 1, epsilon=0.0).proba_distribution(mean, log_std)
    torch.testing.assert_close(likelihood, oracle.log_prob(action) / (N + 1), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", ["shared", "mlp"])
@pytest.mark.parametrize(("make", "is_squashed"), [(ppo, False), (sac, True)])
def test_the_policy_without_torch_says_what_the_network_says(kind, make, is_squashed):
    network, given = louder(make(kind)), seen()
    actor, outputs = (network.actor, 1) if make is ppo else (network.actor.actor, 2)
    arrays = {name: value.numpy() for name, value in actor.state_dict().items()}
    arrays = {
        name: part[::outputs] if name.split(".")[0] in ("names", "whole", "out") else part
        for name, part in arrays.items()
    }
    scaling = Scaling(np.zeros(F), np.ones(F), np.zeros(M), np.ones(M))
    columns = tuple("abc"), tuple("xy")
    policy = Policy("ppo", arrays, scaling, *columns, is_squashed, N if kind == "mlp" else None)
    said = actor(tensors(given))[..., 0].detach()
    wanted = torch.tanh(said) if is_squashed else said.clamp(-1.0, 1.0)
    np.testing.assert_allclose(policy.act(given), wanted.numpy(), atol=2e-6)
    one = {key: value[2] for key, value in given.items()}
    np.testing.assert_allclose(policy.act(one), wanted[2].numpy(), atol=2e-6)


def test_an_action_of_one_number_is_read_from_the_whole():
    network = louder(ppo(has_names=False))
    action, value, likelihood = network(tensors(seen()))
    assert action.shape == (B, 1)
    assert value.shape == (B, 1)
    assert likelihood.shape == (B,)


def test_other_columns_or_names_are_refused_by_name():
    scaling = Scaling(np.zeros(F), np.ones(F), np.zeros(M), np.ones(M))
    policy = Policy("sac", {}, scaling, ("a.rank", "b.x", "b.y"), ("m.x", "m.y"), True, 4)
    with pytest.raises(DataError, match=r"absent \['b.y'\], unknown \['b.z'\]"):
        policy.require(("a.rank", "b.x", "b.z"), ("m.x", "m.y"), "fold 2020")
    with pytest.raises(DataError, match="order"):
        policy.require(("b.x", "a.rank", "b.y"), ("m.x", "m.y"), "fold 2020")
    with pytest.raises(DataError, match="5 names, this network of kind mlp was trained on 4"):
        policy.act(seen())
