"""What runs by itself, asked at chosen moments."""

from collections.abc import Iterator
from datetime import date, datetime
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from quant_assets.assembly import build_definitions
from quant_assets.profile import load_profile

IST = ZoneInfo("Asia/Kolkata")


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(load_profile("demo"))


@pytest.fixture(scope="module", autouse=True)
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def tick(definitions: dg.Definitions, instance: dg.DagsterInstance, moment: datetime) -> object:
    schedule, repository = definitions.resolve_schedule_def("daily_refresh"), definitions.get_repository_def()
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=moment, repository_def=repository)
    return schedule.evaluate_tick(context)


def test_the_schedule_fires_after_the_close_and_after_that_of_an_evening_session(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("daily_refresh")
    assert (schedule.cron_schedule, schedule.execution_timezone) == (["30 18 * * *", "30 21 * * *"], "Asia/Kolkata")


def test_a_session_asks_for_its_month_once_a_day(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    requests = tick(definitions, instance, datetime(2026, 10, 15, 18, 30, tzinfo=IST)).run_requests  # type: ignore[attr-defined]
    assert [(r.partition_key, r.run_key) for r in requests] == [("2026-10", "refresh-2026-10-15")]


def months(request: dg.RunRequest) -> list[str]:
    return [request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"]]


def test_the_first_sessions_of_a_month_read_the_previous_month_again_in_the_same_run(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    requests = tick(definitions, instance, datetime(2026, 10, 5, 18, 30, tzinfo=IST)).run_requests  # type: ignore[attr-defined]
    assert [(r.run_key, months(r)) for r in requests] == [("refresh-2026-10-05", ["2026-09", "2026-10"])]


@pytest.mark.parametrize("day", [date(2026, 10, 17), date(2026, 10, 18), date(2026, 10, 2), date(2026, 1, 26)])
def test_closed_days_are_skipped_with_a_reason(
    definitions: dg.Definitions, instance: dg.DagsterInstance, day: date
) -> None:
    result = tick(definitions, instance, datetime(day.year, day.month, day.day, 18, 30, tzinfo=IST))
    assert not result.run_requests  # type: ignore[attr-defined]
    assert "no NSE session" in result.skip_message  # type: ignore[attr-defined]


def test_a_sunday_with_a_special_session_is_refreshed(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    requests = tick(definitions, instance, datetime(2026, 2, 1, 18, 30, tzinfo=IST)).run_requests  # type: ignore[attr-defined]
    assert [months(r) for r in requests] == [["2026-01", "2026-02"]]


@pytest.mark.parametrize(("day", "hour", "said"), [
    (date(2019, 10, 27), 18, "after its close, at 21:30"), (date(2019, 10, 27), 21, ""),
    (date(2019, 10, 25), 18, ""), (date(2019, 10, 25), 21, "after its close, at 18:30"),
])  # fmt: skip
def test_an_evening_session_is_refreshed_after_its_own_close(
    definitions: dg.Definitions, instance: dg.DagsterInstance, day: date, hour: int, said: str
) -> None:
    result = tick(definitions, instance, datetime(day.year, day.month, day.day, hour, 30, tzinfo=IST))
    assert len(result.run_requests) == (not said)  # type: ignore[attr-defined]
    assert said in (result.skip_message or "")  # type: ignore[attr-defined]


def test_a_profile_that_ended_is_not_refreshed(instance: dg.DagsterInstance) -> None:
    closed = build_definitions(load_profile("demo", {"end": "2022-06"}))
    result = tick(closed, instance, datetime(2026, 10, 15, 18, 30, tzinfo=IST))
    assert "its data ends 2022-06" in result.skip_message  # type: ignore[attr-defined]


def test_the_daily_refresh_ends_in_tomorrows_orders(definitions: dg.Definitions) -> None:
    graph, job = definitions.resolve_asset_graph(), definitions.resolve_job_def("refresh")
    refreshed = [key for key in graph.toposorted_asset_keys if key in job.asset_layer.executable_asset_keys]
    assert refreshed[-1] == dg.AssetKey(["demo", "signals"])
    downstream = {key.path[-1] for key in refreshed if dg.AssetKey(["demo", "signals"]) in graph.get(key).parent_keys}
    assert not downstream
    assert {"target_weights", "weights_ppo", "regimes"} <= {key.path[-1] for key in refreshed}


def test_models_train_when_their_fold_is_missing_and_on_nothing_else(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    conditions = {key.path[-1]: graph.get(key).automation_condition for key in graph.get_all_asset_keys()}
    fitted = {name for name in conditions if name.startswith(("forecaster_", "rl_policy_"))}
    once_a_fold = {
        "training_window", "encoder", "regime_model", "regime_history", "regime_books", "book_settings", *fitted
    }  # fmt: skip
    assert {name for name, condition in conditions.items() if condition} == once_a_fold
    assert conditions["forecaster_ridge"] == dg.AutomationCondition.on_missing()
