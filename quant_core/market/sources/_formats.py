"""Known layouts of daily price files: which column is what, on which basis, in which unit.

| format | recognised by | unit quirks |
|---|---|---|
| nse_bhavcopy | DATE1, CLOSE_PRICE: NSE's `sec_bhavdata_full` | blanks around values; turnover in lakh rupees |
| kaggle_nse | "Prev Close" and Turnover: Kaggle `rohanrao/nifty50-stock-market-data` | turnover in 1e-5 rupees |
| yfinance | "Adj Close", or Dividends and "Stock Splits" | split-adjusted; without Adj Close also dividend-adjusted |
| lab | close_inr: this lab's own raw table | none |
| long | date, close and the like, one ticker a file or a ticker column | adj_close marks split-adjusted rows |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quant_core.errors import DataError, UnknownName
from quant_core.schema import SPLIT_ADJUSTED, UNADJUSTED

#: Column of the lab -> names it goes by, lower case with underscores for blanks.
ALIASES: dict[str, tuple[str, ...]] = {
    "date": ("date", "date1", "datetime", "timestamp", "trade_date"),
    "ticker": ("ticker",),
    "symbol": ("symbol",),
    "index": ("index", "index_name"),
    "instrument": ("instrument",),
    "series": ("series",),
    "open_inr": ("open_inr", "open", "open_price"),
    "high_inr": ("high_inr", "high", "high_price"),
    "low_inr": ("low_inr", "low", "low_price"),
    "close_inr": ("close_inr", "close", "close_price"),
    "adj_close_inr": ("adj_close_inr", "adj_close"),
    "prev_close_inr": ("prev_close_inr", "prev_close", "prevclose", "previous_close"),
    "volume_shares": ("volume_shares", "volume", "ttl_trd_qnty"),
    "turnover_inr": ("turnover_inr", "turnover", "turnover_lacs"),
    "dividend_inr": ("dividend_inr", "dividends"),
    "price_factor": ("price_factor",),
    "basis": ("basis",),
    "source": ("source",),
}
FORMATS = ("auto", "nse_bhavcopy", "kaggle_nse", "yfinance", "lab", "long")
LAKH = 1e5


@dataclass(frozen=True)
class Layout:
    """How to read one file.

    columns: pairs (lab column, file column). has_actions: the file itself says dividends (and factors).
    dividend_adjusted: closes are already adjusted for dividends, which must not be added again.
    """

    format: str
    columns: tuple[tuple[str, str], ...]
    basis: str
    turnover_scale: float = 1.0
    has_actions: bool = False
    dividend_adjusted: bool = False

    def column(self, name: str) -> str | None:
        """The file's column for a lab column, if it has one."""
        return dict(self.columns).get(name)


def plain(name: str) -> str:
    """A header cell in lower case, trimmed, with underscores for blanks."""
    return name.strip().strip("\ufeff").lower().replace(" ", "_")


def recognise(header: Sequence[str], where: str, wanted: str, renamed: Mapping[str, str], basis: str) -> Layout:
    """The layout of a file with this header.

    Args:
        header: the file's column names.
        where: the file, for messages.
        wanted: a name of FORMATS.
        renamed: lab column (or its short name, "close") -> column of the file; wins over the aliases.
        basis: "auto", "unadjusted" or "split_adjusted".
    Raises:
        DataError: no date or no close, a renamed column that the file lacks.
    """
    if wanted not in FORMATS:
        raise UnknownName("file format", wanted, FORMATS)
    columns = _columns(header, where, renamed)
    missing = [name for name in ("date", "close_inr") if name not in columns]
    if missing:
        raise DataError(
            f"{where}: no price table: no column for {', '.join(missing)} (found {_shown(header)}); wanted at least "
            'date and close, by a known name or by the setting columns={"close": "..."}.'
        )
    found = wanted if wanted != "auto" else _guess({plain(name) for name in header}, header)
    adjusted = found == "yfinance" or "adj_close_inr" in columns
    scale = {"nse_bhavcopy": LAKH, "kaggle_nse": 1.0 / LAKH}.get(found, 1.0)
    if plain(columns.get("turnover_inr", "")) == "turnover_lacs":
        scale = LAKH
    return Layout(
        format=found,
        columns=tuple(columns.items()),
        basis=basis if basis != "auto" else SPLIT_ADJUSTED if adjusted else UNADJUSTED,
        turnover_scale=scale,
        has_actions="dividend_inr" in columns,
        dividend_adjusted=found == "yfinance" and "adj_close_inr" not in columns,
    )


def _columns(header: Sequence[str], where: str, renamed: Mapping[str, str]) -> dict[str, str]:
    by_plain = {plain(name): name for name in reversed(header)}
    columns = {}
    for name, aliases in ALIASES.items():
        found = next((by_plain[alias] for alias in aliases if alias in by_plain), None)
        if found is not None:
            columns[name] = found
    short = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
    for name, column in renamed.items():
        if name not in short:
            raise UnknownName("column", name, list(short))
        if column not in header:
            raise DataError(f"{where}: column {column!r} is not in the file (found {_shown(header)}); fix columns.")
        columns[short[name]] = column
    return columns


def _guess(names: set[str], header: Sequence[str]) -> str:
    if {"date1", "close_price"} <= names:
        return "nse_bhavcopy"
    if any(name.strip().lower() == "prev close" for name in header) and "turnover" in names:
        return "kaggle_nse"
    if any(name.strip() == "Adj Close" for name in header) or {"dividends", "stock_splits"} <= names:
        return "yfinance"
    return "lab" if "close_inr" in names else "long"


def _shown(header: Sequence[str]) -> str:
    text = ", ".join(name.strip() for name in header)
    return text if len(text) <= 120 else text[:117] + "..."
