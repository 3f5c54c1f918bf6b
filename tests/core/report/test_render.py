"""The rendered page: complete, escaped, deterministic, self-contained, and alive in a browser."""

import csv
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quant_core.errors import DataError
from quant_core.report.render import ReportInput, markdown_summary, render_report, sparkline

Make = Callable[..., ReportInput]
MAX_BYTES = 8_000_000
MAX_SECONDS = 0.5


def body_of(page: str) -> str:
    """The page without Plotly's own script."""
    return re.sub(r"<script>/\*\*\n\* plotly\.js.*?</script>", "", page, flags=re.DOTALL)


def cells(page: str, table: str) -> list[list[str]]:
    """Unrounded cells of a table, as its CSV would hold them."""
    markup = re.search(rf'<table id="table-{table}".*?</table>', page, flags=re.DOTALL)
    assert markup is not None
    return [re.findall(r'data-csv="([^"]*)"', row) for row in markup.group().split("<tr")[1:]]


def test_nine_years_of_four_strategies_stay_small_and_fast(make_report_input: Make) -> None:
    data = make_report_input(date(2015, 1, 1), date(2023, 12, 31))
    render_report(data)  # templates and Plotly's script are read once
    started = time.perf_counter()
    page = render_report(data)
    assert time.perf_counter() - started < MAX_SECONDS
    assert len(page.encode()) < MAX_BYTES


def test_the_same_input_gives_the_same_bytes_in_any_row_order(make_report_input: Make) -> None:
    data = make_report_input()
    assert render_report(data) == render_report(make_report_input())
    shuffled = replace(data, daily=data.daily.sample(fraction=1.0, shuffle=True, seed=1))
    assert render_report(shuffled) == render_report(data)


def test_every_section_and_figure_is_there_with_plotly_once(make_report_input: Make) -> None:
    page = render_report(make_report_input())
    sections = re.findall(r'<section id="([a-z-]+)"', page)
    assert sections == ["summary", "strategies", "performance", "trading", "forecast-quality", "notes", "provenance"]
    charts = re.findall(r'<div class="chart" id="([a-z-]+)" role="img" aria-label="([^"]+)"', page)
    assert [key for key, _ in charts] == ["equity", "drawdown", "sharpe", "turnover", "rank-ic"]
    assert page.count("* plotly.js v") == 1


