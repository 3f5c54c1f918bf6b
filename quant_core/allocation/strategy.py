"""What a strategy is: a function of what may be known, registered by its decorator, that returns weights.

Belongs here: the registry, what a strategy gets and the helpers that turn an idea into a table. The ideas themselves
are one file each in `strategies/`; estimating on trailing returns is `estimation.py`.

What a strategy does not name on a date that it decides on is sold, but for members that cannot be traded that day: they
are kept, which `targets` adds. A date without a row is no decision, and the book is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core import calendar
from quant_core.allocation.config import AllocationConfig
from quant_core.allocation.history import History, dense_history
from quant_core.allocation.members import member_rows, slots
from quant_core.dense import Floats
from quant_core.errors import DataError, QuantError
from quant_core.registry import Registry
from quant_core.schema import INDEX, IS_ELIGIBLE, BookSettings, Forecasts, RegimeBooks, Regimes
from quant_core.trading.rebalancing import last_month_end
from quant_core.trading.weights import top_n_weights

#: What a strategy may fail with and be kept apart; anything else is a bug in its code and stops the run.
FAILURES = (QuantError, ArithmeticError, ValueError, np.linalg.LinAlgError)
#: For how long a regime is known after its session: a method that has said nothing for a month knows nothing.
REGIME_AGE = "31d"


def no_sectors() -> pl.DataFrame:
    """A list of sectors without a name."""
    return pl.DataFrame(schema={"ticker": pl.String, "sector": pl.String})


@dataclass(frozen=True)
class DecisionInputs:
    """What every strategy gets. A weight may be decided from rows dated on or before its own date only.

    Args:
        decision_dates: ascending; enough members have a price on each.
        prices: CleanPrices from `first_known_day` of the first of `path_dates` to the last decision date, equities and
            index rows.
        forecasts: Forecasts on decision dates; may be empty.
        config: limits and timing.
        lacking: sessions that had too few priced members, as in `members.Slots`.
        regimes: Regimes of `config.regime_method` by date, from the first row of the fold that the first decision
            knows to the last decision date; may be empty.
        regime_books: RegimeBooks of those folds; may be empty.
        path_dates: `decision_dates` and those before them, from `path_start` of the first on: for a strategy whose
            decision depends on the book that it holds (`held`).
        daily_forecasts: Forecasts on every session from `path_start` to the last decision date; may be empty.
        book_settings: BookSettings of the folds of `daily_forecasts`; may be empty.
        sectors: ticker, sector; may be empty.
    """

    decision_dates: pl.Series
    prices: pl.DataFrame
    forecasts: pl.DataFrame
    config: AllocationConfig
    lacking: pl.DataFrame = field(default_factory=pl.DataFrame)
    regimes: pl.DataFrame = field(default_factory=Regimes.create_empty)
    regime_books: pl.DataFrame = field(default_factory=RegimeBooks.create_empty)
    path_dates: pl.Series = field(default_factory=lambda: pl.Series("date", [], dtype=pl.Date))
    daily_forecasts: pl.DataFrame = field(default_factory=Forecasts.create_empty)
    book_settings: pl.DataFrame = field(default_factory=BookSettings.create_empty)
    sectors: pl.DataFrame = field(default_factory=no_sectors)

    @cached_property
    def eligible(self) -> pl.DataFrame:
        """(date, ticker) of the stocks that may be bought on each decision date: tradable members of the universe."""
        rows = self.prices.filter(IS_ELIGIBLE & pl.col("date").is_in(self.decision_dates.implode()))
        return rows.select("date", "ticker")

    @cached_property
    def untradable(self) -> pl.DataFrame:
        """(date, ticker) of the members on each decision date that cannot be traded on it: absent, carried, halted."""
        members = member_rows(self.prices, self.decision_dates[0], self.decision_dates[-1])
        on_a_decision = pl.col("date").is_in(self.decision_dates.implode())
        return members.filter(on_a_decision, ~pl.col("is_tradable")).select("date", "ticker")

    @cached_property
    def tickers(self) -> pl.Series:
        """Every name with a row."""
        return self.prices["ticker"].unique().sort()

    @cached_property
    def index_tickers(self) -> pl.Series:
        """Those that are indices."""
        return self.prices.filter(pl.col("instrument") == INDEX)["ticker"].unique().sort()

    def on(self, dates: pl.Series) -> "DecisionInputs":
        """The same for some of the decision dates; what was worked out for all of them is not worked out again."""
        part = replace(self, decision_dates=dates)
        shared = ("history", "untradable", "tickers", "index_tickers", "_paths")
        vars(part).update({name: getattr(self, name) for name in shared})
        return part

    @cached_property
    def history(self) -> History:
        """The stocks as dense arrays, reaching `config.history_sessions` back from every decision and estimate."""
        first = first_known_day(self.decision_dates[0], self.config)
        return dense_history(self.prices, first, self.decision_dates[-1])

    @cached_property
    def sector_of(self) -> NDArray[np.int64]:
        """(N,) number of the sector of each of `history.tickers`, from 0; names without one share a number.

        Raises:
            DataError: there is no list of sectors.
        """
        if self.sectors.is_empty():
            raise DataError(
                "allocation: most_sector bounds sectors, and there is no list of them; add sectors.csv beside the "
                "prices, or leave most_sector out."
            )
        known = self.sectors.select("ticker", pl.col("sector").cast(pl.String)).unique("ticker", keep="first")
        named = self.history.tickers.to_frame("ticker").join(known, on="ticker", how="left", maintain_order="left")
        return named["sector"].fill_null("").rank("dense").to_numpy().astype(np.int64) - 1

    def path(self, year: int) -> "DecisionInputs":
        """The same for every decision that those of a calendar year rest on: its own, and those of the year before."""
        if year not in self._paths:
            days = self.path_dates.filter(self.path_dates.dt.year().is_between(year - 1, year))
            self._paths[year] = replace(self, decision_dates=days, path_dates=days)
        return self._paths[year]

    @cached_property
    def _paths(self) -> dict[int, "DecisionInputs"]:
        return {}


#: From what may be known to columns date, ticker, weight. A weight of 0 may be left out, null keeps what is held of the
#: name, a row for CASH alone holds nothing. A function that keeps several books (one a model) names them in a column
#: `strategy`, else the book has the name that the function is registered by.
Strategy = Callable[[DecisionInputs], pl.DataFrame]

STRATEGIES: Registry[Strategy] = Registry("strategy", "quant_core.allocation.strategies")


def decision_inputs(
    prices: pl.DataFrame,
    forecasts: pl.DataFrame,
    config: AllocationConfig,
    start: date,
    end: date,
    regimes: pl.DataFrame | None = None,
    regime_books: pl.DataFrame | None = None,
    book_settings: pl.DataFrame | None = None,
    sectors: pl.DataFrame | None = None,
) -> DecisionInputs:
    """The inputs of the decisions from `start` to `end`: rows too old or after the last decision are cut away.

    Args:
        prices, forecasts: from `path_start` of the first decision on, and prices a full history before it; where less
            is there, strategies know less.
        regimes: Regimes of any methods, from the first row of the fold before the first decision on; None for none.
        regime_books: RegimeBooks; None for none.
        book_settings: BookSettings of any folds; None for none.
        sectors: ticker, sector; None for none.
    """
    found = slots(prices, config.rebalance, config.min_priced_members, path_start(start), end)
    path = pl.Series("date", found.decided_on, dtype=pl.Date)
    dates, lacking = path.filter(path >= start), found.lacking.filter(pl.col("date") >= start)
    known, daily = prices.clear(), forecasts.clear()
    if len(dates):
        path = path.filter(path >= path_start(dates[0]))
        known = prices.filter(pl.col("date").is_between(first_known_day(path[0], config), dates[-1]))
        daily = forecasts.filter(pl.col("date").is_between(path_start(dates[0]), dates[-1]))
    own = daily.filter(pl.col("date").is_in(dates.implode()))
    labels = Regimes.create_empty() if regimes is None else regimes.filter(pl.col("method") == config.regime_method)
    books = RegimeBooks.create_empty() if regime_books is None else regime_books
    chosen = BookSettings.create_empty() if book_settings is None else book_settings
    return DecisionInputs(
        dates, known, own, config, lacking, regimes_for(dates, labels), books, path, daily, chosen,
        no_sectors() if sectors is None else sectors,
    )  # fmt: skip


def path_start(decision: date) -> date:
    """Where the path of a decision begins: with the year before its own, 12 to 24 months before it."""
    return max(date(decision.year - 1, 1, 1), calendar.FIRST_DAY)


def regimes_for(dates: pl.Series, labels: pl.DataFrame) -> pl.DataFrame:
    """`labels` of one method by date, from the fold that the first of `dates` knows to the last of them."""
    known = labels.filter(pl.col("date") <= dates.max()).sort("date")
    first = known_on(dates[:1], known)
    return known if first.is_empty() else known.filter(pl.col("date") >= _begin(known, first["fold"][0]))


def known_on(dates: pl.Series, rows: pl.DataFrame) -> pl.DataFrame:
    """The newest of `rows` on or before each of `dates`, under the latter's `date`.

    Args:
        rows: by date, with a column `fold`.
    Returns:
        a row a date; none where the newest row is older than REGIME_AGE.
    """
    days = dates.to_frame("date")
    return days.join_asof(rows, on="date", strategy="backward", tolerance=REGIME_AGE).drop_nulls("fold")


def _begin(rows: pl.DataFrame, fold: str) -> pl.Expr:
    return pl.lit(rows.filter(pl.col("fold") == fold)["date"].min(), pl.Date)


def first_known_day(decision: date, config: AllocationConfig) -> date:
    """The oldest session that a decision may look back on: a full history before the month-end that it rests on."""
    newest = last_month_end(decision) or decision
    return calendar.sessions(calendar.FIRST_DAY, newest)[-config.history_sessions :][0]


def hold_best(inputs: DecisionInputs, sessions: int, score: Callable[[History], Floats]) -> pl.DataFrame:
    """Equal weights in the top_n stocks that score highest, of those that may be bought on the decision date.

    Args:
        sessions: how many sessions `score` sees, the decision date's included.
        score: from the `sessions` sessions up to a decision to (N,) scores; NaN for a name without one.
    Returns:
        date, ticker, weight; max_position and min_position hold, ties go to the earlier ticker. A name without a score
        is kept as it is held (null), and a date without any score decides nothing.
    """
    past = [inputs.history.until(day, sessions) for day in inputs.decision_dates]
    eligible = np.stack([known.eligible[-1] for known in past])  # (D, N)
    scores = np.where(eligible, np.stack([score(known) for known in past]), np.nan)
    return best_or_kept(scores, eligible, inputs.decision_dates, inputs.history.tickers, inputs.config)


def best_or_kept(
    scores: Floats, eligible: NDArray[np.bool_], dates: pl.Series, tickers: pl.Series, limits: AllocationConfig
) -> pl.DataFrame:
    """date, ticker, weight of the best top_n of (D, N) scores; null for an eligible name without a score."""
    weights = top_n_weights(scores, limits.top_n, max_position=limits.max_position, min_position=limits.min_position)
    scored = ~np.isnan(scores)
    kept = eligible & ~scored & scored.any(axis=1, keepdims=True)
    return from_dense(np.where(kept, np.nan, weights), dates, tickers)


def from_dense(weights: Floats, dates: pl.Series, tickers: pl.Series) -> pl.DataFrame:
    """date, ticker, weight from (T, N) weights; only weights above 0, and null for NaN."""
    row, column = np.nonzero(~(weights <= 0.0))
    return pl.DataFrame({
        "date": dates.gather(row), "ticker": tickers.gather(column), "weight": weights[row, column],
    }).with_columns(pl.col("weight").fill_nan(None))  # fmt: skip
