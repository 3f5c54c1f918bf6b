"""The small lab brought up to date as by Dagster's UI and daemon: on the instance as configured, whoever is at work.

Arguments: a file to wait for, or nothing.
"""

import sys
import time
from pathlib import Path

import dagster as dg
from small_lab import SPAN

from quant_assets.assembly import build_definitions
from quant_assets.commands.runner import Runner
from quant_assets.commands.terminal import parse_settings
from quant_assets.lab import Lab
from quant_assets.profile import load_profile


def main(signal: str = "") -> None:
    overrides, entries = parse_settings(SPAN)
    profile = load_profile("demo", entries)
    of_source = overrides["raw_ohlcv"]
    lab, definitions = Lab(profile, source_settings=of_source), build_definitions(profile, of_source)
    with dg.DagsterInstance.get() as instance:
        print("ready", flush=True)
        while signal and not Path(signal).exists():
            time.sleep(0.01)
        runner = Runner(lab, definitions, instance, overrides, "CRITICAL", print)
        for asset, partitions in runner.wanted(*runner.month_range(None, None), until=[]).items():
            for step in runner.steps(asset, runner.stale(asset, partitions)):
                print(step.asset, *step.partitions[:1], flush=True)
                runner.execute(step)


if __name__ == "__main__":
    main(*sys.argv[1:])
