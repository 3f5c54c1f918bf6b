"""Ridge reads the inputs that it names; its penalty is per row, chosen inside the fit window; a hole costs no row."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge
from windows import fit, predict

from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.features import FeatureConfig, feature_columns, model_columns
from quant_core.fitted import Fitted
from quant_core.forecasting.models.ridge import ALPHAS, RidgeConfig, importance
from quant_core.forecasting.scores import summary
from quant_core.measures.information_coefficient import rank_ic_by_date

Panel = Callable[..., pl.DataFrame]
Array = np.ndarray


def window_of(
    inputs: dict[str, Array], label: Array, n_tickers: int = 20, start: date = date(2018, 1, 1)
) -> pl.DataFrame:
    """A training window of `n_tickers` names a session; labels run over six sessions."""
    days = sessions(start, start + timedelta(days=3000))
    n_days = len(label) // n_tickers
    keys = [
        (day, end, f"T{k:03d}") for day, end in zip(days[:n_days], days[6:], strict=False) for k in range(n_tickers)
    ]
    frame = pl.DataFrame(keys, schema=["date", "label_end_date", "ticker"], orient="row")
    columns = [pl.Series(name, values) for name, values in inputs.items()]
    return frame.with_columns(pl.Series("forward_return_5d", 0.01 * label), pl.Series("label", label), *columns)


def later(window: pl.DataFrame) -> pl.DataFrame:
    """The inputs of the window, dated ten years on."""
    return window.drop("label_end_date", "forward_return_5d", "label").with_columns(
        pl.col("date") + timedelta(days=3650)
    )


def drawn(seed: int, n: int, names: int) -> dict[str, Array]:
    """Correlated inputs of very different scale."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((n, names)) @ rng.standard_normal((names, names))
    scale, centre = 10.0 ** rng.uniform(-4, 4, names), rng.standard_normal(names)
    return {f"x{k:02d}": (mixed[:, k] + centre[k]) * scale[k] for k in range(names)}


def standardised(matrix: Array, mean: Array, scale: Array, clip: float = 5.0) -> Array:
    return np.nan_to_num(np.clip((matrix - mean) / scale, -clip, clip), nan=0.0)


def by_sklearn(older: Array, label: Array, newest: Array, alpha: float) -> Array:
    """Scores of `newest` by the published estimator; NaN for a missing input."""
    mean, scale = np.nanmean(older, axis=0), np.nanstd(older, axis=0)
    z = standardised(older, mean, scale)
    model = Ridge(alpha=len(z) * alpha, solver="svd").fit(z, label)
    return np.asarray(model.predict(standardised(newest, mean, scale)))


# ---- which inputs -------------------------------------------------------------------------------------------------


def measures(names: list[str]) -> tuple[str, ...]:
    """Without one-day channels and static columns, which are for other models."""
    return tuple(name for name in names if not name.startswith(("channel_", "static_")))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["rolling_zscore", "winsorized_zscore", "cross_sectional_rank"])
def test_the_inputs_are_one_normalisation_of_the_features_never_two(how: str) -> None:
    features = FeatureConfig(normalization=how)
    rng = np.random.default_rng(0)
    columns = {name: rng.standard_normal(2000) for name in feature_columns(features)}
    window = window_of(columns, rng.standard_normal(2000))
    normalized = measures(model_columns(features))
    raw = tuple(name for name in measures(list(columns)) if name not in normalized)
    assert fit(window, RidgeConfig(inputs="normalized", alpha=1.0), 0).manifest.columns == normalized
    assert fit(window, RidgeConfig(inputs="raw", alpha=1.0), 0).manifest.columns == raw
    assert fit(window, RidgeConfig(alpha=1.0), 0).manifest.columns == raw
    assert len(raw) == len(normalized) == len(measures(list(columns))) // 2


