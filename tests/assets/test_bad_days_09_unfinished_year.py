"""A year that is not over is tested up to where the data or `--to` end, says so, and is completed later."""

import shutil
from pathlib import Path

import pytest
from lab_process import lab_environment, quant_here
from small_lab import COMMAND, SmallLab
from upath import UPath

from quant_assets.partitions import months_of
from quant_assets.storage.io_manager import begun
from quant_assets.storage.partition_files import read_artifact
from quant_assets.storage.table_files import read_table
from quant_core.folds import fold

pytestmark = pytest.mark.slow
#: The small lab, to June 2020 instead of February.
LONGER = [part.replace("profile.end=2020-02", "profile.end=2020-06") for part in COMMAND]


def last_session(lab: SmallLab) -> str:
    files = read_artifact(UPath(lab.data / "demo" / "backtest" / "2020.json"))
    return str(read_table(files, "daily")["date"].max())


def summary(lab: SmallLab) -> str:
    return read_artifact(UPath(lab.data / "demo" / "backtest_report" / "2020.json"))["summary.md"].decode()


@pytest.fixture(scope="module")
def lab(small_lab: SmallLab, tmp_path_factory: pytest.TempPathFactory) -> SmallLab:
    """A lab that goes on after the small one's last month."""
    folder = tmp_path_factory.mktemp("unfinished")
    shutil.copytree(small_lab.folder, folder, dirs_exist_ok=True)
    return SmallLab(folder, lab_environment(folder))


def run(lab: SmallLab, *more: str) -> str:
    done = quant_here([*LONGER, *more], lab.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(done.stdout.splitlines()[-1].strip()).is_file()
    return done.stdout


def test_an_unfinished_year_is_reported_to_its_end_and_completed_later(lab: SmallLab) -> None:
    run(lab, "--to", "2020-03")
    assert last_session(lab) == "2020-03-31"
    assert "2020 unfinished: to 2020-03-31" in summary(lab)
    run(lab)
    assert last_session(lab) == "2020-06-30"
    assert "2020 unfinished: to 2020-06-30" in summary(lab)
    run(lab, "--to", "2020-03")  # what is stored of April to June is not read
    assert last_session(lab) == "2020-03-31"


def test_a_test_of_one_session_says_so(lab: SmallLab) -> None:
    """The demo decides at month-ends: by the end of January nothing has been earned."""
    done = quant_here([*LONGER, "--to", "2020-01"], lab.environment)
    assert done.returncode == 1
    assert "the first decision is of 2020-01-31, the test's only session" in done.stdout + done.stderr


def test_months_after_the_last_stored_one_of_the_own_year_are_not_needed() -> None:
    months, year = ["2019-11", "2019-12", "2020-01", "2020-02", "2020-03"], months_of(fold("2020"))
    assert begun(months, ["2019-11", "2019-12", "2020-01"], year) == months[:3]
    assert begun(months, ["2019-11", "2020-02"], year) == months[:4]  # December 2019 and January stay needed
    assert begun(months, ["2019-11", "2019-12"], year) == months


def test_the_report_names_no_open_year_that_is_over() -> None:
    from datetime import date

    from quant_core.report.notes import unfinished

    assert unfinished("2020", date(2020, 12, 31)) == ""
    assert unfinished("2022", date(2022, 12, 30)) == ""  # the 31st is a Saturday
    assert unfinished("2020", date(2020, 12, 30)) == " (2020 unfinished: to 2020-12-30)"
    assert unfinished("2020-07", date(2020, 9, 30)) == ""
    assert unfinished("2020-07", date(2020, 9, 29)) == " (2020-07 unfinished: to 2020-09-29)"
