"""The rendered page: complete, escaped, deterministic, self-contained."""

import html
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from quant_core.errors import DataError
from quant_core.report.render import ReportInput, markdown_summary, render_report, sparkline

Make = Callable[..., ReportInput]
MAX_BYTES = 8_000_000
SECTIONS = [
    "strategies", "summary", "promotion", "performance", "attribution", "regimes", "risk", "portfolio", "trades",
    "forecast-quality", "models",
    "robustness", "notes", "provenance",
]  # fmt: skip
OPTIONAL = (
    "positions", "trades", "costs", "trips", "sensitivity", "significance", "attribution", "transfer", "promotion",
    "promotion_leads", "quality", "decay", "quantiles", "regimes",
    "by_regime", "sectors", "overfitting", "data_quality", "scorecard", "pit", "reliability", "pairs", "contributions",
)  # fmt: skip


def body_of(page: str) -> str:
    """The page without Plotly's own script."""
    return re.sub(r"<script>/\*\*\n\* plotly\.js.*?</script>", "", page, flags=re.DOTALL)


def cells(page: str, table: str) -> list[list[str]]:
    """Unrounded cells of a table, as its CSV would hold them."""
    markup = re.search(rf'<table id="table-{table}".*?</table>', page, flags=re.DOTALL)
    assert markup is not None, table
    rows = [re.findall(r'data-csv="([^"]*)"', row) for row in markup.group().split("<tr")[1:]]
    return [[html.unescape(cell) for cell in row] for row in rows if row]


def section_keys(page: str) -> list[str]:
    return re.findall(r'<section id="([a-z-]+)"', page)


def test_nine_years_of_ten_strategies_stay_below_eight_megabytes(make_report_input: Make) -> None:
    assert len(render_report(make_report_input(date(2015, 1, 1), date(2023, 12, 31))).encode()) < MAX_BYTES


def test_the_same_input_gives_the_same_bytes_in_any_row_order(make_report_input: Make) -> None:
    data = make_report_input()
    assert render_report(data) == render_report(make_report_input())
    mixed = {
        name: getattr(data, name).sample(fraction=1.0, shuffle=True, seed=1)
        for name in ("daily", "positions", "trades", "costs", "trips", "sensitivity")
    }
    assert render_report(replace(data, **mixed)) == render_report(data)


def test_every_section_is_there_in_order_with_plotly_once(make_report_input: Make) -> None:
    page = render_report(make_report_input())
    assert section_keys(page) == SECTIONS
    assert page.count("* plotly.js v") == 1


def test_every_figure_has_a_unit_and_a_reading_and_every_table_a_csv(make_report_input: Make) -> None:
    page = body_of(render_report(make_report_input()))
    charts = re.findall(r'class="chart[^"]*" id="([a-z0-9-]+)"[^>]*? role="img" aria-label="([^"]+)"', page)
    assert len(charts) >= 20
    for key, label in charts:
        title, _, reading = label.partition(": ")
        assert title, key
        assert len(reading) > 20, key
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, flags=re.DOTALL)
    assert len(captions) == len(charts)
    assert all(re.search(r"<small>[^<]+</small>", caption) for caption in captions)
    tables = re.findall(r'<table id="table-([a-z0-9-]+)"', page)
    assert len(tables) >= 12
    assert sorted(re.findall(r'data-table="table-([a-z0-9-]+)"', page)) == sorted(tables)


