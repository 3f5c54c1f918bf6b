"""Scores of a span with more than one fold: rows are scored by their own fold's model, once, and only new ones."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.errors import LookaheadError
from quant_core.fitted import Fitted, Manifest
from quant_core.forecasting import ForecasterConfig, Model
from quant_core.forecasting.model import forecasts

DAYS = [date(2019, 12, 31), date(2020, 1, 1), date(2020, 12, 31), date(2021, 1, 1), date(2021, 12, 31)]
FEATURES = pl.LazyFrame({"date": DAYS, "ticker": "A", "is_eligible": True})


def constant(value: float, fit_end: date) -> Fitted:
    """A model whose every score is `value`."""
    manifest = Manifest(
        kind="constant", fit_start=date(2015, 1, 1), fit_end=fit_end, n_rows=1, columns=(), data_hash="", config={},
        code_version="test", facts={"horizon_sessions": 5},
    )  # fmt: skip
    return Fitted({"value": np.array([value])}, manifest)


def predict(fitted: Fitted, features: pl.DataFrame, first: date) -> pl.DataFrame:
    rows = features.filter(pl.col("date") >= first)
    return rows.select("date", "ticker", score=pl.lit(float(fitted.arrays["value"][0])))


MODEL = Model("constant", ForecasterConfig, lambda *_: constant(0.0, DAYS[0]), predict)
FOLDS = {"2021": constant(0.21, date(2020, 12, 18)), "2020": constant(0.2, date(2019, 12, 20))}


def test_each_year_is_scored_by_its_own_fold_and_no_row_twice() -> None:
    made = forecasts(MODEL, FOLDS, FEATURES, DAYS[0], DAYS[-1])
    assert made.select("date", "fold", "fit_end", "score").rows() == [
        (DAYS[1], "2020", date(2019, 12, 20), 0.2),
        (DAYS[2], "2020", date(2019, 12, 20), 0.2),
        (DAYS[3], "2021", date(2020, 12, 18), 0.21),
        (DAYS[4], "2021", date(2020, 12, 18), 0.21),
    ]


def test_quarters_are_folds_like_years() -> None:
    quarters = {"2020-10": constant(0.4, date(2020, 9, 20)), "2021-01": constant(0.1, date(2020, 12, 18))}
    made = forecasts(MODEL, quarters, FEATURES, DAYS[0], DAYS[-1])
    assert made.select("date", "fold", "score").rows() == [(DAYS[2], "2020-10", 0.4), (DAYS[3], "2021-01", 0.1)]


def test_a_span_without_a_fitted_fold_has_no_score() -> None:
    assert forecasts(MODEL, {}, FEATURES, DAYS[0], DAYS[-1]).is_empty()
    assert forecasts(MODEL, {"2022": FOLDS["2021"]}, FEATURES, DAYS[0], DAYS[-1]).is_empty()


def test_rows_before_the_span_are_context_and_rows_that_are_not_eligible_get_no_score() -> None:
    seen: list[list[date]] = []

    def remember(fitted: Fitted, features: pl.DataFrame, first: date) -> pl.DataFrame:
        seen.append(features["date"].to_list())
        return predict(fitted, features, date(1990, 1, 1))  # says more than it was asked for

    model = Model("constant", ForecasterConfig, MODEL.fit, remember)
    rows = pl.LazyFrame({"date": DAYS[:3], "ticker": "A", "is_eligible": [True, False, True]})
    made = forecasts(model, FOLDS, rows, DAYS[1], DAYS[2], context_sessions=1)
    assert seen == [DAYS[:3]]
    assert made["date"].to_list() == [DAYS[2]]


def test_a_score_of_a_day_that_the_fit_has_seen_is_refused_whatever_the_model_says() -> None:
    late = {"2020": constant(0.2, date(2020, 1, 1))}
    with pytest.raises(LookaheadError, match=r"constant: 1 rows .*fit_end 2020-01-01"):
        forecasts(MODEL, late, FEATURES, DAYS[0], DAYS[-1])
