"""Scores of a span with more than one fold: a year's rows are scored by its own fold's model, once."""

from datetime import date

import numpy as np
import polars as pl

from quant_assets.assets.models import fitted_files
from quant_assets.assets.signals import score
from quant_core.fitted import Manifest
from quant_core.forecasting import Fitted, Model

DAYS = [date(2019, 12, 31), date(2020, 1, 1), date(2020, 12, 31), date(2021, 1, 1), date(2021, 12, 31)]


def constant(value: float, fit_end: date) -> dict[str, bytes]:
    """A stored model whose every score is `value`."""
    manifest = Manifest(
        kind="constant", fit_start=date(2015, 1, 1), fit_end=fit_end, n_rows=1, columns=(), data_hash="", config={},
        seed=7, code_version="test", horizon_sessions=5,
    )  # fmt: skip
    return fitted_files(Fitted({"value": np.array([value])}, manifest))


def predict(fitted: Fitted, features: pl.DataFrame) -> pl.DataFrame:
    return features.select("date", "ticker", score=pl.lit(float(fitted.arrays["value"][0])))


MODEL = Model("constant", dict, lambda *_: Fitted({}, None), predict)  # type: ignore[arg-type]
FOLDS = {"2021": constant(0.21, date(2020, 12, 18)), "2020": constant(0.2, date(2019, 12, 20))}


def test_each_year_is_scored_by_its_own_fold_and_no_row_twice() -> None:
    features = pl.DataFrame({"date": DAYS, "ticker": "A", "is_eligible": True})
    made = score(MODEL, FOLDS, features)
    assert made.select("date", "fold", "fit_end", "score").rows() == [
        (DAYS[1], 2020, date(2019, 12, 20), 0.2),
        (DAYS[2], 2020, date(2019, 12, 20), 0.2),
        (DAYS[3], 2021, date(2020, 12, 18), 0.21),
        (DAYS[4], 2021, date(2020, 12, 18), 0.21),
    ]


def test_a_span_without_a_fitted_fold_has_no_score() -> None:
    features = pl.DataFrame({"date": DAYS, "ticker": "A", "is_eligible": True})
    assert score(MODEL, None, features).is_empty()
    assert score(MODEL, {"2022": FOLDS["2021"]}, features).is_empty()
