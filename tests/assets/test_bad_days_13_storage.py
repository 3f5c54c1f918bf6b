"""Storage in the small: what a hash covers, whose old versions go, what is swept, in which order tables come."""

import os
import time
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from upath import UPath

from quant_assets.storage import partition_files

KEY = dg.AssetKey(["demo", "features"])


def table(*values: float) -> pl.DataFrame:
    return pl.DataFrame({"date": [date(2021, 3, 1)] * len(values), "x": values})


def artifact(folder: Path, partition: str, **files: bytes) -> partition_files.Stamp:
    return partition_files.write_artifact(partition_files.pointer_path(UPath(folder), KEY, partition), files, "made")


def test_an_artifacts_hash_covers_names_and_where_a_file_ends_and_not_their_order(tmp_path: Path) -> None:
    hashes = [
        artifact(tmp_path, "1", a=b"12", b=b"3"),
        artifact(tmp_path, "2", a=b"1", b=b"23"),
        artifact(tmp_path, "3", a=b"12", c=b"3"),
        artifact(tmp_path, "4", a=b"3", b=b"12"),
    ]
    assert len({stamp.content_hash for stamp in hashes}) == 4
    assert artifact(tmp_path, "5", b=b"3", a=b"12").content_hash == hashes[0].content_hash


def test_a_new_version_removes_its_own_old_one_and_no_other_partitions(tmp_path: Path) -> None:
    artifact(tmp_path, "2020", a=b"1")
    artifact(tmp_path, "2021", a=b"1")
    artifact(tmp_path, "2021", a=b"2")
    for partition, data in (("2020", b"1"), ("2021", b"2")):
        pointer = partition_files.pointer_path(UPath(tmp_path), KEY, partition)
        assert partition_files.read_artifact(pointer) == {"a": data}
    assert len([path for path in (tmp_path / "demo" / "features").iterdir() if path.is_dir()]) == 2


def test_the_same_artifact_again_keeps_its_files(tmp_path: Path) -> None:
    first = artifact(tmp_path, "2021", a=b"1", b=b"2")
    assert artifact(tmp_path, "2021", a=b"1", b=b"2") == first
    pointer = partition_files.pointer_path(UPath(tmp_path), KEY, "2021")
    assert partition_files.read_stamp(pointer) == first
    assert partition_files.read_artifact(pointer) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("lost", ["a", "b"])
def test_an_artifact_that_lost_any_of_its_files_does_not_count(tmp_path: Path, lost: str) -> None:
    artifact(tmp_path, "2021", a=b"1", b=b"2")
    pointer = partition_files.pointer_path(UPath(tmp_path), KEY, "2021")
    (partition_files.artifact_folder(pointer) / lost).unlink()
    assert partition_files.read_stamp(pointer) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"folder": "x", "files": [], "content_hash": "h"}'])
def test_a_pointer_that_says_too_little_is_no_stamp(tmp_path: Path, text: str) -> None:
    pointer = UPath(tmp_path / "2021.json")
    pointer.write_text(text)
    assert partition_files.read_stamp(pointer) is None


def test_leftovers_are_swept_after_an_hour_files_and_folders_alike_and_nothing_else(tmp_path: Path) -> None:
    ages = {".a.tmp": 61, ".b.tmp": 59, ".folder.tmp": 61, "c.tmp": 61, ".d.parquet": 61}
    for name, minutes in ages.items():
        path = tmp_path / name
        if name == ".folder.tmp":
            path.mkdir()
            (path / "inside").write_bytes(b"half")
        else:
            path.write_bytes(b"half")
        then = time.time() - minutes * 60
        os.utime(path, (then, then))
    partition_files.write_table(UPath(tmp_path / "2021-03.parquet"), table(1.0), "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.tmp", ".d.parquet", "2021-03.parquet", "c.tmp"]


@pytest.mark.parametrize("place", ["plain", "memory"])
def test_tables_are_read_in_the_order_asked_for(tmp_path: Path, place: str) -> None:
    root = UPath(tmp_path / "with [brackets]") if place == "plain" else UPath("memory://order")
    paths = [partition_files.table_path(root, KEY, month) for month in ("2021-04", "2021-03")]
    for path, value in zip(paths, (4.0, 3.0), strict=True):
        partition_files.write_table(path, table(value), "x")
    assert partition_files.read_tables(paths).collect()["x"].to_list() == [4.0, 3.0]
    assert partition_files.read_tables(paths[::-1]).collect()["x"].to_list() == [3.0, 4.0]


def test_the_stamp_of_a_table_carries_both_of_its_hashes(tmp_path: Path) -> None:
    path = partition_files.table_path(UPath(tmp_path), KEY, "2021-03")
    stamp = partition_files.write_table(path, table(1.0), "made from this")
    assert partition_files.read_stamp(path) == stamp
    assert stamp.fingerprint == "made from this"
    assert stamp.content_hash != partition_files.write_table(path, table(2.0), "made from this").content_hash
    reordered = (
        partition_files.write_table(path, table(1.0, 2.0), "x"),
        partition_files.write_table(path, table(2.0, 1.0), "x"),
    )
    assert reordered[0].content_hash != reordered[1].content_hash
