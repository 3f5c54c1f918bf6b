"""A market whose regimes are known: three Markov states of one index, and the inputs that follow from its returns."""

from datetime import date

import numpy as np
import polars as pl

from quant_core.calendar import sessions
from quant_core.regimes.inputs import INPUT_COLUMNS

MEAN = np.array([0.0008, -0.0002, -0.0026])
VOLATILITY = np.array([0.007, 0.012, 0.026])
STAY = np.array([0.992, 0.98, 0.97])


def known_market(seed: int, first: date = date(2008, 1, 1), last: date = date(2019, 12, 31)) -> pl.DataFrame:
    """`date`, INPUT_COLUMNS (those of the members are null) and `truth`, the state of the session."""
    rng = np.random.default_rng(seed)
    days = sessions(first, last)
    state = np.zeros(len(days), int)
    for t in range(1, len(days)):
        leaves = rng.random() > STAY[state[t - 1]]
        state[t] = rng.choice([k for k in range(3) if k != state[t - 1]]) if leaves else state[t - 1]
    returns = MEAN[state] + VOLATILITY[state] * rng.standard_normal(len(days))
    table = pl.DataFrame({"date": days, "return_1d": returns, "truth": state})
    level = pl.col("return_1d").cum_sum()
    made = table.with_columns(
        *(
            (pl.col("return_1d").rolling_std(w) * np.sqrt(252)).log().alias(f"log_volatility_{w}d")
            for w in (10, 21, 63)
        ),
        drawdown_252d=level - level.rolling_max(252, min_samples=1),
        momentum_63d=pl.col("return_1d").rolling_sum(63),
    )
    absent = [pl.lit(None, pl.Float64).alias(name) for name in INPUT_COLUMNS if name not in made.columns]
    return made.with_columns(absent).select("date", *INPUT_COLUMNS, "truth")
