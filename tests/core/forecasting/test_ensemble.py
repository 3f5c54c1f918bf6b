"""The ensemble: ranks averaged by hand, weights against scipy's own solver, what is left out and what it may know."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import rankdata

from quant_core.errors import DataError
from quant_core.fitted import Fitted, Manifest
from quant_core.forecasting.ensemble import (
    SHRINKAGE,
    EnsembleConfig,
    combine,
    fit_ensemble,
    rank_average,
    stacking_weights,
)

DAY = date(2021, 3, 1)


def said(model: str, scores: dict[str, float | None], day: date = DAY) -> pl.DataFrame:
    return pl.DataFrame(
        {"date": day, "ticker": list(scores), "model": model, "score": list(scores.values())},
        schema={"date": pl.Date, "ticker": pl.String, "model": pl.String, "score": pl.Float64},
    )


# ---- the average of ranks -----------------------------------------------------------------------------------------


def test_two_members_by_hand_whatever_their_units() -> None:
    rows = pl.concat([said("a", {"X": 1.0, "Y": 2.0, "Z": 300.0}), said("b", {"X": -0.1, "Y": 0.2, "Z": 0.2})])
    found = rank_average(rows, ["a", "b"])
    assert found["ticker"].to_list() == ["X", "Y", "Z"]
    # a: 1, 2, 3 -> -1/3, 0, 1/3; b: 1, 2.5, 2.5 -> -1/3, 1/6, 1/6
    assert found["score"].to_list() == pytest.approx([-1 / 3, 1 / 12, 1 / 4])
    weighed = rank_average(rows, ["a", "b"], {"a": 3.0, "b": 1.0})
    assert weighed["score"].to_list() == pytest.approx([-1 / 3, 1 / 24, 7 / 24])
    assert rank_average(rows, ["a", "b"], {"a": 1.0, "b": 0.0})["score"].to_list() == pytest.approx([-1 / 3, 0, 1 / 3])


def test_a_name_that_fewer_than_half_of_the_members_scored_has_no_score_and_no_rank() -> None:
    rows = pl.concat([
        said("a", {"X": 1.0, "Y": 2.0, "Z": 3.0, "only_a": 9.0}),
        said("b", {"X": 1.0, "Y": 2.0, "Z": None}),
        said("c", {"X": 1.0, "Y": 2.0, "Z": 0.0, "W": float("nan")}),
    ])  # fmt: skip
    found = rank_average(rows, ["a", "b", "c"])
    assert found["ticker"].to_list() == ["X", "Y", "Z"]
    # a: -1/3, 0, 1/3 of three; b: -1/4, 1/4 of two; c: 0, 1/3, -1/3
    assert found["score"].to_list() == pytest.approx([(-1 / 3 - 1 / 4) / 3, (1 / 4 + 1 / 3) / 3, 0.0])
    assert rank_average(rows, ["a", "b"])["ticker"].to_list() == ["X", "Y", "Z", "only_a"]  # one of two is half


def test_other_models_and_the_order_of_rows_do_not_matter_and_a_day_alone_is_the_range() -> None:
    rng = np.random.default_rng(0)
    rows = pl.concat(
        said(model, {f"T{k}": rng.standard_normal() for k in range(12)}, DAY + timedelta(days=day))
        for model in "abc"
        for day in range(5)
    )
    whole = rank_average(rows, ["a", "b"])
    assert rank_average(rows.sample(fraction=1.0, shuffle=True, seed=3), ["b", "a"]).equals(whole)
    alone = rank_average(rows.filter(pl.col("date") == DAY), ["a", "b"])
    assert alone.equals(whole.filter(pl.col("date") == DAY))
    naive = [
        np.mean(
            [(rankdata(part["score"]) - 0.5) / 12 - 0.5 for part in (day.filter(model="a"), day.filter(model="b"))], 0
        )
        for _, day in sorted(rows.group_by("date"))
    ]
    by_day = [part.sort("ticker")["score"] for _, part in sorted(whole.group_by("date"))]
    order = np.argsort([f"T{k}" for k in range(12)])
    np.testing.assert_allclose(by_day, np.array(naive)[:, order], atol=1e-15)


@pytest.mark.parametrize("weights", [{"a": 0.0, "b": 0.0}, {"a": -1.0, "b": 2.0}, {"a": 1.0}])
def test_weights_that_are_none_negative_or_absent_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(DataError, match="a number of at least 0 for each"):
        rank_average(said("a", {"X": 1.0}), ["a", "b"], weights)


# ---- weights ------------------------------------------------------------------------------------------------------


def drawn(
    seed: int, strengths: dict[str, float], n_days: int = 60, n: int = 20
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Members that see the truth through noise, and rank labels of it."""
    rng = np.random.default_rng(seed)
    keys = pl.DataFrame({
        "date": [DAY + timedelta(days=day) for day in range(n_days) for _ in range(n)],
        "ticker": [f"T{k:02d}" for k in range(n)] * n_days,
    })  # fmt: skip
    truth = rng.standard_normal((n_days, n))
    labels = keys.with_columns(
        rank_label=((rankdata(truth, axis=1) - 0.5) / n - 0.5).ravel(), horizon_sessions=pl.lit(5, pl.Int32)
    )
    scores = {name: strength * truth + rng.standard_normal((n_days, n)) for name, strength in strengths.items()}
    return {name: keys.with_columns(score=pl.Series(score.ravel())) for name, score in scores.items()}, labels


