"""What `quant doctor` says of a lab that runs by itself: daemon, schedule, failed runs, freshness, alerts, secrets."""

import stat
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus

from quant_assets.automation import alerts
from quant_assets.checks.freshness import due_session, late_tables
from quant_assets.lab import Lab
from quant_assets.storage.paths import project_root
from quant_assets.tracking.mlflow_resource import STORE, tracking_uri
from quant_assets.upkeep.finding import Finding

#: A daemon that lives says so every few seconds; Dagster itself waits this long.
HEARTBEAT_SECONDS = 300.0
SCHEDULE = "daily_refresh"
FAILED_DAYS = 7
SWITCH_ON = "`quant dev --automate` switches it on"


def unattended(lab: Lab, instance: dg.DagsterInstance | None) -> Iterator[Finding]:
    """Every check.

    Args:
        instance: None where there is none yet.
    """
    if instance is not None:
        yield _daemon(instance, time.time())
        yield _schedule(instance)
        yield _failed(instance, time.time())
    yield _tracker()
    yield _fresh(lab, datetime.now(UTC))
    yield from _alerts()
    yield from _secrets()


def _daemon(instance: dg.DagsterInstance, now: float) -> Finding:
    beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
    if not beats:
        return Finding(
            "note", "daemon", "has never run here; `quant dev` runs it: schedule, sensors, backfills, alerts"
        )
    since = now - max(beats)
    if since <= HEARTBEAT_SECONDS:
        return Finding("ok", "daemon", f"alive {since:.0f} s ago")
    when = datetime.fromtimestamp(max(beats)).isoformat(" ", "minutes")
    return Finding(
        "note", "daemon", f"not running (last seen {when}): nothing runs by itself, no alert is sent; `quant dev`"
    )


def _schedule(instance: dg.DagsterInstance) -> Finding:
    states = [
        one for one in instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE) if one.name == SCHEDULE
    ]
    if not any(one.status == InstigatorStatus.RUNNING for one in states):
        return Finding("note", "schedule", f"{SCHEDULE} is off; {SWITCH_ON}")
    return Finding("ok", "schedule", f"{SCHEDULE} is on")


def _failed(instance: dg.DagsterInstance, now: float) -> Finding:
    since = datetime.fromtimestamp(now - FAILED_DAYS * 86400, UTC)
    asked = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], created_after=since)
    failed = instance.get_run_records(asked, limit=100)
    if not failed:
        return Finding("ok", "failed runs", f"none in {FAILED_DAYS} days")
    newest = failed[0].dagster_run
    named = f"{newest.job_name} {newest.run_id[:8]}"
    return Finding(
        "note", "failed runs", f"{len(failed)} in {FAILED_DAYS} days, the newest {named}; the UI says why (Runs)"
    )


def _tracker() -> Finding:
    uri = tracking_uri()
    if not uri.startswith("http"):
        place = uri.removeprefix("sqlite:///")
        return Finding("ok", "MLflow", place if not place.endswith(STORE) else f"{place} (made by the first fit)")
    with suppress(OSError, ValueError), urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=3) as answer:
        if answer.status == 200:
            return Finding("ok", "MLflow", alerts.hidden(f"{uri} answers"))
    return Finding("fix", "MLflow", alerts.hidden(f"{uri} does not answer (MLFLOW_TRACKING_URI); start it or unset it"))


def _fresh(lab: Lab, now: datetime) -> Finding:
    verdicts = late_tables(lab, now)
    if not verdicts:
        return Finding("ok", "freshness", f"{lab.profile.name} ends {lab.profile.end}: nothing new is due")
    late = {asset: verdict.metadata for asset, verdict in verdicts.items() if not verdict.passed}
    due = due_session(now)
    if not late:
        return Finding("ok", "freshness", f"session {due} is in {', '.join(verdicts)}")
    said = ", ".join(f"{asset} (newest {told['newest']})" for asset, told in late.items())
    return Finding("note", "freshness", f"session {due} is not in {said}; `quant refresh --profile {lab.profile.name}`")


def _alerts() -> Iterator[Finding]:
    wrong = alerts.problems()
    yield from (Finding("fix", "alerts", text) for text in wrong)
    places = alerts.configured()
    if not places:
        yield Finding("note", "alerts", f"nobody is told: set {alerts.WEBHOOK_VARIABLE} or {alerts.EMAIL_VARIABLE}")
    elif not wrong:
        yield Finding("ok", "alerts", f"go to {' and '.join(places)}; `quant doctor --send-alert` sends one to try")


def _secrets() -> Iterator[Finding]:
    path = project_root() / ".env"
    if path.is_file() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding("note", ".env", f"{path} can be read by others on this machine; chmod 600 {path}")
