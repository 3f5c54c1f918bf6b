"""Storage: whole partitions or none, equal content equal hash, files that outside names cannot escape."""

import os
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from upath import UPath

from quant_assets.storage import partition_files
from quant_assets.storage.paths import safe_name
from quant_core.errors import DataError

TABLE = pl.DataFrame({"date": [date(2021, 3, 1), date(2021, 3, 2)], "ticker": ["TCS", "TCS"], "x": [1.0, None]})
KEY = dg.AssetKey(["demo", "features"])


def test_equal_tables_have_equal_content_hashes_whatever_they_were_made_from(tmp_path: Path) -> None:
    one = partition_files.write_table(UPath(tmp_path / "a.parquet"), TABLE, "made from one thing")
    two = partition_files.write_table(
        UPath(tmp_path / "b.parquet"), pl.concat([TABLE.head(1), TABLE.tail(1)]), "made from another"
    )
    three = partition_files.write_table(
        UPath(tmp_path / "c.parquet"), TABLE.with_columns(x=pl.lit(1.0)), "made from one thing"
    )
    assert one.content_hash == two.content_hash != three.content_hash
    assert partition_files.read_stamp(UPath(tmp_path / "b.parquet")) == two


def test_a_write_that_fails_leaves_the_old_partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = UPath(tmp_path / "2021-03.parquet")
    old = partition_files.write_table(path, TABLE, "old")

    def crash(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="disk full"):
        partition_files.write_table(path, TABLE.head(1), "new")
    assert partition_files.read_stamp(path) == old
    assert pl.read_parquet(str(path)).height == 2


def test_what_a_killed_writer_left_behind_is_swept_once_it_is_old(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".2020-01.parquet.aa.tmp", tmp_path / ".2020-02.parquet.bb.tmp"
    old.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(old, (1, 1))
    partition_files.write_table(UPath(tmp_path / "2021-03.parquet"), TABLE, "x")
    assert not old.exists()
    assert fresh.exists()


def test_an_artifact_is_replaced_as_a_whole_and_its_old_version_removed(tmp_path: Path) -> None:
    pointer = partition_files.pointer_path(UPath(tmp_path), KEY, "2021")
    partition_files.write_artifact(pointer, {"a.bin": b"1", "b.bin": b"2"}, "f1")
    first = partition_files.artifact_folder(pointer)
    partition_files.write_artifact(pointer, {"a.bin": b"3"}, "f2")
    assert partition_files.read_artifact(pointer) == {"a.bin": b"3"}
    assert not first.exists()


def test_an_artifact_that_lost_a_file_does_not_count_as_stored(tmp_path: Path) -> None:
    pointer = partition_files.pointer_path(UPath(tmp_path), KEY, "2021")
    partition_files.write_artifact(pointer, {"a.bin": b"1"}, "f1")
    (partition_files.artifact_folder(pointer) / "a.bin").unlink()
    assert partition_files.read_stamp(pointer) is None


def test_a_truncated_table_does_not_count_as_stored(tmp_path: Path) -> None:
    path = UPath(tmp_path / "2021-03.parquet")
    partition_files.write_table(path, TABLE, "x")
    path.write_bytes(path.read_bytes()[:100])
    assert partition_files.read_stamp(path) is None


def test_tables_and_artifacts_can_live_in_an_object_store() -> None:
    root = UPath("memory://lab")
    path, pointer = partition_files.table_path(root, KEY, "2021-03"), partition_files.pointer_path(root, KEY, "2021")
    stamp = partition_files.write_table(path, TABLE, "x")
    partition_files.write_artifact(pointer, {"a.bin": b"1"}, "y")
    assert partition_files.read_stamp(path) == stamp
    assert partition_files.read_tables([path]).collect().equals(TABLE)
    assert partition_files.read_artifact(pointer) == {"a.bin": b"1"}


@pytest.mark.parametrize("name", ["../etc", "a/b", "", ".hidden", "a\0b", "a..b"])
def test_a_name_from_outside_cannot_become_a_path(name: str) -> None:
    with pytest.raises(DataError, match="cannot name a file"):
        safe_name(name, "partition")


def test_a_pointer_that_was_tampered_with_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    pointer = UPath(tmp_path / "2021.json")
    pointer.write_text('{"folder": "../secrets", "files": ["a"], "content_hash": "h", "fingerprint": "f"}')
    with pytest.raises(DataError, match="cannot name a file"):
        partition_files.read_artifact(pointer)
