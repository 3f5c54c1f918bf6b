"""From fits to the table: names, folds, months against ranges, refusals."""

from collections.abc import Mapping
from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from regime_cases import known_market

from quant_core.errors import DataError, LookaheadError, UnknownName
from quant_core.fitted import Fitted
from quant_core.folds import fold
from quant_core.regimes.config import RegimeConfig
from quant_core.regimes.fit import age_after, fit_regimes
from quant_core.regimes.history import regime_history
from quant_core.regimes.table import PROBABILITIES, fit_window_labels, regimes
from quant_core.schema import CRISIS, REGIME_NAMES, Regimes, validate

METHODS = ("threshold", "hmm", "kmeans")
COLUMNS = {"columns": ["log_volatility_21d", "momentum_63d", "drawdown_252d"]}
CONFIG = RegimeConfig(methods=METHODS, settings={"hmm": {"n_states": 3}, "kmeans": COLUMNS})
MARKET = known_market(3)
INPUTS = MARKET.drop("truth")


def quiet(epoch: int, values: Mapping[str, float]) -> None:
    pass


def fitted(name: str, inputs: pl.DataFrame = INPUTS, config: RegimeConfig = CONFIG) -> Fitted:
    return fit_regimes(inputs, config, fold(name), quiet)


@pytest.fixture(scope="module")
def folds() -> dict[str, Fitted]:
    return {name: fitted(name) for name in ("2018", "2019")}


def test_the_table_keeps_its_contract(folds: dict[str, Fitted]):
    table = validate(regimes(folds, INPUTS, date(2018, 1, 1), date(2019, 12, 31)), Regimes, "regimes", "-")
    assert sorted(table["method"].unique()) == sorted(METHODS)
    assert (table["date"] > table["fit_end"]).all()
    assert np.allclose(table.select(PROBABILITIES).sum_horizontal(), 1.0)
    assert table["entropy"].is_between(0.0, np.log(5.0)).all()
    best = np.array(REGIME_NAMES)[table.select(PROBABILITIES).to_numpy().argmax(axis=1)]
    assert table["regime"].to_list() == best.tolist()


def test_a_month_alone_equals_the_range(folds: dict[str, Fitted]):
    whole = regimes(folds, INPUTS, date(2018, 1, 1), date(2019, 12, 31))
    for first, last in ((date(2018, 6, 1), date(2018, 6, 30)), (date(2018, 12, 1), date(2019, 1, 31))):
        alone = regimes(folds, INPUTS.filter(pl.col("date") <= last), first, last)
        assert_frame_equal(alone, whole.filter(pl.col("date").is_between(first, last)), check_exact=True)


def test_the_future_deleted_changes_neither_fit_nor_regimes():
    cut = INPUTS.filter(pl.col("date") <= date(2018, 3, 31))
    assert fitted("2018", cut).content_hash == fitted("2018").content_hash


def test_the_fit_ends_before_the_fold_and_says_so(folds: dict[str, Fitted]):
    assert folds["2018"].manifest.fit_end == date(2017, 12, 29)
    with pytest.raises(LookaheadError, match="regime_model"):
        regimes({"2018": _with_fit_end(folds["2018"], date(2018, 6, 1))}, INPUTS, date(2018, 1, 1), date(2018, 12, 31))


def _with_fit_end(one: Fitted, day: date) -> Fitted:
    from dataclasses import replace

    return replace(one, manifest=replace(one.manifest, fit_end=day))


def test_states_are_ordered_by_volatility(folds: dict[str, Fitted]):
    for method in METHODS:
        found = [state["volatility_ann"] for state in folds["2019"].manifest.facts["methods"][method]["states"]]
        assert found == sorted(found)


def test_the_wildest_of_three_known_states_is_the_crisis(folds: dict[str, Fitted]):
    table = regimes(folds, INPUTS, date(2018, 1, 1), date(2019, 12, 31)).filter(pl.col("method") == "hmm")
    beside = table.join(MARKET.select("date", "truth"), on="date")
    called, true = beside["regime"] == CRISIS, beside["truth"] == 2
    assert true.any()
    assert (called == true).mean() > 0.9


def test_the_age_of_a_regime_goes_on_from_the_fit_window(folds: dict[str, Fitted]):
    before = fit_window_labels(folds["2019"], INPUTS, "hmm")
    table = regimes(folds, INPUTS, date(2019, 1, 1), date(2019, 12, 31)).filter(pl.col("method") == "hmm")
    labels = [*before["regime"], *table["regime"]]
    for place, age in enumerate(table["sessions_in_regime"], start=before.height):
        run = next((n for n in range(1, place + 1) if labels[place - n] != labels[place]), place + 1)
        assert age == run


