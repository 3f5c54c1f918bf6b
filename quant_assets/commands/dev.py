"""`quant dev`: Dagster's UI and daemon with MLflow's UI beside them, on loopback; one signal stops them all.

Each server leads a process group of its own, so that a signal reaches whatever it started (code servers, runs, workers)
and nothing of it is left behind. MLflow starts once Dagster answers: two cold starts at once would delay both. A code
server or MLflow's that dies is started again; a daemon or a UI that dies ends Dagster and so the command.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NoReturn

from quant_assets.automation.switch import is_untouched, revive_code_servers, switch_on
from quant_assets.commands.terminal import console, say
from quant_assets.instance.home import bury_the_dead, prepare_home
from quant_assets.storage.paths import dagster_home, project_root
from quant_assets.tracking.mlflow_resource import PORT_VARIABLE, prepare_store, tracking_uri, ui_address, usual_port
from quant_core.errors import DataError

LOOPBACK = "127.0.0.1"
PORTS_TRIED, LAST_PORT = 20, 65535
#: How long servers may take to end by themselves; a run that is at work writes what became of it.
PATIENCE_SECONDS = 30.0
#: Between two looks at the code servers, and before what died is started a second time.
LOOK_EVERY_SECONDS, AGAIN_AFTER_SECONDS = 10.0, 60.0
STOPPED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OFF_NOTE = (
    "nothing runs by itself yet: `quant dev --automate` switches on the daily refresh, the evaluation after it and the "
    "training of new folds (so does the UI, under Automation)"
)


def serve(profile: str, port: int, mlflow_port: int | None, automate: bool) -> int:
    """Serve until a signal comes or Dagster ends; returns the exit code.

    Args:
        profile: name to show; the code location reads QUANT_PROFILE.
        mlflow_port: None for the usual one. Where it is taken, the next free one.
        automate: switch on the schedule and every sensor of the instance.
    Raises:
        DataError: Dagster's port is taken, or one is no port.
    """
    check_port(port, "--port")
    if mlflow_port is not None:
        check_port(mlflow_port, "--mlflow-port")
    if not is_free(port):
        raise DataError(f"port {port} is taken (another `quant dev`?); stop that, or give a free one as --port.")
    ended = stop_requests()
    prepare_home(dagster_home())
    for line in chain.from_iterable(bury_the_dead(launched=True)):
        say(line)
    if not automate and is_untouched():
        say(OFF_NOTE)
    beside = Beside([] if is_served_elsewhere() else mlflow_command(claim_mlflow_port(mlflow_port)))
    url = f"http://{LOOPBACK}:{port}"
    console.print(f"[bold]{profile}[/bold]: {url} (stop with Ctrl-C)\n[bold]MLflow[/bold]: {ui_address()}")
    dagster = start(dagster_command(port))
    threading.Thread(target=_look_after, args=(url, ended), daemon=True).start()
    try:
        while not ended.wait(0.3):
            if dagster.poll() is not None:
                return _ended_by_itself(dagster.returncode)
            if beside.command and (beside.servers or not is_free(port)):
                beside.keep()
            if automate and not is_free(port) and (switched := switch_on(url)) is not None:
                automate = False
                say(f"switched on: {', '.join(switched) or 'all of it was on already'}")
    finally:
        stop([dagster, *beside.servers])
    return 0


@dataclass
class Beside:
    """MLflow's server, of which nothing else has need: runs write to its store themselves."""

    command: Sequence[str]  # empty where it is served elsewhere
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)  # the one that was started, if any
    started: float = float("-inf")

    def keep(self) -> None:
        """Start it where it is not there, and again where it died, not more than once a minute."""
        is_up = any(server.poll() is None for server in self.servers)
        if is_up or time.monotonic() - self.started < AGAIN_AFTER_SECONDS:
            return
        for dead in self.servers:
            say(f"MLflow's UI died ({_how(dead.returncode)}) and is started again; no run has need of it")
        stop(self.servers)  # what it left
        self.servers, self.started = [start(self.command)], time.monotonic()


def _look_after(url: str, ended: threading.Event) -> None:
    """Look at the code servers again and again. Beside the loop, for an answer may take long and a signal may not."""
    wait = LOOK_EVERY_SECONDS
    while not ended.wait(wait):
        wait = _looked_after(url)


def _looked_after(url: str) -> float:
    """Have dead code servers started again; seconds until the next look. Loading the definitions takes a while."""
    revived = revive_code_servers(url)
    for name in revived:
        say(f"the code server of {name} died and is started again; a run that was at work goes on or is tried again")
    return AGAIN_AFTER_SECONDS if revived else LOOK_EVERY_SECONDS


