"""What runs by itself: the daily refresh after the close, which ends in tomorrow's orders, the evaluation after it, and
the sensors that try again and send messages.

Fold assets carry AutomationCondition.on_missing themselves: a new fold trains once; a revised month never retrains one.
"""

from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from quant_assets.automation import alert_sensors, refresh_sensors
from quant_assets.automation.refreshing import last_read, months_refreshed, refresh_request, unsettled_months
from quant_assets.instance.live_runs import bury_dead_runs
from quant_assets.lab import Lab
from quant_assets.partitions import IST, fold_of
from quant_core.calendar import EVENING_PUBLISHED_HOUR, is_evening, is_session

#: What dg.define_asset_job returns; Dagster does not export its name.
Job = Any

#: Group of the assets that test through a fold.
EVALUATION = "evaluation"
#: After an ordinary close, and after that of an evening session.
REFRESH_AT, EVENING_AT = "30 18 * * *", "30 21 * * *"


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


def build_schedule(lab: Lab, refresh: Job) -> dg.ScheduleDefinition:
    """The daily refresh: skips days without a session, asks for one run a day."""

    @dg.schedule(
        job=refresh,
        cron_schedule=[REFRESH_AT, EVENING_AT],
        execution_timezone=IST,
        name="daily_refresh",
        description="18:30 IST on NSE sessions (21:30 on evening ones): the current month, in its first sessions the "
        "one before, and months that nobody read when they ended.",
    )
    def daily_refresh(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        moment = context.scheduled_execution_time.astimezone(ZoneInfo(IST))
        day = moment.date()
        if not is_session(day):
            return dg.SkipReason(f"{day} is no NSE session.")
        if is_evening(day) != (moment.hour >= EVENING_PUBLISHED_HOUR):
            return dg.SkipReason(f"{day} is refreshed after its close, at {'21:30' if is_evening(day) else '18:30'}.")
        known = set(lab.partitions.months.get_partition_keys())
        asked = unsettled_months(day, last_read(lab, context.instance))
        wanted = [month for month in asked if month in known]
        if f"{day:%Y-%m}" not in wanted:
            return dg.SkipReason(
                f"profile {lab.profile.name} has no month {day:%Y-%m}: its data ends {lab.profile.end}."
            )
        return refresh_request(f"refresh-{day}", wanted)

    return daily_refresh


def build_sensors(lab: Lab, jobs: dict[str, Job]) -> list[dg.SensorDefinition]:
    """Evaluation after a refresh, burial of runs whose process is gone, and messages (alert_sensors.py)."""

    @dg.run_status_sensor(
        name="evaluate_after_refresh",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[jobs["refresh"]],
        request_job=jobs["evaluate"],
        description="A refreshed month makes its fold's backtest and report again.",
    )
    def evaluate_after_refresh(context: dg.RunStatusSensorContext) -> list[dg.RunRequest] | dg.SkipReason:
        run = context.dagster_run
        months = months_refreshed(run.tags)
        # A fold that ended with the month before is judged with its last days too, before the one that follows it.
        folds = sorted({fold for month in months if (fold := fold_of(lab.partitions.folds, month)) is not None})
        if not folds:
            return dg.SkipReason(f"month {months[-1]} lies before the first fold.")
        return [dg.RunRequest(run_key=f"evaluate-{run.run_id}-{fold}", partition_key=fold) for fold in folds]

    @dg.sensor(
        name="bury_dead_runs",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs failed whose process was killed, and frees the slots that others wait for.",
    )
    def bury(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        buried = bury_dead_runs(context.instance, launched=True)
        return dg.SkipReason(" ".join(buried) or "No run is left of a process that died.")

    return [
        evaluate_after_refresh, bury,
        *refresh_sensors.build(lab, jobs["refresh"], jobs["train"]), *alert_sensors.build(lab),
    ]  # fmt: skip
