"""Does the machine find nothing where there is nothing, and something where there is something?

Hundreds of books follow random scores. Whatever they earn beyond equal weight of the same names on the same dates is
luck: their mean must be 0 within its standard error, none may survive the deflated Sharpe ratio, and the probability of
backtest overfitting must lie around one half. Then a signal of known, weak skill is planted, and must be found. A bias
of the panel, the ledger or a measure would show in one or the other.

Why equal weight is the yardstick: a random top N holds every eligible name with the same probability, so from fill to
fill its expected return is that of equal weight *exactly*, whatever the market did. Two things are left:
- Within a period a few names drift further from equal weights than all names do. Day by day this adds about 1 / N of
  the covariance across names of the period's past growth and today's return. Fill to fill it is absent.
- Orders that a closed name left open cost a book of few names more than equal weight, which holds the name already.
  `SignalSet.order_excess_1d` is that part alone: the ledger's fill-to-fill return less plain arithmetic on the picks.
  The luck of the draw is in both and cancels, so it is known some ten times more precisely than the excess itself.
An index would not do (it is weighted by capital), nor would ratios of final wealth (volatile books compound to less).

What belongs here: judging many books. What does not: drawing scores (`null_signals`), running a book (`null_books`).
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
from quant_core.backtest.null_books import BookHistory, Desk, desk_of, equal_weights, run_book, top_weights
from quant_core.backtest.null_signals import Choices
from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.measures.overfitting import probability_of_backtest_overfitting
from quant_core.measures.significance import deflated_sharpe, probabilistic_sharpe, sharpe_moments
from quant_core.trading.rebalancing import Rebalance, check_rebalance

Draw = Callable[[np.random.Generator], Floats]

BPS = 1e-4
FOUND_T, FOUND_PROBABILITY = 3.0, 0.95
INDEPENDENT, PERSISTENT, PLANTED = "independent", "persistent", "planted"
SIGNAL_SETS = (INDEPENDENT, PERSISTENT, PLANTED)  # their places seed their draws


@dataclass(frozen=True)
class NullTestConfig:
    """What is drawn.

    Args:
        n_signals: random signals of each kind, at least 2.
        n_planted: draws of the planted signal, at least 1; the skill is the same, the noise another.
        rebalance: how often is decided.
        top_n: names held, equally weighted.
        horizon_sessions: of the return that the planted signal foresees and every rank IC is measured against.
        rank_ic: true rank IC of the planted signal, above 0 and below 1.
        persistence: correlation of a persistent signal's score with that of the decision before, 0 to below 1.
        seed: the same seed gives the same result.
    """

    n_signals: int = 500
    n_planted: int = 100
    rebalance: Rebalance = "weekly"
    top_n: int = 5
    horizon_sessions: int = 5
    rank_ic: float = 0.05
    persistence: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        check_rebalance(self.rebalance)
        if self.n_signals < 2 or self.n_planted < 1 or self.top_n < 1 or self.horizon_sessions < 1 or self.seed < 0:
            raise DataError(f"null test: {self}; wanted n_signals >= 2, the other counts >= 1 and a seed >= 0.")
        if not (0.0 < self.rank_ic < 1.0 and 0.0 <= self.persistence < 1.0):
            raise DataError(
                f"null test: rank_ic {self.rank_ic}, persistence {self.persistence}; wanted fractions below 1."
            )


@dataclass(frozen=True, eq=False)
class SignalSet:
    """S signals of one kind; arrays are (S,), returns are those of a book less those of equal weight.

    Args:
        rank_ic, rank_ic_t: mean over decisions and its Newey-West t.
        excess_1d: mean gross return a session, arithmetic differences day by day.
        fill_excess_1d: the same measured from fill to fill.
        order_excess_1d: the part of it that orders left open account for.
        net_excess_1d: after costs, equal weight paying its own.
        cost_excess_1d: costs over the equity before them, less those of equal weight.
        turnover_ann: one-way.
        probabilistic_sharpe, deflated_sharpe: of the gross excess returns; deflated by all random signals tried, and by
            the planted one itself.
        pbo: probability of backtest overfitting in choosing among random signals; NaN for planted ones, equally good.
    """

    rank_ic: Floats
    rank_ic_t: Floats
    excess_1d: Floats
    fill_excess_1d: Floats
    order_excess_1d: Floats
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


class _Outcome(NamedTuple):
    book: BookHistory
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
        config: fill, delay, limits, and the costs of the net figures; gross ones have the same rules free of
            charge.
        start, end: first and last day of decisions and returns; by default those of `prices`.
    Raises:
        DataError: fewer than two decisions, or a decision with fewer members than `top_n`.
    """
    settings = settings or NullTestConfig()
    first, last = prices.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).row(0)
    universe = signals.choices_of(
        prices, config, settings.rebalance, start or first, end or last, settings.horizon_sessions
    )
    _check_enough(universe, settings.top_n)
    desk = desk_of(universe, config)
    even = run_book(desk, equal_weights(universe.eligible))
    outcomes = {name: _outcomes(desk, settings, name) for name in SIGNAL_SETS}
    tried = _sharpes([outcome.book.gross_return - even.gross_return for outcome in outcomes[INDEPENDENT]])
    sets = {name: _judge(found, even, tried if name == PLANTED else None) for name, found in outcomes.items()}
    return NullTest(
        settings=settings,
        first_date=universe.panel.sessions[0],
        last_date=universe.panel.sessions[-1],
        n_sessions=len(even.gross_return),
        n_decisions=len(universe.rows),
        mean_eligible=float(universe.eligible.sum(axis=1).mean()),
        equal_weight_turnover_ann=even.turnover_ann,
        independent=sets[INDEPENDENT],
        persistent=sets[PERSISTENT],
        planted=sets[PLANTED],
    )


