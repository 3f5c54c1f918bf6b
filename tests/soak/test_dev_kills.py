"""SIGKILL to each process of `quant dev` at work: the worker of a run, code servers, daemon, MLflow."""

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from lab_process import DevServer, dev_server, free_port, lab_environment, poll, quant_here
from small_lab import SmallLab

pytestmark = [pytest.mark.slow, pytest.mark.soak]

ASSETS = ("raw_ohlcv", "clean_prices", "features")
MONTHS = ("2015-01", "2016-12")
COMMAND = ["run", "--profile", "demo", "--from", MONTHS[0], "--to", MONTHS[1], "--stages", "features"]
#: Victim -> words of its command line. A run's worker is spawned by a code server.
VICTIMS = {
    "run worker": ("multiprocessing.spawn", "--multiprocessing-fork"),
    "code server": ("api grpc", "grpc"),
    "daemon": ("dagster._daemon", "dagster-daemon"),
    "MLflow": ("mlflow ui", "mlflow server", "mlflow.server"),
}
TIMES, SEED, WITHIN_S = 2, 20260731, 600
LAUNCH = """mutation($params: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}"""


def test_every_process_of_the_ui_can_be_killed(tmp_path: Path) -> None:
    undisturbed, lab = SmallLab(tmp_path / "a", lab_environment(tmp_path / "a")), tmp_path / "b"
    assert quant_here(COMMAND, undisturbed.environment).returncode == 0
    reference = undisturbed.hashes()
    environment = lab_environment(lab) | {"QUANT_MLFLOW_PORT": str(free_port())}
    own, moments, kills = SmallLab(lab, environment), random.Random(SEED), Counter[str]()
    for victim in [*VICTIMS] * TIMES:
        with suppress(OSError, AssertionError), dev_server(lab, environment, timeout_s=WITHIN_S) as server:
            launch(server)
            poll("a run at work", lambda: server.runs(*ASSETS)[0]["status"] == "STARTED", WITHIN_S)
            with suppress(AssertionError):  # a moment of the work
                poll("a moment", lambda: False, moments.uniform(0.0, 5.0))
            kills[victim] += kill(lab, VICTIMS[victim])
            if victim in ("run worker", "MLflow"):  # the daemon starts the run again; MLflow is nobody's need
                poll("the backfill", lambda: own.hashes() == reference, WITHIN_S, every_s=3)
                break_up(own)
        assert own.hashes().items() <= reference.items()
    done = quant_here(COMMAND, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert own.hashes() == reference
    assert set(kills) == set(VICTIMS)
    print(f"kills: {kills.total()}, processes by kind: {dict(kills)}")


def break_up(lab: SmallLab) -> None:
    """Something to do for the next backfill."""
    for path in (lab.data / "demo" / "features").glob("*.parquet"):
        path.unlink()


def launch(server: DevServer) -> None:
    span = {"ranges": [{"start": MONTHS[0], "end": MONTHS[1]}]}
    chosen = [{"assetKey": {"path": ["demo", asset]}, "partitions": span} for asset in ASSETS]
    params = {"tags": [], "partitionsByAssets": chosen}
    launched = server.graphql(LAUNCH, params=params)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    poll("a run", lambda: bool(server.runs(*ASSETS)), WITHIN_S)


def kill(lab: Path, words: tuple[str, ...]) -> int:
    """SIGKILL to every process of the lab whose command line has one of the words; how many there were."""
    found = [pid for pid, line in processes(lab) if any(word in line for word in words)]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def processes(lab: Path) -> Iterator[tuple[int, str]]:
    """Number and command line of everything that runs with the lab's data."""
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"QUANT_DATA={lab / 'data'}".encode() in (place / "environ").read_bytes().split(b"\0"):
                yield int(place.name), (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
