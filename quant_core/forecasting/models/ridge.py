"""Ridge regression on the day's features: the linear baseline that every other forecaster must beat.

Source: Hoerl and Kennard, Ridge Regression, Technometrics 12(1), 1970; the estimator is scikit-learn's.
"""

from dataclasses import asdict, dataclass

import numpy as np
import polars as pl

from quant_core.artifacts import Manifest, code_version, frame_hash, guard
from quant_core.errors import DataError
from quant_core.forecasting import MODELS, Fitted, Model

FORWARD_PREFIX = "forward_return_"
NOT_INPUTS = frozenset({"date", "ticker", "label_end_date", "label", "is_eligible"})


@dataclass(frozen=True)
class RidgeConfig:
    """Settings of the ridge forecaster."""

    alpha: float = (
        10.0  # penalty on the squared coefficients of standardised inputs, against the *sum* of squared errors
    )
    columns: tuple[str, ...] | None = None  # inputs; None takes every numeric column of the window
    clip_sigma: float = 5.0  # standardised inputs are cut at this many standard deviations, in fit and predict alike
    max_null_share: float = 0.2  # an input with a greater share of null, NaN or infinite rows in the window is left out

    def __post_init__(self) -> None:
        if self.alpha <= 0 or self.clip_sigma <= 0 or not 0 <= self.max_null_share <= 1:
            raise DataError(
                f"ridge: {self}; wanted alpha > 0, clip_sigma > 0 and max_null_share in 0..1; correct the setting."
            )
        if self.columns is not None:
            object.__setattr__(self, "columns", tuple(self.columns))


def fit(window: pl.DataFrame, config: RidgeConfig, seed: int) -> Fitted:
    """Fit on a training window; rows with a missing input or label are dropped.

    Args:
        window: the result of `labels.training_window`.
        seed: recorded only; the closed-form solution draws no random number.
    Raises:
        DataError: a wanted column is absent, or fewer complete rows than inputs are left.
    """
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    columns = _inputs(window, config)
    rows = _complete(window, (*columns, "label"))
    if rows.height <= len(columns):
        raise DataError(
            f"ridge: {rows.height} of {window.height} rows are complete for {len(columns)} inputs; "
            "lower max_null_share, name fewer columns or widen the training window."
        )
    matrix = _matrix(rows, columns)  # (rows, inputs)
    scaler = StandardScaler().fit(matrix)
    mean, scale = np.asarray(scaler.mean_), np.asarray(scaler.scale_)
    model = Ridge(alpha=config.alpha, solver="cholesky")
    model.fit(_standardise(matrix, mean, scale, config.clip_sigma), rows["label"].to_numpy())
    arrays = {
        "mean": mean,
        "scale": scale,
        "coefficients": np.asarray(model.coef_),
        "intercept": np.asarray([model.intercept_]),
    }
    return Fitted(arrays, _manifest(rows, columns, config, seed))


def predict(fitted: Fitted, features: pl.DataFrame) -> pl.DataFrame:
    """Scores of the rows that have every input (and are eligible, where the column is present); other rows get none.

    Raises:
        LookaheadError: a row is dated on or before the artifact's fit_end. DataError: an input column is absent.
    """
    guard(fitted.manifest, features)
    columns = fitted.manifest.columns
    _check_present(features, columns)
    rows = features.filter(pl.col("is_eligible")) if "is_eligible" in features.columns else features
    rows = _complete(rows, columns)
    arrays = fitted.arrays
    matrix = _standardise(
        _matrix(rows, columns), arrays["mean"], arrays["scale"], float(fitted.manifest.config["clip_sigma"])
    )
    score = pl.Series("score", matrix @ arrays["coefficients"] + arrays["intercept"][0], dtype=pl.Float64)
    return rows.select("date", "ticker").with_columns(score).sort("date", "ticker")


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


def _inputs(window: pl.DataFrame, config: RidgeConfig) -> tuple[str, ...]:
    """Input columns of the window that are present often enough."""
    if config.columns is not None:
        _check_present(window, config.columns)
    numeric = (name for name, dtype in window.schema.items() if dtype.is_numeric() or dtype == pl.Boolean)
    usable = tuple(name for name in numeric if name not in NOT_INPUTS and not name.startswith(FORWARD_PREFIX))
    named = config.columns or usable
    missing = window.select((1.0 - _finite(name).mean().fill_null(0.0)).alias(name) for name in named)
    kept = tuple(name for name in named if missing[name].item() <= config.max_null_share)
    if not kept:
        raise DataError(
            f"ridge: none of {len(named)} inputs is present in {1 - config.max_null_share:.0%} of the "
            f"{window.height} rows; materialize more history or raise max_null_share."
        )
    return kept


def _finite(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64).is_finite().fill_null(False)


def _complete(rows: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    return rows.filter(pl.all_horizontal(_finite(name) for name in columns))


def _matrix(rows: pl.DataFrame, columns: tuple[str, ...]) -> np.ndarray:
    return rows.select(pl.col(columns).cast(pl.Float64)).to_numpy()


def _standardise(matrix: np.ndarray, mean: np.ndarray, scale: np.ndarray, clip_sigma: float) -> np.ndarray:
    standard: np.ndarray = np.clip((matrix - mean) / scale, -clip_sigma, clip_sigma)
    return standard


def _check_present(table: pl.DataFrame, columns: tuple[str, ...]) -> None:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(f"ridge: inputs {missing} are missing; enable these features or refit the model without them.")


def _manifest(rows: pl.DataFrame, columns: tuple[str, ...], config: RidgeConfig, seed: int) -> Manifest:
    horizons = [name for name in rows.columns if name.startswith(FORWARD_PREFIX)]
    if len(horizons) != 1:
        raise DataError(
            f"ridge: the window has forward return columns {horizons}, wanted one; use labels.training_window."
        )
    keys = ["date", "ticker", "label_end_date", "label"]
    return Manifest(
        kind="ridge",
        fit_start=rows["date"].min(),  # type: ignore[arg-type]
        fit_end=rows["label_end_date"].max(),  # type: ignore[arg-type]
        n_rows=rows.height,
        columns=columns,
        data_hash=frame_hash(rows.select(*keys, *columns)),
        config=asdict(config) | {"columns": list(config.columns) if config.columns is not None else None},
        seed=seed,
        code_version=code_version(),
        horizon_sessions=int(horizons[0].removeprefix(FORWARD_PREFIX).removesuffix("d")),
    )


SUMMARY = "Linear, penalised, closed form: the baseline."
MODELS.register("ridge")(Model("ridge", RidgeConfig, fit, predict, summary=SUMMARY, importance=importance))
