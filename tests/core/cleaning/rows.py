"""Raw rows for tests, one short line each."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from quant_core.schema import RawOhlcv

FETCHED = datetime(2021, 4, 1, tzinfo=UTC)


def bar(day: date, close: float | None, ticker: str = "TCS", **over: Any) -> dict[str, Any]:
    """A row whose open, high and low equal its close, with 1000 shares traded."""
    price = close if close is not None else 100.0
    row = {
        "date": day, "ticker": ticker, "symbol": ticker, "series": None, "instrument": "equity",
        "open_inr": price, "high_inr": price, "low_inr": price, "close_inr": close, "prev_close_inr": None,
        "volume_shares": 1000, "turnover_inr": None, "dividend_inr": 0.0, "price_factor": 1.0,
        "basis": "unadjusted", "source": "test", "fetched_at": FETCHED,
    }  # fmt: skip
    return row | over


def raw(*rows: dict[str, Any]) -> pl.DataFrame:
    """The rows as a raw table."""
    return RawOhlcv.cast(pl.DataFrame(list(rows), infer_schema_length=None)) if rows else RawOhlcv.create_empty()
