"""What a fit leaves: plain arrays (safetensors), a manifest (JSON) of what the fit could see, its curve. Never pickle.

One shape for everything that is fitted: forecaster, encoder, regime model, policy. The manifest carries `fit_end`;
`guard` refuses what an artifact says of a row on or before it.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from quant_core.errors import DataError, LookaheadError

ARRAYS_FILE, MANIFEST_FILE = "arrays.safetensors", "manifest.json"
CURVE_FILE, VALIDATION_FILE = "curve.parquet", "validation.parquet"
REMEDY = "materialize the model's partition again."


class Log(Protocol):
    """Where a fit tells how it goes: (epoch, values by name)."""

    def __call__(self, epoch: int, values: Mapping[str, float], /) -> None: ...


@dataclass(frozen=True)
class Journal:
    """A log that also offers a folder of its own, in which a long fit may keep what it needs to go on after a kill."""

    tell: Callable[[int, Mapping[str, float]], None]
    folder: Path

    def __call__(self, epoch: int, values: Mapping[str, float], /) -> None:
        self.tell(epoch, values)


def journal_folder(log: Log) -> Path | None:
    """Where a fit may keep its checkpoints; None where its log has no folder."""
    return log.folder if isinstance(log, Journal) else None


def replace_file(path: Path, content: bytes) -> None:
    """Replace a checkpoint whole or leave it as it is: a temporary name, flushed to the disk, then a rename.

    Raises:
        OSError: the disk is full or the folder cannot be written; the former file is still there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(OSError):  # a disk that refuses even that changes nothing for the reader
            temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Manifest:
    """What was fitted, on which rows, by which code."""

    kind: str  # registered name of the model
    fit_start: date  # first training row
    fit_end: date  # last label_end_date used, or last row where nothing is labelled: the last session the fit knew
    n_rows: int
    columns: tuple[str, ...]  # inputs, in the order of the arrays
    data_hash: str
    config: dict[str, Any]  # settings as given, the seed among them
    code_version: str
    facts: dict[str, Any] = field(default_factory=dict)  # what else the model must know of its fit, as JSON has it


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted model.

    Args:
        arrays: by name, of any shape.
        curve: one row an epoch, `epoch` and what was logged; no row for a model that is solved, not trained.
        validation: what the fit said of the newest part of its window while it had not learned from it, for whatever
            is chosen afterwards (calibration, ensembles); a forecaster's has date, ticker, score. Empty where there is
            none.
    """

    arrays: Mapping[str, np.ndarray]
    manifest: Manifest
    curve: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"epoch": pl.Int32}))
    validation: pl.DataFrame = field(default_factory=pl.DataFrame)

    @property
    def content_hash(self) -> str:
        """SHA-256 of arrays, manifest, curve and validation, equal between reruns: no clock and no tracker is read."""
        digest = digest_of(self.arrays)
        digest.update(_to_json(self.manifest).encode())
        digest.update(frame_hash(self.curve).encode())
        digest.update(frame_hash(self.validation).encode())
        return digest.hexdigest()

    def to_bytes(self) -> dict[str, bytes]:
        """File name -> content; equal fits give equal bytes."""
        from safetensors.numpy import save

        plain = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        manifest = _to_json(self.manifest, content_hash=self.content_hash) + "\n"
        return {
            ARRAYS_FILE: save(plain),
            MANIFEST_FILE: manifest.encode(),
            CURVE_FILE: _to_parquet(self.curve),
            VALIDATION_FILE: _to_parquet(self.validation),
        }

    @classmethod
    def from_bytes(cls, files: Mapping[str, bytes], where: str = "artifact") -> "Fitted":
        """What `to_bytes` gave.

        Args:
            where: what the reader knows the artifact as, e.g. "nifty50/forecaster_ridge 2021".
        Raises:
            DataError: a file is missing or unreadable, a manifest key is unknown, missing or of the wrong type, or the
                files do not match the content hash (an interrupted write or an edited file).
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        absent = [name for name in (ARRAYS_FILE, MANIFEST_FILE, CURVE_FILE, VALIDATION_FILE) if name not in files]
        if absent:
            raise DataError(f"{where}: {', '.join(absent)} is missing (found {sorted(files)}); {REMEDY}")
        raw = _read_manifest(files[MANIFEST_FILE], f"{where}/{MANIFEST_FILE}")
        expected = raw.pop("content_hash", None)
        manifest = _from_dict(raw, f"{where}/{MANIFEST_FILE}")
        try:
            arrays = load(files[ARRAYS_FILE])
            curve, validation = (pl.read_parquet(io.BytesIO(files[name])) for name in (CURVE_FILE, VALIDATION_FILE))
        except (SafetensorError, pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{where}: unreadable ({error}); {REMEDY}") from error
        found = cls(arrays, manifest, curve, validation)
        if found.content_hash != expected:
            raise DataError(f"{where}: content hash is {found.content_hash}, the manifest says {expected}; {REMEDY}")
        return found


def guard(manifest: Manifest, rows: pl.DataFrame) -> None:
    """Refuse what is said of rows that the artifact's fit has already seen.

    Raises:
        LookaheadError: a row is dated on or before `fit_end`.
    """
    seen = rows.filter(pl.col("date") <= manifest.fit_end)
    if seen.is_empty():
        return
    keys = [name for name in ("ticker", "date") if name in rows.columns]
    first = " ".join(map(str, seen.select(keys).row(0)))
    raise LookaheadError(
        f"{manifest.kind}: {seen.height} rows are dated on or before fit_end {manifest.fit_end}, first {first}; "
        "use the artifact of an earlier fold for these rows, or drop them."
    )


def digest_of(arrays: Mapping[str, np.ndarray]) -> Any:
    """The hash object (SHA-256) of arrays: names, types, shapes and bytes; ready to take in more."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest


def curve_table(rows: Sequence[Mapping[str, float]]) -> pl.DataFrame:
    """A row an epoch, as `Fitted.curve` has it."""
    return pl.DataFrame(rows).with_columns(pl.col("epoch").cast(pl.Int32), pl.exclude("epoch").cast(pl.Float64))


def frame_hash(table: pl.DataFrame) -> str:
    """SHA-256 of a table's column names, dtypes, validity and values, in row order."""
    digest = hashlib.sha256()
    for column in table.iter_columns():
        digest.update(f"{column.name}|{column.dtype}|{len(column)}|".encode())
        has_nulls = column.null_count() > 0
        if has_nulls:
            digest.update(column.is_null().to_numpy().tobytes())
        if column.dtype == pl.Boolean:
            column = column.cast(pl.UInt8)
        if column.dtype.is_numeric() or column.dtype.is_temporal():
            values = column.to_physical()
            digest.update((values.fill_null(0) if has_nulls else values).to_numpy().tobytes())
        else:
            digest.update("\x1f".join(column.cast(pl.String).fill_null("").to_list()).encode())
    return digest.hexdigest()


def plain_settings(config: Any) -> dict[str, Any]:
    """A settings dataclass as JSON has it: what `Manifest.config` holds."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    return plain


def code_version() -> str:
    """Version of the installed package, or "source" where it runs uninstalled."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("quant-lab")
    except PackageNotFoundError:
        return "source"


def _to_parquet(table: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    table.write_parquet(content)
    return content.getvalue()


def _to_json(manifest: Manifest, **more: object) -> str:
    plain = asdict(manifest) | {"fit_start": manifest.fit_start.isoformat(), "fit_end": manifest.fit_end.isoformat()}
    return json.dumps(plain | more, sort_keys=True, indent=1)


def _read_manifest(content: bytes, where: str) -> dict[str, Any]:
    try:
        raw = json.loads(content.decode("utf-8"))
    except ValueError as error:
        raise DataError(f"{where}: unreadable ({error}); {REMEDY}") from error
    if not isinstance(raw, dict):
        raise DataError(f"{where}: holds a {type(raw).__name__}, wanted an object; {REMEDY}")
    return raw


def _from_dict(raw: dict[str, Any], where: str) -> Manifest:
    wanted = {field.name for field in fields(Manifest)}
    if raw.keys() != wanted:
        missing, unknown = sorted(wanted - raw.keys()), sorted(raw.keys() - wanted)
        raise DataError(f"{where}: missing keys {missing}, unknown keys {unknown}; {REMEDY}")
    try:
        typed = raw | {
            "fit_start": date.fromisoformat(raw["fit_start"]),
            "fit_end": date.fromisoformat(raw["fit_end"]),
            "columns": tuple(raw["columns"]),
        }
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: a value has the wrong type ({error}); {REMEDY}") from error
    return Manifest(**typed)
