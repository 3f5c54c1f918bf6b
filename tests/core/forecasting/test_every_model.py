"""What is true of every registered forecaster, whatever it is inside."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from model_cases import FIRST, Case, case_of, certify

from quant_core.errors import DataError, LookaheadError
from quant_core.fitted import Fitted
from quant_core.forecasting import MODELS, ForecasterConfig
from quant_core.measures.information_coefficient import rank_ic_by_date

REGISTERED = sorted(MODELS)


@pytest.fixture(scope="module", params=REGISTERED)
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


@pytest.fixture(scope="module")
def fitted(case: Case) -> Fitted:
    return case.fit()


def test_its_settings_are_those_of_a_forecaster_and_its_summary_is_a_sentence(case: Case) -> None:
    assert issubclass(case.model.config_class, ForecasterConfig)
    assert case.model.summary.endswith(".")


def test_a_refit_has_the_same_bytes_and_an_artifact_read_back_says_the_same(case: Case, fitted: Fitted) -> None:
    assert case.fit().to_bytes() == fitted.to_bytes()
    restored = Fitted.from_bytes(fitted.to_bytes())
    assert case.scores(restored, case.features).equals(case.scores(fitted, case.features))


def test_the_manifest_says_what_was_seen(case: Case, fitted: Fitted) -> None:
    manifest, labels = fitted.manifest, case.labels
    assert manifest.kind == case.model.name
    assert (manifest.facts["horizon_sessions"], manifest.config["seed"]) == (5, ForecasterConfig().seed)
    assert manifest.fit_end == labels["label_end_date"].max()
    assert set(manifest.columns) <= set(case.data.columns)
    assert 0 < manifest.n_rows <= labels.height


def test_what_it_said_of_its_newest_labelled_rows_before_it_learned_from_them_is_kept(
    case: Case, fitted: Fitted
) -> None:
    said, days = fitted.validation, case.labels["date"].unique().sort()
    assert said["date"].min() == days[-round(0.2 * len(days))]
    assert said["date"].max() == days[-1]
    assert said.join(case.labels, on=["date", "ticker"], how="anti").is_empty()
    assert not said.select("date", "ticker").is_duplicated().any()
    assert rank_ic_by_date(said, case.forward)["rank_ic"].mean() > 0.25  # type: ignore[operator]


def test_scores_never_read_the_future_and_a_month_alone_equals_the_range(case: Case, fitted: Fitted) -> None:
    certify(case, fitted)


def test_only_eligible_rows_are_scored_and_from_the_first_day_on(case: Case, fitted: Fitted) -> None:
    scores = case.scores(fitted, case.features)
    assert "T00" not in scores["ticker"]
    assert scores["date"].min() >= FIRST  # type: ignore[operator]
    assert scores["score"].is_finite().all()


def test_a_planted_signal_is_found_out_of_sample_and_shuffled_labels_leave_nothing(case: Case, fitted: Fitted) -> None:
    scores = case.scores(fitted, case.features)
    found = rank_ic_by_date(scores, case.forward)["rank_ic"].mean()
    assert found > 0.25  # 0.4 / sqrt(1.16) = 0.37 for a model that knows it
    shuffled = case.labels.with_columns(pl.col("rank_label", "zscore_label").shuffle(seed=3).over("date"))
    lost = case.model.fit(replace(case.data, labels=shuffled), case.config, lambda *_: None)
    ics = rank_ic_by_date(case.scores(lost, case.features), case.forward)["rank_ic"].to_numpy()
    assert abs(ics.mean()) < found / 2 + 4 * ics.std() / np.sqrt(len(ics))


def test_a_score_of_what_the_fit_has_seen_is_refused(case: Case, fitted: Fitted) -> None:
    late = Fitted(fitted.arrays, replace(fitted.manifest, fit_end=FIRST), fitted.curve)
    with pytest.raises(LookaheadError, match="fit_end"):
        case.scores(late, case.features)


def test_another_horizon_than_the_labels_have_is_refused_by_name(case: Case) -> None:
    with pytest.raises(DataError, match=r"no label over 3 sessions \(there are \[5\]\)"):
        case.model.fit(case.data, case.model.config_class(horizon_sessions=3), lambda *_: None)


def test_features_without_an_input_are_refused_by_name(case: Case, fitted: Fitted) -> None:
    gone = fitted.manifest.columns[0]
    with pytest.raises((DataError, pl.exceptions.ColumnNotFoundError), match=gone):
        case.scores(fitted, case.features.drop(gone))


@pytest.mark.parametrize("setting", [{"horizon_sessions": 0}, {"seed": -1}, {"label": "sign"}])
def test_settings_that_no_forecaster_takes_are_refused(case: Case, setting: dict[str, object]) -> None:
    with pytest.raises(DataError, match="forecaster"):
        case.model.config_class(**setting)


@pytest.mark.parametrize(
    ("name", "setting"),
    [("tft", {"heads": 3}), ("tft", {"selection_width": 1}), ("transformer", {"d_model": 10}),
     ("transformer", {"dropout": 1.0}), ("transformer", {"pooling": "max"})],
)  # fmt: skip
def test_a_shape_that_no_network_has_is_refused_before_anything_is_computed(
    name: str, setting: dict[str, object]
) -> None:
    with pytest.raises(DataError, match="wanted"):
        MODELS[name].config_class(**setting)
