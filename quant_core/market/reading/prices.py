"""One file of prices: what it is by its beginning, and its rows under the lab's names and types.

Layout, columns, values: each stage has its own module here, and says what it could not take. Typed Parquet is handed on
lazily; text is read whole and kept, because months are asked for one by one and text has no index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import polars as pl

from quant_core.errors import DataError
from quant_core.market.problems import Problem, in_file, shown
from quant_core.market.reading.columns import DAILY, NUMBERS, TEXTS, Layout, is_header, recognise
from quant_core.market.reading.identity import are_names, are_row_labels
from quant_core.market.reading.layout import Head, cells_of, head_of, no_table, read_cells
from quant_core.market.reading.opening import (
    MAX_HEADER_BYTES,
    FileStamp,
    beginning,
    check_openable,
    content,
    parquet_schema,
)
from quant_core.market.reading.strangers import meant, others, shares_only, shifted_days
from quant_core.market.reading.values import Grammar, Read, read_values, turnover_unit, with_units

INDIA_TIME = "Asia/Kolkata"
#: So much of a file shows its header, unless so few lines are in it.
_HEAD_BYTES, _HEAD_LINES = 1 << 14, 60
#: Rows from which the unit of a typed turnover is told.
_SAMPLE = 5000
_MOST_SHARES = 2**63 - 1
_TEXTUAL = (pl.String, pl.Categorical, pl.Enum)


@dataclass(frozen=True)
class Opened:
    """A file whose beginning was read. head: of a text file. schema: types of a Parquet file's columns."""

    stamp: FileStamp
    layout: Layout
    head: Head | None = None
    schema: tuple[tuple[str, pl.DataType], ...] = ()


def open_file(file: FileStamp, wanted: str, renamed: Mapping[str, str], basis: str) -> Opened:
    """What the file is, by its name, size and beginning.

    Raises:
        DataError: no table by its name or size, empty, an error page, header lines without rows, no date or close.
    """
    check_openable(file)
    if not file.is_text:
        schema = parquet_schema(file)
        layout = recognise(list(schema), file.name, wanted, renamed, basis)
        index = layout.column("index")
        if index is not None and schema[index].base_type() not in _TEXTUAL:  # row numbers, days, marks
            layout = layout.without("index")
        return Opened(file, layout, None, tuple(schema.items()))
    head = _head(file, renamed)
    if is_multi_header(head.first_lines):
        return Opened(file, _multi_layout(file, head, wanted, renamed, basis), head)
    if len(head.header) == 1:
        raise no_table(file, head)
    layout = recognise(head.header, file.name, wanted, renamed, basis)
    rows = [cells_of(line, head.delimiter) for line in head.first_lines[1:]]
    if not rows:
        raise DataError(f"{file.name}: a header and no rows; fetch it again.")
    place = {name: place for name, _, place in layout.columns}.get("index")
    if place is not None and are_row_labels([row[place] for row in rows if place < len(row)]):
        layout = layout.without("index")
    return Opened(file, _with_names(layout, rows), head)


def _with_names(layout: Layout, rows: Sequence[tuple[str, ...]]) -> Layout:
    """The layout with a column `instrument` taken for the names where nothing else names the rows."""
    place = {name: place for name, _, place in layout.columns}.get("instrument")
    named = any(layout.column(name) for name in ("ticker", "symbol", "index"))
    if place is None or named or not are_names([row[place] for row in rows if place < len(row)]):
        return layout
    columns = tuple(("symbol" if name == "instrument" else name, own, n) for name, own, n in layout.columns)
    return replace(layout, columns=columns)


def _head(file: FileStamp, renamed: Mapping[str, str]) -> Head:
    start = beginning(file, _HEAD_BYTES)
    if len(start) == _HEAD_BYTES and start.count(b"\n") + start.count(b"\r") < _HEAD_LINES:
        start = beginning(file, MAX_HEADER_BYTES)
    if not start.strip():
        raise DataError(f"{file.name}: the file is empty ({file.size} bytes); fetch it again.")
    return head_of(start, partial(is_header, renamed=tuple(renamed.items())), file.name)


