"""First sessions of companies whose vendor history reaches back before they traded on NSE.

Vendors fill the time before with a predecessor, another exchange or an invention (TCS from 2002, two years before its
issue). `listings.csv` names the true first day of each, with its reason.
"""

from functools import lru_cache
from pathlib import Path

import polars as pl

LISTINGS = Path(__file__).parent / "listings.csv"


@lru_cache(maxsize=1)
def first_days() -> pl.DataFrame:
    """Columns ticker, listed_on."""
    return pl.read_csv(LISTINGS, try_parse_dates=True).select("ticker", listed_on="first_day")


def since_listing(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """`rows` (columns date, ticker) without those before a known listing, and how many went by ticker."""
    marked = rows.join(first_days(), on="ticker", how="left", maintain_order="left")
    early = (pl.col("date") < pl.col("listed_on")).fill_null(False)
    lost = marked.filter(early).group_by("ticker").len().sort("ticker")
    if not lost.height:
        return rows, {}
    return marked.filter(~early).drop("listed_on"), dict(lost.iter_rows())
