import numpy as np
import pytest
import torch

from quant_core.allocation.learning.agent import AGENTS, agent_of, is_blind
from quant_core.allocation.learning.planted import planted_stage, split
from quant_core.allocation.learning.policy import policies_of
from quant_core.allocation.learning.walk import (
    check_responsive,
    responsiveness,
    walk,
    walk_mean,
    walk_one,
    walk_weights,
)
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Journal

TINY = {
    "n_envs": 4, "sizes": (8,), "mlp_sizes": (8,), "total_steps": 192, "eval_every": 64, "n_seeds": 1, "patience": None,
    "reward": "log_return", "episode_decisions": 8, "stop_on": "sharpe",
}  # fmt: skip
OWN = {
    "ppo": {"n_steps": 64, "batch_size": 32, "n_epochs": 2, "learning_rate": 3e-3},
    "sac": {"batch_size": 16, "learning_starts": 16, "buffer_size": 128, "learning_rate": 3e-3},
}


@pytest.fixture(scope="module")
def stages():
    return split(planted_stage("signal", 0, sessions=400, names=6))


def config_of(name, **changed):
    return AGENTS[name].config_class(**{**TINY, **OWN[name], **changed})


def silent(epoch, values):
    pass


def fitted(name, stages, log=silent, **changed):
    return AGENTS[name].train(stages[0], stages[1], config_of(name, **changed), log)


@pytest.fixture(scope="module")
def ppo(stages):
    return fitted("ppo", stages, n_seeds=2)


def test_every_agent_says_what_it_is_and_takes_the_plans_settings():
    assert sorted(AGENTS) == ["ppo", "sac"]
    assert all(AGENTS[name].summary.endswith((".", "step")) for name in AGENTS)
    config = AGENTS["ppo"].config_class()
    assert (config.learning_rate, config.n_steps, config.batch_size, config.n_epochs) == (3e-4, 2048, 64, 10)
    assert (config.gamma, config.gae_lambda, config.clip_range, config.ent_coef) == (0.99, 0.95, 0.2, 0.01)
    config = AGENTS["sac"].config_class()
    assert (config.learning_rate, config.buffer_size, config.batch_size, config.tau) == (3e-4, 100_000, 256, 0.005)
    assert (config.gamma, config.train_freq, config.gradient_steps) == (0.99, 1, 1)
    assert (is_blind("ppo_blind"), is_blind("ppo"), agent_of("sac_blind")) == (True, False, "sac")


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("ppo", {"n_steps": 63}, "n_steps is 63, wanted a multiple of n_envs 4"),
        ("sac", {"tau": 0.0}, "tau is 0.0, wanted a share above 0"),
        ("sac", {"validation_years": 3}, "training_years is 3, wanted more than validation_years"),
        ("ppo", {"network": "cnn"}, "network is 'cnn', wanted one of shared, mlp"),
        ("ppo", {"sizes": ()}, "sizes is"),
    ],
)
def test_settings_that_cannot_be_are_refused(name, changed, message):
    with pytest.raises(DataError, match=message):
        config_of(name, **changed)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_a_killed_training_ends_as_the_uninterrupted_one(name, stages, tmp_path):
    whole = fitted(name, stages)
    told = []

    def dies(epoch, values):
        told.append(epoch)
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(name, stages, Journal(dies, tmp_path))
    again = []
    resumed = fitted(
        name, stages, Journal(lambda epoch, values: again.append((epoch, "steps_per_s" in values)), tmp_path)
    )
    assert told == [0, 1, 2]
    assert again == [(0, False), (1, False), (2, False), (3, True)]  # the first three are told again, not trained again
    assert resumed.content_hash == whole.content_hash
    files = list(tmp_path.iterdir())
    assert [file.suffix for file in files] == [".safetensors"]
    files[0].write_bytes(files[0].read_bytes()[:-3])
    with pytest.raises(DataError, match="damaged"):
        fitted(name, stages, Journal(silent, tmp_path))


def test_a_training_leaves_the_random_state_as_it_was(stages):
    np.random.seed(5)
    torch.manual_seed(5)
    wanted = np.random.random(), torch.rand(1).item()
    np.random.seed(5)
    torch.manual_seed(5)
    fitted("ppo", stages, total_steps=64)
    assert (np.random.random(), torch.rand(1).item()) == wanted


def test_what_is_fitted_survives_its_files_and_says_what_it_saw(ppo, stages):
    again = Fitted.from_bytes(ppo.to_bytes())
    train, validation, _ = stages
    assert again.content_hash == ppo.content_hash
    assert (again.manifest.fit_start, again.manifest.fit_end) == (train.sessions[0], validation.sessions[-1])
    assert again.manifest.columns[:2] == ("forecast.signal", "risk.volatility")
    assert again.curve["seed"].unique().sort().to_list() == [0, 1]
    seeds = policies_of(again)
    assert len(seeds) == 2
    assert not np.array_equal(seeds[0].arrays["whole.weight"], seeds[1].arrays["whole.weight"])


def test_the_policy_that_is_kept_is_the_best_of_the_validation(ppo, stages):
    for number, policy in enumerate(policies_of(ppo)):
        curve = ppo.curve.filter(ppo.curve["seed"] == number)
        found = walk_one(policy, stages[1], config_of("ppo")).figures()["sharpe"]
        assert found == pytest.approx(curve["validation_sharpe"].max(), rel=1e-6)
        assert ppo.manifest.facts["kept"][number]["validation_sharpe"] == pytest.approx(found, rel=1e-6)


