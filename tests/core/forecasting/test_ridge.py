"""Ridge: the closed form, repeatability, missing inputs, the planted and the absent signal."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from windows import fit, predict

from quant_core.errors import DataError, UnknownName
from quant_core.fitted import Fitted
from quant_core.forecasting import MODELS
from quant_core.forecasting.models.ridge import RidgeConfig, importance
from quant_core.forecasting.scores import summary
from quant_core.measures.information_coefficient import rank_ic_by_date

Panel = Callable[..., pl.DataFrame]


def later(window: pl.DataFrame, years: int = 3) -> pl.DataFrame:
    """The window's rows as features of a later time."""
    return window.select(pl.col("date") + timedelta(days=365 * years), "ticker", "signal", "noise")


def test_the_coefficients_solve_the_normal_equations(linear_window: Panel) -> None:
    window = linear_window(0.3, seed=1)
    fitted = fit(window, RidgeConfig(alpha=0.25), seed=0)
    x = window.select("signal", "noise").to_numpy()
    z = np.clip((x - x.mean(0)) / x.std(0), -5, 5)
    y = window["label"].to_numpy()
    centred = z - z.mean(0)
    by_hand = np.linalg.solve(centred.T @ centred + 0.25 * len(z) * np.eye(2), centred.T @ (y - y.mean()))
    np.testing.assert_allclose(fitted.arrays["coefficients"], by_hand, rtol=1e-10)
    np.testing.assert_allclose(fitted.arrays["intercept"][0], y.mean() - z.mean(0) @ by_hand, rtol=1e-10)
    score = predict(fitted, later(window))["score"].to_numpy()
    np.testing.assert_allclose(score, z @ by_hand + fitted.arrays["intercept"][0], rtol=1e-10)


def test_a_refit_is_bit_identical_and_the_manifest_records_the_window(linear_window: Panel) -> None:
    window = linear_window(0.3, seed=2)
    first, again = (fit(window, RidgeConfig(), seed=4) for _ in range(2))
    assert first.manifest == again.manifest
    assert all((first.arrays[name] == again.arrays[name]).all() for name in first.arrays)
    manifest = first.manifest
    assert (manifest.kind, manifest.config["seed"], manifest.facts["horizon_sessions"]) == ("ridge", 4, 5)
    assert (manifest.fit_start, manifest.fit_end) == (window["date"].min(), window["label_end_date"].max())
    assert manifest.columns == ("signal", "noise")
    assert fit(window.head(-1), RidgeConfig(), 4).manifest.data_hash != manifest.data_hash


def test_a_fit_survives_the_disk(linear_window: Panel, tmp_path: Path) -> None:
    window = linear_window(0.3, seed=2)
    fitted = fit(window, RidgeConfig(columns=("signal",)), seed=4)
    restored = Fitted.from_bytes(fitted.to_bytes())
    assert restored.manifest == fitted.manifest
    assert predict(restored, later(window)).equals(predict(fitted, later(window)))


def test_a_missing_input_counts_as_the_fit_windows_mean(linear_window: Panel) -> None:
    window = linear_window(0.3, seed=3)
    holes = pl.int_range(pl.len())
    broken = window.with_columns(
        pl.when(holes == 0).then(None).when(holes == 1).then(float("nan")).when(holes == 2).then(float("inf"))
        .otherwise(pl.col("noise")).alias("noise")
    )  # fmt: skip
    fitted = fit(broken, RidgeConfig(), seed=0)
    assert fitted.manifest.n_rows == window.height
    assert fitted.arrays["mean"][1] == pytest.approx(window["noise"][3:].mean(), abs=1e-14)
    scored = predict(fitted, later(broken))
    assert scored.height == window.height
    filled = pl.when(holes < 3).then(fitted.arrays["mean"][1]).otherwise(pl.col("noise"))
    assert scored.equals(predict(fitted, later(broken).with_columns(filled.alias("noise"))))


