"""Which rows are used where there are several of a day and stock, which are left out, and what is said of them."""

from collections import Counter
from collections.abc import Sequence

import polars as pl

from quant_core.market.problems import Problem, shown
from quant_core.market.reading.identity import BSE, INDEX_NAME, is_name, is_symbol
from quant_core.market.reading.values import Grammar
from quant_core.market.sources._folder import PriceFile
from quant_core.market.sources._rows import series_in

#: Days with several closes from which a file is judged by them.
MANY_DAYS = 3
#: Odd factors that spread a count over 64 bits (Steele, Lea and Flood 2014, SplitMix).
_SPREAD, _SPREAD_AGAIN = pl.lit(0x9E3779B97F4A7C15, pl.UInt64), pl.lit(0xBF58476D1CE4E5B9, pl.UInt64)
#: Ranks a row without a close behind those of every file.
_EMPTY_ROW = 1 << 24


def named_rows(rows: pl.DataFrame, *, of_shares: bool = False) -> tuple[pl.DataFrame, list[Problem]]:
    """`rows` that name a stock or an index, and what is said of the others; of shares also which names look odd."""
    names = rows["name"].unique()
    problems = odd_names(names) if of_shares else []
    odd = names.filter(~names.to_frame().select(is_name(pl.col("name"))).to_series())
    if len(odd):
        bad = rows["name"].is_in(odd.implode(), nulls_equal=True)
        first = rows.filter(bad).row(0, named=True)
        named = None if first["name"] is None else shown(first["name"])
        what = f"{bad.sum()} rows name nothing that can be a ticker and are left out, first {named!r}"
        problems.append(Problem("", "no_name", f"{what} on {first['date']}; correct the name"))
        rows = rows.filter(~bad)
    return rows, problems


def odd_names(names: pl.Series) -> list[Problem]:
    """What is said of names that are neither an index's nor such as NSE's symbols are; they are read as they stand."""
    name = pl.col("name")
    odd = (
        names.to_frame("name").filter(is_name(name) & ~is_symbol(name) & ~name.str.contains(INDEX_NAME))["name"].sort()
    )
    if not len(odd):
        return []
    first = ", ".join(repr(shown(one)) for one in odd.head(3)) + (", ..." if len(odd) > 3 else "")
    what = f"{len(odd)} names look like no symbol of NSE and are taken as they stand: {first}"
    return [Problem("", "odd_name", f"{what}; rename files or rows, or set ticker_pattern")]


def other_series(files: Sequence[PriceFile], wanted: Sequence[str], grammar: Grammar) -> list[Problem]:
    """What is said of rows whose series is not asked for."""
    lost: Counter[str] = Counter()
    for file in files:
        for series, n_rows in series_in(file, grammar):
            if series not in wanted:
                lost[series] += n_rows
    if not lost:
        return []
    first = ", ".join(f"{series} {n:,}" for series, n in lost.most_common(6)) + (", ..." if len(lost) > 6 else "")
    detail = f"{sum(lost.values()):,} rows of the files are of series that are not asked for ({first})"
    return [Problem("", "other_series", f"{detail}; add them to the setting series where they are wanted")]


def have_doubles(rows: pl.DataFrame) -> bool:
    """Whether a name has a day twice in one of the files (columns _file, name, date)."""
    key = pl.col("name").hash() ^ (pl.col("date").to_physical().cast(pl.UInt64) * _SPREAD)
    if rows["_file"].min() != rows["_file"].max():
        key = key ^ (pl.col("_file").cast(pl.UInt64) * _SPREAD_AGAIN)
    return bool(rows.select(key.n_unique()).item() < rows.height)


def many_a_day(rows: pl.DataFrame) -> list[int]:
    """Places (`_file`) of files in which most days of a name have several different closes: no day's prices.

    Intraday bars, or several stocks in a file that nothing in it tells apart.

    Args:
        rows: columns of all files: _file, name, series, exchange, date, close_inr.
    """
    key = ("_file", "name", "series", "exchange", "date")
    closes = rows.filter(pl.col("close_inr") > 0.0).group_by(key).agg(is_mixed=pl.col("close_inr").n_unique() > 1)
    files = closes.group_by("_file").agg(n_mixed=pl.col("is_mixed").sum(), n_days=pl.len())
    most = (pl.col("n_mixed") >= MANY_DAYS) & (2 * pl.col("n_mixed") > pl.col("n_days"))
    return files.filter(most)["_file"].sort().to_list()


