"""`quant doctor`: is this machine ready, and if not, what to do."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlalchemy
from upath import UPath

from quant_assets.commands.runner import Overrides, check_overrides
from quant_assets.currency.fingerprints import stamps_in
from quant_assets.currency.list_use import last_day_of
from quant_assets.instance_storage import POSTGRES_VARIABLE, postgres_url
from quant_assets.lab import Lab
from quant_assets.logs import FORMAT_VARIABLE, LEVEL_VARIABLE, is_json, level
from quant_assets.partitions import IST
from quant_assets.profile import Profile
from quant_assets.storage.partition_files import local_path
from quant_assets.storage.paths import dagster_home, data_root, project_root
from quant_assets.upkeep.finding import Finding
from quant_assets.upkeep.unattended import unattended
from quant_core import calendar
from quant_core.errors import DataError, QuantError
from quant_core.market.lists import known_to

PACKAGES = ("dagster", "dagster-mlflow", "mlflow", "torch", "polars", "pyarrow", "yfinance", "scikit-learn", "numba")
ENOUGH_DISK_GB = 5


def examine(profile: Profile, overrides: Overrides | None = None) -> Iterator[Finding]:
    """Every check, in the order in which a person would fix things.

    Args:
        overrides: settings of a run, as for `quant run`.
    Raises:
        DataError: one that an asset does not have, or a value that it refuses.
    """
    lab = Lab(profile, source_settings=(overrides or {}).get("raw_ohlcv", {}))
    check_overrides(lab, overrides or {})
    yield from _environment()
    yield from _storage()
    yield _log_lines()
    yield from _runs()
    yield from _calendar()
    yield from _source(lab)
    yield from _by_itself(lab)
    yield from _accelerator()


def _environment() -> Iterator[Finding]:
    supported = sys.version_info >= (3, 11)
    yield Finding(
        "ok" if supported else "fix",
        "python",
        platform.python_version() + ("" if supported else "; install 3.11 or later"),
    )
    pinned = _pinned()
    for name in PACKAGES:
        try:
            found = metadata.version(name)
            wanted = pinned.get(name, found)
            is_same = found.partition("+")[0] == wanted
            tested = "" if is_same else f"; tested with {wanted} (constraints.txt): `make install`"
            yield Finding("ok" if is_same else "note", name, found + tested)
        except metadata.PackageNotFoundError:
            yield Finding("fix", name, "not installed; run `make install`")


def _pinned() -> dict[str, str]:
    """Versions that the lab is tested with; none outside a checkout."""
    file = project_root() / "constraints.txt"
    lines = file.read_text().splitlines() if file.is_file() else []
    return {name: version for name, equals, version in (line.strip().partition("==") for line in lines) if equals}


def _storage() -> Iterator[Finding]:
    root = data_root()
    folder = local_path(root)
    yield _store(root) if folder is None else _writable("data (QUANT_DATA)", folder)
    home = dagster_home()
    yield _writable("instance (DAGSTER_HOME)", home)
    settings = home / "dagster.yaml"
    yield Finding(
        "ok" if settings.is_file() else "note",
        "instance settings",
        str(settings) if settings.is_file() else f"{settings} is made by the first run",
    )


def _store(root: UPath) -> Finding:
    try:
        reached = root.fs.exists(root.path.partition("/")[0])
    except Exception as error:  # of whatever library speaks to this store
        return Finding(
            "fix", "data (QUANT_DATA)", f"{root}: {str(error).splitlines()[0]}; mend AWS_ENDPOINT_URL or keys"
        )
    return Finding("ok" if reached else "fix", "data (QUANT_DATA)", f"{root}{'' if reached else ': no such bucket'}")


def _records() -> Finding | None:
    """Whether Postgres answers; None where the records are in the instance's folder."""
    what = f"records ({POSTGRES_VARIABLE})"
    try:
        url = postgres_url()
        if url is None:
            return None
        sqlalchemy.create_engine(url, connect_args={"connect_timeout": 5}).connect().close()
    except DataError as error:
        return Finding("fix", what, str(error))
    except sqlalchemy.exc.SQLAlchemyError as error:
        return Finding("fix", what, f"{url}: {str(error).splitlines()[0]}")  # SQLAlchemy shows no password
    return Finding("ok", what, str(url))