def scan(opened: Opened, grammar: Grammar) -> tuple[pl.LazyFrame, tuple[Problem, ...]]:
    """The rows with the lab's column names and types (of the columns that it has), and what was not read.

    A column `_lost` marks rows of a typed file with a number that is none: infinite, or half a share. A typed file that
    is damaged where this looks has no rows; where it is damaged elsewhere, that shows when its rows are collected.
    """
    try:
        return _scanned(opened, grammar)
    except (OSError, pl.exceptions.PolarsError) as failure:
        said = f"{opened.stamp.name}: {damaged(failure)}; fetch it again."
        return _no_rows(opened), (Problem("", "ignored_file", said, file=opened.stamp.name),)


def damaged(failure: Exception) -> str:
    """What is said of a file that its library cannot read to its end."""
    said = str(failure).splitlines()[0] if str(failure) else type(failure).__name__
    return f"cannot be read to its end ({shown(said)})"


def _scanned(opened: Opened, grammar: Grammar) -> tuple[pl.LazyFrame, tuple[Problem, ...]]:
    frame, problems = _rows(opened, grammar)
    if said := _shifted_days(opened, grammar):
        return _no_rows(opened), (*problems, said)
    problems += meant(opened.layout, opened.stamp.name)
    own = shares_only(opened.layout)
    return (frame.filter(own.values()), problems + _others(opened, grammar)) if own else (frame, problems)


@lru_cache(maxsize=4096)
def _shifted_days(opened: Opened, grammar: Grammar) -> Problem | None:
    if opened.layout.format in DAILY:
        return None
    days = _rows(opened, grammar)[0].select(pl.col("date").unique()).collect().to_series()
    return shifted_days(days.drop_nulls(), opened.stamp.name)


def _rows(opened: Opened, grammar: Grammar) -> tuple[pl.LazyFrame, tuple[Problem, ...]]:
    try:
        if opened.head is None and not _text_columns(opened):
            return _typed(opened)
        read = read_or_reason(opened, grammar)
    except DataError as reason:
        read = str(reason)
    if isinstance(read, Read):
        empty = () if read.table.height or read.problems else (_empty(opened),)
        return read.table.lazy().with_columns(_lost=pl.lit(False)), (*read.problems, *empty)
    return _no_rows(opened), (Problem("", "ignored_file", read, file=opened.stamp.name),)


@lru_cache(maxsize=4096)
def read_or_reason(opened: Opened, grammar: Grammar) -> Read | str:
    """What `read_text` returns or says, kept either way: a file that cannot be read is not tried every month."""
    try:
        return read_text(opened, grammar)
    except DataError as reason:
        return str(reason)


def _empty(opened: Opened) -> Problem:
    return in_file("ignored_file", opened.stamp.name, "a header and no row with a value", "fetch it again")


def _no_rows(opened: Opened) -> pl.LazyFrame:
    types = {"date": pl.Date, "volume_shares": pl.Int64} | {name: pl.String for name in TEXTS}
    schema = {name: types.get(name, pl.Float64) for name, _, _ in opened.layout.columns}
    return pl.LazyFrame(schema=schema | {"_lost": pl.Boolean})


@lru_cache(maxsize=4096)
def _others(opened: Opened, grammar: Grammar) -> tuple[Problem, ...]:
    return others(_rows(opened, grammar)[0], opened.layout, opened.stamp.name)


def read_text(opened: Opened, grammar: Grammar) -> Read:
    """A whole file that has text where dates or numbers are wanted."""
    if opened.head is None:
        return _parquet_text(opened, grammar)
    try:
        data = content(opened.stamp)
        if is_multi_header(opened.head.first_lines):
            return _multi_rows(data, opened, grammar)
        places = {name: place for name, _, place in opened.layout.columns}
        order = sorted(places, key=lambda name: name != "date")
        cells = read_cells(
            data,
            opened.head,
            opened.stamp,
            [places[name] for name in order],
            partial(is_header, renamed=_named(opened)),
        )
    except (pl.exceptions.PolarsError, UnicodeError) as failure:
        said = shown(str(failure))
        raise DataError(f"{opened.stamp.name}: no readable CSV ({said}); fix or remove it.") from failure
    table = cells.table.select(pl.col(str(places[name])).alias(name) for name in order)
    doubtful = cells.is_ragged or cells.maybe_split
    read = read_values(table, cells.lines, opened.layout, opened.stamp.name, grammar, doubtful)
    return _with(read, cells.problems)


