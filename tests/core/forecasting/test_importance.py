"""Permutation importance: what an exchange costs, in theory and by a naive loop, and how names' histories move."""

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from model_cases import FIRST, Case, case_of

from quant_core.errors import DataError
from quant_core.fitted import Fitted
from quant_core.forecasting import Model
from quant_core.forecasting.ensemble import EnsembleConfig, fit_ensemble
from quant_core.forecasting.importance import (
    _exchanged,
    ensemble_importance,
    families,
    permutation_importance,
    validation_importance,
)
from quant_core.forecasting.validation import with_rank_ic
from quant_core.measures.information_coefficient import rank_ic_by_date


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of("ridge")


@pytest.fixture(scope="module")
def fitted(case: Case) -> Fitted:
    return case.fit()


@pytest.fixture(scope="module")
def labels(case: Case) -> pl.DataFrame:
    """What followed the rows of the tested months."""
    return case.forward.filter(pl.col("date") >= FIRST).select("date", "ticker", rank_label="forward_return_5d")


def test_the_planted_signal_is_worth_the_whole_rank_ic_and_noise_nothing(
    case: Case, fitted: Fitted, labels: pl.DataFrame
) -> None:
    table = permutation_importance(case.model, fitted, case.features, labels, seed=1, repeats=4)
    found = dict(table.select("feature", "importance").iter_rows())
    assert table["feature"][0] == "log_return"
    assert set(found) == set(families(fitted.manifest.columns))
    whole = rank_ic_by_date(
        case.model.predict(fitted, case.features, FIRST), labels.rename({"rank_label": "forward_return_0"})
    )["rank_ic"]
    spread = 4 / np.sqrt(19 * len(whole))  # four standard errors of the mean over days of 19 names
    assert found["log_return"] == pytest.approx(whole.mean(), abs=spread)
    assert found["noise"] == pytest.approx(0.0, abs=0.02)
    assert (table["importance_std"][:1] > 0.0).all()
    again = permutation_importance(case.model, fitted, case.features, labels, seed=1, repeats=4)
    assert again.equals(table)
    assert not permutation_importance(case.model, fitted, case.features, labels, seed=2, repeats=4).equals(table)


def test_columns_of_a_group_move_together_and_only_the_newest_dates_are_judged(
    case: Case, fitted: Fitted, labels: pl.DataFrame
) -> None:
    seen: list[pl.DataFrame] = []

    def watched(artifact: Fitted, rows: pl.DataFrame, first: date) -> pl.DataFrame:
        seen.append(rows)
        return case.model.predict(artifact, rows, first)

    model = Model("ridge", case.model.config_class, case.model.fit, watched)
    permutation_importance(
        model, fitted, case.features, labels, 1, repeats=1, groups={"both": ("log_return_1d", "noise")}, most_dates=10
    )
    own, exchanged = seen
    newest = labels["date"].unique().sort()[-10:]
    assert own["date"].unique().sort().equals(newest)
    assert "T00" not in own["ticker"]  # not eligible
    pairs = [set(table.select("date", "log_return_1d", "noise").iter_rows()) for table in (own, exchanged)]
    assert pairs[0] == pairs[1]  # the same pairs on the same dates, at other names
    assert not own.equals(exchanged)
    assert own.drop("log_return_1d", "noise").equals(exchanged.drop("log_return_1d", "noise"))


def test_the_history_of_a_model_that_looks_back_moves_as_a_whole() -> None:
    rows = pl.DataFrame({
        "date": [date(2021, 3, day) for day in (1, 2, 3) for _ in range(4)][:-1],
        "ticker": ["A", "B", "C", "D"] * 2 + ["A", "B", "C"],  # D ends early
        "x": [float(k) for k in range(11)],
        "y": [float(-k) for k in range(11)],
    })  # fmt: skip
    moved = _exchanged(rows, ["x"], np.random.default_rng(3), whole_history=True)
    assert moved.select("date", "ticker", "y").equals(rows.select("date", "ticker", "y"))
    histories = {name[0]: part["x"].to_list() for name, part in rows.group_by("ticker")}
    givers = set()
    for (name,), part in moved.group_by("ticker"):
        (giver,) = [who for who, theirs in histories.items() if theirs[0] == part["x"][0]]
        theirs = [*histories[giver], None] if len(histories[giver]) < 3 else histories[giver]
        assert part["x"].to_list() == theirs[: part.height], name
        givers.add(giver)
    assert givers == {"A", "B", "C", "D"}


def test_families_are_measures_whatever_their_window_and_normalisation() -> None:
    columns = (
        "realized_vol_21d_ann", "realized_vol_63d_ann_z252", "vol_ratio_21d_126d", "momentum_252d_skip_21d",
        "momentum_21d", "amihud_21d_per_crore", "amihud_63d_per_crore_wz63", "rank_return_1d", "beta_rank",
    )  # fmt: skip
    assert families(columns) == {
        "realized_vol": columns[:2], "vol_ratio": columns[2:3], "momentum": columns[3:5],
        "amihud_per_crore": columns[5:7], "rank_return": columns[7:8], "beta": columns[8:],
    }  # fmt: skip


