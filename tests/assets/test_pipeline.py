"""The whole graph on a small simulated market: what it writes, what it refuses, what a second run does again."""

import gc
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.execution.plan.outputs import StepOutputHandle
from upath import UPath

from quant_assets.assembly import build_definitions
from quant_assets.commands.runner import RunFailed, Runner, Step, check_overrides
from quant_assets.fitting import fitted_of
from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_assets.storage.partition_files import read_artifact, read_stamp, read_tables, table_path, write_table
from quant_core.allocation import AllocationConfig, target_weights
from quant_core.allocation.feasible import infeasible
from quant_core.calendar import sessions
from quant_core.causality import assert_causal
from quant_core.cleaning.coverage import member_coverage
from quant_core.cleaning.quality import contradictory_rows
from quant_core.errors import DataError, LookaheadError, UnknownName
from quant_core.features import compute_features
from quant_core.forecasting import MODELS
from quant_core.forecasting.model import forecasts
from quant_core.schema import Forecasts

SMALL = {
    "source": {"name": "simulated", "n_tickers": 12, "n_sectors": 3, "seed": 3, "start": "2018-01-01"},
    "start": "2018-01",
    "end": "2020-12",
    "first_fold": "2020",
    "train_years": "2",
    "models": ["ridge"],
    "agents": [],
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    folder = tmp_path_factory.mktemp("lab")
    profile = load_profile("demo", SMALL)
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test() as instance:
        patch.setenv("QUANT_DATA", str(folder / "data"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield Runner(Lab(profile), build_definitions(profile), instance, {})


def bring_up_to_date(runner: Runner, *until: str) -> dict[str, list[str]]:
    done: dict[str, list[str]] = {}
    for asset, partitions in runner.wanted(*runner.month_range(None, None), until=until).items():
        stale = runner.stale(asset, partitions)
        for step in runner.steps(asset, stale):
            runner.execute(step)
        if stale:
            done[asset] = stale
    return done


@pytest.fixture(scope="module")
def done(runner: Runner) -> dict[str, list[str]]:
    return bring_up_to_date(runner)


def table(runner: Runner, asset: str) -> pl.DataFrame:
    months = runner.lab.partitions.months.get_partition_keys()
    paths = [table_path(runner.lab.root, runner.lab.key(asset), month) for month in months]
    return read_tables([path for path in paths if path.exists()]).collect()


def artifact(runner: Runner, asset: str, fold: str) -> dict[str, bytes]:
    return read_artifact(runner.lab.root / runner.lab.profile.name / asset / f"{fold}.json")


def test_a_first_run_makes_every_asset_and_a_second_one_nothing(runner: Runner, done: dict[str, list[str]]) -> None:
    assert list(done) == runner.stages()
    assert bring_up_to_date(runner) == {}


def test_every_check_has_an_evaluation_of_every_partition(runner: Runner, done: dict[str, list[str]]) -> None:
    """Of range runs too: none is left planned, which the UI shows as skipped, and none belongs to a run as a whole."""
    graph, storage = runner.graph, runner.instance.event_log_storage
    assert len(graph.asset_check_keys) == 33
    for key in graph.asset_check_keys:
        records = storage.get_asset_check_execution_history(key, limit=10_000)
        partitions = set(done[key.asset_key.path[-1]])
        assert {record.partition for record in records} == partitions, key
        newest = {str(record.partition): record for record in reversed(records)}
        # Twelve names are few: a session without one of them is thin, which is a warning.
        found = {record.status.value for record in newest.values()}
        assert found == {"SUCCEEDED"} if graph.get(key).blocking else found <= {"SUCCEEDED", "FAILED"}, key
        for partition, record in newest.items():
            target = record.evaluation.target_materialization_data if record.evaluation else None
            made = runner.instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=key.asset_key, asset_partitions=[partition]), limit=1
            ).records[0]
            assert target is not None
            assert (target.storage_id, target.run_id) == (made.storage_id, made.run_id)


def test_the_report_is_one_page_with_every_strategy(runner: Runner, done: dict[str, list[str]]) -> None:
    html = artifact(runner, "backtest_report", "2020")["report.html"].decode()
    for words in ("top_n_ridge", "equal_weight", "buy_hold_index", "SIMULATED MARKET", "Newey"):
        assert words in html


def test_no_training_row_reaches_into_the_fold(runner: Runner, done: dict[str, list[str]]) -> None:
    import io

    window = pl.read_parquet(io.BytesIO(artifact(runner, "training_window", "2020")["labels.parquet"]))
    assert window["label_end_date"].max() < date(2019, 12, 31)  # type: ignore[operator]
    assert window["date"].min() >= date(2018, 1, 1)  # type: ignore[operator]


def test_forecasts_exist_from_the_first_fold_on_only_and_know_what_their_model_saw(
    runner: Runner, done: dict[str, list[str]]
) -> None:
    made = table(runner, "forecasts_ridge")
    assert made["date"].dt.year().unique().to_list() == [2020]
    assert (made["fit_end"] < made["date"]).all()


def test_the_forecast_path_from_prices_to_weights_never_reads_the_future(
    runner: Runner, done: dict[str, list[str]]
) -> None:
    """Fitted artifacts held fixed, the certificate covers features, scores and weights in one go."""
    config, fitted = runner.lab.defaults("features"), fitted_of({"2020": artifact(runner, "forecaster_ridge", "2020")})
    prices = table(runner, "clean_prices")
    start, end = date(2020, 3, 1), date(2020, 5, 31)

    def weights(known: pl.DataFrame) -> pl.DataFrame:
        scores = forecasts(MODELS["ridge"], fitted, compute_features(known, config, start, end).lazy(), start, end)
        recent = known.filter(pl.col("date").is_between(start, end))
        return target_weights(recent, scores, AllocationConfig(rebalance="weekly"))

    keys = ("date", "strategy", "ticker")
    cut = date(2020, 4, 24)
    assert weights(prices).filter(pl.col("strategy") == "top_n_ridge")["date"].n_unique() > 10
    assert_causal(weights, prices, cut, keys=keys, how=("truncate", "shuffle"))

    def leaking(known: pl.DataFrame) -> pl.DataFrame:
        peeked = known.with_columns(pl.col("total_return_1d").shift(-1).over("ticker"))
        return forecasts(MODELS["ridge"], fitted, compute_features(peeked, config, start, end).lazy(), start, end)

    with pytest.raises(LookaheadError):  # in the scores: the same five names may be best all the same
        assert_causal(leaking, prices, cut, keys=("date", "ticker", "model"), how=("truncate", "shuffle"))


def test_a_model_is_refused_for_rows_that_its_fit_has_seen(runner: Runner, done: dict[str, list[str]]) -> None:
    features = table(runner, "features").filter(pl.col("date") == pl.col("date").max())
    seen = features.with_columns(date=pl.lit(date(2019, 12, 2)))
    fitted = fitted_of({"2019": artifact(runner, "forecaster_ridge", "2020")})
    with pytest.raises(LookaheadError, match="fit_end"):
        forecasts(MODELS["ridge"], fitted, seen.lazy(), date(2019, 12, 1), date(2019, 12, 31))


def test_one_changed_setting_recomputes_its_asset_and_what_follows_and_going_back_restores_it(
    runner: Runner, done: dict[str, list[str]]
) -> None:
    before = artifact(runner, "backtest", "2020")
    other = replace(runner, overrides={"target_weights": {"top_n": 3, "max_position": 0.4}})
    assert set(bring_up_to_date(other)) == {"target_weights", "backtest", "backtest_report", "signals"}
    assert artifact(runner, "backtest", "2020") != before
    bring_up_to_date(runner)
    assert artifact(runner, "backtest", "2020") == before


def test_a_revised_month_recomputes_only_what_it_reaches(runner: Runner, done: dict[str, list[str]]) -> None:
    path = table_path(runner.lab.root, runner.lab.key("clean_prices"), "2020-11")
    clean = pl.read_parquet(str(path))
    write_table(path, clean.with_columns(total_return_1d=pl.col("total_return_1d") * 1.01), "revised by hand")
    assert runner.stale("features", ["2020-10", "2020-11", "2020-12"]) == ["2020-11", "2020-12"]
    assert runner.stale("training_window", ["2020"]) == []
    bring_up_to_date(runner)
    assert pl.read_parquet(str(path)).equals(clean)


def test_a_planted_leak_fails_the_blocking_check_and_stops_what_is_downstream(
    runner: Runner, done: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from quant_assets.assets import features as stage
    from quant_assets.checks import judgements

    def leaking(prices: pl.DataFrame | pl.LazyFrame, *rest: object) -> pl.DataFrame:
        ahead = prices.lazy().sort("ticker", "date").with_columns(pl.col("total_return_1d").shift(-1).over("ticker"))
        return compute_features(ahead, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(stage, "compute_features", leaking)
    monkeypatch.setattr(judgements, "compute_features", leaking)
    with pytest.raises(RunFailed, match="causality_sample"):
        runner.execute(Step("features", ("2020-06",)))
    monkeypatch.undo()
    runner.execute(Step("features", ("2020-06",)))
    assert bring_up_to_date(runner) == {}


def test_a_missing_upstream_month_is_an_error_that_names_it_and_loses_nothing(
    runner: Runner, done: dict[str, list[str]]
) -> None:
    root, key = runner.lab.root, runner.lab.key("clean_prices")
    path, target = table_path(root, key, "2020-05"), table_path(root, runner.lab.key("features"), "2020-07")
    kept, before = path.read_bytes(), read_stamp(target)
    path.unlink()
    with pytest.raises(RunFailed, match=r"demo/clean_prices: partition 2020-05 is not materialized; .*quant run"):
        runner.execute(Step("features", ("2020-07",)))
    assert read_stamp(target) == before
    path.write_bytes(kept)


def test_no_table_outlives_its_run(runner: Runner, done: dict[str, list[str]]) -> None:
    kept = [found for found in gc.get_objects() if isinstance(found, dict) and StepOutputHandle in map(type, found)]
    assert not any(isinstance(value, pl.DataFrame) for found in kept for value in found.values())


def test_what_a_run_cannot_do_is_refused_before_it_starts(runner: Runner) -> None:
    with pytest.raises(DataError, match=r"--to 2031-13: profile demo has months 2018-01..2020-12"):
        runner.month_range(None, "2031-13")
    with pytest.raises(DataError, match="is after"):
        runner.month_range("2020-05", "2020-04")
    with pytest.raises(UnknownName, match="stage 'feature' is unknown"):
        runner.wanted("2018-01", "2020-12", ["feature"])
    with pytest.raises(DataError, match="max_position"):
        check_overrides(runner.lab, {"target_weights": {"max_position": 7.0}})


def test_mlflow_has_a_finished_child_run_for_each_fit_and_backtest(runner: Runner, done: dict[str, list[str]]) -> None:
    import mlflow

    from quant_assets.tracking.mlflow_resource import EXPERIMENT, tracking_uri

    mlflow.set_tracking_uri(tracking_uri())
    runs = mlflow.search_runs(experiment_names=[EXPERIMENT], output_format="list")
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    names = {run.info.run_name for run in children}
    assert {"forecaster_ridge[2020]", "backtest[2020]"} <= names
    fit = next(run for run in children if run.info.run_name == "forecaster_ridge[2020]")
    assert (fit.info.status, fit.data.params["clip_sigma"]) == ("FINISHED", "5.0")
    assert fit.data.metrics["rows"] > 1000
    assert not Path("mlruns").exists()


def test_checks_catch_rows_that_contradict_themselves(runner: Runner, done: dict[str, list[str]]) -> None:
    clean = table(runner, "clean_prices").head(200)
    assert contradictory_rows(clean).is_empty()
    for change in (
        {"close_inr": pl.lit(-1.0)},
        {"high_inr": pl.col("low_inr") * 0.5},
        {"total_return_1d": pl.lit(float("inf"))},
        {"is_filled": pl.lit(True)},
    ):
        assert contradictory_rows(clean.with_columns(**change)).height > 0, change


def test_infeasible_books_are_found() -> None:
    day = date(2020, 1, 3)
    book = pl.DataFrame({"date": [day] * 2, "strategy": ["a"] * 2, "ticker": ["x", "y"], "weight": [0.2, 0.2]})
    limits = AllocationConfig()
    assert infeasible(book, limits).is_empty()
    assert infeasible(book.with_columns(weight=pl.lit(0.21)), limits).height == 1
    assert infeasible(book.with_columns(weight=pl.lit(0.6)), AllocationConfig(max_position=0.9)).height == 1


def test_members_without_prices_are_counted() -> None:
    days = sessions(date(2020, 1, 1), date(2020, 1, 10))
    prices = pl.DataFrame(
        {"date": days, "ticker": "A", "is_member": True, "is_filled": [True] + [False] * (len(days) - 1)}
    )
    members = pl.DataFrame({"ticker": ["A", "B"], "from_date": [days[0], days[2]], "to_date": [None, days[4]]})
    assert member_coverage(prices, members).rows() == [("B", 2, 0), ("A", len(days), len(days) - 1)]
    assert member_coverage(prices, None).is_empty()


def test_the_forecasts_contract_holds(runner: Runner, done: dict[str, list[str]]) -> None:
    Forecasts.validate(table(runner, "forecasts_ridge"))


def test_a_stamp_in_another_place_is_the_same(runner: Runner, done: dict[str, list[str]], tmp_path: Path) -> None:
    path = table_path(runner.lab.root, runner.lab.key("features"), "2020-07")
    copy = UPath(tmp_path / "copy.parquet")
    copy.write_bytes(path.read_bytes())
    assert read_stamp(copy) == read_stamp(path)
