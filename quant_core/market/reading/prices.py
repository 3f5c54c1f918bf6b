"""The rows of one file of prices under the lab's names and types, and what in it is no price.

Layout, columns, values: each stage has its own module here, and says what it could not take. Typed Parquet is handed on
lazily; text is read whole and kept, because months are asked for one by one and text has no index.
"""

from dataclasses import replace
from functools import lru_cache, partial

import polars as pl

from quant_core.errors import DataError
from quant_core.market.problems import Problem, shown
from quant_core.market.reading import parquet
from quant_core.market.reading.columns import DAILY, TEXTS, is_header
from quant_core.market.reading.layout import cells_of, read_cells
from quant_core.market.reading.opened import Opened, is_multi_header, without_rows
from quant_core.market.reading.opening import content
from quant_core.market.reading.strangers import meant, others, shares_only, shifted_days
from quant_core.market.reading.values import Grammar, Read, read_values


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
        if opened.head is None and not parquet.text_columns(opened):
            return parquet.typed_rows(opened)
        read = read_or_reason(opened, grammar)
    except DataError as reason:
        read = str(reason)
    if isinstance(read, Read):
        empty = () if read.table.height or read.problems else (without_rows(opened),)
        return read.table.lazy().with_columns(_lost=pl.lit(False)), (*read.problems, *empty)
    return _no_rows(opened), (Problem("", "ignored_file", read, file=opened.stamp.name),)


@lru_cache(maxsize=4096)
def read_or_reason(opened: Opened, grammar: Grammar) -> Read | str:
    """What `read_text` returns or says, kept either way: a file that cannot be read is not tried every month."""
    try:
        return read_text(opened, grammar)
    except DataError as reason:
        return str(reason)


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
        return parquet.read_texts(opened, grammar)
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
    return replace(read, problems=cells.problems + read.problems)


def _named(opened: Opened) -> tuple[tuple[str, str], ...]:
    return tuple((name, column) for name, column, _ in opened.layout.columns if name in ("date", "close_inr"))


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
    return replace(read, problems=wide.problems + read.problems)
