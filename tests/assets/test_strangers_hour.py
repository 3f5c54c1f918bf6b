"""The stranger's hour is followed to the letter: from own files to a shared report and a schedule that is on."""

import os
import re
import shutil
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from lab_process import ROOT, free_port, lab_environment, started

from quant_assets.stored_lab import open_lab
from quant_core.market.sources.simulated import SimulatedSource

START, END = date(2018, 7, 1), date(2020, 2, 28)
#: What the script needs of a clone; compiled kernels go along.
CLONED = ("quant_core", "quant_assets", "notebooks", "docs", "workspace.yaml")


def write_files(folder: Path) -> None:
    """A file a stock as a broker's site gives it, and one of the index."""
    source = SimulatedSource(
        n_tickers=6,
        n_sectors=2,
        seed=3,
        start=START,
        missing_rate=0.0,
        late_listing_sessions=5,
        delisting_sessions=5000,
    )
    rows = source.fetch(None, START, END, datetime(2020, 3, 2, tzinfo=UTC)).rows
    folder.mkdir()
    bars = rows.filter(pl.col("ticker") != "NIFTY 50 TRI").select(
        "ticker",
        Date="date",
        Open="open_inr",
        High="high_inr",
        Low="low_inr",
        Close="close_inr",
        Volume="volume_shares",
    )
    for (ticker,), own in bars.partition_by("ticker", as_dict=True, include_key=False).items():
        own.write_csv(folder / f"{'NIFTY 50' if ticker == '^NSEI' else ticker}.csv")
    split = rows.filter(pl.col("price_factor") != 1.0)
    split.select(
        "ticker", ex_date="date", kind=pl.lit("split_or_bonus_confirmed"), value="price_factor"
    ).write_csv(folder / "corporate_actions.csv")  # fmt: skip


def clone(target: Path) -> None:
    target.mkdir()
    for name in CLONED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, target / name)


@pytest.mark.slow
def test_a_stranger_comes_from_files_to_a_report_and_a_schedule(tmp_path: Path) -> None:
    write_files(tmp_path / "prices")
    clone(tmp_path / "clone")
    environment = lab_environment(tmp_path) | {
        "QUANT": f"{sys.executable} -m quant_assets.commands.cli", "PYTHON": sys.executable, "AND_STOP": "1",
        "FROM": f"{START:%Y-%m}", "TO": f"{END:%Y-%m}", "FIRST_FOLD": "2020", "TRAIN_YEARS": "1",
        "PORT": str(free_port()), "QUANT_MLFLOW_PORT": str(free_port()),
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "clone"), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    follow = f"cd {tmp_path}/clone && bash docs/strangers-hour.sh {tmp_path}/prices {tmp_path}/share"
    with started(["bash", "-c", follow], environment, tmp_path / "log") as process:  # its servers end with it
        code = process.wait(900)
    said = (tmp_path / "log").read_text()
    assert code == 0, said[-6000:]
    assert re.findall(r"^== (\d)\.", said, flags=re.MULTILINE) == list("123456789")
    assert "switched on: daily_refresh" in said
    lab = open_lab("mine", str(tmp_path / "data"))
    assert lab.table("features", "2020-01")["up_day_share_21d"].is_between(0, 1).all()
    assert "calm_rise" in lab.part("backtest", "metrics")["strategy"].to_list()
    assert "calm_rise" in (tmp_path / "share" / "report.html").read_text()
    assert (tmp_path / "share" / "05_backtest_analysis.html").is_file()