def _ended_by_itself(code: int) -> int:
    """Say that Dagster is no longer there, and what to do; the exit code."""
    say(
        f"Dagster ended by itself ({_how(code)}; the lines above say which of its processes died), and all of it is "
        "stopped. What is stored is whole. Start `quant dev` again; the next refresh, or `quant run`, goes on"
    )
    return code if code > 0 else 1


def _how(code: int) -> str:
    """What an exit code says."""
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"


def become_mlflow(port: int | None) -> NoReturn:
    """Serve MLflow's UI from this process over the lab's own store, which is made first if there is none.

    Raises:
        DataError: MLFLOW_TRACKING_URI names a server, which has its own UI; or the port is none.
    """
    if port is not None:
        check_port(port, "--port")
    if is_served_elsewhere():
        raise DataError(f"MLflow is served at {ui_address()} (MLFLOW_TRACKING_URI); open that.")
    prepare_store()
    os.environ["PYTHONWARNINGS"] = "ignore"
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # judges and traces: the lab has neither
    executable = str(Path(sys.executable).with_name("mlflow"))
    sys.stdout.flush()
    options = ["--backend-store-uri", tracking_uri(), "--host", LOOPBACK, "--port", str(port or usual_port())]
    os.execv(executable, [executable, "ui", *options, "--workers", "1", "--uvicorn-opts", "--log-level warning"])


def is_served_elsewhere() -> bool:
    """Whether MLFLOW_TRACKING_URI names a server."""
    return tracking_uri().startswith("http")


def stop_requests() -> threading.Event:
    """Set once the user or the system asks this process to end.

    A handler also where a shell's `&` had the signal ignored: what is started afterwards inherits the default again.
    """
    ended = threading.Event()
    for number in STOPPED_BY:
        signal.signal(number, lambda *_: ended.set())
    return ended


def dagster_command(port: int) -> list[str]:
    """`dagster dev` over the project's workspace, or over the installed package where there is none."""
    workspace = project_root() / "workspace.yaml"
    where = ["-w", str(workspace)] if workspace.is_file() else ["-m", "quant_assets.definitions"]
    # Dagster's advice to use another command is none for the user of this one.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:Function `dev_command` is superseded")
    return [str(Path(sys.executable).with_name("dagster")), "dev", *where, "-h", LOOPBACK, "-p", str(port)]


def mlflow_command(port: int) -> list[str]:
    """`quant mlflow`."""
    return [sys.executable, "-m", "quant_assets.commands.cli", "mlflow", "--port", str(port)]


def check_port(port: int, option: str) -> None:
    """Raise a DataError unless `port` is one that can be listened on."""
    if not 0 < port <= LAST_PORT:
        raise DataError(f"{option} {port}: not a port; give a number from 1 to {LAST_PORT}.")


def claim_mlflow_port(asked: int | None) -> int:
    """The port asked for, or the usual one, or the next free one; what is started from here makes its links with it.

    Raises:
        DataError: none of the next ones is free either.
    """
    first = asked or usual_port()
    last = min(first + PORTS_TRIED - 1, LAST_PORT)
    port = next((port for port in range(first, last + 1) if is_free(port)), None)
    if port is None:
        raise DataError(f"ports {first} to {last} are taken; give a free one as --mlflow-port.")
    if port != first:
        say(f"port {first} is taken: MLflow is on {port}, and links that were made for {first} do not reach it")
    if port != usual_port():
        say(f"so that `quant run` makes links to it: export {PORT_VARIABLE}={port}")
    os.environ[PORT_VARIABLE] = str(port)
    return port


def is_free(port: int) -> bool:
    """Whether nothing listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) != 0


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """A server at the head of a process group of its own."""
    return subprocess.Popen(command, process_group=0)


def stop(servers: Sequence[subprocess.Popen[bytes]], patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Interrupt all groups as Ctrl-C would, wait until they are gone, and kill what is not."""
    for server in servers:
        _signal_group(server, signal.SIGINT)
    deadline = time.monotonic() + patience_seconds
    while any(_signal_group(server, 0) for server in servers) and time.monotonic() < deadline:
        time.sleep(0.1)
    for server in servers:
        _signal_group(server, signal.SIGKILL)
        server.wait()


def _signal_group(server: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to a server and all that it started; False where nothing is left of them."""
    server.poll()  # a leader that has ended is counted until it was asked for
    try:
        os.killpg(server.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS: not permitted where only remains are left
        return False
    return True
