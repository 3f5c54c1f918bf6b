"""Small panels of CleanPrices and Features rows on real NSE sessions."""

from collections.abc import Callable, Mapping
from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.schema import CleanPrices

Panel = Callable[..., pl.DataFrame]


@pytest.fixture
def clean_prices() -> Panel:
    """Build CleanPrices from {ticker: [(open, close), ...]} on consecutive sessions; None is a halted session."""

    def build(bars: Mapping[str, list[tuple[float, float] | None]], start: date = date(2021, 3, 1)) -> pl.DataFrame:
        days = sessions(start, date(start.year + 1, 12, 31))
        rows = [row for ticker, series in bars.items() for row in _rows(ticker, series, days)]
        schema = {name: column.dtype for name, column in CleanPrices.columns().items()}
        return pl.DataFrame(rows, schema=schema).sort("date", "ticker")

    return build


def _rows(ticker: str, series: list[tuple[float, float] | None], days: list[date]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    close: float | None = None
    for day, bar in zip(days, series, strict=False):
        previous, traded = close, bar is not None
        close = bar[1] if bar else close
        overnight = bar[0] / previous - 1 if bar and previous else None
        intraday = bar[1] / bar[0] - 1 if bar else None
        rows.append(
            {
                "date": day, "ticker": ticker, "instrument": "equity", "open_inr": bar[0] if bar else None,
                "high_inr": max(bar) if bar else None, "low_inr": min(bar) if bar else None, "close_inr": close,
                "volume_shares": 100 if traded else 0, "turnover_inr": 1e6, "overnight_return_1d": overnight,
                "intraday_return_1d": intraday,
                "total_return_1d": bar[1] / previous - 1 if bar and previous else None,
                "is_member": True, "is_filled": not traded, "is_tradable": traded, "flags": "",
            }
        )  # fmt: skip
    return rows


@pytest.fixture
def linear_window() -> Panel:
    """A training window whose label is `strength` x signal + noise, with a useless input beside it."""

    def build(strength: float, seed: int, n_days: int = 120, n_tickers: int = 30) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        days = sessions(date(2018, 1, 1), date(2019, 12, 31))
        shape = n_days * n_tickers
        signal, noise = rng.standard_normal(shape), rng.standard_normal(shape)
        keys = [(day, end, f"T{k:02d}") for day, end in zip(days, days[6:], strict=False) for k in range(n_tickers)]
        frame = pl.DataFrame(keys[:shape], schema=["date", "label_end_date", "ticker"], orient="row")
        value = strength * signal + rng.standard_normal(shape)
        return frame.select(
            "date",
            "ticker",
            "label_end_date",
            pl.Series("forward_return_5d", 0.01 * value),
            pl.Series("label", value),
            pl.Series("signal", signal),
            pl.Series("noise", noise),
        )

    return build
