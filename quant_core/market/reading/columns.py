"""From the names of a header to the lab's columns: which is what, in which unit, on which basis.

| format | recognised by | quirks |
|---|---|---|
| nse_bhavcopy | DATE1, CLOSE_PRICE: NSE's `sec_bhavdata_full` | blanks around values; turnover in lakh rupees |
| nse_cm_bhavcopy | TOTTRDQTY, TIMESTAMP: NSE's `cm01JAN2020bhav.csv`, to July 2024 | turnover in rupees |
| nse_udiff | TckrSymb, ClsPric: NSE's and BSE's common format since 2024-07-08 | rupees; may hold derivatives |
| nse_archive | "Prev Close" and "Total Traded Quantity": NSE's history of one security | turnover in rupees |
| kaggle_nse | "Prev Close" and Turnover: Kaggle `rohanrao/nifty50-stock-market-data` | turnover in 1e-5 rupees |
| yfinance | "Adj Close", or Dividends and "Stock Splits" | split-adjusted; without Adj Close also dividend-adjusted |
| lab | close_inr: this lab's own raw table | none |
| long | date, close and the like, one ticker a file or a ticker column | adj_close marks split-adjusted rows |
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from quant_core.errors import DataError, UnknownName
from quant_core.market.problems import shown
from quant_core.schema import SPLIT_ADJUSTED, UNADJUSTED

#: Column of the lab -> plain names that it goes by, the first that a file has; see `plain`.
ALIASES: dict[str, tuple[str, ...]] = {
    "date": ("date", "date1", "traddt", "trade_date", "trading_date", "index_date", "datetime", "timestamp", "bizdt",
             "exchange_date", "historicaldate", "date_ymd", "time"),
    "ticker": ("ticker",),
    "symbol": (
        "symbol", "tckrsymb", "tradingsymbol", "trading_symbol", "scrip", "security_symbol",
        "nse_symbol", "stock", "stock_symbol", "sc_code", "scrip_code", "security_code",
    ),
    "index": ("index", "index_name"),
    "instrument": ("instrument", "instrument_type"),
    "kind": ("fininstrmtp",),
    "segment": ("sgmt",),
    "currency": ("currency", "ccy"),
    "exchange": ("exchange", "exch", "src"),
    "series": ("series", "sctysrs"),
    "open_inr": ("open_inr", "open", "open_price", "opnpric", "open_index_value", "px_open", "price_open",
                 "opening_price", "day_open"),
    "high_inr": ("high_inr", "high", "high_price", "hghpric", "high_index_value", "px_high", "price_high",
                 "highest_price", "day_high"),
    "low_inr": ("low_inr", "low", "low_price", "lwpric", "low_index_value", "px_low", "price_low",
                "lowest_price", "day_low"),
    "close_inr": (
        "close_inr", "close", "close_price", "clspric", "closing_index_value", "closing_price", "px_last",
        "price_close", "price",
    ),
    "adj_close_inr": ("adj_close_inr", "adj_close", "adjusted_close", "adjclose"),
    "prev_close_inr": (
        "prev_close_inr", "prev_close", "prevclose", "previous_close", "prvsclsgpric", "prev_close_price",
    ),
    "volume_shares": (
        "volume_shares", "volume", "ttl_trd_qnty", "tottrdqty", "ttltradgvol", "total_traded_quantity",
        "total_traded_qty", "no_of_shares", "shares_traded", "traded_qty", "traded_quantity", "quantity", "qty", "vol",
        "px_volume", "no_of_shrs", "traded_volume", "total_volume", "volume_traded", "total_traded_volume",
    ),
    "turnover_inr": (
        "turnover_inr", "turnover", "tottrdval", "ttltrfval", "total_turnover", "total_traded_value", "traded_value",
        "value", "net_turnov",
    ),
    "dividend_inr": ("dividend_inr", "dividends"),
    "price_factor": ("price_factor",),
    "basis": ("basis",),
    "source": ("source",),
}  # fmt: skip
#: Columns without which the lab cannot do, and what a person calls them.
NEEDED = {"date": "date", "close_inr": "close"}
NUMBERS = (
    "open_inr", "high_inr", "low_inr", "close_inr", "prev_close_inr", "adj_close_inr", "volume_shares", "turnover_inr",
    "dividend_inr", "price_factor",
)  # fmt: skip
TEXTS = (
    "ticker",
    "symbol",
    "index",
    "instrument",
    "kind",
    "segment",
    "currency",
    "exchange",
    "series",
    "basis",
    "source",
)
#: Columns that only contracts with an expiry have; a price of such a row is no price of the share.
DERIVATIVE = ("expiry_dt", "expiry_date", "strike_pr", "strike_price", "option_typ", "option_type")
LAKH, CRORE = 1e5, 1e7
#: What a name says of its unit, and rupees in it.
UNITS = {
    "lacs": LAKH, "lac": LAKH, "lakhs": LAKH, "lakh": LAKH, "crores": CRORE, "crore": CRORE, "cr": CRORE,
    "million": 1e6, "millions": 1e6, "mn": 1e6, "m": 1e6, "billion": 1e9, "billions": 1e9, "bn": 1e9, "b": 1e9,
    "thousands": 1e3, "thousand": 1e3, "k": 1e3, "000": 1e3, "000s": 1e3,
    "rs": 1.0, "inr": 1.0, "rupees": 1.0, "in": 1.0, "shares": 1.0,
}  # fmt: skip
_RUPEES, _SHARES = ("rs", "inr", "rupees"), ("shares",)
PRICES = ("open_inr", "high_inr", "low_inr", "close_inr", "prev_close_inr")
#: Columns whose name may end in a unit, and words that the unit of such a column has not.
_WITH_UNIT = {"turnover_inr": _SHARES, "volume_shares": _RUPEES} | dict.fromkeys(PRICES, _SHARES)
#: Words of a name by which a person means a column of the lab's, although the whole name is none that it goes by.
_MEANT = {
    "open": "open_inr", "opening": "open_inr", "high": "high_inr", "highest": "high_inr", "low": "low_inr",
    "lowest": "low_inr", "volume": "volume_shares", "vol": "volume_shares", "quantity": "volume_shares",
    "qty": "volume_shares", "turnover": "turnover_inr",
}  # fmt: skip
#: Words by which something else is meant: open interest, a moving average, a year's high, the shares delivered.
_NOT_MEANT = (
    "interest", "int", "oi", "ma", "sma", "ema", "date", "time", "avg", "average", "change", "chg", "spread", "ratio",
    "52", "52w", "52wk", "week", "month", "year", "deliverable", "delivery", "delivered", "deli", "deliv", "%",
)  # fmt: skip
FORMATS = (
    "auto", "nse_bhavcopy", "nse_cm_bhavcopy", "nse_udiff", "nse_archive", "kaggle_nse", "yfinance", "lab", "long",
)  # fmt: skip
#: Formats of one exchange day a file.
DAILY = ("nse_bhavcopy", "nse_cm_bhavcopy", "nse_udiff")


@dataclass(frozen=True)
class Layout:
    """How to read one file.

    columns: (lab column, name in the file, its place in the header). has_actions: the file itself says dividends (and
    factors). dividend_adjusted: closes are already adjusted for dividends, which must not be added again.
    turnover_scale: rupees in one of the file's units. unit_stated: the header says that unit; else the rows must agree.
    volume_scale: shares in one of the file's units. meant: (lab column that the file has not, the column that looks as
    if it were meant).
    """

    format: str
    columns: tuple[tuple[str, str, int], ...]
    basis: str
    turnover_scale: float = 1.0
    unit_stated: bool = False
    volume_scale: float = 1.0
    meant: tuple[tuple[str, str], ...] = ()
    has_actions: bool = False
    dividend_adjusted: bool = False

    def column(self, name: str) -> str | None:
        """The file's column for a lab column, if it has one."""
        return next((column for lab, column, _ in self.columns if lab == name), None)

    def without(self, name: str) -> "Layout":
        """The layout with that lab column left unread."""
        return replace(self, columns=tuple(one for one in self.columns if one[0] != name))


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """A header cell in lower case, with one underscore for whatever is neither letter nor digit.

    A percentage keeps its sign: "% Change" is no change in rupees. The sign of the rupee is its unit.
    """
    words = name.strip("\ufeff \t\"'").lower().replace("₹", " rs ")
    return re.sub(r"[^0-9a-z%]+", "_", words).strip("_")


