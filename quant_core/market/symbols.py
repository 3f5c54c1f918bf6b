"""Symbol changes: from the symbol of a day to the name that a company's rows are chained under.

The file has columns old_symbol, new_symbol and first_new (first session under the new symbol). The shipped one,
`symbol_changes.csv`, lists renames on NSE to the end of 2023, read from official price files.
"""

from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import polars as pl

from quant_core.errors import DataError

SHIPPED = Path(__file__).parent / "symbol_changes.csv"
COLUMNS = ("old_symbol", "new_symbol", "first_new")


def read_symbol_changes(path: Path = SHIPPED) -> pl.DataFrame:
    """Columns old_symbol, new_symbol, first_new, sorted by date.

    Raises:
        DataError: unreadable, a column missing, a date that is none.
    """
    where = f"symbol changes {path.name}"
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as failure:
        raise DataError(f"{where}: cannot be read ({failure}); wanted columns {', '.join(COLUMNS)}.") from failure
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DataError(f"{where}: columns {missing} are missing (found {table.columns}); wanted {', '.join(COLUMNS)}.")
    table = table.select(pl.col(COLUMNS).str.strip_chars()).with_columns(pl.col("first_new").str.to_date(strict=False))
    broken = table.select(pl.any_horizontal(pl.all().is_null()).arg_true()).to_series()
    if len(broken):
        raise DataError(
            f"{where} line {broken[0] + 2}: {table.row(broken[0])} has an empty field or no YYYY-MM-DD; fix it."
        )
    return table.sort("first_new", maintain_order=True)


def final_names(changes: pl.DataFrame) -> pl.DataFrame:
    """Columns symbol, until (last day on which the rename lies ahead), ticker (name at the end of the chain)."""
    links: dict[str, list[tuple[date, str]]] = {}
    for old, new, first in changes.select(COLUMNS).iter_rows():
        links.setdefault(old, []).append((first, new))
    rows = []
    for old, hops in links.items():
        for first, new in hops:
            rows.append((old, first - timedelta(days=1), _follow(links, new, first)))
    schema = {"symbol": pl.String, "until": pl.Date, "ticker": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("until")


def _follow(links: dict[str, list[tuple[date, str]]], symbol: str, day: date) -> str:
    while True:
        ahead = sorted(hop for hop in links.get(symbol, []) if hop[0] > day)
        if not ahead:
            return symbol
        day, symbol = ahead[0]


def chain(rows: pl.DataFrame, finals: pl.DataFrame) -> pl.Series:
    """The continuous ticker of each row.

    Args:
        rows: columns date and symbol.
        finals: see `final_names`. A rename applies to rows before it only: a symbol given to another company later is
            that company's from then on.
    """
    numbered = rows.select("date", "symbol").with_row_index("_n")
    touched = numbered.join(finals.select("symbol").unique(), on="symbol", how="semi").sort("date")
    if not touched.height:
        return numbered["symbol"].alias("ticker")
    found = touched.join_asof(
        finals, left_on="date", right_on="until", by="symbol", strategy="forward", check_sortedness=False
    )
    whole = numbered.join(found.select("_n", "ticker"), on="_n", how="left", maintain_order="left")
    return whole.select(pl.coalesce("ticker", "symbol").alias("ticker")).to_series()


def symbols_of(tickers: list[str], finals: pl.DataFrame) -> list[str]:
    """Every symbol under which one of the tickers may have traded, its own name included."""
    older = finals.filter(pl.col("ticker").is_in(tickers))["symbol"].to_list()
    return sorted({*tickers, *older})


@lru_cache(maxsize=1)
def shipped_names() -> pl.DataFrame:
    """`final_names` of the shipped list."""
    return final_names(read_symbol_changes())
