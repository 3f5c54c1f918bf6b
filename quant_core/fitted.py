"""Fitted artifacts on disk: plain arrays (safetensors) and a manifest (JSON) of what the fit could see. Never pickle.

The manifest carries `fit_end`; `guard` refuses to apply the artifact to a row on or before it.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from quant_core.errors import DataError, LookaheadError

ARRAYS_FILE, MANIFEST_FILE = "arrays.safetensors", "manifest.json"
REMEDY = "materialize the model's partition again."


@dataclass(frozen=True)
class Manifest:
    """What was fitted, on which rows, by which code."""

    kind: str  # registered name of the model
    fit_start: date  # first training row
    fit_end: date  # last label_end_date used: the last session the fit knew
    n_rows: int
    columns: tuple[str, ...]  # inputs, in the order of the arrays
    data_hash: str
    config: dict[str, Any]
    seed: int
    code_version: str
    horizon_sessions: int
    mlflow_run_id: str | None = None


def save(directory: Path, arrays: Mapping[str, np.ndarray], manifest: Manifest) -> str:
    """Write both files, each by an atomic replace; returns the content hash."""
    from safetensors.numpy import save as to_bytes

    directory.mkdir(parents=True, exist_ok=True)
    digest = content_hash(arrays, manifest)
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    _replace(directory / ARRAYS_FILE, to_bytes(plain))
    _replace(directory / MANIFEST_FILE, (_to_json(manifest, content_hash=digest) + "\n").encode())
    return digest


def load(directory: Path) -> tuple[dict[str, np.ndarray], Manifest]:
    """Read an artifact back.

    Raises:
        DataError: a file is missing or unreadable, a manifest key is unknown, missing or of the wrong type, or arrays
            and manifest do not match the content hash (an interrupted write or an edited file).
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    raw = _read_manifest(directory / MANIFEST_FILE)
    expected = raw.pop("content_hash", None)
    manifest = _from_dict(raw, directory / MANIFEST_FILE)
    try:
        arrays = from_bytes((directory / ARRAYS_FILE).read_bytes())
    except (OSError, SafetensorError) as error:
        raise DataError(f"{directory / ARRAYS_FILE}: unreadable ({error}); {REMEDY}") from error
    found = content_hash(arrays, manifest)
    if found != expected:
        raise DataError(f"{directory}: content hash is {found}, the manifest says {expected}; {REMEDY}")
    return arrays, manifest


def content_hash(arrays: Mapping[str, np.ndarray], manifest: Manifest) -> str:
    """SHA-256 of arrays and manifest, equal between reruns: the tracking run's id is left out and no clock is read."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.tobytes())
    digest.update(_to_json(manifest, mlflow_run_id=None).encode())
    return digest.hexdigest()


def frame_hash(table: pl.DataFrame) -> str:
    """SHA-256 of a table's column names, dtypes, validity and values, in row order."""
    digest = hashlib.sha256()
    for column in table.iter_columns():
        digest.update(f"{column.name}|{column.dtype}|{len(column)}|".encode())
        if column.null_count():
            digest.update(column.is_null().to_numpy().tobytes())
        if column.dtype == pl.Boolean:
            column = column.cast(pl.UInt8)
        if column.dtype.is_numeric() or column.dtype.is_temporal():
            digest.update(column.to_physical().fill_null(0).to_numpy().tobytes())
        else:
            digest.update("\x1f".join(column.cast(pl.String).fill_null("").to_list()).encode())
    return digest.hexdigest()


def guard(manifest: Manifest, features: pl.DataFrame) -> None:
    """Refuse rows that the artifact's fit has already seen.

    Raises:
        LookaheadError: a row of `features` is dated on or before `fit_end`.
    """
    seen = features.filter(pl.col("date") <= manifest.fit_end)
    if seen.is_empty():
        return
    keys = [name for name in ("ticker", "date") if name in features.columns]
    first = " ".join(map(str, seen.select(keys).row(0)))
    raise LookaheadError(
        f"{manifest.kind}: {seen.height} rows are dated on or before fit_end {manifest.fit_end}, first {first}; "
        "use the artifact of an earlier fold for these rows, or drop them."
    )


def code_version() -> str:
    """Version of the installed package, or "source" where it runs uninstalled."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("quant-lab")
    except PackageNotFoundError:
        return "source"


def _to_json(manifest: Manifest, **override: object) -> str:
    plain = asdict(manifest) | {"fit_start": manifest.fit_start.isoformat(), "fit_end": manifest.fit_end.isoformat()}
    return json.dumps(plain | override, sort_keys=True, indent=1)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: unreadable ({error}); {REMEDY}") from error
    if not isinstance(raw, dict):
        raise DataError(f"{path}: holds a {type(raw).__name__}, wanted an object; {REMEDY}")
    return raw


def _from_dict(raw: dict[str, Any], path: Path) -> Manifest:
    wanted = {field.name for field in fields(Manifest)}
    if raw.keys() != wanted:
        missing, unknown = sorted(wanted - raw.keys()), sorted(raw.keys() - wanted)
        raise DataError(f"{path}: missing keys {missing}, unknown keys {unknown}; {REMEDY}")
    try:
        typed = raw | {
            "fit_start": date.fromisoformat(raw["fit_start"]),
            "fit_end": date.fromisoformat(raw["fit_end"]),
            "columns": tuple(raw["columns"]),
        }
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: a value has the wrong type ({error}); {REMEDY}") from error
    return Manifest(**typed)


def _replace(path: Path, payload: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(payload)
    temporary.replace(path)
