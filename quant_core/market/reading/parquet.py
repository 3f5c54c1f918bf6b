"""The rows of a Parquet file of prices under the lab's names and types.

Typed columns are handed on lazily. Dates and numbers that it holds as text go through the grammar that all text does.
"""

from dataclasses import replace
from functools import lru_cache

import polars as pl

from quant_core.errors import DataError
from quant_core.market.problems import Problem, in_file, shown
from quant_core.market.reading.columns import NUMBERS, TEXTS, Layout
from quant_core.market.reading.opened import TEXTUAL, Opened, without_rows
from quant_core.market.reading.opening import FileStamp
from quant_core.market.reading.values import Grammar, Read, read_values, turnover_unit, with_units

INDIA_TIME = "Asia/Kolkata"
#: Rows from which the unit of a typed turnover is told.
_SAMPLE = 5000
_MOST_SHARES = 2**63 - 1


def text_columns(opened: Opened) -> list[str]:
    """Lab columns whose values need a grammar: dates and numbers held as text, dates held as figures."""
    types = dict(opened.schema)
    return [
        name
        for name, column, _ in opened.layout.columns
        if ((name in NUMBERS or name == "date") and types[column].base_type() in TEXTUAL)
        or (name == "date" and types[column].is_numeric())
    ]


def typed_rows(opened: Opened) -> tuple[pl.LazyFrame, tuple[Problem, ...]]:
    """The rows of a file without `text_columns`, lazily; a column `_lost` marks those with a number that is none."""
    file, types = opened.stamp, dict(opened.schema)
    frame = pl.scan_parquet(file.path)
    layout, problems = _checked_unit(opened)
    columns, lost = [], []
    for name, column, _ in layout.columns:
        value = pl.col(column)
        if name == "date":
            value = _typed_date(value, types[column], opened)
        elif name in NUMBERS:
            if types[column].is_float() or types[column] == pl.UInt64:
                lost.append(_is_lost(value, types[column], name, layout))
            value = _typed_number(value, types[column], name, layout, file)
        elif name in TEXTS:
            value = _typed_text(value, types[column], name, file)
        columns.append(value.alias(name))
    marked = pl.any_horizontal(lost).fill_null(False) if lost else pl.lit(False)
    return frame.select(*columns, marked.alias("_lost")), problems + _undated(opened)


@lru_cache(maxsize=4096)
def _undated(opened: Opened) -> tuple[Problem, ...]:
    """What is said of rows of a typed file that have no date, and of one without rows."""
    column = pl.col(opened.layout.column("date") or "")
    counts = pl.scan_parquet(opened.stamp.path).select(pl.len(), column.null_count().alias("undated")).collect()
    n_rows, n_undated = counts.row(0)
    if not n_rows:
        return (without_rows(opened),)
    if not n_undated:
        return ()
    what = f"{n_undated} rows have no date and are left out"
    return (in_file("undated", opened.stamp.name, what, "complete or remove them"),)


@lru_cache(maxsize=64)
def _checked(opened: Opened) -> tuple[float, tuple[Problem, ...]]:
    columns = {name: column for name, column, _ in opened.layout.columns}
    wanted = [name for name in ("turnover_inr", "volume_shares", "close_inr") if name in columns]
    head = pl.scan_parquet(opened.stamp.path).head(_SAMPLE)
    rows = head.select(pl.col(columns[name]).cast(pl.Float64, strict=False).alias(name) for name in wanted).collect()
    scale, problems = turnover_unit(rows, opened.layout, opened.stamp.name)
    return scale, tuple(problems)


def _checked_unit(opened: Opened) -> tuple[Layout, tuple[Problem, ...]]:
    if opened.layout.column("turnover_inr") is None or opened.layout.format == "lab":
        return opened.layout, ()
    scale, problems = _checked(opened)
    return replace(opened.layout, turnover_scale=scale), problems


def _typed_date(value: pl.Expr, dtype: pl.DataType, opened: Opened) -> pl.Expr:
    file = opened.stamp
    if dtype == pl.Date:
        return value
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone:
            return value.dt.convert_time_zone(INDIA_TIME).dt.date()
        if _maybe_midnights(opened):
            raise DataError(
                f"{file.name}: times of 18:30 without a zone, midnights in India or evenings; store dates, or the zone "
                "with the times."
            )
        return value.dt.date()
    raise DataError(f"{file.name}: the date column is {dtype}; wanted Date, Datetime, or text like 2021-03-04.")


@lru_cache(maxsize=4096)
def _maybe_midnights(opened: Opened) -> bool:
    """Whether some time of a typed file without a zone is 18:30."""
    column = pl.col(opened.layout.column("date") or "")
    found = (column.dt.hour() == 18) & (column.dt.minute() == 30) & (column.dt.second() == 0)
    return bool(pl.scan_parquet(opened.stamp.path).select(found.any()).collect().item())