def _log_lines() -> Finding:
    what = f"log lines ({LEVEL_VARIABLE}, {FORMAT_VARIABLE})"
    try:
        return Finding("ok", what, f"{level()} and above, as {'JSON' if is_json() else 'key=value'}, on stderr")
    except DataError as error:
        return Finding("fix", what, str(error))


def _runs() -> Iterator[Finding]:
    """Runs whose process is gone are marked failed here; those of other hosts are only named."""
    records = _records()
    yield from [] if records is None else [records]
    if not (dagster_home() / "dagster.yaml").is_file() or (records is not None and records.level == "fix"):
        return
    from quant_assets.instance.home import bury_the_dead

    buried, unjudged = bury_the_dead()
    yield from (Finding("note", "runs", line) for line in (*buried, *unjudged))
    if not buried and not unjudged:
        yield Finding("ok", "runs", "none is left of a process that died")


def _by_itself(lab: Lab) -> Iterator[Finding]:
    """What matters where nobody looks: see unattended.py."""
    if not (dagster_home() / "dagster.yaml").is_file():
        yield from unattended(lab, None)
        return
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        yield from unattended(lab, instance)


def _writable(what: str, folder: Path) -> Finding:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        return Finding("fix", what, f"{folder} cannot be written; choose another folder in the environment variable")
    free = shutil.disk_usage(existing).free / 1e9
    level = "ok" if free >= ENOUGH_DISK_GB else "note"
    return Finding(level, what, f"{folder} ({free:.0f} GB free)")


def _calendar() -> Iterator[Finding]:
    today = datetime.now(UTC).astimezone(ZoneInfo(IST)).date()
    if today > calendar.LAST_PUBLISHED_DAY:
        yield Finding(
            "note",
            "calendar",
            f"provisional after {calendar.LAST_PUBLISHED_DAY}: update quant_core/calendar.py with NSE's holidays",
        )
        return
    word = "a session" if calendar.is_session(today) else "no session"
    yield Finding("ok", "calendar", f"{today} is {word}; the next one is {calendar.next_session(today)}")


def _source(lab: Lab) -> Iterator[Finding]:
    name = str(lab.profile.source["name"])
    try:
        source = lab.source
        months = lab.partitions.months.get_partition_keys()
        version = source.version(*_span(lab, months[-1]), datetime.now(UTC))
        yield Finding("ok", f"source {name}", f"ready{f' ({version[:60]})' if version else ''}")
    except QuantError as error:
        yield Finding("fix", f"source {name}", str(error))
        return
    stamps = stamps_in(lab.root)
    stored = [month for month in months if stamps(lab.key("raw_ohlcv"), month)]
    held = (
        f"{stored[0]}..{stored[-1]}, {len(stored)} of {len(months)} months"
        if stored
        else "nothing yet; `quant run` fetches it"
    )
    yield Finding("ok" if stored else "note", f"stored {lab.profile.name}", held)
    today = datetime.now(UTC).astimezone(ZoneInfo(IST)).date()
    yield from _lists(lab, min(last_day_of("raw_ohlcv", months[-1]), today))


def _lists(lab: Lab, used_until: date) -> Iterator[Finding]:
    """Until when the profile's lists are known, against the last day that it may compute."""
    for row in lab.lists_known(used_until).iter_rows(named=True):
        said = f"{known_to(row['known_until'])} ({row['origin']})"
        if row["is_beyond"]:
            yield Finding(
                "fix" if lab.profile.strict_lists else "note", row["list"], f"{said}; after it, {row['beyond']}"
            )
        else:
            yield Finding("ok", row["list"], said)


def _span(lab: Lab, month: str) -> tuple[date, date]:
    window = lab.partitions.months.time_window_for_partition_key(month)
    return window.start.date(), window.end.date()


def _accelerator() -> Iterator[Finding]:
    from quant_core.runtime import device_info, get_device

    info = device_info(get_device())
    yield Finding(
        "ok" if info.get("device") != "cpu" else "note", "accelerator", ", ".join(f"{k} {v}" for k, v in info.items())
    )
