"""What follows work that did not bring everything: another try, and word of closed months that were restated."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.tags import PARTITION_NAME_TAG

from quant_assets.currency import stored_stamp
from quant_assets.lab import Lab
from quant_assets.partitions import IST, fold_of
from quant_assets.refreshing import AGAIN_AFTER, MOST_TRIES, again, ended_at, refresh_months
from quant_assets.restated import offer, restated_months

#: Which further try of a fold's fits a run is.
REFIT_TAG = "quant/refit"


def build(lab: Lab, refresh: Any, train: Any, tell: Callable[[str], object]) -> list[dg.SensorDefinition]:
    """The sensors.

    Args:
        refresh, train: the job of the daily refresh, and that of a fold's models.
        tell: how a person who is not looking is told.
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
        description=f"Fits what a failed run left of the newest fold, after {AGAIN_AFTER.seconds // 60} minutes, "
        f"{MOST_TRIES} times in all; the first time is the automation condition's.",
    )
    def fit_again(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        assert context.repository_def is not None  # Dagster gives it to every sensor of a code location
        now = datetime.now(UTC)
        fold = fold_of(lab.partitions.folds, f"{now.astimezone(ZoneInfo(IST)):%Y-%m}")
        if fold is None:
            return dg.SkipReason("The first fold has not begun.")
        missing = missing_fits(lab, context.repository_def.asset_graph, fold)
        records = context.instance.get_run_records(dg.RunsFilter(tags={PARTITION_NAME_TAG: fold}), limit=100)
        found = refit(fold, missing, records, now)
        return dg.SkipReason(found) if isinstance(found, str) else found

    @dg.sensor(
        name="restated_months",
        minimum_interval_seconds=6 * 3600,
        description="Tells, once, of closed months whose source gives something else by now, and offers the run.",
    )
    def restated(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        assert context.repository_def is not None  # Dagster gives it to every sensor of a code location
        first_open = refresh_months(datetime.now(ZoneInfo(IST)).date())[0]
        months = restated_months(lab, context.repository_def.asset_graph, first_open)
        if not months:
            context.update_cursor("")
            return dg.SkipReason("Every closed month is what its source gives.")
        message = offer(lab, months)
        if context.cursor != ",".join(months):
            context.log.warning(message)
            tell(message)
            context.update_cursor(",".join(months))
        return dg.SkipReason(message)

    return [refresh_again, fit_again, restated]


def missing_fits(lab: Lab, graph: BaseAssetGraph, fold: str) -> list[dg.AssetKey]:
    """What is fitted once a fold and is not stored of this one."""
    fitted = [key for key in graph.get_all_asset_keys() if graph.get(key).automation_condition is not None]
    return sorted(key for key in fitted if stored_stamp(lab.root, key, fold) is None)


def refit(
    fold: str, missing: Sequence[dg.AssetKey], records: Sequence[RunRecord], now: datetime
) -> dg.RunRequest | str:
    """The next try of a fold's missing fits, or why there is none.

    Args:
        records: runs of the fold, newest first.
    """
    if not missing:
        return f"Everything of fold {fold} is fitted."
    failed = [one for one in records if one.dagster_run.status == dg.DagsterRunStatus.FAILURE]
    if not failed or any(not one.dagster_run.is_finished for one in records):
        return f"Fold {fold} is being fitted, or nothing of it was tried yet."
    tries = 1 + sum(REFIT_TAG in one.dagster_run.tags for one in records)
    if tries >= MOST_TRIES:
        return f"Fold {fold} was tried {tries} times; see why in its runs, then `quant run`."
    due = ended_at(failed[0]) + AGAIN_AFTER
    if now < due:
        return f"Fold {fold} is tried again at {due:%H:%M} UTC."
    key = f"fit-{fold}-{failed[0].dagster_run.run_id[:8]}"
    return dg.RunRequest(run_key=key, partition_key=fold, asset_selection=list(missing), tags={REFIT_TAG: str(tries)})
