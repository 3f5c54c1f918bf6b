"""The web UI as a researcher meets it: `quant dev`, a browser, clicks."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab_process import DevServer, answers, dev_server, free_port, lab_environment, poll, quant_here

from quant_assets.automation.switch import switch_on

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
)
GROUPS = (
    "market_data", "features", "training", "representation", "models", "regimes", "signals", "agents", "evaluation",
    "experiments",
)  # fmt: skip
#: Loose: the goal on an idle machine is 20 s, and this one may be busy.
SERVING_WITHIN_S = 60
RUN_WITHIN_S = 150
WAIT_MS = 60_000

pytestmark = [
    pytest.mark.ui,
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine: install the `chromium` package to run the UI tests"
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    folder = tmp_path_factory.mktemp("ui")
    environment = lab_environment(folder) | {"QUANT_MLFLOW_PORT": str(free_port())}
    settings = [
        "--to",
        "2020-02",
        "--set",
        "raw_ohlcv.n_tickers=8",
        "--set",
        "profile.models=[ridge]",
        "--set",
        "profile.regimes=[hmm]",
        "--set",
        "forecaster_ridge.importance_dates=10",
    ]  # the first fold that has a report
    history = quant_here(["run", "--profile", "demo", *settings], environment)
    assert history.returncode == 0, history.stdout + history.stderr
    with dev_server(folder, environment) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1500, "height": 950})
    opened.set_default_timeout(WAIT_MS)
    yield opened
    opened.screenshot(path=tmp_path / "last.png")
    opened.close()


def finished_run(server: DevServer, asset: str, before: set[str]) -> dict[str, Any]:
    """The run of `asset` that is not in `before`, once it is over."""

    def over() -> dict[str, Any] | None:
        new = [run for run in server.runs(asset) if run["runId"] not in before]
        return next((run for run in new if run["status"] in ("SUCCESS", "FAILURE", "CANCELED")), None)

    return poll(f"a run of {asset} ends", over, RUN_WITHIN_S, every_s=1)


def run_ids(server: DevServer, asset: str) -> set[str]:
    return {run["runId"] for run in server.runs(asset)}


def check_status(server: DevServer, asset: str, month: str) -> list[tuple[str, str]]:
    """(check, status) of one partition, from the UI's API."""
    query = """query($key: AssetKeyInput!) {assetChecksOrError: assetNodeOrError(assetKey: $key) {... on AssetNode {
        assetChecksOrError {... on AssetChecks {checks {
            name executionForLatestMaterialization {status evaluation {partition}}}}}}}}"""
    checks = server.graphql(query, key={"path": ["demo", asset]})["assetChecksOrError"]["assetChecksOrError"]["checks"]
    newest = [(check["name"], check["executionForLatestMaterialization"]) for check in checks]
    return [
        (name, found["status"])
        for name, found in newest
        if found and (found["evaluation"] or {}).get("partition") == month
    ]


def test_the_ui_serves_soon_after_one_command(server: DevServer, record_property: Any) -> None:
    record_property("serving_after_s", round(server.serving_after_s, 1))
    print(f"quant dev served after {server.serving_after_s:.1f} s")
    assert server.serving_after_s < SERVING_WITHIN_S


def test_the_code_location_loads_without_error_and_everything_says_what_it_is(server: DevServer) -> None:
    query = """{workspaceOrError {... on Workspace {locationEntries {
        name locationOrLoadError {__typename ... on PythonError {message}}}}}}"""
    location = server.graphql(query)["workspaceOrError"]["locationEntries"]
    assert [entry["locationOrLoadError"]["__typename"] for entry in location] == ["RepositoryLocation"], location
    nodes = server.graphql("{assetNodes {assetKey {path} groupName description}}")["assetNodes"]
    assert {node["groupName"] for node in nodes} == set(GROUPS)
    assert not [node["assetKey"]["path"] for node in nodes if not node["description"]]


def test_the_lineage_page_shows_every_stage_of_the_pipeline(server: DevServer, page: Any) -> None:
    page.goto(f"{server.url}/asset-groups/")
    for group in GROUPS:
        page.get_by_text(group, exact=True).first.wait_for()
    assert page.locator("[class*=toast i], [class*=Toast]").filter(has_text=re.compile("error", re.I)).count() == 0


def test_a_month_of_features_is_materialized_by_clicking_and_shows_its_rows_and_its_check(
    server: DevServer, page: Any
) -> None:
    before = run_ids(server, "features")
    page.goto(f"{server.url}/assets/demo/features")
    page.get_by_role("button", name="Materialize").first.click()
    months = page.get_by_placeholder(re.compile("2015-01"))
    months.fill("2015-03")
    months.press("Enter")
    page.get_by_role("button", name=re.compile("Launch 1 run")).click()

    run = finished_run(server, "features", before)
    assert (run["status"], run["tags"]["dagster/partition"]) == ("SUCCESS", "2015-03")

    page.goto(f"{server.url}/assets/demo/features?partition=2015-03")
    for text in ("Row count", "Latest check results", "sessions", "preview", "coverage", "distribution"):
        page.get_by_text(text, exact=True).first.wait_for()
    page.goto(f"{server.url}/assets/demo/features?view=checks")
    page.get_by_text("causality_sample").first.wait_for()
    page.get_by_text("Passed", exact=True).first.wait_for()
    assert ("causality_sample", "SUCCEEDED") in check_status(server, "features", "2015-03")