def test_a_window_without_normalised_columns_is_what_models_read() -> None:
    rng = np.random.default_rng(0)
    names = model_columns(FeatureConfig(normalization="none"))
    window = window_of({name: rng.standard_normal(2000) for name in names}, rng.standard_normal(2000))
    for inputs in ("raw", "normalized"):
        assert fit(window, RidgeConfig(inputs=inputs, alpha=1.0), 0).manifest.columns == measures(names)
    only_z = window_of({"a_z252": rng.standard_normal(200)}, rng.standard_normal(200))
    with pytest.raises(DataError, match="no raw input; set inputs or columns"):
        fit(only_z, RidgeConfig(inputs="raw"), 0)


def test_inputs_by_name_win_and_keep_their_order() -> None:
    rng = np.random.default_rng(0)
    window = window_of(
        {name: rng.standard_normal(400) for name in ("a", "a_z252", "b", "b_rank")}, rng.standard_normal(400)
    )
    fitted = fit(window, RidgeConfig(inputs="raw", columns=("b_rank", "a")), 0)
    assert fitted.manifest.columns == ("b_rank", "a")
    assert fitted.manifest.config["columns"] == ["b_rank", "a"]
    with pytest.raises(DataError, match=r"inputs \['c'\] are missing"):
        fit(window, RidgeConfig(columns=("a", "c")), 0)


def test_a_named_input_that_is_mostly_null_is_an_error_and_one_found_by_rule_is_written_down() -> None:
    rng = np.random.default_rng(0)
    sparse = np.where(np.arange(400) < 201, np.nan, 1.0 * np.arange(400))
    half = np.where(np.arange(400) < 200, np.nan, 1.0 * np.arange(400))
    window = window_of({"a": rng.standard_normal(400), "sparse": sparse, "half": half}, rng.standard_normal(400))
    found = fit(window, RidgeConfig(), 0).manifest
    assert (found.columns, found.facts["left_out"]) == (("a", "half"), ["sparse"])
    with pytest.raises(DataError, match=r"1 of 2 inputs is present in 50% of the 400 rows, \['sparse'\] are not"):
        fit(window, RidgeConfig(columns=("a", "sparse")), 0)


