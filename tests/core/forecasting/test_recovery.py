"""A sign that hangs on the day's state and on an event weeks ago: seen by networks of sequences, not by columns."""

from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions, sessions_before
from quant_core.folds import fold, purge
from quant_core.forecasting import MODELS, TrainingData
from quant_core.forecasting.labels import cross_section
from quant_core.forecasting.model import forecasts
from quant_core.measures.information_coefficient import rank_ic_by_date
from quant_core.measures.newey_west import newey_west_t
from quant_core.schema import TrainingLabels

FOLD, HORIZON, LENGTH = fold("2020", train_years=3), 5, 24
LAST, N_TICKERS = date(2020, 6, 30), 50
NETWORK = {"sequence_sessions": LENGTH, "batch_size": 256, "learning_rate": 1e-2, "threads": 1, "patience": None}


class Market(NamedTuple):
    """Features, labels of the fold, returns that followed and what an oracle knows of them."""

    features: pl.DataFrame
    labels: pl.DataFrame
    forward: pl.DataFrame
    oracle: pl.DataFrame


@pytest.fixture(scope="module")
def market() -> Market:
    """Returns follow the state of the day, +1 or -1, times the sum of the signed events 10 to 20 sessions ago."""
    rng = np.random.default_rng(5)
    days = sessions(sessions_before(FOLD.train_start, LENGTH + 20), LAST)
    shape = (len(days), N_TICKERS)
    event = np.where(rng.random(shape) < 0.05, 4.5 * np.sign(rng.standard_normal(shape)), 0.0)
    state = np.cumprod(np.where(rng.random(shape) < 0.05, -1.0, 1.0), axis=0) * np.sign(rng.standard_normal(N_TICKERS))
    echo = sum(np.vstack([np.zeros((lag, N_TICKERS)), event[:-lag]]) for lag in range(10, 21))
    signal = state * echo / np.std(echo)
    earned = 0.02 * (0.7 * signal + np.sqrt(0.51) * rng.standard_normal(shape))
    ends = dict(zip(days, [*days[HORIZON + 1 :], *[None] * (HORIZON + 1)], strict=True))
    names = pl.DataFrame({"ticker": [f"T{k:02d}" for k in range(N_TICKERS)]})
    table = pl.DataFrame({"date": days}).join(names, how="cross").with_columns(
        pl.Series("forward_return", earned.ravel()), pl.Series("score", signal.ravel()),
        pl.Series("event", event.ravel()), pl.Series("state", state.ravel()),
        pl.Series("channel_event_1d", event.ravel()), pl.Series("channel_state_1d", state.ravel()),
        pl.Series("channel_noise_1d", rng.standard_normal(shape).ravel()),
        is_eligible=pl.lit(True), label_end_date=pl.col("date").replace_strict(ends, return_dtype=pl.Date),
        horizon_sessions=pl.lit(HORIZON, pl.Int32), direction=pl.lit(None, pl.Int8),
        realized_variance=pl.lit(None, pl.Float64),
    )  # fmt: skip
    labels = cross_section(purge(table, FOLD)).select(TrainingLabels.column_names())
    after = table.filter(pl.col("date") >= FOLD.test_start)
    return Market(
        table.select("date", "ticker", "is_eligible", "event", "state", "^channel_.*$"), labels,
        after.select("date", "ticker", forward_return_5d="forward_return"), after.select("date", "ticker", "score"),
    )  # fmt: skip


def rank_ic(market: Market, name: str, labels: pl.DataFrame, **settings: object) -> tuple[float, float]:
    """Mean daily rank IC out of sample and its standard error."""
    model = MODELS[name]
    config = model.config_class(horizon_sessions=HORIZON, seed=1, **settings)  # type: ignore[arg-type]
    known = market.features.filter(pl.col("date") < FOLD.test_start).lazy()
    fitted = model.fit(TrainingData.of(labels, known), config, lambda epoch, values: None)
    context = model.context_sessions(config)
    scores = forecasts(model, {FOLD.name: fitted}, market.features.lazy(), FOLD.test_start, LAST, context)
    return ic_of(scores, market.forward)


def ic_of(scores: pl.DataFrame, forward: pl.DataFrame) -> tuple[float, float]:
    """Mean daily rank IC and its standard error: states and echoes last for weeks, and so do chance agreements."""
    mean, t = newey_west_t(rank_ic_by_date(scores, forward)["rank_ic"], lags=30)
    return mean, mean / t


@pytest.mark.slow
def test_a_gru_finds_what_the_day_does_not_show_and_ridge_cannot(market: Market) -> None:
    best, _ = ic_of(market.oracle, market.forward)
    found, _ = rank_ic(
        market, "gru", market.labels, **NETWORK, d_model=24, layers=1, epochs=4, windows_per_epoch=12_000
    )
    blind, _ = rank_ic(market, "ridge", market.labels)
    assert best > 0.6
    assert found > 0.6 * best
    assert abs(blind) < 0.1


@pytest.mark.slow
def test_nothing_is_found_in_labels_that_are_shuffled_within_each_date(market: Market) -> None:
    order = pl.Series(np.random.default_rng(3).random(market.labels.height))  # one order for all dates would leave
    drawn = market.labels.with_columns(order=order).sort("date", "ticker")  # some names their own labels for good
    shuffled = drawn.with_columns(pl.col("rank_label", "zscore_label").sort_by("order").over("date")).drop("order")
    brief = {**NETWORK, "d_model": 8, "layers": 1, "epochs": 1, "windows_per_epoch": 3000}
    for name, settings in (("gru", brief), ("ridge", {})):
        found, error = rank_ic(market, name, shuffled, **settings)
        assert abs(found) < 4.0 * error, name
