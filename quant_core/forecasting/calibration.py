"""From what a model says to what can be believed: location, scale, quantiles, probabilities and variance of a forecast,
corrected by what came true on the validation slice of its fit. The same for every model; the score is never touched.

With sigma a row's daily volatility, h the horizon and y = r / (sigma sqrt(h)) its standardised return, a model's
location l (its expected return, else its median, else its score) and spread s (its standard deviation, else its
quartiles' distance / 1.349, else 1) become

    y = a + b l + c s e      a, b by least squares with b >= 0, c the root mean square of (y - a - b l) / s,

but that the level is that of the whole fit window: a moves by the difference of the mean y of window and slice. A
quantile of level p becomes a + b l + c (q - l) + c s d_p with d_p the conformal p-quantile of what that leaves, in
units of c s, and crossing ones change places. Probabilities of a direction are tempered, p^(1/T), or read off the
distribution of e; a variance is multiplied by the ratio that minimises QLIKE. A signal may shrink to nothing (b = 0);
it is never turned round, as the score that is traded would not turn with it.

Rows of one date, and labels that overlap, count as if they were independent. A slice of a year at 21 sessions holds
about a dozen independent dates: too few for a level, which is why the window's is taken (docs/experiments.md), and
coverage still strays from its target by more than the number of rows suggests.

Sources: split conformal: Lei et al., Distribution-Free Predictive Inference for Regression, JASA 113 (2018); shifts of
quantiles: Romano, Patterson and Candes, Conformalized Quantile Regression, NeurIPS 2019; order: Chernozhukov,
Fernandez-Val and Galichon, Econometrica 78 (2010); temperature: Guo et al., On Calibration of Modern Neural Networks,
ICML 2017.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Flags, Floats
from quant_core.errors import DataError
from quant_core.measures.calibration import log_loss
from quant_core.schema import DISTRIBUTION_COLUMNS, QUANTILE_COLUMNS, QUANTILE_LEVELS

#: The feature that says how much a name moves, in a year's units.
VOLATILITY = "realized_vol_63d_ann"
PREFIX = "calibration."
#: Rows of a validation slice that a calibration needs: the outermost levels rest on a twentieth of them.
FEWEST_ROWS = 200
#: Distance of a normal distribution's quartiles in standard deviations.
QUARTILES_APART = 1.349
#: Levels at which the distribution of what is left is kept.
GRID = np.arange(1, 200) / 200
#: Temperatures that are tried.
TEMPERATURES = np.exp(np.linspace(math.log(0.25), math.log(20.0), 241))
SMALLEST_SPREAD = 1e-9

#: What a model may say beside its score; which of them it does is settled on its validation slice.
PARTS = ("expected_return", "return_std", "quantiles", "probabilities", "expected_variance")
PART_COLUMNS = {"quantiles": QUANTILE_COLUMNS, "probabilities": ("prob_down", "prob_up")}

Arrays = Mapping[str, np.ndarray]


def fit_calibration(
    validation: pl.DataFrame, labels: pl.DataFrame, volatility: pl.DataFrame, threshold: float = 0.5
) -> dict[str, np.ndarray]:
    """What turns a model's words into calibrated ones, from its validation slice.

    Args:
        validation: rows (date, ticker, score) and any of DISTRIBUTION_COLUMNS, as the model said them.
        labels: TrainingLabels of one horizon, of the whole fit window.
        volatility: rows (date, ticker) with VOLATILITY, likewise.
        threshold: k of the label `direction`: beyond k sigma sqrt(h).
    Returns:
        arrays whose names begin with PREFIX; none where fewer than FEWEST_ROWS rows have label and volatility.
    Raises:
        DataError: labels of several horizons.
    """
    window = _with_outcomes(labels, volatility)
    rows = _complete(validation, window)
    if rows.height < FEWEST_ROWS:
        return {}
    horizon = _only_horizon(labels)
    unit = rows["sigma"].to_numpy() * math.sqrt(horizon)
    y = rows["forward_return"].to_numpy() / unit
    parts = np.array([_says(rows, *PART_COLUMNS.get(part, (part,))) for part in PARTS])
    said = _Said.of(rows, unit, parts)
    a, b = _line(said.location, y)
    left = (y - a - b * said.location) / said.spread
    c = max(float(np.sqrt(np.mean(left**2))), SMALLEST_SPREAD)
    plain = a + b * said.location[:, None] + c * said.offsets  # (R, Q) before the shifts
    errors = (y[:, None] - plain) / (c * said.spread[:, None])
    shifts = [conformal_quantile(errors[:, k], level) for k, level in enumerate(QUANTILE_LEVELS)]
    found = {
        "line": [a + _mean_level(window, horizon) - float(y.mean()), b],
        "scale": [c],
        "shifts": shifts,
        "residuals": np.quantile(left / c, GRID),
        "horizon_sessions": [float(horizon)],
        "threshold": [threshold],
        "variance_ratio": [_variance_ratio(rows, unit, parts)],
        "temperature": [_temperature(rows) if parts[PARTS.index("probabilities")] else 1.0],
        "n_rows": [float(rows.height)],
        "n_dates": [float(rows["date"].n_unique())],
    }
    numbers = {f"{PREFIX}{name}": np.asarray(value, dtype=np.float64) for name, value in found.items()}
    return numbers | {f"{PREFIX}said": parts}


def has_calibration(arrays: Arrays) -> bool:
    """Whether an artifact's arrays hold a calibration."""
    return f"{PREFIX}line" in arrays


