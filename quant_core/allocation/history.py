"""What a strategy may look back on: the stocks' rows as dense arrays, one row a session of the exchange calendar.

Windows end on a date and are counted in sessions of the calendar, so they do not depend on which months are loaded:
a session without data is a row of NaN.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core import calendar, dense
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.schema import EQUITY, IS_ELIGIBLE, IS_QUARANTINED


@dataclass(frozen=True)
class History:
    """Stocks over consecutive NSE sessions, oldest first.

    Args:
        first_session: `calendar.session_number` of row 0.
        tickers: N names, ascending.
        total_return_1d: (T, N) simple one-day total returns; NaN where there is none.
        turnover_inr: (T, N) rupees traded, close x shares where the source gave none; NaN where there are none.
        eligible: (T, N) whether the stock was a tradable member of the universe.
        quarantined: (T, N) whether the session's return is withheld, as it may hold a corporate action.
    """

    first_session: int
    tickers: pl.Series
    total_return_1d: Floats
    turnover_inr: Floats
    eligible: NDArray[np.bool_]
    quarantined: NDArray[np.bool_]

    def until(self, day: date, sessions: int) -> "History":
        """The `sessions` sessions that end on `day`; fewer only where the calendar begins.

        Raises:
            DataError: more sessions than are loaded before `day`, or a day after the newest row.
        """
        end = calendar.session_number(day) + 1 - self.first_session
        begin = max(end - sessions, -self.first_session)
        if begin < 0 or end > len(self.eligible):
            raise DataError(
                f"a strategy asks for {sessions} sessions up to {day}, the history has {len(self.eligible)} rows, "
                f"{end} of them up to that day; ask for no more than config.history_sessions, or raise "
                "lookback_sessions."
            )
        rows = slice(begin, end)
        return History(
            self.first_session + begin,
            self.tickers,
            self.total_return_1d[rows],
            self.turnover_inr[rows],
            self.eligible[rows],
            self.quarantined[rows],
        )


def dense_history(prices: pl.DataFrame, first: date, last: date) -> History:
    """Arrays of the equities in `prices` for every session from `first` to `last`.

    Args:
        prices: CleanPrices; index rows and rows outside the two dates are not read.
    Raises:
        DataError: a row on a date that is no session, or one that repeats.
    """
    rows = prices.filter((pl.col("instrument") == EQUITY) & pl.col("date").is_between(first, last))
    days = pl.Series(calendar.sessions(first, last), dtype=pl.Date)
    tickers = rows["ticker"].unique().sort()
    cells = dense.cells(rows, days, tickers, "prices")
    values = rows.select(
        traded=pl.coalesce("turnover_inr", pl.col("close_inr") * pl.col("volume_shares")),
        eligible=IS_ELIGIBLE,
        quarantined=IS_QUARANTINED if "flags" in rows.columns else pl.lit(False),
    )
    return History(
        first_session=calendar.session_number(first),
        tickers=tickers,
        total_return_1d=cells.floats(rows["total_return_1d"]),
        turnover_inr=cells.floats(values["traded"]),
        eligible=cells.flags(values["eligible"]),
        quarantined=cells.flags(values["quarantined"]),
    )
