"""Data in an S3-compatible store, over HTTP to a real server that the test starts (moto's): all is as on disk."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from lab_process import ROOT, lab_environment, quant_here
from small_lab import COMMAND, STAGES, SmallLab
from upath import UPath

from quant_assets.currency.fingerprints import stamps_in, stored_stamp
from quant_assets.experiments import trials
from quant_assets.storage import io_manager, object_store, partition_files
from quant_assets.storage.paths import data_root
from quant_assets.upkeep import doctor
from quant_core.errors import DataError

pytest.importorskip("s3fs", reason="the extra s3 is not installed")
moto_server = pytest.importorskip("moto.server", reason="moto is not installed")

BUCKET = "lab"
TABLE = pl.DataFrame({"date": [date(2021, 3, 1), date(2021, 3, 2)], "ticker": ["TCS", "TCS"], "x": [1.0, None]})
KEY = dg.AssetKey(["demo", "features"])


@pytest.fixture(scope="module")
def store() -> Iterator[dict[str, str]]:
    """Variables of a process whose store is this server, with an empty bucket."""
    server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1", "QUANT_DATA": f"s3://{BUCKET}/research",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir(BUCKET)
        yield variables
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture
def root(store: dict[str, str], request: pytest.FixtureRequest) -> UPath:
    """A place of the test's own."""
    return data_root() / request.node.name.replace("[", "-").strip("]")


def test_tables_have_the_same_stamp_as_on_disk_and_are_read_back_in_order(root: UPath, tmp_path: Path) -> None:
    there, here = (partition_files.table_path(place, KEY, "2021-03") for place in (root, UPath(tmp_path)))
    stamp = partition_files.write_table(there, TABLE, "f")
    assert stamp == partition_files.write_table(here, TABLE, "f") == partition_files.read_stamp(there)
    later = partition_files.table_path(root, KEY, "2021-04")
    partition_files.write_table(later, TABLE.with_columns(date=pl.col("date") + timedelta(31)), "f")
    assert partition_files.read_tables([later, there]).collect()["date"].to_list()[2:] == TABLE["date"].to_list()


def test_a_partition_is_replaced_whole_and_another_machine_sees_it_at_once(root: UPath) -> None:
    path = partition_files.table_path(root, KEY, "2021-03")
    old = partition_files.write_table(path, TABLE, "a" * 64)
    assert stored_stamp(root, KEY, "2021-03") == old
    assert [name.name for name in path.parent.iterdir()] == ["2021-03.parquet"]
    code = (
        "import sys; import polars as pl\n"
        "from quant_assets.storage import partition_files; from quant_assets.storage.paths import data_root\n"
        "path = data_root().joinpath(*sys.argv[1:]); table = partition_files.read_tables([path]).collect()\n"
        "partition_files.write_table(path, table, 'b' * 64)\n"
        "partition_files.write_table(path.parent / '2021-04.parquet', table, 'c' * 64)"
    )
    below = path.relative_to(data_root()).parts if hasattr(path, "relative_to") else ()
    subprocess.run([sys.executable, "-c", code, *below], check=True, cwd=ROOT)
    new = stored_stamp(root, KEY, "2021-03")  # of the same size, within the same second
    assert new is not None
    assert (new.fingerprint, new.content_hash) == ("b" * 64, old.content_hash)
    assert sorted(name.name for name in path.parent.iterdir()) == ["2021-03.parquet", "2021-04.parquet"]


