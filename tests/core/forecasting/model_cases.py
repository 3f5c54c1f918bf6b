"""A market of features with a planted signal, and what every registered forecaster must do on it."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from quant_core.calendar import sessions, sessions_before
from quant_core.causality import assert_causal
from quant_core.fitted import Fitted
from quant_core.folds import fold, purge
from quant_core.forecasting import MODELS, ForecasterConfig, Model, TrainingData
from quant_core.forecasting.model import forecasts
from quant_core.forecasting.net import NetConfig
from quant_core.representation import MaskedEncoderConfig
from quant_core.representation.pretrain import fit_encoder
from quant_core.schema import TrainingLabels

FOLD, HORIZON = fold("2020", train_years=1), 5
FIRST, LAST = date(2020, 1, 1), date(2020, 3, 31)
N_TICKERS = 20
#: A network that learns the planted signal in a second or two.
NETWORK: dict[str, Any] = {
    "d_model": 16, "sequence_sessions": 4, "epochs": 4, "windows_per_epoch": 2500, "batch_size": 128,
    "learning_rate": 1e-2, "threads": 1,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "gru": {"layers": 1},
    "transformer": {"heads": 2, "layers": 1, "feed_forward": 32, "dropout": 0.0},
    "tft": {"heads": 2, "selection_width": 4, "dropout": 0.0, "epochs": 8},
}


@dataclass(frozen=True)
class Case:
    """Features from before the training window to the end of March, labels of the fold, and what followed each row."""

    features: pl.DataFrame
    labels: pl.DataFrame
    forward: pl.DataFrame  # date, ticker, forward_return_5d; the answer
    model: Model

    @property
    def context_sessions(self) -> int:
        return self.model.context_sessions(self.config)

    @property
    def config(self) -> ForecasterConfig:
        """The model's defaults, over the only horizon that there are labels of; networks at a size for tests."""
        small = NETWORK | SHAPES.get(self.model.name, {}) if issubclass(self.model.config_class, NetConfig) else {}
        config: ForecasterConfig = self.model.config_class(horizon_sessions=HORIZON, **small)
        return config

    @property
    def data(self) -> TrainingData:
        return TrainingData.of(self.labels, self.features.filter(pl.col("date") < FOLD.test_start).lazy(), self.encoder)

    @cached_property
    def encoder(self) -> Fitted | None:
        """The fold's encoder, at a size for tests, where the model begins with one."""
        if not self.model.needs_encoder:
            return None
        settings = MaskedEncoderConfig(
            sequence_sessions=NETWORK["sequence_sessions"], patch_size=2, d_model=16, heads=2, layers=1,
            feed_forward=32, dropout=0.0, epochs=1, batch_size=128, threads=1,
        )  # fmt: skip
        return fit_encoder(self.features.lazy(), FOLD, settings, lambda epoch, values: None)

    def fit(self) -> Fitted:
        return self.model.fit(self.data, self.config, lambda epoch, values: None)

    def scores(self, fitted: Fitted, features: pl.DataFrame, first: date = FIRST, last: date = LAST) -> pl.DataFrame:
        return forecasts(self.model, {FOLD.name: fitted}, features.lazy(), first, last, self.context_sessions)


def case_of(name: str, strength: float = 0.4, seed: int = 1) -> Case:
    """The next returns follow `log_return_1d` with this strength; `noise` and holes are beside it."""
    rng = np.random.default_rng(seed)
    model = MODELS[name]
    days = sessions(sessions_before(FOLD.train_start, 30), LAST)
    shape = (len(days), N_TICKERS)
    signal, noise = rng.standard_normal(shape), rng.standard_normal(shape)
    earned = 0.01 * (strength * signal + rng.standard_normal(shape))
    keys = pl.DataFrame({"date": days}).join(
        pl.DataFrame({"ticker": [f"T{k:02d}" for k in range(N_TICKERS)]}), how="cross"
    )
    ends = dict(zip(days, [*days[HORIZON + 1 :], *[None] * (HORIZON + 1)], strict=True))
    table = keys.with_columns(
        pl.Series("log_return_1d", 0.02 * signal.ravel()),
        pl.Series("noise", noise.ravel()),
        pl.Series("channel_return_1d", signal.ravel()),
        pl.Series("channel_gap_1d", np.roll(noise, 3, axis=1).ravel()),
        realized_vol_63d_ann=pl.lit(0.01 * np.sqrt(252.0)),
        is_eligible=pl.col("ticker") != "T00",
        forward_return=pl.Series(earned.ravel()),
        label_end_date=pl.col("date").replace_strict(ends, return_dtype=pl.Date),
    )
    table = table.with_columns(noise=pl.when(pl.int_range(pl.len()) % 17 == 0).then(None).otherwise("noise"))
    value = pl.col("forward_return")
    rows = purge(table.filter("is_eligible"), FOLD).with_columns(
        horizon_sessions=pl.lit(HORIZON, pl.Int32),
        rank_label=((value.rank("average") - 0.5) / pl.len() - 0.5).over("date"),
        zscore_label=((value - value.mean()) / value.std(ddof=0)).over("date"),
        direction=value.sign().cast(pl.Int8),
        realized_variance=value.pow(2),
    )
    inputs = ("log_return_1d", "noise", "channel_return_1d", "channel_gap_1d", "realized_vol_63d_ann")
    features = table.select("date", "ticker", "is_eligible", *inputs)
    forward = table.select("date", "ticker", forward_return_5d="forward_return")
    return Case(features, rows.select(TrainingLabels.column_names()), forward, model)


def certify(case: Case, fitted: Fitted | None = None) -> None:
    """Scores rest on their own past, and a month alone equals the range."""
    fitted = fitted or case.fit()
    whole = case.scores(fitted, case.features)
    assert_causal(
        lambda table: case.scores(fitted, table), case.features, date(2020, 2, 14), keys=("date", "ticker", "model")
    )
    first, last = date(2020, 2, 1), date(2020, 2, 29)
    near = case.features.filter(pl.col("date").is_between(sessions_before(first, case.context_sessions), last))
    alone = case.scores(fitted, near, first, last)
    assert alone.equals(whole.filter(pl.col("date").is_between(first, last)))
    assert alone.height > 300