def test_only_the_groups_that_the_model_uses_most_are_judged(case: Case, fitted: Fitted, labels: pl.DataFrame) -> None:
    table = permutation_importance(case.model, fitted, case.features, labels, 1, repeats=1, most_groups=1)
    assert table["feature"].to_list() == ["log_return"]
    assert table["importance_std"].to_list() == [0.0]
    plain = Model("ridge", case.model.config_class, case.model.fit, case.model.predict)  # says nothing itself
    groups = {"last": ("noise",), "first": ("log_return_1d",)}
    table = permutation_importance(plain, fitted, case.features, labels, 1, 1, groups=groups, most_groups=1)
    assert table["feature"].to_list() == ["last"]


def test_what_cannot_be_judged_is_refused(case: Case, fitted: Fitted, labels: pl.DataFrame) -> None:
    with pytest.raises(DataError, match=r"ridge does not read \['beta'\]"):
        permutation_importance(case.model, fitted, case.features, labels, 1, groups={"beta": ("beta",)})
    with pytest.raises(DataError, match="repeats is 0"):
        permutation_importance(case.model, fitted, case.features, labels, 1, repeats=0)
    with pytest.raises(DataError, match="no labels"):
        permutation_importance(case.model, fitted, case.features, labels.clear(), 1)
    with pytest.raises(DataError, match="enough scored and labelled names"):
        permutation_importance(case.model, fitted, case.features, labels.filter(pl.col("ticker") < "T03"), 1)


def test_after_a_fit_dates_of_its_slice_are_judged_spread_evenly_and_never_more_than_asked(
    case: Case, fitted: Fitted
) -> None:
    seen: list[pl.DataFrame] = []

    def watched(artifact: Fitted, rows: pl.DataFrame, first: date) -> pl.DataFrame:
        seen.append(rows)
        return case.model.predict(artifact, rows, first)

    model = Model("ridge", case.model.config_class, case.model.fit, watched)
    days = fitted.validation["date"].unique().sort()
    settings = replace(case.config, importance_dates=10)
    table = validation_importance(model, fitted, case.data, settings)
    assert table["feature"].to_list()[0] == "log_return"
    assert seen[0]["date"].unique().sort().equals(days.gather_every(-(-len(days) // 10)))
    assert validation_importance(model, fitted, case.data, settings).equals(table)
    empty = validation_importance(model, fitted, case.data, replace(settings, importance_dates=0))
    assert (empty.height, empty.schema) == (0, table.schema)
    with pytest.raises(DataError, match="importance_dates -1"):
        replace(settings, importance_dates=-1)
    looks_back = replace(model, context_sessions=lambda config: 3)
    seen.clear()
    validation_importance(looks_back, fitted, case.data, settings)
    assert seen[0]["date"].max() == days[-1]
    assert seen[0]["date"].n_unique() == 10 + 3


def test_a_slice_that_no_date_of_can_be_judged_has_no_importance(case: Case, fitted: Fitted) -> None:
    few = replace(fitted, validation=fitted.validation.filter(pl.col("ticker") == "T01"))
    assert validation_importance(case.model, few, case.data, case.config).is_empty()
    none = replace(fitted, validation=pl.DataFrame())
    assert validation_importance(case.model, none, case.data, case.config).is_empty()
    assert with_rank_ic(none, case.labels).manifest.facts["validation_slice"] is None


def test_the_slice_of_a_fit_is_told_in_its_facts_as_a_naive_loop_finds_it(case: Case, fitted: Fitted) -> None:
    told = with_rank_ic(fitted, case.labels).manifest.facts["validation_slice"]
    joined = fitted.validation.join(case.labels.select("date", "ticker", "rank_label"), on=["date", "ticker"])
    by_hand = [
        float(np.corrcoef(own["score"].rank(), own["rank_label"].rank())[0, 1]) for _, own in joined.group_by("date")
    ]
    assert told["rank_ic"] == pytest.approx(np.mean(by_hand))
    assert told["icir"] == pytest.approx(np.mean(by_hand) / np.std(by_hand, ddof=1))
    assert (told["dates"], told["last"]) == (len(by_hand), str(fitted.validation["date"].max()))


def test_an_ensemble_loses_most_without_the_member_that_knows(case: Case, fitted: Fitted) -> None:
    noise = fitted.validation.with_columns(score=pl.col("score").shuffle(seed=5))
    members = {"ridge_21d": fitted, "noise": replace(fitted, validation=noise)}
    config = EnsembleConfig(horizon_sessions=5, min_validation_rank_ic=-1.0)
    both = fit_ensemble({name: {"2020": own} for name, own in members.items()}, case.labels, config)
    table = ensemble_importance(both, members, case.labels, config)
    assert table["feature"].to_list() == ["ridge_21d", "noise"]
    assert table["importance"][0] > 0.1
    assert abs(table["importance"][1]) < 0.08
    assert ensemble_importance(both, members, case.labels, replace(config, importance_dates=0)).is_empty()