def unit_of(name: str) -> tuple[str, float | None]:
    """A plain name without the unit that it ends in, and rupees in that unit; None where it states none."""
    parts, scale = plain(name).split("_"), None
    while len(parts) > 1 and parts[-1] in UNITS:
        own = UNITS[parts.pop()]
        scale = own if scale is None else max(scale, own)
    return "_".join(parts), scale


def is_header(cells: Sequence[str], renamed: Iterable[tuple[str, str]] = ()) -> bool:
    """Whether these cells name a date and a close, or what the settings call them."""
    columns = _columns(cells, dict(renamed), strict=False)
    return all(name in columns for name in NEEDED)


def recognise(header: Sequence[str], where: str, wanted: str, renamed: Mapping[str, str], basis: str) -> Layout:
    """The layout of a file with this header.

    Args:
        header: the file's column names.
        where: the file, for messages.
        wanted: a name of FORMATS.
        renamed: lab column (or its short name, "close") -> column of the file; wins over the aliases.
        basis: "auto", "unadjusted" or "split_adjusted".
    Raises:
        DataError: no date or no close, two columns for one thing, a contract's prices, a renamed column that is absent.
    """
    if wanted not in FORMATS:
        raise UnknownName("file format", wanted, FORMATS)
    places = _columns(header, renamed, where=where)
    missing = [called for name, called in NEEDED.items() if name not in places]
    if missing:
        raise DataError(
            f"{where}: no price table: no column for {', '.join(missing)} (found {_listed(header)}); wanted at least "
            'date and close, by a known name or by the setting columns={"close": "..."}.'
        )
    names = {plain(name) for name in header}
    contract = sorted(names & set(DERIVATIVE))
    if contract:
        raise DataError(
            f"{where}: prices of futures or options (column {contract[0]}), wanted shares; remove the file."
        )
    found = wanted if wanted != "auto" else _guess(names, header)
    adjusted = found == "yfinance" or "adj_close_inr" in places
    stated = unit_of(header[places["turnover_inr"]])[1] if "turnover_inr" in places else None
    shares = unit_of(header[places["volume_shares"]])[1] if "volume_shares" in places else None
    known = {"nse_bhavcopy": LAKH, "kaggle_nse": 1.0 / LAKH}.get(found, 1.0)
    return Layout(
        format=found,
        columns=tuple((name, header[place], place) for name, place in places.items()),
        basis=basis if basis != "auto" else SPLIT_ADJUSTED if adjusted else UNADJUSTED,
        turnover_scale=known if stated is None else stated,
        volume_scale=shares or 1.0,
        meant=_meant(header, places),
        unit_stated=stated is not None or found in ("lab", "nse_cm_bhavcopy", "nse_udiff"),
        has_actions="dividend_inr" in places,
        dividend_adjusted=found == "yfinance" and "adj_close_inr" not in places,
    )


