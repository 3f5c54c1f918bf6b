"""Fitting every regime method of a fold, on the sessions before it: scaling, components, states, their order and names.

A method that finds no sound states is left out with its reason; the others stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log, Manifest, code_version, frame_hash, plain_settings
from quant_core.folds import Fold
from quant_core.regimes.config import RegimeConfig, is_of_embeddings, method_of
from quant_core.regimes.inputs import INPUT_COLUMNS
from quant_core.regimes.model import Arrays, MethodConfig
from quant_core.regimes.naming import StateStatistics, names_of, order_of, statistics, usual_of
from quant_core.schema import REGIME_NAMES

KIND = "regime_model"
#: Principal components that replace embeddings, unless the settings say otherwise.
EMBEDDING_COMPONENTS = 10
#: A standard deviation below this share of the mean's size, or of 1, is a constant.
CONSTANT = 1e-10
#: Arrays that stand around those of a method.
CENTER, SCALE, CLIP, AXES = "center", "scale", "clip", "axes"
ORDER, NAMES, STATE, AGE = "order", "names", "state", "age"


@dataclass(frozen=True)
class Window:
    """What a method is fitted on: its rows, and beside them what its states are described by.

    Args:
        days: (T,) sessions.
        rows: (T, F) inputs, NaN where something is not known.
        returns, drawdowns, log_volatilities: (T,) of the index; the last over 21 sessions.
    """

    days: pl.Series
    rows: Floats
    returns: Floats
    drawdowns: Floats
    log_volatilities: Floats


def fit_regimes(
    inputs: pl.DataFrame, config: RegimeConfig, fold: Fold, log: Log, embedded: pl.DataFrame | None = None
) -> Fitted:
    """Fit one fold's methods.

    Args:
        inputs: rows (date, INPUT_COLUMNS) as `market_inputs` makes them, of all that there is before the fold; what is
            dated in the fold or later is not read.
        embedded: `inputs.daily_embeddings` of the fold's encoder, for the methods that read them.
    Returns:
        arrays `<method>/<name>`; facts: `methods` (per method its columns and, per state, name and statistics),
        `refused` (method -> reason), `usual`; `fit_end` is the last session before the fold.
    Raises:
        DataError: too few sessions, or no method finds sound states.
    """
    known = since_first_return(inputs.filter(pl.col("date") < fold.test_start).sort("date"))
    n_known = known["return_1d"].drop_nulls().len()
    if n_known < config.min_sessions:
        raise DataError(
            f"regime_model {fold.name}: {n_known} sessions with an index return before {fold.test_start}, wanted "
            f"{config.min_sessions} or more (min_sessions); start the profile earlier or its first_fold later."
        )
    usual = usual_of(*columns_of(known, ["log_volatility_21d", "drawdown_252d"]).T)
    arrays: dict[str, np.ndarray] = {}
    methods: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for number, name in enumerate(config.methods, start=1):
        try:
            own, facts = _fit_method(name, config, known, embedded)
        except DataError as error:
            refused[name] = str(error)
            continue
        arrays |= {f"{name}/{key}": np.asarray(value) for key, value in own.items()}
        methods[name] = facts
        log(number, {f"{name}_states": len(facts["states"])})
    if not methods:
        raise DataError(f"regime_model {fold.name}: no method found sound states: {refused}.")
    manifest = Manifest(
        kind=KIND, fit_start=_day(known, 0), fit_end=_day(known, -1), n_rows=known.height, columns=INPUT_COLUMNS,
        data_hash=frame_hash(known if embedded is None else known.join(embedded, on="date", how="left")),
        config=plain_settings(config), code_version=code_version(),
        facts={"methods": methods, "refused": refused, "usual_volatility_ann": usual.volatility_ann,
               "usual_drawdown": usual.drawdown},
    )  # fmt: skip
    return Fitted(arrays, manifest)


def since_first_return(inputs: pl.DataFrame) -> pl.DataFrame:
    """From the first session on that has a return of the index: what is older lacks it by no fault of a session."""
    known = inputs["return_1d"].is_not_null().arg_true()
    return inputs[known[0] :] if len(known) else inputs


def _fit_method(
    name: str, config: RegimeConfig, known: pl.DataFrame, embedded: pl.DataFrame | None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A method's arrays and facts."""
    method, settings = method_of(name), config.of(name)
    columns, table = _source(name, settings, known, embedded)
    window = window_of(table, columns)
    frame = _projection(name, settings, columns, window)
    values = projected(frame, window.rows)
    complete = values[~np.isnan(values).any(axis=1)]
    try:
        arrays = method.fit(complete, settings, config.seed)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    probabilities, state = method.filter(arrays, values, None)
    states = statistics(probabilities, window.returns, window.drawdowns)
    order = order_of(states, method.has_noise)
    named = names_of(
        probabilities,
        window.returns,
        window.drawdowns,
        window.log_volatilities,
        year_ends(window.days),
        method.has_noise,
    )
    names = [named[k] for k in order]
    around = {
        ORDER: np.array(order, np.int64), NAMES: np.array([REGIME_NAMES.index(found) for found in names], np.int64),
        STATE: np.asarray(state),
    }  # fmt: skip
    around[AGE] = np.array(age_after(by_name(around, probabilities).argmax(axis=1)), np.int64)
    return {**frame, **around, **arrays}, _facts(columns, window, complete, names, [states[k] for k in order])


def year_ends(days: pl.Series) -> list[int]:
    """How many sessions there are by the end of each calendar year, from the first year of 252 on, and in all."""
    years = days.dt.year().rle().struct.field("len").cum_sum().to_list()
    return [n for n in years[:-1] if n >= SESSIONS_PER_YEAR] + years[-1:]


