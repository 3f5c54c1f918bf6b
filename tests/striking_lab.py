"""One step of the small lab, run in this process, that dies or stands still inside a chosen op.

Arguments: asset, partition, then nothing or `kill` / `pause` and the name of the op. The op has computed and holds
whatever it holds when its output is to be stored: there it is struck.
"""

import os
import signal
import sys
import time
from typing import Any

import dagster as dg
from small_lab import SPAN

from quant_assets.assembly import build_definitions
from quant_assets.commands.runner import Runner, Step
from quant_assets.commands.terminal import parse_settings
from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_assets.storage.io_manager import LabStorage


def strike(fate: str, op: str) -> None:
    """Make the output of `op` the last thing that this process does."""
    stored = LabStorage.handle_output

    def handle_output(self: LabStorage, context: dg.OutputContext, obj: Any) -> None:
        if context.step_key.rpartition(".")[2].endswith(op):
            print("struck", flush=True)
            if fate == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(600)
        stored(self, context, obj)

    LabStorage.handle_output = handle_output  # type: ignore[method-assign]


def main(asset: str, partition: str, fate: str = "", op: str = "") -> None:
    if fate:
        strike(fate, op)
    overrides, entries = parse_settings(SPAN)
    profile = load_profile("demo", entries)
    with dg.DagsterInstance.get() as instance:
        runner = Runner(Lab(profile), build_definitions(profile), instance, overrides, "CRITICAL", say)
        runner.execute(Step(asset, (partition,)))
    print("finished", flush=True)


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
