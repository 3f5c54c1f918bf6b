"""A small finished lab, made once by the command, for the tests that kill, break and compare."""

import shutil
from pathlib import Path

import pytest
from lab_process import lab_environment, made_once, quant_here
from small_lab import COMMAND, SmallLab


@pytest.fixture(scope="session")
def small_lab(tmp_path_factory: pytest.TempPathFactory) -> SmallLab:
    """Every stage of a two-fold-year demo with eight tickers; tests read it and leave it as it is."""
    folder = tmp_path_factory.mktemp("small_lab")
    shutil.copytree(made_once(tmp_path_factory, "finished_lab", make_small_lab), folder, dirs_exist_ok=True)
    return SmallLab(folder, lab_environment(folder))


def make_small_lab(folder: Path) -> None:
    done = quant_here(COMMAND, lab_environment(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(done.stdout.splitlines()[-1].strip()).is_file()
