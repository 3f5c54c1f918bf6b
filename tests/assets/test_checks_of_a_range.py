"""What the checks of a range run leave: a verdict on each month, whatever else the run made; one bad month stops it."""

import sqlite3
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import dataframely as dy
import polars as pl
import pytest
from sqlalchemy.exc import IntegrityError

import quant_core.schema
from quant_assets.assembly import build_definitions
from quant_assets.checks import judgements
from quant_assets.checks.contracts import CONTRACTS
from quant_assets.checks.declared import Check, checks_of, judge
from quant_assets.checks.verdicts import Verdict
from quant_assets.commands.runner import RunFailed, Runner, Step
from quant_assets.instance.event_batches import BATCH_VARIABLE, one_transaction, store_batches_together
from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_assets.storage.partition_files import table_path, write_table
from quant_assets.storage.stored import Stored, Subject
from quant_core.calendar import sessions
from quant_core.errors import DataError

pytestmark = pytest.mark.slow

SMALL = {
    "source": {"name": "simulated", "n_tickers": 10, "n_sectors": 2, "seed": 3, "start": "2018-01-01"},
    "start": "2018-01",
    "end": "2019-12",
    "first_fold": "2019",
    "train_years": "1",
}
MONTHS = ("2018-01", "2018-02", "2018-03", "2018-04", "2018-05")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Five months of raw and clean prices and features, each made by one range run."""
    folder = tmp_path_factory.mktemp("range")
    profile = load_profile("demo", SMALL)
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test() as instance:
        patch.setenv("QUANT_DATA", str(folder / "data"))
        made = Runner(Lab(profile), build_definitions(profile), instance, {})
        for asset in ("raw_ohlcv", "clean_prices", "features"):
            made.execute(Step(asset, MONTHS))
        yield made


def statuses(runner: Runner, asset: str, check: str) -> dict[str | None, str]:
    """Partition -> newest stored status."""
    key = dg.AssetCheckKey(runner.lab.key(asset), check)
    records = runner.instance.event_log_storage.get_asset_check_execution_history(key, limit=1000)
    return {record.partition: record.status.value for record in reversed(records)}


def subject(runner: Runner, asset: str) -> Subject:
    return Subject(runner.lab, asset, runner.lab.partitions.months, {})


def stored(runner: Runner, asset: str, month: str) -> Stored:
    return subject(runner, asset).stored(month)


def path(runner: Runner, asset: str, month: str) -> Path:
    return Path(str(table_path(runner.lab.root, runner.lab.key(asset), month)))


@pytest.fixture
def spoiled(runner: Runner) -> Iterator[Path]:
    """April's clean prices, put back afterwards."""
    april = path(runner, "clean_prices", "2018-04")
    kept = april.read_bytes()
    yield april
    april.write_bytes(kept)


