"""`make ray-demo`: models of two folds fitted side by side on the workers of a local Ray cluster.

The same fits are made by `quant run` in one process, by Ray with one worker and by Ray with two; what is stored must be
the same by hash. Prints the hashes that were compared, the seconds of each and the machine's load meanwhile.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from ray_market import FITTED, MARKET, SOURCE


def written(value: object) -> str:
    """A setting as a command line gives it."""
    return value if isinstance(value, str) else json.dumps(value)


HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
FOLDS = ("2020", "2021")
SETTINGS = [
    *(f"profile.{name}={written(value)}" for name, value in MARKET.items()),
    *(f"raw_ohlcv.{name}={written(value)}" for name, value in SOURCE.items() if name != "name"),
]
QUANT = [
    sys.executable,
    "-m",
    "quant_assets.commands.cli",
    "run",
    "--profile",
    "demo",
    *(part for one in SETTINGS for part in ("--set", one)),
]
INSTANCE = """telemetry: {{enabled: false}}
nux: {{enabled: false}}
concurrency: {{pools: {{granularity: op, default_limit: {limit}}}}}
"""


def lab(folder: Path, limit: int) -> dict[str, str]:
    """Variables of a lab in `folder` of whose fits `limit` may work at once."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(INSTANCE.format(limit=limit))
    return os.environ | {
        "QUANT_DATA": str(folder / "data"), "DAGSTER_HOME": str(home), "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "disabled", "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),  # a Ray job begins with the command `dagster`
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]), "PYTHONWARNINGS": "ignore",
    }  # fmt: skip


def in_one_process(folder: Path, stages: list[str]) -> float:
    """`quant run` up to these stages; seconds."""
    begun = time.monotonic()
    done = subprocess.run(
        [*QUANT, "--stages", ",".join(stages)], env=lab(folder, 1), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return time.monotonic() - begun


@contextmanager
def cluster(workers: int, environment: Mapping[str, str]) -> Iterator[None]:
    """A Ray cluster of one node, its dashboard on loopback, in a process group of its own that is gone afterwards."""
    start = [str(BIN / "ray"), "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={free_port()}"]
    start += ["--dashboard-host=127.0.0.1", f"--dashboard-port={urlsplit(environment['RAY_ADDRESS']).port}"]
    start += [f"--num-cpus={workers}", "--num-gpus=0", "--include-dashboard=true", "--disable-usage-stats"]
    ray = subprocess.Popen(
        start, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        direct = build_opener(ProxyHandler({}))
        while ray.poll() is None:
            with suppress(OSError), direct.open(f"{environment['RAY_ADDRESS']}/api/version", timeout=5):
                break
            time.sleep(1)
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(ray.pid, number)
            with suppress(subprocess.TimeoutExpired):
                ray.wait(60)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_ray(folder: Path, workers: int) -> float:
    """Both folds' runs at once on a cluster of so many workers of one core; seconds, without the cluster's start."""
    address = {"QUANT_EXECUTOR": "ray", "RAY_ADDRESS": f"http://127.0.0.1:{free_port()}"}
    environment = lab(folder, workers) | address
    # Two processes that make a fresh instance at once would each stamp its schema.
    made = [sys.executable, "-m", "dagster", "instance", "info"]
    subprocess.run(made, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with cluster(workers, environment):
        begun = time.monotonic()
        runs = [subprocess.Popen(train(fold), env=environment, stderr=subprocess.PIPE, text=True) for fold in FOLDS]
        said = [run.communicate()[1] for run in runs]
        for run, lines in zip(runs, said, strict=True):
            if run.returncode:
                raise SystemExit(lines[-4000:])
        return time.monotonic() - begun


def train(fold: str) -> list[str]:
    """Dagster's command for the fits of a fold."""
    tags = json.dumps({"dagster/partition": fold})
    place = [
        "-c",
        str(HERE / "ray_run.yaml"),
        "-f",
        str(HERE / "ray_market.py"),
        "-a",
        "defs",
        "-j",
        "fits",
        "-d",
        str(HERE),
    ]
    return [sys.executable, "-m", "dagster", "job", "execute", *place, "--tags", tags]


def hashes(folder: Path) -> dict[str, str]:
    """asset/fold -> content hash of what was fitted."""
    found = {}
    for asset in FITTED:
        for path in sorted((folder / "data" / "demo" / asset).glob("[0-9]*.json")):
            found[f"{asset}/{path.stem}"] = json.loads(path.read_text())["content_hash"]
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    workers = arguments.parse_args().workers
    with tempfile.TemporaryDirectory(prefix="ray-demo-") as place:
        base = Path(place) / "base"
        print(f"upstream of the fits: {in_one_process(base, ['training_window']):.0f} s", flush=True)
        for number in workers:
            shutil.copytree(base / "data", Path(place) / f"ray{number}" / "data")
        seconds = in_one_process(base, FITTED)
        wanted = hashes(base)
        print(f"in one process: {len(wanted)} fits in {seconds:.0f} s; load {os.getloadavg()[0]:.1f}", flush=True)
        taken = {}
        for number in workers:
            folder = Path(place) / f"ray{number}"
            taken[number] = on_ray(folder, number)
            same = hashes(folder) == wanted and len(wanted) == len(FITTED) * len(FOLDS)
            print(f"Ray, {number} workers: {taken[number]:.0f} s; load {os.getloadavg()[0]:.1f}; "
                  f"{'equal by hash' if same else 'DIFFERENT'}", flush=True)  # fmt: skip
            if not same:
                raise SystemExit(f"wanted {wanted}\ngot {hashes(folder)}")
        if len(workers) > 1:
            print(f"speed-up of {workers[-1]} workers over {workers[0]}: {taken[workers[0]] / taken[workers[-1]]:.2f}")
    for name, value in sorted(wanted.items()):
        print(name, value[:16])


if __name__ == "__main__":
    main()