def mean_and_error(values: Floats) -> tuple[float, float]:
    """Mean over signals and its standard error (NaN for one); given the market, the draws are independent."""
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), error


def markdown(result: NullTest) -> str:
    """The figures as a Markdown table with one column for each kind of signal."""
    s = result.settings
    head = (
        f"{result.first_date} to {result.last_date}: {result.n_sessions} sessions, {result.n_decisions} decisions, "
        f"{result.mean_eligible:.1f} eligible names on average, top {s.top_n}, seed {s.seed}. Returns are those over "
        f"equal weight of the same names (one-way turnover {result.equal_weight_turnover_ann:.1f} a year), in basis "
        "points a session: mean over signals, its standard error and their ratio."
    )
    columns = [_column(found) for found in (result.independent, result.persistent, result.planted)]
    titles = (INDEPENDENT, f"{PERSISTENT} ({s.persistence:g})", f"{PLANTED} (rank IC {s.rank_ic:g})")
    lines = [f"| | {' | '.join(titles)} |", "|---|---|---|---|"]
    lines += [f"| {name} | {' | '.join(column[name] for column in columns)} |" for name in columns[0]]
    return "\n".join([head, "", *lines])


def _column(found: SignalSet) -> dict[str, str]:
    def bps(values: Floats) -> str:
        mean, error = mean_and_error(values)
        if not error > 0.0:
            return f"{mean / BPS:+.3f}"
        return f"{mean / BPS:+.3f} +- {error / BPS:.3f} ({mean / error:+.1f})"

    sure = found.probabilistic_sharpe > FOUND_PROBABILITY
    return {
        "signals": f"{len(found.excess_1d)}",
        "gross, day by day": bps(found.excess_1d),
        "gross, fill to fill": bps(found.fill_excess_1d),
        "of it, orders left open": bps(found.order_excess_1d),
        "net": bps(found.net_excess_1d),
        "costs": bps(found.cost_excess_1d),
        "one-way turnover a year": f"{found.turnover_ann.mean():.1f}",
        "gross a year": f"{found.excess_1d.mean() * SESSIONS_PER_YEAR:+.2%}",
        "rank IC": f"{found.rank_ic.mean():+.4f}",
        "its Newey-West t": f"{found.rank_ic_t.mean():+.2f}",
        "share with t beyond 1.96": f"{(np.abs(found.rank_ic_t) > 1.96).mean():.1%}",
        "probabilistic Sharpe ratio > 0.95": f"{sure.mean():.1%}",
        "found (that and t > 3)": f"{found.found.mean():.1%}",
        "deflated Sharpe ratio > 0.95": f"{found.deflated_share:.1%}",
        "probability of backtest overfitting": "-" if math.isnan(found.pbo) else f"{found.pbo:.2f}",
    }