def test_a_write_that_fails_leaves_the_old_partition(root: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    path = partition_files.table_path(root, KEY, "2021-03")
    old = partition_files.write_table(path, TABLE, "old")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no connection")

    with monkeypatch.context() as patch:
        patch.setattr(path.fs, "pipe_file", refuse)
        with pytest.raises(OSError, match="no connection"):
            partition_files.write_table(path, TABLE.head(1), "new")
    assert partition_files.read_stamp(path) == old


def test_an_artifact_is_replaced_as_a_whole_and_its_old_version_removed(root: UPath) -> None:
    pointer = partition_files.pointer_path(root, KEY, "2021")
    partition_files.write_artifact(partition_files.pointer_path(root, KEY, "2020"), {"a.bin": b"0"}, "f0")
    partition_files.write_artifact(pointer, {"a.bin": b"1", "b.bin": b"2"}, "f1")
    first = partition_files.artifact_folder(pointer)
    partition_files.write_artifact(pointer, {"a.bin": b"3"}, "f2")
    assert partition_files.read_artifact(pointer) == {"a.bin": b"3"}
    assert not first.exists()
    assert partition_files.read_artifact(partition_files.pointer_path(root, KEY, "2020")) == {"a.bin": b"0"}


def test_an_artifact_that_was_replaced_while_it_was_read_is_read_again(
    root: UPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    pointer, contents = partition_files.pointer_path(root, KEY, "2021"), object_store.contents
    partition_files.write_artifact(pointer, {"a.bin": b"1"}, "f1")

    def late(paths: list[UPath]) -> list[bytes]:
        monkeypatch.setattr(object_store, "contents", contents)
        partition_files.write_artifact(pointer, {"a.bin": b"2"}, "f2")
        return contents(paths)

    monkeypatch.setattr(object_store, "contents", late)
    assert partition_files.read_artifact(pointer) == {"a.bin": b"2"}
    object_store.remove(partition_files.artifact_folder(pointer))
    with pytest.raises(FileNotFoundError):
        partition_files.read_artifact(pointer)


def test_all_stamps_of_an_asset_are_those_that_are_found_one_by_one(root: UPath) -> None:
    wide = pl.DataFrame({f"column_with_a_long_name_{k}": [1.0] for k in range(2000)})  # a footer beyond TAIL_BYTES
    partition_files.write_table(partition_files.table_path(root, KEY, "2021-01"), TABLE, "f1")
    partition_files.write_table(partition_files.table_path(root, KEY, "2021-02"), wide, "f2")
    partition_files.write_artifact(partition_files.pointer_path(root, KEY, "2021"), {"a.bin": b"1"}, "f3")
    partition_files.write_artifact(partition_files.pointer_path(root, KEY, "2022"), {"a.bin": b"1"}, "f4")
    object_store.remove(partition_files.artifact_folder(partition_files.pointer_path(root, KEY, "2022")))
    object_store.put(partition_files.pointer_path(root, KEY, "2023"), b"{")
    object_store.put(partition_files.table_path(root, KEY, "2021-04"), b"no table")
    stamps = stamps_in(root)
    names = ["2021-01", "2021-02", "2021-03", "2021-04", "2021", "2022", "2023"]
    assert [stamps(KEY, name) for name in names] == [stored_stamp(root, KEY, name) for name in names]
    assert [name for name in names if stamps(KEY, name)] == ["2021-01", "2021-02", "2021"]


def test_values_between_ops_pass_through_the_store_and_go_with_their_asset(
    root: UPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = root / ".scratch"
    for step, value in (("fit.train", {"a": b"1", "b": b"2"}), ("fit.other", TABLE), ("later.train", {"a": b"3"})):
        place = scratch / "run" / step / "result"
        io_manager._write_scratch(place, value)
        found = io_manager._read_scratch(place)
        assert found.equals(value) if isinstance(value, pl.DataFrame) else found == value
    object_store.put(scratch / "old_run" / "fit.train" / "result" / "a", b"")
    io_manager.drop_scratch(root, "run", "fit")
    assert list(object_store.listed(scratch)) == ["old_run/fit.train/result/a", "run/later.train/result/a"]
    monkeypatch.setattr(io_manager, "SCRATCH_KEPT", timedelta(seconds=-5))
    io_manager.drop_scratch(root, "run", "fit")
    assert not object_store.listed(scratch)


def test_the_doctor_says_whether_the_bucket_is_there(store: dict[str, str]) -> None:
    assert doctor._store(data_root()) == doctor.Finding("ok", "data (QUANT_DATA)", store["QUANT_DATA"])
    assert doctor._store(UPath("s3://nobody-made-it/x")).level == "fix"


@pytest.mark.parametrize(
    ("address", "said"),
    [("ftp://host/data", "no store that the lab knows"), ("s3://", "names no bucket")],
)
def test_an_address_that_is_none_says_what_is_wanted(address: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANT_DATA", address)
    with pytest.raises(DataError, match=said):
        data_root()


@pytest.mark.slow
def test_a_whole_lab_in_the_store_equals_the_one_on_disk_and_a_second_run_finds_all_current(
    small_lab: SmallLab, store: dict[str, str], tmp_path: Path
) -> None:
    own = {name: os.environ[name] for name in store if name != "QUANT_DATA"}
    elsewhere = {"QUANT_DATA": f"s3://{BUCKET}/whole", "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    environment = lab_environment(tmp_path) | own | elsewhere
    for name in ("http_proxy", "HTTP_PROXY"):
        environment.pop(name)
    done = quant_here(COMMAND, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"s3://{BUCKET}/whole/demo/backtest_report/")
    place = UPath(elsewhere["QUANT_DATA"], use_listings_cache=False)
    assert remote_hashes(place) == small_lab.hashes()
    assert trials.load(place, "demo").height > 0
    names = list(object_store.listed(place))
    assert not [name for name in names if name.startswith(".scratch")]
    assert [name for name in names if name.startswith("mlflow/artifacts/")]
    before = object_store.listed(place / "demo")
    again = quant_here(COMMAND, environment)
    assert again.returncode == 0, again.stdout + again.stderr
    assert object_store.listed(place / "demo") == before


def remote_hashes(place: UPath) -> dict[str, str]:
    """As SmallLab.hashes."""
    found = {}
    for asset in STAGES:
        stamps = partition_files.read_remote_stamps(partition_files.asset_folder(place, dg.AssetKey(["demo", asset])))
        found |= {f"{asset}/{name}": stamp.content_hash for name, stamp in stamps.items()}
    return found
