"""Dagster's SQLite files at less cost a run, for a command that makes many short runs in its own process.

Dagster 1.13.27 keeps a database a run and opens it anew for every event. Closing the only connection writes the journal
back and deletes it, and making a database reads all of Dagster's migrations: on a busy disk a short run is mostly that.
While a command works, one more connection to each file stays open, so that its journal stays; engines are kept, with
the statements that they compiled; and a run's database begins as a copy of what the first one was when it was empty.
What is stored is the same. Where Dagster's records are not in SQLite, nothing is done.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from sqlalchemy.engine import make_url
from upath import UPath

from quant_assets.storage.partition_files import atomic_write

#: Run id -> a context in which the run's events are stored.
OpenRun = Callable[[str], AbstractContextManager[Any]]


@contextmanager
def event_files(instance: dg.DagsterInstance) -> Iterator[OpenRun]:
    """While a command works: the records of all runs held open, and what opens those of one run that is to be made."""
    events, runs = instance.event_log_storage, instance.run_storage
    if not isinstance(events, SqliteEventLogStorage) or not isinstance(runs, SqliteRunStorage):
        yield lambda run_id: nullcontext()
        return
    with ExitStack() as stack:
        stack.enter_context(_engines_kept())
        stack.enter_context(_held(events.path_for_shard(INDEX_SHARD_NAME)))
        stack.enter_context(_held(str(make_url(runs._conn_string).database)))
        yield _opener(events)


def _opener(events: SqliteEventLogStorage) -> OpenRun:
    empty = b""

    @contextmanager
    def open_run(run_id: str) -> Iterator[None]:
        nonlocal empty
        path = events.path_for_shard(run_id)
        if empty:
            atomic_write(UPath(path), empty)
            events._initialized_dbs.add(run_id)
        else:
            with events.run_connection(run_id):
                pass  # Dagster makes it
            empty = Path(path).read_bytes()
        with _held(path):
            yield

    return open_run


def _held(path: str) -> AbstractContextManager[sqlite3.Connection]:
    """An idle connection: it locks nothing, but is there when others close theirs."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()  # the file is opened by the first reading
    return closing(connection)


@contextmanager
def _engines_kept() -> Iterator[None]:
    """Dagster makes an engine for every connection; here one for every file."""
    modules: tuple[Any, ...] = (sqlite_event_log, sqlite_run_storage)
    own, kept = sqlite_event_log.create_engine, dict[str, Any]()

    def create_engine(address: str, **options: Any) -> Any:
        if address not in kept:
            kept[address] = own(address, **options)
        return kept[address]

    for module in modules:
        module.create_engine = create_engine
    try:
        yield
    finally:
        for module in modules:
            module.create_engine = own
