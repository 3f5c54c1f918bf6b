"""Boosting: the stored trees against scikit-learn's own, the chosen number of trees, repeatability, LightGBM."""

import importlib.util
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits
from windows import fit, predict, training_data

from quant_core.errors import DataError
from quant_core.fitted import Fitted
from quant_core.forecasting import MODELS, TrainingData, boosters
from quant_core.forecasting.boosters import SklearnBooster, TreeSettings
from quant_core.forecasting.ensemble import rank_average
from quant_core.forecasting.inputs import as_kind
from quant_core.forecasting.models.boosting import BoostingConfig, importance
from quant_core.measures.information_coefficient import rank_ic_by_date

Panel = Callable[..., pl.DataFrame]

has_lightgbm = pytest.mark.skipif(importlib.util.find_spec("lightgbm") is None, reason="LightGBM is not installed")
SMALL = {"min_samples_leaf": 20, "checkpoints": (2, 5, 15), "inputs": ("rank",)}


def small(**settings: object) -> BoostingConfig:
    return BoostingConfig(**(SMALL | settings))  # type: ignore[arg-type]


def boosted(window: pl.DataFrame, config: BoostingConfig, seed: int = 7) -> Fitted:
    return fit(window, config, seed, model="boosting")


def later(window: pl.DataFrame) -> pl.DataFrame:
    return window.with_columns(pl.col("date") + timedelta(days=1000))


