"""Many events in one transaction: Dagster's SQLite storage opens, writes and commits three databases for each of them.

A range run stores an event for every month of every asset and of every check; one by one they cost more than the work
of a small profile. Other storages (Postgres) keep their connections and are left as they are; what a whole command
saves beside is in event_files.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from typing import Any

import dagster as dg
import sqlalchemy
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from sqlalchemy.pool import NullPool

BUSY_TIMEOUT_SECONDS = 30
#: Dagster hands over so many events at once, where it knows that they belong together; 0, its default, for one by one.
BATCH_VARIABLE, BATCH_SIZE = "DAGSTER_EVENT_BATCH_SIZE", 500


@contextmanager
def one_transaction(instance: dg.DagsterInstance) -> Iterator[None]:
    """Whatever this thread stores inside is committed together at the end, or not at all if something is raised.

    Other writers wait meanwhile: nothing but storing belongs inside.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage) or "_connect" in vars(storage):  # or inside another already
        yield
        return
    connect, owner = storage._connect, threading.get_ident()
    with ExitStack() as stack:

        @cache
        def begun(shard: str) -> sqlalchemy.Connection:
            with connect(shard):  # makes the database where it is not there yet
                pass
            engine = sqlite_event_log.create_engine(
                storage.conn_string_for_shard(shard), poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}
            )
            return stack.enter_context(engine.begin())

        def shared(shard: str) -> Any:
            return nullcontext(begun(shard)) if threading.get_ident() == owner else connect(shard)

        with _replaced(storage, _connect=shared, has_table=cache(storage.has_table)):
            yield


def store_batches_together(instance: dg.DagsterInstance) -> None:
    """From now on, what this process plans and materializes of a run's partitions is stored in one transaction."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return

    def store(events: Sequence[EventLogEntry]) -> None:
        with one_transaction(instance):
            for event in events:
                storage.store_event(event)

    vars(storage)["store_event_batch"] = store
    os.environ.setdefault(BATCH_VARIABLE, str(BATCH_SIZE))


@contextmanager
def _replaced(target: object, **attributes: Any) -> Iterator[None]:
    """The object with some methods of its own, and without them afterwards."""
    vars(target).update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del vars(target)[name]
