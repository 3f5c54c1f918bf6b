"""Calibration of a score and of a distribution: hand values, coverage out of sample, and what it may not change."""

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from calibration_cases import HORIZON, Slice, simulated
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import Case, case_of

from quant_core.causality import assert_causal
from quant_core.errors import DataError, LookaheadError
from quant_core.fitted import Fitted
from quant_core.forecasting import TrainingData, calibration
from quant_core.forecasting.calibration import VOLATILITY, calibrated, conformal_quantile, fit_calibration
from quant_core.forecasting.model import with_calibration
from quant_core.forecasting.models.ridge import RidgeConfig
from quant_core.measures.calibration import coverage, log_loss, qlike
from quant_core.schema import DISTRIBUTION_COLUMNS, QUANTILE_COLUMNS

LATER = date(2021, 1, 1)
CONFIG = RidgeConfig(horizon_sessions=HORIZON, columns=("log_return_1d", "noise"))


def applied(arrays: dict[str, np.ndarray], rows: Slice) -> pl.DataFrame:
    return calibrated(arrays, rows.said, rows.volatility[VOLATILITY])


def columns(table: pl.DataFrame, *names: str) -> list[np.ndarray]:
    return [table[name].to_numpy() for name in names]


@pytest.fixture(scope="module", params=[False, True], ids=["score", "distribution"])
def fit_and_later(request: pytest.FixtureRequest) -> tuple[dict[str, np.ndarray], Slice]:
    fitted = simulated(1, 150, distribution=request.param)
    arrays = fit_calibration(fitted.said, fitted.labels, fitted.volatility)
    return arrays, simulated(2, 250, distribution=request.param, start=LATER)


def test_intervals_hold_what_they_say_out_of_sample(fit_and_later: tuple[dict[str, np.ndarray], Slice]) -> None:
    arrays, later = fit_and_later
    said, earned = applied(arrays, later), later.labels["forward_return"].to_numpy()
    for low, high, share in (("q05", "q95", 0.9), ("q10", "q90", 0.8), ("q25", "q75", 0.5)):
        found = coverage(*columns(said, f"return_{low}", f"return_{high}"), earned)
        assert abs(found - share) < 0.03, (share, found)
    error = earned - said["expected_return"].to_numpy()
    assert np.sqrt(np.mean((error / said["return_std"].to_numpy()) ** 2)) == pytest.approx(1.0, abs=0.05)
    assert abs(np.mean(error / said["return_std"].to_numpy())) < 0.05


def test_probabilities_and_variance_get_better(fit_and_later: tuple[dict[str, np.ndarray], Slice]) -> None:
    arrays, later = fit_and_later
    said, happened = applied(arrays, later), later.labels["direction"].to_numpy().astype(float) + 1.0
    down, up = columns(said, "prob_down", "prob_up")
    loss = log_loss(np.stack([down, 1 - down - up, up], axis=1), happened).mean()
    share = np.bincount(happened.astype(int)) / len(happened)
    assert loss < -(share * np.log(share)).sum()  # the base rates, known in hindsight
    if "prob_up" in later.said.columns:
        down, up = columns(later.said, "prob_down", "prob_up")
        assert loss < log_loss(np.stack([down, 1 - down - up, up], axis=1), happened).mean()
    realized = later.labels["realized_variance"].to_numpy()
    variance = said["expected_variance"].to_numpy()
    at = [qlike(scale * variance, realized).mean() for scale in (0.9, 1.0, 1.1)]
    assert at[1] == min(at)