def test_a_bad_month_of_a_range_blocks_and_the_others_have_their_own_verdict(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def march_and_may(table: pl.DataFrame) -> pl.DataFrame:
        return table.filter(pl.col("date").dt.month().is_in([3, 5])).head(1)

    monkeypatch.setattr(judgements, "contradictory_rows", march_and_may)
    with pytest.raises(RunFailed, match=r"blocking check rows_consistent failed in 2018-03 and 1 more up to 2018-05: "):
        runner.execute(Step("clean_prices", MONTHS))
    expected = dict.fromkeys(MONTHS, "SUCCEEDED") | {"2018-03": "FAILED", "2018-05": "FAILED"}
    assert statuses(runner, "clean_prices", "rows_consistent") == expected
    assert statuses(runner, "clean_prices", "contract") == dict.fromkeys(MONTHS, "SUCCEEDED")
    monkeypatch.undo()
    runner.execute(Step("clean_prices", MONTHS))
    assert statuses(runner, "clean_prices", "rows_consistent") == dict.fromkeys(MONTHS, "SUCCEEDED")


def test_what_is_downstream_of_a_bad_month_in_the_same_run_does_not_start(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        judgements, "contradictory_rows", lambda table: table.filter(pl.col("date").dt.month() == 2).head(1)
    )
    result = dg.materialize(
        [*(runner.definitions.assets or []), *(runner.definitions.asset_checks or [])],  # type: ignore[list-item]
        selection=dg.AssetSelection.assets(runner.lab.key("clean_prices"), runner.lab.key("features")),
        tags={"dagster/asset_partition_range_start": MONTHS[0], "dagster/asset_partition_range_end": MONTHS[2]},
        instance=runner.instance, resources=runner.definitions.resources, raise_on_error=False,
    )  # fmt: skip
    assert not result.success
    made = {event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key}
    assert made == {"clean_prices"}


def test_a_month_has_the_same_verdict_alone_and_within_a_range(runner: Runner) -> None:
    for asset in ("raw_ohlcv", "clean_prices", "features"):
        of_each = [check for check in checks_of(asset) if not check.is_sample]
        together = judge(of_each, [stored(runner, asset, month) for month in MONTHS])
        for month in MONTHS:
            alone = judge(of_each, [stored(runner, asset, month)])
            assert {name: found[month] for name, found in alone.items()} == {
                name: found[month] for name, found in together.items()
            }


def test_months_that_are_held_against_their_contract_at_once_are_told_what_each_is_told_alone(runner: Runner) -> None:
    for asset in ("raw_ohlcv", "clean_prices", "features"):
        made = [stored(runner, asset, month) for month in MONTHS]
        assert judgements.contracts_kept(made) == {one.name: judgements.contract(one) for one in made}


def test_a_sample_judges_the_newest_month_once_and_every_month_is_told_which(runner: Runner) -> None:
    asked = []

    def sampled(one: Stored) -> Verdict:
        asked.append(one.name)
        return Verdict(one.name == "2018-05", {"cut": "a day"})

    check = Check("sample", "", sampled, is_sample=True)
    verdicts = judge([check], [stored(runner, "features", month) for month in MONTHS])["sample"]
    assert asked == ["2018-05"]
    assert list(verdicts) == list(MONTHS)
    assert set(map(str, verdicts.values())) == {str(Verdict(True, {"sampled": "2018-05", "cut": "a day"}))}


def test_each_month_of_a_range_has_a_drift_verdict_of_its_own(runner: Runner) -> None:
    verdicts = judge(checks_of("features"), [stored(runner, "features", month) for month in MONTHS])["drift"]
    assert "note" in verdicts["2018-01"].metadata
    shares = [verdicts[month].metadata["drifted_share"] for month in MONTHS[1:]]
    assert len(set(shares)) > 1


def test_a_range_that_ends_in_a_month_just_begun_samples_across_it(runner: Runner, spoiled: Path) -> None:
    """One session of the newest month has no later one: the sampled date lies in the month before."""
    features = path(runner, "features", "2018-04")
    whole = pl.read_parquet(features)
    one_day = whole.filter(pl.col("date") == pl.col("date").min())
    kept = features.read_bytes()
    one_day.write_parquet(features)
    try:
        found = judgements.causality_sample(stored(runner, "features", "2018-04"))
    finally:
        features.write_bytes(kept)
    assert (found.passed, found.metadata["cut"]) == (True, "2018-03-28")


def test_the_last_sessions_of_a_month_are_missed_only_where_later_months_are_known(
    runner: Runner, spoiled: Path
) -> None:
    april = sessions(date(2018, 4, 1), date(2018, 4, 30))
    table = pl.read_parquet(spoiled)
    table.filter(pl.col("date") < april[-2]).write_parquet(spoiled)
    found = judgements.sessions_complete(stored(runner, "clean_prices", "2018-04"))
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.metadata["without_members"] == f"{april[-2]}, {april[-1]}"

    may = path(runner, "clean_prices", "2018-05")
    kept = may.read_bytes()
    may.unlink()
    try:
        assert judgements.sessions_complete(stored(runner, "clean_prices", "2018-04")).passed
    finally:
        may.write_bytes(kept)


def test_a_month_without_rows_is_lost_once_a_later_one_has_some(runner: Runner, spoiled: Path) -> None:
    pl.read_parquet(spoiled).clear().write_parquet(spoiled)
    found = judgements.sessions_complete(stored(runner, "clean_prices", "2018-04"))
    assert not found.passed
    assert str(found.metadata["without_members"]).startswith("2018-04-02, 2018-04-03")


def test_a_gap_of_the_index_is_followed_back_into_the_month_before(runner: Runner, spoiled: Path) -> None:
    """Three sessions at the end of March and three at the start of April are six in a row, one more than is carried."""
    index, march = runner.lab.profile.price_index, path(runner, "clean_prices", "2018-03")
    kept = march.read_bytes()
    end, start = sessions(date(2018, 3, 1), date(2018, 3, 31))[-3:], sessions(date(2018, 4, 1), date(2018, 4, 30))[:3]
    for file, days in ((march, end), (spoiled, start)):
        table = pl.read_parquet(file)
        table.filter((pl.col("ticker") != index) | ~pl.col("date").is_in(days)).write_parquet(file)
    try:
        of_march, of_april = (
            judgements.index_present(stored(runner, "clean_prices", m)) for m in ("2018-03", "2018-04")
        )
    finally:
        march.write_bytes(kept)
    assert (of_march.passed, of_march.metadata["longest_gap_sessions"]) == (True, 3)
    assert (of_april.passed, of_april.metadata["longest_gap_sessions"]) == (False, 6)
    assert f"no row for 6 sessions from {end[0]} on" in of_april.metadata["problem"]


def test_a_stored_month_that_breaks_its_contract_is_named_with_its_row(runner: Runner, spoiled: Path) -> None:
    table = pl.read_parquet(spoiled)
    write_table(
        table_path(runner.lab.root, runner.lab.key("clean_prices"), "2018-04"), pl.concat([table, table.head(1)]), "-"
    )
    verdicts = judge(checks_of("clean_prices"), [stored(runner, "clean_prices", month) for month in MONTHS])["contract"]
    assert {month: found.passed for month, found in verdicts.items()} == dict.fromkeys(MONTHS, True) | {
        "2018-04": False
    }
    assert "demo/clean_prices 2018-04: primary_key" in verdicts["2018-04"].metadata["error"]
    assert "first bad row {'date': datetime.date(2018, 4, 2), " in verdicts["2018-04"].metadata["error"]


def test_one_check_of_one_stored_month_runs_by_itself(runner: Runner) -> None:
    """Launched with a partition's tag, no asset is made and no other check is judged."""
    key = dg.AssetCheckKey(runner.lab.key("clean_prices"), "contract")
    result = dg.materialize(
        [*(runner.definitions.assets or []), *(runner.definitions.asset_checks or [])],  # type: ignore[list-item]
        selection=dg.AssetSelection.checks(key), tags={"dagster/partition": "2018-03"},
        instance=runner.instance, resources=runner.definitions.resources,
    )  # fmt: skip
    found = [(one.check_name, one.partition, one.passed) for one in result.get_asset_check_evaluations()]
    assert found == [("contract", "2018-03", True)]
    assert not result.get_asset_materialization_events()


def test_a_check_without_partitions_says_how_to_run_it(runner: Runner) -> None:
    """The UI's *Execute all* launches checks so."""
    key = dg.AssetCheckKey(runner.lab.key("clean_prices"), "contract")
    with pytest.raises(DataError, match=r"clean_prices: a check judges partitions, and this run has none; "):
        dg.materialize(
            [*(runner.definitions.assets or []), *(runner.definitions.asset_checks or [])],  # type: ignore[list-item]
            selection=dg.AssetSelection.checks(key), instance=runner.instance, resources=runner.definitions.resources,
        )  # fmt: skip


def test_every_schema_of_the_core_is_the_contract_of_an_asset() -> None:
    known = {found for one in CONTRACTS.values() for found in ([one] if isinstance(one, type) else one.values())}
    schemas = {
        one
        for name in quant_core.schema.__all__
        if isinstance(one := getattr(quant_core.schema, name), type) and issubclass(one, dy.Schema)
    }
    # No asset's: the report puts importance together from what fits measured, and the gate's answers from a backtest;
    # orders are a command's answer.
    made_for_reading = {"ForecastImportance", "Promotion", "PromotionLeads", "Orders"}
    made_for_reading |= {"Leaderboard", "LeaderboardSummary", "FailedTrials"}  # of no partition
    assert known == schemas - {getattr(quant_core.schema, name) for name in made_for_reading}


# ---- many events in one transaction ----------------------------------------------------------------------------------


def rows(instance: dg.DagsterInstance) -> int:
    """Check executions in the database, as another process sees them."""
    database = Path(str(instance.event_log_storage._base_dir)) / "index.db"  # type: ignore[attr-defined]
    with sqlite3.connect(database) as connection:
        return int(connection.execute("select count(*) from asset_check_executions").fetchone()[0])


def store(instance: dg.DagsterInstance, *partitions: str) -> None:
    for name in partitions:
        instance.report_runless_asset_event(dg.AssetCheckEvaluation(dg.AssetKey("a"), "c", passed=True, partition=name))


def test_events_of_a_transaction_are_stored_together_or_not_at_all() -> None:
    with dg.instance_for_test() as instance:
        store(instance, "a")
        with one_transaction(instance):
            store(instance, "b", "c")
            assert rows(instance) == 1
        assert rows(instance) == 3
        with pytest.raises(IntegrityError), one_transaction(instance):
            store(instance, "d", "e", "a")  # it has one already
        assert rows(instance) == 3
        store(instance, "f")
        assert rows(instance) == 4


def test_another_thread_reads_past_an_open_transaction() -> None:
    key, seen = dg.AssetCheckKey(dg.AssetKey("a"), "c"), []
    with dg.instance_for_test() as instance:
        history = instance.event_log_storage.get_asset_check_execution_history
        with one_transaction(instance):
            store(instance, "a", "b")
            other = threading.Thread(target=lambda: seen.append(len(history(key, limit=9))))
            other.start()
            other.join(20)
            assert (seen, len(history(key, limit=9))) == ([0], 2)


def test_a_storage_of_another_kind_is_left_as_it_is() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        with one_transaction(instance):
            store(instance, "a", "b")
        key = dg.AssetCheckKey(dg.AssetKey("a"), "c")
        assert len(instance.event_log_storage.get_asset_check_execution_history(key, limit=9)) == 2


def test_a_batch_that_dagster_hands_over_is_stored_like_the_same_events_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    months = dg.MonthlyPartitionsDefinition(start_date="2018-01", fmt="%Y-%m")

    @dg.asset(partitions_def=months, backfill_policy=dg.BackfillPolicy.single_run())
    def numbers() -> None: ...

    def left_by_a_run(instance: dg.DagsterInstance) -> list[tuple[str | None, str | None]]:
        tags = {"dagster/asset_partition_range_start": MONTHS[0], "dagster/asset_partition_range_end": MONTHS[-1]}
        result = dg.materialize([numbers], instance=instance, tags=tags)
        storage = instance.event_log_storage
        of_the_run = [(e.dagster_event_type, e.dagster_event.partition) for e in storage.get_logs_for_run(result.run_id)
                      if e.dagster_event and e.dagster_event.partition]  # fmt: skip
        known = storage.get_materialized_partitions(numbers.key)
        assert known == set(MONTHS)
        return [(str(kind), partition) for kind, partition in of_the_run]

    monkeypatch.setenv(BATCH_VARIABLE, "0")
    with dg.instance_for_test() as instance:
        one_by_one = left_by_a_run(instance)
    monkeypatch.delenv(BATCH_VARIABLE)
    with dg.instance_for_test() as instance:
        store_batches_together(instance)
        assert left_by_a_run(instance) == one_by_one
    assert len(one_by_one) == 2 * len(MONTHS)
