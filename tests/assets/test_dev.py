"""`quant dev` without its servers: ports, the note on automation, and that nothing outlives it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from lab_process import ROOT, free_port, lab_environment, poll, started

from quant_assets.automation import switch
from quant_assets.commands import dev
from quant_assets.tracking.mlflow_resource import PORT_VARIABLE, ui_address
from quant_core.errors import DataError

#: A server that starts a child which will not be interrupted, as a run at work might not.
STUBBORN = """
import signal, socket, subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
process.stdout.readline()
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(process.pid, flush=True)
time.sleep(60)
"""
#: `quant dev` with such servers in the place of Dagster's and MLflow's.
SERVE = """
import sys
from quant_assets.commands import dev
stubborn, port, mlflow_port = sys.argv[1], *map(int, sys.argv[2:])
dev.dagster_command = dev.mlflow_command = lambda port: [sys.executable, "-c", stubborn, str(port)]
dev.stop.__defaults__ = (0.7,)
sys.exit(dev.serve("demo", port, mlflow_port, False))
"""


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of loopback on which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def children(log: Path) -> list[int]:
    """What the stubborn servers said of whom they started."""
    return [int(line) for line in log.read_text().splitlines() if line.isdecimal()]


def is_running(pid: int) -> bool:
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_both_servers_and_what_they_started(number: signal.Signals, tmp_path: Path) -> None:
    port, mlflow_port, log = free_port(), free_port(), tmp_path / "log"
    command = [sys.executable, "-c", SERVE, STUBBORN, str(port), str(mlflow_port)]
    with started(command, lab_environment(tmp_path), log) as process:
        poll("both serve", lambda: not dev.is_free(port) and not dev.is_free(mlflow_port), 60)
        poll(
            "both say whom they started", lambda: sum(line.isdecimal() for line in log.read_text().splitlines()) == 2, 9
        )
        os.kill(process.pid, number)
        assert process.wait(timeout=30) == 0
    said = log.read_text()
    assert not [pid for pid in children(log) if is_running(pid)]
    assert f"http://127.0.0.1:{port}" in said
    assert f"http://127.0.0.1:{mlflow_port}" in said
    assert "quant dev --automate" in said


@pytest.fixture
def interrupts() -> Iterator[None]:
    """What is started can be interrupted, as under `quant dev`, also where the tests themselves run behind a `&`."""
    former = {number: signal.getsignal(number) for number in dev.STOPPED_BY}
    dev.stop_requests()
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("interrupts")
def test_a_group_that_ends_by_itself_is_not_waited_for(tmp_path: Path) -> None:
    is_up = tmp_path / "is_up"
    started = dev.start([sys.executable, "-c", f"import time; open({str(is_up)!r}, 'w').close(); time.sleep(60)"])
    while not is_up.exists():  # an interpreter that is still starting may lose an interrupt
        time.sleep(0.05)
    begun = time.monotonic()
    dev.stop([started])
    assert time.monotonic() - begun < 10


@pytest.mark.slow
def test_where_a_shell_had_the_interrupt_ignored_what_is_started_does_not_ignore_it() -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); from quant_assets.commands import dev;"
        "dev.stop_requests(); c = 'import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)';"
        "dev.start([sys.executable, '-c', c]).wait()"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout == "False\n"


def test_a_taken_port_of_mlflow_gives_way_to_the_next_and_links_follow(
    taken: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv(PORT_VARIABLE, str(taken))
    port = dev.claim_mlflow_port(None)
    assert port > taken
    assert ui_address() == f"http://127.0.0.1:{port}"
    assert f"port {taken} is taken: MLflow is on {port}" in capsys.readouterr().out


def test_a_taken_port_of_dagster_is_an_error_that_names_the_option(taken: int) -> None:
    with pytest.raises(DataError, match=f"port {taken} is taken .* --port"):
        dev.serve("demo", taken, None, False)


def test_a_server_of_ones_own_is_linked_to_and_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example/base/")
    assert ui_address() == "https://mlflow.example/base"
    with pytest.raises(DataError, match="served at https://mlflow"):
        dev.become_mlflow(None)


@pytest.mark.parametrize("text", ["http", "0", "70000", "-1"])
def test_a_port_that_is_none_is_an_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv(PORT_VARIABLE, text)
    with pytest.raises(DataError, match="is not a port; give a number"):
        ui_address()


@pytest.mark.usefixtures("interrupts")
def test_a_server_beside_that_dies_is_started_again_but_not_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = dev.Beside(["sleep", "60"])
    beside.keep()
    (first,) = beside.servers
    first.kill()
    first.wait()
    beside.keep()  # younger than a minute
    assert beside.servers == [first]
    monkeypatch.setattr(dev, "AGAIN_AFTER_SECONDS", 0.0)
    beside.keep()
    (second,) = beside.servers
    assert second.pid != first.pid
    assert "MLflow's UI died (by SIGKILL) and is started again" in capsys.readouterr().out
    beside.keep()
    assert beside.servers == [second]
    dev.stop([second])


def test_code_servers_that_are_gone_are_asked_for_again_and_broken_definitions_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = {"gone": switch.GONE, "broken": "ImportError", "well": None}
    entries = [
        {"name": name, "locationOrLoadError": {"className": failure} if failure else {}}
        for name, failure in failures.items()
    ] + [{"name": "not loaded yet", "locationOrLoadError": None}]
    asked: list[dict[str, Any]] = []

    def ask(url: str, query: str, **variables: Any) -> Any:
        asked.append(variables)
        return {"workspaceOrError": {"locationEntries": entries}}

    monkeypatch.setattr(switch, "_ask", ask)
    assert dev._looked_after("http://127.0.0.1:3000") == dev.AGAIN_AFTER_SECONDS
    assert asked == [{}, {"name": "gone"}]
    assert "the code server of gone died and is started again" in capsys.readouterr().out
    entries.pop(0)
    assert dev._looked_after("http://127.0.0.1:3000") == dev.LOOK_EVERY_SECONDS


def test_a_ui_that_does_not_answer_is_left_alone() -> None:
    assert switch.revive_code_servers(f"http://127.0.0.1:{free_port()}") == []


def test_where_dagster_ends_by_itself_it_is_said_how_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert [dev._ended_by_itself(code) for code in (-9, 0, 3)] == [1, 1, 3]
    said = capsys.readouterr().out
    assert "by SIGKILL" in said
    assert "Start `quant dev` again" in said