def calibrated(arrays: Arrays, rows: pl.DataFrame, volatility: pl.Series) -> pl.DataFrame:
    """What the model said, corrected; rows without a volatility are left as they were said.

    Args:
        arrays: of a fitted model that `has_calibration`.
        rows: date, ticker, score and any of DISTRIBUTION_COLUMNS.
        volatility: VOLATILITY of each of the rows.
    Returns:
        rows with all of DISTRIBUTION_COLUMNS.
    """
    one = {name.removeprefix(PREFIX): value for name, value in arrays.items() if name.startswith(PREFIX)}
    whole = _with_every_column(rows)
    (horizon,), (threshold,), (a, b), (c,) = (one[name] for name in ("horizon_sessions", "threshold", "line", "scale"))
    unit = volatility.cast(pl.Float64).fill_null(np.nan).to_numpy() * math.sqrt(horizon / SESSIONS_PER_YEAR)
    unit = np.where(unit > 0.0, unit, np.nan)
    said = _Said.of(whole, unit, one["said"])
    centre, spread = a + b * said.location, c * said.spread
    quantiles = centre[:, None] + c * said.offsets + one["shifts"] * spread[:, None]
    down, up = _directions(one, whole, centre, spread, threshold)
    columns = {
        "expected_return": centre * unit,
        "return_std": spread * unit,
        **dict(zip(QUANTILE_COLUMNS, (np.sort(quantiles, axis=1) * unit[:, None]).T, strict=True)),
        "prob_down": down,
        "prob_up": up,
        "expected_variance": _said_variance(whole, unit, one["said"]) * one["variance_ratio"][0],
    }
    new = [pl.Series(name, np.where(np.isnan(unit), np.nan, column)).fill_nan(None) for name, column in columns.items()]
    return whole.with_columns(pl.coalesce(pl.lit(series), pl.col(series.name)).alias(series.name) for series in new)


def conformal_quantile(values: Floats, level: float) -> float:
    """Split conformal quantile of n values: the ceil((n + 1) p)-th smallest above the median, the floor((n + 1) p)-th
    below it, so that an exchangeable next one lies outside with at most the wanted probability; their mean at 1/2."""
    ordered, place = np.sort(values), (len(values) + 1) * level
    low, high = (int(np.clip(step(place), 1, len(values))) - 1 for step in (math.floor, math.ceil))
    if level == 0.5:
        return float((ordered[low] + ordered[high]) / 2.0)
    return float(ordered[high if level > 0.5 else low])


