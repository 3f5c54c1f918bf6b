"""Gaussian hidden Markov model: the market is in one of K states, changes it by a Markov chain, and draws each
session's inputs from its state's normal distribution.

Fitted by expectation-maximisation (hmmlearn), which climbs to the nearest of many maxima: it starts from several
divisions of the fit window, the first by volatility, takes a few steps from each, and climbs to the end from the best.
Filtered by a forward pass of our own, which goes on from any session.

Source: Hamilton, A new approach to the economic analysis of nonstationary time series, Econometrica 57, 1989; Rabiner
1989; Ryden, Terasvirta and Asbrink, Stylized facts of daily return series and the hidden Markov model, 1998.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.regimes.filtering import backward, forward, log_gaussians, shares, whitening
from quant_core.regimes.model import METHODS, Arrays, Method, MethodConfig
from quant_core.regimes.sound import check_rows, chosen, fewest_sessions

#: Sessions over which a start looks at mean and volatility: one month, centred.
WINDOW = 21
#: Chance that a state goes on, at the start.
STAY = 0.98


@dataclass(frozen=True)
class HmmConfig(MethodConfig):
    """Settings of the hidden Markov model, beside those of every method; n_states None takes the lowest BIC.

    Args:
        n_starts: divisions of the fit window that are tried.
        first_steps: steps of expectation-maximisation from each of them.
        n_climbs: of the best of them, those that climb on.
        max_steps: of a climb at most; a climb that ends there is kept, with `converged` 0.
        tolerance: gain in log-likelihood below which a climb has arrived.
        min_share: of the sessions that a state must be expected in, and never below 21 sessions.
        min_variance: of a state in its narrowest direction, as a share of the inputs' own; below, it has collapsed.
    """

    columns: tuple[str, ...] = ("return_1d",)
    n_starts: int = 12
    first_steps: int = 15
    n_climbs: int = 3
    max_steps: int = 500
    tolerance: float = 1e-3
    min_share: float = 0.01
    min_variance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        for setting, good, wanted in (
            ("n_starts", self.n_starts >= 1, "at least 1"),
            ("first_steps", self.first_steps >= 2, "at least 2"),
            ("n_climbs", self.n_climbs >= 1, "at least 1"),
            ("max_steps", self.max_steps >= 2, "at least 2"),
            ("tolerance", self.tolerance > 0.0, "above 0"),
            ("min_share", 0.0 <= self.min_share < 0.5, "a share in [0, 0.5)"),
            ("min_variance", self.min_variance > 0.0, "above 0"),
        ):
            if not good:
                raise DataError(f"hmm: {setting} is {getattr(self, setting)!r}; wanted {wanted}.")


class Parameters(NamedTuple):
    """A hidden Markov model of K states and F inputs.

    Args:
        start: (K,) chances of the first session's state.
        transitions: (K, K), from row to column.
        means: (K, F).
        covariances: (K, F, F).
    """

    start: Floats
    transitions: Floats
    means: Floats
    covariances: Floats


class Climb(NamedTuple):
    """Where expectation-maximisation has come to."""

    parameters: Parameters
    log_likelihood: float
    converged: bool


def fit(rows: Floats, config: HmmConfig, seed: int) -> Arrays:
    """The most likely sound model.

    Returns:
        the `Parameters`, `log_likelihood` of the rows, `converged` 0 or 1.
    Raises:
        DataError: rows that no method can learn from, or every start ends in degenerate states.
    """
    check_rows(rows)

    def of(n_states: int) -> tuple[Arrays, float]:
        best = _best(rows, n_states, config, seed)
        told = {"log_likelihood": np.array([best.log_likelihood]), "converged": np.array([best.converged], np.int64)}
        return {**best.parameters._asdict(), **told}, bic(best, rows)

    with threadpool_limits(1), _quiet():
        return chosen(config, of)


def bic(climb: Climb, rows: Floats) -> float:
    """Bayesian information criterion, lower is better: (free parameters) ln T - 2 ln L (Schwarz 1978)."""
    states, width = climb.parameters.means.shape
    free = states - 1 + states * (states - 1) + states * width + states * width * (width + 1) // 2
    return float(free * np.log(len(rows)) - 2.0 * climb.log_likelihood)


def filter(arrays: Arrays, rows: Floats, state: Floats | None) -> tuple[Floats, Floats]:
    """Probabilities of the states given each row and those before it.

    Args:
        state: (K,) ln of what is expected of the first of the rows, as the last call returned it; None at the start.
    """
    expected = _log(arrays["start"]) if state is None else state
    filtered, following, _ = forward(_densities(arrays, rows), _log(arrays["transitions"]), expected)
    return shares(filtered), following


def smooth(arrays: Arrays, rows: Floats) -> Floats:
    """Probabilities of the states given all rows: forward times backward."""
    densities, transitions = _densities(arrays, rows), _log(arrays["transitions"])
    filtered, _, _ = forward(densities, transitions, _log(arrays["start"]))
    return shares(filtered + backward(densities, transitions))


def _densities(arrays: Arrays, rows: Floats) -> Floats:
    """(S, K) log densities, NaN of a row that is not observed."""
    complete = np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, np.nan)
    return log_gaussians(complete, arrays["means"], whitening(arrays["covariances"]))


def _log(chances: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(chances)


def _best(rows: Floats, n_states: int, config: HmmConfig, seed: int) -> Climb:
    """The most likely sound end of `n_climbs` climbs; one that ends in degenerate states makes room for another.

    Raises:
        DataError: every climb does.
    """
    begun = [_climb(rows, start, config.first_steps, config) for start in _starts(rows, n_states, config, seed)]
    begun = [climb for climb in begun if np.isfinite(climb.log_likelihood)]
    ended: list[Climb] = []
    faults = [] if begun else ["no distribution"]
    for climb in sorted(begun, key=lambda climb: -climb.log_likelihood):
        end = _climb(rows, climb.parameters, config.max_steps, config)
        fault = fault_of(end, rows, config)
        if fault:
            faults.append(fault)
        else:
            ended.append(end)
        if len(ended) == config.n_climbs:
            break
    if not ended:
        raise DataError(
            f"every one of {config.n_starts} starts ended in {'; '.join(dict.fromkeys(faults))}; wanted "
            "states that occur and vary; ask for fewer n_states, or lower min_share or min_variance."
        )
    return max(ended, key=lambda climb: climb.log_likelihood)


def _starts(rows: Floats, n_states: int, config: HmmConfig, seed: int) -> Iterator[Parameters]:
    """Models of divisions of the window: by volatility into equal parts, by volatility into parts of random size, and
    by random mixtures of month's means and volatilities."""
    random = np.random.default_rng([seed, n_states])
    views = _views(rows)
    width = views.shape[1] // 2
    for number in range(config.n_starts):
        direction = random.standard_normal(2 * width)
        sizes = random.dirichlet(np.full(n_states, 2.0))
        if number % 2 == 0:
            direction = np.eye(2 * width)[width]  # the first input's volatility
        if number == 0:
            sizes = np.full(n_states, 1.0 / n_states)
        yield _of_parts(rows, _parts(views @ direction, sizes))


