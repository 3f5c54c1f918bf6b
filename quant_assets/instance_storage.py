"""Where Dagster keeps its runs, events and schedules: SQLite in DAGSTER_HOME, or Postgres (QUANT_POSTGRES_URL).

`dagster.yaml` names this class once, so that the environment alone decides, also for `dagster dev`, the daemon, a run's
worker and a container: none of them needs another file.
"""

import fcntl
import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from quant_core.errors import DataError

POSTGRES_VARIABLE = "QUANT_POSTGRES_URL"
#: SQLAlchemy 2.1 would take psycopg 3 for a plain postgresql:// address; Dagster 1.13.27 is written for psycopg 2.
DRIVER = "postgresql+psycopg2"


class LabInstance(DagsterInstance):
    """What dagster.yaml names; a `storage:` section of one's own in that file still wins."""

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        return {}

    @staticmethod
    def config_defaults(base_dir: str) -> Mapping[str, ConfigurableClassData | None]:
        """Dagster's own defaults for an instance in `base_dir`, but for the storage."""
        chosen, where = (SqliteStorage, {"base_dir": base_dir}) if postgres_url() is None else (PostgresStorage, {})
        storage = ConfigurableClassData(__name__, chosen.__name__, json.dumps(where))
        return {**InstanceRef.config_defaults(base_dir), "storage": storage}


class SqliteStorage(DagsterSqliteStorage):
    """Dagster's own, made by one process at a time.

    Two that make a fresh one at once would make the same tables, or each stamp the schema: one that is stamped twice
    cannot be opened again.
    """

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Any:
        home = Path(config_value["base_dir"])
        home.mkdir(parents=True, exist_ok=True)
        with (home / ".instance.lock").open("a") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            return cls.from_local(inst_data=inst_data, **config_value)


class PostgresStorage(DagsterStorage, ConfigurableClass):  # type: ignore[misc]
    """Stands for Dagster's own storage in an instance's description, which child processes get on their command lines:
    the address, with its password, stays in the environment."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Any:
        from dagster_postgres import DagsterPostgresStorage

        url = postgres_url()
        if url is None:
            raise DataError(
                f"{POSTGRES_VARIABLE}: not set here, but where this process was started; export it here too."
            )
        try:
            return DagsterPostgresStorage(url.render_as_string(hide_password=False), inst_data=inst_data)
        except Exception as error:  # Dagster's own, after it has tried for some seconds, or the driver's
            reason = str(error.__cause__ or error).splitlines()[0]
            raise DataError(
                f"{POSTGRES_VARIABLE}: {url.render_as_string()} cannot be used ({reason}); start the server, "
                "or mend the address, the user's rights or the database's name."
            ) from error


def postgres_url() -> URL | None:
    """QUANT_POSTGRES_URL as psycopg 2 takes it, None where it is not set.

    Raises:
        DataError: not an address of a Postgres database, or its packages are not installed. Repeats no password.
    """
    text = os.environ.get(POSTGRES_VARIABLE)
    if not text:
        return None
    try:
        url = make_url(text)
        found = url.drivername
    except ArgumentError:
        url, found = None, "no address"
    if url is None or found not in ("postgres", "postgresql", DRIVER) or not url.database:
        raise DataError(
            f"{POSTGRES_VARIABLE}: {found}{'' if url is None or url.database else ' without a database'}; wanted "
            "postgresql://USER:PASSWORD@HOST:5432/DATABASE."
        )
    if importlib.util.find_spec("dagster_postgres") is None:
        raise DataError(
            f"{POSTGRES_VARIABLE}: dagster-postgres is not installed; run `pip install 'quant-lab[postgres]'`, or "
            "leave the variable empty for SQLite."
        )
    return url.set(drivername=DRIVER)
