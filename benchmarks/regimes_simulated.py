"""Markets whose regimes are known: is the filter as good as one that knows the truth, and do refits keep their names?

    python benchmarks/regimes_simulated.py [--seeds 20] [--states 3,4]

One index, a Markov chain of 3 or 4 states with realistic means, volatilities and stays, 19 years. The hidden Markov
model of the profiles is fitted at the beginning of each of the last 11 years on everything before it and filters that
year; beside it stands the Bayes filter with the true parameters. States are matched by volatility. A refit keeps a name
where the counterpart of a state, by the assignment on means and volatilities, has the same name a year later.
"""

import argparse
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl

from quant_core.calendar import sessions
from quant_core.folds import fold
from quant_core.regimes.config import RegimeConfig
from quant_core.regimes.fit import fit_regimes
from quant_core.regimes.inputs import INPUT_COLUMNS
from quant_core.regimes.refits import refit_stability, refits_of
from quant_core.regimes.table import regimes

FIRST, LAST = date(2004, 1, 1), date(2022, 12, 31)
FOLDS = [str(year) for year in range(2012, 2023)]


class Truth(NamedTuple):
    """A session's mean and volatility, and the chance of staying, by state; who leaves goes to any other alike."""

    mean: np.ndarray
    volatility: np.ndarray
    stay: np.ndarray

    @property
    def transitions(self) -> np.ndarray:
        """(K, K), from row to column."""
        n = len(self.stay)
        moves = np.repeat((1.0 - self.stay)[:, None] / (n - 1), n, axis=1)
        np.fill_diagonal(moves, self.stay)
        return moves


MARKETS = {
    3: Truth(np.array([8e-4, -2e-4, -26e-4]), np.array([0.007, 0.012, 0.026]), np.array([0.992, 0.98, 0.97])),
    4: Truth(
        np.array([9e-4, 4e-4, -8e-4, -30e-4]), np.array([0.006, 0.010, 0.015, 0.028]),
        np.array([0.993, 0.985, 0.98, 0.97]),
    ),
}  # fmt: skip


def market(truth: Truth, seed: int) -> tuple[pl.DataFrame, np.ndarray]:
    """Inputs of every session, those of members null, and the states behind them."""
    rng, days = np.random.default_rng(seed), sessions(FIRST, LAST)
    chain, states = truth.transitions.cumsum(axis=1), [0]
    for draw in rng.random(len(days) - 1):
        states.append(int(np.searchsorted(chain[states[-1]], draw)))
    state = np.array(states)
    returns = truth.mean[state] + truth.volatility[state] * rng.standard_normal(len(days))
    level = pl.col("return_1d").cum_sum()
    table = pl.DataFrame({"date": days, "return_1d": returns}).with_columns(
        *(log_volatility(window) for window in (10, 21, 63)),
        drawdown_252d=level - level.rolling_max(252, min_samples=1),
        momentum_63d=pl.col("return_1d").rolling_sum(63),
    )  # fmt: skip
    absent = [pl.lit(None, pl.Float64).alias(name) for name in INPUT_COLUMNS if name not in table.columns]
    return table.with_columns(absent).select("date", *INPUT_COLUMNS), state


def log_volatility(window: int) -> pl.Expr:
    """Log of the standard deviation of `window` returns, a year."""
    return (pl.col("return_1d").rolling_std(window) * np.sqrt(252)).log().alias(f"log_volatility_{window}d")


def bayes(truth: Truth, returns: np.ndarray) -> np.ndarray:
    """The most probable state after each session, by the true parameters."""
    known, found = np.full(len(truth.mean), 1.0 / len(truth.mean)), []
    for value in returns:
        seen = np.exp(-0.5 * ((value - truth.mean) / truth.volatility) ** 2) / truth.volatility
        known = known @ truth.transitions * seen
        known /= known.sum()
        found.append(int(known.argmax()))
    return np.array(found)


def judged(n_states: int, seed: int) -> tuple[float, float, float, float]:
    """Accuracy of the filter and of the Bayes filter, share of names that a refit keeps, share of labels."""
    truth = MARKETS[n_states]
    inputs, state = market(truth, seed)
    config = RegimeConfig(methods=("hmm",), settings={"hmm": {"n_states": n_states}})
    fitted = {name: fit_regimes(inputs, config, fold(name), quiet) for name in FOLDS}
    said = regimes(fitted, inputs, fold(FOLDS[0]).test_start, LAST)
    later = (inputs["date"] >= fold(FOLDS[0]).test_start).to_numpy()
    best = bayes(truth, inputs["return_1d"].to_numpy())
    stable = refit_stability(refits_of(fitted, inputs))
    return (
        float((said["state"].to_numpy() == state[later]).mean()), float((best == state)[later].mean()),
        float(stable["names_kept_share"].to_numpy().mean()), float(stable["equal_share"].to_numpy().mean()),
    )  # fmt: skip


def quiet(epoch: int, values: Mapping[str, float]) -> None:
    """A fit has nothing to say here."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--states", default="3,4")
    arguments = parser.parse_args()
    for n_states in map(int, arguments.states.split(",")):
        rows = np.array([judged(n_states, seed) for seed in range(arguments.seeds)])
        gap = 100.0 * (rows[:, 1] - rows[:, 0])
        print(
            f"{n_states} states, {arguments.seeds} seeds: filter {rows[:, 0].mean():.3f}, Bayes {rows[:, 1].mean():.3f}"
            f"; gap in points: mean {gap.mean():.1f}, median {np.median(gap):.1f}, largest {gap.max():.1f}, above 5: "
            f"{(gap > 5).sum()}; names kept {rows[:, 2].mean():.3f}, labels kept {rows[:, 3].mean():.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