def _named(opened: Opened) -> tuple[tuple[str, str], ...]:
    return tuple((name, column) for name, column, _ in opened.layout.columns if name in ("date", "close_inr"))


def _with(read: Read, problems: tuple[Problem, ...]) -> Read:
    return Read(read.table, read.lines, problems + read.problems, read.decimal, read.date_order, read.turnover_scale)


# ---- Parquet ---------------------------------------------------------------------------------------------------------


def _text_columns(opened: Opened) -> list[str]:
    """Lab columns whose values need a grammar: dates and numbers held as text, dates held as figures."""
    types = dict(opened.schema)
    return [
        name
        for name, column, _ in opened.layout.columns
        if ((name in NUMBERS or name == "date") and types[column].base_type() in _TEXTUAL)
        or (name == "date" and types[column].is_numeric())
    ]


def _typed(opened: Opened) -> tuple[pl.LazyFrame, tuple[Problem, ...]]:
    file, types = opened.stamp, dict(opened.schema)
    frame = pl.scan_parquet(file.path)
    layout, problems = _checked_unit(opened, frame)
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
        return (_empty(opened),)
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


def _checked_unit(opened: Opened, frame: pl.LazyFrame) -> tuple[Layout, tuple[Problem, ...]]:
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


def _parquet_text(opened: Opened, grammar: Grammar) -> Read:
    """Text among a Parquet file's dates and numbers, through the same grammar; typed columns as they are."""
    file, types = opened.stamp, dict(opened.schema)
    textual = _text_columns(opened)
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
    return _with(_mixed_values(raw, lines, opened, grammar, [name for name in NUMBERS if name in typed]), infinite)


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


# ---- yfinance's export with three header lines -----------------------------------------------------------------------


def is_multi_header(lines: tuple[str, ...] | list[str]) -> bool:
    """True for yfinance's export with a line of fields, a line of tickers and a line "Date"."""
    return len(lines) >= 2 and lines[0].startswith("Price,") and lines[1].startswith("Ticker,")


def _multi_layout(file: FileStamp, head: Head, wanted: str, renamed: Mapping[str, str], basis: str) -> Layout:
    if len(head.first_lines) < 4:
        raise DataError(f"{file.name}: three yfinance header lines and no rows; fetch it again.")
    fields = sorted(set(cells_of(head.first_lines[0], ",")[1:]))
    return recognise(["Date", "Ticker", *fields], file.name, wanted, renamed, basis)


def _multi_rows(data: bytes, opened: Opened, grammar: Grammar) -> Read:
    """A multi-header export, one ticker's columns after another's."""
    head = opened.head
    assert head is not None
    fields, tickers = (cells_of(line, ",") for line in head.first_lines[:2])
    wide = read_cells(data, head, opened.stamp, range(len(head.header)), lambda _: False, n_header=3)
    names = {column: name for name, column, _ in opened.layout.columns}
    tables, lines = [], []
    for ticker in dict.fromkeys(tickers[1:]):
        own = {
            field: str(n) for n, (field, name) in enumerate(zip(fields, tickers, strict=True)) if n and name == ticker
        }
        chosen = [pl.col(place).alias(names[field]) for field, place in own.items() if field in names]
        tables.append(wide.table.select(pl.col("0").alias("date"), pl.lit(ticker).alias("ticker"), *chosen))
        lines.append(wide.lines)
    table = pl.concat(tables, how="diagonal")
    doubtful = wide.is_ragged or (lambda _: pl.Series([False]))
    read = read_values(table, pl.concat(lines), opened.layout, opened.stamp.name, grammar, doubtful)
    return _with(read, wide.problems)
