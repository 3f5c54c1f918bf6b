"""Once a week: which closed months does the vendor give otherwise by now? Told with an offer, never taken alone."""

from collections.abc import Sequence

import dagster as dg

from quant_assets.automation.alerts import Alert, send
from quant_assets.automation.vendor_check import MONTHS_ASKED, told
from quant_assets.lab import Lab
from quant_assets.partitions import IST

#: Saturday morning, when nothing else runs.
ASKED_AT = "0 10 * * 6"


def build(lab: Lab) -> tuple[dg.JobDefinition, dg.ScheduleDefinition]:
    """The job that asks and the schedule that starts it."""

    @dg.op(name=f"{lab.profile.name}__ask_vendor_again")
    def ask(context: dg.OpExecutionContext) -> None:
        """Compare the newest closed months with the vendor's answer of today; nothing is stored."""
        lines, months = told(lab, MONTHS_ASKED)
        for line in lines:
            context.log.log("WARNING" if months else "INFO", line)
        if months:
            send(offer(lab, lines, months), context.log.warning)

    @dg.job(
        name="ask_vendor_again",
        description=f"Which of the {MONTHS_ASKED} newest closed months does the vendor give otherwise by now?",
        executor_def=dg.in_process_executor,
    )
    def ask_vendor_again() -> None:
        ask()

    weekly = dg.ScheduleDefinition(
        name="weekly_restatements", job=ask_vendor_again, cron_schedule=ASKED_AT, execution_timezone=IST,
        description="Saturdays 10:00 IST: asks the vendor again for closed months and tells of those that differ.",
    )  # fmt: skip
    return ask_vendor_again, weekly


def offer(lab: Lab, lines: Sequence[str], months: Sequence[str]) -> Alert:
    """What differs, and how to take it."""
    name = lab.profile.name
    to_do = (
        f"`quant restated --profile {name} --take` stores them and runs what follows; or in the UI: raw_ohlcv, "
        f"Materialize, {', '.join(months)}, then what follows from it.",
        "The former version stays: `quant run --as-of DATE` runs on it again.",
    )
    return Alert(
        f"{name}: the vendor restated {len(months)} closed months", tuple(lines), to_do, {"months": list(months)}
    )
