"""Reading one price file of a known or guessed layout into the lab's column names.

Texts become dates and numbers here.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import polars as pl

from quant_core.errors import DataError
from quant_core.market.sources._formats import Layout, recognise
from quant_core.market.sources.source import Problem

TEXT_SUFFIXES = (".csv", ".csv.gz", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")
NO_VALUE = ("", "-", "--", "na", "n/a", "nan", "null", "none")
NUMBERS = (
    "open_inr",
    "high_inr",
    "low_inr",
    "close_inr",
    "prev_close_inr",
    "adj_close_inr",
    "volume_shares",
    "turnover_inr",
    "dividend_inr",
    "price_factor",
)
TEXTS = ("ticker", "symbol", "index", "instrument", "series", "basis", "source")
#: Tried in this order; the first that reads every value wins, so an ambiguous 03/04/2001 is 3 April, as in India.
DATE_FORMATS = (
    "%Y-%m-%d",
    "%d-%b-%Y",
    "%d-%B-%Y",
    "%d/%m/%Y",
    "%d-%m-%Y",
    "%m/%d/%Y",
    "%Y%m%d",
    "%d-%b-%y",
    "%d/%m/%y",
    "%m/%d/%y",
)


@dataclass(frozen=True)
class FileStamp:
    """A file as it was when looked at; another size or time is another file."""

    path: str
    size: int
    mtime_ns: int

    @property
    def name(self) -> str:
        return Path(self.path).name

    @property
    def is_text(self) -> bool:
        return self.path.lower().endswith(TEXT_SUFFIXES)

    @property
    def changed_at(self) -> datetime:
        """Time of the last change, UTC, whole microseconds."""
        seconds, rest = divmod(self.mtime_ns, 10**9)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def stamp(path: Path) -> FileStamp:
    """The file's path, size and modification time."""
    status = path.stat()
    return FileStamp(str(path), status.st_size, status.st_mtime_ns)


def layout_of(file: FileStamp, wanted: str, renamed: Mapping[str, str], basis: str) -> Layout:
    """The layout from the file's header alone.

    Raises:
        DataError: empty, an error page instead of a table, header lines without rows, no date or close column.
    """
    if not file.is_text:
        try:
            header = list(pl.read_parquet_schema(file.path))
        except (OSError, pl.exceptions.PolarsError) as failure:
            raise DataError(f"{file.name}: no readable Parquet file ({failure}); fetch it again.") from failure
        return recognise(header, file.name, wanted, renamed, basis)
    lines = _first_lines(file, 4)
    if is_multi_header(lines):
        if len([line for line in lines[3:] if line.strip()]) == 0:
            raise DataError(f"{file.name}: three yfinance header lines and no rows; fetch it again.")
        fields = sorted(set(_cells(lines[0])[1:]))
        return recognise(["Date", "Ticker", *fields], file.name, wanted, renamed, basis)
    header = _cells(lines[0])
    if len(header) == 1:
        raise DataError(
            f"{file.name}: no table: the first line is {lines[0].strip()[:80]!r}, a message rather than a header; "
            "fetch it again."
        )
    layout = recognise(header, file.name, wanted, renamed, basis)
    if not any(line.strip() for line in lines[1:]):
        raise DataError(f"{file.name}: a header and no rows; fetch it again.")
    return layout


def scan(file: FileStamp, layout: Layout, date_format: str | None) -> tuple[pl.LazyFrame, list[Problem]]:
    """The file with the lab's column names and types (of the columns that it has), and what could not be read in it."""
    if file.is_text:
        table, problems = _read_text(file, layout, date_format)
        return table.lazy(), list(problems)
    frame = pl.scan_parquet(file.path)
    schema = frame.collect_schema()
    columns = []
    for name, column in layout.columns:
        value = pl.col(column)
        if name == "date":
            value = _typed_date(value, schema[column], file)
        elif name in NUMBERS:
            value = _typed_number(value, schema[column], name, layout)
        elif name in TEXTS:
            value = value.cast(pl.String).str.strip_chars()
        columns.append(value.alias(name))
    return frame.select(columns), []


def _typed_date(value: pl.Expr, dtype: pl.DataType, file: FileStamp) -> pl.Expr:
    if dtype == pl.Date:
        return value
    if isinstance(dtype, pl.Datetime):
        zone = "Asia/Kolkata" if dtype.time_zone else None
        return (value.dt.convert_time_zone(zone) if zone else value).dt.date()
    if dtype == pl.String:
        return value.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
    raise DataError(f"{file.name}: the date column is {dtype}; wanted Date, Datetime or text like 2021-03-04.")


def _typed_number(value: pl.Expr, dtype: pl.DataType, name: str, layout: Layout) -> pl.Expr:
    value = value.cast(pl.Float64, strict=False)
    if dtype == pl.Float32 and name.endswith("_inr"):
        value = value.round(2)  # paise are meant
    return _unit(value, name, layout)


def _unit(value: pl.Expr, name: str, layout: Layout) -> pl.Expr:
    value = pl.when(value.is_finite()).then(value)
    if name == "turnover_inr" and layout.turnover_scale != 1.0:
        return (value * layout.turnover_scale).round(2)
    return value.cast(pl.Int64, strict=False) if name == "volume_shares" else value


