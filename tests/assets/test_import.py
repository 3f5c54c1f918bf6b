"""Loading the code location is light: every process of the web UI does it."""

import json
import subprocess
import sys

import pytest
from lab_process import ROOT

pytestmark = pytest.mark.slow

#: The goal is 3 s with warm caches; of CPU, as a busy machine only makes it wait longer.
LOADED_WITHIN_S = 6.0
HEAVY = {"torch", "sklearn", "mlflow", "yfinance", "stable_baselines3", "plotly", "dagster_mlflow", "pandas"}
PROGRAM = """
import json, sys, time
begun = time.process_time()
import quant_assets.definitions
seconds = time.process_time() - begun
print(json.dumps({"seconds": seconds, "modules": sorted({name.split(".")[0] for name in sys.modules})}))
"""


def loaded() -> dict:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_the_definitions_load_quickly_and_without_a_heavy_library() -> None:
    one = loaded()
    print(f"quant_assets.definitions loads in {one['seconds']:.2f} s")
    assert not HEAVY & set(one["modules"])
    assert one["seconds"] < LOADED_WITHIN_S
