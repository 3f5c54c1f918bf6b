"""What a person is told of without looking: runs that fail, checks that fail in runs nobody watches, data that is late.

The messages are made here; how they are sent is in alerts.py.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from quant_assets.automation.alerts import EMAIL_VARIABLE, WEBHOOK_VARIABLE, Alert, send
from quant_assets.checks.freshness import LATE, due_session, late_tables
from quant_assets.checks.verdicts import Verdict
from quant_assets.instance.live_runs import ASSET_TAG, PID_TAG
from quant_assets.lab import Lab
from quant_assets.logs import reason

#: Lines of a message about steps and checks.
MOST_LINES = 12
WHERE = f"{WEBHOOK_VARIABLE}, {EMAIL_VARIABLE}"


def build(lab: Lab) -> list[dg.SensorDefinition]:
    """The sensors that send messages."""

    @dg.run_failure_sensor(
        name="alert_on_failure",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Logs every failed run and sends it to {WHERE}, where set, with what to do.",
    )
    def alert_on_failure(context: dg.RunFailureSensorContext) -> None:
        alert = of_failed_run(lab, context)
        context.log.error(alert.text)
        send(alert, context.log.warning)

    @dg.run_status_sensor(
        name="alert_on_checks",
        run_status=dg.DagsterRunStatus.SUCCESS,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Sends checks that failed in runs of the daemon or the UI to {WHERE}; a command says its own.",
    )
    def alert_on_checks(context: dg.RunStatusSensorContext) -> None:
        run = context.dagster_run
        found = [] if PID_TAG in run.tags else failed_checks(context.instance, run.run_id)
        if found:
            alert = of_checks(lab, run, found)
            context.log.warning(alert.text)
            send(alert, context.log.warning)

    @dg.sensor(
        name="watch_freshness",
        minimum_interval_seconds=1800,
        description="Whether the newest session is in the daily tables hours after its close; tells of late ones once.",
    )
    def watch_freshness(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        now = datetime.now(UTC)
        verdicts = late_tables(lab, now)
        late = [asset for asset, verdict in verdicts.items() if not verdict.passed]
        seen = json.dumps({"due": str(due_session(now)), "late": late})
        if not verdicts or seen == context.cursor:
            return dg.SkipReason(f"{', '.join(late)} late, as was said." if late else "Nothing is late.")
        if late:
            send(of_late_tables(lab, verdicts), context.log.warning)
        return dg.SensorResult(cursor=seen, asset_events=list(_evaluations(lab, verdicts)))

    return [alert_on_failure, alert_on_checks, watch_freshness]


def of_failed_run(lab: Lab, context: dg.RunFailureSensorContext) -> Alert:
    """What failed, of which partitions, why, and what to do."""
    run = context.dagster_run
    steps = [(event.step_key, event.event_specific_data.error) for event in context.get_step_failure_events()]  # type: ignore[union-attr]
    found = [f"{step}: {reason(error)[0] if error else 'no error was recorded'}" for step, error in steps]
    found += _checks_told(failed_checks(context.instance, run.run_id))
    to_do = (
        f"Open run {run.run_id[:8]} in the UI ({run.run_id}) for its whole log.",
        f"Mend what the reason names; then `quant run --profile {lab.profile.name}` goes on where it stopped "
        "(or the next refresh does). `quant doctor` says whether anything else is wrong.",
    )
    return Alert(
        f"{lab.profile.name}: run {run.run_id[:8]} of {_of(run)} failed",
        _bounded(found or [str(context.failure_event.message)]), to_do, _facts(run),
    )  # fmt: skip


def failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[Any]:
    """The evaluations of a run that did not pass."""
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    data = [event.dagster_event.asset_check_evaluation_data for event in events if event.dagster_event]
    return [one for one in data if not one.passed]


def of_checks(lab: Lab, run: dg.DagsterRun, found: Sequence[Any]) -> Alert:
    """Checks that failed in a run that went through."""
    names = sorted({one.check_name for one in found})
    to_do = (
        "The check's page in the UI (the asset, Checks) has the rows; docs/operations.md, Checks, says what it means.",
        "A warning stops nothing: look before you trade on it.",
    )
    return Alert(
        f"{lab.profile.name}: {', '.join(names)} failed in run {run.run_id[:8]} of {_of(run)}",
        _bounded(_checks_told(found)), to_do, _facts(run),
    )  # fmt: skip


def of_late_tables(lab: Lab, verdicts: dict[str, Verdict]) -> Alert:
    """Daily tables without the session that is due."""
    late = {asset: verdict.metadata for asset, verdict in verdicts.items() if not verdict.passed}
    due = next(iter(late.values()))["due"]
    found = tuple(f"{lab.profile.name}/{asset}: newest session {told['newest']}" for asset, told in late.items())
    title = f"{lab.profile.name}: session {due} is not in {', '.join(late)}"
    return Alert(title, found, (LATE.format(profile=lab.profile.name),), {"due": due, "late": list(late)})


def _evaluations(lab: Lab, verdicts: dict[str, Verdict]) -> Iterator[dg.AssetCheckEvaluation]:
    """The check of each table, of no month: Dagster keeps one evaluation of a month outside runs, and fails at the
    second."""
    for asset, verdict in verdicts.items():
        yield dg.AssetCheckEvaluation(
            asset_key=lab.key(asset), check_name="fresh", passed=verdict.passed, severity=verdict.severity,
            metadata={name: dg.MetadataValue.text(str(value)) for name, value in verdict.metadata.items()},
        )  # fmt: skip


def _checks_told(found: Sequence[Any]) -> list[str]:
    lines = []
    for one in found:
        where = f"{one.asset_key.to_user_string()}{f' {one.partition}' if one.partition else ''}"
        texts = [f"{name} {value.value}" for name, value in one.metadata.items() if len(str(value.value)) <= 200]
        lines.append(f"{where}: check {one.check_name} failed{': ' if texts else ''}{', '.join(texts)}")
    return lines


def _bounded(lines: Sequence[str]) -> tuple[str, ...]:
    more = len(lines) - MOST_LINES
    shown = [" ".join(line.split())[:500] for line in lines[:MOST_LINES]]
    return (*shown, f"and {more} more") if more > 0 else tuple(shown)


def _of(run: dg.DagsterRun) -> str:
    first, last = (run.tags.get(tag) for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG))
    partitions = f"{first}..{last}" if first else run.tags.get(PARTITION_NAME_TAG, "")
    return f"{run.tags.get(ASSET_TAG, run.job_name)} {partitions}".strip()


def _facts(run: dg.DagsterRun) -> dict[str, Any]:
    return {"run_id": run.run_id, "job": run.job_name, "partition": run.tags.get(PARTITION_NAME_TAG)}