def test_the_page_asks_the_network_for_nothing(make_report_input: Make) -> None:
    page = body_of(render_report(make_report_input()))
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href|url|@import)\s*[=(]\s*["']?(?:https?:)?//""", page)


def test_text_from_the_input_is_escaped_everywhere(make_report_input: Make) -> None:
    evil = "<script>alert(1)</script>"
    data = make_report_input()
    rename = pl.col("strategy").replace("ridge_top_n", evil)
    hostile = replace(
        data,
        title=evil,
        profile=evil,
        strategy=evil,
        daily=data.daily.with_columns(rename),
        positions=data.positions.with_columns(rename, ticker=pl.lit(evil)),
        metrics=data.metrics.with_columns(rename),
        benchmark=data.benchmark.with_columns(series=pl.lit(evil)),
        notes=[evil],
        provenance={evil: evil, "run": "javascript:alert(1)"},
    )
    page = body_of(render_report(hostile))
    assert evil not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert 'href="javascript' not in page
    assert "<script" not in markdown_summary(hostile)


def test_the_comparison_shows_the_metrics_given_and_the_costs_paid(make_report_input: Make) -> None:
    data = make_report_input()
    rows = cells(render_report(data), "comparison")
    header, chosen, last = rows[0], rows[1], rows[-1]
    assert (chosen[0], last[0]) == ("ridge_top_n", "benchmark")
    own = data.metrics.filter(pl.col("strategy") == "ridge_top_n").row(0, named=True)
    shown = dict(zip(header, chosen, strict=True))
    assert float(shown["cagr"]) == own["cagr"]
    daily = data.daily.filter(pl.col("strategy") == "ridge_top_n")
    years = (daily.height - 1) / 252
    expected = daily["cost_inr"].sum() / daily["equity_inr"].mean() / years
    assert float(shown["cost_ann"]) == pytest.approx(expected)
    assert dict(zip(header, last, strict=True))["cost_ann"] == ""


def test_the_twelve_months_of_a_year_compound_to_its_total(make_report_input: Make) -> None:
    data = make_report_input()
    rows = cells(render_report(data), "monthly")
    assert [row[0] for row in rows] == ["year", "2015", "2016"]
    product = 1.0
    for value in rows[2][1:13]:
        product *= 1.0 + float(value)
    assert float(rows[2][13]) == pytest.approx(product - 1.0)
    own = data.daily.filter(pl.col("strategy") == "ridge_top_n")
    total = (1 + float(rows[1][13])) * (1 + float(rows[2][13]))
    assert total == pytest.approx(own["equity_inr"][-1] / own["equity_inr"][0])


def test_the_opening_line_compares_with_the_benchmark(make_report_input: Make) -> None:
    data = make_report_input()
    metrics = pl.DataFrame(
        {
            "strategy": ["ridge_top_n", "benchmark"],
            "cagr": [0.123, 0.110],
            "sharpe_ann": [0.71, 0.62],
            "max_drawdown": [-0.345, -0.381],
        }
    )
    page = render_report(replace(data, metrics=metrics)).replace("\u202f", " ")
    assert (
        "ridge_top_n returned 12.3 % a year net of costs, 1.3 percentage points above NIFTY 50 TRI (11.0 %), "
        "with a Sharpe ratio of 0.71 against 0.62; its deepest fall was −34.5 % against −38.1 %."
    ) in page


def test_a_benchmark_is_called_by_the_series_it_is_made_of(make_report_input: Make) -> None:
    data = make_report_input()
    series = pl.when(pl.col("date") < date(2015, 1, 5)).then(pl.lit("")).otherwise(pl.col("series"))
    page = render_report(replace(data, benchmark=data.benchmark.with_columns(series=series)))
    assert "the benchmark is NIFTY 50 TRI." in page


def test_missing_benchmark_days_are_confessed_in_the_notes(make_report_input: Make) -> None:
    data = make_report_input()
    gap = data.benchmark.filter(pl.col("date") != date(2015, 6, 1))
    page = render_report(replace(data, benchmark=gap))
    assert "The benchmark has no return on 1 of 495 sessions (first 2015-06-01); they count as 0." in page
    assert "The benchmark has no return" not in render_report(data)


def test_a_report_without_forecasts_positions_or_benchmark_still_renders(make_report_input: Make) -> None:
    data = make_report_input()
    bare = replace(
        data,
        quality=data.quality.clear(),
        quality_summary=[],
        positions=data.positions.clear(),
        benchmark=data.benchmark.clear(),
        metrics=data.metrics.filter(pl.col("strategy") != "benchmark"),
        notes=[],
    )
    page = render_report(bare)
    assert "No forecast was scored in this period." in page
    assert 'id="rank-ic"' not in page
    assert 'id="table-holdings"' not in page
    assert markdown_summary(bare).count("`") == 2


def test_one_session_is_enough_for_a_page(make_report_input: Make) -> None:
    data = make_report_input()
    page = render_report(replace(data, end=date(2015, 1, 1)))
    assert "no window is complete" in page


def test_rows_outside_the_period_are_left_out(make_report_input: Make) -> None:
    page = render_report(replace(make_report_input(), end=date(2015, 12, 31)))
    assert [row[0] for row in cells(page, "monthly")] == ["year", "2015"]
    assert '"2016-' not in body_of(page)


def test_a_strategy_without_rows_is_refused_with_those_that_have_some(make_report_input: Make) -> None:
    with pytest.raises(DataError, match=r"'tft_top_n' has no row .*equal_weight.*ridge_top_n"):
        render_report(replace(make_report_input(), strategy="tft_top_n"))


def test_the_markdown_has_one_row_a_strategy_and_bold_for_the_chosen(make_report_input: Make) -> None:
    text = markdown_summary(make_report_input())
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 5
    assert len({line.count("|") for line in table}) == 1
    assert table[2].startswith("| **ridge_top_n** |")
    piped = replace(make_report_input(), title="a|b\nc")
    assert "a\\|b c" in markdown_summary(piped)


def test_a_sparkline_runs_from_the_lowest_to_the_highest_block() -> None:
    assert sparkline(pl.Series([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])) == "▁▂▃▄▅▆▇█"
    assert sparkline(pl.Series([5.0, 5.0, None])) == "▁▁"
    assert len(sparkline(pl.Series(range(1000)), width=24)) == 24
    assert sparkline(pl.Series([], dtype=pl.Float64)) == ""


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


def until(page: Any, condition: str) -> None:
    """Wait for a condition; the page's own policy forbids Playwright's wait_for_function, which evaluates text."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"the page never reached: {condition}")


@pytest.mark.ui
def test_a_browser_draws_every_figure_without_error_request_or_sideways_scroll(
    browser: Any, make_report_input: Make, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_report(make_report_input()), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 900}, color_scheme="dark")
    faults: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    until(page, "document.querySelectorAll('.chart .main-svg').length >= 5")
    assert page.locator("#equity .scatterlayer .trace").count() == 5
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    colour = "document.getElementById('equity').data[0].line.color"
    dark = page.evaluate(colour)
    page.emulate_media(color_scheme="light")
    until(page, f"{colour} !== '{dark}'")
    page.click("button.toggle")
    assert page.evaluate("document.getElementById('equity').layout.yaxis.type") == "log"
    with page.expect_download() as download:
        page.click("button.csv[data-table=table-comparison]")
    rows = list(csv.reader(Path(download.value.path()).read_text(encoding="utf-8").splitlines()))
    assert rows == cells(path.read_text(encoding="utf-8"), "comparison")
    assert faults == []
    assert requests == [path.as_uri()]
    page.close()
