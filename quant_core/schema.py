"""The contract of every table that passes between stages: columns, dtypes, keys, units.

Tables are long and sorted by (date, ticker). A price is in rupees of the row's own `basis`; a return is simple unless
the name says log; a weight is a fraction of equity. `validate` turns a broken contract into a DataError that names
the row.
"""

import dataframely as dy
import polars as pl

from quant_core.errors import DataError

EQUITY, INDEX = "equity", "index"
UNADJUSTED, SPLIT_ADJUSTED = "unadjusted", "split_adjusted"


class RawOhlcv(dy.Schema):
    """Rows as the vendor gave them, defects included; (date, ticker) may repeat."""

    date = dy.Date()
    ticker = dy.String(min_length=1)  # continuous name, symbol changes chained
    symbol = dy.String(min_length=1)  # as traded that day
    instrument = dy.String(check=lambda c: c.is_in([EQUITY, INDEX]))
    open_inr = dy.Float64(nullable=True)
    high_inr = dy.Float64(nullable=True)
    low_inr = dy.Float64(nullable=True)
    close_inr = dy.Float64(nullable=True)
    prev_close_inr = dy.Float64(nullable=True)  # the exchange's own field; never adjusted for splits
    volume_shares = dy.Int64(nullable=True)
    turnover_inr = dy.Float64(nullable=True)
    dividend_inr = dy.Float64()  # ex-date this session, in the row's basis; 0 for none
    price_factor = (
        dy.Float64()
    )  # previous close x factor = previous close on today's basis; 0.2 for a 5-for-1 split, 1 for none
    basis = dy.String(check=lambda c: c.is_in([UNADJUSTED, SPLIT_ADJUSTED]))
    source = dy.String()
    fetched_at = dy.Datetime(time_unit="us", time_zone="UTC")


class CleanPrices(dy.Schema):
    """One row per session and instrument since its first price; the one-day total return is the primary quantity."""

    date = dy.Date(primary_key=True)
    ticker = dy.String(primary_key=True)
    instrument = dy.String(check=lambda c: c.is_in([EQUITY, INDEX]))
    open_inr = dy.Float64(nullable=True)
    high_inr = dy.Float64(nullable=True)
    low_inr = dy.Float64(nullable=True)
    close_inr = dy.Float64()
    volume_shares = dy.Int64(nullable=True)
    turnover_inr = dy.Float64(nullable=True)
    overnight_return_1d = dy.Float64(
        nullable=True
    )  # previous close -> open, dividend and split aware; null where is_filled
    intraday_return_1d = dy.Float64(nullable=True)  # open -> close
    total_return_1d = dy.Float64(nullable=True)  # (1 + overnight) x (1 + intraday) - 1
    is_member = dy.Bool()  # in the universe on this date
    is_filled = dy.Bool()  # no row from the source: prices carried forward
    is_tradable = dy.Bool()  # a sound row with volume
    flags = dy.String()  # kinds of defect found, joined by "|"; "" for none


class Features(dy.Schema):
    """Keys of the features table; the feature columns beside them come from the registry and the profile."""

    date = dy.Date(primary_key=True)
    ticker = dy.String(primary_key=True)
    is_eligible = dy.Bool()  # member, with enough history and few enough gaps as of this date


class Forecasts(dy.Schema):
    """One score per (date, ticker, model): higher means a higher expected return over the horizon."""

    date = dy.Date(primary_key=True)
    ticker = dy.String(primary_key=True)
    model = dy.String(primary_key=True)
    fold = dy.Int32()  # the year whose fold made the score
    fit_end = dy.Date()  # last date whose label the fold's model could see
    horizon_sessions = dy.Int32()
    score = dy.Float64()


class TargetWeights(dy.Schema):
    """Weights decided at the close of `date`, to be filled at the next session; what is missing to 1 is cash."""

    date = dy.Date(primary_key=True)
    strategy = dy.String(primary_key=True)
    ticker = dy.String(primary_key=True)
    weight = dy.Float64(min=0.0, max=1.0)


class BacktestDaily(dy.Schema):
    """One row per session and strategy, after the close."""

    date = dy.Date(primary_key=True)
    strategy = dy.String(primary_key=True)
    equity_inr = dy.Float64()
    cash_inr = dy.Float64()
    simple_return_1d = dy.Float64()  # net of costs; 0 on the first session
    turnover_1d = dy.Float64()  # one-way: half the sum of absolute weight changes, cash included
    cost_inr = dy.Float64()
    n_holdings = dy.Int32()
    n_fills = dy.Int32()
    n_unfilled = dy.Int32()  # wanted trades that a halt or an untradable row prevented


class BacktestPositions(dy.Schema):
    """Weights held after the close, drifted; only holdings."""

    date = dy.Date(primary_key=True)
    strategy = dy.String(primary_key=True)
    ticker = dy.String(primary_key=True)
    weight = dy.Float64()


class BenchmarkReturns(dy.Schema):
    """The index that strategies are measured against."""

    date = dy.Date(primary_key=True)
    simple_return_1d = dy.Float64()
    series = dy.String()  # which index the day's return came from (total return or price)


class ForecastQuality(dy.Schema):
    """Agreement between a day's scores and the returns that followed."""

    date = dy.Date(primary_key=True)
    model = dy.String(primary_key=True)
    rank_ic = dy.Float64()  # Spearman
    ic = dy.Float64()  # Pearson
    n_tickers = dy.Int32()


def validate(table: pl.DataFrame, schema: type[dy.Schema], where: str, remedy: str) -> pl.DataFrame:
    """The schema's columns of `table`, in its order, or a DataError that names column, count and first bad row.

    Args:
        table: any frame; columns beyond the schema's are kept behind them.
        schema: one of the classes above.
        where: what the reader knows the table as, e.g. "nifty50/clean_prices 2021-03".
        remedy: what to do about it.
    """
    wanted = list(schema.column_names())
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise DataError(f"{where}: columns {missing} are missing (found {table.columns}); {remedy}")
    ordered = table.select(*wanted, pl.exclude(wanted))
    dtypes = {name: column.dtype for name, column in schema.columns().items()}
    for name in wanted:
        found = ordered.schema[name]
        if not dtypes[name] == found:
            raise DataError(f"{where}: column {name} is {found}, wanted {dtypes[name]}; {remedy}")
    result = schema.filter(ordered.select(wanted))
    failures = result.failure
    if len(failures):
        rules = ", ".join(f"{rule} ({count} rows)" for rule, count in sorted(failures.counts().items()))
        first = failures.invalid().head(1).to_dicts()[0]
        raise DataError(f"{where}: {rules}; first bad row {first}; {remedy}")
    return ordered
