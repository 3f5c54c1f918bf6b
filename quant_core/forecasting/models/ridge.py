"""Ridge regression on the day's features: the linear baseline that every other forecaster must beat.

With z the standardised inputs of n rows, y their labels and a bar for a mean over rows, the coefficients b minimise

    1/n sum_i (y_i - ybar - (z_i - zbar)' b)^2 + alpha |b|^2,    b = (G + alpha I)^-1 c,
    G = 1/n (Z - zbar)' (Z - zbar),    c = 1/n (Z - zbar)' (y - ybar).

One eigendecomposition of G solves this for every alpha. The penalty is per row: it means the same in a window of any
length, and equals scikit-learn's `Ridge(alpha=n * alpha)`.

Source: Hoerl and Kennard, Ridge Regression, Technometrics 12(1), 1970.
"""

import math
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Log
from quant_core.forecasting import inputs
from quant_core.forecasting.inputs import LABEL
from quant_core.forecasting.model import MODELS, ForecasterConfig, Model, TrainingData, manifest
from quant_core.forecasting.validation import SHARE, rank_ic_of, said, validation_slice

Inputs = Literal["raw", "normalized", "rank"]

#: Half decades from a penalty below the smallest eigenvalues of G to one above the largest: 72 inputs of the NIFTY 50,
#: 2011-2022, have eigenvalues of 1e-4 to 20.
ALPHAS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
#: A standard deviation below this share of the mean is rounding: the input is constant.
CONSTANT = 1e-12


@dataclass(frozen=True)
class RidgeConfig(ForecasterConfig):
    """Settings of the ridge forecaster, beside those that every forecaster has. The closed form draws no random number.

    Args:
        inputs: one normalisation of the features, never two. "normalized": the columns that end in `_z<n>`, `_wz<n>` or
            `_rank`, or all of them in a window that has none (features.normalization "none"); "raw": the others, no
            one-day channel or static column among them; "rank": those, ranked among the date's eligible names.
        columns: inputs by name; they win over `inputs`, and one that is absent is an error.
        alpha: penalty on the squared coefficients of standardised inputs against the *mean* squared error, so an alpha
            against the sum, such as scikit-learn's, is n times this one; None chooses among `alphas`.
        alphas: candidates, each fitted on the window's older part and judged by the mean daily rank IC on its newest
            dates; of equals the strongest.
        validation_share: share of the window's dates on which the candidates are judged.
        clip_sigma: standardised inputs are cut at this many standard deviations, in fit and predict alike.
        max_null_share: an input with a greater share of null, NaN or infinite rows in the window is left out.
        max_row_null_share: a row that lacks a greater share of its inputs neither trains nor gets a score; in the
            others a missing input counts as the fit window's mean.
    """

    inputs: Inputs = "raw"  # rank IC on validation dates alone 0.044 against 0.033: docs/experiments.md
    columns: tuple[str, ...] | None = None
    alpha: float | None = None
    alphas: tuple[float, ...] = ALPHAS
    validation_share: float = SHARE
    clip_sigma: float = 5.0
    max_null_share: float = 0.5
    max_row_null_share: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "alphas", tuple(self.alphas))
        if self.columns is not None:
            object.__setattr__(self, "columns", tuple(self.columns))
        penalties = self.alphas if self.alpha is None else (self.alpha,)
        for setting, good, wanted in (
            ("inputs", self.inputs in get_args(Inputs), f"one of {get_args(Inputs)}"),
            ("columns", self.columns is None or 0 < len(set(self.columns)) == len(self.columns), "distinct names"),
            ("alpha", all(0 < a < math.inf for a in penalties), "finite and alpha > 0"),
            ("alphas", 0 < len(set(self.alphas)) == len(self.alphas), "distinct penalties"),
            ("validation_share", 0 < self.validation_share < 1, "a share in (0, 1)"),
            ("clip_sigma", self.clip_sigma > 0, "clip_sigma > 0"),
            ("max_null_share", 0 <= self.max_null_share <= 1, "a share in 0..1"),
            ("max_row_null_share", 0 <= self.max_row_null_share < 1, "a share in [0, 1)"),
        ):
            if not good:
                raise DataError(f"ridge: {setting} of {self}: wanted {wanted}; correct the setting.")


