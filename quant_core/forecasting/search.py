"""A search for a forecaster's settings inside one fold's fit window, judged on the fit's own validation slice.

Nothing of the test is seen: each try is a whole fit on the fold's labels, whose newest dates it does not learn from
(`forecasting.validation`), and the try with the highest mean rank IC there is kept. The slice also chose epochs and
penalties, so that its figure flatters; what a search is worth is for the test to say, and every setting that was tried
and not taken counts as a try where results are deflated.

Source: Akiba et al. (2019), Optuna: A next-generation hyperparameter optimization framework, KDD (the sampler is
Bergstra et al. (2011), Algorithms for hyper-parameter optimization, NIPS: a tree-structured Parzen estimator).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log
from quant_core.forecasting.model import Model, TrainingData
from quant_core.forecasting.validation import with_rank_ic


@dataclass(frozen=True)
class Span:
    """A number from `low` to `high`; drawn evenly, or evenly in its logarithm. Whole where both bounds are."""

    low: float
    high: float
    is_log: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)


#: A setting's candidates: words to choose from, or a span.
Space = Mapping[str, Span | Sequence[Any]]
_NETWORK: Space = {
    "learning_rate": Span(1e-4, 1e-2), "weight_decay": Span(1e-5, 1e-1), "dropout": Span(0.0, 0.5, is_log=False),
}  # fmt: skip
_RIDGE: Space = {"alpha": Span(1e-4, 100.0), "clip_sigma": Span(2.0, 8.0), "inputs": ("raw", "normalized", "rank")}
#: What is searched of each model; others are not.
SPACES: Mapping[str, Space] = {
    "ridge": _RIDGE,
    "ridge_21d": _RIDGE,
    "boosting": {
        "learning_rate": Span(0.01, 0.2), "max_leaf_nodes": Span(4, 63), "min_samples_leaf": Span(50, 1000),
        "l2": Span(0.1, 100.0), "feature_share": Span(0.1, 1.0, is_log=False),
    },
    "gru": _NETWORK, "transformer": _NETWORK, "tft": _NETWORK,
}  # fmt: skip
TRIES = {"number": pl.Int32, "settings": pl.String, "rank_ic": pl.Float64, "is_chosen": pl.Boolean}


@dataclass(frozen=True)
class Searched:
    """What a search found.

    Args:
        fitted: the best try's fit, `chosen` its settings, as `Space` names them.
        tries: `number`, `settings`, `rank_ic` (null where no date could judge), `is_chosen`; the profile's own settings
            are number 0.
    """

    fitted: Fitted
    chosen: Mapping[str, Any]
    tries: pl.DataFrame


def search(model: Model, data: TrainingData, config: Any, n_tries: int, log: Log) -> Searched:
    """The best of the settings `config` and `n_tries` that Optuna draws around them; the same seed, the same tries.

    Args:
        config: settings of the model; its seed is the sampler's too.
        log: is told the rank IC of each try.
    Raises:
        DataError: Optuna is not installed, the model has no space, or no try can be judged.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise DataError(
            f"search of {model.name}: optuna is not installed; add it with `pip install 'quant-lab[search]'`."
        ) from error
    if model.name not in SPACES:
        raise DataError(f"search of {model.name}: nothing of it is searched; choose one of {', '.join(SPACES)}.")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=config.seed))
    best: tuple[float, Fitted | None, dict[str, Any], int] = (-math.inf, None, {}, 0)
    rows: list[tuple[int, str, float | None]] = []
    for number in range(n_tries + 1):
        trial = study.ask() if number else None
        values = {} if trial is None else _drawn(trial, SPACES[model.name])
        tried = replace(config, **values)
        fitted, merit = _judged(model, data, tried)
        if trial is not None and merit is not None:
            study.tell(trial, merit)
        elif trial is not None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if merit is not None:
            log(number, {"search_rank_ic": merit})
            best = max(best, (merit, fitted, values, number), key=lambda one: one[0])
        told = ", ".join(f"{name}={_short(value)}" for name, value in sorted(values.items()))
        rows.append((number, told, merit))
    if best[1] is None:
        raise DataError(f"search of {model.name}: no try has a rank IC on the validation slice; widen the fit window.")
    table = pl.DataFrame(rows, schema=list(TRIES)[:3], orient="row")
    table = table.with_columns(is_chosen=pl.col("number") == best[3]).cast(TRIES)  # type: ignore[arg-type]
    return Searched(best[1], best[2], table)


def _judged(model: Model, data: TrainingData, config: Any) -> tuple[Fitted | None, float | None]:
    """A fit and its mean rank IC on the validation slice; None where settings cannot be fitted or judged."""
    try:
        fitted = with_rank_ic(model.fit(data, config, _silent), data.at(config.horizon_sessions))
    except DataError:
        return None, None
    merit = (fitted.manifest.facts["validation_slice"] or {}).get("rank_ic")
    return fitted, float(merit) if merit is not None and math.isfinite(merit) else None


def _drawn(trial: Any, space: Space) -> dict[str, Any]:
    return {name: _one(trial, name, candidates) for name, candidates in sorted(space.items())}


def _one(trial: Any, name: str, candidates: Span | Sequence[Any]) -> Any:
    if not isinstance(candidates, Span):
        return trial.suggest_categorical(name, list(candidates))
    ask = trial.suggest_int if candidates.is_whole else trial.suggest_float
    return ask(name, candidates.low, candidates.high, log=candidates.is_log)


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _silent(epoch: int, values: Mapping[str, float]) -> None:
    """A try's own epochs are nobody's business: forty curves say less than forty figures."""