def several_closes(files: Sequence[PriceFile]) -> list[Problem]:
    """What is said of files with several closes a day."""
    found = []
    for file in files:
        what = (
            f"most days have several closes for {file.ticker or 'a name'}: intraday bars, or several stocks that no "
            "column tells apart; it is left out"
        )
        remedy = "keep one row a day, or name the column of the ticker in the setting columns"
        found.append(Problem("", "many_a_day", f"{file.stamp.name}: {what}; {remedy}", remedy=remedy))
    return found


def conflicts(rows: pl.DataFrame) -> list[Problem]:
    """What is said of days that a name has twice in the rows that are used, with other values."""
    bar = pl.struct("open_inr", "high_inr", "low_inr", "close_inr", "volume_shares")
    bars = rows.group_by("ticker", "date").agg(n=bar.n_unique()).filter(pl.col("n") > 1)
    if not bars.height:
        return []
    first = bars.sort("date", "ticker").row(0, named=True)
    what = f"{bars.height} days of a ticker stand twice in a file with other values, first {first['ticker']}"
    return [Problem("", "conflict", f"{what} {first['date']}; cleaning uses the first row: remove the others")]


def lost_numbers(rows: pl.DataFrame) -> list[Problem]:
    """What is said of numbers in typed columns that were none."""
    lost = rows["_lost"]
    if not lost.any():
        return []
    first = rows.filter(lost.fill_null(False)).row(0, named=True)
    what = f"{lost.sum()} rows have an infinite number or part of a share, which is left empty, first"
    return [Problem("", "unparsable", f"{what} {first['name']} {first['date']}; correct them")]


def one_exchange(rows: pl.DataFrame, aside: frozenset[str]) -> tuple[pl.DataFrame, list[Problem]]:
    """`rows` (with `ticker`) without BSE's of the tickers `aside`, which have rows of NSE somewhere in the folder."""
    if not aside:
        return rows, []
    gone = ((pl.col("exchange") == BSE) & pl.col("ticker").is_in(sorted(aside))).fill_null(False)
    lost = rows.filter(gone)
    if not lost.height:
        return rows, []
    tickers = lost["ticker"].unique().sort().to_list()
    named = ", ".join(tickers[:5]) + (", ..." if len(tickers) > 5 else "")
    detail = f"{lost.height} rows of BSE are left out for NSE's of the same ticker: {named}"
    return rows.filter(~gone), [Problem("", "exchange", detail)]


def one_series(rows: pl.DataFrame, order: Sequence[str]) -> tuple[pl.DataFrame, list[Problem]]:
    """`rows` without those beside a row of the same day and ticker in an earlier series of `order`.

    Two rows of one series stay: cleaning counts them.
    """
    if rows["series"].drop_nulls().n_unique() < 2:
        return rows, []
    rank = pl.col("series").replace_strict(list(order), range(len(order)), default=-1, return_dtype=pl.Int32)
    kept = rows.filter(rank == rank.min().over("ticker", "date"))
    if kept.height == rows.height:
        return rows, []
    lost = rows.height - kept.height
    detail = f"{lost} rows have another series on the same day; the first of {', '.join(order)} is used"
    return kept, [Problem("", "series", detail)]


def one_file(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[Problem]]:
    """`rows` of the first file by name that has the day and ticker; one without a close gives way to one with."""
    empty = (pl.col("close_inr") <= 0.0).fill_null(True)
    n_empty = rows.select(empty.sum()).item()
    has_empty = n_empty > 0
    if rows["_file"].min() == rows["_file"].max() and not has_empty:
        return rows, []
    rank = pl.col("_file") + pl.when(empty).then(_EMPTY_ROW).otherwise(0) if has_empty else pl.col("_file")
    kept = rows.filter(rank == rank.min().over("ticker", "date"))
    if kept.height == rows.height:
        return rows, []
    problems = []
    lost_empty = n_empty - kept.select(empty.sum()).item()
    lost = rows.height - kept.height - lost_empty
    if lost_empty:
        detail = f"{lost_empty} rows without a close are left out for one of the same day and ticker with a close"
        problems.append(Problem("", "empty_row", detail))
    if lost:
        detail = f"{lost} rows are in more than one file; the first file by name is used"
        problems.append(Problem("", "overlap", detail))
    return kept, problems