def fit(data: TrainingData, config: RidgeConfig, log: Log, kind: str = "ridge") -> Fitted:
    """Fit on a fold's labels: choose the penalty on their newest dates, then fit all of them.

    Args:
        kind: name of the model, in the manifest and in errors.
    Returns:
        arrays `mean`, `scale`, `coefficients` (an input each) and `intercept`; the manifest's facts hold the `alpha`
        that was used, the inputs `left_out` and the `validation` that chose alpha (None where it was given). The
        artifact's validation holds the scores of that alpha, fitted on the older rows; none where alpha was given and
        these are too few.
    Raises:
        DataError: a wanted column is absent or mostly null, fewer usable rows than inputs, or no date to choose on.
    """
    named = inputs.named_inputs(data, config.inputs, config.columns, kind)
    window = inputs.labelled(data, config, named, config.inputs)
    columns, left_out = inputs.present_often(window, named, config.max_null_share, kind, config.columns is not None)
    rows, matrix = inputs.usable(inputs.has_label(window), columns, config.max_row_null_share)
    _check_enough(rows, window, columns, kind)
    chosen, validation = _validate(rows, matrix, columns, config, kind)
    alpha = chosen["alpha"] if config.alpha is None else config.alpha
    arrays = _solve(matrix, rows[LABEL].to_numpy(), (alpha,), config.clip_sigma)
    arrays["coefficients"] = arrays["coefficients"][:, 0]
    arrays["intercept"] = arrays["intercept"][:1]
    rows = rows.select("date", "ticker", "label_end_date", LABEL, *columns)
    facts = {"alpha": alpha, "left_out": list(left_out), "validation": chosen if config.alpha is None else None}
    return Fitted(arrays, manifest(kind, rows, columns, config, **facts), validation=validation)


def predict(fitted: Fitted, features: pl.DataFrame, first: date) -> pl.DataFrame:
    """Scores of the eligible rows from `first` on that have most of their inputs; no others.

    Raises:
        DataError: an input column is absent.
    """
    columns, settings, arrays = fitted.manifest.columns, fitted.manifest.config, fitted.arrays
    inputs.check_present(features.columns, columns, fitted.manifest.kind)
    rows = features.filter(pl.col("date") >= first, "is_eligible")
    rows = inputs.as_kind(rows, columns, settings["inputs"])
    rows, matrix = inputs.usable(rows, columns, settings["max_row_null_share"])
    z = _standardise(matrix, arrays["mean"], arrays["scale"], settings["clip_sigma"])
    score = _scores(z, arrays["coefficients"][:, None], arrays["intercept"])[:, 0]
    return rows.select("date", "ticker").with_columns(pl.Series("score", score)).sort("date", "ticker")


def importance(fitted: Fitted) -> pl.DataFrame:
    """Coefficients of the standardised inputs, the greatest magnitude first.

    Returns:
        `feature`, `coefficient` (label units a standard deviation), `importance_share` (|coefficient| over their sum).
    """
    coefficient = pl.Series("coefficient", fitted.arrays["coefficients"])
    table = pl.DataFrame({"feature": list(fitted.manifest.columns), "coefficient": coefficient})
    size = pl.col("coefficient").abs()
    table = table.with_columns((size / size.sum()).alias("importance_share"))
    return table.sort([size, "feature"], descending=[True, False])


