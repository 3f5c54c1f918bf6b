"""The page as a reader meets it: drawn, within its width, offline, its tables downloaded, its buttons at work."""

import csv
import html
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quant_core.report.render import ReportInput, render_report

Make = Callable[..., ReportInput]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ALL_DRAWN = "Array.from(document.querySelectorAll('.chart')).every(c => c.querySelector('.main-svg'))"
BOXES = """Array.from(document.querySelectorAll('.chart')).map(chart => {
    const own = chart.getBoundingClientRect(), drawn = chart.querySelector('.main-svg').getBoundingClientRect();
    const marks = chart.querySelectorAll('.scatterlayer path, .barlayer path').length;
    return [chart.id, drawn.width, drawn.height, own.width, own.height, marks]; })"""
CLIPPED = """Array.from(document.querySelectorAll('.chart')).flatMap(chart => {
    const own = chart.getBoundingClientRect();
    const labels = chart.querySelectorAll('.xtick text, .ytick text, .y2tick text, .annotation-text');
    return Array.from(labels).filter(label => {
        const box = label.getBoundingClientRect();
        const isAside = box.left < own.left - 1 || box.right > own.right + 1;
        return isAside || box.top < own.top - 1 || box.bottom > own.bottom + 1;
    }).map(label => chart.id + ': ' + label.textContent); })"""
#: Two thirds wider than the page's own font: what a reader whose machine has another font may see.
WIDE_FONT = "<style>svg text { letter-spacing: 4px; }</style></head>"

