"""Decisions that depend on the book that is held: a walk over decision dates, each with what the one before left.

The walk steps `trading.account`, free of costs: what was decided stands at the close of the next session and drifts by
total returns until the next decision. So the book of a walk is the ledger's but for what costs, cash and the hours
after a fill make of it. Every calendar year of decisions is walked anew, from an empty book at the first decision of
the year before: a month decided alone equals the same month in a long run, and no book rests on more than 24 months.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl

from quant_core import calendar, dense
from quant_core.allocation.book_rules import BookRules, rules_by_fold
from quant_core.allocation.config import AllocationConfig
from quant_core.allocation.history import History
from quant_core.allocation.smoothing import smoothed
from quant_core.allocation.strategy import FAILURES, DecisionInputs, first_known_day, from_dense
from quant_core.dense import Flags, Floats, Integers
from quant_core.schema import CASH
from quant_core.trading.account import Account
from quant_core.trading.costs import FlatCosts
from quant_core.trading.market import BUY, SELL, Market

#: What the ensemble of all models is called among the models.
ENSEMBLE = "ensemble"
COLUMNS = {"date": pl.Date, "ticker": pl.String, "weight": pl.Float64, "strategy": pl.String}


@dataclass(frozen=True, eq=False)
class Moment:
    """What a decision knows. N names, in the order of `inputs.history.tickers`.

    Args:
        inputs: of the path; `past` cuts what lies after the day.
        rules: settings of the day's fold.
        sessions: since the decision before; 0 on the first.
        held: (N,) drifted weights at the close; the rest is cash.
        eligible: (N,) stocks that may be bought.
        stuck: (N,) members that cannot be traded: what is held of them stays.
        score: (N,) smoothed rank in -0.5..0.5; NaN for a name without a score today.
        horizon_sessions: over which the model forecasts.
        index_return: of the price index in each session of the history up to the day; NaN where there is none.
    """

    inputs: DecisionInputs
    rules: BookRules
    day: date
    sessions: int
    held: Floats
    eligible: Flags
    stuck: Flags
    score: Floats
    horizon_sessions: int = 1
    index_return: Floats = field(default_factory=lambda: np.empty(0))

    def past(self, sessions: int) -> History:
        """The `sessions` sessions up to the day."""
        return self.inputs.history.until(self.day, sessions)


#: From what is known to (N,) weights that are wanted, NaN for a held name that is kept; None decides nothing. What is
#: stuck is kept whatever it says.
Step = Callable[[Moment], Floats | None]


def walked(inputs: DecisionInputs, name: str, step: Step) -> pl.DataFrame:
    """A book `{name}_{model}` for each model that is traded: what `step` decides on every decision date.

    A decision that fails keeps the book, for the decisions after it as in the account.

    Returns:
        date, ticker, weight, strategy; a decision to hold nothing is a row for cash.
    """
    books = [pl.DataFrame(schema=COLUMNS)]
    for model in traded_models(inputs):
        for year in inputs.decision_dates.dt.year().unique().sort():
            own = frozenset(inputs.decision_dates.filter(inputs.decision_dates.dt.year() == year))
            book = _year(inputs.path(year), model, step, own)
            books.append(book.with_columns(strategy=pl.lit(f"{name}_{model}")))
    return pl.concat(books)


def traded_models(inputs: DecisionInputs) -> list[str]:
    """Those of the forecasters with a forecast that `followed` names."""
    return followed(inputs.daily_forecasts["model"].unique().sort().to_list(), inputs.config)


def followed(models: Sequence[str], config: AllocationConfig) -> list[str]:
    """Forecasters that books of this kind follow: those of the settings, else the ensemble, else all that there are."""
    if config.book_models is not None:
        return [model for model in models if model in config.book_models]
    return [ENSEMBLE] if ENSEMBLE in models else list(models)


def _year(path: DecisionInputs, model: str, step: Step, own: frozenset[date]) -> pl.DataFrame:
    """What is decided on the dates `own` of a path."""
    days, wanted = [], []
    for moment, account in _moments(path, model):
        try:
            weights = step(moment) if moment.eligible.any() else None
        except FAILURES:
            if moment.day in own:
                raise
            weights = None
        if moment.day in own and weights is not None:
            days.append(moment.day)
            wanted.append(weights)
        if not account.is_over:
            account.step(None if weights is None else np.where(moment.stuck, np.nan, weights))
    return _rows(days, wanted, path.history.tickers)


def _moments(path: DecisionInputs, model: str) -> Iterator[tuple[Moment, Account]]:
    """Every decision of a path, and the account that is to be stepped before the next is asked for."""
    days, history = path.decision_dates, path.history
    rows = np.array([calendar.session_number(day) for day in days]) - history.first_session
    stuck = dense.cells(path.untradable, days, history.tickers, "members").present()
    rules = rules_by_fold(path, model)
    folds = _folds(path, model)
    half_lives = np.array([rules(fold).half_life_sessions for fold in folds])
    first = max(calendar.session_number(_first_session(days[0])) - history.first_session, 0)
    scores = _scores(path, model)
    score = np.full(scores.shape, np.nan)
    score[first:] = smoothed(scores[first:], half_lives[first:])
    spoken = path.daily_forecasts.filter(pl.col("model") == model)["horizon_sessions"]
    horizon, index = int(spoken[0]) if len(spoken) else 1, _index_return(path)
    account = Account(_market(history, rows), FlatCosts(0.0, 0.0, 0.0).schedule(days.to_list()))
    for k, row in enumerate(rows):
        sessions = int(row - rows[k - 1]) if k else 0
        held, eligible = account.day.weights, history.eligible[row]
        own = rules(folds[row])
        now = Moment(path, own, days[k], sessions, held, eligible, stuck[k], score[row], horizon, index[: row + 1])
        yield now, account


def _first_session(decision: date) -> date:
    """The first session of the calendar year that a path's first decision lies in."""
    begin = date(decision.year, 1, 1)
    return calendar.sessions(begin, decision)[0]


