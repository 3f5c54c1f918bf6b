"""Markets drawn from a Gaussian hidden Markov model that is known, and how well a filter tells their states."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from quant_core.dense import Floats
from quant_core.regimes.models import hmm
from quant_core.regimes.models.hmm import Parameters

#: Daily means and volatilities of three and of four states.
MEAN = {3: (0.0008, 0.0003, -0.0010), 4: (0.0008, 0.0004, -0.0002, -0.0020)}
VOLATILITY = {3: (0.007, 0.011, 0.024), 4: (0.006, 0.010, 0.016, 0.030)}


class MarkovMarket(NamedTuple):
    """Rows as a method sees them, standardised on the fit window; their states; what they were drawn from.

    Args:
        rows: (T, F).
        states: (T,).
        truth: in the units of `rows`.
        n_fit: sessions of the fit window.
    """

    rows: Floats
    states: np.ndarray
    truth: Parameters
    n_fit: int


def chain(random: np.random.Generator, transitions: Floats, n: int) -> np.ndarray:
    """(n,) states of a Markov chain."""
    edges, draws = transitions.cumsum(axis=1), random.random(n)
    out = [int(random.integers(len(transitions)))]
    for draw in draws[1:]:
        out.append(min(int(np.searchsorted(edges[out[-1]], draw, side="right")), len(transitions) - 1))
    return np.array(out)


def markov_market(seed: int, n_states: int, width: int = 1, n_fit: int = 4000, n_after: int = 2000) -> MarkovMarket:
    """Returns of states that last 30 to 120 sessions on average; further inputs tell of its volatility, noisily."""
    random = np.random.default_rng([seed, n_states])
    stays = random.uniform(30.0, 120.0, n_states)
    transitions = np.diag(1.0 - 1.0 / stays)
    for k in range(n_states):
        transitions[k, np.arange(n_states) != k] = random.dirichlet(np.full(n_states - 1, 2.0)) / stays[k]
    mean, volatility = np.array(MEAN[n_states]), np.array(VOLATILITY[n_states])
    means = np.column_stack([mean, *[np.log(volatility)] * (width - 1)])
    scales = np.column_stack([volatility, *[np.full(n_states, 0.4)] * (width - 1)])
    states = chain(random, transitions, n_fit + n_after)
    raw = means[states] + scales[states] * random.standard_normal((n_fit + n_after, width))
    center, scale = raw[:n_fit].mean(axis=0), raw[:n_fit].std(axis=0)
    covariances = np.array([np.diag((row / scale) ** 2) for row in scales])
    truth = Parameters(np.full(n_states, 1.0 / n_states), transitions, (means - center) / scale, covariances)
    return MarkovMarket((raw - center) / scale, states, truth, n_fit)


def accuracy(found: np.ndarray, states: np.ndarray) -> float:
    """Share of sessions told rightly, the found states matched to the true ones as well as can be."""
    size = max(found.max(), states.max()) + 1
    counts = np.zeros((size, size))
    np.add.at(counts, (found, states), 1)
    return float(counts[linear_sum_assignment(-counts)].sum() / len(states))


def gap(market: MarkovMarket, config: hmm.HmmConfig) -> float:
    """Points of accuracy after the fit window that a fitted filter lies behind the filter that knows the truth."""
    own = hmm.fit(market.rows[: market.n_fit], config, seed=7)
    after = slice(market.n_fit, None)
    known, found = (hmm.filter(p, market.rows, None)[0].argmax(axis=1)[after] for p in (market.truth._asdict(), own))
    return 100.0 * (float((known == market.states[after]).mean()) - accuracy(found, market.states[after]))
