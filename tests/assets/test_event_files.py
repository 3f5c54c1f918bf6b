"""Dagster's SQLite files held open by a command: what is stored is what Dagster alone would have stored."""

from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite import sqlite_event_log

from quant_assets.instance.event_files import event_files
from quant_assets.instance.home import own_instance

RUNS = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
OTHER = "33333333-3333-4333-8333-333333333333"


@dg.asset
def counted() -> int:
    return 3


JOB = dg.Definitions([counted], jobs=[dg.define_asset_job("job", "*")]).resolve_job_def("job")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return tmp_path


def events(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """Kinds of a run's events, in order; LOG for a message."""
    found = [entry.dagster_event for entry in instance.all_logs(run_id)]
    return [event.event_type_value if event else "LOG" for event in found]


@pytest.mark.slow
def test_a_runs_events_are_those_that_dagster_alone_stores(home: Path) -> None:
    with own_instance(home) as instance:
        with event_files(instance) as open_run:
            for run_id in RUNS:  # the second begins as a copy of what the first was
                with open_run(run_id):
                    assert JOB.execute_in_process(instance=instance, run_id=run_id).success
        assert JOB.execute_in_process(instance=instance, run_id=OTHER).success
    with dg.DagsterInstance.get() as later:
        alone = events(later, OTHER)
        assert "ASSET_MATERIALIZATION" in alone
        assert events(later, RUNS[0]) == events(later, RUNS[1]) == alone
        assert {run.run_id for run in later.get_runs()} == {*RUNS, OTHER}
        found = later.fetch_materializations(dg.AssetKey("counted"), limit=10).records
        assert [record.run_id for record in found] == [OTHER, *reversed(RUNS)]


def test_each_file_of_a_run_is_whole_without_its_journal_once_the_run_is_over(home: Path) -> None:
    with own_instance(home) as instance, event_files(instance) as open_run:
        with open_run(RUNS[0]):
            assert list(home.rglob(f"{RUNS[0]}.db-wal"))
            JOB.execute_in_process(instance=instance, run_id=RUNS[0])
        assert not list(home.rglob(f"{RUNS[0]}.db-wal"))
    assert not list(home.rglob("*.db-wal"))


def test_dagster_opens_its_files_itself_again_afterwards(home: Path) -> None:
    own = sqlite_event_log.create_engine
    with own_instance(home) as instance, suppress(RuntimeError), event_files(instance):
        assert sqlite_event_log.create_engine is not own
        raise RuntimeError
    assert sqlite_event_log.create_engine is own


def test_records_that_are_not_in_sqlite_are_left_alone() -> None:
    own = sqlite_event_log.create_engine
    with dg.DagsterInstance.ephemeral() as instance, event_files(instance) as open_run, open_run(OTHER):
        assert sqlite_event_log.create_engine is own
        assert JOB.execute_in_process(instance=instance, run_id=OTHER).success


def test_the_output_of_a_commands_runs_stays_on_its_own_terminal(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    @dg.asset
    def talking() -> None:
        print("said while it works")

    with own_instance(home) as instance:
        dg.materialize([talking], instance=instance)
    assert "said while it works" in capfd.readouterr().out
    assert not list(home.rglob("*.out"))
