"""What the doctor says of a lab that runs by itself."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
from dagster._daemon.types import DaemonHeartbeat

from quant_assets.automation import alerts
from quant_assets.checks import freshness
from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_assets.upkeep import unattended
from quant_assets.upkeep.finding import Finding
from quant_assets.upkeep.unattended import SCHEDULE


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUANT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(unattended, "project_root", lambda: tmp_path)
    for name in (alerts.WEBHOOK_VARIABLE, alerts.EMAIL_VARIABLE, alerts.HOST, "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def lab() -> Lab:
    return Lab(load_profile("demo", {"models": "[ridge]", "regimes": "[]", "agents": "[]"}))


def said(lab: Lab, instance: dg.DagsterInstance | None = None) -> dict[str, Finding]:
    return {one.what: one for one in unattended.unattended(lab, instance)}


def test_a_lab_that_was_never_run_is_told_what_it_lacks(lab: Lab, instance: dg.DagsterInstance) -> None:
    found = said(lab, instance)
    assert (found["daemon"].level, found["schedule"].level, found["alerts"].level) == ("note", "note", "note")
    assert "`quant dev` runs it" in found["daemon"].found
    assert f"{SCHEDULE} is off" in found["schedule"].found
    assert found["failed runs"] == Finding("ok", "failed runs", "none in 7 days")
    assert "QUANT_ALERT_WEBHOOK or QUANT_ALERT_EMAIL" in found["alerts"].found
    assert found["freshness"].level == "note"
    assert "raw_ohlcv (newest none)" in found["freshness"].found
    assert set(said(lab)) == {"MLflow", "freshness", "alerts"}


@pytest.mark.parametrize(("seconds", "level"), [(20, "ok"), (3600, "note")])
def test_a_daemon_lives_while_it_says_so(lab: Lab, instance: dg.DagsterInstance, seconds: float, level: str) -> None:
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - seconds, "SCHEDULER", "one", []))
    assert said(lab, instance)["daemon"].level == level


@pytest.mark.parametrize(("status", "level"), [(InstigatorStatus.RUNNING, "ok"), (InstigatorStatus.STOPPED, "note")])
def test_the_schedule_is_on_once_it_was_switched_on(
    lab: Lab, instance: dg.DagsterInstance, status: InstigatorStatus, level: str
) -> None:
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("quant_lab"), "r"), SCHEDULE)
    data = ScheduleInstigatorData("30 18 * * *", start_timestamp=1.0)
    instance.add_instigator_state(InstigatorState(origin, InstigatorType.SCHEDULE, status, data))
    assert said(lab, instance)["schedule"].level == level


def test_failed_runs_are_counted(lab: Lab, instance: dg.DagsterInstance) -> None:
    @dg.op
    def broken() -> None:
        raise ValueError

    @dg.job
    def breaks() -> None:
        broken()

    failed = breaks.execute_in_process(instance=instance, raise_on_error=False)
    found = said(lab, instance)["failed runs"]
    assert found.level == "note"
    assert found.found.startswith(f"1 in 7 days, the newest breaks {failed.run_id[:8]}; ")


def test_alerts_are_sound_or_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(alerts.WEBHOOK_VARIABLE, "https://hooks.example.org/T0PS3CRET")
    found = said(lab)["alerts"]
    assert (found.level, "webhook" in found.found, "S3CRET" in found.found) == ("ok", True, False)
    monkeypatch.setenv(alerts.EMAIL_VARIABLE, "me@example.org")
    found = said(lab)["alerts"]
    assert (found.level, "SMTP_HOST is not" in found.found) == ("fix", True)


def test_a_tracking_server_that_does_not_answer_is_to_be_mended(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:s3cret@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    found = said(lab)["MLflow"]
    assert (found.level, "does not answer" in found.found, "s3cret" in found.found) == ("fix", True, False)


def test_a_profile_that_ended_is_fresh() -> None:
    ended = Lab(load_profile("demo", {"end": "2020-06", "models": "[ridge]", "regimes": "[]", "agents": "[]"}))
    assert said(ended)["freshness"] == Finding("ok", "freshness", "demo ends 2020-06: nothing new is due")
    assert freshness.due_session(datetime.now(UTC)).year > 2020


def test_secrets_that_others_can_read_are_told(lab: Lab, place: Path) -> None:
    (place / ".env").write_text("SMTP_PASSWORD=x\n")
    (place / ".env").chmod(0o644)
    assert "chmod 600" in said(lab)[".env"].found
    (place / ".env").chmod(0o600)
    assert ".env" not in said(lab)
