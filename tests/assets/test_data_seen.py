"""Data that was not read is seen: a line a kind in the log, a count at the end of a command, exit 1 for nothing."""

from pathlib import Path

import polars as pl
import pytest
from lab_process import lab_environment, quant_here

from quant_assets.lab import Lab
from quant_assets.pages.data_seen import by_kind, refuse_nothing, summary, told
from quant_assets.profile import load_profile
from quant_assets.storage.partition_files import table_path, write_table
from quant_core.errors import DataError

HEADER = "date,open,high,low,close,volume\n"
GOOD = HEADER + "".join(f"2015-01-{day:02d},100,102,99,101,1000\n" for day in (1, 2, 5, 6, 7))
BAD = {"BBB.csv": "hello\nworld\n", "CCC.csv": "foo,bar\n1,2\n", "DDD.csv": "what,is,this\n1,2,3\n"}


def table(rows: list[tuple[str, str, str]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["ticker", "kind", "detail"], orient="row")


def test_a_kind_is_told_by_its_first_problems_and_the_number_of_the_others() -> None:
    problems = table([("", "ragged", f"a.csv line {n}: 7 cells\nfor 6") for n in range(5)] + [("", "bom", "b.csv: x")])
    assert told(problems) == [
        "ragged: a.csv line 0: 7 cells for 6", "ragged: a.csv line 1: 7 cells for 6",
        "ragged: a.csv line 2: 7 cells for 6", "ragged: 2 more of this kind", "bom: b.csv: x",
    ]  # fmt: skip
    assert by_kind(problems) == {"ragged": 5, "bom": 1}


def test_many_tickers_of_a_kind_are_one_line() -> None:
    problems = table([(f"T{n:02d}", "no_rows", f"no row of T{n:02d}") for n in range(40)])
    assert told(problems) == [
        "no_rows: 40 tickers (T00, T01, T02, T03, T04, T05, T06, T07, ...); e.g. no row of T00",
    ]


def test_the_count_names_every_kind() -> None:
    assert summary("raw_ohlcv", {}) == ""
    assert summary("raw_ohlcv", {"bom": 1}).startswith("1 problem in the data: 1 bom; the page of raw_ohlcv")
    assert summary("raw_ohlcv", {"bom": 1, "ragged": 1200}).startswith(
        "1,201 problems in the data: 1,200 ragged, 1 bom"
    )


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("QUANT_DATA", str(tmp_path))
    return Lab(load_profile("demo"))


def store(lab: Lab, month: str, instruments: list[str]) -> None:
    rows = pl.DataFrame({"instrument": instruments}, schema={"instrument": pl.String})
    write_table(table_path(lab.root, lab.key("raw_ohlcv"), month), rows, "")


def test_a_stage_without_a_row_of_a_stock_is_refused_with_the_kinds_of_its_problems(lab: Lab) -> None:
    store(lab, "2015-01", [])
    store(lab, "2015-02", ["index"])  # an index alone cannot be traded
    with pytest.raises(DataError, match=r"demo/raw_ohlcv 2015-01\.\.2015-02: not one row of a stock \(2 unparsable\)"):
        refuse_nothing(lab, "raw_ohlcv", ["2015-01", "2015-02"], {"unparsable": 2})
    store(lab, "2015-02", ["index", "equity"])
    refuse_nothing(lab, "raw_ohlcv", ["2015-01", "2015-02"], {})


def test_a_month_whose_first_session_is_still_to_come_may_be_empty(lab: Lab) -> None:
    store(lab, "2035-12", [])
    refuse_nothing(lab, "raw_ohlcv", ["2035-12"], {})
    refuse_nothing(lab, "forecasts_ridge", ["2015-01"], {})  # empty before the first fold


def run(folder: Path, files: dict[str, str], *more: str) -> tuple[int, str, str]:
    prices = folder / "prices"
    prices.mkdir(exist_ok=True)
    for name, text in files.items():
        (prices / name).write_text(text)
    done = quant_here(
        ["run", "--source", "files", "--path", str(prices), "--to", "2015-01", "--stages", "raw_ohlcv", *more],
        lab_environment(folder),
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_files_that_could_not_be_read_are_named_and_counted_also_where_the_months_are_current(tmp_path: Path) -> None:
    code, output, lines = run(tmp_path, {"AAA.csv": GOOD, **BAD})
    assert code == 0, output + lines
    assert all(name in lines for name in BAD)
    assert "4 problems in the data: 3 ignored_file" in output
    code, output, _ = run(tmp_path, {})
    assert code == 0
    assert "1 current" in output
    assert "4 problems in the data" in output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "more", "said"),
    [
        ({"AAA.csv": GOOD.replace("2015-", "someday-")}, [], "AAA.csv line 2: column date"),
        ({"ZZZ.csv": GOOD}, ["--profile", "nifty50", "--set", "profile.start=2015-01", "--set",
                             "profile.first_fold=2020"], "/raw_ohlcv 2015-01..2015-01: not one row of a stock ("),
    ],
    ids=["no readable date", "no file of any member"],
)  # fmt: skip
def test_a_run_that_read_nothing_ends_with_1_and_why(
    tmp_path: Path, files: dict[str, str], more: list[str], said: str
) -> None:
    code, _, lines = run(tmp_path, files, *more)
    last = lines.splitlines()[-1]
    assert code == 1
    assert last.startswith("error ")
    assert said in last
    assert "Traceback" not in lines