def test_of_a_score_by_hand() -> None:
    """y = 1 + 2 score + e with e = -1 or 1 in turn: line (1, 2), scale 1, quantiles one below and one above."""
    n, day = 400, date(2020, 1, 1)
    score = np.repeat(np.linspace(-1, 1, n // 2), 2)
    y = 1 + 2 * score + np.tile([-1.0, 1.0], n // 2)
    sigma = 0.02
    keys = pl.DataFrame({"date": [day] * n, "ticker": [f"T{k:03d}" for k in range(n)]})
    labels = keys.with_columns(
        horizon_sessions=pl.lit(4, pl.Int32), forward_return=pl.Series(y * sigma * 2.0),
        direction=pl.Series(np.sign(y).astype(np.int8)), realized_variance=pl.lit(3.0 * sigma**2 * 4),
    )  # fmt: skip
    volatility = keys.with_columns(pl.lit(sigma * np.sqrt(252)).alias(VOLATILITY))
    arrays = fit_calibration(keys.with_columns(score=pl.Series(score)), labels, volatility)
    assert arrays["calibration.line"] == pytest.approx([1.0, 2.0])
    assert arrays["calibration.scale"] == pytest.approx([1.0])
    assert arrays["calibration.shifts"] == pytest.approx([-1, -1, -1, 0, 1, 1, 1])
    assert arrays["calibration.variance_ratio"] == pytest.approx([3.0])
    rows = pl.DataFrame({"date": [day], "ticker": ["NEW"], "score": [0.0]})
    said = calibrated(arrays, rows, pl.Series([0.01 * np.sqrt(252)])).row(0, named=True)
    unit = 0.01 * 2.0
    assert (said["expected_return"], said["return_std"]) == (pytest.approx(unit), pytest.approx(unit))
    quantiles = [said[name] for name in ("return_q05", "return_q50", "return_q95")]
    assert quantiles == pytest.approx([0.0, unit, 2.0 * unit], abs=1e-12)
    assert said["expected_variance"] == pytest.approx(3.0 * unit**2)
    assert said["prob_up"] == pytest.approx(0.5, abs=0.01)  # 0 or 2 units, and more than half a unit is up
    assert 0.0 < said["prob_down"] < 0.01  # never nothing


def test_a_signal_that_failed_is_shrunk_to_nothing_and_never_turned_round() -> None:
    fitted = simulated(6, 20, distribution=False)
    turned = fitted.said.with_columns(-pl.col("score"))
    intercept, slope = fit_calibration(turned, fitted.labels, fitted.volatility)["calibration.line"]
    assert (intercept, slope) == (pytest.approx(0.1, abs=0.1), 0.0)


def test_the_level_is_the_whole_windows_and_the_spread_is_the_slices() -> None:
    window, slice_ = simulated(7, 60, distribution=False), pl.col("date") >= date(2019, 3, 1)
    value = pl.col("forward_return")
    wild = pl.when(slice_).then(2 * value + 0.01).otherwise(value)
    labels = window.labels.with_columns(forward_return=wild)
    said = window.said.filter(slice_)
    whole = fit_calibration(said, labels, window.volatility)
    alone = fit_calibration(said, labels.filter(slice_), window.volatility)
    y = labels["forward_return"] / (window.volatility[VOLATILITY] * np.sqrt(HORIZON / 252))
    level = y.mean() - y.filter(labels.select(slice_).to_series()).mean()  # type: ignore[operator]
    assert abs(level) > 0.05
    assert whole["calibration.line"] - alone["calibration.line"] == pytest.approx([level, 0.0])
    for name in ("scale", "shifts", "residuals", "variance_ratio"):
        assert (whole[f"calibration.{name}"] == alone[f"calibration.{name}"]).all()


def test_the_conformal_quantile_by_hand() -> None:
    values = np.arange(1.0, 20.0)[::-1]  # 19 values: (n + 1) p is whole
    assert [conformal_quantile(values, p) for p in (0.05, 0.1, 0.5, 0.9, 0.95)] == [1.0, 2.0, 10.0, 18.0, 19.0]
    assert [conformal_quantile(values[1:], p) for p in (0.1, 0.5, 0.9)] == [1.0, 9.5, 18.0]  # 1.9, 9.5 and 17.1


@given(
    st.lists(st.lists(st.floats(-3, 3), min_size=7, max_size=7), min_size=4, max_size=4),
    st.lists(st.floats(-5, 5), min_size=4, max_size=4),
)
@settings(max_examples=15, deadline=None)
def test_quantiles_never_cross_whatever_the_model_says(offsets: list[list[float]], scores: list[float]) -> None:
    fitted = simulated(3, 10, distribution=True)
    wild = pl.DataFrame(np.tile(offsets, (100, 1)), schema=list(QUANTILE_COLUMNS), orient="row") * 0.01
    said = fitted.said.drop(QUANTILE_COLUMNS).hstack(wild).with_columns(score=pl.Series(np.tile(scores, 100)))
    arrays = fit_calibration(said, fitted.labels, fitted.volatility)
    made = calibrated(arrays, said, fitted.volatility[VOLATILITY]).select(QUANTILE_COLUMNS).to_numpy()
    assert (np.diff(made, axis=1) >= 0.0).all()
    alone = fit_calibration(said.select("date", "ticker", "score"), fitted.labels, fitted.volatility)
    made = calibrated(alone, said.select("date", "ticker", "score"), fitted.volatility[VOLATILITY])
    assert (np.diff(made.select(QUANTILE_COLUMNS).to_numpy(), axis=1) >= 0.0).all()


def test_a_row_without_volatility_stays_as_it_was_said_and_keeps_its_score() -> None:
    fitted = simulated(4, 20, distribution=True)
    arrays = fit_calibration(fitted.said, fitted.labels, fitted.volatility)
    half = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col(VOLATILITY))
    made = calibrated(arrays, fitted.said, fitted.volatility.select(half)[VOLATILITY])
    assert made[1::2].equals(fitted.said[1::2].select(made.columns))
    assert made["score"].equals(fitted.said["score"])
    assert (made[::2]["return_std"] > 1.5 * fitted.said[::2]["return_std"]).all()
    only = calibrated(arrays, fitted.said.select("date", "ticker", "score"), fitted.volatility[VOLATILITY])
    assert only.select(QUANTILE_COLUMNS).null_count().sum_horizontal()[0] == 7 * only.height  # it was to say them


def test_too_few_rows_have_no_calibration_and_two_horizons_are_refused() -> None:
    few = simulated(5, 4, distribution=False)
    assert fit_calibration(few.said, few.labels, few.volatility) == {}
    assert fit_calibration(few.said.clear(), few.labels, few.volatility) == {}
    many = simulated(5, 6, distribution=False)
    two = pl.concat([many.labels, many.labels.with_columns(horizon_sessions=pl.lit(21, pl.Int32))])
    with pytest.raises(DataError, match=r"over \[5, 21\] sessions"):
        fit_calibration(many.said, two, many.volatility)


# ---- in a model's artifact and its forecasts -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def case() -> Case:
    """The ridge case with a volatility beside its inputs."""
    made = case_of("ridge")
    noise = np.random.default_rng(5).uniform(0.2, 0.4, made.features.height)
    return replace(made, features=made.features.with_columns(pl.Series(VOLATILITY, noise)))


def with_slice(case: Case) -> Fitted:
    """A fit that said of its newest days what it knew: their scores by the fitted model itself."""
    fitted = case.model.fit(case.data, CONFIG, lambda *_: None)
    first = case.labels["date"].unique().sort()[-40]
    said = case.model.predict(fitted, case.features.filter(pl.col("date") < LATER.replace(year=2020)), first)
    return replace(fitted, validation=said.join(case.labels, on=["date", "ticker"], how="semi"))


def test_a_fit_keeps_its_calibration_through_bytes_and_its_fit_end(case: Case) -> None:
    fitted = with_slice(case)
    made = with_calibration(fitted, case.data, CONFIG)
    assert made.manifest.fit_end == fitted.manifest.fit_end
    assert {"slope", "scale", "n_rows"} <= made.manifest.facts["calibration"].keys()
    restored = Fitted.from_bytes(made.to_bytes())
    scores = case.scores(restored, case.features)
    assert scores.equals(case.scores(made, case.features))
    assert scores.select(DISTRIBUTION_COLUMNS).null_count().sum_horizontal()[0] == 0
    assert scores["score"].equals(case.scores(fitted, case.features)["score"])
    plain = case.scores(made, case.features.drop(VOLATILITY))
    assert plain["return_std"].null_count() == plain.height


def test_why_a_fit_has_no_calibration_is_in_its_facts(case: Case) -> None:
    fitted = with_slice(case)
    bare = TrainingData.of(case.labels, case.data.features.drop(VOLATILITY))
    for made, why in (
        (with_calibration(fitted, bare, CONFIG), "no realized_vol_63d_ann"),
        (with_calibration(replace(fitted, validation=pl.DataFrame()), case.data, CONFIG), "no validation slice"),
        (with_calibration(replace(fitted, validation=fitted.validation.head(9)), case.data, CONFIG), "fewer than"),
    ):
        assert why in made.manifest.facts["calibration"]
        assert not calibration.has_calibration(made.arrays)


def test_calibrated_forecasts_never_read_the_future_and_a_planted_leak_is_caught(case: Case) -> None:
    fitted = with_calibration(with_slice(case), case.data, CONFIG)
    cut, keys = date(2020, 2, 14), ("date", "ticker", "model")
    assert_causal(lambda table: case.scores(fitted, table), case.features, cut, keys=keys)

    def leaky(table: pl.DataFrame) -> pl.DataFrame:
        ahead = table.sort("date").with_columns(pl.col(VOLATILITY).shift(-1).over("ticker"))
        return case.scores(fitted, ahead)

    with pytest.raises(LookaheadError, match="expected_return"):
        assert_causal(leaky, case.features, cut, keys=keys)
