"""`quant clean`: what takes room and is needed no more, by kind, with its size; removed only on request.

Never touched: a stored partition, the register of trials, former versions of prices, a model that any alias of MLflow's
registry stands on (the current and the promoted ones), a Dagster run that made what is stored now, anything of a run
that has not ended, anything younger than asked for.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES, RunRecord

from quant_assets.instance.live_runs import ASSET_TAG
from quant_assets.storage.partition_files import local_path
from quant_assets.storage.paths import data_root
from quant_assets.tracking.mlflow_resource import STORE, tracking_uri
from quant_assets.tracking.model_registry import CURRENT
from quant_assets.upkeep.backup import VERSION

#: Of what a killed process left behind.
LEFT_BEHIND = timedelta(days=1)
#: Records that Dagster is asked for at once.
AT_ONCE = 500


@dataclass(frozen=True)
class Item:
    """One thing that can go.

    Args:
        kind: what it is, for the table.
        name: for a person.
        size_bytes: that it frees.
        remove: how it goes.
    """

    kind: str
    name: str
    size_bytes: int
    remove: Callable[[], None]


def removable(instance: dg.DagsterInstance, older_than: timedelta, now: float | None = None) -> Iterator[Item]:
    """Everything that can go, kind by kind.

    Args:
        older_than: of models, runs, checkpoints and `--as-of` places; what a killed process left goes after a day.
        now: seconds since the epoch.
    """
    clock = time.time() if now is None else now
    root = local_path(data_root())
    if root is not None and root.is_dir():
        busy = {record.dagster_run.run_id for record in _records(instance, ended=False)}
        yield from _files(root, busy, clock, older_than.total_seconds())
    yield from _tracked_runs(instance, clock - older_than.total_seconds())
    yield from _dagster_runs(instance, clock - older_than.total_seconds())


# ---- files -----------------------------------------------------------------------------------------------------------


def _files(root: Path, busy: set[str], now: float, age_s: float) -> Iterator[Item]:
    left = now - LEFT_BEHIND.total_seconds()
    for path in sorted(root.rglob(".*.tmp")):
        if _newest(path) < left:
            yield _item("temporary files", path, root)
    for path in _folders(root / ".scratch"):
        if path.name not in busy and _newest(path) < left:
            yield _item("values between ops", path, root)
    for path in sorted((root / ".checkpoints").glob("*/*/*")):
        if _newest(path) < now - age_s:
            yield _item("checkpoints", path, root)
    for path in _folders(root / ".as_of"):
        if _newest(path) < now - age_s:
            yield _item("--as-of places", path, root)
    for path in sorted(root.glob("[!.]*/*/*")):
        if path.is_dir() and _is_superseded(path) and _newest(path) < left:
            yield _item("superseded artifacts", path, root)


def _is_superseded(folder: Path) -> bool:
    """Whether a folder is a version of an artifact that its pointer does not name."""
    pointer = folder.with_name(f"{VERSION.sub('', folder.name)}.json")
    return bool(VERSION.search(folder.name)) and pointer.is_file() and f'"{folder.name}"' not in pointer.read_text()


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def _item(kind: str, path: Path, root: Path) -> Item:
    return Item(kind, path.relative_to(root).as_posix(), size_of(path), lambda: _drop(path))


def _drop(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files under a folder; links are not followed."""
    return sum(one.lstat().st_size for one in _all(path) if not one.is_dir())


def _newest(path: Path) -> float:
    return max((one.lstat().st_mtime for one in _all(path)), default=0.0)


def _all(path: Path) -> list[Path]:
    inside = [Path(place) / name for place, folders, names in os.walk(path) for name in (*folders, *names)]
    return [one for one in (path, *inside) if os.path.lexists(one)]


# ---- MLflow ----------------------------------------------------------------------------------------------------------


def _tracked_runs(instance: dg.DagsterInstance, before: float) -> Iterator[Item]:
    """Runs of the lab's own store whose model no alias stands on, or whose work was done again since."""
    root = local_path(data_root())
    if root is None or os.environ.get("MLFLOW_TRACKING_URI") or not (root / "mlflow" / STORE).is_file():
        return
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri(), registry_uri=tracking_uri())
    held, versions = _registered(client)
    newest: set[tuple[Any, ...]] = set()
    for run in _all_runs(client):  # newest first
        key = _work(instance, run)
        is_newest = run.info.status == "FINISHED" and key is not None and key not in newest
        if is_newest and key is not None:
            newest.add(key)
        can_go = run.info.run_id in versions or key is not None or run.info.status in ("FAILED", "KILLED")
        ended = (run.info.end_time or 0) / 1000
        if run.info.run_id in held or is_newest or not can_go or not 0 < ended < before:
            continue
        yield _tracked_item(client, run, versions.get(run.info.run_id, []), root / "mlflow" / "artifacts")


