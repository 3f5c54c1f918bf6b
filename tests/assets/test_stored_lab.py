"""A finished lab read by a person: tables and fits by name, and the notebooks that begin so."""

import os
import runpy
from pathlib import Path

import polars as pl
import pytest
from lab_process import ROOT
from plotly.basedatatypes import BaseFigure
from small_lab import SmallLab

from quant_assets.stored_lab import StoredLab, open_lab
from quant_core.errors import DataError

PAGES = runpy.run_path(str(ROOT / "notebooks" / "pages.py"))
NOTEBOOKS = [path.stem for path in PAGES["notebooks"]()]


@pytest.fixture(scope="module")
def lab(small_lab: SmallLab) -> StoredLab:
    return open_lab("demo", str(small_lab.data))


@pytest.mark.slow
def test_a_month_asset_is_one_table_from_month_to_month(lab: StoredLab, small_lab: SmallLab) -> None:
    files = [small_lab.data / "demo" / "features" / f"2019-{month:02d}.parquet" for month in (11, 12)]
    assert lab.table("features", "2019-11", "2019-12").equals(pl.read_parquet(files))
    assert lab.table("clean_prices")["date"].is_sorted()
    assert lab.scan("clean_prices", "2020-02").select(pl.col("date").dt.month().unique()).collect().item() == 2


@pytest.mark.slow
def test_a_fold_asset_has_named_tables_and_a_fit_its_manifest(lab: StoredLab) -> None:
    assert lab.partitions("backtest") == ["2020"]
    assert lab.part("backtest", "daily").equals(lab.part("backtest", "daily", "2020"))
    assert str(lab.fitted("forecaster_ridge").manifest.fit_end) < "2020-01-01"
    assert lab.all_of("forecasts_") == ["forecasts_ridge"]
    assert b"<html" in lab.files("backtest_report")["report.html"]


@pytest.mark.slow
def test_what_is_not_stored_is_named_with_what_is(lab: StoredLab, tmp_path: Path) -> None:
    for ask, told in (
        (lambda: lab.table("featurs"), "nothing is stored; there is backtest, "),
        (lambda: lab.table("features", "2031-01"), "stored is 2018-01 to 2020-02"),
        (lambda: lab.table("backtest"), "read it by part"),
        (lambda: lab.part("backtest", "dayly"), "there is attribution, benchmark, "),
        (lambda: lab.files("features", "2020-01"), "months are read by table"),
        (lambda: open_lab("nifty50", str(lab.root)), "nothing of the profile nifty50 is stored .there is demo.;"),
        (lambda: open_lab("demo", str(tmp_path / "none")), "there is nothing"),
        (lambda: open_lab("../demo", str(lab.root)), "cannot name a file"),
    ):
        with pytest.raises(DataError, match=told):
            ask()


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_notebook_runs_on_a_finished_lab_and_shows_tables_and_figures(
    name: str, small_lab: SmallLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANT_DATA", str(small_lab.data))
    monkeypatch.delenv("QUANT_PROFILE", raising=False)
    shown = [each.value for each in PAGES["executed"](ROOT / "notebooks" / f"{name}.py")]
    figures = [value for value in shown if isinstance(value, BaseFigure)]
    tables = [value for value in shown if isinstance(value, pl.DataFrame)]
    assert len(figures) >= 2
    assert tables
    assert any(table.height > 1 for table in tables)
    assert any(len(trace.x) for figure in figures for trace in figure.data)


def test_the_notebooks_are_the_five_of_the_page() -> None:
    page = (ROOT / "docs" / "notebooks.md").read_text()
    assert len(NOTEBOOKS) == 5
    assert [name for name in NOTEBOOKS if f"../notebooks/{name}.py" not in page] == []


@pytest.mark.slow
def test_a_page_of_a_notebook_holds_words_tables_and_figures_and_escapes(tmp_path: Path) -> None:
    path = tmp_path / "99_try.py"
    path.write_text(
        "# %% [markdown]\n# # Title\n# <script>alert(1)</script>\n\n# %%\nimport polars as pl\n"
        'print("<b>")\npl.DataFrame({"ticker": ["<i>A"], "x": [1.5]})\n\n# %%\nimport plotly.graph_objects as go\n'
        "go.Figure(go.Bar(x=[1, 2], y=[3, 4]))\n"
    )
    made = PAGES["page"](path)
    assert "<h1>Title</h1>" in made
    assert "&lt;script&gt;alert(1)" in made
    assert "<pre>&lt;b&gt;\n</pre>" in made
    assert "<td>&lt;i&gt;A</td><td>1.5</td>" in made
    assert "Plotly.newPlot(" in made


def test_plain_python_runs_a_notebook_too(tmp_path: Path) -> None:
    for name in NOTEBOOKS:
        compile((ROOT / "notebooks" / f"{name}.py").read_text(), name, "exec")
    assert os.access(ROOT / "notebooks" / "pages.py", os.R_OK)
