"""What methods share: Gaussian densities row by row, the forward and backward pass in logs, carrying over a gap.

Everything here treats a row by itself, in loops of a fixed order: the same bits row by row and all at once. NaN means
"not observed".

Source: Rabiner, A tutorial on hidden Markov models, Proc. IEEE 77, 1989; in logs as in Murphy, Machine Learning, 17.4.
"""

from collections.abc import Callable

import numpy as np

from quant_core.compiling import compiled
from quant_core.dense import Floats


def whitening(covariances: Floats) -> Floats:
    """(K, F, F) inverses L of the Cholesky factors: |L (x - mean)|^2 is the squared Mahalanobis distance.

    Raises:
        numpy.linalg.LinAlgError: a covariance is not positive definite.
    """
    factors = np.linalg.cholesky(covariances)
    return np.linalg.solve(factors, np.broadcast_to(np.eye(factors.shape[-1]), factors.shape))


@compiled
def log_gaussians(rows: Floats, means: Floats, whitenings: Floats) -> Floats:
    """(S, K) of ln N(x; mean, covariance) = -(F ln 2 pi + |L (x - mean)|^2) / 2 + sum of ln L_ff; NaN of such a row.

    Args:
        rows: (S, F).
        means: (K, F).
        whitenings: (K, F, F) as `whitening` makes them.
    """
    sessions, width = rows.shape
    out = np.empty((sessions, len(means)))
    for k in range(len(means)):
        constant = -0.5 * width * np.log(2.0 * np.pi)
        for f in range(width):
            constant += np.log(whitenings[k, f, f])
        for t in range(sessions):
            distance = 0.0
            for f in range(width):
                term = 0.0
                for g in range(f + 1):
                    term += whitenings[k, f, g] * (rows[t, g] - means[k, g])
                distance += term * term
            out[t, k] = constant - 0.5 * distance
    return out


@compiled
def log_sum(values: Floats) -> float:
    """ln of the sum of exp(values); -inf where all are."""
    highest = values.max()
    if highest == -np.inf:
        return -np.inf
    total = 0.0
    for value in values:
        total += np.exp(value - highest)
    return float(highest + np.log(total))


@compiled
def forward(log_densities: Floats, log_transitions: Floats, log_expected: Floats) -> tuple[Floats, Floats, float]:
    """Filter of a hidden Markov model: what each row, and those before it, say of the state.

    ln a_t = e_t + ln p(x_t | state) - c_t, with c_t the log-likelihood of the row given those before it, and
    e_{t+1}(j) = ln of the sum over i of exp(ln a_t(i) + ln A_ij). A row that is not observed adds nothing: a_t = e_t.

    Args:
        log_densities: (S, K); NaN where there is no observation.
        log_transitions: (K, K), from row to column.
        log_expected: (K,) ln of what is expected of the first session before its row is seen.
    Returns:
        (S, K) ln a_t, (K,) what is expected of the session after the last, and the log-likelihood of all rows.
    """
    sessions, states = log_densities.shape
    out = np.empty((sessions, states))
    expected, terms = log_expected.copy(), np.empty(states)
    likelihood = 0.0
    for t in range(sessions):
        observed = not np.isnan(log_densities[t]).any()
        for k in range(states):
            terms[k] = expected[k] + log_densities[t, k] if observed else expected[k]
        total = log_sum(terms)
        likelihood += total
        for k in range(states):
            out[t, k] = terms[k] - total
        for j in range(states):
            for i in range(states):
                terms[i] = out[t, i] + log_transitions[i, j]
            expected[j] = log_sum(terms)
    return out, expected, likelihood


@compiled
def backward(log_densities: Floats, log_transitions: Floats) -> Floats:
    """(S, K) ln of how likely the rows after each one are given its state, less a constant a row.

    ln b_t(i) = ln of the sum over j of exp(ln A_ij + ln p(x_{t+1} | j) + ln b_{t+1}(j)).
    """
    sessions, states = log_densities.shape
    out = np.zeros((sessions, states))
    terms = np.empty(states)
    for t in range(sessions - 2, -1, -1):
        observed = not np.isnan(log_densities[t + 1]).any()
        for i in range(states):
            for j in range(states):
                terms[j] = log_transitions[i, j] + out[t + 1, j] + (log_densities[t + 1, j] if observed else 0.0)
            out[t, i] = log_sum(terms)
        highest = out[t].max()
        for i in range(states):
            out[t, i] -= highest
    return out


@compiled
def shares(log_weights: Floats) -> Floats:
    """(S, K) probabilities in proportion to exp(log_weights)."""
    out = np.empty_like(log_weights)
    for t in range(len(log_weights)):
        total = log_sum(log_weights[t])
        for k in range(log_weights.shape[1]):
            out[t, k] = np.exp(log_weights[t, k] - total)
        total = out[t].sum()
        for k in range(log_weights.shape[1]):
            out[t, k] /= total
    return out


def memoryless(
    say: Callable[[Floats], Floats], rows: Floats, state: Floats | None, usual: Floats
) -> tuple[Floats, Floats]:
    """Filter of a method that looks at one session at a time: a row with a NaN keeps what was known before it.

    Args:
        say: (R, F) rows without NaN -> (R, K) probabilities, each row by itself.
        state: (K,) probabilities of the session before; None where there is none, which is then `usual`.
    Returns:
        (S, K) probabilities, and those of the last session.
    """
    before = np.asarray(usual if state is None else state, np.float64)
    known = np.isfinite(rows).all(axis=1)
    said = np.empty((len(rows) + 1, len(before)))
    said[0] = before
    said[1:][known] = say(np.ascontiguousarray(rows[known]))
    newest = np.maximum.accumulate(np.concatenate([[0], np.where(known, np.arange(1, len(rows) + 1), 0)]))
    found = said[newest]
    return found[1:], found[-1].copy()
