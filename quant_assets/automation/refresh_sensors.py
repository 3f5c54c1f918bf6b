"""What follows work that did not bring everything: another try, and word of closed months that were restated."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.tags import PARTITION_NAME_TAG

from quant_assets.automation.alerts import Alert, send
from quant_assets.automation.refreshing import (
    AGAIN_AFTER,
    MOST_TRIES,
    again,
    ended_at,
    last_read,
    unsettled_months,
)
from quant_assets.automation.restated import offer, restated_months
from quant_assets.currency.fingerprints import stored_stamp
from quant_assets.lab import Lab
from quant_assets.partitions import IST, first_month, fold_of, month_before

#: Which further try of a fold's fits a run is.
REFIT_TAG = "quant/refit"


def build(lab: Lab, refresh: Any, train: Any) -> list[dg.SensorDefinition]:
    """The sensors.

    Args:
        refresh, train: the job of the daily refresh, and that of a fold's models.
    """

    @dg.sensor(
        name="refresh_again",
        job=refresh,
        minimum_interval_seconds=300,
        description=f"Tries a failed refresh again after {AGAIN_AFTER.seconds // 60} minutes, {MOST_TRIES} times in "
        "all: a vendor was away, a fold was not fitted yet.",
    )
    def refresh_again(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        newest = context.instance.get_run_records(dg.RunsFilter(job_name=refresh.name), limit=1)
        found = again(newest[0], datetime.now(UTC)) if newest else "Nothing was refreshed yet."
        return dg.SkipReason(found) if isinstance(found, str) else found

    @dg.sensor(
        name="fit_again",
        job=train,
        minimum_interval_seconds=300,
        description=f"Fits what is missing of the newest fold {AGAIN_AFTER.seconds // 60} minutes after a try or the "
        f"fold's beginning, {MOST_TRIES} times in all; the first time is the automation condition's.",
    )
    def fit_again(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        assert context.repository_def is not None  # Dagster gives it to every sensor of a code location
        now = datetime.now(UTC)
        fold = fold_of(lab.partitions.folds, f"{now.astimezone(ZoneInfo(IST)):%Y-%m}")
        if fold is None:
            return dg.SkipReason("The first fold has not begun.")
        missing = missing_fits(lab, context.repository_def.asset_graph, fold)
        records = context.instance.get_run_records(dg.RunsFilter(tags={PARTITION_NAME_TAG: fold}), limit=100)
        last = stored_stamp(lab.root, lab.key("clean_prices"), month_before(first_month(fold)))
        found = refit(fold, missing, records, last is not None, now)
        return dg.SkipReason(found) if isinstance(found, str) else found

    @dg.sensor(
        name="restated_months",
        minimum_interval_seconds=6 * 3600,
        description="Tells, once, of closed months whose source gives something else by now, and offers the run.",
    )
    def restated(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        assert context.repository_def is not None  # Dagster gives it to every sensor of a code location
        today = datetime.now(ZoneInfo(IST)).date()
        first_open = unsettled_months(today, last_read(lab, context.instance))[0]
        months = restated_months(lab, context.repository_def.asset_graph, first_open)
        if not months:
            context.update_cursor("")
            return dg.SkipReason("Every closed month is what its source gives.")
        message = offer(lab, months)
        if context.cursor != ",".join(months):
            context.log.warning(message)
            title = f"{lab.profile.name}: {len(months)} closed months were restated"
            send(Alert(title, (message,)), context.log.warning)
            context.update_cursor(",".join(months))
        return dg.SkipReason(message)

    return [refresh_again, fit_again, restated]


def missing_fits(lab: Lab, graph: BaseAssetGraph, fold: str) -> list[dg.AssetKey]:
    """What is fitted once a fold and is not stored of this one."""
    fitted = [key for key in graph.get_all_asset_keys() if graph.get(key).automation_condition is not None]
    return sorted(key for key in fitted if stored_stamp(lab.root, key, fold) is None)


def refit(
    fold: str, missing: Sequence[dg.AssetKey], records: Sequence[RunRecord], has_data: bool, now: datetime
) -> dg.RunRequest | str:
    """The next try of a fold's missing fits, or why there is none.

    The automation condition asks once, when it sees the fold begin: not again after a failure, and not at all where it
    was switched on later.

    Args:
        records: runs of the fold, newest first.
        has_data: whether prices of the month before the fold are stored.
    """
    if not missing:
        return f"Everything of fold {fold} is fitted."
    if any(not one.dagster_run.is_finished for one in records):
        return f"Fold {fold} is being fitted."
    if not has_data:
        return f"Fold {fold} waits for the prices of the month before it; `quant run` fetches them."
    failed = [one for one in records if one.dagster_run.status == dg.DagsterRunStatus.FAILURE]
    tries = 1 + sum(REFIT_TAG in one.dagster_run.tags for one in records)
    if tries >= MOST_TRIES:
        return f"Fold {fold} was tried {tries} times; see why in its runs, then `quant run`."
    begun = datetime.fromisoformat(f"{first_month(fold)}-01").replace(tzinfo=ZoneInfo(IST))
    due = (ended_at(failed[0]) if failed else begun) + AGAIN_AFTER
    if now < due:
        return f"Fold {fold} is tried again at {due.astimezone(UTC):%H:%M} UTC."
    tags = {REFIT_TAG: str(tries)}
    return dg.RunRequest(run_key=f"fit-{fold}-{tries}", partition_key=fold, asset_selection=list(missing), tags=tags)
