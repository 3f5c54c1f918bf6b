"""A lab that nobody attends, day by day through Dagster's own daemons on a clock that jumps: see unattended.py."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from lab_process import ROOT, lab_environment, run_quant
from polars.testing import assert_frame_equal
from preloaded import ShiftedClock, make_clock
from small_lab import SmallLab
from unattended import FITTED, IN_PROCESS, SCRIPTS
from unattended_lab import PRICES_VARIABLE, PROFILE, command
from upath import UPath
from vendor import IST, Vendor

from quant_assets.storage.partition_files import read_stamp
from quant_core.calendar import sessions

HERE, RAW, MUHURAT = Path(__file__).parent, "raw_ohlcv/", date(2019, 10, 27)
#: What tests everything through a fold.
EVALUATION = ("forecast_quality", "forecast_comparison", "regime_quality", "backtest", "rl_evaluation")
#: Tomorrow's orders are judged by the backtest of the evening before: `quant run` would say them again after its own.
AFTER_THE_BACKTEST = "signals/2020-01"


@dataclass(frozen=True)
class Days:
    """A lab that is brought up to the eve of `first` by a command, and left alone from then to `last`."""

    lab: SmallLab
    clock: ShiftedClock
    script: str
    first: date
    last: date

    @property
    def prices(self) -> str:
        return str(self.lab.folder / "prices")

    def begin(self) -> None:
        script, eve = SCRIPTS[self.script], self.first - timedelta(days=1)
        Vendor(Path(self.prices)).begin(eve, {day: factor for day, (factor, _) in script.wrong.items()})
        self.run(self.lab, eve)

    def run(self, lab: SmallLab, evening: date) -> None:
        """`quant run` on what there is on an evening."""
        self.clock.set(datetime.combine(evening, time(22), IST))
        done = run_quant(command(self.prices), lab.environment | self.clock.environment, timeout_s=1800)
        assert done.returncode == 0, done.stdout + done.stderr

    def live(self) -> dict[str, Any]:
        """The days; counts of what ran."""
        settings = Path(self.lab.environment["DAGSTER_HOME"]) / "dagster.yaml"
        settings.write_text(settings.read_text() + IN_PROCESS)
        paths = [str(place) for place in (HERE, ROOT / "tests", ROOT)]
        environment = self.lab.environment | self.clock.environment | {
            PRICES_VARIABLE: self.prices, "PYTHONPATH": ":".join(paths), "QUANT_LOG_LEVEL": "error",
        }  # fmt: skip
        log = self.lab.folder / "days.log"
        with log.open("w") as errors:
            done = subprocess.run(
                [sys.executable, str(HERE / "unattended.py"), str(self.lab.folder), self.script, str(self.first),
                 str(self.last)],
                env=environment, cwd=HERE, stdout=subprocess.PIPE, stderr=errors, text=True, timeout=7200, check=False,
            )  # fmt: skip
        assert done.returncode == 0, log.read_text()[-8000:]
        counts = dict(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(counts, indent=1))
        return counts

    def assert_as_made_at_once(self, folder: Path) -> None:
        """Everything is what one command makes on the last evening, of nothing or of the lab in `folder`.

        Of raw rows only the time of fetching may be another; the report counts what its own lab has tried, and the
        account on paper what was decided when. A command judges the newest fold alone.
        """
        other = SmallLab(folder, lab_environment(folder))
        self.run(other, self.last)
        made, every = hashes(self.lab), hashes(other)
        newest = max(name for name in every if name.startswith("backtest/")).partition("/")[2]
        judged = {f"{asset}/{newest}" for asset in EVALUATION}
        reference = {
            name: content for name, content in every.items()
            if name in judged or name.partition("/")[0] not in {*EVALUATION, "backtest_report", "signals"}
        }  # fmt: skip
        differing = [name for name in reference if made.get(name) != reference[name]]
        assert [name for name in differing if not name.startswith(RAW)] == []
        for name in differing:
            assert_frame_equal(rows(self.lab, name), rows(other, name))
        print(f"equal by hash: {len(reference)}")


def hashes(lab: SmallLab) -> dict[str, str]:
    """asset/partition -> content hash; an agent that has nothing to say stores an artifact without files."""
    found = {}
    for path in sorted((lab.data / PROFILE).glob("*/[0-9]*.*")):
        stamp = read_stamp(UPath(path)) if path.suffix in (".parquet", ".json") else None
        if stamp is not None:
            found[f"{path.parent.name}/{path.stem}"] = stamp.content_hash
    return found


def rows(lab: SmallLab, name: str) -> pl.DataFrame:
    return pl.read_parquet(lab.data / PROFILE / f"{name}.parquet").drop("fetched_at")


def made_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def days(folder: Path, script: str, first: date, last: date) -> Days:
    clock = make_clock(folder)
    made = Days(SmallLab(folder, lab_environment(folder)), clock, script, first, last)
    made.begin()
    return made


def assert_fitted_before_needed(counts: dict[str, Any], fold: str, first_refresh: datetime) -> None:
    """Every model of the fold is of the first minutes of its year."""
    for asset in FITTED:
        fitted = datetime.fromisoformat(counts["fitted"][asset][fold])
        assert datetime(int(fold), 1, 1, tzinfo=IST) < fitted < first_refresh, (asset, fitted)


@pytest.mark.soak
def test_a_year_ends_and_nobody_is_there(tmp_path: Path) -> None:
    own = days(made_folder(tmp_path / "lab"), "year end", date(2019, 12, 30), date(2020, 1, 3))
    shutil.copytree(own.lab.folder / "data", tmp_path / "at once" / "data")
    counts = own.live()
    assert counts["refreshed"] == [f"refresh-{day}" for day in sessions(own.first, own.last)]
    assert (counts["failed"], counts["errors"], counts["boots"]) == ([], [], 1)
    assert counts["stale"] == [AFTER_THE_BACKTEST]
    assert_fitted_before_needed(counts, "2020", datetime(2020, 1, 1, 18, 30, tzinfo=IST))
    own.assert_as_made_at_once(tmp_path / "at once")


@pytest.mark.soak
def test_an_evening_a_lost_end_of_a_month_and_a_restated_one(tmp_path: Path) -> None:
    own = days(made_folder(tmp_path / "lab"), "autumn", date(2019, 10, 25), date(2019, 11, 15))
    counts = own.live()
    own.assert_as_made_at_once(made_folder(tmp_path / "at once"))
    lived = [day for day in sessions(own.first, own.last) if not SCRIPTS["autumn"].is_off(day)]
    assert MUHURAT in lived
    assert {f"refresh-{day}" for day in lived} <= set(counts["refreshed"])
    assert (counts["failed"], counts["errors"], counts["stale"], counts["boots"]) == ([], [], [], 2)
    assert any("2019-10 no longer what the source gives" in told for told in counts["offered"])


@pytest.mark.soak
def test_sixty_sessions_and_nobody_is_there(tmp_path: Path) -> None:
    own = days(made_folder(tmp_path / "lab"), "sixty", date(2019, 10, 23), date(2020, 1, 16))
    script, counts = SCRIPTS["sixty"], own.live()
    lived = [day for day in sessions(own.first, own.last) if not script.is_off(day)]
    own.assert_as_made_at_once(made_folder(tmp_path / "at once"))
    assert counts["sessions"] == 60
    assert {f"refresh-{day}" for day in lived} <= set(counts["refreshed"])
    assert (counts["failed"], counts["errors"], counts["boots"]) == ([], [], 3)
    assert counts["stale"] == [AFTER_THE_BACKTEST]
    assert_fitted_before_needed(counts, "2020", datetime(2020, 1, 1, 18, 30, tzinfo=IST))
    assert any("2019-10 no longer what the source gives" in told for told in counts["offered"])
