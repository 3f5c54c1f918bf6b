"""The small lab brought up to date in this process, whoever else is at work on it."""

import os
from pathlib import Path

from small_lab import SPAN

from quant_assets.assembly import build_definitions
from quant_assets.cli import parse_settings
from quant_assets.home import own_instance
from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_assets.runner import Runner


def main() -> None:
    overrides, entries = parse_settings(SPAN)
    profile = load_profile("demo", entries)
    of_source = overrides["raw_ohlcv"]
    with own_instance(Path(os.environ["DAGSTER_HOME"])) as instance:
        lab = Lab(profile, source_settings=of_source)
        runner = Runner(lab, build_definitions(profile, of_source), instance, overrides, "CRITICAL", print)
        for asset, partitions in runner.wanted(*runner.month_range(None, None), until=[]).items():
            for step in runner.steps(asset, runner.stale(asset, partitions)):
                runner.execute(step)


if __name__ == "__main__":
    main()
