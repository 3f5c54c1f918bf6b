"""What runs by itself: the daily refresh at 18:30 IST, which ends in tomorrow's orders, the evaluation after it, and
the alert when a run fails.

Fold assets carry AutomationCondition.on_missing themselves: a new fold trains once; a revised month never retrains one.
"""

import json
import os
import urllib.request
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from quant_assets.lab import Lab
from quant_assets.live_runs import bury_dead_runs
from quant_assets.partitions import IST, fold_of
from quant_core.calendar import is_session, sessions

#: What dg.define_asset_job returns; Dagster does not export its name.
Job = Any

#: Group of the assets that test through a fold.
EVALUATION = "evaluation"
REFRESH_AT = "30 18 * * *"
#: In the first sessions of a month the previous one is read again: vendors restate its last days.
REREAD_SESSIONS = 3
WEBHOOK_VARIABLE = "QUANT_ALERT_WEBHOOK"


def build_jobs(lab: Lab, assets: Sequence[dg.AssetsDefinition]) -> dict[str, Job]:
    """refresh (every month asset, in one process), train and evaluate (fold assets)."""

    def job(name: str, chosen: Callable[[dg.AssetsDefinition], bool], **more: object) -> Job:
        keys = [key for asset in assets if chosen(asset) for key in asset.keys]
        return dg.define_asset_job(name, dg.AssetSelection.assets(*keys), **more)  # type: ignore[arg-type]

    months, folds, here = lab.partitions.months, lab.partitions.folds, dg.in_process_executor
    daily = "Fetch, clean, featurise, forecast, weigh and say tomorrow's orders; the daily schedule runs it."
    return {
        "refresh": job("refresh", lambda asset: asset.partitions_def == months, partitions_def=months,
                       executor_def=here, description=daily),
        "train": job("train", lambda asset: asset.partitions_def == folds and not is_evaluation(asset),
                     partitions_def=folds, description="Fit every model of one fold."),
        "evaluate": job("evaluate", is_evaluation, partitions_def=folds, executor_def=here,
                        description="Backtest through one fold, and its report."),
    }  # fmt: skip


def is_evaluation(asset: dg.AssetsDefinition) -> bool:
    """Whether its fold tests everything through that fold: only the newest one is of interest."""
    return set(asset.group_names_by_key.values()) == {EVALUATION}


def refresh_months(day: date) -> list[str]:
    """Months that the refresh of session `day` materializes: its own, and early in a month the one before it first."""
    first = day.replace(day=1)
    early = len(sessions(first, day)) <= REREAD_SESSIONS
    months = [f"{first - timedelta(days=1):%Y-%m}"] if early else []
    return [*months, f"{day:%Y-%m}"]


def build_schedule(lab: Lab, refresh: Job) -> dg.ScheduleDefinition:
    """The daily refresh: skips days without a session, asks for the month once a day."""

    @dg.schedule(
        job=refresh,
        cron_schedule=REFRESH_AT,
        execution_timezone=IST,
        name="daily_refresh",
        description="18:30 IST on NSE sessions: the current month, and in its first sessions the one before.",
    )
    def daily_refresh(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        day = context.scheduled_execution_time.astimezone(ZoneInfo(IST)).date()
        if not is_session(day):
            return dg.SkipReason(f"{day} is no NSE session.")
        known = set(lab.partitions.months.get_partition_keys())
        wanted = [month for month in refresh_months(day) if month in known]
        if not wanted:
            return dg.SkipReason(
                f"profile {lab.profile.name} has no month {day:%Y-%m}: its data ends {lab.profile.end}."
            )
        return [dg.RunRequest(run_key=f"refresh-{day}-{month}", partition_key=month) for month in wanted]

    return daily_refresh


def build_sensors(lab: Lab, jobs: dict[str, Job]) -> list[dg.SensorDefinition]:
    """Evaluation after a refresh, the alert for failed runs, and the burial of those whose process is gone."""

    @dg.run_status_sensor(
        name="evaluate_after_refresh",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[jobs["refresh"]],
        request_job=jobs["evaluate"],
        description="A refreshed month makes its fold's backtest and report again.",
    )
    def evaluate_after_refresh(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
        month = context.dagster_run.tags.get("dagster/partition", "")
        fold = fold_of(lab.partitions.folds, month)
        if fold is None:
            return dg.SkipReason(f"month {month} lies before the first fold.")
        return dg.RunRequest(run_key=f"evaluate-{context.dagster_run.run_id}", partition_key=fold)

    @dg.run_failure_sensor(
        name="alert_on_failure",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Logs every failed run and posts it to the webhook in {WEBHOOK_VARIABLE}, where set.",
    )
    def alert_on_failure(context: dg.RunFailureSensorContext) -> None:
        run = context.dagster_run
        message = f"{lab.profile.name}: run {run.run_id} of {run.job_name} failed: {context.failure_event.message}"
        context.log.error(message)
        if url := os.environ.get(WEBHOOK_VARIABLE):
            post_alert(
                url,
                {
                    "text": message,
                    "run_id": run.run_id,
                    "job": run.job_name,
                    "partition": run.tags.get("dagster/partition"),
                },
            )

    @dg.sensor(
        name="bury_dead_runs",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs of a killed `quant run` failed and frees the slots that runs launched here wait for.",
    )
    def bury(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        return dg.SkipReason(" ".join(bury_dead_runs(context.instance)) or "No run is left of a process that died.")

    return [evaluate_after_refresh, alert_on_failure, bury]


def post_alert(url: str, payload: dict[str, object], timeout_seconds: float = 10.0) -> None:
    """POST a JSON message; only http and https addresses are accepted."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{WEBHOOK_VARIABLE} must be an http(s) address; correct the environment variable.")
    body = json.dumps(payload | {"sent_at": datetime.now(ZoneInfo(IST)).isoformat(timespec="seconds")}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout_seconds):
        pass
