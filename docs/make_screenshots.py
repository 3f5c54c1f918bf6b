"""Pictures of the UI for docs/tour.md: `python docs/make_screenshots.py`, after `make demo`; needs Chromium.

Starts `quant dev` over the demo, opens each page of SHOTS in a headless browser, and writes docs/pictures/<name>.png in
128 colours. `python docs/make_screenshots.py lineage report` makes only these.
"""

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, sync_playwright

from quant_assets.stored_lab import StoredLab, open_lab
from quant_core.errors import DataError

PICTURES = Path(__file__).parent / "pictures"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DESKTOP, PHONE = {"width": 1360, "height": 850}, {"width": 390, "height": 844}
WAIT_MS = 120_000
COLORS = 128
MOST_BYTES = 150_000


@dataclass(frozen=True)
class Servers:
    """Where Dagster's UI, MLflow's and the stored report are."""

    ui: str
    mlflow: str
    report: str


@dataclass(frozen=True)
class Shot:
    """One picture: the page that it is of, what must be on it, and what is done there first."""

    path: str
    awaited: str
    prepare: Callable[[Page], None] = lambda page: None
    viewport: Any = None


def open_materialize(page: Page) -> None:
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("button", name=re.compile("Launch")).first.wait_for()


def open_launchpad(page: Page) -> None:
    page.get_by_role("button", name="Materialize").first.locator("xpath=following::button[1]").click()
    page.get_by_text("Open launchpad").click()
    text = "document.querySelector('.CodeMirror')?.CodeMirror?.getValue() ?? ''"
    while "zscore_lookback" not in page.evaluate(text):  # the page's policy allows no waiting inside it
        page.wait_for_timeout(500)


SHOTS = {
    "lineage": Shot("{ui}/asset-groups/", "evaluation"),
    "asset": Shot("{ui}/assets/demo/features", "Row count"),
    "partitions": Shot("{ui}/assets/demo/clean_prices?view=partitions&partition=2021-03", "sessions"),
    "pictures": Shot("{ui}/assets/demo/backtest", "cumulative_ic"),
    "checks": Shot("{ui}/assets/demo/clean_prices?view=checks", "actions_resolved"),
    "materialize": Shot("{ui}/assets/demo/features", "Row count", open_materialize),
    "launchpad": Shot("{ui}/assets/demo/features", "Row count", open_launchpad),
    "automation": Shot("{ui}/automation", "At 06:30 PM"),
    "mlflow": Shot("{mlflow}/#/experiments/1/runs", "forecaster_ridge"),
    "report": Shot("{report}", "out-of-sample"),
    "report-phone": Shot("{report}", "out-of-sample", viewport=PHONE),
}


def take(page: Page, shot: Shot, servers: Servers, target: Path) -> None:
    """Open the page, wait for what must be on it, and write it as a picture of few colours."""
    page.goto(shot.path.format(**vars(servers)))
    page.get_by_text(re.compile(shot.awaited)).first.wait_for()
    shot.prepare(page)
    page.wait_for_timeout(4_000)  # what is drawn after the text
    seen = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(COLORS)
    seen.save(target, optimize=True)
    size = target.stat().st_size
    if size > MOST_BYTES:
        raise DataError(
            f"{target}: {size} bytes; wanted at most {MOST_BYTES}; show less of the page or take fewer COLORS."
        )


@contextmanager
def served(lab: StoredLab) -> Iterator[Servers]:
    """`quant dev` over the lab; whatever it started is gone afterwards."""
    ports = free_port(), free_port()
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    command = [sys.executable, "-m", "quant_assets.commands.cli", "dev", "--profile", lab.profile]
    command += ["--port", str(ports[0]), "--mlflow-port", str(ports[1])]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        for url in (f"{urls[0]}/server_info", urls[1]):
            until_it_answers(url)
        fold = lab.partitions("backtest_report")[-1]
        (report,) = Path(lab.root / lab.profile / "backtest_report").glob(f"{fold}-*/report.html")
        yield Servers(*urls, report.resolve().as_uri())
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def until_it_answers(url: str, patience_s: float = 300) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=10):
            return
        time.sleep(1)
    raise TimeoutError(f"{url} does not answer after {patience_s:g} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(names: list[str]) -> int:
    """Make the pictures; how many could not be made."""
    wanted, failed = names or list(SHOTS), 0
    PICTURES.mkdir(exist_ok=True)
    with served(open_lab("demo")) as servers, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for name in wanted:
            page = browser.new_page(viewport=SHOTS[name].viewport or DESKTOP)
            page.set_default_timeout(WAIT_MS)
            try:
                take(page, SHOTS[name], servers, PICTURES / f"{name}.png")
            except (PlaywrightError, DataError) as error:
                failed += 1
                print(f"{name}: {error}", file=sys.stderr, flush=True)
            page.close()
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