@dataclass(frozen=True, eq=False)
class _Said:
    """What a model says of R rows, standardised by each row's unit sigma sqrt(h).

    Args:
        location, spread: (R,).
        offsets: (R, Q) of its quantiles from its location, 0 where it says none.
    """

    location: Floats
    spread: Floats
    offsets: Floats

    @classmethod
    def of(cls, rows: pl.DataFrame, unit: Floats, said: Flags) -> "_Said":
        """`said`: whether the model is one that says each of PARTS."""
        has = dict(zip(PARTS, said, strict=True))
        quantiles = np.stack([_floats(rows, name) / unit for name in QUANTILE_COLUMNS], axis=1)
        if has["expected_return"]:
            location = _floats(rows, "expected_return") / unit
        elif has["quantiles"]:
            location = quantiles[:, len(QUANTILE_LEVELS) // 2]
        else:
            location = np.where(np.isnan(unit), np.nan, _floats(rows, "score"))
        if has["return_std"]:
            spread = _floats(rows, "return_std") / unit
        elif has["quantiles"]:
            spread = (quantiles[:, -3] - quantiles[:, 2]) / QUARTILES_APART
        else:
            spread = np.ones(rows.height)
        offsets = quantiles - location[:, None] if has["quantiles"] else np.zeros(quantiles.shape)
        return cls(location, np.maximum(spread, SMALLEST_SPREAD), offsets)


def _with_outcomes(labels: pl.DataFrame, volatility: pl.DataFrame) -> pl.DataFrame:
    """Rows (date, ticker) of the window with what followed, and `sigma`, the daily volatility, where both are known."""
    outcomes = labels.select("date", "ticker", "forward_return", "direction", "realized_variance")
    daily = pl.col(VOLATILITY).cast(pl.Float64) / math.sqrt(SESSIONS_PER_YEAR)
    rows = outcomes.join(volatility.select("date", "ticker", sigma=daily), on=["date", "ticker"])
    known = pl.col("sigma").is_finite() & pl.col("forward_return").is_finite()
    return rows.filter(known, pl.col("sigma") > 0.0).sort("date", "ticker")


def _complete(validation: pl.DataFrame, window: pl.DataFrame) -> pl.DataFrame:
    """Rows of the slice with what followed them, those on which the model said all that it says."""
    if validation.is_empty():
        return window.clear()
    rows = _with_every_column(validation).join(window, on=["date", "ticker"])
    said = [name for name in DISTRIBUTION_COLUMNS if _says(rows, name)]
    return rows.filter(pl.all_horizontal(pl.col("score", *said).is_finite())).sort("date", "ticker")


def _mean_level(window: pl.DataFrame, horizon: int) -> float:
    """Mean standardised return of the window."""
    level = (pl.col("forward_return") / pl.col("sigma")).mean() / math.sqrt(horizon)
    return float(window.select(level).item())


def _only_horizon(labels: pl.DataFrame) -> int:
    horizons = labels["horizon_sessions"].unique().to_list()
    if len(horizons) != 1:
        raise DataError(
            f"calibration: labels over {sorted(horizons)} sessions, wanted one horizon; use TrainingData.at."
        )
    return int(horizons[0])


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Intercept and slope, at least 0, of the least-squares line."""
    centred = x - x.mean()
    variance = float(centred @ centred)
    varies = variance > SMALLEST_SPREAD * len(x) * x.mean() ** 2
    slope = max(float(centred @ (y - y.mean())) / variance, 0.0) if varies else 0.0
    return float(y.mean() - slope * x.mean()), slope


def _directions(
    one: Arrays, rows: pl.DataFrame, centre: Floats, spread: Floats, threshold: float
) -> tuple[Floats, Floats]:
    """(R,) probabilities of less than -k and of more than k units."""
    if one["said"][PARTS.index("probabilities")]:
        tempered = _tempered(_classes(rows), float(one["temperature"][0]))
        return tempered[:, 0], tempered[:, 2]
    known = one["residuals"]
    z = ((-threshold - centre) / spread, (threshold - centre) / spread)
    below = [np.interp(value, known, GRID) for value in z]  # never 0 or 1: the grid ends before them
    missing = np.isnan(centre)
    return np.where(missing, np.nan, below[0]), np.where(missing, np.nan, 1.0 - below[1])


def _classes(rows: pl.DataFrame) -> Floats:
    """(R, 3) said probabilities of down, flat and up."""
    down, up = (_floats(rows, name) for name in ("prob_down", "prob_up"))
    return np.clip(np.stack([down, 1.0 - down - up, up], axis=1), 1e-9, 1.0)


def _tempered(probabilities: Floats, temperature: float) -> Floats:
    """p^(1/T) over their sum: T above 1 moves them together, below 1 apart."""
    powers = probabilities ** (1.0 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _temperature(rows: pl.DataFrame) -> float:
    """The one with the smallest log loss on the rows whose direction is known; 1 where none is."""
    known = rows.drop_nulls("direction")
    if known.is_empty():
        return 1.0
    classes, happened = _classes(known), known["direction"].cast(pl.Float64).to_numpy() + 1.0
    losses = [float(log_loss(_tempered(classes, t), happened).mean()) for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _said_variance(rows: pl.DataFrame, unit: Floats, said: Flags) -> Floats:
    """The variance that the model says, else sigma^2 h."""
    return _floats(rows, "expected_variance") if said[PARTS.index("expected_variance")] else unit**2


def _variance_ratio(rows: pl.DataFrame, unit: Floats, parts: Flags) -> float:
    """mean(realised / said): the factor on what is said that has the least QLIKE; 1 where nothing is known."""
    said, realized = _said_variance(rows, unit, parts), _floats(rows, "realized_variance")
    usable: Flags = (realized > 0.0) & (said > 0.0)
    return float(np.mean(realized[usable] / said[usable])) if usable.any() else 1.0


def _says(rows: pl.DataFrame, *names: str) -> bool:
    return all(rows[name].is_not_null().any() for name in names)


def _with_every_column(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with DISTRIBUTION_COLUMNS, null where they had none."""
    return rows.with_columns(pl.lit(None, pl.Float64).alias(n) for n in DISTRIBUTION_COLUMNS if n not in rows.columns)


def _floats(rows: pl.DataFrame, name: str) -> Floats:
    return rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()


def facts(arrays: Arrays) -> dict[str, Any]:
    """What a manifest tells of a calibration."""
    one = {name.removeprefix(PREFIX): value for name, value in arrays.items() if name.startswith(PREFIX)}
    told = {"intercept": one["line"][0], "slope": one["line"][1], "scale": one["scale"][0]}
    told |= {name: one[name][0] for name in ("temperature", "variance_ratio")}
    counts = {name: int(one[name][0]) for name in ("n_rows", "n_dates")}
    return {name: float(f"{value:.6g}") for name, value in told.items()} | counts