def test_an_input_that_is_mostly_missing_is_left_out(linear_window: Panel) -> None:
    window = linear_window(0.3, seed=3).with_columns(sparse=pl.lit(None, dtype=pl.Float64))
    assert fit(window, RidgeConfig(), seed=0).manifest.columns == ("signal", "noise")
    with pytest.raises(DataError, match="none of 1 inputs"):
        fit(window, RidgeConfig(columns=("sparse",)), seed=0)


def test_an_extreme_input_is_cut_at_the_clip(linear_window: Panel) -> None:
    fitted = fit(linear_window(0.5, seed=3), RidgeConfig(clip_sigma=2.0), seed=0)
    rows = pl.DataFrame({"date": date(2030, 1, 1), "ticker": ["A", "B"], "signal": [50.0, 5000.0], "noise": [0.0, 0.0]})
    scores = predict(fitted, rows)["score"]
    assert scores[0] == scores[1]
    slope = fitted.arrays["coefficients"]
    at_zero = -fitted.arrays["mean"][1] / fitted.arrays["scale"][1] * slope[1]
    assert scores[0] == pytest.approx(2.0 * slope[0] + at_zero + fitted.arrays["intercept"][0], abs=1e-12)


def test_only_eligible_rows_are_scored(linear_window: Panel) -> None:
    window = linear_window(0.3, seed=3)
    rows = later(window).with_columns(is_eligible=pl.col("ticker") == "T01")
    assert predict(fit(window, RidgeConfig(), 0), rows)["ticker"].unique().to_list() == ["T01"]


def test_a_planted_signal_is_found_out_of_sample(linear_window: Panel) -> None:
    fitted = fit(linear_window(0.2, seed=10), RidgeConfig(), seed=0)
    table = importance(fitted)
    assert table["feature"][0] == "signal"
    assert table["importance_share"].sum() == pytest.approx(1.0)
    future = linear_window(0.2, seed=11).with_columns(pl.col("date") + timedelta(days=1000))
    found = summary(rank_ic_by_date(predict(fitted, future), future.select("date", "ticker", "forward_return_5d")), 5)
    assert found["nw_t"] > 5
    assert found["mean_rank_ic"] == pytest.approx(0.19, abs=0.06)  # 0.2 / sqrt(1.04), shrunk a little by ranking


@pytest.mark.slow
def test_no_signal_stays_insignificant_over_seeds(linear_window: Panel) -> None:
    found = []
    for seed in range(20):
        fitted = fit(linear_window(0.0, seed=100 + seed), RidgeConfig(), seed=0)
        future = linear_window(0.0, seed=200 + seed).with_columns(pl.col("date") + timedelta(days=1000))
        returns = future.select("date", "ticker", "forward_return_5d")
        found.append(summary(rank_ic_by_date(predict(fitted, future), returns), 5)["nw_t"])
    assert max(map(abs, found)) < 3.5
    assert abs(np.mean(found)) < 1.0
    assert 0.6 < np.std(found) < 1.7


def test_the_registry_offers_ridge_and_names_what_it_knows() -> None:
    model = MODELS["ridge"]
    assert (model.name, model.config_class, model.resources.gpu) == ("ridge", RidgeConfig, False)
    with pytest.raises(UnknownName, match="ridge"):
        MODELS["rigde"]


def test_wrong_settings_and_columns_are_refused(linear_window: Panel) -> None:
    window = linear_window(0.3, seed=3)
    with pytest.raises(DataError, match="alpha > 0"):
        RidgeConfig(alpha=0.0)
    with pytest.raises(TypeError):
        RidgeConfig(lambda_=1.0)  # type: ignore[call-arg]
    with pytest.raises(DataError, match=r"\['carry'\] are missing"):
        fit(window, RidgeConfig(columns=("signal", "carry")), 0)
    with pytest.raises(DataError, match="rows are complete enough"):
        fit(window.head(2), RidgeConfig(), 0)
    fitted = fit(window, RidgeConfig(), 0)
    with pytest.raises(DataError, match=r"\['noise'\] are missing"):
        predict(fitted, later(window).drop("noise"))
