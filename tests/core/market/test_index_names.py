"""An index by any of the names that files give it is the lab's index, and never a share."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_core.market.indices import ALIASES, index_called, under_lab_names, with_spellings
from quant_core.market.sources.files import FilesSource
from quant_core.market.sources.source import Fetch, Problem, plain_rows
from quant_core.schema import EQUITY, INDEX, RawOhlcv, validate

NOW = datetime(2021, 6, 1, 14, tzinfo=UTC)
HEADER = "date,open,high,low,close,volume\n"


def fetched(*rows: tuple[int, str, float], problems: tuple[Problem, ...] = ()) -> Fetch:
    """Rows (day of March 2021, ticker, close) as a source gives them: all of them shares."""
    table = pl.DataFrame(
        [(date(2021, 3, day), ticker, *[close] * 4, 100) for day, ticker, close in rows],
        schema=["date", "ticker", "open_inr", "high_inr", "low_inr", "close_inr", "volume_shares"],
        orient="row",
    )
    table = plain_rows(table, "files", NOW).select(list(RawOhlcv.create_empty().columns))
    return Fetch(table.cast(RawOhlcv.create_empty().schema), problems)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("NIFTY 50", "^NSEI"), ("Nifty_50", "^NSEI"), ("nifty50", "^NSEI"), ("^NSEI", "^NSEI"), ("NSEI", "^NSEI"),
        ("CNX Nifty", "^NSEI"), ("NIFTY 50 TRI", "NIFTY 50 TRI"), ("Nifty 50 Total Returns Index", "NIFTY 50 TRI"),
        ("INDIAVIX", "INDIA VIX"), ("^INDIAVIX", "INDIA VIX"), ("Nifty 500", "^CRSLDX"),
        ("NIFTYBEES", None), ("TCS", None), ("NIFTY BANK", None), ("", None),
    ],
)  # fmt: skip
def test_a_name_is_an_index_whatever_its_case_and_blanks(name: str, index: str | None) -> None:
    assert index_called(name) == index


def test_every_name_belongs_to_one_index() -> None:
    for index, names in ALIASES.items():
        assert {index_called(name) for name in (index, *names)} == {index}


def test_a_source_is_asked_for_every_spelling_of_the_indices_only() -> None:
    asked = with_spellings(["TCS", "^NSEI"])
    assert {"TCS", "^NSEI", "NIFTY 50", "Nifty 50", "nifty_50", "NIFTY50"} <= set(asked)
    assert [name for name in asked if index_called(name) is None] == ["TCS"]


def test_rows_of_an_index_come_under_the_labs_name_as_index_rows() -> None:
    got = under_lab_names(fetched((1, "NIFTY50", 15000.0), (1, "TCS", 3000.0), (2, "NIFTY50", 15100.0)))
    assert got.rows.select("date", "ticker", "instrument", "close_inr", "volume_shares").rows() == [
        (date(2021, 3, 1), "TCS", EQUITY, 3000.0, 100),
        (date(2021, 3, 1), "^NSEI", INDEX, 15000.0, None),
        (date(2021, 3, 2), "^NSEI", INDEX, 15100.0, None),
    ]
    assert [(problem.ticker, problem.kind) for problem in got.problems] == [("^NSEI", "index_name")]
    validate(got.rows, RawOhlcv, "test", "none")


def test_of_two_names_on_a_day_the_labs_own_is_kept_and_the_other_counted() -> None:
    got = under_lab_names(fetched((1, "NIFTY 50", 1.0), (1, "^NSEI", 2.0), (2, "NIFTY 50", 3.0)))
    assert got.rows.select("date", "ticker", "close_inr").rows() == [
        (date(2021, 3, 1), "^NSEI", 2.0), (date(2021, 3, 2), "^NSEI", 3.0),
    ]  # fmt: skip
    assert "1 rows of an index that the data has under another name too" in got.problems[-1].detail


def test_spellings_that_nobody_wrote_are_no_problem_and_an_absent_index_is_one() -> None:
    problems = tuple(Problem(name, "no_rows", f"no row of {name}") for name in ("NIFTY50", "^NSEI", "INDIA VIX", "ACC"))
    got = under_lab_names(fetched((1, "NIFTY 50", 1.0), problems=problems))
    assert [(p.ticker, p.kind) for p in got.problems] == [
        ("INDIA VIX", "no_rows"), ("ACC", "no_rows"), ("^NSEI", "index_name"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["NIFTY 50.csv", "nifty50.csv", "NIFTY_50.csv"])
def test_a_file_named_after_the_index_is_the_index(tmp_path: Path, name: str) -> None:
    for file, close in (("AAA.csv", 100), (name, 15000)):
        lines = [f"2021-03-{day:02d},{close},{close},{close},{close},1000" for day in (1, 2, 3)]
        (tmp_path / file).write_text(HEADER + "\n".join(lines) + "\n")
    source = FilesSource(path=str(tmp_path))
    for asked in (None, ["AAA", "^NSEI"]):
        wanted = None if asked is None else with_spellings(asked)
        got = under_lab_names(source.fetch(wanted, date(2021, 3, 1), date(2021, 3, 31), NOW))
        found = got.rows.group_by("ticker", "instrument").len().sort("ticker").rows()
        assert found == [("AAA", EQUITY, 3), ("^NSEI", INDEX, 3)]