def test_a_walk_has_the_mean_book_and_every_seeds(ppo, stages):
    test, config, seeds = stages[2], config_of("ppo"), policies_of(ppo)
    books = walk(seeds, test, config)
    assert list(books) == ["mean", "seed_0", "seed_1"]
    assert all(book.shape == (len(test.decisions), 6) for book in books.values())
    assert all((np.abs(np.nansum(book, axis=1)) <= 1.0 + 1e-9).all() for book in books.values())
    np.testing.assert_allclose(books["mean"][0], 0.5 * (books["seed_0"][0] + books["seed_1"][0]), atol=1e-12)
    twice = walk_mean((seeds[0], seeds[0]), test, config)
    np.testing.assert_allclose(twice.weights, books["seed_0"], atol=1e-12)
    followed = walk_weights(test, books["mean"])
    np.testing.assert_array_equal(followed.simple_return, walk_mean(seeds, test, config).simple_return)


def test_a_policy_acts_for_other_names_and_refuses_other_columns(ppo):
    config, seeds = config_of("ppo"), policies_of(ppo)
    wider = planted_stage("signal", 1, sessions=60, names=9)
    assert walk_one(seeds[0], wider, config).weights.shape[1] == 9
    with pytest.raises(DataError, match=r"walk of ppo.*absent \['regimes.prob_crisis'\]"):
        walk_one(seeds[0], wider, config_of("ppo", regime_aware=False))


def test_an_mlp_is_for_its_own_names(stages):
    policy = policies_of(fitted("ppo", stages, network="mlp", total_steps=64))[0]
    assert walk_one(policy, stages[2], config_of("ppo")).weights.shape[1] == 6
    with pytest.raises(DataError, match="9 names, this network of kind mlp was trained on 6"):
        walk_one(policy, planted_stage("signal", 1, sessions=60, names=9), config_of("ppo"))


@pytest.mark.parametrize("mode", ["residual", "partial"])
def test_every_mode_is_trained(mode, stages):
    found = fitted("sac", stages, mode=mode, total_steps=64)
    assert walk(policies_of(found), stages[2], config_of("sac", mode=mode))["mean"].shape == (
        len(stages[2].decisions),
        6,
    )


def test_stages_that_overlap_are_refused(stages):
    with pytest.raises(DataError, match="wanted the whole training before it"):
        fitted("ppo", [stages[0], stages[0]])


def test_a_loss_that_is_no_number_stops_and_the_last_checkpoint_is_gone_on_from(stages, tmp_path, monkeypatch):
    def poisons(optimiser, closure=None):
        for value in optimiser.param_groups[0]["params"]:
            value.data.fill_(np.nan)

    def breaks(epoch, values):
        if epoch == 1:
            monkeypatch.setattr(torch.optim.Adam, "step", poisons)

    with pytest.raises(DataError, match=r"ppo: log_std is no number any more after step 64.* its best policy"):
        fitted("ppo", stages, Journal(breaks, tmp_path))
    monkeypatch.undo()
    told = []
    fitted("ppo", stages, Journal(lambda epoch, values: told.append("steps_per_s" in values), tmp_path))
    assert told == [False, False, True, True]


def test_a_policy_of_zeros_is_unresponsive_by_name(ppo, stages):
    policy = policies_of(ppo)[0]
    still = type(policy)(**{**vars(policy), "arrays": {name: 0.0 * part for name, part in policy.arrays.items()}})
    found = walk_one(still, stages[2], config_of("ppo"))
    with pytest.raises(DataError, match="ppo: it wants what an action of zeros wants: equal weight, or the book"):
        check_responsive(found, "ppo")
    assert set(responsiveness(still, stages[2], config_of("ppo")).values()) == {0.0}


def test_responsiveness_tells_blocks_apart(ppo, stages):
    policy = policies_of(ppo)[0]
    told = responsiveness(policy, stages[2], config_of("ppo"))
    assert set(told) == {"forecast", "risk", "account", "regimes", "market"}
    assert max(told.values()) > 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("ppo", {"total_steps": 12_288, "eval_every": 4_096, "n_steps": 512, "batch_size": 64, "n_epochs": 6}),
        ("sac", {"total_steps": 4_096, "eval_every": 2_048, "batch_size": 64, "buffer_size": 4_096}),
    ],
)
def test_the_future_is_learnt_where_it_is_shown(name, changed):
    """The gate before any other claim: who does not learn this learns nothing."""
    train, validation, test = split(planted_stage("future", 0, sessions=900, names=6))
    settings = {"n_envs": 16, "sizes": (16,), "gamma": 0.0, "learning_rate": 5e-3, "episode_decisions": 16, **changed}
    if name == "ppo":
        settings["ent_coef"] = 0.0
    found = fitted(name, [train, validation], **settings)
    walked = walk_one(policies_of(found)[0], test, config_of(name, **settings))
    even = walk_weights(test, test.eligible / 6)
    check_responsive(walked, name)
    assert walked.figures()["sharpe"] > even.figures()["sharpe"] + 3.0
    assert responsiveness(policies_of(found)[0], test, config_of(name, **settings))["forecast"] > 0.1
