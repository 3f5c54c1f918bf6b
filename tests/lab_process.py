"""The lab's own commands in tests: an environment of their own, loopback only, and no process left behind."""

import fcntl
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import pytest

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
QUANT = [sys.executable, "-m", "quant_assets.commands.cli"]
FOREIGN = ("QUANT_", "DAGSTER_", "MLFLOW_")
#: Nothing listens there: whatever would leave the machine is refused at once.
CLOSED_PORT = "http://127.0.0.1:9"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def lab_environment(folder: Path) -> dict[str, str]:
    """Variables of a lab that lives in `folder`, with the project's own instance settings."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", home / "dagster.yaml")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    proxies = dict.fromkeys(
        ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), CLOSED_PORT
    )
    own = {
        "QUANT_DATA": str(folder / "data"),
        "DAGSTER_HOME": str(home),
        "NO_PROXY": "127.0.0.1,localhost",
        "COLUMNS": "160",
    }
    return inherited | proxies | own | {"no_proxy": own["NO_PROXY"]}


def run_quant(
    arguments: list[str], environment: dict[str, str], timeout_s: float = 240
) -> subprocess.CompletedProcess[str]:
    """`quant ...` to its end, output captured."""
    return subprocess.run(
        [*QUANT, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def quant_here(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`quant ...` to its end in this process: an interpreter of its own spends its first seconds on imports."""
    from quant_assets.commands.cli import main

    output, errors, code = io.StringIO(), io.StringIO(), 0
    with (
        patch.dict(os.environ, environment, clear=True), patch.object(sys, "argv", ["quant", *arguments]),
        warnings.catch_warnings(), redirect_stdout(output), redirect_stderr(errors),
    ):  # fmt: skip
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(arguments, code, output.getvalue(), errors.getvalue())


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` has filled for all workers: the first one that asks makes it, the others wait."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "made").touch()
    return folder


@contextmanager
def started(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command in a process group of its own; the whole group is gone afterwards."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], patience_s: float = 60) -> None:
    """Ask the group to end, then make it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience_s)
    kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the process and whatever it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def poll(what: str, question: Callable[[], T | None], timeout_s: float, every_s: float = 0.25) -> T:
    """The first answer that is not empty."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(every_s)
    raise AssertionError(f"{what}: not within {timeout_s:g} s")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class DevServer:
    """`quant dev`, serving."""

    url: str
    mlflow_url: str
    environment: dict[str, str]
    serving_after_s: float
    log: Path
    process: subprocess.Popen[bytes]

    def graphql(self, query: str, **variables: Any) -> Any:
        """The `data` of an answer of the UI's own API."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with _DIRECT.open(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer
        return answer["data"]

    def runs(self, *assets: str) -> list[dict[str, Any]]:
        """Runs that materialize any of these assets, newest first: runId, status, runConfigYaml, assets, tags."""
        query = (
            "{runsOrError {... on Runs {results {runId status runConfigYaml assetSelection {path} tags {key value}}}}}"
        )
        found = []
        for run in self.graphql(query)["runsOrError"]["results"]:
            selected = {key["path"][-1] for key in run.pop("assetSelection") or []}
            if selected & set(assets):
                found.append({**run, "assets": selected, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}})
        return found


@contextmanager
def dev_server(folder: Path, environment: dict[str, str], timeout_s: float = 120) -> Iterator[DevServer]:
    """`quant dev --profile demo` over the lab in `folder`, as `make dev` starts it; nothing listens afterwards."""
    ports = free_port(), int(environment["QUANT_MLFLOW_PORT"])
    url, mlflow_url = (f"http://127.0.0.1:{port}" for port in ports)
    log, begun = folder / "dev.log", time.monotonic()
    with started([*QUANT, "dev", "--profile", "demo", "--port", str(ports[0])], environment, log) as process:

        def serving() -> bool:
            assert process.poll() is None, log.read_text()
            return answers(f"{url}/server_info")

        poll("quant dev serves", serving, timeout_s)
        yield DevServer(url, mlflow_url, environment, time.monotonic() - begun, log, process)
    assert not any(answers(address) for address in (url, mlflow_url)), log.read_text()


def answers(url: str) -> bool:
    """Whether something serves at this address."""
    with suppress(OSError), _DIRECT.open(url, timeout=5) as response:
        return bool(response.status == 200)
    return False
