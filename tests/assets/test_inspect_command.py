"""`quant inspect`: what it says of files as people have them, for readers and for programs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from quant_assets.commands.cli import app
from quant_core.errors import DataError


def inspect(path: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["inspect", str(path), *options], env={"COLUMNS": "200"})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """One file of each kind, and some that are none."""
    files = {
        "TCS.csv": "Date;Open;Close;Volume;Remark\n31/12/2023;3.800,50;3.810,25;1.000;x\n"
        "03/01/2024;3.801,50;ten;2.000;x\n",
        "cm05JUL2024bhav.csv": "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP\n"
        "INFY,EQ,1500,1520,1490,1510,1500,100,151000,05-JUL-2024\nINFY,N1,1,1,1,1,1,1,1,05-JUL-2024\n",
        "corporate_actions.csv": "ticker,ex_date,kind,value\nTCS.NS,2024-01-03,dividend,9\n",
        "index_membership.csv": "symbol,from_date\nTCS,2023-01-01\n",
        "sectors.csv": "ticker,sector\nTCS,IT\n",
        "symbol_changes.csv": "old_symbol,new_symbol,first_new\nOLD,NEW,2024-01-01\n",
        "notes.md": "read me",
        "empty.csv": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_file_has_its_block_and_every_problem_its_line(home: Path) -> None:
    done = inspect(home)
    assert done.exit_code == 0
    for line in (
        "TCS.csv: prices, format long, unadjusted",
        "  layout    utf-8, semicolon between cells, header on line 1, decimal comma, dates day first",
        "  rows      2, 2023-12-31 to 2024-01-03; 1 names: TCS",
        "  not read  Remark",
        "  problem   unparsable: TCS.csv line 3: column Close: 1 values are no numbers, first 'ten'; correct them, or "
        "leave them empty",
        "cm05JUL2024bhav.csv: prices, format nse_cm_bhavcopy, unadjusted",
        "  series    EQ 1, N1 1",
        "corporate_actions.csv: corporate actions",
        "index_membership.csv: index membership",
        "sectors.csv: sectors",
        "symbol_changes.csv: symbol changes",
        "  problem   unread: empty.csv: the file is empty (0 bytes); fetch it again.",
        "8 files, 5 problems",
    ):
        assert line in done.output.splitlines(), line
    assert "turnover_inr <- TOTTRDVAL (rupees)" in done.output


def test_programs_get_every_field(home: Path) -> None:
    found = json.loads(inspect(home, "--json").output)
    by_name = {file["file"]: file for file in found["files"]}
    assert (found["rows"], found["tickers"], found["first"], found["last"]) == (3, 2, "2023-12-31", "2024-07-05")
    tcs = by_name["TCS.csv"]
    assert (tcs["delimiter"], tcs["decimal"], tcs["date_order"], tcs["rows"]) == (";", "comma", "dmy", 2)
    assert {"taken_for": "close_inr", "column": "Close", "unit": "rupees"} in tcs["columns"]
    [problem] = tcs["problems"]
    assert (problem["kind"], problem["file"], problem["line"], problem["cell"]) == ("unparsable", "TCS.csv", 3, "ten")
    assert problem["remedy"]
    assert by_name["notes.md"]["taken_for"] == "nothing"


def test_settings_of_the_source_can_be_tried(home: Path) -> None:
    (home / "TCS.csv").write_text("Day,Last Traded\n03/01/2024,5\n")
    tried = ("--set", "columns={date: Day, close: Last Traded}", "--set", "date_format=%d/%m/%Y")
    assert "  rows      1, 2024-01-03 to 2024-01-03; 1 names: TCS" in inspect(home, *tried).output.splitlines()


def test_a_path_without_a_row_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "A.csv").write_text("Date,Close\nsoon,1\n")
    done = inspect(tmp_path)
    assert done.exit_code == 1
    assert "A.csv line 2: column Date: 1 dates cannot be read, first 'soon'" in done.output
    (tmp_path / "A.csv").write_bytes(b"\x1f\x8b\x08")
    assert "a gzip archive, wanted text" in inspect(tmp_path / "A.csv").output


@pytest.mark.parametrize(("setting", "said"), [
    ("nope=1", "nope is not a setting; known: actions, basis"), ("path=/x", "path is what"),
    ("series=EQ", "files.series"), ("columns=close", "files.columns"), ("decimal", "not of the form SETTING=VALUE"),
])  # fmt: skip
def test_a_setting_that_inspect_cannot_take_is_one_error(tmp_path: Path, setting: str, said: str) -> None:
    (tmp_path / "A.csv").write_text("date,close\n2024-01-02,1\n")
    done = inspect(tmp_path, "--set", setting)
    assert isinstance(done.exception, DataError)
    assert said in str(done.exception)


def test_folders_with_prices_in_the_folder_are_said(tmp_path: Path) -> None:
    (tmp_path / "A.csv").write_text("date,close\n2024-01-02,1\n")
    for name in ("2023", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "2023" / "B.csv").write_text("date,close\n2023-01-02,1\n")
    (tmp_path / "notes" / "readme.md").write_text("nothing")
    assert "subfolder: 1 folders are not read (2023); give the path of one of them" in inspect(tmp_path).output
