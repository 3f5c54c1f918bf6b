"""Do the forecasters find what was planted, and nothing where nothing is?

    python benchmarks/recovery.py [linear|sequential|shuffled] [--models gru,tft] [--seeds 1] [--first-seed 0]

linear: the label follows one channel of the day; an oracle that knows it has a rank IC of about 0.05.
sequential: the label follows the signed events of 10 to 40 sessions ago, times today's volatility state, +1 or -1: no
column of the day says anything by itself. The oracle's rank IC is about 0.48.
shuffled: the sequential market of fewer names with labels shuffled within each date.

Every model gets the same rows, features and channels alike; its out-of-sample rank IC is printed beside the oracle's,
with its standard error over dates, and for the TFT the inputs by their weight. Of several seeds (of market and model)
the mean is printed with its standard error over seeds, and z, the one over the other.
"""

import argparse
import math
import os
import time
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from quant_core.calendar import sessions, sessions_before
from quant_core.folds import fold, purge
from quant_core.forecasting import MODELS, TrainingData
from quant_core.forecasting.labels import cross_section
from quant_core.forecasting.model import forecasts
from quant_core.measures.information_coefficient import rank_ic_by_date
from quant_core.schema import TrainingLabels

FOLD, HORIZON, CONTEXT = fold("2020", train_years=4), 5, 70
LAST = date(2020, 12, 31)
EVENT_LAGS = range(10, 41)
EVENT_SIZE = 4.5  # usual days, as every channel: an event on one day in twenty has then a variance of 1
NETWORK: dict[str, Any] = {
    "sequence_sessions": 48, "ahead_sessions": 1, "epochs": 8, "windows_per_epoch": 20_000, "batch_size": 256,
    "patience": None, "dropout": 0.0, "threads": 1,
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "gru": {**NETWORK, "d_model": 32, "layers": 1, "learning_rate": 4e-3},
    "transformer": {**NETWORK, "d_model": 32, "heads": 4, "layers": 2, "feed_forward": 64, "learning_rate": 2e-3},
    "tft": {
        **NETWORK, "d_model": 32, "heads": 4, "selection_width": 8, "learning_rate": 3e-3, "epochs": 12,
    },
}  # fmt: skip
#: A faint linear signal is learned at once, and then noise; of nothing, nothing more is learned by more work.
FEWER = {"linear": {"epochs": 3}, "shuffled": {"epochs": 2, "windows_per_epoch": 4000}}
#: What was of today is found by a GRU that begins with short memories; chosen on seeds 100 and 101.
SHORT = {"learning_rate": 1e-3, "is_long": False}


@dataclass(frozen=True)
class Market:
    """Features, labels of the fold, what followed, and what an oracle knows."""

    features: pl.DataFrame
    labels: pl.DataFrame
    forward: pl.DataFrame
    oracle: pl.DataFrame


def market(kind: str, seed: int, n_names: int = 60) -> Market:
    """Channels of noise, an event on one day in twenty, a volatility state that lasts 20 sessions on average."""
    rng = np.random.default_rng(seed)
    days = sessions(sessions_before(FOLD.train_start, CONTEXT), LAST)
    shape = (len(days), n_names)
    channels = {name: rng.standard_normal(shape) for name in ("return", "range", "turnover")}
    event = np.where(rng.random(shape) < 0.05, EVENT_SIZE * np.sign(rng.standard_normal(shape)), 0.0)
    state = _states(rng, shape)
    if kind == "linear":
        signal, strength = channels["return"], 0.0524  # a rank IC of 0.05 is a correlation of 2 sin(pi / 6 x 0.05)
    else:
        echo = sum(np.vstack([np.zeros((lag, n_names)), event[:-lag]]) for lag in EVENT_LAGS)
        signal, strength = state * echo / echo.std(), 0.5
    earned = 0.02 * (strength * signal + math.sqrt(1.0 - strength**2) * rng.standard_normal(shape))
    ends = dict(zip(days, [*days[HORIZON + 1 :], *[None] * (HORIZON + 1)], strict=True))
    names = pl.DataFrame({"ticker": [f"T{k:02d}" for k in range(n_names)]})
    table = pl.DataFrame({"date": days}).join(names, how="cross").with_columns(
        pl.Series("forward_return", earned.ravel()), pl.Series("oracle", signal.ravel()),
        pl.Series("channel_event_1d", event.ravel()), pl.Series("channel_state_1d", state.ravel()),
        *[pl.Series(f"channel_{name}_1d", values.ravel()) for name, values in channels.items()],
        is_eligible=pl.lit(True), realized_vol_63d_ann=pl.lit(0.02 / math.sqrt(HORIZON) * math.sqrt(252.0)),
        label_end_date=pl.col("date").replace_strict(ends, return_dtype=pl.Date),
    )  # fmt: skip
    table = table.with_columns(pl.col("^channel_.*$").name.map(lambda name: name.removeprefix("channel_")))
    labels = cross_section(purge(table, FOLD)).with_columns(
        horizon_sessions=pl.lit(HORIZON, pl.Int32), direction=pl.col("forward_return").sign().cast(pl.Int8),
        realized_variance=pl.lit(0.02**2),
    )  # fmt: skip
    if kind == "shuffled":
        labels = shuffled(labels, rng)
    features = table.drop("forward_return", "oracle", "label_end_date")
    after = table.filter(pl.col("date") >= FOLD.test_start)
    return Market(
        features, labels.select(TrainingLabels.column_names()),
        after.select("date", "ticker", forward_return_5d="forward_return"),
        after.select("date", "ticker", score="oracle"),
    )  # fmt: skip