def by_name(own: Arrays, probabilities: Floats) -> Floats:
    """(T, 5) probabilities of the names from (T, K) of the states, each name's states added in their order."""
    found = np.zeros((len(probabilities), len(REGIME_NAMES)))
    for place, state in enumerate(own[ORDER]):
        found[:, own[NAMES][place]] += probabilities[:, state]
    return found


def age_after(labels: NDArray[np.integer[Any]]) -> tuple[int, int]:
    """The last of (T,) labels, and for how many sessions it has stood."""
    others = np.flatnonzero(labels != labels[-1])
    return int(labels[-1]), len(labels) - (int(others[-1]) + 1 if len(others) else 0)


def _facts(
    columns: Sequence[str], window: Window, complete: Floats, names: Sequence[str], states: Sequence[StateStatistics]
) -> dict[str, Any]:
    told = [{"name": name, **state.plain()} for name, state in zip(names, states, strict=True)]
    return {"columns": list(columns), "first": str(window.days[0]), "rows": len(complete), "states": told}


def _source(
    name: str, settings: MethodConfig, known: pl.DataFrame, embedded: pl.DataFrame | None
) -> tuple[list[str], pl.DataFrame]:
    """The columns that a method reads, and the table that has them.

    Raises:
        DataError: none has enough values, one is no input, or there are no embeddings.
    """
    if is_of_embeddings(name):
        if embedded is None:
            raise DataError(f"{name}: the profile has no embeddings; set encoder: true, or leave the method out.")
        return embedding_inputs(embedded), with_embeddings(known, embedded)
    unknown = [column for column in settings.columns if column not in INPUT_COLUMNS]
    if unknown:
        raise DataError(f"{name}: columns {unknown} are no inputs; wanted some of {list(INPUT_COLUMNS)}.")
    lacking = known.select(pl.col(settings.columns).is_null().mean()).row(0, named=True)
    kept = [column for column in settings.columns if lacking[column] <= settings.max_null_share]
    if not kept:
        raise DataError(f"{name}: none of {list(settings.columns)} is known on enough sessions (missing: {lacking}).")
    return kept, known


def embedding_inputs(embedded: pl.DataFrame) -> list[str]:
    """The columns of `daily_embeddings`."""
    return [column for column in embedded.columns if column != "date"]


def with_embeddings(inputs: pl.DataFrame, embedded: pl.DataFrame) -> pl.DataFrame:
    """Every session of `inputs` with its embeddings; null where there are none."""
    return inputs.join(embedded, on="date", how="left", maintain_order="left")


def window_of(table: pl.DataFrame, columns: Sequence[str]) -> Window:
    """From the first session on that has every column; sessions after it may lack some.

    Raises:
        DataError: no session has all of them.
    """
    complete = table.select(pl.all_horizontal(pl.col(columns).is_not_null())).to_series().arg_true()
    if complete.is_empty():
        raise DataError(f"no session has all of {list(columns)}; choose columns that this source has.")
    own = table[complete[0] :]
    return Window(
        own["date"], columns_of(own, columns), *columns_of(own, ["return_1d", "drawdown_252d", "log_volatility_21d"]).T
    )


def _projection(name: str, settings: MethodConfig, columns: Sequence[str], window: Window) -> dict[str, np.ndarray]:
    """Centre, scale and principal axes of the fit window's complete rows.

    Raises:
        DataError: a column is constant.
    """
    rows = window.rows[~np.isnan(window.rows).any(axis=1)]
    center, scale = rows.mean(axis=0), rows.std(axis=0)
    constant = scale <= CONSTANT * np.maximum(np.abs(center), 1.0)
    if constant.any():
        raise DataError(
            f"{name}: {columns[int(constant.argmax())]} is constant over {len(rows)} sessions; check the index's rows."
        )
    n_axes = EMBEDDING_COMPONENTS if is_of_embeddings(name) and settings.components is None else settings.components
    frame = {CENTER: center, SCALE: scale, CLIP: np.array([settings.clip_sigma])}
    return frame if n_axes is None else frame | {AXES: _axes(standardised(frame, rows), n_axes)}


def _axes(values: Floats, n_axes: int) -> Floats:
    """(F, C) principal axes, each divided by the spread along it, its largest loading positive."""
    _, spread, turned = np.linalg.svd(values, full_matrices=False)
    n = min(n_axes, int((spread > spread[0] * 1e-8).sum()))
    axes = turned[:n] * np.sign(turned[np.arange(n), np.abs(turned[:n]).argmax(axis=1)])[:, None]
    return np.ascontiguousarray((axes / (spread[:n, None] / np.sqrt(len(values)))).T)


def standardised(frame: Arrays, rows: Floats) -> Floats:
    """Rows in standard deviations from the fit window's mean, cut where that is far."""
    limit = float(frame[CLIP][0])
    return np.ascontiguousarray(np.clip((rows - frame[CENTER]) / frame[SCALE], -limit, limit))


def projected(frame: Arrays, rows: Floats) -> Floats:
    """Rows as a method sees them.

    A row's sum over inputs is made for it alone, so that no other row changes its last digit.
    """
    values = standardised(frame, rows)
    if AXES not in frame:
        return values
    return np.asarray((values[:, :, None] * frame[AXES][None]).sum(axis=1))


def columns_of(table: pl.DataFrame, columns: Sequence[str]) -> Floats:
    """(T, F), NaN for null."""
    found: Floats = table.select(pl.col(columns).cast(pl.Float64).fill_null(np.nan)).to_numpy()
    return np.ascontiguousarray(found)


def _day(table: pl.DataFrame, place: int) -> date:
    found = table["date"][place]
    assert isinstance(found, date)
    return found
