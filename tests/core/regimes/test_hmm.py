"""The hidden Markov model: hmmlearn as oracle of the filter, the truth as oracle of the fit, degenerate states."""

import time
from itertools import pairwise

import numpy as np
import pytest
from hmmlearn.hmm import GaussianHMM
from markov_cases import MarkovMarket, gap, markov_market
from scipy.stats import multivariate_normal

from quant_core.errors import DataError
from quant_core.regimes.filtering import log_gaussians, whitening
from quant_core.regimes.model import Arrays
from quant_core.regimes.models import hmm
from quant_core.regimes.models.hmm import HmmConfig, Parameters


def as_hmmlearn(arrays: Arrays) -> GaussianHMM:
    model = GaussianHMM(len(arrays["start"]), "full")
    model.startprob_, model.transmat_ = arrays["start"], arrays["transitions"]
    model.means_, model.covars_ = arrays["means"], arrays["covariances"]
    model.n_features = arrays["means"].shape[1]
    return model


@pytest.fixture(scope="module", params=[1, 2])
def market(request: pytest.FixtureRequest) -> MarkovMarket:
    return markov_market(3, 3, request.param, 1200, 300)


@pytest.fixture(scope="module")
def fitted(market: MarkovMarket) -> Arrays:
    return hmm.fit(market.rows[: market.n_fit], HmmConfig(n_states=3), 7)


def test_the_filter_is_the_last_row_of_hmmlearns_posterior_on_every_prefix(market: MarkovMarket, fitted: Arrays):
    ours, _ = hmm.filter(fitted, market.rows, None)
    oracle = as_hmmlearn(fitted)
    for n in [*range(1, 60), *range(60, len(market.rows), 61), len(market.rows)]:
        np.testing.assert_allclose(ours[n - 1], oracle.predict_proba(market.rows[:n])[-1], rtol=0, atol=1e-10)


def test_smoothing_is_hmmlearns_posterior(market: MarkovMarket, fitted: Arrays):
    oracle = as_hmmlearn(fitted)
    np.testing.assert_allclose(hmm.smooth(fitted, market.rows), oracle.predict_proba(market.rows), rtol=0, atol=1e-10)
    fit_rows = market.rows[: market.n_fit]
    assert fitted["log_likelihood"][0] == pytest.approx(oracle.score(fit_rows), rel=1e-12)
    assert fitted["converged"][0] == 1


def test_densities_are_scipys():
    random = np.random.default_rng(0)
    rows, means, root = random.normal(size=(20, 3)), random.normal(size=(2, 3)), random.normal(size=(2, 3, 3))
    covariances = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(3)
    wanted = [multivariate_normal(m, c).logpdf(rows) for m, c in zip(means, covariances, strict=True)]
    np.testing.assert_allclose(log_gaussians(rows, means, whitening(covariances)), np.transpose(wanted), rtol=1e-10)


def test_two_states_by_hand():
    """Equal densities but for the mean: the odds after one session are prior odds times exp(x m) for means +-m/2."""
    transitions = np.array([[0.9, 0.1], [0.2, 0.8]])
    two = Parameters(np.array([0.5, 0.5]), transitions, np.array([[-0.5], [0.5]]), np.ones((2, 1, 1)))
    arrays = two._asdict()
    found, following = hmm.filter(arrays, np.array([[1.0], [np.nan]]), None)
    up = np.e / (1.0 + np.e)
    np.testing.assert_allclose(found[0], [1.0 - up, up], rtol=1e-12)
    predicted = (1.0 - up) * 0.1 + up * 0.8  # a session without a row: the chain alone
    np.testing.assert_allclose(found[1], [1.0 - predicted, predicted], rtol=1e-12)
    np.testing.assert_allclose(np.exp(following[1]), (1.0 - predicted) * 0.1 + predicted * 0.8, rtol=1e-12)


def test_smoothing_through_a_gap_by_brute_force():
    """Every path of four sessions, the third of them unseen."""
    arrays = markov_market(0, 3).truth._asdict()
    rows = np.array([[0.3], [-2.5], [np.nan], [-1.0]])
    seen = np.exp(log_gaussians(rows, arrays["means"], whitening(arrays["covariances"])))
    seen[2] = 1.0
    weight = np.zeros((4, 3))
    for path in np.ndindex(3, 3, 3, 3):
        chance = arrays["start"][path[0]] * np.prod([arrays["transitions"][a, b] for a, b in pairwise(path)])
        weight[range(4), path] += chance * np.prod(seen[range(4), path])
    np.testing.assert_allclose(hmm.smooth(arrays, rows), weight / weight.sum(axis=1, keepdims=True), rtol=1e-10)