def _columns(
    header: Sequence[str], renamed: Mapping[str, str], *, strict: bool = True, where: str = ""
) -> dict[str, int]:
    """Lab column -> place in the header."""
    names = [plain(name) for name in header]
    columns = {}
    for column, aliases in ALIASES.items():
        offered = [names, _with_own_unit(column, names)] if column in _WITH_UNIT else [names]
        hits = ((alias, one) for one in offered for alias in aliases if alias in one)
        alias, one = next(hits, ("", []))
        if not alias:
            continue
        if strict and one.count(alias) > 1 and column not in _by_lab_name(renamed):
            twins = [header[place] for place, name in enumerate(one) if name == alias]
            raise DataError(
                f"{where}: {len(twins)} columns are called {alias} ({_listed(twins)}), wanted one; rename the others "
                f'or set columns={{"{column}": "..."}}.'
            )
        columns[column] = one.index(alias)
    if "ticker" in columns or "symbol" in columns:
        columns.pop("index", None)  # a running number, or the index that the row's stock belongs to
    if "exchange" in columns and names[columns["exchange"]] == "src" and "tckrsymb" not in names:
        columns.pop("exchange")  # where somebody has the file from
    return columns | _renamed(header, renamed, strict, where)


def _with_own_unit(column: str, names: Sequence[str]) -> list[str]:
    """Names without their units, "" where the unit is none of the column: lakhs of a price, rupees of a volume."""
    found = []
    for name in names:
        bare, scale = unit_of(name)
        foreign = set(name.removeprefix(bare).split("_")) & set(_WITH_UNIT[column])
        found.append("" if foreign or (column in PRICES and scale not in (None, 1.0)) else bare)
    return found


def _meant(header: Sequence[str], places: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """Columns that nothing reads, and what they look like that the file has not otherwise."""
    found = []
    for place, name in enumerate(header):
        words = plain(name).split("_")
        column = next((_MEANT[word] for word in words if word in _MEANT), None)
        if column and column not in places and place not in places.values() and not {*words} & {*_NOT_MEANT}:
            found.append((column, name))
    return tuple(found)


def _renamed(header: Sequence[str], renamed: Mapping[str, str], strict: bool, where: str) -> dict[str, int]:
    found = {}
    for name, column in _by_lab_name(renamed).items():
        if column in header:
            found[name] = list(header).index(column)
        elif strict:
            raise DataError(f"{where}: column {column!r} is not in the file (found {_listed(header)}); fix columns.")
    return found


def _by_lab_name(renamed: Mapping[str, str]) -> dict[str, str]:
    short = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
    for name in renamed:
        if name not in short:
            raise UnknownName("column", name, list(short))
    return {short[name]: column for name, column in renamed.items()}


def _guess(names: set[str], header: Sequence[str]) -> str:
    exact = {name.strip() for name in header}
    if {"date1", "close_price"} <= names:
        return "nse_bhavcopy"
    if {"tckrsymb", "clspric"} <= names:
        return "nse_udiff"
    if {"tottrdqty", "timestamp"} <= names:
        return "nse_cm_bhavcopy"
    if "prev_close" in names and "total_traded_quantity" in names:
        return "nse_archive"
    if "turnover" in names and any(name.lower() == "prev close" for name in exact):
        return "kaggle_nse"
    if "Adj Close" in exact or {"dividends", "stock_splits"} <= names:
        return "yfinance"
    return "lab" if "close_inr" in names else "long"


def _listed(header: Sequence[str]) -> str:
    text = shown(", ".join(name.strip() for name in header))
    return text if len(text) <= 120 else text[:117] + "..."
