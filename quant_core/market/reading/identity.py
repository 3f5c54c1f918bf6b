"""Which stock or index a row is about: its name without what vendors put around it, and the exchange that they say.

TCS, tcs, TCS.NS, NSE:TCS, TCS-EQ and "TCS IN Equity" are one name. A name is never a missing value or a number,
whatever it looks like (NA, TRUE, 1E5 and 007 are names). What has a line break or a slash in it is none. What looks
like no symbol of NSE (`is_symbol`) stays as it is written, and is said.
"""

import re
from itertools import chain

import polars as pl

from quant_core.market.reading.dates import readings
from quant_core.market.reading.opening import stem_of

NSE, BSE = "NSE", "BSE"
#: Yahoo's, Refinitiv's, LSEG's and Bloomberg's (IN is India, IS is NSE, IB is BSE).
_SUFFIXES = {
    " IN EQUITY": None, " IS EQUITY": NSE, " IB EQUITY": BSE, " IN": None, " IS": NSE, " IB": BSE,
    ".NS": NSE, ".NSE": NSE, ".XNSE": NSE, "_NS": NSE, "_NSE": NSE, "-NSE": NSE,
    ".BO": BSE, ".BSE": BSE, ".XBOM": BSE, "_BO": BSE, "_BSE": BSE, "-BSE": BSE,
}  # fmt: skip
_PREFIXES = {"NSE:": NSE, "BSE:": BSE, "NSE_EQ|": NSE, "BSE_EQ|": BSE, "NSE-": NSE, "BSE-": BSE}
#: Brokers put the ordinary series behind the name; no symbol of NSE ends so by itself.
_SERIES = ("-EQ", "-BE", "-BZ", " EQ", "_EQ")
_BEFORE = rf"^(?i:{'|'.join(re.escape(one) for one in _PREFIXES)})"
_BEHIND, _SERIES_BEHIND = (
    rf"(?i:{'|'.join(re.escape(one) for one in group)})$" for group in (tuple(_SUFFIXES), _SERIES)
)
#: In this order: BSE-EQ is the share BSE.
_AROUND = (_BEHIND, _SERIES_BEHIND, _BEFORE)
#: What exchanges are called in a column, in capitals.
EXCHANGES = {
    "NSE": NSE, "NS": NSE, "XNSE": NSE, "N": NSE, "NSE_EQ": NSE, "NSE EQ": NSE, "NSEI": NSE, "NSE CM": NSE,
    "NSI": NSE, "NSE_CM": NSE, "NSEEQ": NSE, "NSE INDIA": NSE, "NATIONAL STOCK EXCHANGE": NSE,
    "NATIONAL STOCK EXCHANGE OF INDIA": NSE, "NATIONAL STOCK EXCHANGE OF INDIA LTD": NSE,
    "NATIONAL STOCK EXCHANGE OF INDIA LIMITED": NSE,
    "BSE": BSE, "BO": BSE, "XBOM": BSE, "B": BSE, "BSE_EQ": BSE, "BSE EQ": BSE, "BOM": BSE,
    "BSE_CM": BSE, "BSEEQ": BSE, "BSE INDIA": BSE, "BSE LTD": BSE, "BSE LIMITED": BSE, "BOMBAY STOCK EXCHANGE": BSE,
}  # fmt: skip
#: Names that are never shares, whatever file they come in: ^NSEI, NIFTY 50, INDIA VIX, SENSEX.
INDEX_NAME = (
    r"(?i)^(\^|NIFTY[ _-]|INDIA[ _-]?VIX$|S&P BSE |BSE SENSEX|"
    r"(NIFTY|NIFTY50|BANK[ _-]?NIFTY|FINNIFTY|MIDCPNIFTY|NIFTYNXT50|SENSEX|SENSEX ?50|BANKEX|CNX[ _-]\w+)$)"
)
#: What symbols of NSE look like (all 2,346 of its files of 2019-10 to 2023-12 do); no other name is put in capitals.
_SYMBOL = r"(?i)^[A-Z0-9&-]{1,20}$"
#: Names that `bare` leaves as they are.
SURELY_BARE = r"^[A-Z0-9&]{1,20}$"
_NO_NAME = ("/", "\\", "\n", "\r", "\t", "\0", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u2060", "\ufeff")
#: How vendors name their files around the ticker, and what browsers and copies put behind any name.
_FILE_NAMES = tuple(re.compile(pattern) for pattern in (
    r"^Quote-Equity-(?P<ticker>.+)-[A-Z]{1,2}$",
    r"^(?P<exchange>NSE|BSE)_(?:DLY_)?(?P<ticker>[^,]+), 1D(?:_\w+)?$",
    r"^(?P<ticker>.+?) (?:Historical Data|Stock Price History)$",
))  # fmt: skip
_DAY = r"(?:\d{4}-\d\d-\d\d|\d\d-(?:\d\d|[a-z]{3})-\d{4}|(?:19|20)\d{6})"
_BEHIND_NAMES = re.compile(rf"(?: ?\(\d+\)| - Copy|[-_ ](?:to[-_ ])?{_DAY})+$", re.IGNORECASE)
MAX_NAME = 60
#: What a column `instrument` says of a row's kind.
SHARE_WORDS, INDEX_WORDS = ("equity", "eq", "stk", "stock"), ("index", "idx")
#: Words that every name of an index has: row numbers, days and marks have none of two letters.
_WORD = re.compile(r"[A-Za-z]{2}")


def bare(name: pl.Expr) -> pl.Expr:
    """The name without exchange and series, a symbol in capitals."""
    for pattern in _AROUND:
        name = name.str.replace(pattern, "")
    return pl.when(is_symbol(name)).then(name.str.to_uppercase()).otherwise(name)


def bare_name(name: str) -> str:
    """`bare` of one name."""
    name = name.strip()
    for pattern in _AROUND:
        name = re.sub(pattern, "", name)
    return name.upper() if re.search(_SYMBOL, name) else name


def is_symbol(name: pl.Expr) -> pl.Expr:
    """Whether the name looks as NSE's symbols do."""
    return name.str.contains(_SYMBOL)


def exchange_of(name: pl.Expr) -> pl.Expr:
    """The exchange that a name states; null for none."""
    name, says = name.str.to_uppercase(), dict[str, pl.Expr]()
    without = name.str.replace(_SERIES_BEHIND, "")
    for exchange in (NSE, BSE):
        hits = [name.str.ends_with(suffix) for suffix, own in _SUFFIXES.items() if own == exchange]
        hits += [without.str.starts_with(prefix) for prefix, own in _PREFIXES.items() if own == exchange]
        says[exchange] = pl.any_horizontal(hits)
    return pl.when(says[NSE]).then(pl.lit(NSE)).when(says[BSE]).then(pl.lit(BSE))


def exchange_of_name(stem: str) -> str | None:
    """The exchange that a file's name states."""
    found = next((match for pattern in _FILE_NAMES if (match := pattern.search(_BEHIND_NAMES.sub("", stem)))), None)
    if found is not None and "exchange" in found.re.groupindex:
        return str(found["exchange"])
    name = stem.upper()
    ends = (exchange for suffix, exchange in _SUFFIXES.items() if exchange and name.endswith(suffix))
    without = re.sub(_SERIES_BEHIND, "", name)
    begins = (exchange for prefix, exchange in _PREFIXES.items() if without.startswith(prefix))
    return next(chain(ends, begins), None)


def exchange_in_column(values: pl.Expr) -> pl.Expr:
    """An exchange by any of its names; null for none that is known."""
    return values.str.to_uppercase().replace_strict(EXCHANGES, default=None, return_dtype=pl.String)


def is_index_file(name: str) -> bool:
    """Whether a file's name is an index's."""
    return re.search(INDEX_NAME, _BEHIND_NAMES.sub("", stem_of(name))) is not None


def is_name(name: pl.Expr) -> pl.Expr:
    """Whether something is there that can be a name."""
    odd = name.str.contains_any(list(_NO_NAME)) | (name.str.len_bytes() > MAX_NAME)
    return name.is_not_null() & (name != "") & ~odd


def are_row_labels(cells: list[str]) -> bool:
    """Whether these cells of a column `index` are a program's row numbers or days instead of names of indices."""
    return bool(cells) and all(not _WORD.search(cell) or readings(cell) for cell in cells)


def are_names(cells: list[str]) -> bool:
    """Whether these cells of a column `instrument` name stocks (TCS.NS) instead of saying of which kind they are."""
    words = {cell.strip() for cell in cells} - {""}
    return bool(words) and all(re.search(_SYMBOL, own := bare_name(word)) and own != word.upper() for word in words)


def ticker_in(stem: str, pattern: str) -> str | None:
    """The ticker in a file's name without its kind.

    Args:
        pattern: regular expression with the group `ticker`, for what is left without what copies, dates and vendors put
            around a name.
    """
    plain = _BEHIND_NAMES.sub("", stem) or stem
    vendors = (match["ticker"] for form in _FILE_NAMES if (match := form.search(plain)))
    found = re.search(pattern, next(vendors, plain))
    return None if found is None else found["ticker"]