def _is_lost(value: pl.Expr, dtype: pl.DataType, name: str, layout: Layout) -> pl.Expr:
    if dtype == pl.UInt64:
        return value > _MOST_SHARES
    infinite = value.is_infinite()
    if name != "volume_shares":
        return infinite
    shares = value * layout.volume_scale
    return infinite | (value.is_finite() & (shares.round(6) != shares.round()))


def _number(value: pl.Expr, dtype: pl.DataType, name: str, layout: Layout, file: FileStamp) -> pl.Expr:
    """A typed number in the file's own unit, null where it is none."""
    if not (dtype.is_numeric() or dtype.is_decimal() or dtype == pl.Null):
        raise DataError(f"{file.name}: column {layout.column(name)} is {dtype}; wanted numbers.")
    value = value.cast(pl.Float64, strict=False)
    if dtype == pl.Float32 and name.endswith("_inr"):
        value = value.round(2)  # paise are meant
    return pl.when(value.is_finite()).then(value)


def _typed_number(value: pl.Expr, dtype: pl.DataType, name: str, layout: Layout, file: FileStamp) -> pl.Expr:
    value = _number(value, dtype, name, layout, file)
    if name == "turnover_inr" and layout.turnover_scale != 1.0:
        return (value * layout.turnover_scale).round(2)
    if name == "volume_shares":
        value = (value * layout.volume_scale).round(6) if layout.volume_scale != 1.0 else value
        return pl.when(value == value.round()).then(value).cast(pl.Int64, strict=False)
    return value


def _typed_text(value: pl.Expr, dtype: pl.DataType, name: str, file: FileStamp) -> pl.Expr:
    if dtype.base_type() in (pl.List, pl.Struct, pl.Array, pl.Binary, pl.Object):
        raise DataError(f"{file.name}: column {name} is {dtype}; wanted text.")
    text = value.cast(pl.String).str.strip_chars()
    return text.str.strip_suffix(".0") if dtype.is_float() else text


def read_texts(opened: Opened, grammar: Grammar) -> Read:
    """Text among a Parquet file's dates and numbers, through the same grammar; typed columns as they are."""
    file, types = opened.stamp, dict(opened.schema)
    textual = text_columns(opened)
    columns = {name: column for name, column, _ in opened.layout.columns}
    frame = pl.scan_parquet(file.path)
    try:
        raw = frame.select(
            _as_text(pl.col(column), types[column]).alias(name) if name in textual or name in TEXTS
            else pl.col(column).alias(name)
            for name, column in columns.items()
        ).collect()  # fmt: skip
    except pl.exceptions.PolarsError as failure:
        raise DataError(f"{file.name}: no readable Parquet file ({shown(str(failure))}); fetch it again.") from failure
    lines = pl.int_range(1, raw.height + 1, eager=True).alias("line")
    typed: dict[str, pl.Expr] = {}
    for name in columns:
        if name == "date" and name not in textual:
            typed[name] = _typed_date(pl.col(name), types[columns[name]], opened).cast(pl.String)
        elif name in NUMBERS and name not in textual:
            typed[name] = _number(pl.col(name), types[columns[name]], name, opened.layout, file)
    infinite = _infinite(raw.select(name for name in typed if raw[name].dtype.is_float()), file)
    raw = raw.with_columns(value.alias(name) for name, value in typed.items())
    read = _mixed_values(raw, lines, opened, grammar, [name for name in NUMBERS if name in typed])
    return replace(read, problems=infinite + read.problems)


def _infinite(numbers: pl.DataFrame, file: FileStamp) -> tuple[Problem, ...]:
    """What is said of infinite numbers in typed columns beside text."""
    found = {name: numbers[name].is_infinite().sum() for name in numbers.columns}
    return tuple(
        in_file("unparsable", file.name, f"column {name}: {count} numbers are infinite, left empty", "correct them")
        for name, count in found.items()
        if count
    )


def _mixed_values(raw: pl.DataFrame, lines: pl.Series, opened: Opened, grammar: Grammar, typed: list[str]) -> Read:
    read = read_values(raw.drop(typed), lines, opened.layout, opened.stamp.name, grammar)
    if not typed:
        return read
    kept = raw.select(typed).with_columns(line=lines).join(
        pl.DataFrame({"line": read.lines}), on="line", how="semi", maintain_order="left"
    )  # fmt: skip
    table, scale, problems = with_units(
        pl.concat([read.table, kept.drop("line")], how="horizontal"), opened.layout, opened.stamp.name, read.lines
    )
    return Read(table, read.lines, (*read.problems, *problems), read.decimal, read.date_order, scale)


def _as_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_float():
        value = value.cast(pl.Int64, strict=False)
    return value.cast(pl.String).str.strip_chars()