def _scores(path: DecisionInputs, model: str) -> Floats:
    """(T, N) scores of the history's sessions; NaN for a name that may not be bought or has none."""
    history = path.history
    days = _sessions(path)
    known = pl.col("date").is_between(days[0], days[-1]) & pl.col("ticker").is_in(history.tickers.implode())
    rows = path.daily_forecasts.filter(known, pl.col("model") == model, pl.col("score").is_finite())
    cells = dense.cells(rows, days, history.tickers, f"forecasts of {model}")
    return np.where(history.eligible, cells.floats(rows["score"]), np.nan)


def _index_return(path: DecisionInputs) -> Floats:
    """(T,) returns of the price index on the history's sessions; NaN for none."""
    rows = path.prices.filter(pl.col("ticker") == path.config.index_ticker).select("date", "total_return_1d")
    return _sessions(path).to_frame("date").join(rows, on="date", how="left")["total_return_1d"].to_numpy()


def _folds(path: DecisionInputs, model: str) -> list[str]:
    """(T,) the fold whose model spoke last at each of the history's sessions; "" before the first."""
    rows = path.daily_forecasts.filter(pl.col("model") == model).select("date", "fold").unique("date").sort("date")
    days = _sessions(path).to_frame("date")
    return days.join_asof(rows, on="date", strategy="backward")["fold"].fill_null("").to_list()


def _sessions(path: DecisionInputs) -> pl.Series:
    """(T,) dates of the history's sessions."""
    days = path.decision_dates
    return pl.Series("date", calendar.sessions(first_known_day(days[0], path.config), days[-1]), dtype=pl.Date)


def _market(history: History, rows: Integers) -> Market:
    """One row a decision: up to the close of the session after the decision before, where it is filled, and from there.

    A stock that may not be bought in the session of the fill is not; anything can be sold.
    """
    growth = 1.0 + np.nan_to_num(history.total_return_1d)
    shape = (len(rows), growth.shape[1])
    before, after, open_to = np.zeros(shape), np.zeros(shape), np.full(shape, SELL, dtype=np.uint8)
    for k in range(1, len(rows)):
        fill = rows[k - 1] + 1
        before[k] = growth[fill] - 1.0
        after[k] = growth[fill + 1 : rows[k] + 1].prod(axis=0) - 1.0
        open_to[k] |= np.where(history.eligible[fill], BUY, 0).astype(np.uint8)
    return Market(before, after, open_to, np.zeros(len(rows)))


def _rows(days: list[date], wanted: list[Floats], tickers: pl.Series) -> pl.DataFrame:
    columns = {name: COLUMNS[name] for name in ("date", "ticker", "weight")}
    if not days:
        return pl.DataFrame(schema=columns)
    weights, dates = np.stack(wanted), pl.Series("date", days, dtype=pl.Date)
    empty = ~(np.isnan(weights) | (weights > 0.0)).any(axis=1)
    cash = dates.filter(pl.Series(empty)).to_frame("date").with_columns(ticker=pl.lit(CASH), weight=pl.lit(1.0))
    named = from_dense(weights, dates, tickers)
    return pl.concat([named, cash]).select(pl.col(name).cast(kind) for name, kind in columns.items())