@lru_cache(maxsize=4096)
def _read_text(file: FileStamp, layout: Layout, date_format: str | None) -> tuple[pl.DataFrame, tuple[Problem, ...]]:
    """A whole text file; kept in memory, because months are asked for one by one and text has no index."""
    try:
        if is_multi_header(_first_lines(file, 4)):
            table = _multi_header(file)
        else:
            table = pl.read_csv(file.path, infer_schema=False, truncate_ragged_lines=True, encoding="utf8-lossy")
    except (OSError, pl.exceptions.PolarsError) as failure:
        raise DataError(f"{file.name}: no readable CSV ({failure}); fix or remove it.") from failure
    table = table.select(pl.col(column).str.strip_chars().alias(name) for name, column in layout.columns)
    text = table.with_columns(pl.when(~pl.all().str.to_lowercase().is_in(NO_VALUE)).then(pl.all()))
    numbers = [name for name in NUMBERS if name in text.columns]
    dates, bad_dates = parse_dates(text["date"], date_format)
    table = text.with_columns(
        dates.alias("date"), pl.col(numbers).str.replace_all(",", "").cast(pl.Float64, strict=False)
    )
    problems = [bad_dates] if bad_dates else []
    for name in numbers:
        lost = text.filter(text[name].is_not_null() & table[name].is_null())
        if lost.height:
            problems.append(f"column {name}: {lost.height} values are no numbers, first {lost[name][0]!r}")
    table = table.with_columns(_unit(pl.col(name), name, layout).alias(name) for name in numbers)
    table = table.filter(pl.col("date").is_not_null())
    return table, tuple(Problem("", "unparsable", f"{file.name}: {detail}") for detail in problems)


def parse_dates(values: pl.Series, date_format: str | None) -> tuple[pl.Series, str]:
    """Dates from text, and what is wrong with them ("" for nothing). Times after the date are dropped."""
    days = values.str.replace(r"[ T]\d\d:\d\d.*$", "")
    wanted = len(days) - days.null_count()
    best, best_format, most = pl.Series("date", [None] * len(days), dtype=pl.Date), "", 0
    for candidate in (date_format,) if date_format else DATE_FORMATS:
        read = days.str.to_date(candidate, strict=False)
        read = read.set(read.dt.year() < 1900, None)  # %Y takes "00" for the year 0
        count = len(read) - read.null_count()
        if count > most:
            best, best_format, most = read, candidate, count
        if most == wanted:
            break
    lost = values.filter(best.is_null())
    if not len(lost):
        return best, ""
    kind = f"as {best_format}" if best_format else "in any known format; set date_format"
    return best, f"{len(lost)} dates cannot be read {kind}, first {lost[0]!r}"


def is_multi_header(lines: list[str]) -> bool:
    """True for yfinance's export with a line of fields, a line of tickers and a line "Date"."""
    return len(lines) >= 3 and lines[0].startswith("Price,") and lines[1].startswith("Ticker,")


def _multi_header(file: FileStamp) -> pl.DataFrame:
    """A multi-header export as a long text table with columns Date, Ticker and one a field."""
    fields, tickers = (_cells(line)[1:] for line in _first_lines(file, 2))
    body = pl.read_csv(file.path, infer_schema=False, has_header=False, skip_rows=3)
    parts = []
    for ticker in dict.fromkeys(tickers):
        places = {
            field: place + 1 for place, (field, own) in enumerate(zip(fields, tickers, strict=True)) if own == ticker
        }
        values = [pl.nth(place).alias(field) for field, place in places.items()]
        parts.append(body.select(pl.nth(0).alias("Date"), pl.lit(ticker).alias("Ticker"), *values))
    return pl.concat(parts, how="diagonal")


def _first_lines(file: FileStamp, count: int) -> list[str]:
    """The first lines of a text file; a DataError where it is empty or no text."""
    import gzip

    opener = gzip.open if file.path.lower().endswith(".gz") else open
    try:
        with opener(file.path, "rt", encoding="utf-8-sig", errors="replace") as stream:
            lines = [line for _, line in zip(range(count), stream, strict=False)]
    except OSError as failure:
        raise DataError(f"{file.name}: cannot be read ({failure}); check the file.") from failure
    if not any(line.strip() for line in lines):
        raise DataError(f"{file.name}: the file is empty ({file.size} bytes); fetch it again.")
    return lines


def _cells(line: str) -> list[str]:
    return next(csv.reader([line.strip("\r\n")]))


def ticker_of_name(name: str, pattern: str) -> str:
    """The ticker that a file name stands for, by a regular expression with the group `ticker`."""
    for suffix in (*TEXT_SUFFIXES[1:2], TEXT_SUFFIXES[0], *TEXT_SUFFIXES[2:], *PARQUET_SUFFIXES):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    found = re.search(pattern, name)
    if found is None:
        raise DataError(f"{name}: the file name gives no ticker by ticker_pattern {pattern!r}; change the pattern.")
    return found["ticker"]
