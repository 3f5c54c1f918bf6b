"""A real Postgres server on a socket and a port of loopback, started and stopped by the test that wants one."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab_process import free_port, poll

USER, DATABASE = "lab", "lab"
PLACES = ("/usr/lib/postgresql", "/usr/local/lib/postgresql")


def server_binaries() -> Path | None:
    """Folder of the newest installed server's programs (Debian keeps them off the path), None where there is none."""
    found = [path.parent for place in PLACES for path in Path(place).glob("*/bin/postgres")]
    on_path = shutil.which("postgres")
    found = sorted(found, key=lambda folder: float(folder.parent.name))
    return found[-1] if found else Path(on_path).parent if on_path else None


@dataclass
class PostgresServer:
    """A cluster in a folder of its own."""

    folder: Path
    port: int
    binaries: Path

    @property
    def url(self) -> str:
        """As a person would write it."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -c fsync=off -c shared_buffers=16MB"
        self._control("start", "-w", "-o", options, "-l", str(self.folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        """`immediate` ends it as a crash would: what was not committed is gone, the next start recovers."""
        self._control("stop", "-w", "-m", mode)

    def ask(self, query: str) -> str:
        """What psql prints of a query."""
        command = [str(self.binaries / "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-Atc", query]
        return subprocess.run([*command, DATABASE], check=True, capture_output=True, text=True).stdout.strip()

    def _control(self, *arguments: str) -> None:
        self.run("pg_ctl", "-D", str(self.folder / "cluster"), *arguments)

    def run(self, program: str, *arguments: str) -> None:
        """A program of the server's; it refuses to work as root, so then as the user that Debian made for it."""
        as_user = pwd.getpwnam("postgres").pw_name if os.getuid() == 0 else None
        subprocess.run(
            [str(self.binaries / program), *arguments], check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, user=as_user, group=as_user, extra_groups=[] if as_user else None, cwd="/",
        )  # fmt: skip


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A fresh server with one empty database; skips the test where no server is installed."""
    binaries = server_binaries()
    if binaries is None:
        pytest.skip("no Postgres server is installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="lab-pg-"))  # short: a socket's path may have 107 characters
    server = PostgresServer(folder, free_port(), binaries)
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        folder.chmod(0o700)
        server.run("initdb", "-D", str(folder / "cluster"), "-U", USER, "-A", "trust", "--no-sync")
        server.start()
        server.run("createdb", "-h", "127.0.0.1", "-p", str(server.port), "-U", USER, DATABASE)
        poll("Postgres answers", lambda: server.ask("select 1") == "1", 30)
        yield server
    finally:
        if (folder / "cluster" / "postmaster.pid").exists():
            server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)