def _check_enough(universe: Choices, top_n: int) -> None:
    members = universe.eligible.sum(axis=1)
    fewest = int(members.argmin())
    if members[fewest] < top_n:
        day = universe.panel.sessions[universe.rows[fewest]]
        raise DataError(
            f"null test: {members[fewest]} members trade on {day}, top_n is {top_n}; lower it or start later."
        )


def _outcomes(desk: Desk, settings: NullTestConfig, name: str) -> list[_Outcome]:
    """Every signal of one kind, each from its own stream of random numbers."""
    universe = desk.universe
    draws: dict[str, Draw] = {
        INDEPENDENT: partial(signals.independent_scores, universe.eligible),
        PERSISTENT: partial(signals.persistent_scores, universe.eligible, persistence=settings.persistence),
        PLANTED: partial(signals.planted_scores, universe, rank_ic=settings.rank_ic),
    }
    overlap = math.ceil(settings.horizon_sessions / int(np.diff(universe.rows).min())) - 1

    def one(seed: Sequence[int]) -> _Outcome:
        scores = draws[name](np.random.default_rng(seed))
        by_decision = signals.rank_ic(scores, universe)
        book = run_book(desk, top_weights(scores, universe.eligible, settings.top_n))
        return _Outcome(book, float(np.nanmean(by_decision)), signals.newey_west_t(by_decision, overlap))

    n = settings.n_planted if name == PLANTED else settings.n_signals
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # the ledger lets go of the interpreter's lock
        return list(pool.map(one, [(settings.seed, SIGNAL_SETS.index(name), k) for k in range(n)]))


def _sharpes(excess: Sequence[Floats]) -> Floats:
    return np.array([sharpe_moments(values).sharpe_1d for values in excess])


def _judge(outcomes: Sequence[_Outcome], even: BookHistory, tried: Floats | None) -> SignalSet:
    """Measures of every signal against equal weight.

    Args:
        tried: Sharpe ratios of the trials before a planted signal; None for random ones, which are the trials.
    """
    books = [outcome.book for outcome in outcomes]
    excess = [book.gross_return - even.gross_return for book in books]
    sharpes = _sharpes(excess)
    trials = [sharpes if tried is None else np.append(tried, own) for own in sharpes]
    overfitting = math.nan if tried is not None else probability_of_backtest_overfitting(np.column_stack(excess)).pbo
    periods_per_session = len(even.fill_return) / len(even.gross_return)
    fill = np.array([(book.fill_return - even.fill_return).mean() for book in books]) * periods_per_session
    picks = np.array([(book.pick_return - even.pick_return).mean() for book in books]) * periods_per_session
    return SignalSet(
        rank_ic=np.array([outcome.rank_ic for outcome in outcomes]),
        rank_ic_t=np.array([outcome.rank_ic_t for outcome in outcomes]),
        excess_1d=np.array([values.mean() for values in excess]),
        fill_excess_1d=fill,
        order_excess_1d=fill - picks,
        net_excess_1d=np.array([(book.net_return - even.net_return).mean() for book in books]),
        cost_excess_1d=np.array([(book.cost_share - even.cost_share).mean() for book in books]),
        turnover_ann=np.array([book.turnover_ann for book in books]),
        probabilistic_sharpe=np.array([probabilistic_sharpe(values) for values in excess]),
        deflated_sharpe=np.array([deflated_sharpe(own, known) for own, known in zip(excess, trials, strict=True)]),
        pbo=overfitting,
    )