def test_a_fit_climbs_at_least_as_high_as_from_the_truth(market: MarkovMarket, fitted: Arrays):
    rows = market.rows[: market.n_fit]
    from_truth = hmm._climb(rows, market.truth, 500, HmmConfig(n_states=3))
    assert fitted["log_likelihood"][0] > from_truth.log_likelihood - 0.1


def test_bic_finds_the_number_of_states():
    market = markov_market(1, 3, 2, 1000, 0)
    assert len(hmm.fit(market.rows, HmmConfig(n_states=None, candidates=(2, 3, 4), n_starts=3), 7)["start"]) == 3
    climb = hmm.Climb(market.truth, -100.0, True)  # 2 + 6 + 6 + 9 free parameters
    assert hmm.bic(climb, market.rows) == pytest.approx(23 * np.log(1000) + 200.0)


def faulty(**changed: object) -> str:
    market = markov_market(0, 3, 1, 500, 0)
    climb = hmm.Climb(market.truth._replace(**changed), -700.0, True)
    return hmm.fault_of(climb, market.rows, HmmConfig())


def test_degenerate_states_are_told_apart():
    transitions = markov_market(0, 3).truth.transitions
    assert faulty() == ""
    assert "variance collapsed to 1.0e-06" in faulty(covariances=np.array([1.0, 1.0, 1e-6])[:, None, None])
    assert "no distribution" in faulty(means=np.full((3, 1), np.nan))
    assert "nothing is known to follow" in faulty(transitions=transitions * np.array([[1.0], [0.0], [1.0]]))
    assert "sessions of 500 (wanted 21)" in faulty(means=np.array([[0.0], [0.0], [60.0]]))


def test_a_window_with_a_long_standstill_is_refused_with_what_was_wrong():
    rows = np.random.default_rng(0).standard_normal((600, 1))
    rows[200:440] = 0.0
    with pytest.raises(
        DataError, match=r"3 states: every one of 12 starts ended in a variance collapsed.*ask for fewer"
    ):
        hmm.fit(rows, HmmConfig(n_states=3), 7)
    with pytest.raises(DataError, match=r"3 states: .*2 states: every one"):
        hmm.fit(rows, HmmConfig(n_states=None, candidates=(3,)), 7)  # fewer are tried, down to two


def test_one_absurd_session_is_no_regime():
    market = markov_market(2, 3, 1, 800, 0)
    rows = market.rows.copy()
    rows[400] = -80.0
    with pytest.raises(DataError, match=r"a state of [\d.]+ sessions of 800 \(wanted 21\)"):
        hmm.fit(rows, HmmConfig(n_states=2), 7)
    rows[400] = -8.0  # as in March 2020
    assert len(hmm.fit(rows, HmmConfig(n_states=2), 7)["start"]) == 2


def test_speed():
    """4,000 sessions in a tenth of a second, one session in a twentieth; several times that measured."""
    market = markov_market(0, 4)
    arrays = market.truth._asdict()
    hmm.filter(arrays, market.rows[:2], None)
    begin = time.process_time()
    _, state = hmm.filter(arrays, market.rows[:4000], None)
    middle = time.process_time()
    hmm.filter(arrays, market.rows[4000:4001], state)
    assert middle - begin < 0.1
    assert time.process_time() - middle < 0.05


@pytest.mark.parametrize("n_states", [3, 4])
def test_a_fitted_filter_is_about_as_good_as_one_that_knows_the_truth(n_states: int):
    assert gap(markov_market(0, n_states), HmmConfig(n_states=n_states)) < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("n_states", [3, 4])
def test_twenty_known_markets(n_states: int):
    """Points behind the filter that knows the truth, on 2,000 sessions after a fit window of 4,000."""
    gaps = [gap(markov_market(seed, n_states), HmmConfig(n_states=n_states)) for seed in range(20)]
    assert max(gaps) < 5.0
    assert np.mean(gaps) < 1.5
