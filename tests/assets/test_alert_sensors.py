"""The sensors that send messages: a run that failed, a check that failed unseen, a session that did not come."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from post_office import webhook

from quant_assets.assembly import build_definitions
from quant_assets.automation import alert_sensors
from quant_assets.automation.alerts import WEBHOOK_VARIABLE
from quant_assets.checks import freshness
from quant_assets.checks.freshness import due_session, late_tables
from quant_assets.instance.live_runs import PID_TAG
from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_assets.storage.partition_files import table_path, write_table
from quant_core.errors import DataError

NOW = datetime(2026, 11, 26, 17, tzinfo=UTC)  # 22:30 in Mumbai, after a session


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with webhook() as (address, received):
        monkeypatch.setenv(WEBHOOK_VARIABLE, address)
        yield received


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("QUANT_DATA", str(tmp_path / "data"))

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return NOW

    for module in (alert_sensors, freshness):
        monkeypatch.setattr(module, "datetime", Clock)
    return Lab(load_profile("demo", {"models": "[ridge]", "regimes": "[]", "agents": "[]"}))


def sensor(lab: Lab, name: str) -> Any:
    return next(one for one in alert_sensors.build(lab) if one.name == name)


@dg.op
def broken() -> None:
    raise DataError("vendor: closed until Monday; wait.")


@dg.asset(check_specs=[dg.AssetCheckSpec("quality", asset="prices")])
def prices() -> Iterator[Any]:
    yield dg.Output(None)
    yield dg.AssetCheckResult(
        passed=False, check_name="quality", severity=dg.AssetCheckSeverity.WARN, metadata={"breaches": "9 of 8"}
    )


def test_a_failed_run_says_what_failed_why_and_what_to_do(
    lab: Lab, instance: dg.DagsterInstance, posted: list[dict[str, Any]]
) -> None:
    @dg.job
    def breaks() -> None:
        broken()

    result = breaks.execute_in_process(instance=instance, raise_on_error=False)
    context = dg.build_run_status_sensor_context(
        sensor_name="alert_on_failure", dagster_instance=instance, dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
    )  # fmt: skip
    sensor(lab, "alert_on_failure")(context.for_run_failure())
    (message,) = posted
    assert message["run_id"] == result.run_id
    assert message["title"] == f"demo: run {result.run_id[:8]} of breaks failed"
    for part in ("broken: vendor: closed until Monday; wait.", "What to do:", "`quant run --profile demo` goes on"):
        assert part in message["text"]


def tell_of_checks(lab: Lab, instance: dg.DagsterInstance, tags: dict[str, str]) -> str:
    result = dg.materialize([prices], instance=instance, tags=tags)
    context = dg.build_run_status_sensor_context(
        sensor_name="alert_on_checks", dagster_instance=instance, dagster_run=result.dagster_run,
        dagster_event=result.get_run_success_event(),
    )  # fmt: skip
    sensor(lab, "alert_on_checks")(context)
    return result.run_id


def test_a_check_that_fails_is_sent_unless_a_command_says_it_itself(
    lab: Lab, instance: dg.DagsterInstance, posted: list[dict[str, Any]]
) -> None:
    tell_of_checks(lab, instance, {PID_TAG: "1"})
    assert posted == []
    run_id = tell_of_checks(lab, instance, {})
    (message,) = posted
    assert message["title"].startswith(f"demo: quality failed in run {run_id[:8]} of ")
    assert "prices: check quality failed: breaches 9 of 8" in message["text"]


def test_a_session_is_due_three_hours_after_its_prices_are_final() -> None:
    assert due_session(datetime(2026, 11, 26, 15, 29, tzinfo=UTC)) == date(2026, 11, 25)  # 20:59 in Mumbai
    assert due_session(datetime(2026, 11, 26, 15, 31, tzinfo=UTC)) == date(2026, 11, 26)


def store(lab: Lab, days: Sequence[date]) -> None:
    for asset in freshness.DAILY:
        table = pl.DataFrame({"date": days, "ticker": ["A"] * len(days), "instrument": ["equity"] * len(days)})
        write_table(table_path(lab.root, lab.key(asset), "2026-11"), table, "")


def test_a_late_table_is_told_once_and_its_check_follows(
    lab: Lab, instance: dg.DagsterInstance, posted: list[dict[str, Any]]
) -> None:
    watch = sensor(lab, "watch_freshness")
    store(lab, [date(2026, 11, 25)])
    first = watch(dg.build_sensor_context(instance))
    assert [(one.asset_key.path[-1], one.passed) for one in first.asset_events] == [
        ("raw_ohlcv", False), ("clean_prices", False), ("features", False)
    ]  # fmt: skip
    (message,) = posted
    assert message["title"] == "demo: session 2026-11-26 is not in raw_ohlcv, clean_prices, features"
    assert "newest session 2026-11-25" in message["text"]
    assert "quant refresh --profile demo" in message["text"]
    again = watch(dg.build_sensor_context(instance, cursor=first.cursor))
    assert isinstance(again, dg.SkipReason)
    store(lab, [date(2026, 11, 25), date(2026, 11, 26)])
    come = watch(dg.build_sensor_context(instance, cursor=first.cursor))
    assert all(one.passed for one in come.asset_events)
    assert len(posted) == 1
    assert json.loads(come.cursor) == {"due": "2026-11-26", "late": []}
    for event in (*first.asset_events, *come.asset_events):  # as Dagster's daemon does with them
        instance.report_runless_asset_event(event)
    key = dg.AssetCheckKey(lab.key("raw_ohlcv"), "fresh")
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
    assert [one.status.value for one in history] == ["SUCCEEDED", "FAILED"]


def test_a_profile_whose_data_ended_is_never_late(lab: Lab) -> None:
    ended = Lab(load_profile("demo", {"end": "2020-06", "models": "[ridge]", "regimes": "[]", "agents": "[]"}))
    assert late_tables(ended, NOW) == {}


def test_every_daily_table_has_the_check(lab: Lab) -> None:
    checks = build_definitions(lab.profile).resolve_asset_graph().asset_check_keys
    assert {key.asset_key.path[-1] for key in checks if key.name == "fresh"} == set(freshness.DAILY)
