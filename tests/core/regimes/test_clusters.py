"""The methods without memory and the jump model: the packages that fitted them as oracles of their filters."""

import hdbscan as package
import numpy as np
import pytest
from jumpmodels.jump import JumpModel
from markov_cases import accuracy, markov_market
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.regimes.models import gmm, hdbscan, jump, kmeans, threshold
from quant_core.regimes.models.gmm import GmmConfig
from quant_core.regimes.models.hdbscan import HdbscanConfig
from quant_core.regimes.models.jump import JumpConfig
from quant_core.regimes.models.kmeans import KmeansConfig
from quant_core.regimes.models.threshold import ThresholdConfig


def smoothed(seed: int = 4, n: int = 900) -> tuple[Floats, Floats]:
    """Month's log volatility and quarter's momentum of a known market: (fit rows, later rows)."""
    returns = markov_market(seed, 3, 1, n, 400).rows[:, 0]
    squares = np.convolve(returns**2, np.ones(21) / 21, "valid")[42:]
    momentum = np.convolve(returns, np.ones(63), "valid")
    found = np.column_stack([0.5 * np.log(squares), momentum])
    found = (found - found[:n].mean(axis=0)) / found[:n].std(axis=0)
    return found[:n], found[n:]


FIT, LATER = smoothed()


def test_the_mixtures_filter_is_sklearns_predict_proba():
    own = gmm.fit(FIT, GmmConfig(n_states=3), 7)
    oracle = GaussianMixture(3, n_init=3, max_iter=300, random_state=7).fit(FIT)
    for part in (FIT, LATER):
        np.testing.assert_allclose(gmm.filter(own, part, None)[0], oracle.predict_proba(part), rtol=0, atol=1e-10)


def test_k_means_gives_its_formula_and_the_nearest_centre():
    own = kmeans.fit(FIT, KmeansConfig(n_states=4), 7)
    found, _ = kmeans.filter(own, LATER, None)
    squares = ((LATER[:, None] - own["centers"]) ** 2).sum(axis=2)
    inertia = ((FIT[:, None] - own["centers"]) ** 2).sum(axis=2).min(axis=1).sum()
    weight = np.exp(-squares / (2.0 * inertia / (2 * (len(FIT) - 4))))
    np.testing.assert_allclose(found, weight / weight.sum(axis=1, keepdims=True), rtol=1e-9)
    oracle = KMeans(4, n_init=10, random_state=7).fit(FIT)
    np.testing.assert_array_equal(found.argmax(axis=1), oracle.predict(LATER))


@pytest.mark.parametrize(("penalty", "n_states"), [(0.0, 3), (5.0, 3), (40.0, 2)])
def test_the_jump_filter_is_the_packages_online_path_and_its_hindsight_the_best_path(penalty: float, n_states: int):
    own = jump.fit(FIT, JumpConfig(n_states=n_states, jump_penalty=penalty), 7)
    oracle = JumpModel(n_states, penalty, n_init=5, random_state=7).fit(FIT, sort_by=None)
    np.testing.assert_array_equal(own["centers"], oracle.centers_)
    for part in (FIT, LATER):
        np.testing.assert_array_equal(jump.filter(own, part, None)[0].argmax(axis=1), oracle.predict_online(part))
        np.testing.assert_array_equal(jump.smooth(own, part).argmax(axis=1), oracle.predict(part))


def test_the_jump_filter_by_hand():
    arrays = {"centers": np.array([[0.0], [2.0]]), "penalty": np.array([3.0])}
    # costs of the states: (0, 2), then (2, 0); values less the lowest: (0, 2), (0, 0), (2, 0), (4, 0), (5, 0)
    found, values = jump.filter(arrays, np.array([[0.0], [2.0], [2.0], [2.0], [2.0]]), None)
    np.testing.assert_array_equal(found.argmax(axis=1), [0, 0, 1, 1, 1])
    np.testing.assert_allclose(values, [5.0, 0.0])  # 5, not 6: a jump back costs no more than the penalty


@pytest.mark.parametrize("selection", ["eom", "leaf"])
@pytest.mark.parametrize("samples", [5, 15])
def test_a_session_joins_a_cluster_as_the_package_says(selection: hdbscan.Selection, samples: int):
    config = HdbscanConfig(min_samples=samples, selection=selection)
    own = hdbscan.fit(FIT, config, 7)
    oracle = package.HDBSCAN(
        min_cluster_size=int(own["min_cluster_size"][0]), min_samples=samples, prediction_data=True,
        cluster_selection_method=selection,
    ).fit(FIT)  # fmt: skip
    random = np.random.default_rng(0)
    for part in (LATER, FIT[::3], 3.0 * random.standard_normal((300, 2))):
        labels, strengths = package.approximate_predict(oracle, part)
        ours, strength = hdbscan.joined(own, part)
        np.testing.assert_array_equal(ours, labels)
        np.testing.assert_allclose(strength, strengths, rtol=1e-12)
        said, _ = hdbscan.filter(own, part, None)
        np.testing.assert_array_equal(said.argmax(axis=1), np.where(labels < 0, said.shape[1] - 1, labels))
        np.testing.assert_array_equal(said[labels < 0, -1], 1.0)
        member = labels >= 0
        np.testing.assert_allclose(said[member, labels[member]], 0.5 + 0.5 * strengths[member])
    assert (package.approximate_predict(oracle, LATER)[0] < 0).any()


def test_one_cloud_has_no_clusters():
    cloud = np.random.default_rng(0).standard_normal((600, 2))
    with pytest.raises(DataError, match=r"clusters: 0 of at least 180 sessions, .*wanted 2 or more; lower min_cluster"):
        hdbscan.fit(cloud, HdbscanConfig(min_cluster_shares=(0.3, 0.2)), 7)


def test_thresholds_by_hand():
    values = np.linspace(-1.0, 1.0, 401)[:, None]
    own = threshold.fit(values, ThresholdConfig(quantiles=(0.5, 0.9)), 7)
    np.testing.assert_allclose(own["cuts"], [0.0, 0.8], atol=1e-12)
    found, _ = threshold.filter({**own, "cuts": np.array([0.0, 0.8])}, np.array([[-0.1], [0.0], [0.79], [0.8]]), None)
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]])  # a bound belongs above
    with pytest.raises(DataError, match="2 inputs; wanted one"):
        threshold.fit(FIT, ThresholdConfig(), 7)


def test_a_penalty_makes_states_last():
    changes = {}
    for penalty in (0.0, 50.0):
        own = jump.fit(FIT, JumpConfig(n_states=2, jump_penalty=penalty), 7)
        changes[penalty] = int((np.diff(jump.filter(own, FIT, None)[0].argmax(axis=1)) != 0).sum())
    assert changes[0.0] > 3 * changes[50.0] > 0


def test_states_that_are_planted_are_found():
    random = np.random.default_rng(3)
    places = np.array([[-2.0, 0.0], [0.5, -1.5], [2.5, 2.0]])
    states = np.repeat(random.integers(0, 3, 30), 30)
    planted = places[states] + 0.3 * random.standard_normal((900, 2))
    for module, config in (
        (kmeans, KmeansConfig(n_states=3)), (gmm, GmmConfig(n_states=3)), (jump, JumpConfig(jump_penalty=5.0)),
    ):  # fmt: skip
        own = module.fit(planted[:600], config, 7)
        assert accuracy(module.filter(own, planted, None)[0].argmax(axis=1)[600:], states[600:]) > 0.95
