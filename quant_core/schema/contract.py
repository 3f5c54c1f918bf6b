"""Holding a table against its contract: a broken one is a DataError that names the row."""

from collections.abc import Sequence
from typing import Any

import dataframely as dy
import polars as pl

from quant_core.errors import DataError

#: Columns that a table may lack, as older stored months and hand-made tables do: they are null then.
OPTIONAL = {"series": pl.String, "terminal_factor": pl.Float64, "terminal_into": pl.String}


def dtypes_of(schema: type[dy.Schema]) -> dict[str, pl.DataType]:
    """Type of each of the schema's columns, in its order."""
    return {name: column.dtype for name, column in schema.columns().items()}


def table_of(schema: type[dy.Schema], rows: Sequence[Any]) -> pl.DataFrame:
    """Rows (tuples, or mappings by column) as a table in the schema's types; NaN is null."""
    table = pl.DataFrame(rows, schema=dtypes_of(schema), orient="row")
    return table.with_columns(pl.selectors.float().fill_nan(None))


def validate(table: pl.DataFrame, schema: type[dy.Schema], where: str, remedy: str) -> pl.DataFrame:
    """The schema's columns of `table`, in its order, or a DataError that names column, count and first bad row.

    Args:
        table: any frame; columns beyond the schema's are kept behind them, OPTIONAL ones that it lacks are added.
        schema: one of the classes above.
        where: what the reader knows the table as, e.g. "nifty50/clean_prices 2021-03".
        remedy: what to do about it.
    """
    wanted = list(schema.column_names())
    lacking = [name for name in wanted if name in OPTIONAL and name not in table.columns and _is_nullable(schema, name)]
    table = table.with_columns(pl.lit(None, OPTIONAL[name]).alias(name) for name in lacking)
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise DataError(f"{where}: columns {missing} are missing (found {table.columns}); {remedy}")
    ordered = table.select(*wanted, pl.exclude(wanted))
    dtypes = dtypes_of(schema)
    for name in wanted:
        found = ordered.schema[name]
        if not dtypes[name] == found:
            raise DataError(f"{where}: column {name} is {found}, wanted {dtypes[name]}; {remedy}")
    result = schema.filter(ordered.select(wanted))
    failures = result.failure
    if len(failures):
        rules = ", ".join(f"{rule} ({count} rows)" for rule, count in sorted(failures.counts().items()))
        first = failures.invalid().head(1).to_dicts()[0]
        raise DataError(f"{where}: {rules}; first bad row {first}; {remedy}")
    return ordered


def _is_nullable(schema: type[dy.Schema], name: str) -> bool:
    return bool(schema.columns()[name].nullable)