def test_the_page_asks_the_network_for_nothing(make_report_input: Make) -> None:
    page = body_of(render_report(make_report_input()))
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href|url|@import)\s*[=(]\s*["']?(?:https?:)?//""", page)


def test_text_from_the_input_is_escaped_everywhere(make_report_input: Make) -> None:
    evil = "<script>alert(1)</script>"
    data = make_report_input()

    def hostile(table: pl.DataFrame) -> pl.DataFrame:
        changed = [pl.col("strategy").replace(data.strategy, evil)] if "strategy" in table.columns else []
        changed += [pl.lit(evil).alias(name) for name in ("ticker", "sector", "kind") if name in table.columns]
        return table.with_columns(changed)

    names = ("daily", "metrics", "positions", "sensitivity", "significance")
    tables = {name: hostile(getattr(data, name)) for name in names}
    bad = replace(
        data, title=evil, profile=evil, strategy=evil, notes=[evil],
        provenance={evil: evil, "run": "javascript:alert(1)"}, trips=data.trips.head(0), trades=None, costs=None,
        benchmark=data.benchmark.with_columns(series=pl.lit(evil)),
        **tables,
    )  # fmt: skip
    page = body_of(render_report(bad))
    assert evil not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert 'href="javascript' not in page
    assert "<script" not in markdown_summary(bad)


@pytest.mark.slow
@pytest.mark.parametrize("missing", OPTIONAL)
def test_a_table_that_is_missing_or_empty_leaves_its_place_and_breaks_nothing(
    make_report_input: Make, missing: str
) -> None:
    data = make_report_input()
    table = getattr(data, missing)
    page = render_report(replace(data, **{missing: None}))
    kept = set(section_keys(page))
    assert set(SECTIONS) - kept <= {"regimes"}
    assert ("regimes" in kept) == (missing != "regimes")
    if isinstance(table, pl.DataFrame):
        assert set(section_keys(render_report(replace(data, **{missing: table.clear()})))) == kept


def test_the_comparison_holds_the_metrics_as_they_were_given_with_the_chosen_first(make_report_input: Make) -> None:
    data = make_report_input()
    rows = cells(render_report(data), "comparison")
    shown = dict(zip(rows[0], rows[1], strict=True))
    own = data.metrics.filter(pl.col("strategy") == data.strategy).row(0, named=True)
    assert rows[1][0] == data.strategy
    assert rows[-1][0] == "benchmark"
    assert float(shown["cagr"]) == own["cagr"]
    assert float(shown["max_drawdown"]) == own["max_drawdown"]
    assert {row[0] for row in rows[1:]} == set(data.metrics["strategy"])


def test_the_twelve_months_of_a_year_compound_to_its_total(make_report_input: Make) -> None:
    data = make_report_input()
    rows = [[float(cell) if cell else 0.0 for cell in row] for row in cells(render_report(data), "monthly")[1:]]
    totals = 1.0
    for row in rows:
        product = 1.0
        for month in row[1:13]:
            product *= 1.0 + month
        assert row[13] == pytest.approx(product - 1.0)
        totals *= product
    own = data.daily.filter(pl.col("strategy") == data.strategy).sort("date")
    assert totals == pytest.approx(own["equity_inr"][-1] / own["equity_inr"][0])


@pytest.mark.parametrize(("sharpe", "badge"), [(9.0, "Promoted"), (-9.0, "Not promoted")])
def test_the_verdict_compares_at_twice_the_costs_only(make_report_input: Make, sharpe: float, badge: str) -> None:
    data = make_report_input()
    own = (pl.col("strategy") == data.strategy) & (pl.col("scenario") == "cost_multiple") & (pl.col("level") == 2.0)
    changed = data.sensitivity.with_columns(
        pl.when(own).then(sharpe).otherwise(pl.col("sharpe_ann")).alias("sharpe_ann")
    )
    assert f"**{badge}.**" in markdown_summary(replace(data, sensitivity=changed, promotion=None))


def test_missing_benchmark_days_are_confessed_in_the_notes(make_report_input: Make) -> None:
    data = make_report_input()
    gap = data.benchmark.filter(pl.col("date") != date(2015, 6, 1))
    assert "The benchmark has no return on 1 of 495 sessions" in render_report(replace(data, benchmark=gap))
    assert "The benchmark has no return" not in render_report(data)


def test_a_session_and_a_short_period_still_make_a_page(make_report_input: Make) -> None:
    data = make_report_input()
    for end in (date(2015, 1, 1), date(2015, 1, 9)):
        assert "summary" in section_keys(render_report(replace(data, end=end)))


def test_rows_outside_the_period_are_left_out(make_report_input: Make) -> None:
    page = render_report(replace(make_report_input(), end=date(2015, 12, 31)))
    assert [row[0] for row in cells(page, "monthly")[1:]] == ["2015"]
    assert '"2016-' not in body_of(page)


def test_a_strategy_without_rows_is_refused_with_those_that_have_some(make_report_input: Make) -> None:
    with pytest.raises(DataError, match=r"'nothing' has no row .*equal_weight.*top_n_ridge"):
        render_report(replace(make_report_input(), strategy="nothing"))


def test_the_markdown_has_a_row_a_strategy_a_sparkline_and_what_luck_explains(make_report_input: Make) -> None:
    data = make_report_input()
    text = markdown_summary(data)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + data.metrics.height
    assert len({line.count("|") for line in table}) == 1
    assert table[2].startswith(f"| **{data.strategy}** |")
    assert "deflated Sharpe ratio" in text
    assert sparkline(pl.Series([1.0, 8.0]))[0] in text
    assert "a\\|b c" in markdown_summary(replace(data, title="a|b\nc"))


def test_a_sparkline_runs_from_the_lowest_to_the_highest_block() -> None:
    assert sparkline(pl.Series([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])) == "▁▂▃▄▅▆▇█"
    assert sparkline(pl.Series([5.0, 5.0, None])) == "▁▁"
    assert len(sparkline(pl.Series(range(1000)), width=24)) == 24
    assert sparkline(pl.Series([], dtype=pl.Float64)) == ""


def test_a_warning_stands_above_every_figure_on_the_page_and_in_the_summary(make_report_input: Make) -> None:
    text = "LISTS END BEFORE THE TEST: members known to 2023-09-07 <b>"
    data = replace(make_report_input(), warnings=[text])
    body = body_of(render_report(data))
    shown = body.index("LISTS END BEFORE THE TEST")
    assert shown < body.index("<section")
    assert "<b>" not in body[shown : shown + 200]
    summary = markdown_summary(data)
    assert summary.index("**LISTS END BEFORE THE TEST") < summary.index("| strategy")
    assert 'class="warning"' not in body_of(render_report(make_report_input()))


def test_without_an_index_there_is_no_row_and_no_curve_of_one(make_report_input: Make) -> None:
    data = make_report_input()
    nothing = data.benchmark.with_columns(series=pl.lit("none"), simple_return_1d=pl.lit(0.0))
    against = ["beta", "alpha_ann", "correlation", "information_ratio_ann", "tracking_error_ann"]
    against += ["up_capture", "down_capture"]
    metrics = data.metrics.filter(pl.col("strategy") != "benchmark")
    metrics = metrics.with_columns(pl.lit(None, pl.Float64).alias(name) for name in against)
    by_regime = data.by_regime.filter(pl.col("strategy") != "benchmark")
    bare = replace(data, benchmark=nothing, metrics=metrics, by_regime=by_regime)
    summary, page = markdown_summary(bare), render_report(bare)
    assert "| benchmark |" not in summary
    assert "no benchmark" not in summary  # nor its curve
    assert "There is no benchmark." in page
    for sentence in (
        "The benchmark is",
        "points above",
        "points below",
        "against the benchmark</h",
        "The benchmark pays",
    ):
        assert sentence not in body_of(page), sentence


def test_a_cell_that_a_spreadsheet_would_run_is_text_in_the_download(make_report_input: Make) -> None:
    data, name = make_report_input(), '=HYPERLINK("http://x")'
    tables = {key: getattr(data, key).with_columns(pl.col("strategy").replace(data.strategy, name))
              for key in ("daily", "metrics", "sensitivity", "significance")}  # fmt: skip
    page = render_report(replace(data, strategy=name, trips=data.trips.head(0), **tables))
    assert 'data-csv="=' not in page
    assert 'data-csv="&#39;=HYPERLINK(' in page
    losses = [cell for cell in re.findall(r'data-csv="([^"]*)"', page) if cell.startswith("-")]
    assert losses
    assert all(float(cell) < 0 for cell in losses)
