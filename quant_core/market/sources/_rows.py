"""Rows of price files under one set of columns; which of them are used is chosen in `_chosen`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import polars as pl

from quant_core.market.problems import Problem
from quant_core.market.reading.columns import NUMBERS
from quant_core.market.reading.identity import (
    INDEX_NAME,
    INDEX_WORDS,
    SHARE_WORDS,
    SURELY_BARE,
    bare_name,
    exchange_in_column,
    exchange_of,
)
from quant_core.market.reading.prices import damaged, scan
from quant_core.market.reading.values import Grammar
from quant_core.market.sources._folder import PriceFile
from quant_core.market.sources._names import AS_THEY_ARE, OF_THE_DAY
from quant_core.schema import EQUITY, INDEX

#: Columns that name a row, the first that has a value.
KEYS = ("ticker", "index", "symbol")
#: What an `instrument` column may say; anything else leaves it to the name.
_INSTRUMENTS = dict.fromkeys(SHARE_WORDS, EQUITY) | dict.fromkeys(INDEX_WORDS, INDEX)
ROWS = pl.DataFrame(
    schema={
        "date": pl.Date,
        "name": pl.String,
        "chained": pl.String,
        "exchange": pl.String,
        **{name: pl.String for name in ("symbol", "instrument", "series", "basis", "source")},
        **{name: pl.Int64 if name == "volume_shares" else pl.Float64 for name in NUMBERS},
        "fetched_at": pl.Datetime("us", "UTC"),
        "_has_actions": pl.Boolean,
        "_lost": pl.Boolean,
        "_file": pl.Int32,
    }
)
#: Columns that tell which rows are used, and nothing afterwards.
ONLY_FOR_CHOOSING = ("name", "chained", "exchange", "_lost", "_file")


@dataclass(frozen=True)
class Choice:
    """Which rows of a file are wanted: of a span, these series (null where the file does not say) and these names."""

    start: date
    end: date
    series: tuple[str, ...]
    raw_names: tuple[str, ...] | None = None


def rows_of(file: PriceFile, number: int, choice: Choice, grammar: Grammar) -> tuple[pl.LazyFrame, list[Problem]]:
    """One file's rows with every column of ROWS; `number` is the file's place among those that are read together."""
    frame, found = scan(file.opened, grammar)
    plan = _plan(file, choice.series, grammar)
    frame = frame.filter(pl.col("date").is_between(choice.start, choice.end))
    if choice.raw_names is not None:
        frame = frame.filter(plan.name.is_in(list(choice.raw_names)))
    frame = frame.filter(plan.wanted) if plan.wanted else frame
    frame = frame.with_columns(plan.named).with_columns(plan.facts)
    return frame.select(*list(ROWS.schema)[:-1], pl.lit(number, pl.Int32).alias("_file")), [*found, *plan.problems]


@dataclass(frozen=True, eq=False)
class _Plan:
    """Steps from a file's columns to those of ROWS, the same for every span: written once, used every month.

    name: of a row. wanted: which rows have a series that is asked for. named: the columns that name a row, and what the
    file has not. facts: what is known of every row.
    """

    name: pl.Expr
    wanted: list[pl.Expr]
    named: list[pl.Expr]
    facts: list[pl.Expr]
    problems: tuple[Problem, ...]


@lru_cache(maxsize=4096)
def _plan(file: PriceFile, series: tuple[str, ...], grammar: Grammar) -> _Plan:
    layout, kinds = file.layout, _names_in(file, grammar)
    keys = [pl.lit(file.ticker)] if file.ticker else [pl.col(key) for key in KEYS if layout.column(key)]
    raw = pl.coalesce(keys)
    around = dict(kinds.around)
    name = raw.replace(around) if around else raw
    symbol = pl.col("symbol") if layout.column("symbol") else raw
    named = [
        name.alias("name"),
        (symbol.replace(around) if around else symbol).alias("symbol"),
        pl.lit(chained(file)).alias("chained"),
        _exchange(file, raw, kinds).alias("exchange"),
    ]
    wanted = []
    if layout.column("series"):
        written = pl.col("series") if kinds.series_in_capitals else pl.col("series").str.to_uppercase()
        wanted.append(written.is_in(list(series)).fill_null(True))
        named.append(written.alias("series"))
    present = {column for column, _, _ in layout.columns} | {"name", "symbol", "chained", "exchange", "_lost", "_file"}
    missing = [pl.lit(None, dtype).alias(column) for column, dtype in ROWS.schema.items() if column not in present]
    return _Plan(name, wanted, named + missing, _facts(file, kinds), _adjusted(file))


def _adjusted(file: PriceFile) -> tuple[Problem, ...]:
    """What is said of a file whose closes have lost their dividends already."""
    if not file.layout.dividend_adjusted:
        return ()
    detail = (
        f"{file.stamp.name}: no Adj Close, so closes are taken as dividend-adjusted already and dividends are ignored"
    )
    return (Problem(file.ticker, "dividend_adjusted", detail, file=file.stamp.name),)


_NO_SERIES = pl.DataFrame(schema={"series": pl.String, "n": pl.UInt32})


@dataclass(frozen=True)
class _Names:
    """What the names in a file are like, so that a column of a million needs no step that would change none.

    around: (name as written, bare) of those with an exchange or a series around them, or in small letters. have_index:
    some name is an index's. series_in_capitals: no series is written otherwise.
    series: in capitals, with the number of its rows.
    """

    around: tuple[tuple[str, str], ...]
    have_index: bool
    series_in_capitals: bool
    series: tuple[tuple[str, int], ...]


@lru_cache(maxsize=4096)
def _names_in(file: PriceFile, grammar: Grammar) -> _Names:
    columns = [] if file.ticker else [key for key in KEYS if file.layout.column(key)]
    has_series = file.layout.column("series") is not None
    wanted = [pl.col(name).unique().implode() for name in columns]
    wanted += [pl.col("series").value_counts(name="n").implode()] if has_series else []
    found = collected([file], [scan(file.opened, grammar)[0].select(wanted)])[0] if wanted else []
    said = {name: found[0][name].explode().drop_nulls() for name in found[0].columns} if found else {}
    series = said.pop("series").struct.unnest().drop_nulls("series") if has_series and found else _NO_SERIES
    names = pl.concat([pl.Series([file.ticker] if file.ticker else [], dtype=pl.String), *said.values()])
    doubtful = names.filter(~names.str.contains(SURELY_BARE))  # a few of a full market's
    bare = {name: bare_name(name) for name in doubtful.to_list()}
    surely = names.filter(names.str.contains("^NIFTY|^BANK|^SENSEX|^FINNIFTY|^MIDCPNIFTY|^INDIA"))
    return _Names(
        tuple((name, plain) for name, plain in bare.items() if name != plain),
        bool(pl.concat([surely, pl.Series(bare.values(), dtype=pl.String)]).str.contains(INDEX_NAME).any()),
        bool((series["series"] == series["series"].str.to_uppercase()).all()),
        tuple((name.upper(), n) for name, n in series.sort("series").iter_rows()),
    )


def series_in(file: PriceFile, grammar: Grammar) -> tuple[tuple[str, int], ...]:
    """The series of a file in capitals, with the number of its rows."""
    return _names_in(file, grammar).series


def _exchange(file: PriceFile, raw: pl.Expr, kinds: _Names) -> pl.Expr:
    """The exchange by a column, else by the name of the row, else by that of the file."""
    said = [exchange_in_column(pl.col("exchange"))] if file.layout.column("exchange") else []
    if not file.ticker and kinds.around:
        said.append(exchange_of(raw))
    return pl.coalesce(*said, pl.lit(file.exchange, pl.String))


def _facts(file: PriceFile, kinds: _Names) -> list[pl.Expr]:
    """What is known of every row of a file, where a column does not say it."""
    layout = file.layout
    by_name = pl.lit(EQUITY)
    if kinds.have_index:
        by_name = pl.when(pl.col("name").str.contains(INDEX_NAME)).then(pl.lit(INDEX)).otherwise(by_name)
    said = pl.col("instrument").str.to_lowercase().replace_strict(_INSTRUMENTS, default=None, return_dtype=pl.String)
    return [
        (pl.lit(0.0) if layout.dividend_adjusted else pl.col("dividend_inr")).alias("dividend_inr"),
        (pl.coalesce(said, by_name) if layout.column("instrument") else by_name).alias("instrument"),
        pl.coalesce("basis", pl.lit(layout.basis)).alias("basis"),
        pl.coalesce("source", pl.lit(_source_name(file))).alias("source"),
        pl.lit(file.stamp.changed_at).cast(pl.Datetime("us", "UTC")).alias("fetched_at"),
        pl.lit(layout.has_actions).alias("_has_actions"),
    ]


def _source_name(file: PriceFile) -> str:
    """What the `source` column says where the file has none.

    That is the vendor's format, or the name of a file of many tickers.
    """
    return file.stamp.name if file.layout.format == "long" and not file.ticker else file.layout.format


def chained(file: PriceFile) -> str:
    """How the names of a file are chained; see `_names`."""
    if file.ticker or not (file.layout.column("ticker") or file.layout.column("index")):
        return OF_THE_DAY
    return f"ticker, {file.layout.basis}" if file.layout.column("ticker") else AS_THEY_ARE


def collected(files: Sequence[PriceFile], frames: Sequence[pl.LazyFrame]) -> tuple[list[pl.DataFrame], list[Problem]]:
    """The frames' rows; a file that turns out to be damaged gives none, and a problem."""
    try:
        return pl.collect_all(frames), []
    except (OSError, pl.exceptions.PolarsError):
        return _one_by_one(files, frames)


def _one_by_one(files: Sequence[PriceFile], frames: Sequence[pl.LazyFrame]) -> tuple[list[pl.DataFrame], list[Problem]]:
    found, problems = [], []
    for file, frame in zip(files, frames, strict=True):
        try:
            found.append(frame.collect())
        except (OSError, pl.exceptions.PolarsError) as failure:
            detail = f"{file.stamp.name}: {damaged(failure)}; fetch it again."
            problems.append(Problem("", "ignored_file", detail, file=file.stamp.name))
    return found, problems
