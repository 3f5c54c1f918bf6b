"""Tables inside an artifact: named frames to Parquet bytes and back."""

import io

import polars as pl

from quant_core.errors import DataError


def table_files(**tables: pl.DataFrame) -> dict[str, bytes]:
    """Each frame as `<name>.parquet`; equal frames give equal bytes."""
    return {f"{name}.parquet": _bytes(table) for name, table in tables.items()}


def _bytes(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.rechunk().write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def read_table(files: dict[str, bytes], name: str) -> pl.DataFrame:
    """The frame that `table_files` stored as `name`."""
    if f"{name}.parquet" not in files:
        raise DataError(
            f"artifact: {name}.parquet is missing (found {sorted(files)}); materialize the upstream partition again."
        )
    return pl.read_parquet(io.BytesIO(files[f"{name}.parquet"]))
