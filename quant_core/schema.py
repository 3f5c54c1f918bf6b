"""The contract of every table that passes between stages: columns, dtypes, keys, units.

Tables are long and sorted by (date, ticker). A price is in rupees of the row's own `basis`; a return is simple unless
the name says log; a weight is a fraction of equity. `validate` turns a broken contract into a DataError that names
the row.
"""

import dataframely as dy
import polars as pl

from quant_core.errors import DataError

EQUITY, INDEX = "equity", "index"
#: A row of CleanPrices whose stock may be bought: a tradable member of the universe.
IS_ELIGIBLE = pl.col("is_member") & pl.col("is_tradable") & (pl.col("instrument") == EQUITY)
#: A row of CleanPrices whose return may hold a corporate action that nobody confirmed: null, untradable, see cleaning.
IS_QUARANTINED = pl.col("flags").str.contains("quarantined", literal=True)
UNADJUSTED, SPLIT_ADJUSTED = "unadjusted", "split_adjusted"
#: Tickers of TargetWeights that are no name: what stays uninvested, and a strategy that could not decide.
CASH, FAILED = "(cash)", "(failed)"
#: Kinds of a line in a list of corporate actions, see market/action_list.py: price factors (a vendor's split gives way
#: to a confirmed kind), dividends, ends of the name (what a holder gets is no return of its own prices), and the rest.
CONFIRMED_KINDS = ("split_or_bonus_confirmed", "split_or_bonus_unconfirmed", "rights", "demerger")
FACTOR_KINDS = (*CONFIRMED_KINDS, "split")
DIVIDEND_KINDS = ("dividend", "dividend_implied", "dividend_known")
TERMINAL_KINDS = ("merger", "cash_out", "write_off")
SUSPENSION, REAL_MOVE = "suspension", "none"
#: `series` of BenchmarkReturns on a day without an index.
NO_SERIES = "none"
#: Behind the name of the series on a day whose total return is not published yet, and on one without any row.
PROVISIONAL, CARRIED = " (provisional)", " (carried)"


class RawOhlcv(dy.Schema):
    """Rows as the vendor gave them, defects included; (date, ticker) may repeat."""

    date = dy.Date()
    ticker = dy.String(min_length=1)  # continuous name, symbol changes chained
    symbol = dy.String(min_length=1)  # as traded that day
    series = dy.String(nullable=True)  # NSE series of the row (EQ, BE, ...), null where the source does not say
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
    dividend_return_1d = dy.Float64(
        nullable=True
    )  # the part of the return that was paid out, over the previous close; null where the return is
    is_member = dy.Bool()  # in the universe on this date
    is_filled = dy.Bool()  # no row from the source: prices carried forward
    is_tradable = dy.Bool()  # a sound row with volume
    flags = dy.String()  # kinds of defect found, joined by "|"; "" for none
    terminal_factor = dy.Float64(
        nullable=True
    )  # what a holder gets on this last row over the value before it: 0 for a write-off; null: not the last row
    terminal_into = dy.String(nullable=True)  # ticker whose shares are received on the last row; null for cash


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
    """Weights decided at the close of `date`, to be filled at the next session.

    No row means that nothing was decided: the book is kept. Every decision has a row `CASH`, an all-cash one only
    that. A null weight keeps what is held of the name, and the rest share what that leaves. A row `FAILED` alone (null
    weight) says that the strategy could not decide: the book is kept and the failure counted.
    """

    date = dy.Date(primary_key=True)
    strategy = dy.String(primary_key=True)
    ticker = dy.String(primary_key=True)
    weight = dy.Float64(nullable=True, min=0.0, max=1.0)


class BacktestDaily(dy.Schema):
    """One row per session and strategy, after the close; equity = cash + holdings to the paisa."""

    date = dy.Date(primary_key=True)
    strategy = dy.String(primary_key=True)
    equity_inr = dy.Float64()
    cash_inr = dy.Float64()
    simple_return_1d = dy.Float64()  # net of costs; 0 on the first session
    turnover_1d = dy.Float64()  # one-way: half the sum of absolute weight changes, cash included
    cost_inr = dy.Float64()
    interest_inr = dy.Float64()  # earned by cash
    dividend_inr = dy.Float64()  # paid into cash; 0 where dividends are reinvested in the name
    n_holdings = dy.Int32()
    n_fills = dy.Int32()
    n_unfilled = dy.Int32()  # orders left unfilled, whole or in part: halt, price band, membership, participation


class BacktestPositions(dy.Schema):
    """What is held after the close, drifted; only holdings."""

    date = dy.Date(primary_key=True)
    strategy = dy.String(primary_key=True)
    ticker = dy.String(primary_key=True)
    weight = dy.Float64()
    value_inr = dy.Float64()


BUY, SELL, DELISTING, DIVIDEND = "buy", "sell", "delisting", "dividend"


class BacktestTrades(dy.Schema):
    """Everything that moved money between cash and a name.

    A name that ended in another's shares is a delisting of the one and an uncharged purchase of the other.
    """

    date = dy.Date(primary_key=True)  # of the fill
    strategy = dy.String(primary_key=True)
    ticker = dy.String(primary_key=True)
    side = dy.String(primary_key=True, check=lambda c: c.is_in([BUY, SELL, DELISTING, DIVIDEND]))
    decision_date = dy.Date(nullable=True)  # the close at which the order was decided; null for what is no order
    value_inr = dy.Float64(
        min=0.0
    )  # traded value before costs; what a delisting paid by its terms, else the last value; a dividend
    price_inr = dy.Float64(nullable=True)  # of the fill, in the rupees of that day
    shares = dy.Float64(nullable=True)
    cost_inr = dy.Float64()  # every charge on this trade; a delisting's haircut


