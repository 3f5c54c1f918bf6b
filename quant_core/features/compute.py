"""Clean prices in, one row per (date, ticker) of trailing measurements out: the way from table to table.

Belongs here: which rows a range needs, and the whole in one piece or in blocks. Does not belong here: the dense panel
(`panel.py`), sharing out the work (`engine.py`) and any one feature.
"""

from collections.abc import Iterator
from datetime import date, timedelta

import polars as pl

from quant_core.calendar import FIRST_DAY, sessions
from quant_core.errors import DataError
from quant_core.features.config import FeatureConfig, feature_columns, features_of, warm_up_sessions
from quant_core.features.engine import feature_table
from quant_core.features.panel import FLAGS, KEYS, RETURN, build_panel
from quant_core.schema import EQUITY, INDEX


def compute_features(
    prices: pl.DataFrame | pl.LazyFrame,
    config: FeatureConfig,
    start: date,
    end: date,
    sectors: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Features of every equity row with start <= date <= end.

    Args:
        prices: CleanPrices in any order, reaching `warm_up_sessions(config)` sessions before `start`. Older rows, rows
            after `end` and indices other than `config.index_ticker` are not read.
        config: which features, windows and normalisation.
        sectors: columns ticker, sector. Tickers without a sector (all of them where None is given) are compared with
            the whole universe instead.
    Returns:
        keys date, ticker, is_eligible, then `feature_columns(config)`; sorted by date and ticker. Features are null on
        filled rows and where their window is not full. A value is bit for bit the same whatever else was loaded.
    Raises:
        UnknownName: a feature that is not registered.
        DataError: a window too short, `start` after `end`, a column that a feature reads is absent, or rows that break
            the contract of clean prices.
    """
    reads = tuple(dict.fromkeys(column for entry in features_of(config) for column in entry.reads))
    columns = feature_columns(config)
    rows, index = _load(prices, config, reads, _first_day(config, start, end), end)
    if rows.is_empty() or not bool((rows["date"] >= start).any()):
        return _empty(columns)
    panel = build_panel(
        rows,
        reads,
        index=index,
        sectors=sectors,
        min_history_sessions=config.min_history_sessions,
        max_missing_share=config.max_missing_share,
    )
    del rows, index
    return feature_table(panel, config, start)


def compute_feature_blocks(
    prices: pl.DataFrame | pl.LazyFrame,
    config: FeatureConfig,
    start: date,
    end: date,
    sectors: pl.DataFrame | None = None,
    sessions_per_block: int = 500,
) -> Iterator[pl.DataFrame]:
    """The rows of `compute_features` in blocks of consecutive sessions, for ranges whose table would not fit in memory.

    Each block loads its own warm-up, so the memory needed depends on `sessions_per_block`, not on the range.
    """
    days = sessions(start, end)
    for begin in range(0, len(days), sessions_per_block):
        block = days[begin : begin + sessions_per_block]
        yield compute_features(prices, config, block[0], block[-1], sectors)


def _first_day(config: FeatureConfig, start: date, end: date) -> date:
    """The session `warm_up_sessions` before `start`, or the calendar's first."""
    if start > end:
        raise DataError(f"features: start {start} is after end {end}; swap them.")
    history = sessions(FIRST_DAY, start - timedelta(days=1)) if start > FIRST_DAY else []
    return history[-warm_up_sessions(config) :][0] if history else start


def _load(
    prices: pl.DataFrame | pl.LazyFrame, config: FeatureConfig, reads: tuple[str, ...], first: date, last: date
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of equities, and of the market index, between two days."""
    found = prices.lazy().collect_schema().names()
    absent = {
        column: [entry.name for entry in features_of(config) if column in entry.reads]
        for column in (*KEYS, "instrument", RETURN, *reads)
        if column not in found
    }
    if absent:
        raise DataError(
            f"clean_prices: columns {list(absent)} are missing (features that read them: {absent}); "
            "materialize clean_prices again or leave these features out of features.names."
        )
    inside = prices.lazy().filter(pl.col("date").is_between(first, last))
    flags = [name for name in (FLAGS,) if name in found]
    equities = inside.filter(pl.col("instrument") == EQUITY).select(*dict.fromkeys((*KEYS, RETURN, *flags, *reads)))
    index = inside.filter(pl.col("instrument") == INDEX, pl.col("ticker") == config.index_ticker)
    rows, index_rows = pl.collect_all([equities, index.select(*KEYS, RETURN)])
    return rows, index_rows


def _empty(columns: list[str]) -> pl.DataFrame:
    keys = {"date": pl.Date(), "ticker": pl.String(), "is_eligible": pl.Boolean()}
    return pl.DataFrame(schema={**keys, **dict.fromkeys(columns, pl.Float64())})