def shuffled(labels: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Labels dealt out anew among the names of each date. One order for all dates would leave some names their own for
    good; none with its own would make labels of a date, which sum to 0, the opposite of the truth a little."""
    drawn = labels.with_columns(order=pl.Series(rng.random(labels.height))).sort("date", "ticker")
    return drawn.with_columns(pl.col("rank_label", "zscore_label").sort_by("order").over("date")).drop("order")


def _states(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """+1 and -1, each lasting 20 sessions on average."""
    turns = np.where(rng.random(shape) < 0.05, -1.0, 1.0)
    return np.cumprod(turns, axis=0) * np.sign(rng.standard_normal(shape[1]))


def ic(scores: pl.DataFrame, forward: pl.DataFrame) -> tuple[float, float]:
    """Mean daily rank IC and its standard error; labels of neighbouring dates are independent here."""
    daily = rank_ic_by_date(scores, forward)["rank_ic"].to_numpy()
    return float(daily.mean()), float(daily.std(ddof=1) / math.sqrt(len(daily)))


def recover(name: str, seen: Market, seed: int, more: dict[str, Any]) -> tuple[float, float, float, list[str]]:
    """Rank IC, its standard error, seconds of the fit, and inputs by importance where the model says so."""
    model = MODELS[name]
    settings = {**SETTINGS[name], **more} if name in SETTINGS else {}
    config = model.config_class(horizon_sessions=HORIZON, seed=seed, **settings)
    known = seen.features.filter(pl.col("date") < FOLD.test_start)
    started = time.process_time()
    fitted = model.fit(TrainingData.of(seen.labels, known.lazy()), config, lambda epoch, values: None)
    seconds = time.process_time() - started
    context = model.context_sessions(config)
    scores = forecasts(model, {FOLD.name: fitted}, seen.features.lazy(), FOLD.test_start, LAST, context)
    first = model.importance(fitted)["feature"].to_list() if model.importance else []
    return *ic(scores, seen.forward), seconds, first


def compare(kind: str, seed: int, models: list[str], ics: dict[str, list[float]]) -> None:
    """Every model on the market of a seed; its rank IC is added to `ics`."""
    seen = market(kind, seed, 30 if kind == "shuffled" else 60)
    best, error = ic(seen.oracle, seen.forward)
    print(f"seed {seed}: oracle {best:.3f} +- {error:.3f}", flush=True)
    for name in models:
        more = FEWER.get(kind, {}) | (SHORT if (kind, name) == ("linear", "gru") else {})
        found, error, seconds, first = recover(name, seen, seed, more)
        ics.setdefault(name, []).append(found)
        told = f"{found:6.3f} +- {error:.3f}  {found / best:5.2f} of the oracle's  {seconds:5.0f} s CPU"
        print(f"  {name:12} {told}  {', '.join(first[:5])}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", default="sequential", choices=("linear", "sequential", "shuffled"))
    parser.add_argument("--models", default="ridge,boosting,gru,transformer,tft")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{arguments.kind}; load average {os.getloadavg()[0]:.1f}")
    ics: dict[str, list[float]] = {}
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        compare(arguments.kind, seed, arguments.models.split(","), ics)
    if arguments.seeds > 1:
        for name, found in ics.items():
            mean, error = float(np.mean(found)), float(np.std(found, ddof=1)) / math.sqrt(len(found))
            print(f"{name:12} mean {mean:7.4f} +- {error:.4f}  z {mean / error:5.2f}")


if __name__ == "__main__":
    main()
