"""Do stated probabilities come true as often as they say: intervals, the whole distribution, events.

Nothing is fitted here; `forecasting.calibration` does that.

Sources: Gneiting, Balabdaoui and Raftery, Probabilistic Forecasts, Calibration and Sharpness, JRSS B 69 (2007); Brier,
Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 78 (1950).
"""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from quant_core.dense import Flags, Floats
from quant_core.errors import DataError

#: A probability of an event that happened is raised to this before its logarithm is taken.
SMALLEST_PROBABILITY = 1e-6


def coverage(low: Floats, high: Floats, outcome: Floats) -> float:
    """Share of outcomes inside [low, high], of the rows where all three are known; NaN for none."""
    known = ~(np.isnan(low) | np.isnan(high) | np.isnan(outcome))
    inside = (low[known] <= outcome[known]) & (outcome[known] <= high[known])
    return float(inside.mean()) if known.any() else math.nan


def central_columns(levels: Sequence[float], share: float) -> tuple[int, int]:
    """Positions of the two levels whose central interval holds `share`, e.g. 0.05 and 0.95 for 0.9.

    Raises:
        DataError: the levels have no such pair.
    """
    tail = (1.0 - share) / 2.0
    low = [k for k, level in enumerate(levels) if math.isclose(level, tail, abs_tol=1e-9)]
    high = [k for k, level in enumerate(levels) if math.isclose(level, 1.0 - tail, abs_tol=1e-9)]
    if not (low and high):
        raise DataError(f"calibration: levels {tuple(levels)} have no central interval of {share:.0%}; choose another.")
    return low[0], high[0]


def pit_histogram(pit: Floats, bins: int = 10) -> Floats:
    """(bins,) shares of known PIT values in equal parts of [0, 1]; each 1 / bins where the distribution is right."""
    known = pit[~np.isnan(pit)]
    if not len(known):
        return np.full(bins, np.nan)
    counts, _ = np.histogram(known, bins=bins, range=(0.0, 1.0))
    return np.asarray(counts / len(known))


def ks_uniform(pit: Floats) -> float:
    """Kolmogorov-Smirnov distance of known PIT values from the uniform distribution: max |F_n(u) - u|; NaN for none.

    No p value goes with it: names of a day and overlapping labels are dependent.
    """
    known = np.sort(pit[~np.isnan(pit)])
    n = len(known)
    if not n:
        return math.nan
    steps = np.arange(n + 1) / n
    return float(max((steps[1:] - known).max(), (known - steps[:-1]).max()))


def reliability(probability: Floats, happened: Flags, bins: int = 10) -> pl.DataFrame:
    """How often an event happened, by what was said of it.

    Args:
        probability: (R,) NaN where nothing was said.
        happened: (R,).
        bins: equal parts of [0, 1].
    Returns:
        rows (bin, mean_probability, frequency, n_rows), bin 1 holding the smallest probabilities; empty ones are left
        out.
    """
    said = ~np.isnan(probability)
    table = pl.DataFrame({"said": probability[said], "happened": happened[said].astype(np.float64)})
    place = ((pl.col("said") * bins).floor().clip(0, bins - 1) + 1).cast(pl.Int32).alias("bin")
    return (
        table.group_by(place)
        .agg(
            mean_probability=pl.col("said").mean(), frequency=pl.col("happened").mean(), n_rows=pl.len().cast(pl.Int32)
        )
        .sort("bin")
    )


def log_loss(probabilities: Floats, happened: Floats) -> Floats:
    """(R,) -ln of what was said of the class that happened.

    Args:
        probabilities: (R, C) that sum to 1 along a row; NaN where nothing was said.
        happened: (R,) class from 0 on; NaN where it is not known.
    """
    known = ~np.isnan(happened)
    chosen = np.take_along_axis(probabilities, np.where(known, happened, 0).astype(np.int64)[:, None], axis=1)[:, 0]
    return np.where(known, -np.log(np.maximum(chosen, SMALLEST_PROBABILITY)), np.nan)


def qlike(variance: Floats, realized: Floats) -> Floats:
    """(R,) r / v - ln(r / v) - 1, 0 where they agree; NaN where one is not above 0.

    Source: Patton, Volatility forecast comparison using imperfect volatility proxies, J. of Econometrics 160 (2011).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((variance > 0.0) & (realized > 0.0), realized / variance, np.nan)
        return np.asarray(ratio - np.log(ratio) - 1.0)
