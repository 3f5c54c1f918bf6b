"""SIGKILL to each process of `quant dev` at work: worker, code server, daemon, UI, MLflow, all of them at once.

Whatever dies, what stands under a final name is whole; a run is tried again, or ends as failed; what is needed comes
back by itself, or the command says that it ended.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from lab_process import DevServer, answers, dev_server, free_port, lab_environment, poll, quant_here
from small_lab import SmallLab

pytestmark = [pytest.mark.slow, pytest.mark.soak]

ASSETS = ("raw_ohlcv", "clean_prices", "features")
MONTHS = ("2015-01", "2016-12")
COMMAND = ["run", "--profile", "demo", "--from", MONTHS[0], "--to", MONTHS[1], "--stages", "features"]
WORKER, CODE_SERVER = ("spawn_main",), ("dagster api grpc",)
#: Victim -> words of its command line; after these `quant dev` goes on.
SURVIVED = {
    "run worker": WORKER,
    "code server": CODE_SERVER,
    "worker and code server": WORKER + CODE_SERVER,
    "keeper of the code server": ("dagster code-server",),
    "MLflow": ("mlflow ui", "uvicorn"),
}
#: And with these it ends.
FATAL = {"daemon": ("dagster._daemon run",), "web server": ("dagster_webserver",), "everything": ("python",)}
TIMES, SEED, WITHIN_S = 2, 20260731, 600
LAUNCH = """mutation($params: ExecutionParams!) {launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""
LOADED = "{workspaceOrError {... on Workspace {locationEntries {locationOrLoadError {__typename}}}}}"


def test_each_process_of_the_servers_can_be_killed_at_work(tmp_path: Path) -> None:
    undisturbed, own = (SmallLab(tmp_path / name, lab_environment(tmp_path / name)) for name in ("a", "b"))
    assert quant_here(COMMAND, undisturbed.environment).returncode == 0
    reference, moments, kills = undisturbed.hashes(), random.Random(SEED), Counter[str]()
    environment = own.environment | {"QUANT_MLFLOW_PORT": str(free_port())}
    survived = [*SURVIVED] * TIMES
    moments.shuffle(survived)
    for fatal in (*FATAL, None):
        with dev_server(own.folder, environment, timeout_s=WITHIN_S) as server:
            over(server)  # what the end of the one before has left
            while survived and fatal != "everything":
                victim = survived.pop()
                kills[victim] += killed_at_work(server, own, SURVIVED[victim], moments)
                assert own.hashes().items() <= reference.items()
                recovered(server)
                over(server)
                assert own.hashes() == reference, f"{victim}: the run was not tried again"
            if fatal is not None:
                kills[fatal] += killed_at_work(server, own, FATAL[fatal], moments)
                assert own.hashes().items() <= reference.items()
                ended(server, fatal)
            else:
                assert own.hashes() == reference, "everything: the run was not buried and tried again"
    done = quant_here(COMMAND, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert own.hashes() == reference
    assert set(kills) == {*SURVIVED, *FATAL}
    print(f"kills of processes: {kills.total()}; {dict(kills)}")


def killed_at_work(server: DevServer, lab: SmallLab, words: tuple[str, ...], moments: random.Random) -> int:
    """SIGKILL, at a drawn moment of a run, to the processes with one of the words; how many there were."""
    break_up(lab)
    run_id = launch(server)
    poll("a run at work", lambda: status_of(server, run_id) == "STARTED", WITHIN_S)
    time.sleep(moments.uniform(0.0, 4.0))
    return kill(lab, words)


def break_up(lab: SmallLab) -> None:
    """Something to do for the next run."""
    for asset in ASSETS:
        for path in (lab.data / "demo" / asset).glob("*.parquet"):
            path.unlink()


def launch(server: DevServer) -> str:
    """One run over all months, as the UI launches it; its id."""
    span = dict(zip(("start", "end"), MONTHS, strict=True))
    params = {
        "selector": {
            "repositoryLocationName": "quant_lab", "repositoryName": "__repository__", "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": ["demo", asset]} for asset in ASSETS],
        },
        "mode": "default",
        "executionMetadata": {
            "tags": [{"key": f"dagster/asset_partition_range_{end}", "value": month} for end, month in span.items()]
        },
    }  # fmt: skip
    launched = server.graphql(LAUNCH, params=params)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["runId"])


def status_of(server: DevServer, run_id: str) -> str:
    return next(run["status"] for run in server.runs(*ASSETS) if run["runId"] == run_id)


def over(server: DevServer) -> None:
    """No run is at work or will be tried again; seen twice, for a failed one is tried again within seconds."""
    calm: list[float] = []

    def is_calm() -> bool:
        if any(run["status"] not in ("SUCCESS", "FAILURE", "CANCELED") for run in server.runs(*ASSETS)):
            calm.clear()
        else:
            calm.append(time.monotonic())
        return bool(calm) and calm[-1] - calm[0] > 25.0

    poll("the end of all runs", is_calm, WITHIN_S, every_s=2)


def recovered(server: DevServer) -> None:
    """Definitions are there again, and MLflow."""
    kinds = ("workspaceOrError", "locationEntries", "locationOrLoadError")

    def is_loaded() -> bool:
        entries = server.graphql(LOADED)[kinds[0]][kinds[1]]
        return [(entry[kinds[2]] or {}).get("__typename") for entry in entries] == ["RepositoryLocation"]

    poll("the definitions", is_loaded, WITHIN_S, every_s=2)
    poll("MLflow", lambda: answers(server.mlflow_url), WITHIN_S, every_s=2)


def ended(server: DevServer, fatal: str) -> None:
    """The command has ended as well; where it could, with a word and 1."""
    code = server.process.wait(WITHIN_S)
    assert fatal == "everything" or (code, "Dagster ended by itself" in server.log.read_text()) == (1, True), code


def kill(lab: SmallLab, words: tuple[str, ...]) -> int:
    found = [pid for pid, line in processes(lab) if any(word in line for word in words)]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def processes(lab: SmallLab) -> Iterator[tuple[int, str]]:
    """Number and command line of everything that runs with the lab's data."""
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"QUANT_DATA={lab.data}".encode() in (place / "environ").read_bytes().split(b"\0"):
                yield int(place.name), (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