def _views(rows: Floats) -> Floats:
    """(T, 2F) standardised month's means, then month's log mean squares, of each input."""
    kernel = np.full(WINDOW, 1.0 / WINDOW)
    padded = np.pad(rows, ((WINDOW // 2, WINDOW // 2), (0, 0)), mode="reflect")
    levels = [np.convolve(column, kernel, "valid") for column in padded.T]
    squares = [np.log(np.convolve(column**2, kernel, "valid") + 1e-6) for column in padded.T]
    views = np.stack(levels + squares, axis=1)
    return (views - views.mean(axis=0)) / np.maximum(views.std(axis=0), 1e-12)


def _parts(score: Floats, sizes: Floats) -> NDArray[np.int64]:
    """(T,) number of each session's part: the lowest scores in part 0, parts in proportion to `sizes`, none tiny."""
    least = 0.05 / len(sizes)
    edges = np.cumsum(least + (1.0 - least * len(sizes)) * sizes)[:-1]
    rank = np.argsort(np.argsort(score, kind="stable"), kind="stable") / len(score)
    return np.searchsorted(edges, rank, side="right")


def _of_parts(rows: Floats, parts: NDArray[np.int64]) -> Parameters:
    """Means and covariances of the parts, and a chain that stays."""
    n_states, width = int(parts.max()) + 1, rows.shape[1]
    own = [rows[parts == k] for k in range(n_states)]
    covariances = np.array([np.cov(part.T, ddof=0).reshape(width, width) + 1e-3 * np.eye(width) for part in own])
    transitions = np.full((n_states, n_states), (1.0 - STAY) / (n_states - 1))
    np.fill_diagonal(transitions, STAY)
    means = np.array([part.mean(axis=0) for part in own])
    return Parameters(np.full(n_states, 1.0 / n_states), transitions, means, covariances)


def _climb(rows: Floats, begin: Parameters, steps: int, config: HmmConfig) -> Climb:
    """Expectation-maximisation from `begin`; a likelihood of -inf where it came to no distribution."""
    from hmmlearn.hmm import GaussianHMM

    model = GaussianHMM(
        len(begin.start), "full", n_iter=steps, tol=config.tolerance, init_params="", implementation="scaling"
    )
    try:
        model.startprob_, model.transmat_, model.means_, model.covars_ = begin
        model.fit(rows)
        end = Parameters(model.startprob_, model.transmat_, model.means_, model.covars_)
        likelihood = log_likelihood(end, rows)
    except (ValueError, np.linalg.LinAlgError):
        return Climb(begin, -np.inf, False)
    gains = np.diff(list(model.monitor_.history)[-2:])
    return Climb(end, likelihood, bool((gains < config.tolerance).any()))


def log_likelihood(parameters: Parameters, rows: Floats) -> float:
    """ln p(rows); -inf where it is no number."""
    arrays = parameters._asdict()
    total = forward(_densities(arrays, rows), _log(parameters.transitions), _log(parameters.start))[2]
    return total if np.isfinite(total) else -np.inf


def fault_of(climb: Climb, rows: Floats, config: HmmConfig) -> str:
    """What makes the states of a fit degenerate; empty where nothing does."""
    own = climb.parameters
    if not np.isfinite(climb.log_likelihood) or not all(np.isfinite(value).all() for value in own):
        return "no distribution"
    if (np.abs(own.transitions.sum(axis=1) - 1.0) > 1e-6).any():
        return "a state that nothing is known to follow"
    narrowest = float(np.linalg.eigvalsh(own.covariances).min())
    if narrowest < config.min_variance:
        return f"a variance collapsed to {narrowest:.1e} (wanted {config.min_variance:g})"
    expected, fewest = smooth(own._asdict(), rows).sum(axis=0), fewest_sessions(len(rows), config.min_share)
    if expected.min() < fewest:
        return f"a state of {expected.min():.1f} sessions of {len(rows)} (wanted {fewest:.0f})"
    return ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without hmmlearn's warnings: what they say is checked by `fault_of`."""
    log = logging.getLogger("hmmlearn")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


METHODS.register("hmm")(
    Method(
        "hmm",
        HmmConfig,
        fit,
        filter,
        smooth,
        summary="Gaussian hidden Markov model: states that stay, each with its own mean and covariance.",
    )
)
