"""A backup that is restored elsewhere is the same lab; what is no backup puts nothing anywhere."""

import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from lab_process import lab_environment, quant_here
from small_lab import COMMAND, SmallLab

from quant_assets.upkeep.archive import MANIFEST, verify
from quant_assets.upkeep.backup import backup
from quant_assets.upkeep.restore import restore
from quant_core.errors import DataError


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A few files of each kind in a place of its own."""
    data, home = tmp_path / "data", tmp_path / "home"
    monkeypatch.setenv("QUANT_DATA", str(data))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    for name, text in {
        "data/demo/raw_ohlcv/2020-01.parquet": "rows",
        "data/demo/raw_ohlcv/.former/2020-01.parquet": "older rows",
        "data/demo/backtest/2020.json": json.dumps({"folder": "2020-0123456789ab", "files": ["a.parquet"]}),
        "data/demo/backtest/2020-0123456789ab/a.parquet": "new",
        "data/demo/backtest/2020-ffffffffffff/a.parquet": "superseded",
        "data/.scratch/run/op/table.parquet": "scratch",
        "data/demo/raw_ohlcv/.2020-02.parquet.1.tmp": "half",
        "home/dagster.yaml": "telemetry:\n  enabled: false\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (data / "mlflow").mkdir()
    with sqlite3.connect(data / "mlflow" / "mlflow.db") as file:
        file.execute("CREATE TABLE experiments (artifact_location TEXT)")
        file.execute("INSERT INTO experiments VALUES ('file:///copied/from/mlflow/artifacts')")
        file.execute("CREATE TABLE runs (artifact_uri TEXT)")
        file.execute("INSERT INTO runs VALUES (?)", (f"{data.as_uri()}/mlflow/artifacts/1/artifacts",))
        file.execute("INSERT INTO runs VALUES ('file:///copied/from/mlflow/artifacts/2/artifacts')")
    return tmp_path


KEPT = {
    "data/demo/raw_ohlcv/2020-01.parquet", "data/demo/raw_ohlcv/.former/2020-01.parquet", "data/mlflow/mlflow.db",
    "data/demo/backtest/2020.json", "data/demo/backtest/2020-0123456789ab/a.parquet", "home/dagster.yaml",
}  # fmt: skip


def elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANT_DATA", str(folder / "data"))
    monkeypatch.setenv("DAGSTER_HOME", str(folder / "home"))


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["lab.tar", "lab.tar.gz"])
def test_what_is_kept_comes_back_and_what_is_not_needed_does_not(
    lab: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    away = tmp_path_factory.mktemp("away")
    written = backup(away / name)
    os.utime(lab / "data/demo/raw_ohlcv/2020-01.parquet", (1e9, 1e9))
    elsewhere(away, monkeypatch)
    read = restore(away / name)
    assert read == written == verify(away / name)
    assert files(away) == KEPT | {name}
    for kept in KEPT - {"data/mlflow/mlflow.db"}:
        assert (away / kept).read_bytes() == (lab / kept).read_bytes()
    with sqlite3.connect(away / "data/mlflow/mlflow.db") as file:
        places = [place for (place,) in file.execute("SELECT artifact_uri FROM runs ORDER BY 1")]
    assert places == [f"{(away / 'data').as_uri()}/mlflow/artifacts/{n}/artifacts" for n in (1, 2)]


def test_a_database_is_copied_as_of_one_moment_while_somebody_writes(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lab / "home" / "history" / "runs.db"
    path.parent.mkdir()
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE pairs (a INTEGER, b INTEGER)")
    writer.execute("INSERT INTO pairs VALUES (1, 1)")
    writer.commit()
    writer.execute("INSERT INTO pairs VALUES (2, 2)")  # not committed: not there
    away = lab.parent / f"{lab.name}-away"
    backup(away / "lab.tar")
    writer.close()
    elsewhere(away, monkeypatch)
    restore(away / "lab.tar")
    assert [path.name for path in (away / "home/history").iterdir()] == ["runs.db"]
    with sqlite3.connect(away / "home/history/runs.db") as file:
        assert file.execute("SELECT * FROM pairs").fetchall() == [(1, 1)]


def test_an_archive_is_never_put_over_anything(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = lab.parent / f"{lab.name}.tar"
    backup(target)
    with pytest.raises(DataError, match="is there already"):
        backup(target)
    with pytest.raises(DataError, match="give a place outside"):
        backup(lab / "data" / "lab.tar")
    with pytest.raises(DataError, match="restore into empty places"):
        restore(target)
    monkeypatch.setenv("QUANT_DATA", "s3://bucket/lab")
    with pytest.raises(DataError, match="object store"):
        backup(lab.parent / "other.tar")


def changed(archive: Path, change: Callable[[dict[str, tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """The archive with its members changed."""
    with tarfile.open(archive) as tar:
        members = {}
        for entry in tar:
            stream = tar.extractfile(entry)
            members[entry.name] = (entry, stream.read() if stream else b"")
    change(members)
    target = archive.with_name("changed.tar")
    with tarfile.open(target, "w") as tar:
        for entry, content in members.values():
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return target


def renamed(old: str, new: str) -> Callable[[dict], None]:
    def change(members: dict) -> None:
        entry, content = members.pop(old)
        said = json.loads(members[MANIFEST][1])
        said["members"][new] = said["members"].pop(old)
        members[MANIFEST] = (members[MANIFEST][0], json.dumps(said).encode())
        entry.name = new
        members[new] = (entry, content)

    return change


def linked(members: dict) -> None:
    entry, _ = members["home/dagster.yaml"]
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    members["home/dagster.yaml"] = (entry, b"")


def edited(members: dict) -> None:
    entry, content = members["home/dagster.yaml"]
    members["home/dagster.yaml"] = (entry, content.replace(b"false", b"true!"))


def added(members: dict) -> None:
    members["home/new"] = (tarfile.TarInfo("home/new"), b"x")


def without_manifest(members: dict) -> None:
    del members[MANIFEST]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (renamed("home/dagster.yaml", "home/../../evil"), "is no file of a lab"),
        (renamed("home/dagster.yaml", "/etc/evil"), "is no file of a lab"),
        (renamed("home/dagster.yaml", "elsewhere/evil"), "is no file of a lab"),
        (renamed("home/dagster.yaml", "home/a\\b"), "is no file of a lab"),
        (linked, "is no file of a lab"),
        (edited, "size or SHA-256 differ"),
        (added, "it was changed"),
        (without_manifest, "cut short or not a backup"),
    ],
)
def test_what_is_no_backup_puts_nothing_anywhere(
    lab: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict], None], said: str
) -> None:
    away = lab.parent / f"{lab.name}-away"
    backup(away / "lab.tar")
    bad = changed(away / "lab.tar", change)
    elsewhere(away, monkeypatch)
    with pytest.raises(DataError, match=said):
        restore(bad)
    assert files(away) == {"lab.tar", "changed.tar"}


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08cut"])
def test_another_file_is_told(lab: Path, content: bytes) -> None:
    path = lab / "some.tar"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not an archive|not a backup"):
        verify(path)


@pytest.mark.slow
def test_a_lab_that_was_backed_up_and_restored_has_nothing_to_do(small_lab: SmallLab, tmp_path: Path) -> None:
    archive = tmp_path / "lab.tar"
    written = quant_here(["backup", str(archive)], small_lab.environment)
    assert written.returncode == 0, written.stdout + written.stderr
    assert "every hash verified" in written.stdout
    place = SmallLab(tmp_path / "restored", lab_environment(tmp_path / "restored"))
    read = quant_here(["restore", str(archive)], place.environment)
    assert read.returncode == 0, read.stdout + read.stderr
    assert place.hashes() == small_lab.hashes()
    again = quant_here(COMMAND, place.environment)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "to do" not in again.stdout
    assert again.stdout.count(" current") >= 12
    shutil.rmtree(tmp_path / "restored")
