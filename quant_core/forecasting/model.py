"""What a forecaster is: settings, a fit on labelled history, scores of later rows. One module in `models/` each.

A model chooses its own columns and rows from the features; the caller hands it history to look back on, keeps the rows
that were asked for, and holds them against the fit's end (`forecasts`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal, get_args

import polars as pl

from quant_core.calendar import sessions_before
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log, Manifest, code_version, frame_hash, guard, plain_settings
from quant_core.folds import fold
from quant_core.forecasting import calibration
from quant_core.registry import Registry
from quant_core.runtime import Resources
from quant_core.schema import DISTRIBUTION_COLUMNS, Forecasts

Label = Literal["rank", "zscore"]
#: Columns of the features table that are no input.
KEYS = ("date", "ticker", "is_eligible")


@dataclass(frozen=True)
class TrainingData:
    """What a fold's model may learn from.

    Args:
        labels: TrainingLabels, every horizon.
        features: Features of the same span, and of the model's context before it; nothing after the labels' fold began.
        columns: inputs that there are, in the order of the features table.
        encoder: the same fold's masked encoder, for a model that begins with one.
    """

    labels: pl.DataFrame
    features: pl.LazyFrame
    columns: tuple[str, ...]
    encoder: Fitted | None = None

    @classmethod
    def of(cls, labels: pl.DataFrame, features: pl.LazyFrame, encoder: Fitted | None = None) -> "TrainingData":
        """With every column of `features` that is no key."""
        names = features.collect_schema().names()
        return cls(labels, features, tuple(name for name in names if name not in KEYS), encoder)

    def at(self, horizon_sessions: int) -> pl.DataFrame:
        """The labels of one horizon, sorted by (date, ticker).

        Raises:
            DataError: no label has that horizon.
        """
        own = self.labels.filter(pl.col("horizon_sessions") == horizon_sessions)
        if own.is_empty():
            known = self.labels["horizon_sessions"].unique().sort().to_list()
            raise DataError(
                f"forecaster: no label over {horizon_sessions} sessions (there are {known}); choose one of them as "
                "horizon_sessions, or add it to training_window.horizons_sessions."
            )
        return own.sort("date", "ticker")


@dataclass(frozen=True)
class ForecasterConfig:
    """Settings that every forecaster has.

    Args:
        horizon_sessions: label horizon that it learns; one of training_window.horizons_sessions.
        label: "rank" or "zscore" among the day's names.
        seed: of every random number; the same seed gives the same fit.
        importance_dates: dates of the validation slice on which every input's worth is measured once the model is
            fitted (permutation importance); 0 leaves it out and saves its time.
    """

    horizon_sessions: int = 5
    label: Label = "rank"
    seed: int = 7
    importance_dates: int = 50

    def __post_init__(self) -> None:
        if self.label not in get_args(Label):
            raise DataError(f"forecaster: label is {self.label!r}, wanted one of {get_args(Label)}.")
        if self.horizon_sessions < 1 or not 0 <= self.seed < 2**32:
            raise DataError(
                f"forecaster: horizon_sessions {self.horizon_sessions} and seed {self.seed}; wanted at least 1 session "
                "and a seed from 0 to 2^32 - 1."
            )
        if self.importance_dates < 0:
            raise DataError(f"forecaster: importance_dates {self.importance_dates}; wanted 0 or more.")

    @property
    def label_column(self) -> str:
        return f"{self.label}_label"


@dataclass(frozen=True)
class Model:
    """A forecaster as the registry knows it.

    Args:
        name: as in settings and tables.
        config_class: frozen dataclass of settings, a ForecasterConfig; unknown keys fail at construction.
        fit: (data, config, log) -> Fitted; bit-identical when repeated. The manifest's facts hold `horizon_sessions`.
        predict: (fitted, features, first) -> rows (date, ticker, score) dated from `first` on, and any of
            DISTRIBUTION_COLUMNS; earlier rows are context to look back on.
        context_sessions: config -> sessions before a row that its score looks back on; 0 where the row is enough.
        resources: what a fit needs; names the pool that it waits in.
        needs_encoder: its fits are handed the fold's masked encoder; every profile that uses it has one.
        importance: fitted -> rows (feature, importance_share) and more columns, or None where the model has none.
        summary: one sentence.
    """

    name: str
    config_class: type[Any]
    fit: Callable[[TrainingData, Any, Log], Fitted]
    predict: Callable[[Fitted, pl.DataFrame, date], pl.DataFrame]
    context_sessions: Callable[[Any], int] = lambda config: 0
    resources: Resources = field(default_factory=Resources)
    importance: Callable[[Fitted], pl.DataFrame] | None = None
    summary: str = ""
    needs_encoder: bool = False


def manifest(
    kind: str, rows: pl.DataFrame, columns: Sequence[str], config: ForecasterConfig, **facts: object
) -> Manifest:
    """The manifest of a forecaster.

    Args:
        rows: what was fitted on: `date`, `label_end_date`, the label and the inputs; its content is hashed.
        columns: inputs, in the order of the arrays.
        facts: what `predict` or a reader must know beside the settings, as JSON has it.
    """
    return Manifest(
        kind=kind,
        fit_start=rows["date"].min(),  # type: ignore[arg-type]
        fit_end=rows["label_end_date"].max(),  # type: ignore[arg-type]
        n_rows=rows.height,
        columns=tuple(columns),
        data_hash=frame_hash(rows),
        config=plain_settings(config),
        code_version=code_version(),
        facts={"horizon_sessions": config.horizon_sessions, **facts},
    )


def with_calibration(fitted: Fitted, data: TrainingData, config: ForecasterConfig, threshold: float = 0.5) -> Fitted:
    """The fit with a calibration of what it says, from its own validation slice; `fit_end` stays.

    Args:
        data: what it was fitted on.
        threshold: k of the label `direction`.
    Returns:
        `fitted` with arrays `calibration.*`, and what they are, or why there are none, in the manifest's facts.
    """
    found: dict[str, Any] = {}
    if calibration.VOLATILITY not in data.columns:
        why = f"none: the features have no {calibration.VOLATILITY}"
    elif fitted.validation.is_empty():
        why = "none: the fit has no validation slice"
    else:
        labels = data.at(config.horizon_sessions)
        inside = pl.col("date").is_between(labels["date"].min(), labels["date"].max())
        volatility = data.features.filter(inside).select("date", "ticker", calibration.VOLATILITY).collect()
        found = calibration.fit_calibration(fitted.validation, labels, volatility, threshold)
        why = f"none: fewer than {calibration.FEWEST_ROWS} validation rows have a label and a volatility"
    told = calibration.facts(found) if found else why
    noted = replace(fitted.manifest, facts={**fitted.manifest.facts, "calibration": told})
    return replace(fitted, arrays={**fitted.arrays, **found}, manifest=noted)


MODELS: Registry[Model] = Registry("model", "quant_core.forecasting.models")


def forecasts(
    model: Model,
    fitted: Mapping[str, Fitted],
    features: pl.LazyFrame,
    first: date,
    last: date,
    context_sessions: int = 0,
) -> pl.DataFrame:
    """Scores of every eligible row from `first` to `last` that lies in a fold with a fitted model, by its own fold's.

    Args:
        fitted: by fold name.
        features: Features; reaching `context_sessions` sessions before `first`.
        context_sessions: how far back a score looks.
    Returns:
        Forecasts; no row where no fold is fitted.
    Raises:
        LookaheadError: a score of a row that the fold's fit has seen.
    """
    parts: list[pl.DataFrame] = [Forecasts.create_empty()]
    for name in sorted(fitted):
        begin, end = max(first, fold(name).test_start), min(last, fold(name).test_end)
        oldest = sessions_before(begin, context_sessions)
        rows = features.filter(pl.col("date").is_between(oldest, end))
        if context_sessions == 0:  # what is not eligible is nobody's context then
            rows = rows.filter("is_eligible")
        parts.append(_scores(model, name, fitted[name], rows.collect(), begin))
    return pl.concat(parts).sort("date", "ticker", "model")


def _scores(model: Model, name: str, fitted: Fitted, rows: pl.DataFrame, first: date) -> pl.DataFrame:
    """Forecasts of the eligible `rows` from `first` on."""
    wanted = rows.filter(pl.col("date") >= first, "is_eligible").select("date", "ticker")
    if wanted.is_empty():
        return Forecasts.create_empty()
    scores = model.predict(fitted, rows, first).join(wanted, on=["date", "ticker"], how="semi")
    return completed(model.name, name, fitted, scores, rows)


def completed(model: str, name: str, fitted: Fitted, scores: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Forecasts of a model's scores: guarded, calibrated, with the fold `name` behind them.

    Args:
        scores: rows (date, ticker, score) and any of DISTRIBUTION_COLUMNS.
        rows: Features of the same keys, for their volatility.
    Raises:
        LookaheadError: a score of a row that the fit has seen.
    """
    guard(fitted.manifest, scores)
    if calibration.has_calibration(fitted.arrays) and calibration.VOLATILITY in rows.columns:
        volatility = rows.select("date", "ticker", calibration.VOLATILITY)
        scores = scores.join(volatility, on=["date", "ticker"], how="left", maintain_order="left")
        scores = calibration.calibrated(fitted.arrays, scores, scores[calibration.VOLATILITY])
    return scores.select(
        "date",
        "ticker",
        model=pl.lit(model),
        fold=pl.lit(name),
        fit_end=pl.lit(fitted.manifest.fit_end),
        horizon_sessions=pl.lit(fitted.manifest.facts["horizon_sessions"], pl.Int32),
        score=pl.col("score").cast(pl.Float64),
        **{name: _said(scores, name) for name in DISTRIBUTION_COLUMNS},
    )


def _said(scores: pl.DataFrame, name: str) -> pl.Expr:
    return (pl.col(name) if name in scores.columns else pl.lit(None)).cast(pl.Float64)
