"""A simulated market with a known truth: regimes, sectors, splits, dividends, gaps and a weak planted signal.

Every calendar year is drawn by its own generator, seeded with (seed, year), from the state in which the year before
ended. A row therefore never depends on the span that was asked for, and years are cached one by one.

The model of one session, in log total returns: beta x market + sector + latent alpha + idiosyncratic noise, each drawn
once for the night and once for the day. Alpha is a slow AR(1) process of each ticker, so trailing returns carry a
little information about the next ones. High and low are exact extremes of the Brownian bridge from open to close
(Karatzas & Shreve, Brownian Motion and Stochastic Calculus, 2.8).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import numpy as np
import polars as pl

from quant_core.calendar import last_closed_session
from quant_core.market.sources._design import Design
from quant_core.market.sources._simulation import REGIMES, simulated_year
from quant_core.market.sources.source import (
    SOURCES,
    Fetch,
    Problem,
    check_span,
    empty_rows,
    missing_tickers,
    raw_rows,
)


@SOURCES.register("simulated")
@dataclass(frozen=True)
class SimulatedSource(Design):
    """A seeded simulated market with known regimes and a weak planted signal; needs no network."""

    def sectors(self) -> pl.DataFrame:
        """Columns ticker, sector."""
        names = [f"Sector {1 + number % self.n_sectors}" for number in range(self.n_tickers)]
        return pl.DataFrame({"ticker": self.tickers, "sector": names})

    def fetch(self, tickers: Sequence[str] | None, start: date, end: date, now: datetime) -> Fetch:
        """Rows of the span up to the last closed session.

        A part before the market's first day gives no rows and a Problem.
        """
        check_span("simulated", start, end)
        end = min(end, last_closed_session(now))
        problems = []
        if start < self.start:
            problems.append(Problem("", "before_start", f"simulated rows begin on {self.start}, asked from {start}"))
        years = range(max(start, self.start).year, end.year + 1)
        rows = pl.concat([empty_rows(), *(simulated_year(self, year).rows for year in years)])
        rows = rows.filter(pl.col("date").is_between(start, end))
        if tickers is not None:
            rows = rows.filter(pl.col("ticker").is_in(list(tickers)))
        problems += missing_tickers(tickers, rows, "simulated")
        return Fetch(raw_rows(rows, "simulated", "this is a bug of the simulator."), tuple(problems))

    def version(self, start: date, end: date, now: datetime) -> str:
        """Empty for a span that ended before the last closed session, else that session."""
        last = last_closed_session(now)
        return "" if end < last else last.isoformat()


@dataclass(frozen=True)
class Truth:
    """What an estimator cannot see.

    regimes: date, regime. alpha: date, ticker, alpha_1d (the expected log return of the *next* session beyond the
    factors), latent also where the row is missing. actions: ticker, ex_date, kind, value (a split's price factor or a
    dividend in rupees).
    """

    regimes: pl.DataFrame
    alpha: pl.DataFrame
    actions: pl.DataFrame


@dataclass(frozen=True)
class SimulatedMarket:
    """All rows from the market's first day to the requested end, and their truth."""

    rows: pl.DataFrame
    truth: Truth


def simulate(config: SimulatedSource, end: date) -> SimulatedMarket:
    """The market from its first day to `end`, with the truth behind it."""
    rows = config.fetch(None, config.start, end, datetime.combine(end, time(23), UTC)).rows
    years = [simulated_year(config, year) for year in range(config.start.year, end.year + 1)]
    days = [day for year in years for day in year.days]
    regimes = np.concatenate([year.regimes for year in years])
    truth_regimes = pl.DataFrame({"date": days, "regime": [REGIMES[state] for state in regimes]})
    alpha = np.concatenate([year.alpha for year in years])  # (T, N)
    truth_alpha = pl.DataFrame(
        {
            "date": pl.Series(days, dtype=pl.Date).gather(np.repeat(np.arange(len(days)), config.n_tickers)),
            "ticker": pl.Series(config.tickers * len(days)),
            "alpha_1d": alpha.ravel(),
        }
    )
    upto = pl.col("date") <= end
    moved = rows.filter((pl.col("price_factor") != 1.0) | (pl.col("dividend_inr") > 0.0))
    actions = pl.concat(
        [
            moved.filter(pl.col("price_factor") != 1.0).select(
                "ticker", ex_date="date", kind=pl.lit("split"), value="price_factor"
            ),
            moved.filter(pl.col("dividend_inr") > 0.0).select(
                "ticker", ex_date="date", kind=pl.lit("dividend"), value="dividend_inr"
            ),
        ]
    ).sort("ticker", "ex_date")
    return SimulatedMarket(rows, Truth(truth_regimes.filter(upto), truth_alpha.filter(upto), actions))