def test_age_after_by_hand():
    assert age_after(np.array([2, 1, 1, 1])) == (1, 3)
    assert age_after(np.array([4, 4])) == (4, 2)


def test_equal_fits_have_equal_bytes():
    assert fitted("2018").to_bytes() == fitted("2018").to_bytes()


def test_an_outage_of_the_index_is_a_session_without_an_observation(folds: dict[str, Fitted]):
    day = date(2018, 6, 12)
    gone = pl.when(pl.col("date") != day)
    lacking = INPUTS.with_columns(gone.then(pl.exclude("date")).otherwise(None).name.keep())
    table = regimes(folds, lacking, date(2018, 6, 11), date(2018, 6, 13))
    assert table["date"].n_unique() == 3
    assert table.null_count().sum_horizontal()[0] == 0
    for method in ("threshold", "kmeans"):
        two = table.filter(pl.col("method") == method, pl.col("date") <= day).select(PROBABILITIES)
        assert two.row(0) == two.row(1)


def test_too_little_history_is_refused_by_the_folds_name():
    with pytest.raises(DataError, match=r"regime_model 2009: 24\d sessions with an index return .* wanted 480"):
        fitted("2009")


def test_a_constant_index_is_refused_with_every_methods_reason():
    flat = INPUTS.with_columns(pl.exclude("date") * 0.0)
    with pytest.raises(DataError, match=r"no method found sound states.*return_1d is constant"):
        fitted("2018", flat)


def test_a_method_without_its_columns_is_left_out_with_its_reason():
    config = RegimeConfig(methods=("hmm", "kmeans"), settings={"kmeans": {"columns": ["breadth_21d"]}})
    found = fitted("2018", config=config)
    assert sorted(found.manifest.facts["methods"]) == ["hmm"]
    assert "none of ['breadth_21d'] is known" in found.manifest.facts["refused"]["kmeans"]
    with pytest.raises(DataError, match="no states of kmeans"):
        fit_window_labels(found, INPUTS, "kmeans")


def test_a_method_of_embeddings_reads_them():
    rng = np.random.default_rng(0)
    calm = (MARKET["truth"] < 2).cast(pl.Float64)
    noise = {f"embedding_{k:03d}": calm * 3.0 + rng.standard_normal(MARKET.height) for k in range(4)}
    embedded = MARKET.select("date").with_columns(pl.Series(name, value) for name, value in noise.items())
    config = RegimeConfig(methods=("gmm_embeddings",), settings={"gmm_embeddings": {"n_states": 2}})
    one = fit_regimes(INPUTS, config, fold("2018"), quiet, embedded.gather_every(5))
    table = regimes({"2018": one}, INPUTS, date(2018, 1, 1), date(2018, 12, 31), embedded)
    wild = table.join(MARKET.select("date", "truth"), on="date")
    assert ((wild["state"] == 1) == (wild["truth"] == 2)).mean() > 0.95
    with pytest.raises(DataError, match="embeddings"):
        regimes({"2018": one}, INPUTS, date(2018, 1, 1), date(2018, 12, 31))


def test_embeddings_that_are_not_there_are_a_reason():
    with pytest.raises(DataError, match="the profile has no embeddings"):
        fitted("2018", config=RegimeConfig(methods=("gmm_embeddings",)))


def test_history_knows_more_than_the_filter(folds: dict[str, Fitted]):
    table = regime_history(folds["2019"], INPUTS)
    own = table.filter(pl.col("method") == "hmm").join(MARKET.select("date", "truth"), on="date")
    true = (own["truth"] == 2).cast(pl.Float64)
    filtered, smoothed = ((own[name] - true).abs().mean() for name in ("filtered_crisis", "smoothed_crisis"))
    assert smoothed < filtered
    assert own["date"].max() <= folds["2019"].manifest.fit_end


def test_settings_are_refused_by_name():
    with pytest.raises(UnknownName, match="hmmm"):
        RegimeConfig(methods=("hmmm",))
    with pytest.raises(DataError, match="settings of hmm"):
        RegimeConfig(methods=("hmm",), settings={"hmm": {"n_sates": 3}})
    with pytest.raises(DataError, match="min_sessions 10"):
        RegimeConfig(min_sessions=10)
    with pytest.raises(DataError, match="different names"):
        RegimeConfig(methods=("hmm", "hmm"))