# ---- the penalty --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_the_coefficients_are_scikit_learns_for_n_times_the_penalty(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, names = 20 * int(rng.integers(10, 60)), int(rng.integers(1, 30))
    inputs = drawn(seed, n, names)
    holes = (rng.random((n, names)) < 0.05 * (seed % 3)) & (np.arange(names) > 0)
    matrix = np.where(holes, np.nan, np.column_stack(list(inputs.values())))
    label = rng.standard_normal(n)
    window = window_of({f"x{k:02d}": matrix[:, k] for k in range(names)}, label)
    alpha = float(10.0 ** rng.uniform(-4, 2))
    fitted = fit(window, RidgeConfig(alpha=alpha, max_row_null_share=0.99), 0)
    z = standardised(matrix, np.nanmean(matrix, axis=0), np.nanstd(matrix, axis=0))
    model = Ridge(alpha=n * alpha, solver="cholesky").fit(z, label)
    np.testing.assert_allclose(fitted.arrays["coefficients"], model.coef_, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(fitted.arrays["intercept"][0], model.intercept_, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(predict(fitted, later(window))["score"], model.predict(z), rtol=1e-8, atol=1e-10)


def test_the_penalty_is_per_row_so_a_window_twice_as_long_of_the_same_rows_has_the_same_coefficients() -> None:
    inputs, label = drawn(1, 400, 8), np.random.default_rng(1).standard_normal(400)
    once = fit(window_of(inputs, label), RidgeConfig(alpha=0.3), 0)
    twice = window_of({name: np.tile(value, 2) for name, value in inputs.items()}, np.tile(label, 2))
    again = fit(twice, RidgeConfig(alpha=0.3), 0)
    np.testing.assert_allclose(again.arrays["coefficients"], once.arrays["coefficients"], rtol=1e-9)


def test_every_candidate_is_judged_by_its_daily_rank_ic_on_the_newest_dates_as_a_naive_loop_would() -> None:
    rng = np.random.default_rng(5)
    inputs, label = drawn(5, 1000, 6), rng.standard_normal(1000)
    inputs["x00"][rng.random(1000) < 0.1] = np.nan
    window = window_of(inputs, label)
    config = RidgeConfig(alphas=(0.01, 100.0, 1.0), validation_share=0.3)
    fitted = fit(window, config, 0)
    found = fitted.manifest.facts["validation"]
    days = window["date"].unique().sort()
    first = days[35]  # the last 15 of 50
    assert (found["first_date"], found["n_dates"]) == (first.isoformat(), 15)
    matrix = window.select(list(inputs)).to_numpy()
    older = (window["label_end_date"] < first).to_numpy()
    newest = (window["date"] >= first).to_numpy()
    assert found["n_rows"] == older.sum() == 20 * (35 - 6)  # six sessions are purged
    for alpha in config.alphas:
        scores = by_sklearn(matrix[older], label[older], matrix[newest], alpha)
        daily = [spearmanr(scores[k : k + 20], label[newest][k : k + 20])[0] for k in range(0, 300, 20)]
        assert found["rank_ic"][repr(alpha)] == pytest.approx(np.mean(daily), abs=1e-12)
    assert found["alpha"] == max(config.alphas, key=lambda alpha: found["rank_ic"][repr(alpha)])
    best = by_sklearn(matrix[older], label[older], matrix[newest], found["alpha"])
    said = fitted.validation
    assert said.select("date", "ticker").equals(window.filter(pl.col("date") >= first).select("date", "ticker"))
    np.testing.assert_allclose(said["score"] - said["score"].mean(), best - best.mean(), rtol=0, atol=1e-9)
    given = fit(window, RidgeConfig(alpha=found["alpha"], validation_share=0.3), 0)
    np.testing.assert_allclose(given.validation["score"], said["score"], rtol=0, atol=1e-12)


def test_labels_that_reach_into_the_validation_slice_do_not_train_its_candidates() -> None:
    inputs, label = drawn(6, 1000, 6), np.random.default_rng(6).standard_normal(1000)
    between = np.arange(1000) // 20  # session of each row; the slice starts at 40, labels end six sessions on
    told = np.where((between >= 34) & (between < 40), 1e3 * inputs["x00"], label)
    plain, planted = (fit(window_of(inputs, y), RidgeConfig(), 0).manifest for y in (label, told))
    assert plain.facts["validation"] == planted.facts["validation"]
    told = np.where(between == 33, 1e3 * inputs["x00"], label)
    assert (
        fit(window_of(inputs, told), RidgeConfig(), 0).manifest.facts["validation"]["rank_ic"]
        != (plain.facts["validation"]["rank_ic"])
    )


def test_the_criterion_is_the_label_that_is_learned_not_the_raw_return() -> None:
    inputs, rng = drawn(6, 1000, 6), np.random.default_rng(6)
    window = window_of(inputs, rng.standard_normal(1000))
    other = window.with_columns(forward_return_5d=pl.Series(rng.standard_normal(1000)))
    assert fit(window, RidgeConfig(), 0).manifest.facts == fit(other, RidgeConfig(), 0).manifest.facts


def test_the_chosen_penalty_is_fitted_on_the_whole_window_and_recorded(tmp_path: Path) -> None:
    inputs, label = drawn(7, 1000, 6), np.random.default_rng(7).standard_normal(1000)
    window = window_of(inputs, label)
    chosen = fit(window, RidgeConfig(), 3)
    alpha = chosen.manifest.facts["alpha"]
    assert alpha in ALPHAS
    given = fit(window, RidgeConfig(alpha=alpha), 3)
    assert given.manifest.facts["validation"] is None
    np.testing.assert_array_equal(given.arrays["coefficients"], chosen.arrays["coefficients"])
    assert chosen.manifest.n_rows == given.manifest.n_rows == 1000
    assert chosen.manifest.fit_end == window["label_end_date"].max()
    assert chosen.manifest.config["seed"] == 3
    restored = Fitted.from_bytes(chosen.to_bytes())
    assert restored.manifest == chosen.manifest
    assert predict(restored, later(window)).equals(predict(chosen, later(window)))
    assert importance(restored)["importance_share"].sum() == pytest.approx(1.0)


def test_a_signal_in_what_the_inputs_share_wants_a_strong_penalty_and_one_in_their_difference_a_weak_one() -> None:
    chosen = {}
    for name, weight in (("shared", np.full(30, 0.02)), ("difference", 40.0 * np.eye(30)[0] - 40.0 * np.eye(30)[1])):
        rng = np.random.default_rng(11)
        common = rng.standard_normal((2400, 1))
        matrix = common + np.where(np.arange(30) < 2, 0.01, 1.0) * rng.standard_normal((2400, 30))
        label = matrix @ weight + rng.standard_normal(2400)
        chosen[name] = fit(window_of({f"x{k:02d}": matrix[:, k] for k in range(30)}, label), RidgeConfig(), 0)
    assert chosen["shared"].manifest.facts["alpha"] >= 1.0
    assert chosen["difference"].manifest.facts["alpha"] <= 1e-3


def test_of_equally_good_penalties_the_strongest_is_chosen() -> None:
    x = np.random.default_rng(0).standard_normal(400)
    fitted = fit(window_of({"x": x}, x), RidgeConfig(alphas=(3.0, 50.0, 0.1)), 0)  # one input ranks alike under any
    assert fitted.manifest.facts["alpha"] == 50.0
    assert len(set(fitted.manifest.facts["validation"]["rank_ic"].values())) == 1


@pytest.mark.slow
def test_noise_has_no_rank_ic_out_of_sample_whatever_penalty_it_chooses() -> None:
    found = []
    for seed in range(20):
        rng = np.random.default_rng(300 + seed)
        matrix, label = rng.standard_normal((4800, 20)), rng.standard_normal(4800)
        inputs = {f"x{k:02d}": matrix[:, k] for k in range(20)}
        cut = {name: values[:2400] for name, values in inputs.items()}
        fitted = fit(window_of(cut, label[:2400]), RidgeConfig(), 0)
        future = window_of(inputs, label)[2400:].with_columns(pl.col("date") + timedelta(days=30))
        returns = future.select("date", "ticker", "forward_return_5d")
        found.append(summary(rank_ic_by_date(predict(fitted, future), returns), 5)["mean_rank_ic"])
    spread = 1 / np.sqrt(19 * 120)  # of the mean over 120 days of 20 names
    assert np.abs(found).max() < 3.5 * spread
    assert abs(np.mean(found)) < 3 * spread / np.sqrt(20)


def test_all_candidates_cost_one_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, label = drawn(8, 1000, 6), np.random.default_rng(8).standard_normal(1000)
    calls = []
    decompose = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda gram: calls.append(gram.shape) or decompose(gram))
    fit(window_of(inputs, label), RidgeConfig(alphas=tuple(np.logspace(-4, 2, 200).tolist())), 0)
    assert calls == [(6, 6)] * 2  # the older part, then the whole window


def test_a_window_in_which_nothing_can_be_ranked_asks_for_a_penalty() -> None:
    x = np.random.default_rng(0).standard_normal(240)
    window = window_of({"x": x}, x, n_tickers=4)  # rank IC wants five names
    with pytest.raises(DataError, match="give alpha, or widen"):
        fit(window, RidgeConfig(), 0)
    assert fit(window, RidgeConfig(alpha=0.1), 0).manifest.n_rows == 240
    with pytest.raises(DataError, match=r"0 of 100 rows .* before the validation slice"):
        fit(window_of({"x": x[:100]}, x[:100]), RidgeConfig(), 0)  # five sessions: all of them purged


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": "both"}, {"columns": ()}, {"columns": ("a", "a")}, {"alpha": 0.0}, {"alpha": float("inf")},
        {"alpha": float("nan")}, {"alphas": ()}, {"alphas": (1.0, -1.0)}, {"alphas": (1.0, 1.0)},
        {"validation_share": 0.0}, {"validation_share": 1.0}, {"max_row_null_share": 1.0}, {"max_null_share": -0.1},
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(DataError, match=f"ridge: {next(iter(wrong)).removesuffix('s')}"):
        RidgeConfig(**wrong)  # type: ignore[arg-type]


# ---- missing inputs -----------------------------------------------------------------------------------------------


def test_a_row_that_lacks_a_minority_of_its_inputs_trains_and_is_scored_as_if_they_were_average() -> None:
    rng = np.random.default_rng(9)
    matrix, label = rng.standard_normal((400, 4)) * [1, 10, 100, 1000] + 5, rng.standard_normal(400)
    holed = matrix.copy()
    holed[0, :1], holed[1, :2], holed[2, :3], holed[3, 0] = np.nan, np.nan, np.nan, np.inf
    window = window_of({f"x{k}": holed[:, k] for k in range(4)}, label)
    fitted = fit(window, RidgeConfig(alpha=0.1), 0)
    assert fitted.manifest.n_rows == 399  # three of four is a majority, two of four is not
    scores = predict(fitted, later(window))
    assert scores.height == 399
    assert scores.filter((pl.col("ticker") == "T002") & (pl.col("date") == scores["date"][0])).is_empty()
    mean = fitted.arrays["mean"]
    assert mean[0] == pytest.approx(matrix[4:, 0].mean(), abs=1e-12)  # of the rows that have it
    filled = np.where(np.isfinite(holed), holed, mean)
    whole = predict(fitted, later(window_of({f"x{k}": filled[:, k] for k in range(4)}, label)))
    assert whole.join(scores, on=["date", "ticker"], how="semi")["score"].to_list() == scores["score"].to_list()


def test_the_largest_share_of_missing_inputs_is_a_setting_of_fit_and_predict() -> None:
    rng = np.random.default_rng(9)
    matrix, label = rng.standard_normal((400, 4)), rng.standard_normal(400)
    matrix[0, :1], matrix[1, :2] = np.nan, np.nan
    window = window_of({f"x{k}": matrix[:, k] for k in range(4)}, label)
    for share, rows in ((0.0, 398), (0.25, 399), (0.3, 399), (0.5, 400)):
        fitted = fit(window, RidgeConfig(alpha=0.1, max_row_null_share=share), 0)
        assert (fitted.manifest.n_rows, predict(fitted, later(window)).height) == (rows, rows)


def test_a_score_does_not_depend_on_the_other_rows_to_the_last_digit() -> None:
    rng = np.random.default_rng(10)
    inputs, label = drawn(10, 2000, 72), rng.standard_normal(2000)
    window = window_of(inputs, label)
    fitted = fit(window, RidgeConfig(), 0)
    rows = later(window)
    together = predict(fitted, rows)
    assert predict(fitted, rows.sample(fraction=1.0, shuffle=True, seed=1)).equals(together)
    for k in (0, 1, 777, 1999):
        assert predict(fitted, rows[k]).equals(together[k])
    assert predict(fitted, rows[400:407]).equals(together[400:407])


def test_a_constant_input_has_no_coefficient_and_breaks_nothing() -> None:
    rng = np.random.default_rng(12)
    x, label = rng.standard_normal(400), rng.standard_normal(400)
    fitted = fit(window_of({"x": x, "flat": np.full(400, 0.1)}, label), RidgeConfig(), 0)
    assert fitted.arrays["coefficients"][1] == pytest.approx(0.0, abs=1e-12)
    assert np.isfinite(fitted.arrays["coefficients"]).all()
