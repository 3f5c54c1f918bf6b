"""A digest of the rows of one small file of every layout: a rewrite of the reader that changes a value is seen.

What the rows should be, the other files of this folder say; here only that they stay what they were. Where a change is
meant, the digest that the failure shows is the new one.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_core.market.sources.files import FilesSource

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BARS = pl.DataFrame(
    {
        "day": [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 15)],
        "open": [1234.5, 1240.25, 615.0],
        "high": [1250.0, 1245.0, 630.1],
        "low": [1230.05, 1200.0, 612.35],
        "close": [1240.0, 1210.75, 625.55],
        "volume": [150_000, 98_765, 310_000],
    }
)


def lines(head: str, form: str, text: Callable[[float], str] = str) -> str:
    """One line a bar in the given form: its fields, or {d:%d-%m-%Y} for the day."""
    rows = [form.format(d=day, **dict(zip(BARS.columns[1:], map(text, bar), strict=True))) for day, *bar in BARS.rows()]
    return "\n".join([head, *rows, ""])


OHLCV = "{open},{high},{low},{close},{volume}"
#: Name of the file -> its text.
TEXTS = {
    "TCS.csv": lines("date,open,high,low,close,volume", "{d}," + OHLCV),
    "TCS.NS.csv": lines("Date,Open,High,Low,Close,Adj Close,Volume", "{d},{open},{high},{low},{close},{low},{volume}"),
    "multi.csv": lines(
        "Price,Close,Close,High,High,Low,Low,Open,Open,Volume,Volume\nTicker,A.NS,B.NS,A.NS,B.NS,A.NS,B.NS,A.NS,B.NS,"
        "A.NS,B.NS\nDate,,,,,,,,,,",
        "{d},{close},{low},{high},{high},{low},{low},{open},{low},{volume},7",
    ),
    "sec_bhavdata_full_02012024.csv": "SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, "
    "LAST_PRICE, CLOSE_PRICE, AVG_PRICE, TTL_TRD_QNTY, TURNOVER_LACS\n"
    "TCS, EQ, 02-Jan-2024, 1800.0, 1700.5, 1750, 1650, 1700.00, 1701.3, 1699.0, 1000, 16.99\n"
    "XYZ, BE, 02-Jan-2024, 10, 10, 10, 10, 10, 10, 10, 5, 0.0005\nGOLD, GB, 02-Jan-2024, 1, 1, 1, 1, 1, 1, 1, 1, 1\n",
    "KAGGLE.csv": lines(
        "Date,Symbol,Series,Prev Close,Open,High,Low,Last,Close,VWAP,Volume,Turnover",
        "{d},TCS,EQ,{low},{open},{high},{low},{close},{close},{open},{volume},1.5e13",
    ),
    "indian.csv": lines(
        "Symbol;Trade Date;Open;High;Low;Close Price;Total Traded Quantity",
        "NSE:TCS-EQ;{d:%d/%m/%Y};₹ {open};{high};{low};{close};{volume}",
        lambda value: f"{value:,.2f}" if isinstance(value, float) else f"{value // 1000},{value % 1000:03}",
    ),
    "ind_close_all_02012024.csv": "Index Name,Index Date,Open Index Value,High Index Value,Low Index Value,"
    "Closing Index Value,Volume,Turnover (Rs. Cr.)\nNifty 50,02-01-2024,21727.75,21755.6,21555.65,21665.8,263.9,25844\n"
    "Nifty Bank,02-01-2024,48150.6,48152.15,47481.35,47761.65,1,1\n",
}  # fmt: skip


def typed(folder: Path) -> None:
    BARS.rename({"day": "date"}).with_columns(ticker=pl.lit("TCS")).write_parquet(folder / "typed.parquet")


def texts_in_parquet(folder: Path) -> None:
    table = BARS.select(Date=pl.col("day").dt.to_string("%d-%m-%Y"), Symbol=pl.lit("TCS"), Close="close",
                        Volume=pl.col("volume").cast(pl.String))  # fmt: skip
    table.write_parquet(folder / "texts.parquet")


def both_bases(folder: Path) -> None:
    """Two bases, actions and a rename in one folder."""
    (folder / "NEW.csv").write_text(lines("date,open,high,low,close,volume", "{d}," + OHLCV))
    (folder / "OLD.NS.csv").write_text(
        "Date,Open,High,Low,Close,Adj Close,Volume\n2023-12-28,600,620,590,610,600,100\n2024-01-02,1,1,1,1,1,1\n"
    )
    (folder / "symbol_changes.csv").write_text("old_symbol,new_symbol,first_new\nOLD,NEW,2024-01-01\n")
    (folder / "corporate_actions.csv").write_text(
        "ticker,ex_date,kind,value,source\nNEW,2024-01-02,dividend,12.5,x\nNEW,2024-01-15,split,2,x\n"
    )


MADE: dict[str, Callable[[Path], object]] = {
    **{name: lambda folder, name=name: (folder / name).write_text(TEXTS[name], "utf-8") for name in TEXTS},
    "typed Parquet": typed,
    "Parquet of texts": texts_in_parquet,
    "two bases": both_bases,
}
DIGESTS = {
    "TCS.csv": "bfcd2b04ba88",
    "TCS.NS.csv": "aa6f332717d3",
    "multi.csv": "f7d4f1f1a3f7",
    "sec_bhavdata_full_02012024.csv": "c7ff3e242319",
    "KAGGLE.csv": "7e53ff89e850",
    "indian.csv": "9baecad03abe",
    "ind_close_all_02012024.csv": "ebb8716afc95",
    "typed Parquet": "b1430e97d802",
    "Parquet of texts": "d10078b3e13d",
    "two bases": "4304cce299ee",
}


def digest(rows: pl.DataFrame) -> str:
    """Of everything but when the file was written."""
    return hashlib.sha256(rows.drop("fetched_at").write_csv().encode()).hexdigest()[:12]


@pytest.mark.parametrize("name", MADE)
def test_the_rows_of_every_layout_stay_what_they_were(tmp_path: Path, name: str) -> None:
    MADE[name](tmp_path)
    found = FilesSource(path=str(tmp_path)).fetch(None, date(2000, 1, 1), date(2050, 1, 1), NOW)
    assert found.rows.height > 0
    assert digest(found.rows) == DIGESTS[name], found.rows.write_csv()