def centred(table: pl.DataFrame) -> np.ndarray:
    return np.concatenate(
        [(rankdata(part["score"]) - 0.5) / part.height - 0.5 for _, part in sorted(table.group_by("date"))]
    )


@given(st.integers(0, 1000), st.lists(st.floats(-0.5, 1.0), min_size=2, max_size=4))
@settings(max_examples=8, deadline=None)
def test_weights_are_non_negative_sum_to_one_and_are_halfway_between_the_best_and_equal(
    seed: int, strengths: list[float]
) -> None:
    members, labels = drawn(seed, {f"m{k}": strength for k, strength in enumerate(strengths)}, n_days=15)
    weights = stacking_weights(members, labels)
    assert sum(weights.values()) == pytest.approx(1.0)
    assert min(weights.values()) >= SHRINKAGE / len(members) - 1e-12
    ranks, label = np.column_stack([centred(table) for table in members.values()]), labels["rank_label"].to_numpy()
    best = minimize(
        lambda b: np.sum((label - ranks @ b) ** 2), np.full(len(members), 0.1),
        jac=lambda b: -2 * ranks.T @ (label - ranks @ b), bounds=[(0.0, None)] * len(members), tol=1e-14,
    ).x  # fmt: skip
    if best.sum() > 1e-6:
        expected = (1 - SHRINKAGE) * best / best.sum() + SHRINKAGE / len(members)
        np.testing.assert_allclose(list(weights.values()), expected, atol=1e-3)


def test_the_better_member_weighs_more_and_one_that_is_wrong_only_its_share_of_equal_weights() -> None:
    members, labels = drawn(1, {"good": 0.6, "fair": 0.2, "wrong": -0.4})
    weights = stacking_weights(members, labels)
    assert weights["good"] > weights["fair"] > weights["wrong"] == pytest.approx(SHRINKAGE / 3)


def test_where_no_member_helps_all_weigh_alike_and_a_missing_score_is_the_middle() -> None:
    members, labels = drawn(2, {"a": -0.5, "b": -0.6})
    assert stacking_weights(members, labels) == {"a": 0.5, "b": 0.5}
    members, labels = drawn(2, {"a": 0.5, "b": 0.5})
    holed = members | {"b": members["b"].filter(pl.col("date") < DAY + timedelta(days=2))}
    assert stacking_weights(holed, labels)["a"] > stacking_weights(members, labels)["a"]
    with pytest.raises(DataError, match="has a label"):
        stacking_weights(members, labels.clear())


# ---- the fitted ensemble ------------------------------------------------------------------------------------------


def fold_of(name: str, validation: pl.DataFrame, fit_end: date) -> Fitted:
    manifest = Manifest(name, date(2016, 1, 1), fit_end, 100, ("x",), "hash", {}, "1", {"horizon_sessions": 5})
    return Fitted({"x": np.zeros(1)}, manifest, validation=validation)


