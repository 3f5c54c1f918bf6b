"""`quant restore`: an archive into empty places; nothing is put there until all of it is sound."""

import os
import shutil
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from quant_assets.upkeep.archive import Archived, checked, local_rooms, manifest, members, opened
from quant_core.errors import DataError

#: The lab's folder of artifacts under its data.
ARTIFACTS = "mlflow/artifacts"
#: Where MLflow's database says in which folder the artifacts are.
PLACES = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("model_versions", "source"),
    ("model_versions", "storage_location"), ("logged_models", "artifact_location"),
)  # fmt: skip


def restore(archive: Path) -> Archived:
    """Put an archive into QUANT_DATA and DAGSTER_HOME, which must be empty; nothing is put there until all is sound.

    Raises:
        DataError: see `verify`; or something is there.
    """
    rooms = local_rooms()
    for folder in rooms.values():
        _refuse_full(folder)
    staged = {room: folder / f".restore.{uuid.uuid4().hex[:8]}.tmp" for room, folder in rooms.items()}
    try:
        with opened(archive) as tar:
            said = manifest(tar, archive)
            total = sum(entry["size"] for entry in said["members"].values())
            _refuse_little(rooms["data"], total)
            for name, stream in members(tar, archive, said):
                room, _, inside = name.partition("/")
                target = staged[room] / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    checked(stream, file, name, said["members"][name], archive)
                modified = tar.getmember(name).mtime
                os.utime(target, (modified, modified))
        _move_artifacts(staged["data"] / "mlflow" / "mlflow.db", said["data"], rooms["data"])
        for room, folder in rooms.items():
            staged[room].mkdir(parents=True, exist_ok=True)
            for path in staged[room].iterdir():
                os.replace(path, folder / path.name)
    finally:
        for folder in staged.values():
            shutil.rmtree(folder, ignore_errors=True)
    return Archived(len(said["members"]), total, said["created_at"])


def _refuse_full(folder: Path) -> None:
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if set(found) - {"dagster.yaml"}:
        raise DataError(
            f"{folder}: holds {', '.join(found[:3])}{', ...' if len(found) > 3 else ''}; restore into empty places: "
            "set QUANT_DATA and DAGSTER_HOME to new folders, or move these away."
        )


def _refuse_little(folder: Path, wanted: int) -> None:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if wanted > free:
        raise DataError(f"{folder}: {wanted / 1e9:.1f} GB wanted, {free / 1e9:.1f} GB free; make room first.")


def _move_artifacts(database: Path, before: str, after: Path) -> None:
    """Let MLflow's database name the folder in which its artifacts are now, also where it was a copied one before."""
    if not database.is_file():
        return
    new = f"{after.as_uri()}/"
    with closing(sqlite3.connect(database)) as file, file:
        known = {row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for old in _old_places(file, known, before) - {new}:
            for table, column in PLACES:
                if table in known:
                    file.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                        (new, len(old) + 1, len(old), old),
                    )


def _old_places(file: sqlite3.Connection, known: set[str], before: str) -> set[str]:
    """Where the data were, by the archive and by MLflow's experiments."""
    asked = "SELECT artifact_location FROM experiments" if "experiments" in known else "SELECT NULL"
    places = [str(row[0]) for row in file.execute(asked)]
    own = {
        place.removesuffix(ARTIFACTS) for place in places if place.startswith("file://") and place.endswith(ARTIFACTS)
    }
    return {f"{Path(before).as_uri()}/", *own}
