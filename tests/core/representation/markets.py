"""Small tables of one-day channels with a structure that an encoder can learn, and small settings to learn it with."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl

from quant_core.calendar import sessions, sessions_before
from quant_core.folds import fold
from quant_core.representation import MaskedEncoderConfig

FOLD = fold("2020", train_years=1)
FIRST, LAST = date(2020, 1, 1), date(2020, 3, 31)
SMALL: dict[str, Any] = {
    "sequence_sessions": 20, "patch_size": 4, "d_model": 16, "heads": 2, "layers": 1, "feed_forward": 32,
    "dropout": 0.0, "epochs": 8, "windows_per_epoch": 1_000, "batch_size": 64, "learning_rate": 1e-2, "threads": 1,
}  # fmt: skip


def small(**settings: Any) -> MaskedEncoderConfig:
    return MaskedEncoderConfig(**(SMALL | settings))


def silent(epoch: int, values: object) -> None:
    """A log that nobody reads."""


def market(n_tickers: int = 8, seed: int = 1, last: date = LAST, holes: bool = True) -> pl.DataFrame:
    """A channel with a period of eight sessions, a phase of its own for every ticker, and one that is AR(1); T00 is no
    member, T01 is listed in the middle of the training year, every 37th value is unknown."""
    rng = np.random.default_rng(seed)
    days = sessions(sessions_before(FOLD.train_start, 30), last)
    turn = 2.0 * np.pi * (np.arange(len(days))[:, None] / 8.0 + rng.random(n_tickers)[None, :])
    wave = np.sqrt(2.0) * np.sin(turn) + 0.3 * rng.standard_normal(turn.shape)
    slow = np.zeros_like(wave)
    for t in range(1, len(days)):
        slow[t] = 0.95 * slow[t - 1] + np.sqrt(1.0 - 0.95**2) * rng.standard_normal(n_tickers)
    keys = pl.DataFrame({"date": days}).join(
        pl.DataFrame({"ticker": [f"T{k:02d}" for k in range(n_tickers)]}), how="cross"
    )
    table = keys.with_columns(
        pl.Series("channel_return_1d", wave.ravel()),
        pl.Series("channel_range_1d", slow.ravel()),
        pl.Series("channel_volatility_1d", slow.ravel()),
        is_eligible=pl.col("ticker") != "T00",
    )
    if not holes:
        return table
    hole = pl.int_range(pl.len()) % 37 == 0
    late = (pl.col("ticker") == "T01") & (pl.col("date") < date(2019, 6, 3))
    return table.with_columns(pl.when(~hole).then("channel_return_1d").alias("channel_return_1d")).filter(~late)
