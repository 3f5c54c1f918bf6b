"""A lab that nobody attends, day by day through Dagster's own daemons on a clock that jumps: see unattended.py."""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from lab_process import ROOT, lab_environment, run_quant
from preloaded import ShiftedClock, make_clock
from small_lab import SmallLab
from unattended import FITTED, IN_PROCESS, SCRIPTS
from unattended_lab import PRICES_VARIABLE, PROFILE, command
from vendor import IST, Vendor

from quant_core.calendar import sessions

HERE = Path(__file__).parent


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
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def undisturbed(self, folder: Path) -> dict[str, str]:
        """Hashes of a lab that one command makes on the last evening."""
        other = SmallLab(folder, lab_environment(folder))
        self.run(other, self.last)
        return other.hashes(PROFILE)


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


@pytest.mark.slow
def test_a_year_ends_and_nobody_is_there(tmp_path: Path) -> None:
    own = days(tmp_path / "lab" if (tmp_path / "lab").mkdir() is None else tmp_path, "year end", date(2019, 12, 30),
               date(2020, 1, 3))  # fmt: skip
    counts = own.live()
    print(counts)
    assert counts["refreshed"] == [f"refresh-{day}" for day in sessions(own.first, own.last)]
    assert (counts["failed"], counts["stale"], counts["boots"]) == ([], [], 1)
    assert_fitted_before_needed(counts, "2020", datetime(2020, 1, 1, 18, 30, tzinfo=IST))
    reference = own.undisturbed(tmp_path / "other")
    now = own.lab.hashes(PROFILE)
    assert {name: now.get(name) for name in reference} == reference
