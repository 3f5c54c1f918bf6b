"""What follows a refresh that did not bring everything: another try, and word of closed months that were restated."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from quant_assets.lab import Lab
from quant_assets.partitions import IST
from quant_assets.refreshing import AGAIN_AFTER, MOST_TRIES, again, refresh_months
from quant_assets.restated import offer, restated_months


def build(lab: Lab, refresh: Any, tell: Callable[[str], object]) -> list[dg.SensorDefinition]:
    """The two sensors.

    Args:
        refresh: the job of the daily refresh.
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

    return [refresh_again, restated]
