"""What stands in the pages' tables is what the code says, or what a command measured of a stored lab."""

import importlib.util
from types import ModuleType

import polars as pl
import pytest
from lab_process import ROOT
from small_lab import SmallLab

from quant_assets.checks.contracts import CONTRACTS
from quant_assets.stored_lab import open_lab
from quant_core.errors import DataError


def script(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return script("tables")


@pytest.mark.slow
def test_every_table_of_the_pages_is_up_to_date(tables: ModuleType) -> None:
    stale = [path.name for path in tables.pages() if tables.rewritten(text := path.read_text()) != text]
    assert stale == [], "run: python docs/tables.py (make tables)"
    assert {"architecture.md", "data-dictionary.md", "quickstart.md", "results.md"} <= {p.name for p in tables.pages()}


@pytest.mark.slow
def test_the_graphs_table_has_every_asset_once_with_what_it_reads(tables: ModuleType) -> None:
    rows = {row.split(" | ")[0].strip("| `"): row for row in tables.made("assets").splitlines()[2:]}
    assert set(rows) >= {"raw_ohlcv", "forecaster_<model>", "rl_policy_<agent>", "weights_<agent>", "backtest_report"}
    assert "| signals | months | `book_settings`, `clean_prices`, `forecasts_<model>`" in rows["target_weights"]
    assert [name for name, row in rows.items() if row.count("|") != 6 or row.endswith("| |")] == []


def test_a_tables_columns_are_told_by_type_key_and_comment(tables: ModuleType) -> None:
    told = tables.schema_table(CONTRACTS["clean_prices"])
    assert "| `date` | Date | key | session |" in told
    assert "| `total_return_1d` | Float64 | may be null | (1 + overnight) x (1 + intraday) - 1 |" in told
    assert "| `is_filled` | Boolean | | no row from the source: prices carried forward |" in told


def test_measured_figures_are_written_in_plain_characters(tables: ModuleType) -> None:
    assert tables.figure("cagr", 0.1234) == "12.3 %"
    assert tables.figure("max_drawdown", -0.381) == "-38.1 %"
    assert tables.figure("turnover_ann", 5.77) == "5.8"
    assert tables.figure("2015", 0.08493) == "0.085"
    assert tables.figure("sharpe_ann", None) == "-"
    assert tables.figure("model", "a|b") == "a\\|b"


def test_a_mark_without_a_table_is_named(tables: ModuleType) -> None:
    with pytest.raises(DataError, match="no table 'nonesuch'; wanted one of profile-entries"):
        tables.rewritten("<!-- table: nonesuch -->\n<!-- end -->")


@pytest.mark.slow
def test_what_a_stored_lab_measured_becomes_files_and_tables(
    small_lab: SmallLab, tables: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, target = open_lab("demo", str(small_lab.data)), small_lab.folder / "measured"
    written = script("measure").measure(lab, "small", target)
    assert [path.name for path in written] == [
        "small-books.csv", "small-forecasts.csv", "small-years.csv", "small.csv",
    ]  # fmt: skip
    books, metrics = pl.read_csv(target / "small-books.csv"), lab.part("backtest", "metrics")
    assert set(books["strategy"]) == set(metrics["strategy"].replace("benchmark", "the index"))
    cagr = [found.filter(strategy="equal_weight")["cagr"].item() for found in (books, metrics)]
    assert cagr[0] == cagr[1]
    read = pl.read_csv(target / "small.csv").select(pl.col("asset") + "/2020", "content_hash")
    assert dict(read.iter_rows()).items() <= small_lab.hashes().items()
    monkeypatch.setattr(tables, "MEASURED", target)
    assert tables.measured("small-books").startswith("| book | CAGR | volatility | Sharpe |")
    assert "| ridge | 0." in tables.measured("small-years") or "| ridge | -0." in tables.measured("small-years")
