"""Settings and readings that the tests of strategies share."""

from datetime import date
from functools import partial

import polars as pl

from quant_core.allocation import AllocationConfig
from quant_core.schema import CASH, FAILED

#: Decides on every scheduled date of the small market, in which some member lacks a price on every third one.
loose = partial(AllocationConfig, min_priced_members=0.5)


def held(table: pl.DataFrame) -> pl.DataFrame:
    """The rows of names with a weight: without cash, names kept and failures."""
    return table.filter(pl.col("weight").is_not_null(), ~pl.col("ticker").is_in([CASH, FAILED]))


def weights_of(table: pl.DataFrame, strategy: str, day: date) -> dict[str, float]:
    rows = held(table).filter((pl.col("strategy") == strategy) & (pl.col("date") == day))
    return dict(zip(rows["ticker"], rows["weight"], strict=True))


def kept_of(table: pl.DataFrame, strategy: str, day: date) -> set[str]:
    """Names that a decision keeps as they are held."""
    rows = table.filter((pl.col("strategy") == strategy) & (pl.col("date") == day), pl.col("weight").is_null())
    return set(rows["ticker"]) - {FAILED}
