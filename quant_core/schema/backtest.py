"""What a backtest leaves: days, positions, trades, costs, and what is measured on them."""

from collections.abc import Mapping

import dataframely as dy

#: `series` of BenchmarkReturns on a day without an index.
NO_SERIES = "none"
#: Behind the name of the series on a day whose total return is not published yet, and on one without any row.
PROVISIONAL, CARRIED = " (provisional)", " (carried)"
BUY, SELL, DELISTING, DIVIDEND = "buy", "sell", "delisting", "dividend"
#: What a candidate must beat, and how a reader knows it: three books and the index itself, one of the last two.
RIDGE_BOOK, EQUAL_WEIGHT_BOOK, INDEX_FUND, BENCHMARK = "top_n_ridge", "equal_weight", "buy_hold_index", "benchmark"
RIVALS: Mapping[str, str] = {
    RIDGE_BOOK: "ridge",
    EQUAL_WEIGHT_BOOK: "equal weight",
    INDEX_FUND: "holding the index",
    BENCHMARK: "the benchmark",
}
#: The parts of an active return, in the order in which they are read; told in `backtest.return_attribution`.
COMPONENTS = ("market", "size", "sector", "signal", "luck", "cash", "trading", "cost")
PROMOTED, NOT_PROMOTED, OPEN = "promoted", "not promoted", "open"


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
    exposure = dy.Float64(nullable=True)  # mean share that is invested


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


class StressedReturns(dy.Schema):
    """What each book earned at a multiple of the costs; 0 on its first session."""

    date = dy.Date(primary_key=True)
    strategy = dy.String(primary_key=True)
    simple_return_1d = dy.Float64()


class Promotion(dy.Schema):
    """Whether a candidate is good enough to be traded, one row a candidate; Sharpe ratios at twice the costs."""

    strategy = dy.String(primary_key=True)
    status = dy.String(check=lambda c: c.is_in([PROMOTED, NOT_PROMOTED, OPEN]))  # open: a rival is missing
    n_sessions = dy.Int32()  # that it shares with all its rivals
    sharpe_ann = dy.Float64(nullable=True)
    n_own_trials = dy.Int32()  # histories of its family, and settings that were tried on validation slices
    expected_max_sharpe_ann = dy.Float64(nullable=True)  # of so many tries without skill
    deflated_sharpe = dy.Float64(nullable=True)  # P(true Sharpe > expected_max_sharpe_ann)
    reasons = dy.String()  # why not; "" where it is promoted


class PromotionLeads(dy.Schema):
    """How far a candidate's Sharpe ratio is above a rival's over the same sessions, both at twice the costs."""

    strategy = dy.String(primary_key=True)
    rival = dy.String(primary_key=True, check=lambda c: c.is_in(list(RIVALS)))
    rival_sharpe_ann = dy.Float64(nullable=True)
    lead_ann = dy.Float64(nullable=True)
    lead_low_ann = dy.Float64(nullable=True)  # stationary bootstrap of both together, 95 %
    lead_high_ann = dy.Float64(nullable=True)


class Attribution(dy.Schema):
    """What a book's return over the benchmark's was made of: means of daily parts x 252, which add up to "active"."""

    strategy = dy.String(primary_key=True)
    component = dy.String(primary_key=True, check=lambda c: c.is_in([*COMPONENTS, "active"]))
    return_ann = dy.Float64()
    low_ann = dy.Float64(nullable=True)  # stationary bootstrap, 95 %
    high_ann = dy.Float64(nullable=True)


class TransferCoefficients(dy.Schema):
    """How much of a model's view is in the book that follows it."""

    strategy = dy.String(primary_key=True)
    model = dy.String()
    n_sessions = dy.Int32()
    transfer_coefficient = dy.Float64(nullable=True)  # mean over sessions; 1: active weights are in proportion


class BenchmarkReturns(dy.Schema):
    """The index that strategies are measured against, and what cash earned."""

    date = dy.Date(primary_key=True)
    simple_return_1d = dy.Float64()
    series = dy.String()  # index that the day's return came from; ends in "(provisional)" or "(carried)" if estimated
    risk_free_return_1d = dy.Float64()  # since the session before; 0 on the first