def _validate(
    rows: pl.DataFrame, matrix: Floats, columns: tuple[str, ...], config: RidgeConfig, kind: str
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Mean daily rank IC of every candidate on the newest dates, fitted on the rows whose label ended before them.

    Returns:
        `alpha` (the best), `rank_ic` by candidate, `first_date` and `n_dates` of the slice, `n_rows` behind the fits;
        and what the best said of the slice. A given alpha is the only candidate, and needs no slice that can judge it.
    """
    part = validation_slice(rows, config.validation_share)
    alphas = tuple(sorted(config.alphas)) if config.alpha is None else (config.alpha,)
    if config.alpha is not None and part.older.sum() <= len(columns):
        return {}, said(rows.clear(), np.empty(0))
    _check_enough(rows.filter(part.older), rows, columns, kind, f" before the validation slice from {part.first}")
    arrays = _solve(matrix[part.older], rows[LABEL].to_numpy()[part.older], alphas, config.clip_sigma)
    z = _standardise(matrix[part.newest], arrays["mean"], arrays["scale"], config.clip_sigma)
    scores = _scores(z, arrays["coefficients"], arrays["intercept"])  # (rows, candidates)
    judged = rows.filter(part.newest)
    known, n_dates = rank_ic_of(judged, scores, [repr(alpha) for alpha in alphas])
    if config.alpha is None and not known:
        raise DataError(
            f"{kind}: no date from {part.first} on has the labels of enough different names to choose alpha by rank "
            "IC; give alpha, or widen the training window or the universe."
        )
    best = max(range(len(alphas)), key=lambda k: (known.get(repr(alphas[k]), -math.inf), alphas[k]))
    return {
        "alpha": alphas[best],
        "rank_ic": known,
        "first_date": part.first.isoformat(),
        "n_dates": n_dates,
        "n_rows": int(part.older.sum()),
    }, said(judged, scores[:, best])


def _solve(matrix: Floats, label: Floats, alphas: tuple[float, ...], clip_sigma: float) -> dict[str, Floats]:
    """Scaler of the rows, and coefficients (inputs, candidates) and intercepts (candidates,) of every penalty."""
    missing = np.isnan(matrix)
    count = np.maximum(len(matrix) - missing.sum(axis=0), 1)
    mean = np.where(missing, 0.0, matrix).sum(axis=0) / count
    deviation = np.where(missing, 0.0, matrix - mean)
    spread = np.sqrt(np.einsum("ij,ij->j", deviation, deviation) / count)
    scale = np.where(spread > CONSTANT * np.abs(mean), spread, 1.0)
    z = _standardise(matrix, mean, scale, clip_sigma)
    centre = z.mean(axis=0)
    z -= centre
    gram, cross = z.T @ z / len(z), z.T @ (label - label.mean()) / len(z)
    size, axes = np.linalg.eigh(gram)
    penalised = np.maximum(size, 0.0)[:, None] + np.asarray(alphas)  # (inputs, candidates)
    coefficients = axes @ ((axes.T @ cross)[:, None] / penalised)
    intercept = label.mean() - centre @ coefficients
    return {"mean": mean, "scale": scale, "coefficients": coefficients, "intercept": intercept}


def _standardise(matrix: Floats, mean: Floats, scale: Floats, clip_sigma: float) -> Floats:
    """Standard deviations from the fit window's mean, cut at `clip_sigma`; a missing input is that mean, 0."""
    standard: Floats = matrix - mean
    standard /= scale
    np.clip(standard, -clip_sigma, clip_sigma, out=standard)
    standard[np.isnan(standard)] = 0.0
    return standard


def _scores(z: Floats, coefficients: Floats, intercept: Floats) -> Floats:
    """(rows, candidates) scores, summed in the order of the inputs: a row's last digit is no matter of its neighbours,
    as it is in a matrix product, whose blocks depend on the number of rows."""
    scores: Floats = np.tile(intercept, (len(z), 1))
    for column, coefficient in zip(z.T, coefficients, strict=True):
        scores += column[:, None] * coefficient
    return scores


def _check_enough(rows: pl.DataFrame, of: pl.DataFrame, columns: tuple[str, ...], kind: str, where: str = "") -> None:
    if rows.height <= len(columns):
        raise DataError(
            f"{kind}: {rows.height} of {of.height} rows are complete enough for {len(columns)} inputs{where}; raise "
            "max_row_null_share, name fewer columns or widen the training window."
        )


SUMMARY = "Linear, penalised, closed form: the baseline."
MODELS.register("ridge")(Model("ridge", RidgeConfig, fit, predict, summary=SUMMARY, importance=importance))
