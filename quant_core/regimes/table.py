"""What a fold's methods say of its sessions: filtered from where the fit ended, one row a session and method."""

from collections.abc import Iterator, Mapping
from datetime import date

import numpy as np
import polars as pl

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.fitted import Fitted, guard
from quant_core.folds import fold as fold_named
from quant_core.regimes.config import is_of_embeddings, method_of
from quant_core.regimes.fit import AGE, ORDER, STATE, by_name, columns_of, projected, window_of, with_embeddings
from quant_core.regimes.model import Arrays
from quant_core.schema import REGIME_NAMES, REGIME_PROBABILITIES, Regimes

PROBABILITIES = list(REGIME_PROBABILITIES.values())


def regimes(
    fitted: Mapping[str, Fitted], inputs: pl.DataFrame, first: date, last: date, embedded: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Every method's regimes from `first` to `last`, each session by the fold that contains it.

    Args:
        fitted: by fold name.
        inputs: `market_inputs` of every session since the oldest of these folds began; a session that is missing there
            is one without an observation.
        embedded: `daily_embeddings` of the same sessions, for the methods that read them.
    Returns:
        Regimes sorted by (date, method); no row where no fold is fitted.
    Raises:
        LookaheadError: a session that the fold's fit has seen.
        DataError: a method reads embeddings and there are none.
    """
    parts: list[pl.DataFrame] = [Regimes.create_empty()]
    for name in sorted(fitted):
        begin, end = fold_named(name).test_start, min(last, fold_named(name).test_end)
        own = inputs.filter(pl.col("date").is_between(begin, end)).sort("date")
        guard(fitted[name].manifest, own)
        if own.height:
            parts += [_of_method(name, fitted[name], method, own, embedded) for method in methods_of(fitted[name])]
    return pl.concat(parts).filter(pl.col("date").is_between(first, last)).sort("date", "method")


def methods_of(fitted: Fitted) -> list[str]:
    """The methods that found sound states."""
    return sorted(fitted.manifest.facts["methods"])


def arrays_of(fitted: Fitted, method: str) -> Arrays:
    """One method's arrays.

    Raises:
        DataError: it was refused, or never fitted.
    """
    own = {
        key.removeprefix(f"{method}/"): value for key, value in fitted.arrays.items() if key.startswith(f"{method}/")
    }
    if not own:
        reason = fitted.manifest.facts["refused"].get(method, f"fitted are {methods_of(fitted)}")
        raise DataError(f"regimes: no states of {method} up to {fitted.manifest.fit_end}: {reason}")
    return own


def fit_window_labels(
    fitted: Fitted, inputs: pl.DataFrame, method: str, embedded: pl.DataFrame | None = None
) -> pl.DataFrame:
    """(date, regime) of a method over its own fit window: filtered, but by parameters that have seen the window.

    For what is chosen inside the fit window, never for what is traded.
    """
    days, probabilities, _ = over_fit_window(fitted, inputs, method, embedded)
    names = by_name(arrays_of(fitted, method), probabilities).argmax(axis=1)
    return pl.DataFrame({"date": days, "regime": pl.Series([REGIME_NAMES[k] for k in names], dtype=pl.String)})


def over_fit_window(
    fitted: Fitted, inputs: pl.DataFrame, method: str, embedded: pl.DataFrame | None
) -> tuple[pl.Series, Floats, Floats]:
    """Sessions, filtered probabilities of the states, and rows as the method sees them."""
    own = arrays_of(fitted, method)
    seen = inputs.filter(pl.col("date").is_between(fitted.manifest.fit_start, fitted.manifest.fit_end)).sort("date")
    window = window_of(_table(method, seen, embedded), fitted.manifest.facts["methods"][method]["columns"])
    values = projected(own, window.rows)
    return window.days, method_of(method).filter(own, values, None)[0], values


def _of_method(
    fold: str, fitted: Fitted, method: str, inputs: pl.DataFrame, embedded: pl.DataFrame | None
) -> pl.DataFrame:
    own = arrays_of(fitted, method)
    columns = fitted.manifest.facts["methods"][method]["columns"]
    table = _table(method, inputs, embedded)
    rows = columns_of(table, columns)
    states, _ = method_of(method).filter(own, projected(own, rows), own[STATE])
    names = by_name(own, states)
    labels = names.argmax(axis=1)
    rank = np.empty(len(own[ORDER]), np.int32)
    rank[own[ORDER]] = np.arange(len(rank), dtype=np.int32)
    chance = np.where(names > 0.0, names, 1.0)
    return pl.DataFrame(
        {
            "date": table["date"],
            "method": [method] * table.height,
            "fold": [fold] * table.height,
            "fit_end": pl.Series([fitted.manifest.fit_end] * table.height, dtype=pl.Date),
            "regime": [REGIME_NAMES[k] for k in labels],
            "state": rank[states.argmax(axis=1)],
            **{column: names[:, k] for k, column in enumerate(PROBABILITIES)},
            "entropy": -(names * np.log(chance)).sum(axis=1),
            "sessions_in_regime": pl.Series(list(_ages(labels.tolist(), *own[AGE].tolist())), dtype=pl.Int32),
        }
    )


def _table(method: str, inputs: pl.DataFrame, embedded: pl.DataFrame | None) -> pl.DataFrame:
    if not is_of_embeddings(method):
        return inputs
    if embedded is None:
        raise DataError(f"regimes: {method} reads embeddings and there are none; make the months of embeddings first.")
    return with_embeddings(inputs, embedded)


def _ages(labels: list[int], before: int, age: int) -> Iterator[int]:
    """For how many sessions each label has stood, `before` having stood for `age` until then."""
    for label in labels:
        age = age + 1 if label == before else 1
        before = label
        yield age