def test_the_launchpad_takes_a_setting_that_the_run_then_has(server: DevServer, page: Any) -> None:
    before = run_ids(server, "features")
    page.goto(f"{server.url}/assets/demo/features")
    page.get_by_role("button", name="Materialize").first.locator("xpath=following::button[1]").click()
    page.get_by_text("Open launchpad").click()
    editor = page.locator(".CodeMirror").first
    # The launchpad offers every setting with its default; the editor renders only the lines in view.
    text = "document.querySelector('.CodeMirror')?.CodeMirror?.getValue() ?? ''"
    poll("the launchpad's defaults", lambda: "zscore_lookback" in page.evaluate(text), 60)
    partition = page.get_by_placeholder("Partition")
    partition.fill("2015-02")
    # The list is filtered a moment after the text was typed; until then Enter would take its first month.
    page.get_by_text("2015-02", exact=True).first.click()
    editor.click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text("ops: {demo__features: {config: {zscore_lookback: 63}}}")
    page.get_by_text("No errors").first.wait_for()
    page.get_by_role("button", name=re.compile("Materialize")).last.click()

    run = finished_run(server, "features", before)
    assert (run["status"], run["tags"]["dagster/partition"]) == ("SUCCESS", "2015-02")
    assert yaml.safe_load(run["runConfigYaml"])["ops"]["demo__features"]["config"] == {"zscore_lookback": 63}


def test_coverage_equity_and_drawdown_are_pictures_on_their_pages(server: DevServer, page: Any) -> None:
    for asset, n_pictures in (("clean_prices", 1), ("backtest", 3)):
        page.goto(f"{server.url}/assets/demo/{asset}")
        pictures = page.locator("img[src^='data:image/svg']")
        pictures.nth(n_pictures - 1).wait_for()
        widths = pictures.evaluate_all("all => all.map(it => [it.naturalWidth, it.getBoundingClientRect().width])")
        assert len(widths) == n_pictures
        assert all(natural > 0 and shown > 0 for natural, shown in widths), widths


def mlflow_serves(server: DevServer) -> None:
    """MLflow's UI starts after Dagster's."""
    poll("MLflow's UI serves", lambda: answers(server.mlflow_url), 120)


def test_the_report_opens_with_one_click_on_its_page(server: DevServer, page: Any) -> None:
    mlflow_serves(server)
    page.goto(f"{server.url}/assets/demo/backtest_report")
    page.get_by_role("link", name="open the report").first.click()
    page.frame_locator("iframe").first.get_by_text("out-of-sample backtest").first.wait_for()
    assert page.url.startswith(server.mlflow_url)


def test_the_link_to_mlflow_answers_with_the_run(server: DevServer, page: Any) -> None:
    mlflow_serves(server)
    page.goto(f"{server.url}/assets/demo/forecaster_ridge")
    page.get_by_role("link", name="open in MLflow").first.click()
    page.get_by_text("forecaster_ridge[2020]").first.wait_for()


def test_runs_of_a_command_say_what_they_made_and_which_command_it_was(server: DevServer, page: Any) -> None:
    page.goto(f"{server.url}/runs?q=tag:quant/asset%3Ddemo/backtest")
    for text in ("backtest", "quant/asset: demo/backtest", "partition: 2020"):
        page.get_by_text(text, exact=True).first.wait_for()
    page.get_by_text("quant/command: quant run --profile demo").first.wait_for()
    assert page.get_by_text("__ephemeral_asset_job__").count() == 0


def test_the_schedule_and_every_sensor_can_be_switched_on_at_once(server: DevServer) -> None:
    named = ["daily_refresh", "default_automation_condition_sensor", "evaluate_after_refresh"]
    named += ["fit_again", "refresh_again", "restated_months", "watch_freshness", "weekly_restatements"]
    assert sorted(switch_on(server.url) or []) == named
    assert switch_on(server.url) == []


def test_no_daemon_or_sensor_is_in_error_and_the_terminal_shows_no_warning_of_the_code(server: DevServer) -> None:
    health = server.graphql("{instance {daemonHealth {allDaemonStatuses {daemonType lastHeartbeatErrors {message}}}}}")
    daemons = health["instance"]["daemonHealth"]["allDaemonStatuses"]
    assert {"SENSOR", "SCHEDULER", "BACKFILL", "ASSET"} <= {daemon["daemonType"] for daemon in daemons}
    assert not [daemon for daemon in daemons if daemon["lastHeartbeatErrors"]]
    query = """query($lab: RepositorySelector!) {sensorsOrError(repositorySelector: $lab) {... on Sensors {results {
        name sensorState {ticks(limit: 5) {status error {message}}}}}}}"""
    lab = {"repositoryName": "__repository__", "repositoryLocationName": "quant_lab"}
    sensors = server.graphql(query, lab=lab)["sensorsOrError"]["results"]
    ticks = {sensor["name"]: sensor["sensorState"]["ticks"] for sensor in sensors}
    assert ticks["alert_on_failure"], "the alert has not been evaluated"
    assert not [tick for own in ticks.values() for tick in own if tick["status"] == "FAILURE"]
    assert not re.search("Traceback|SupersessionWarning", server.log.read_text())
