"""What the books of one refreshed month cost: target_weights and every agent's weights, as `quant refresh` makes them.

    QUANT_DATA=COPY/data DAGSTER_HOME=COPY/home python benchmarks/refresh.py DIR [--month 2023-12] [--profile nifty50]

COPY is a copy of a finished store (the month is made again in it), DIR the folder of the prices that it was made from.
A refresh makes the current month anew, so a day costs what its month costs: every decision of the month of every book,
read, decided, checked and stored, with Dagster's run about it. `first` is the first run of the process, which loads
libraries and compiled code; then the median of the others. CPU time counts the processes that a run starts.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from quant_assets.commands.opening import open_runner
from quant_assets.commands.runner import Runner, Step
from quant_assets.profile import load_profile

BOOKS = "target_weights"
WEIGHTS = "weights_"


def cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def costs(runner: Runner, step: Step, repeats: int) -> Iterator[tuple[float, float]]:
    """(wall, CPU) seconds of each run."""
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), cpu_seconds()
        runner.execute(step)
        yield time.perf_counter() - wall, cpu_seconds() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--month", default="2023-12")
    parser.add_argument("--profile", default="nifty50")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    profile = load_profile(options.profile, {"source": {"name": "files", "path": str(options.path)}})
    print(f"load average {os.getloadavg()[0]:.1f}")
    first, usual = [], []
    with open_runner(profile, {}, Path(os.environ["DAGSTER_HOME"]), verbose=False) as runner:
        for asset in runner.stages():
            if asset == BOOKS or asset.startswith(WEIGHTS):
                found = list(costs(runner, Step(asset, (options.month,)), 1 + options.repeats))
                wall, cpu = (statistics.median(column) for column in zip(*found[1:], strict=True))
                print(f"{asset:<24} first {found[0][0]:6.2f} s wall, {found[0][1]:5.2f} s CPU; "
                      f"then {wall:6.2f} s wall, {cpu:5.2f} s CPU", flush=True)  # fmt: skip
                first.append(found[0])
                usual.append((wall, cpu))
    for name, rows in (("first", first), ("then", usual)):
        wall, cpu = (sum(column) for column in zip(*rows, strict=True))
        print(f"all books, {name}: {wall:.2f} s wall, {cpu:.2f} s CPU")
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
