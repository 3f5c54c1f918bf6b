"""Artifacts come back bit for bit, a broken one is refused, and none is applied to what its fit has seen."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_core.errors import DataError, LookaheadError
from quant_core.fitted import ARRAYS_FILE, MANIFEST_FILE, Manifest, content_hash, frame_hash, guard, load, save

ARRAYS = {"weights": np.array([0.1, -2.5, np.pi]), "steps": np.arange(6, dtype=np.int32).reshape(2, 3)}
MANIFEST = Manifest(
    kind="ridge",
    fit_start=date(2016, 1, 1),
    fit_end=date(2020, 12, 23),
    n_rows=1200,
    columns=("momentum_126d", "gap_1d"),
    data_hash="ab" * 32,
    config={"alpha": 10.0, "columns": None},
    seed=3,
    code_version="0.1.0",
    horizon_sessions=5,
    mlflow_run_id="run-1",
)


def test_arrays_and_manifest_come_back_equal(tmp_path: Path) -> None:
    save(tmp_path / "fold", ARRAYS, MANIFEST)
    arrays, manifest = load(tmp_path / "fold")
    assert manifest == MANIFEST
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_a_transposed_array_is_stored_by_value_not_by_memory_order(tmp_path: Path) -> None:
    save(tmp_path, {"steps": ARRAYS["steps"].T}, MANIFEST)
    np.testing.assert_array_equal(load(tmp_path)[0]["steps"], ARRAYS["steps"].T)


def test_a_rerun_has_the_same_content_hash_and_any_change_another(tmp_path: Path) -> None:
    original = content_hash(ARRAYS, MANIFEST)
    rerun = replace(MANIFEST, mlflow_run_id="run-2")
    assert save(tmp_path / "a", ARRAYS, MANIFEST) == save(tmp_path / "b", ARRAYS, rerun) == original
    nudged = ARRAYS | {"weights": np.nextafter(ARRAYS["weights"], 1.0)}
    assert content_hash(nudged, MANIFEST) != original
    assert content_hash(ARRAYS, replace(MANIFEST, fit_end=date(2020, 12, 24))) != original


def _edit(directory: Path, **change: Any) -> None:
    path = directory / MANIFEST_FILE
    content = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in content.items() if value != "drop"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "drop"}, "missing keys \\['seed'\\]"),
        ({"vendor": 1}, "unknown keys \\['vendor'\\]"),
        ({"fit_end": "soon"}, "wrong type"),
        ({"fit_end": "2019-12-31"}, "content hash"),
        ({"content_hash": "drop"}, "content hash"),
    ],
)
def test_an_edited_manifest_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    save(tmp_path, ARRAYS, MANIFEST)
    _edit(tmp_path, **change)
    with pytest.raises(DataError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    ("file", "payload"),
    [(MANIFEST_FILE, b"{not json"), (MANIFEST_FILE, b"[]"), (MANIFEST_FILE, b"\xff\xfe"), (ARRAYS_FILE, b"short")],
)
def test_an_unreadable_file_is_refused_by_name(tmp_path: Path, file: str, payload: bytes) -> None:
    save(tmp_path, ARRAYS, MANIFEST)
    (tmp_path / file).write_bytes(payload)
    with pytest.raises(DataError, match=file):
        load(tmp_path)


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=MANIFEST_FILE):
        load(tmp_path)
    save(tmp_path, ARRAYS, MANIFEST)
    (tmp_path / ARRAYS_FILE).unlink()
    with pytest.raises(DataError, match=ARRAYS_FILE):
        load(tmp_path)


def test_arrays_of_another_fit_do_not_pass_for_this_one(tmp_path: Path) -> None:
    save(tmp_path / "a", ARRAYS, MANIFEST)
    save(tmp_path / "b", {"weights": np.zeros(3)}, MANIFEST)
    (tmp_path / "a" / ARRAYS_FILE).write_bytes((tmp_path / "b" / ARRAYS_FILE).read_bytes())
    with pytest.raises(DataError, match="content hash"):
        load(tmp_path / "a")


def test_a_row_on_the_last_day_of_the_fit_is_refused_and_the_next_day_is_not() -> None:
    seen = pl.DataFrame({"date": [date(2021, 1, 1), date(2020, 12, 23)], "ticker": ["TCS", "INFY"]})
    with pytest.raises(LookaheadError, match=r"1 rows .*2020-12-23, first INFY 2020-12-23.*earlier fold"):
        guard(MANIFEST, seen)
    guard(MANIFEST, seen.with_columns(date=pl.lit(date(2020, 12, 24))))


def test_the_table_hash_tells_null_from_nan_from_zero_and_follows_row_order() -> None:
    values: list[list[float | None]] = [[0.0, 1.0], [None, 1.0], [float("nan"), 1.0], [1.0, 0.0]]
    frames = [pl.DataFrame({"x": pl.Series(v, dtype=pl.Float64), "ok": [True, None]}) for v in values]
    assert len({frame_hash(frame) for frame in frames}) == 4
    assert frame_hash(frames[0]) == frame_hash(frames[0].clone())
    assert frame_hash(frames[0].rename({"x": "y"})) != frame_hash(frames[0])
    assert frame_hash(pl.DataFrame({"t": ["AB", "C"]})) != frame_hash(pl.DataFrame({"t": ["A", "BC"]}))
