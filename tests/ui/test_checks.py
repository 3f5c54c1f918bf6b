"""The checks of a backfill as a person sees them: each month has its own status, none is shown as skipped."""

from collections.abc import Iterator
from typing import Any

import pytest
from lab_process import DevServer, dev_server, free_port, lab_environment, poll, run_quant
from test_ui import browser, page, pytestmark  # noqa: F401

MONTHS = ("2015-01", "2015-02", "2015-03", "2015-04")
CHECKS = {"contract", "rows_consistent", "sessions_complete", "actions_resolved", "index_present", "quality"}
BACKFILL_WITHIN_S = 200
LAUNCH = """mutation($params: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}"""
STATUS = "query($id: String!) {partitionBackfillOrError(backfillId: $id) {... on PartitionBackfill {status}}}"
STATUSES = """query($key: AssetKeyInput!) {assetNodeOrError(assetKey: $key) {... on AssetNode {
    assetChecksOrError {... on AssetChecks {checks {name partitionStatuses {
        ... on AssetCheckTimePartitionStatuses {ranges {startKey endKey status}}}}}}}}}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """A lab whose clean prices of four months were made by one backfill of the UI."""
    folder = tmp_path_factory.mktemp("checks")
    environment = lab_environment(folder) | {"QUANT_MLFLOW_PORT": str(free_port())}
    done = run_quant(["run", "--profile", "demo", "--to", MONTHS[-1], "--stages", "raw_ohlcv"], environment)
    assert done.returncode == 0, done.stdout + done.stderr
    with dev_server(folder, environment) as running:
        backfill(running)
        yield running


def backfill(server: DevServer) -> None:
    """Launch it as the UI does, and wait until it is over."""
    params = {"assetSelection": [{"path": ["demo", "clean_prices"]}], "partitionNames": MONTHS}
    launched = server.graphql(LAUNCH, params=params)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched

    def over() -> str | None:
        found = server.graphql(STATUS, id=launched["backfillId"])["partitionBackfillOrError"]["status"]
        return found if found.startswith(("COMPLETED", "FAIL", "CANCEL")) else None

    assert poll("the backfill ends", over, BACKFILL_WITHIN_S, every_s=1) == "COMPLETED_SUCCESS"
    (run,) = server.runs("clean_prices")  # one run for the whole range
    assert run["tags"]["dagster/asset_partition_range_end"] == MONTHS[-1]


def test_the_api_has_a_status_of_every_month_for_every_check(server: DevServer) -> None:
    node = server.graphql(STATUSES, key={"path": ["demo", "clean_prices"]})["assetNodeOrError"]
    checks = {one["name"]: one["partitionStatuses"]["ranges"] for one in node["assetChecksOrError"]["checks"]}
    assert set(checks) == CHECKS
    for name, ranges in checks.items():
        found = [(one["startKey"], one["endKey"], one["status"]) for one in ranges]
        assert found == [(MONTHS[0], MONTHS[-1], "SUCCEEDED")], name


def test_each_month_of_the_backfill_is_shown_as_passed(server: DevServer, page: Any) -> None:  # noqa: F811
    page.goto(f"{server.url}/assets/demo/clean_prices?view=checks&checkDetail=contract")
    page.get_by_text("This is a").first.wait_for()
    page.get_by_text("Partitions", exact=True).nth(1).click()  # the first one is the asset's own tab
    for count in ("Passed (4)", "Skipped (0)", "Failed (0)", "Execution Failed (0)", "In Progress (0)"):
        page.get_by_text(count, exact=True).wait_for()
    for month in MONTHS:
        page.get_by_placeholder("Filter by partition").fill(month)
        page.get_by_text(month, exact=True).filter(visible=True).last.click()
        page.get_by_text("Passed", exact=True).first.wait_for()
        page.get_by_text("View all historical executions (1)").wait_for()


def test_the_asset_page_counts_its_checks_as_passed(server: DevServer, page: Any) -> None:  # noqa: F811
    page.goto(f"{server.url}/assets/demo/clean_prices?view=checks")
    for name in sorted(CHECKS):
        page.get_by_text(name, exact=True).first.wait_for()
    assert page.get_by_text("Succeeded", exact=True).count() == len(CHECKS)
    assert page.get_by_text("Skipped", exact=True).count() == 0
