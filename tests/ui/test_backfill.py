"""A backfill from the web UI: one run, the same files as month by month in any order, and a status of each month."""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from lab_process import DevServer, dev_server, free_port, lab_environment, poll
from small_lab import SmallLab
from test_ui import browser, page  # noqa: F401
from test_ui import pytestmark as needs_browser

from quant_assets.assembly import build_definitions
from quant_assets.commands.runner import Runner, Step
from quant_assets.lab import Lab
from quant_assets.profile import load_profile

pytestmark = pytest.mark.slow

ASSETS = ("raw_ohlcv", "clean_prices", "features")
MONTHS = tuple(f"{year}-{month:02d}" for year in (2015, 2016) for month in range(1, 13))
#: Months whose status a person looks up, and the checks of clean prices.
SEEN = MONTHS[:4]
CHECKS = {"contract", "rows_consistent", "sessions_complete", "actions_resolved", "index_present", "quality", "fresh"}
BACKFILL_WITHIN_S = 200
LAUNCH = """mutation($params: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}"""
STATUS = "query($id: String!) {partitionBackfillOrError(backfillId: $id) {... on PartitionBackfill {status}}}"

STATUSES = """query($key: AssetKeyInput!) {assetNodeOrError(assetKey: $key) {... on AssetNode {
    assetChecksOrError {... on AssetChecks {checks {name partitionStatuses {
        ... on AssetCheckTimePartitionStatuses {ranges {startKey endKey status}}}}}}}}}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    folder = tmp_path_factory.mktemp("backfill")
    environment = lab_environment(folder) | {"QUANT_MLFLOW_PORT": str(free_port())}
    with dev_server(folder, environment) as running:
        yield running


def backfilled(server: DevServer, **params: Any) -> list[dict[str, Any]]:
    """Launch a backfill as the UI does, and its runs once it is over."""
    launched = server.graphql(LAUNCH, params={"tags": [], **params})["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    backfill = launched["backfillId"]

    def over() -> str | None:
        status = server.graphql(STATUS, id=backfill)["partitionBackfillOrError"]["status"]
        return status if status.startswith(("COMPLETED", "FAIL", "CANCEL")) else None

    status = poll(f"backfill {backfill}", over, BACKFILL_WITHIN_S, every_s=1)
    runs = [run for run in server.runs(*ASSETS) if run["tags"].get("dagster/backfill") == backfill]
    assert (status, {run["status"] for run in runs}) == ("COMPLETED_SUCCESS", {"SUCCESS"}), server.log.read_text()[
        -4000:
    ]
    return runs


def partition_range(run: dict[str, Any]) -> tuple[str, str]:
    tags = run["tags"]
    return tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]


@pytest.fixture(scope="module")
def two_years(server: DevServer) -> list[dict[str, Any]]:
    """Runs of one backfill of every month asset over both years."""
    span = {"ranges": [{"start": MONTHS[0], "end": MONTHS[-1]}]}
    return backfilled(
        server, partitionsByAssets=[{"assetKey": {"path": ["demo", a]}, "partitions": span} for a in ASSETS]
    )


def test_a_backfill_over_two_years_makes_each_asset_in_one_run(two_years: list[dict[str, Any]]) -> None:
    for asset in ASSETS:
        own = [run for run in two_years if asset in run["assets"]]
        assert [partition_range(run) for run in own] == [(MONTHS[0], MONTHS[-1])], asset


def test_a_backfill_of_one_asset_is_one_run_over_the_chosen_months_only(
    server: DevServer, two_years: list[dict[str, Any]]
) -> None:
    before = stored(server)
    months = MONTHS[6:18]
    runs = backfilled(server, assetSelection=[{"path": ["demo", "clean_prices"]}], partitionNames=list(months))
    assert [(run["assets"], partition_range(run)) for run in runs] == [({"clean_prices"}, (months[0], months[-1]))]
    assert stored(server) == before


def stored(server: DevServer) -> dict[str, str]:
    return SmallLab(Path(server.environment["QUANT_DATA"]).parent, server.environment).hashes()


def shuffled(seed: int, months: Sequence[str]) -> list[str]:
    return random.Random(seed).sample(months, len(months))


#: The first months of the backfill, for the orders that need not be tried over all of it.
FEW, MORE = MONTHS[:6], MONTHS[:14]
#: Orders in which single months may be made, upstream months before those that read them. The one over more than a
#: year has every look-back reach over months made out of order, and the longest windows are full.
ORDERS = {
    "14 months asset by asset, raw backwards and the rest shuffled": [
        *(("raw_ohlcv", month) for month in reversed(MORE)),
        *(("clean_prices", month) for month in shuffled(1, MORE)),
        *(("features", month) for month in shuffled(2, MORE)),
    ],
    "asset by asset, raw shuffled and the rest backwards": [
        *(("raw_ohlcv", month) for month in shuffled(3, FEW)),
        *(("clean_prices", month) for month in reversed(FEW)),
        *(("features", month) for month in reversed(FEW)),
    ],
    "month by month, as the daily refresh does": [(asset, month) for month in FEW for asset in ASSETS],
}


@pytest.mark.parametrize("order", ORDERS)
def test_single_months_in_any_order_have_the_content_of_the_backfill(
    server: DevServer, two_years: list[dict[str, Any]], order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANT_DATA", str(tmp_path / "data"))
    profile = load_profile("demo")
    with dg.DagsterInstance.ephemeral() as instance:
        runner = Runner(Lab(profile), build_definitions(profile), instance, {}, "CRITICAL")
        for asset, month in ORDERS[order]:
            runner.execute(Step(asset, (month,)))
    found = SmallLab(tmp_path, {}).hashes()
    assert found.keys() == {f"{asset}/{month}" for asset, month in ORDERS[order]}
    assert found.items() <= stored(server).items()


def with_browser(test: Callable[..., None]) -> Callable[..., None]:
    """The marks of the tests of the UI."""
    for mark in needs_browser:
        test = mark(test)
    return test


def test_the_api_has_a_status_of_every_month_for_every_check(
    server: DevServer, two_years: list[dict[str, Any]]
) -> None:
    node = server.graphql(STATUSES, key={"path": ["demo", "clean_prices"]})["assetNodeOrError"]
    checks = {one["name"]: one["partitionStatuses"]["ranges"] for one in node["assetChecksOrError"]["checks"]}
    assert set(checks) == CHECKS
    for name, ranges in checks.items():
        found = [(one["startKey"], one["endKey"], one["status"]) for one in ranges]
        assert found == [(MONTHS[0], MONTHS[-1], "SUCCEEDED")], name


@with_browser
def test_each_month_of_the_backfill_is_shown_as_passed(
    server: DevServer, two_years: list[dict[str, Any]], page: Any  # noqa: F811
) -> None:  # fmt: skip
    page.goto(f"{server.url}/assets/demo/clean_prices?view=checks&checkDetail=contract")
    page.get_by_text("This is a").first.wait_for()
    page.get_by_text("Partitions", exact=True).nth(1).click()  # the first one is the asset's own tab
    for count in (f"Passed ({len(MONTHS)})", "Skipped (0)", "Failed (0)", "Execution Failed (0)", "In Progress (0)"):
        page.get_by_text(count, exact=True).wait_for()
    for month in SEEN:
        page.get_by_placeholder("Filter by partition").fill(month)
        page.get_by_text(month, exact=True).filter(visible=True).last.click()
        page.get_by_text("Passed", exact=True).first.wait_for()
        page.get_by_text("View all historical executions (1)").wait_for()


@with_browser
def test_the_asset_page_counts_its_checks_as_passed(
    server: DevServer, two_years: list[dict[str, Any]], page: Any  # noqa: F811
) -> None:  # fmt: skip
    page.goto(f"{server.url}/assets/demo/clean_prices?view=checks")
    for name in sorted(CHECKS):
        page.get_by_text(name, exact=True).first.wait_for()
    assert page.get_by_text("Succeeded", exact=True).count() == len(CHECKS)
    assert page.get_by_text("Skipped", exact=True).count() == 0
