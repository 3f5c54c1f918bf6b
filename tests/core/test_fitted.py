"""Artifacts come back bit for bit, a broken one is refused, and none is applied to what its fit has seen."""

import json
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_core.errors import DataError, LookaheadError
from quant_core.fitted import ARRAYS_FILE, CURVE_FILE, MANIFEST_FILE, Fitted, Manifest, frame_hash, guard

ARRAYS = {"weights": np.array([0.1, -2.5, np.pi]), "steps": np.arange(6, dtype=np.int32).reshape(2, 3)}
CURVE = pl.DataFrame({"epoch": [0, 1], "loss": [0.7, 0.5]})
MANIFEST = Manifest(
    kind="ridge",
    fit_start=date(2016, 1, 1),
    fit_end=date(2020, 12, 23),
    n_rows=1200,
    columns=("momentum_126d", "gap_1d"),
    data_hash="ab" * 32,
    config={"alpha": 10.0, "columns": None, "seed": 3},
    code_version="0.1.0",
    facts={"horizon_sessions": 5},
)
FITTED = Fitted(ARRAYS, MANIFEST, CURVE)


def test_arrays_manifest_and_curve_come_back_equal() -> None:
    found = Fitted.from_bytes(FITTED.to_bytes())
    assert found.manifest == MANIFEST
    assert found.curve.equals(CURVE)
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_a_model_that_is_solved_has_an_empty_curve_and_no_facts_it_did_not_give() -> None:
    found = Fitted.from_bytes(Fitted(ARRAYS, replace(MANIFEST, facts={})).to_bytes())
    assert (found.curve.columns, found.curve.height, found.manifest.facts) == (["epoch"], 0, {})


def test_a_transposed_array_is_stored_by_value_not_by_memory_order() -> None:
    files = Fitted({"steps": ARRAYS["steps"].T}, MANIFEST).to_bytes()
    np.testing.assert_array_equal(Fitted.from_bytes(files).arrays["steps"], ARRAYS["steps"].T)


def test_a_rerun_has_the_same_bytes_and_hash_and_any_change_another() -> None:
    assert FITTED.to_bytes() == Fitted(dict(ARRAYS), replace(MANIFEST), CURVE.clone()).to_bytes()
    nudged = ARRAYS | {"weights": np.nextafter(ARRAYS["weights"], 1.0)}
    others = (
        Fitted(nudged, MANIFEST, CURVE),
        Fitted(ARRAYS, replace(MANIFEST, fit_end=date(2020, 12, 24)), CURVE),
        Fitted(ARRAYS, replace(MANIFEST, facts={"horizon_sessions": 21}), CURVE),
        Fitted(ARRAYS, MANIFEST, CURVE.with_columns(loss=pl.lit(0.5))),
    )
    assert len({FITTED.content_hash, *(other.content_hash for other in others)}) == 5


def _edited(**change: Any) -> dict[str, bytes]:
    files = FITTED.to_bytes()
    content = json.loads(files[MANIFEST_FILE]) | change
    kept = {key: value for key, value in content.items() if value != "drop"}
    return files | {MANIFEST_FILE: json.dumps(kept).encode()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"code_version": "drop"}, "missing keys \\['code_version'\\]"),
        ({"vendor": 1}, "unknown keys \\['vendor'\\]"),
        ({"fit_end": "soon"}, "wrong type"),
        ({"fit_end": "2019-12-31"}, "content hash"),
        ({"content_hash": "drop"}, "content hash"),
    ],
)
def test_an_edited_manifest_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Fitted.from_bytes(_edited(**change))


@pytest.mark.parametrize(
    ("file", "payload"),
    [
        (MANIFEST_FILE, b"{not json"), (MANIFEST_FILE, b"[]"), (MANIFEST_FILE, b"\xff\xfe"),
        (ARRAYS_FILE, b"short"), (CURVE_FILE, b"no parquet"),
    ],
)  # fmt: skip
def test_an_unreadable_file_is_refused_where_it_is(file: str, payload: bytes) -> None:
    with pytest.raises(DataError, match=r"nifty50/forecaster_ridge 2021.*materialize the model's partition again"):
        Fitted.from_bytes(FITTED.to_bytes() | {file: payload}, "nifty50/forecaster_ridge 2021")


@pytest.mark.parametrize("file", [ARRAYS_FILE, MANIFEST_FILE, CURVE_FILE])
def test_a_missing_file_is_named(file: str) -> None:
    files = FITTED.to_bytes()
    del files[file]
    with pytest.raises(DataError, match=f"{file} is missing"):
        Fitted.from_bytes(files)


def test_arrays_of_another_fit_do_not_pass_for_this_one() -> None:
    other = Fitted({"weights": np.zeros(3)}, MANIFEST, CURVE).to_bytes()
    with pytest.raises(DataError, match="content hash"):
        Fitted.from_bytes(FITTED.to_bytes() | {ARRAYS_FILE: other[ARRAYS_FILE]})


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
