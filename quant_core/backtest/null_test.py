"""Does the machine find nothing where there is nothing, and something where there is something?

Hundreds of books are run that follow random scores. Whatever they earn beyond equal weight of the same names on the
same dates is luck, so their mean must be 0 within its standard error, none may survive the deflated Sharpe ratio, and
the probability of backtest overfitting must be near one half. Then a signal of known, weak skill is planted: it must be
found. A bias in the panel, the ledger or a measure would show in one or the other.

Why equal weight is the yardstick: a random top N holds every eligible name with the same probability, so from fill to
fill its expected return is that of equal weight *exactly*, whatever the market did (`SignalSet.fill_excess_1d`). Day by
day it is so to first order only (`excess_1d`): within a period the few names of a book drift further from equal weights
than all names do, which adds about 1 / N of the covariance across names of the period's past growth and today's return.
An index would be biased: it is weighted by capital. So would be a ratio of final wealth: more volatile books compound
to less.

What belongs here: running and judging such books. What does not: drawing their scores (`null_signals`).
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.backtest import null_signals as signals
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.null_signals import Universe
from quant_core.errors import DataError
from quant_core.trading.costs import CostSchedule
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import Ledger, Rules, check_reconciles, run_ledger
from quant_core.trading.market import Market
from quant_core.trading.overfitting import probability_of_backtest_overfitting
from quant_core.trading.performance import SESSIONS_PER_YEAR, annual_turnover
from quant_core.trading.significance import deflated_sharpe, probabilistic_sharpe, sharpe_moments

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator], Floats]

BPS = 1e-4
FOUND_T, FOUND_PROBABILITY = 3.0, 0.95
INDEPENDENT, PERSISTENT, PLANTED = "independent", "persistent", "planted"
SIGNAL_SETS = (INDEPENDENT, PERSISTENT, PLANTED)


@dataclass(frozen=True)
class NullTestConfig:
    """What is drawn.

    Args:
        n_signals: random signals of each kind, at least 2.
        n_planted: draws of the planted signal, at least 1; each is a signal of the same skill and other noise.
        top_n: names held, equally weighted.
        horizon_sessions: of the return that the planted signal foresees and the rank IC is measured against.
        rank_ic: true rank IC of the planted signal, above 0 and below 1.
        persistence: correlation of a persistent signal's score with that of the decision before, 0 to below 1.
        seed: the same seed gives the same result.
    """

    n_signals: int = 500
    n_planted: int = 100
    top_n: int = 5
    horizon_sessions: int = 5
    rank_ic: float = 0.05
    persistence: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_signals < 2 or self.n_planted < 1 or self.top_n < 1 or self.horizon_sessions < 1 or self.seed < 0:
            raise DataError(f"null test: {self}; wanted n_signals >= 2, the other counts >= 1 and a seed >= 0.")
        if not (0.0 < self.rank_ic < 1.0 and 0.0 <= self.persistence < 1.0):
            raise DataError(
                f"null test: rank_ic {self.rank_ic}, persistence {self.persistence}; wanted fractions below 1."
            )


@dataclass(frozen=True, eq=False)
class SignalSet:
    """S signals of one kind; arrays are (S,), returns are those of the book less those of equal weight.

    Args:
        rank_ic, rank_ic_t: mean over decisions and its Newey-West t.
        excess_1d: mean gross return a session, of the arithmetic differences.
        fill_excess_1d: the same measured from fill to fill, a session: what is exactly unbiased.
        net_excess_1d: after costs, equal weight paying its own.
        cost_excess_1d: costs over the equity before them, a session, less those of equal weight.
        turnover_ann: one-way.
        probabilistic_sharpe, deflated_sharpe: of the gross excess returns, the latter among all signals tried.
        pbo: probability of backtest overfitting in choosing among the signals; NaN for fewer than two.
    """

    rank_ic: Floats
    rank_ic_t: Floats
    excess_1d: Floats
    fill_excess_1d: Floats
    net_excess_1d: Floats
    cost_excess_1d: Floats
    turnover_ann: Floats
    probabilistic_sharpe: Floats
    deflated_sharpe: Floats
    pbo: float

    @property
    def found(self) -> NDArray[np.bool_]:
        """(S,) whether the lab would call it a signal: t > 3 and probabilistic Sharpe ratio > 0.95."""
        return (self.rank_ic_t > FOUND_T) & (self.probabilistic_sharpe > FOUND_PROBABILITY)

    @property
    def deflated_share(self) -> float:
        """Share whose deflated Sharpe ratio exceeds 0.95."""
        return float((self.deflated_sharpe > FOUND_PROBABILITY).mean())


@dataclass(frozen=True, eq=False)
class NullTest:
    """What came out."""

    settings: NullTestConfig
    first_date: date
    last_date: date
    n_sessions: int  # with a return
    n_decisions: int
    mean_eligible: float
    equal_weight_turnover_ann: float
    independent: SignalSet
    persistent: SignalSet
    planted: SignalSet


class _Run(NamedTuple):
    """All that books of one universe share."""

    universe: Universe
    rules: Rules
    free: CostSchedule
    charged: CostSchedule
    capital_inr: float
    top_n: int
    n_overlapping: int  # neighbouring decisions whose forward returns overlap


class _Book(NamedTuple):
    returns: Floats  # (T - 1,) gross
    fill_growth: Floats  # (periods,) gross
    net_returns: Floats  # (T - 1,)
    cost_share: Floats  # (T - 1,)
    turnover_ann: float


class _Outcome(NamedTuple):
    book: _Book
    rank_ic: float
    rank_ic_t: float


def null_test(
    prices: pl.DataFrame,
    config: BacktestConfig,
    settings: NullTestConfig | None = None,
    start: date | None = None,
    end: date | None = None,
) -> NullTest:
    """Run books of random and of planted scores through the panel and the ledger that backtests use.

    Args:
        prices: CleanPrices.
        config: rebalance, fill, delay, limits and costs of the net figures; gross ones have the same rules free of
            charge.
        start, end: first and last day of decisions and returns; by default those of `prices`.
    Raises:
        DataError: fewer than two decisions, or a decision with fewer members than `top_n`.
    """
    settings = settings or NullTestConfig()
    first, last = prices.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).row(0)
    universe = signals.universe_of(prices, config, start or first, end or last, settings.horizon_sessions)
    _check_enough(universe, settings.top_n)
    run = _prepared(universe, config, settings)
    even = _book(run, _equal(universe.eligible))
    outcomes = {name: _outcomes(run, settings, name) for name in SIGNAL_SETS}
    tried = _sharpes([_excess(o.book, even) for o in outcomes[INDEPENDENT]])
    sets = {name: _judge(found, even, None if name != PLANTED else tried) for name, found in outcomes.items()}
    return NullTest(
        settings=settings,
        first_date=universe.panel.sessions[0],
        last_date=universe.panel.sessions[-1],
        n_sessions=len(even.returns),
        n_decisions=len(universe.rows),
        mean_eligible=float(universe.eligible.sum(axis=1).mean()),
        equal_weight_turnover_ann=even.turnover_ann,
        independent=sets[INDEPENDENT],
        persistent=sets[PERSISTENT],
        planted=sets[PLANTED],
    )


def mean_and_error(values: Floats) -> tuple[float, float]:
    """Mean over signals and its standard error; the signals are independent given the market."""
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def markdown(result: NullTest) -> str:
    """The figures as a Markdown table with one column for each kind of signal."""
    s = result.settings
    head = (
        f"{result.first_date} to {result.last_date}: {result.n_sessions} sessions, {result.n_decisions} decisions, "
        f"{result.mean_eligible:.1f} eligible names on average, top {s.top_n}, seed {s.seed}. Returns are those over "
        f"equal weight of the same names (one-way turnover {result.equal_weight_turnover_ann:.1f} a year), in basis "
        "points a session, mean +- standard error over signals."
    )
    columns = [_column(found) for found in (result.independent, result.persistent, result.planted)]
    titles = ("independent", f"persistent ({s.persistence:g})", f"planted (rank IC {s.rank_ic:g})")
    lines = [f"| | {' | '.join(titles)} |", "|---|---|---|---|"]
    lines += [f"| {name} | {' | '.join(column[name] for column in columns)} |" for name in columns[0]]
    return "\n".join([head, "", *lines])


def _column(found: SignalSet) -> dict[str, str]:
    def bps(values: Floats) -> str:
        mean, error = mean_and_error(values)
        return f"{mean / BPS:+.3f} +- {error / BPS:.3f} ({mean / error:+.1f} s.e.)"

    return {
        "signals": f"{len(found.excess_1d)}",
        "gross, day by day": bps(found.excess_1d),
        "gross, fill to fill": bps(found.fill_excess_1d),
        "net": bps(found.net_excess_1d),
        "costs": bps(found.cost_excess_1d),
        "one-way turnover a year": f"{found.turnover_ann.mean():.1f}",
        "gross excess a year": f"{found.excess_1d.mean() * SESSIONS_PER_YEAR:+.2%}",
        "rank IC": f"{found.rank_ic.mean():+.4f}",
        "Newey-West t of it": f"{found.rank_ic_t.mean():+.2f}",
        "share with \\|t\\| > 1.96": f"{(np.abs(found.rank_ic_t) > 1.96).mean():.1%}",
        "probabilistic Sharpe ratio > 0.95": f"{(found.probabilistic_sharpe > FOUND_PROBABILITY).mean():.1%}",
        "found (t > 3 and that)": f"{found.found.mean():.1%}",
        "deflated Sharpe ratio > 0.95": f"{found.deflated_share:.1%}",
        "probability of backtest overfitting": f"{found.pbo:.2f}",
    }


def _prepared(universe: Universe, config: BacktestConfig, settings: NullTestConfig) -> _Run:
    charged = config.cost_schedule(universe.panel.sessions)
    apart = int(np.diff(universe.rows).min())
    return _Run(
        universe=universe,
        rules=config.rules,
        free=charged.scaled(0.0),
        charged=charged,
        capital_inr=config.initial_capital_inr,
        top_n=settings.top_n,
        n_overlapping=math.ceil(settings.horizon_sessions / apart) - 1,
    )


def _check_enough(universe: Universe, top_n: int) -> None:
    fewest = int(universe.eligible.sum(axis=1).argmin())
    n = int(universe.eligible[fewest].sum())
    if n < top_n:
        day = universe.panel.sessions[universe.rows[fewest]]
        raise DataError(f"null test: {n} members trade on {day}, top_n is {top_n}; lower it or start later.")


def _outcomes(run: _Run, settings: NullTestConfig, name: str) -> list[_Outcome]:
    """Every signal of one kind, each from its own stream of random numbers."""
    draws: dict[str, Draw] = {
        INDEPENDENT: partial(signals.independent_scores, run.universe.eligible),
        PERSISTENT: partial(signals.persistent_scores, run.universe.eligible, persistence=settings.persistence),
        PLANTED: partial(signals.planted_scores, run.universe, rank_ic=settings.rank_ic),
    }
    n = settings.n_planted if name == PLANTED else settings.n_signals
    seeds = [(settings.seed, SIGNAL_SETS.index(name), k) for k in range(n)]

    def one(seed: Sequence[int]) -> _Outcome:
        scores = draws[name](np.random.default_rng(seed))
        by_decision = signals.rank_ic(scores, run.universe)
        t = signals.newey_west_t(by_decision, run.n_overlapping)
        return _Outcome(_book(run, _top(scores, run.universe.eligible, run.top_n)), float(np.nanmean(by_decision)), t)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # the ledger lets go of the interpreter's lock
        return list(pool.map(one, seeds))


def _top(scores: Floats, eligible: NDArray[np.bool_], top_n: int) -> Floats:
    """(D, N) equal weights of the `top_n` eligible names with the highest scores."""
    chosen = np.argpartition(np.where(eligible, -scores, np.inf), top_n - 1, axis=1)[:, :top_n]
    weights = np.zeros(scores.shape)
    np.put_along_axis(weights, chosen, 1.0 / top_n, axis=1)
    return weights


def _equal(eligible: NDArray[np.bool_]) -> Floats:
    return eligible / eligible.sum(axis=1, keepdims=True)


def _book(run: _Run, weights: Floats) -> _Book:
    """Gross and net history of (D, N) weights."""
    universe = run.universe
    decision, name = np.nonzero(weights)
    decisions = Decisions.of(universe.rows, universe.rows[decision], name, weights[decision, name])
    gross, net = (
        run_ledger(universe.panel.market, decisions, costs, run.rules, run.capital_inr)
        for costs in (run.free, run.charged)
    )
    check_reconciles(net)
    fills = universe.rows + run.rules.delay_sessions
    equity = _equity_at_fill(gross, universe.panel.market, run.rules)[fills[fills < len(gross.equity)]]
    return _Book(
        returns=gross.simple_return[1:],
        fill_growth=equity[1:] / equity[:-1] - 1.0,
        net_returns=net.simple_return[1:],
        cost_share=net.cost[1:] / net.equity[:-1],
        turnover_ann=annual_turnover(gross.turnover[1:]),
    )


def _equity_at_fill(book: Ledger, market: Market, rules: Rules) -> Floats:
    """(T,) equity at the fills of a book without costs: holdings at the close less what they earned since."""
    _, after = market.legs(rules.fill, rules.dividends)
    row = np.repeat(np.arange(len(book.equity)), np.diff(book.holdings.start))
    value = book.holdings.value
    if after.size:
        value = value / (1.0 + np.nan_to_num(after[row, book.holdings.name]))
    return np.asarray(book.cash + np.bincount(row, value, len(book.equity)))


def _excess(book: _Book, even: _Book) -> Floats:
    return np.asarray(book.returns - even.returns)


def _sharpes(excess: Sequence[Floats]) -> Floats:
    return np.array([sharpe_moments(values).sharpe_1d for values in excess])


def _judge(outcomes: Sequence[_Outcome], even: _Book, tried: Floats | None) -> SignalSet:
    """Measures of every signal against equal weight.

    Args:
        tried: Sharpe ratios of the trials before; None where the signals themselves are all that was tried.
    """
    books = [outcome.book for outcome in outcomes]
    excess = [_excess(book, even) for book in books]
    sharpes = _sharpes(excess)
    trials = [sharpes if tried is None else np.append(tried, own) for own in sharpes]
    pbo = math.nan
    if len(books) > 1:
        pbo = probability_of_backtest_overfitting(np.column_stack(excess)).pbo
    sessions_per_period = len(even.returns) / max(len(even.fill_growth), 1)
    return SignalSet(
        rank_ic=np.array([outcome.rank_ic for outcome in outcomes]),
        rank_ic_t=np.array([outcome.rank_ic_t for outcome in outcomes]),
        excess_1d=np.array([values.mean() for values in excess]),
        fill_excess_1d=np.array([(book.fill_growth - even.fill_growth).mean() / sessions_per_period for book in books]),
        net_excess_1d=np.array([(book.net_returns - even.net_returns).mean() for book in books]),
        cost_excess_1d=np.array([(book.cost_share - even.cost_share).mean() for book in books]),
        turnover_ann=np.array([book.turnover_ann for book in books]),
        probabilistic_sharpe=np.array([probabilistic_sharpe(values) for values in excess]),
        deflated_sharpe=np.array([deflated_sharpe(v, t) for v, t in zip(excess, trials, strict=True)]),
        pbo=pbo,
    )