pytestmark = [
    pytest.mark.ui,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the `chromium` package"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(make_report_input: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(make_report_input()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def report_in_a_wide_font(report: Path) -> Path:
    path = report.with_name("wide.html")
    path.write_text(report.read_text(encoding="utf-8").replace("</head>", WIDE_FONT, 1), encoding="utf-8")
    return path


class Opened:
    """A page without network, and everything that it complained about or asked for."""

    def __init__(self, browser: Any, report: Path, width: int, scheme: str) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(report.as_uri())
        self.until(ALL_DRAWN)

    def until(self, condition: str) -> None:
        """Wait; the page's own policy forbids Playwright's wait_for_function, which evaluates text."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(50)
        pytest.fail(f"the page never reached: {condition}")


@pytest.fixture
def open_page(browser: Any, report: Path) -> Iterator[Callable[..., Opened]]:
    """Open the report, or another file: open_page(width, scheme, file)."""
    contexts = []

    def opened(width: int, scheme: str = "light", file: Path = report) -> Opened:
        found = Opened(browser, file, width, scheme)
        contexts.append(found.context)
        return found

    yield opened
    for context in contexts:
        context.close()


def cells(page: str, table: str) -> list[list[str]]:
    """Unrounded cells of a table as the markup holds them."""
    markup = re.search(rf'<table id="table-{table}".*?</table>', page, flags=re.DOTALL)
    assert markup is not None, table
    rows = [re.findall(r'data-csv="([^"]*)"', row) for row in markup.group().split("<tr")[1:]]
    return [[html.unescape(cell) for cell in row] for row in rows if row]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_figure_is_drawn_within_the_page_without_fault_or_request(
    open_page: Callable[..., Opened], report: Path, width: int, scheme: str
) -> None:
    opened = open_page(width, scheme)
    boxes = opened.page.evaluate(BOXES)
    assert len(boxes) >= 25
    for key, drawn_width, drawn_height, own_width, own_height, marks in boxes:
        assert drawn_width == pytest.approx(own_width, abs=2), key
        assert drawn_height == pytest.approx(own_height, abs=2), key
        assert min(drawn_width, drawn_height) > 100, key
        assert marks > 0, key
    assert opened.page.evaluate(CLIPPED) == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    assert opened.faults == []
    assert opened.requests == [report.as_uri()]


@pytest.mark.parametrize("width", [1280, 390])
def test_no_label_is_clipped_or_left_out_in_a_font_much_wider_than_this_machines(
    open_page: Callable[..., Opened], report_in_a_wide_font: Path, width: int
) -> None:
    labels = "Array.from(document.querySelectorAll('#rank-ic .xtick text'), text => text.textLength.baseVal.value)"
    widest = f"Math.max(...{labels})"
    plain, wide = open_page(width).page, open_page(width, "light", report_in_a_wide_font)
    assert wide.page.evaluate(widest) > 1.3 * plain.evaluate(widest)
    assert wide.page.evaluate(CLIPPED) == []  # a label left out has no box, and is clipped by this measure
    assert wide.page.evaluate("document.documentElement.scrollWidth") == width
    assert wide.faults == []


def test_every_table_downloads_as_it_was_made(open_page: Callable[..., Opened], report: Path) -> None:
    page = open_page(1280).page
    markup = report.read_text(encoding="utf-8")
    page.evaluate("document.querySelectorAll('details').forEach(node => { node.open = true; })")
    keys = page.evaluate("Array.from(document.querySelectorAll('button.csv')).map(button => button.dataset.table)")
    assert len(keys) == page.locator("table").count() >= 15
    for key in keys:
        page.wait_for_timeout(150)  # Chromium drops downloads that come in bursts of more than ten a second
        with page.expect_download() as download:
            page.locator(f"button.csv[data-table={key}]").click()
        assert download.value.suggested_filename == key.removeprefix("table-") + ".csv"
        text = Path(download.value.path()).read_text(encoding="utf-8")
        assert list(csv.reader(text.splitlines())) == cells(markup, key.removeprefix("table-")), key


def test_the_figures_follow_the_readers_colour_scheme(open_page: Callable[..., Opened]) -> None:
    opened = open_page(1280, "dark")
    colour = "document.getElementById('equity').data.find(line => line.line.width > 2).line.color"
    dark = opened.page.evaluate(colour)
    opened.page.emulate_media(color_scheme="light")
    opened.until(f"{colour} !== '{dark}'")


def test_the_log_button_and_the_legend_act_on_their_figure_alone(open_page: Callable[..., Opened]) -> None:
    page = open_page(390).page
    page.locator("button.toggle[data-chart=equity-all]").click()
    axis = "document.getElementById('{}').layout.yaxis.type"
    assert page.evaluate(axis.format("equity-all")) == "log"
    assert page.evaluate(axis.format("equity")) == "linear"
    shown = "document.getElementById('{}').data.filter(line => line.visible === true).length"
    before = page.evaluate(shown.format("equity-all"))
    entry = page.locator("#legend-equity-all button", has_text="equal_weight")
    entry.click()
    assert entry.get_attribute("aria-pressed") == "false"
    assert page.evaluate(shown.format("equity-all")) == before - 1
    assert page.evaluate(shown.format("equity")) == 2
    entry.click()
    assert page.evaluate(shown.format("equity-all")) == before


def test_a_figure_that_was_narrow_is_drawn_anew_when_the_page_widens(open_page: Callable[..., Opened]) -> None:
    opened = open_page(390)
    opened.page.set_viewport_size({"width": 1280, "height": 900})
    opened.until("document.querySelector('#equity .main-svg').getBoundingClientRect().width > 900")
    assert opened.faults == []


def test_figures_are_drawn_for_paper_in_light_colours_and_back(open_page: Callable[..., Opened]) -> None:
    opened = open_page(1280, "dark")
    colour = "document.getElementById('equity').data.find(line => line.line.width > 2).line.color"
    width = "document.querySelector('#equity .main-svg').getBoundingClientRect().width"
    dark, wide = opened.page.evaluate(colour), opened.page.evaluate(width)
    opened.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert opened.page.evaluate(colour) != dark
    assert opened.page.evaluate(width) < 700  # an A4 page less its margins
    opened.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    opened.until(f"{colour} === '{dark}' && {width} === {wide}")
    assert len(opened.page.pdf(prefer_css_page_size=True, print_background=True)) > 50_000
    assert opened.faults == []


def test_figures_tables_and_sections_have_names_for_those_who_cannot_see_them(open_page: Callable[..., Opened]) -> None:
    page = open_page(1280).page
    nameless = """Array.from(document.querySelectorAll('.chart')).filter(
        chart => chart.getAttribute('role') !== 'img' || chart.getAttribute('aria-label').length < 20).length"""
    assert page.evaluate(nameless) == 0
    bare = """Array.from(document.querySelectorAll('table')).filter(
        table => !document.getElementById(table.getAttribute('aria-labelledby'))
            || table.querySelectorAll('thead th[scope=col]').length < 2
            || Array.from(table.tBodies[0].rows).some(row => row.cells[0].tagName !== 'TH')).map(table => table.id)"""
    assert page.evaluate(bare) == []
    broken = """Array.from(document.querySelectorAll('nav a')).filter(
        link => !document.querySelector(link.getAttribute('href'))).length"""
    assert page.evaluate(broken) == 0