def holed(seed: int, n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Six inputs with holes, whose product of two is what counts."""
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, 6))
    label = matrix[:, 0] * matrix[:, 1] + 0.1 * rng.standard_normal(n)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    return matrix, label


def published_on(matrix: np.ndarray, label: np.ndarray, **settings: object) -> HistGradientBoostingRegressor:
    """scikit-learn's own, in one thread as ours are grown."""
    with threadpool_limits(1):
        return HistGradientBoostingRegressor(early_stopping=False, **settings).fit(matrix, label)


# ---- the trees ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaves", [2, 15])
def test_the_walk_equals_scikit_learns_predict_with_holes_after_any_number_of_trees(leaves: int) -> None:
    matrix, label = holed(0)
    booster = boosters.grow("sklearn", matrix, label, TreeSettings(0.1, leaves, 10, 1.0, 63, 0.5), 3, 30)
    published = published_on(
        matrix, label, learning_rate=0.1, max_iter=30, max_leaf_nodes=leaves, min_samples_leaf=10,
        l2_regularization=1.0, max_bins=63, max_features=0.5, random_state=3,
    )  # fmt: skip
    other, _ = holed(1, 500)
    other[0] = np.nan
    staged = list(published.staged_predict(other))
    expected = np.column_stack([staged[0], staged[10], staged[29]])
    np.testing.assert_allclose(booster.scores(other, (1, 11, 30)), expected, rtol=0, atol=1e-12)


def test_boosters_come_back_from_their_arrays_and_a_row_alone_has_the_same_score() -> None:
    matrix, label = holed(2)
    grown = [boosters.grow("sklearn", matrix, label, TreeSettings(0.1, 7, 10, 1.0, 63, 0.5), s, 3 + s) for s in (0, 1)]
    arrays = boosters.to_arrays(grown)
    assert arrays["n_trees"].tolist() == [3, 4]
    for before, after in zip(grown, boosters.of_arrays(arrays), strict=True):
        scores = after.scores(matrix, (3,))
        assert np.array_equal(before.scores(matrix, (3,)), scores)
        assert np.array_equal(after.scores(matrix[77:78], (3,)), scores[77:78])


def test_one_stump_by_hand() -> None:
    matrix = np.repeat([0.0, 1.0], 50)[:, None]
    label = np.repeat([-0.4, 0.2], 50)
    booster = boosters.grow("sklearn", matrix, label, TreeSettings(0.5, 2, 10, 0.0, 63, 1.0), 0, 1)
    assert isinstance(booster, SklearnBooster)
    assert booster.base == pytest.approx(-0.1)  # the mean; then half of what each leaf lacks, 0.3, to float32
    np.testing.assert_allclose(booster.scores(np.array([[0.4], [0.6]]), (1,)), [[-0.25], [0.05]], rtol=1e-6)
    ridged = boosters.grow("sklearn", matrix, label, TreeSettings(0.5, 2, 10, 50.0, 63, 1.0), 0, 1)
    np.testing.assert_allclose(ridged.scores(np.array([[0.4]]), (1,)), [[-0.1 - 0.5 * 0.3 * 50 / (50 + 50)]], rtol=1e-6)


# ---- the fit ------------------------------------------------------------------------------------------------------


def test_the_number_of_trees_is_the_best_on_the_newest_dates_grown_on_rows_whose_label_ended_before(
    linear_window: Panel,
) -> None:
    window = linear_window(0.3, seed=1, n_days=60)
    config = small(validation_share=0.25)
    fitted = boosted(window, config)
    (told,) = fitted.manifest.facts["boosters"]
    days = window["date"].unique().sort()
    older, newest = window.filter(pl.col("label_end_date") < days[45]), window.filter(pl.col("date") >= days[45])
    assert older["date"].n_unique() == 45 - 6
    names = ["signal", "noise"]
    model = published_on(
        as_kind(older, names, "rank").select(names).to_numpy(), older["label"].to_numpy(),
        learning_rate=config.learning_rate, max_iter=15, max_leaf_nodes=config.max_leaf_nodes, min_samples_leaf=20,
        l2_regularization=config.l2, max_bins=config.max_bins, max_features=config.feature_share, random_state=7,
    )  # fmt: skip
    staged = list(model.staged_predict(as_kind(newest, names, "rank").select(names).to_numpy()))
    judged = newest.with_columns(pl.Series(f"s{stop}", staged[stop - 1]) for stop in (2, 5, 15))
    for stop in (2, 5, 15):
        daily = [spearmanr(day[f"s{stop}"], day["label"])[0] for _, day in judged.group_by("date")]
        assert told["rank_ic"][str(stop)] == pytest.approx(np.mean(daily), abs=1e-12)
    assert told["n_trees"] == max((2, 5, 15), key=lambda stop: told["rank_ic"][str(stop)])
    assert len(fitted.arrays["roots"]) == fitted.arrays["n_trees"].sum() == told["n_trees"]
    assert fitted.curve["epoch"].to_list() == [2, 5, 15]
    assert fitted.curve["rank_ic_rank"].to_list() == [told["rank_ic"][str(stop)] for stop in (2, 5, 15)]
    kept = judged.select("date", "ticker", score=f"s{told['n_trees']}", model=pl.lit("0"))
    assert fitted.validation.equals(rank_average(kept, ["0"]))


def test_a_given_number_of_trees_is_grown_and_a_window_too_short_to_choose_asks_for_it(linear_window: Panel) -> None:
    window = linear_window(0.3, seed=1, n_days=20)
    fitted = boosted(window, small(max_iter=4))
    assert fitted.arrays["n_trees"].tolist() == [4]
    assert fitted.validation["date"].n_unique() == 4
    few = linear_window(0.3, seed=1, n_days=30, n_tickers=4)  # rank IC wants five names
    with pytest.raises(DataError, match="give max_iter"):
        boosted(few, small())
    assert boosted(few, small(max_iter=4)).manifest.n_rows == 120
    with pytest.raises(DataError, match=r"30 of 30 rows .* two leaves of 20"):
        boosted(window.head(30), small())


def test_each_kind_and_seed_has_a_booster_and_the_score_is_the_mean_of_their_ranks(linear_window: Panel) -> None:
    window = linear_window(0.3, seed=2, n_days=60).with_columns(signal_z252=pl.col("signal").pow(3))
    fitted = boosted(window, small(inputs=("rank", "normalized"), n_seeds=2))
    told = fitted.manifest.facts["boosters"]
    assert [(one["kind"], one["seed"], one["columns"]) for one in told] == [
        ("rank", 7, ["signal", "noise"]), ("rank", 8, ["signal", "noise"]),
        ("normalized", 7, ["signal_z252"]), ("normalized", 8, ["signal_z252"]),
    ]  # fmt: skip
    assert fitted.manifest.columns == ("signal", "noise", "signal_z252")
    rows = later(window)
    alone = []
    for one, booster in zip(told, boosters.of_arrays(fitted.arrays), strict=True):
        matrix = as_kind(rows, one["columns"], one["kind"]).select(one["columns"]).to_numpy()
        score = pl.Series(booster.scores(matrix, (one["n_trees"],))[:, 0])
        alone.append(rows.select("date", "ticker", score=score, model=pl.lit(f"{one['kind']}{one['seed']}")))
    members = ["rank7", "rank8", "normalized7", "normalized8"]
    expected = rank_average(pl.concat(alone), members)
    found = predict(fitted, rows)
    assert found.select("date", "ticker").equals(expected.select("date", "ticker"))
    np.testing.assert_allclose(found["score"], expected["score"], atol=1e-15)


@pytest.mark.parametrize("library", ["sklearn", pytest.param("lightgbm", marks=has_lightgbm)])
def test_equal_bytes_however_many_threads_there_are_and_an_artifact_read_back_says_the_same(
    linear_window: Panel, library: str
) -> None:
    window = linear_window(0.3, seed=3, n_days=60)
    config = small(library=library, n_seeds=2)
    first = boosted(window, config)
    for threads in (1, 2):
        with threadpool_limits(threads):
            assert boosted(window, config).to_bytes() == first.to_bytes()
    assert boosted(window, config, seed=8).content_hash != first.content_hash
    restored = Fitted.from_bytes(first.to_bytes())
    assert predict(restored, later(window)).equals(predict(first, later(window)))


@has_lightgbm
def test_lightgbm_keeps_the_same_contract_and_scores_as_its_own_model_does(linear_window: Panel) -> None:
    import lightgbm

    window = linear_window(0.4, seed=4, n_days=60)
    fitted = boosted(window, small(library="lightgbm"))
    (told,) = fitted.manifest.facts["boosters"]
    assert fitted.arrays["text"].dtype == np.uint8
    matrix = as_kind(later(window), told["columns"], "rank").select(told["columns"]).to_numpy()
    own = lightgbm.Booster(model_str=fitted.arrays["text"].tobytes().decode()).predict(matrix)
    (booster,) = boosters.of_arrays(fitted.arrays)
    np.testing.assert_array_equal(booster.scores(matrix, (told["n_trees"],))[:, 0], own)
    assert found_rank_ic(fitted, linear_window) > 0.25
    assert importance(fitted)["feature"][0] == "signal"


def test_a_library_that_is_not_installed_is_named_with_its_remedy(
    linear_window: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boosters, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"not installed; run `pip install \"quant-lab\[boosting\]\"`"):
        boosted(linear_window(0.3, seed=1, n_days=40), small(library="lightgbm"))


# ---- what it says -------------------------------------------------------------------------------------------------


def found_rank_ic(fitted: Fitted, linear_window: Panel) -> float:
    future = later(linear_window(0.4, seed=11, n_days=60))
    ics = rank_ic_by_date(predict(fitted, future), future.select("date", "ticker", "forward_return_5d"))
    return float(ics["rank_ic"].mean())  # type: ignore[arg-type]


def test_it_finds_what_no_line_can_and_names_the_inputs_that_matter(linear_window: Panel) -> None:
    window = linear_window(0.0, seed=5).with_columns(other=pl.col("noise").shift(1).fill_null(0.0))

    def bent(table: pl.DataFrame) -> pl.DataFrame:
        value = (pl.col("signal") * pl.col("other")).sign() + pl.col("label")
        return table.with_columns(label=value, forward_return_5d=value)

    train, future = bent(window), bent(later(window).with_columns(pl.col("signal").reverse()))
    boosting = boosted(train, small(inputs=("raw",), checkpoints=(60,)))
    line = fit(train, MODELS["ridge"].config_class(), 0)
    returns = future.select("date", "ticker", "forward_return_5d")
    found, lost = (rank_ic_by_date(predict(model, future), returns)["rank_ic"].mean() for model in (boosting, line))
    assert found > 0.4 > 0.1 > abs(lost)  # type: ignore[arg-type]
    table = importance(boosting)
    assert set(table["feature"][:2]) == {"signal", "other"}
    assert table["importance_share"].sum() == pytest.approx(1.0)


def test_a_row_that_lacks_most_inputs_of_half_of_the_boosters_is_still_scored_and_one_without_any_is_not(
    linear_window: Panel,
) -> None:
    window = linear_window(0.3, seed=6, n_days=60).with_columns(signal_z252="signal")
    fitted = boosted(window, small(inputs=("rank", "normalized")))
    name = pl.col("ticker")
    rows = later(window).with_columns(
        pl.when(name.is_in(["T01", "T02"])).then(None).otherwise("signal_z252").alias("signal_z252"),
        *(pl.when(name == "T02").then(None).otherwise(column).alias(column) for column in ("signal", "noise")),
    )
    scored = predict(fitted, rows)
    assert "T01" in scored["ticker"]
    assert "T02" not in scored["ticker"]
    with pytest.raises(DataError, match=r"boosting: inputs \['signal_z252'\] are missing"):
        predict(fitted, rows.drop("signal_z252"))


def test_labels_are_of_its_own_horizon_and_a_kind_without_columns_is_refused(linear_window: Panel) -> None:
    data = training_data(linear_window(0.3, seed=1, n_days=40))
    with pytest.raises(DataError, match="no label over 21 sessions"):
        MODELS["boosting"].fit(data, small(horizon_sessions=21), lambda *_: None)
    with pytest.raises(DataError, match="boosting: the features have no channels input"):
        MODELS["boosting"].fit(data, small(inputs=("channels",)), lambda *_: None)
    channels = data.features.rename({"noise": "channel_return_1d"})
    fitted = MODELS["boosting"].fit(
        TrainingData.of(data.labels, channels), small(inputs=("channels",)), lambda *_: None
    )
    assert fitted.manifest.columns == ("channel_return_1d",)
    assert fitted.manifest.fit_end > date(2018, 1, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": ()}, {"inputs": ("rank", "rank")}, {"inputs": ("both",)}, {"library": "xgboost"}, {"n_seeds": 0},
        {"learning_rate": 0.0}, {"max_iter": 0}, {"checkpoints": ()}, {"checkpoints": (20, 10)}, {"max_leaf_nodes": 1},
        {"min_samples_leaf": 0}, {"l2": -1.0}, {"max_bins": 256}, {"feature_share": 0.0}, {"validation_share": 1.0},
        {"max_null_share": 2.0}, {"max_row_null_share": 1.0},
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(DataError, match=f"boosting: {next(iter(wrong))}"):
        BoostingConfig(**wrong)  # type: ignore[arg-type]