def _registered(client: Any) -> tuple[set[str], dict[str, list[tuple[str, str]]]]:
    """Runs that are held by a registered model, and (model, version) of every run that has some.

    A version is given up only where the alias of the newest fit stands on another one: models that are promoted by
    hand keep all theirs, since a promotion may be taken back.
    """
    held: set[str] = set()
    versions: dict[str, list[tuple[str, str]]] = {}
    for model in _pages(lambda token: client.search_registered_models(page_token=token)):
        aliases = {str(alias): str(version) for alias, version in dict(model.aliases).items()}
        asked = f"name='{model.name}'"
        for one in _pages(lambda token, asked=asked: client.search_model_versions(asked, page_token=token)):
            versions.setdefault(one.run_id, []).append((model.name, str(one.version)))
            if CURRENT not in aliases or str(one.version) in aliases.values():
                held.add(one.run_id)
    return held, versions


def _all_runs(client: Any) -> Iterator[Any]:
    ids = [one.experiment_id for one in _pages(lambda token: client.search_experiments(page_token=token))]
    yield from _pages(lambda token: client.search_runs(ids, order_by=["start_time DESC"], page_token=token))


def _pages(ask: Callable[..., Any]) -> Iterator[Any]:
    token: str | None = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def _work(instance: dg.DagsterInstance, run: Any) -> tuple[Any, ...] | None:
    """Which work of which profile a tracked run did; None where that is not known any more."""
    tags = run.data.tags
    made = instance.get_run_by_id(tags.get("dagster_run_id", "")) if "dagster_run_id" in tags else None
    if made is None or "asset" not in tags:
        return None
    profile = made.tags.get(ASSET_TAG, "").partition("/")[0] or _profile_of(made)
    return (profile, tags["asset"], tags.get("partition")) if profile else None


def _profile_of(run: dg.DagsterRun) -> str:
    return next((key.path[0] for key in run.asset_selection or ()), "")


def _tracked_item(client: Any, run: Any, versions: list[tuple[str, str]], artifacts: Path) -> Item:
    place = Path(unquote(urlparse(run.info.artifact_uri).path)).parent
    is_ours = place.is_relative_to(artifacts.resolve()) and place.name == run.info.run_id

    def remove() -> None:
        for name, version in versions:
            client.delete_model_version(name, version)
        client.delete_run(run.info.run_id)
        client._tracking_client.store._hard_delete_run(run.info.run_id)  # as `mlflow gc` does
        if is_ours:
            shutil.rmtree(place, ignore_errors=True)

    return Item("MLflow runs", f"{run.info.run_name} {run.info.run_id[:8]}", size_of(place) if is_ours else 0, remove)


# ---- Dagster ---------------------------------------------------------------------------------------------------------


def _dagster_runs(instance: dg.DagsterInstance, before: float) -> Iterator[Item]:
    """Ended runs, with their events and their steps' output, that did not make anything that is shown as stored."""
    kept = making_runs(instance)
    for record in _records(instance, ended=True):
        run = record.dagster_run
        if run.run_id not in kept and (record.end_time or record.create_timestamp.timestamp()) < before:
            paths = _run_files(instance, run.run_id)
            yield Item(
                "Dagster runs", f"{run.tags.get(ASSET_TAG, run.job_name)} {run.run_id[:8]}", sum(map(size_of, paths)),
                lambda run_id=run.run_id, paths=paths: _forget(instance, run_id, paths),  # type: ignore[misc]
            )  # fmt: skip


def making_runs(instance: dg.DagsterInstance) -> set[str]:
    """Runs that made the newest materialization of a partition: Dagster knows of it by their events."""
    found: set[str] = set()
    events = instance.event_log_storage
    for key in instance.all_asset_keys():
        newest = instance.get_latest_materialization_event(key)
        found |= {newest.run_id} if newest else set()
        ids = [*events.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION).values()]
        for begin in range(0, len(ids), AT_ONCE):
            block = ids[begin : begin + AT_ONCE]
            asked = dg.AssetRecordsFilter(asset_key=key, storage_ids=block)
            found |= {record.run_id for record in instance.fetch_materializations(asked, limit=len(block)).records}
    return found


def _records(instance: dg.DagsterInstance, ended: bool) -> list[RunRecord]:
    statuses = [one for one in dg.DagsterRunStatus if (one in FINISHED_STATUSES) == ended]
    return list(instance.get_run_records(dg.RunsFilter(statuses=statuses)))


def _run_files(instance: dg.DagsterInstance, run_id: str) -> list[Path]:
    """A run's database, where there is one a run, and its steps' output."""
    home = Path(instance.root_directory)
    places = (home / "history" / "runs" / f"{run_id}.db", home / "storage" / run_id)
    return [path for path in places if path.exists()]


def _forget(instance: dg.DagsterInstance, run_id: str, paths: list[Path]) -> None:
    instance.delete_run(run_id)
    for path in paths:
        _drop(path)
