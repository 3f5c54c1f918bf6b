"""How cost grows with the number of names: the whole graph on a simulated market of 50, 500, ... names.

    python benchmarks/scaling.py --names 50 500 --end 2020-06

One `quant run` a size, in a process of its own on one thread; prints as a Markdown table: seconds of CPU and of the
clock, the most memory, what lies on disk and in Dagster's records; then the stages that took most. Seconds of the clock
say as much of the machine's load as of the work; seconds of CPU do not.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

#: A cheap forecaster, a costly one, two regime methods; agents and networks cost by their own settings, not by names.
MODELS, REGIMES = '["ridge", "boosting"]', '["threshold", "hmm"]'


@dataclass
class Cost:
    """What one size cost."""

    names: int
    clock_s: float
    cpu_s: float
    peak_mib: float
    data_mib: float
    records_mib: float
    rows: int
    seconds: dict[str, float] = field(default_factory=dict)
    peaks_mib: dict[str, float] = field(default_factory=dict)
    failed: str = ""


def measure(names: int, start: str, end: str, folder: Path) -> Cost:
    """One run of the whole graph; what was measured until then where it failed."""
    settings = {
        "profile.start": start, "profile.end": end,
        "profile.first_fold": str(int(start[:4]) + 2), "profile.train_years": "2",
        "raw_ohlcv.start": f"{start}-01", "raw_ohlcv.n_tickers": str(names), "raw_ohlcv.n_sectors": "10",
        # Among hundreds of simulated names some jump that no list explains; a person would say what they are.
        "profile.quality": '{"max_quarantined_members": 100000}', "profile.models": MODELS, "profile.agents": "[]",
        "profile.regimes": REGIMES, "profile.regime_method": "threshold",
    }  # fmt: skip
    chosen = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    environment = os.environ | {
        "QUANT_DATA": str(folder / "data"), "DAGSTER_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1",
        "POLARS_MAX_THREADS": "1", "QUANT_LOG_FORMAT": "json", "QUANT_LOG_LEVEL": "info",
    }  # fmt: skip
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "quant_assets.commands.cli", "run", "--profile", "demo", *chosen]
    with (folder / "log").open("w") as log:
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=log, check=False)
    lines = (folder / "log").read_text().splitlines()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = Cost(
        names, time.monotonic() - begun, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 0.0,
        size_mib(folder / "data"), size_mib(folder / "home"), 0,
    )  # fmt: skip
    seconds: dict[str, float] = defaultdict(float)
    for line in lines:
        said = json.loads(line) if line.startswith("{") else {}
        if said.get("event") == "done":
            asset = said["asset"].partition("/")[2]
            seconds[asset] += said["seconds"]
            cost.peaks_mib[asset] = max(cost.peaks_mib.get(asset, 0), said["peak_mib"])
            cost.rows = said["rows"] if asset == "features" else cost.rows
    cost.seconds, cost.peak_mib = dict(seconds), max(cost.peaks_mib.values(), default=0)
    cost.failed = "" if done.returncode == 0 else (lines or [f"exit code {done.returncode}"])[-1][:200]
    return cost


def row(cost: Cost) -> str:
    """A line of the first table."""
    failed = f" FAILED: {cost.failed}" if cost.failed else ""
    sizes = f"{cost.peak_mib:,.0f} | {cost.data_mib:.1f} | {cost.records_mib:.1f} |{failed}"
    return f"| {cost.names:,} | {cost.rows:,} | {cost.cpu_s:.0f} | {cost.clock_s:.0f} | {sizes}"


def size_mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--names", type=int, nargs="+", default=[50, 500])
    arguments.add_argument("--start", default="2018-01")
    arguments.add_argument("--end", default="2020-06")
    given = arguments.parse_args()
    print(f"{given.start}..{given.end}, models {MODELS}, regimes {REGIMES}; load before {os.getloadavg()[0]:.1f}\n")
    print(
        "| names | rows of features | CPU s | clock s | peak MiB | data MiB | Dagster's records MiB |\n|" + "---:|" * 7
    )
    costs = []
    for names in given.names:
        with tempfile.TemporaryDirectory(prefix="scaling-") as folder:
            cost = measure(names, given.start, given.end, Path(folder))
        costs.append(cost)
        print(row(cost), flush=True)
    print(
        "\n| stage | " + " | ".join(f"{cost.names:,}: s (MiB)" for cost in costs) + " |\n|---|" + "---:|" * len(costs)
    )
    for asset in sorted(costs[-1].seconds, key=lambda name: -costs[-1].seconds[name]):
        cells = [f"{cost.seconds.get(asset, 0):.1f} ({cost.peaks_mib.get(asset, 0):.0f})" for cost in costs]
        print(f"| {asset} | " + " | ".join(cells) + " |")
    print(f"\nload after {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
