"""Dagster's records in Postgres, by the environment alone, on a real server that the test starts."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
from lab_process import ROOT, lab_environment, poll, quant_here
from postgres_server import PostgresServer, postgres_server
from small_lab import COMMAND, SmallLab

from quant_assets.instance.home import own_instance, prepare_home
from quant_assets.instance.live_runs import unfinished_runs
from quant_assets.instance_storage import POSTGRES_VARIABLE, postgres_url
from quant_assets.upkeep import doctor
from quant_core.errors import DataError

pytest.importorskip("dagster_postgres", reason="the extra postgres is not installed")

MATERIALIZED = (
    "select count(distinct (asset_key, partition)) from event_logs where dagster_event_type = 'ASSET_MATERIALIZATION'"
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://lab:hush@db/lab", "mysql; wanted postgresql://"),
        ("postgresql://lab:hush@db:5432", "without a database; wanted postgresql://"),
        ("the database", "no address; wanted postgresql://"),
    ],
)
def test_an_address_that_is_none_says_what_is_wanted(address: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, address)
    with pytest.raises(DataError, match=said) as told:
        postgres_url()
    assert "hush" not in str(told.value)


def test_without_the_variable_records_stay_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(POSTGRES_VARIABLE, raising=False)
    prepare_home(tmp_path)
    with own_instance(tmp_path) as instance:
        assert type(instance.event_log_storage).__name__ == "SqliteEventLogStorage"
        assert (tmp_path / "history" / "runs.db").is_file()


def test_the_description_of_an_instance_holds_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, "postgresql://lab:hush@127.0.0.1:1/lab")
    prepare_home(tmp_path)
    from dagster._core.instance.ref import InstanceRef

    assert "hush" not in repr(InstanceRef.from_dir(str(tmp_path)))


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_one_line_without_the_password(tmp_path: Path) -> None:
    done = quant_here(COMMAND, lab_environment(tmp_path) | {POSTGRES_VARIABLE: "postgresql://lab:hush@127.0.0.1:1/lab"})
    assert done.returncode == 1
    assert "hush" not in done.stderr + done.stdout
    assert "cannot be used" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_the_doctor_says_whether_the_server_answers(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, server.url)
    found = doctor._records()
    assert found is not None
    assert (found.level, found.found) == ("ok", server.url.replace("postgresql:", "postgresql+psycopg2:"))
    monkeypatch.setenv(POSTGRES_VARIABLE, "postgresql://lab:hush@127.0.0.1:1/lab")
    found = doctor._records()
    assert found is not None
    assert found.level == "fix"
    assert "hush" not in found.found


@pytest.mark.soak
def test_a_restart_of_postgres_during_a_run_loses_nothing(
    small_lab: SmallLab, server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = lab_environment(tmp_path) | {POSTGRES_VARIABLE: server.url}

    def restart() -> None:
        poll("a month is cleaned", lambda: list((tmp_path / "data" / "demo").glob("clean_prices/*.parquet")), 300, 0.05)
        server.stop("immediate")
        time.sleep(1)
        server.start()

    with ThreadPoolExecutor(1) as other:
        restarted = other.submit(restart)
        done = quant_here(COMMAND, environment)
        restarted.result()
    if done.returncode:  # it was storing at that very moment: the next command goes on where this one ended
        done = quant_here(COMMAND, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert SmallLab(tmp_path, environment).hashes() == small_lab.hashes()
    assert int(server.ask(MATERIALIZED)) == len(small_lab.hashes())
    assert not (tmp_path / "home" / "history").exists()
    monkeypatch.setenv(POSTGRES_VARIABLE, server.url)
    with own_instance(tmp_path / "home") as instance:
        assert not unfinished_runs(instance)
        assert instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])) == 0


@pytest.mark.slow
def test_another_process_finds_the_server_by_the_environment_alone(server: PostgresServer, tmp_path: Path) -> None:
    environment = lab_environment(tmp_path) | {POSTGRES_VARIABLE: server.url}
    code = "import dagster; print(type(dagster.DagsterInstance.get().run_storage).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.split() == ["PostgresRunStorage"]
    assert not list((tmp_path / "home").glob("history*"))
