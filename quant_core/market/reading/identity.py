"""Which stock or index a row is about: its name without what vendors put around it, and the exchange that they say.

TCS, TCS.NS, NSE:TCS and TCS-EQ are one name. A name is never a missing value or a number, whatever it looks like: NA,
TRUE, 1E5 and 007 are names. Some things are none: what has a line break or a slash in it.
"""

import re
from itertools import chain

import polars as pl

NSE, BSE = "NSE", "BSE"
_SUFFIXES = {".NS": NSE, ".NSE": NSE, ".BO": BSE, ".BSE": BSE, ".ns": NSE, ".bo": BSE}
_PREFIXES = {"NSE:": NSE, "BSE:": BSE}
#: Brokers put the ordinary series behind the name; no symbol of NSE ends so by itself.
_SERIES = ("-EQ", "-BE", "-BZ")
#: A name without any of these has nothing around it.
AROUND_NAMES = (*_SUFFIXES, *_PREFIXES, *_SERIES)
#: What exchanges are called in a column.
EXCHANGES = {"NSE": NSE, "NS": NSE, "XNSE": NSE, "N": NSE, "BSE": BSE, "BO": BSE, "XBOM": BSE, "B": BSE}
#: Names that are never shares, whatever file they come in: ^NSEI, NIFTY 50, INDIA VIX.
INDEX_NAME = r"^(\^|NIFTY |INDIA ?VIX$)"
_NO_NAME = ("/", "\\", "\n", "\r", "\t", "\0")
MAX_NAME = 60
_RUNNING_NUMBER = re.compile(r"\d*")


def bare(name: pl.Expr) -> pl.Expr:
    """The name without exchange and series."""
    for prefix in _PREFIXES:
        name = name.str.strip_prefix(prefix)
    for suffix in (*_SUFFIXES, *_SERIES):
        name = name.str.strip_suffix(suffix)
    return name


def bare_name(name: str) -> str:
    """`bare` of one name."""
    name = name.strip()
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    for suffix in (*_SUFFIXES, *_SERIES):
        name = name.removesuffix(suffix)
    return name


def exchange_of(name: pl.Expr) -> pl.Expr:
    """The exchange that a name states; null for none."""
    says: dict[str, pl.Expr] = {}
    for exchange in (NSE, BSE):
        hits = [name.str.ends_with(suffix) for suffix, own in _SUFFIXES.items() if own == exchange]
        hits += [name.str.starts_with(prefix) for prefix, own in _PREFIXES.items() if own == exchange]
        says[exchange] = pl.any_horizontal(hits)
    return pl.when(says[NSE]).then(pl.lit(NSE)).when(says[BSE]).then(pl.lit(BSE))


def exchange_of_name(name: str) -> str | None:
    """`exchange_of` one name."""
    ends = (exchange for suffix, exchange in _SUFFIXES.items() if name.endswith(suffix))
    begins = (exchange for prefix, exchange in _PREFIXES.items() if name.startswith(prefix))
    return next(chain(ends, begins), None)


def exchange_in_column(values: pl.Expr) -> pl.Expr:
    """An exchange by any of its names; null for none that is known."""
    return values.str.to_uppercase().replace_strict(EXCHANGES, default=None, return_dtype=pl.String)


def is_name(name: pl.Expr) -> pl.Expr:
    """Whether something is there that can be a name."""
    odd = name.str.contains_any(list(_NO_NAME)) | (name.str.len_bytes() > MAX_NAME)
    return name.is_not_null() & (name != "") & ~odd


def are_running_numbers(cells: list[str]) -> bool:
    """Whether these cells of a column `index` are a program's row numbers instead of names."""
    return bool(cells) and all(_RUNNING_NUMBER.fullmatch(cell.strip().removesuffix(".0")) for cell in cells)


def ticker_in(stem: str, pattern: str) -> str | None:
    """The ticker in a file's name without its kind, by a regular expression with the group `ticker`."""
    found = re.search(pattern, stem)
    return None if found is None else found["ticker"]
