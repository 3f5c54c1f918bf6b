"""Block lengths and stationary bootstrap intervals of the package arch, for our tests. Runs in its own environment.

    python benchmarks/peers/arch_golden.py tests/core/measures/golden/arch.json

The block lengths must agree to rounding. (arch divides each autocovariance by the variance of the sessions that it
covers, we by that of all, as the paper does: with few sessions or a very long memory, an autocorrelation at the edge of
its band can then give another lag window. It does on none of these series.) The intervals come from other random
numbers, so they agree within the error of that many draws.
"""

import json
import sys
from pathlib import Path

import arch
import numpy as np
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from numpy.lib.stride_tricks import sliding_window_view

SEED = 20240614
SESSIONS = 500
MEAN_BLOCK = 8
DRAWS = 20_000
DECIMALS = 5


def series(rng):
    """Daily returns, rounded so that the stored file is exact."""
    noise = rng.normal(0.0, 0.01, SESSIONS + 10)
    autoregressive, bouncing = np.zeros(SESSIONS), np.zeros(SESSIONS)
    for t in range(1, SESSIONS):
        autoregressive[t] = 0.5 * autoregressive[t - 1] + noise[t]
        bouncing[t] = -0.4 * bouncing[t - 1] + noise[t]
    volatility = 0.01 * np.exp(np.cumsum(rng.normal(0.0, 0.05, SESSIONS)))
    found = {
        "white noise": noise[:SESSIONS],
        "autoregressive": autoregressive + 0.0005,
        "bouncing": bouncing,
        "moving average of three": sliding_window_view(noise, 3).mean(axis=1)[:SESSIONS],
        "random walk": np.cumsum(noise[:SESSIONS]),
        "changing volatility": volatility * rng.standard_t(4, SESSIONS),
        "half as long": autoregressive[:250],
    }
    return {name: np.round(values, DECIMALS) for name, values in found.items()}


def sharpe_ann(x):
    return x.mean() / x.std(ddof=1) * np.sqrt(252.0)


def growth_ann(x):
    return np.prod(1.0 + x) ** (252.0 / len(x)) - 1.0


def interval(x, measure):
    bootstrap = StationaryBootstrap(MEAN_BLOCK, x, seed=np.random.default_rng(SEED))
    return bootstrap.conf_int(measure, reps=DRAWS, method="percentile", size=0.95).ravel().tolist()


def main(path):
    stored = {"arch": arch.__version__, "seed": SEED, "mean_block": MEAN_BLOCK, "draws": DRAWS, "cases": {}}
    for name, x in series(np.random.default_rng(SEED)).items():
        stored["cases"][name] = {
            "returns": x.tolist(),
            "block_length": float(optimal_block_length(x)["stationary"].iloc[0]),
        }
    for name in ("autoregressive", "changing volatility"):
        x = np.array(stored["cases"][name]["returns"])
        stored["cases"][name] |= {"sharpe_ann": interval(x, sharpe_ann), "cagr": interval(x, growth_ann)}
    Path(path).write_text(json.dumps(stored, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