class BacktestCosts(dy.Schema):
    """Cost by kind; sessions without a cost of the kind have no row."""

    date = dy.Date(primary_key=True)
    strategy = dy.String(primary_key=True)
    kind = dy.String(primary_key=True)
    cost_inr = dy.Float64()


class RoundTrips(dy.Schema):
    """A name held without a gap, from its first purchase until nothing of it is left."""

    strategy = dy.String(primary_key=True)
    ticker = dy.String(primary_key=True)
    entry_date = dy.Date(primary_key=True)
    exit_date = dy.Date(nullable=True)  # null while it is still held
    n_sessions = dy.Int32()  # closes at which it was held
    bought_inr = dy.Float64()
    pnl_inr = dy.Float64()  # net of every charge; open trips at the last value
    simple_return = dy.Float64()  # pnl_inr / bought_inr


class Sensitivity(dy.Schema):
    """The same targets under another assumption."""

    strategy = dy.String(primary_key=True)
    scenario = dy.String(
        primary_key=True,
        check=lambda c: c.is_in(["cost_multiple", "extra_delay_sessions", "capital_inr", "delisting_haircut"]),
    )
    # 1, 2, 3 times the cost; 0, 1, 2 extra sessions; rupees of starting capital; share of the last value lost
    level = dy.Float64(primary_key=True)
    cagr = dy.Float64(nullable=True)
    sharpe_ann = dy.Float64(nullable=True)
    max_drawdown = dy.Float64(nullable=True)
    turnover_ann = dy.Float64(nullable=True)
    cost_ann = dy.Float64(nullable=True)  # fraction of mean equity a year


class Significance(dy.Schema):
    """How far a strategy's Sharpe ratio is from luck, one row a strategy."""

    strategy = dy.String(primary_key=True)
    n_sessions = dy.Int32()
    n_trials = dy.Int32()  # return histories tried so far in this profile, this one included
    n_own_trials = dy.Int32()  # of them, all but the baselines shipped with the lab
    n_clusters = dy.Int32()  # bets that the trials are variants of
    sharpe_ann = dy.Float64(nullable=True)
    sharpe_low_ann = dy.Float64(nullable=True)  # stationary bootstrap, 95 %
    sharpe_high_ann = dy.Float64(nullable=True)
    cagr_low = dy.Float64(nullable=True)
    cagr_high = dy.Float64(nullable=True)
    probabilistic_sharpe = dy.Float64(nullable=True)  # P(true Sharpe > 0)
    expected_max_sharpe_ann = dy.Float64(nullable=True)  # of these trials without skill
    deflated_sharpe = dy.Float64(nullable=True)  # P(true Sharpe > expected_max_sharpe_ann)
    information_ratio_ann = dy.Float64(nullable=True)  # of returns over the benchmark, as the two below
    expected_max_sharpe_vs_benchmark_ann = dy.Float64(nullable=True)
    deflated_sharpe_vs_benchmark = dy.Float64(nullable=True)
    min_track_record_sessions = dy.Float64(nullable=True)  # for P(Sharpe > 0) = 95 %; null where Sharpe <= 0


class BenchmarkReturns(dy.Schema):
    """The index that strategies are measured against, and what cash earned."""

    date = dy.Date(primary_key=True)
    simple_return_1d = dy.Float64()
    series = dy.String()  # index that the day's return came from; ends in "(provisional)" or "(carried)" if estimated
    risk_free_return_1d = dy.Float64()  # since the session before; 0 on the first


class ForecastQuality(dy.Schema):
    """Agreement between a day's scores and the returns that followed."""

    date = dy.Date(primary_key=True)
    model = dy.String(primary_key=True)
    rank_ic = dy.Float64()  # Spearman
    ic = dy.Float64()  # Pearson
    n_tickers = dy.Int32()


class ForecastDecay(dy.Schema):
    """Rank IC of today's scores against returns over other horizons than the label's."""

    model = dy.String(primary_key=True)
    horizon_sessions = dy.Int32(primary_key=True)
    mean_rank_ic = dy.Float64(nullable=True)
    nw_t = dy.Float64(nullable=True)
    n_dates = dy.Int32()


class ForecastQuantiles(dy.Schema):
    """What the names of each score quantile earned, and how fast the quantile changes its names."""

    model = dy.String(primary_key=True)
    quantile = dy.Int32(primary_key=True)  # 1 holds the lowest scores
    mean_forward_return = dy.Float64(nullable=True)  # mean over dates of the quantile's mean, over the label's horizon
    mean_excess_return = dy.Float64(nullable=True)  # the same less the mean of all names that day
    turnover_1d = dy.Float64(nullable=True)  # share of the quantile's names that were not in it the session before
    n_dates = dy.Int32()


#: Columns that a table may lack, as older stored months and hand-made tables do: they are null then.
OPTIONAL = {"series": pl.String, "terminal_factor": pl.Float64, "terminal_into": pl.String}


def validate(table: pl.DataFrame, schema: type[dy.Schema], where: str, remedy: str) -> pl.DataFrame:
    """The schema's columns of `table`, in its order, or a DataError that names column, count and first bad row.

    Args:
        table: any frame; columns beyond the schema's are kept behind them, OPTIONAL ones that it lacks are added.
        schema: one of the classes above.
        where: what the reader knows the table as, e.g. "nifty50/clean_prices 2021-03".
        remedy: what to do about it.
    """
    wanted = list(schema.column_names())
    lacking = [name for name in wanted if name in OPTIONAL and name not in table.columns and _is_nullable(schema, name)]
    table = table.with_columns(pl.lit(None, OPTIONAL[name]).alias(name) for name in lacking)
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


def _is_nullable(schema: type[dy.Schema], name: str) -> bool:
    return bool(schema.columns()[name].nullable)
