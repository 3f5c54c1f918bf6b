"""Which months a refresh reads, when it is tried again, and which closed months it offers."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from quant_assets.automation import restated
from quant_assets.automation.refresh_sensors import REFIT_TAG, refit
from quant_assets.automation.refreshing import again, months_refreshed, refresh_request, settled_at, unsettled_months
from quant_assets.lab import Lab
from quant_assets.profile import load_profile

IST = ZoneInfo("Asia/Kolkata")
#: The sessions of December 2019 begin on the 2nd, 3rd and 4th; those of November on the 1st, 4th and 5th.
NOVEMBER_SETTLED = datetime(2019, 12, 4, 18, tzinfo=IST)


def read(**at: tuple[int, int]) -> Any:
    """(month, day) of 2019 on whose evening months were read last, e.g. m10=(11, 5)."""
    moments = {f"2019-{name[1:]}": datetime(2019, month, day, 18, 31, tzinfo=IST) for name, (month, day) in at.items()}
    return moments.get


def test_a_month_is_settled_by_a_read_after_the_third_session_of_the_next() -> None:
    assert settled_at("2019-11") == NOVEMBER_SETTLED
    assert settled_at("2019-12") == datetime(2020, 1, 3, 18, tzinfo=IST)


@pytest.mark.parametrize(("day", "read_at", "months"), [
    (date(2019, 12, 12), read(m10=(11, 5), m11=(12, 4)), ["2019-12"]),
    (date(2019, 12, 12), read(m10=(11, 5), m11=(12, 3)), ["2019-11", "2019-12"]),  # off since the second session
    (date(2019, 12, 12), read(m10=(10, 31)), ["2019-10", "2019-11", "2019-12"]),  # off for two ends of a month
    (date(2019, 12, 3), read(m10=(11, 5), m11=(12, 2)), ["2019-11", "2019-12"]),
    (date(2019, 12, 12), read(), ["2019-12"]),  # never fetched: `quant run` is for that
])  # fmt: skip
def test_what_nobody_read_when_it_was_due_is_read_now(day: date, read_at: Any, months: list[str]) -> None:
    assert unsettled_months(day, read_at) == months


def test_the_months_of_a_refresh_are_one_run() -> None:
    one, two = refresh_request("a", ["2019-12"]), refresh_request("b", ["2019-11", "2019-12"])
    assert (one.partition_key, two.partition_key) == ("2019-12", None)
    assert months_refreshed(two.tags) == ("2019-11", "2019-12")
    assert months_refreshed({"dagster/partition": "2019-12"}) == ("2019-12", "2019-12")


@dataclass(frozen=True)
class Record:
    """What the instance keeps of a run."""

    dagster_run: dg.DagsterRun
    end_time: float


ENDED = datetime(2019, 12, 12, 13, 5, tzinfo=UTC)


def ended(status: dg.DagsterRunStatus, at: datetime = ENDED, **tags: str) -> Record:
    run = dg.DagsterRun(job_name="refresh", status=status, tags={"dagster/partition": "2019-12", **tags})
    return Record(run, at.timestamp())


def test_a_refresh_that_failed_is_tried_again_half_an_hour_later_and_four_times_in_all() -> None:
    failed = ended(dg.DagsterRunStatus.FAILURE, **{"quant/refresh": "refresh-2019-12-12"})
    soon, later = (datetime(2019, 12, 12, 13, minute, tzinfo=UTC) for minute in (34, 36))
    assert again(failed, soon) == "The newest refresh failed; it is tried again at 13:35 UTC."
    second = again(failed, later)
    assert isinstance(second, dg.RunRequest)
    assert (second.run_key, second.tags["dagster/partition"]) == ("refresh-2019-12-12-try-2", "2019-12")
    third = again(ended(dg.DagsterRunStatus.FAILURE, **second.tags), later)
    assert isinstance(third, dg.RunRequest)
    assert third.run_key == "refresh-2019-12-12-try-3"
    last = ended(dg.DagsterRunStatus.FAILURE, **{"quant/tries": "4"})
    assert "failed 4 times" in str(again(last, later))
    assert "success" in str(again(ended(dg.DagsterRunStatus.SUCCESS), later + timedelta(days=1)))


def test_what_is_missing_of_a_fold_is_tried_again_and_not_for_ever() -> None:
    later, missing = datetime(2020, 1, 1, 14, 0, tzinfo=UTC), [dg.AssetKey(["demo", "forecaster_ridge"])]
    failed = ended(dg.DagsterRunStatus.FAILURE, at=datetime(2020, 1, 1, 13, 5, tzinfo=UTC))

    def found(left: list[dg.AssetKey], *records: Record, has_data: bool = True, now: datetime = later) -> Any:
        return refit("2020", left, records, has_data, now)  # type: ignore[arg-type]

    for records in ([failed], []):  # after a failure, and where the automation condition never asked
        request = found(missing, *records)
        assert (request.partition_key, request.asset_selection, request.run_key) == ("2020", missing, "fit-2020-1")
    assert "is fitted" in found([], failed)
    assert "being fitted" in found(missing, ended(dg.DagsterRunStatus.STARTED), failed)
    assert "waits for the prices" in found(missing, failed, has_data=False)
    assert "tried 4 times" in found(missing, *(ended(dg.DagsterRunStatus.FAILURE, **{REFIT_TAG: "1"}) for _ in "123"))
    assert "again at 13:35" in found(missing, failed, now=later - timedelta(minutes=30))
    assert "again at 19:00" in found(missing, now=datetime(2019, 12, 31, 18, 45, tzinfo=UTC))  # 00:30 in India


def test_closed_months_that_their_source_gives_otherwise_are_found_and_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANT_DATA", str(tmp_path))
    lab = Lab(load_profile("demo", {"start": "2017-01", "end": "2017-04", "train_years": "1"}))

    @dataclass(frozen=True)
    class Stored:
        fingerprint: str

    stored = {"2017-01": Stored("as 2017-01"), "2017-02": Stored("another"), "2017-04": Stored("another")}
    monkeypatch.setattr(restated, "stamps_in", lambda root: lambda key, month: stored.get(month))
    monkeypatch.setattr(restated, "fingerprint", lambda graph, stamps, key, month, *more: f"as {month}")
    found = restated.restated_months(lab, None, first_open="2017-04")  # type: ignore[arg-type]
    assert found == ["2017-02"]
    assert "demo/raw_ohlcv: 2017-02 no longer what the source gives" in restated.offer(lab, found)