def members_of(strengths: dict[str, float], seed: int = 3) -> tuple[dict[str, dict[str, Fitted]], pl.DataFrame]:
    """Each member with the folds 2021 and 2022, whose slices are the first and the second half of the days."""
    tables, labels = drawn(seed, strengths)
    half = DAY + timedelta(days=30)
    folds = {
        name: {
            "2021": fold_of(name, table.filter(pl.col("date") < half), date(2020, 12, 20)),
            "2022": fold_of(name, table.filter(pl.col("date") >= half), date(2021, 12, 20)),
        }
        for name, table in tables.items()
    }
    return folds, labels


def test_it_knows_the_latest_fit_of_its_members_leaves_the_harmful_out_and_says_so() -> None:
    members, labels = members_of({"good": 0.6, "fair": 0.3, "harmful": -0.4})
    fitted = fit_ensemble(members, labels, EnsembleConfig())
    manifest = fitted.manifest
    assert (manifest.kind, manifest.fit_end, manifest.columns) == ("ensemble", date(2021, 12, 20), ("fair", "good"))
    assert manifest.facts["left_out"] == ["harmful"]
    assert manifest.facts["weights"] == {"fair": 0.5, "good": 0.5}
    assert manifest.facts["validation_rank_ic"]["good"] > 0.3 > 0.0 > manifest.facts["validation_rank_ic"]["harmful"]
    assert manifest.facts["folds"] == ["2021", "2022"]
    long = pl.concat(members[name]["2022"].validation.with_columns(model=pl.lit(name)) for name in ("fair", "good"))
    assert fitted.validation.equals(rank_average(long, ["fair", "good"]))
    restored = Fitted.from_bytes(fitted.to_bytes())
    assert restored.to_bytes() == fit_ensemble(members, labels, EnsembleConfig()).to_bytes()
    assert combine(restored, long).equals(fitted.validation)


def test_stacked_weights_are_those_of_the_slices_of_all_folds() -> None:
    members, labels = members_of({"good": 0.6, "fair": 0.3})
    fitted = fit_ensemble(members, labels, EnsembleConfig(method="stacked"))
    whole, _ = drawn(3, {"good": 0.6, "fair": 0.3})
    assert fitted.manifest.facts["weights"] == stacking_weights(whole, labels)
    assert fitted.arrays["weights"].tolist() == list(stacking_weights(whole, labels).values())
    later = pl.concat(
        table.with_columns(pl.col("date") + timedelta(days=999), model=pl.lit(n)) for n, table in whole.items()
    )
    assert combine(fitted, later).equals(rank_average(later, ["fair", "good"], fitted.manifest.facts["weights"]))


def test_where_no_member_reaches_the_bar_all_stay_and_one_without_a_slice_is_judged_by_nothing() -> None:
    members, labels = members_of({"a": -0.3, "b": -0.4})
    assert fit_ensemble(members, labels, EnsembleConfig()).manifest.columns == ("a", "b")
    good, labels = members_of({"a": 0.5, "b": 0.5})
    silent = {name: Fitted(fitted.arrays, fitted.manifest) for name, fitted in good["b"].items()}
    fitted = fit_ensemble({"a": good["a"], "b": silent}, labels, EnsembleConfig())
    assert fitted.manifest.facts["left_out"] == ["b"]


def test_wrong_settings_and_absent_members_are_refused() -> None:
    members, labels = members_of({"a": 0.5, "b": 0.5})
    with pytest.raises(DataError, match=r"members \['gru'\] have no fit for fold 2022"):
        fit_ensemble(members, labels, EnsembleConfig(members=("a", "gru")))
    late = {"a": members["a"], "b": {"2021": members["b"]["2021"]}}
    with pytest.raises(DataError, match=r"members \['b'\] have no fit for fold 2022"):
        fit_ensemble(late, labels, EnsembleConfig())
    assert fit_ensemble(late, labels, EnsembleConfig(members=("a",))).manifest.columns == ("a",)
    with pytest.raises(DataError, match="no label over 21 sessions"):
        fit_ensemble(members, labels, EnsembleConfig(horizon_sessions=21))
    fitted = fit_ensemble(members, labels, EnsembleConfig())
    with pytest.raises(DataError, match=r"members \['b'\] have no forecast"):
        combine(fitted, said("a", {"X": 1.0}))
    for wrong in ({"members": ()}, {"members": ("a", "a")}, {"method": "vote"}, {"min_validation_rank_ic": 2.0}):
        with pytest.raises(DataError, match=next(iter(wrong))):
            EnsembleConfig(**wrong)  # type: ignore[arg-type]
