"""The page about sources says what the code does: its example is followed to the letter and certified."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from docs_pages import saved
from source_cases import Case, certify

import quant_core.market.sources as package
from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.market.sources import SOURCES, source

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "adding-a-source.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)[0]
(NAME,) = re.findall(r"Save it as `quant_core/market/sources/(\w+)\.py`", GUIDE)
FIRST, LAST, NOW = date(2021, 3, 1), date(2021, 4, 9), datetime(2021, 5, 3, 14, tzinfo=UTC)


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """The page's file, saved under the page's name in a folder that the package looks into, and a database for it."""
    path = str(tmp_path / "nse.db")
    run(path, "CREATE TABLE bars (date TEXT, ticker TEXT, open REAL, high REAL, low REAL, close REAL, volume INTEGER)")
    for day in sessions(FIRST, LAST):
        for ticker in ("TCS", "INFY"):
            run(path, f"INSERT INTO bars VALUES ('{day}', '{ticker}', 10, 12, 9, 10.5, 100)")

    def change() -> datetime:
        run(path, "UPDATE bars SET close = 11 WHERE ticker = 'TCS' AND date = '2021-03-05'")
        return NOW

    with saved(NAME, CODE, tmp_path, package, SOURCES, monkeypatch):
        yield Case(NAME, {"path": path}, ["TCS", "INFY"], FIRST, LAST, NOW, change)


def run(path: str, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


def test_the_guides_source_passes_the_checks_that_the_page_promises(case: Case) -> None:
    certify(case)
    before, version = case.rows(), case.version
    case.change()
    assert case.version != version
    changed = case.rows().join(before, on=["date", "ticker", "close_inr"], how="anti")
    assert changed.select("date", "ticker", "close_inr").rows() == [(date(2021, 3, 5), "TCS", 11.0)]


def test_the_guides_source_fails_aloud(case: Case) -> None:
    with pytest.raises(DataError, match="is no file; give the path"):
        SOURCES[NAME](path="nowhere.db")  # type: ignore[call-arg]
    found = case.source.fetch(["TCS", "WIPRO"], FIRST, LAST, NOW)
    assert [problem.ticker for problem in found.problems] == ["WIPRO"]


def test_the_guides_source_shows_up_in_the_printed_list(case: Case) -> None:
    from quant_assets.commands.listing import LISTINGS

    _, rows = LISTINGS["sources"]()
    sentence = "Stocks of a table `bars` (date, ticker, open, high, low, close, volume) in a SQLite file."
    assert [NAME, "path", sentence] in rows


def test_removing_the_guides_file_removes_the_source() -> None:
    assert NAME not in set(SOURCES)


def test_everything_that_the_guide_names_exists() -> None:
    helpers = set(re.findall(r"^- `(\w+)`", GUIDE, flags=re.MULTILINE))
    assert helpers == {"check_span", "plain_rows", "raw_rows", "missing_tickers", "empty_rows"}
    assert all(callable(getattr(source, name)) for name in helpers)
    files = SOURCES["files"]
    assert all(hasattr(files, name) for name in ("membership", "universe", "sectors", "lists", "listed_events"))
