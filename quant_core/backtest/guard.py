"""The last look before a number is believed: nothing was decided after it was filled, nothing was fitted on the test.

Every backtest passes here. A violation is a LookaheadError that names the row; it is never a warning.
"""

from collections.abc import Sequence
from datetime import date

import polars as pl

from quant_core import calendar
from quant_core.errors import LookaheadError

FIT_COLUMNS = ("model", "fold", "fit_end", "first_decision")


def fits_of(forecasts: pl.DataFrame) -> pl.DataFrame:
    """What was fitted until when, and the first date it decided on: rows (model, fold, fit_end, first_decision)."""
    return (
        forecasts.group_by("model", "fold", "fit_end")
        .agg(first_decision=pl.col("date").min())
        .select(FIT_COLUMNS)
        .sort("model", "fold", "fit_end")
    )


def check_fits(fits: pl.DataFrame) -> None:
    """Every fitted artifact's fit_end lies before the first decision that used it."""
    late = fits.filter(pl.col("fit_end") >= pl.col("first_decision")).head(1)
    if len(late):
        row = late.row(0, named=True)
        raise LookaheadError(
            f"backtest: model {row['model']} of fold {row['fold']} was fitted up to {row['fit_end']} and decided on "
            f"{row['first_decision']}; fit it on rows that end before, or use the fold before."
        )


def check_fills_follow(sessions: Sequence[date], decided: Sequence[int]) -> None:
    """A decision is filled in a later row: that must be a later date, and row + 1 the very next session."""
    for row in decided:
        if row + 1 < len(sessions) and sessions[row + 1] != calendar.next_session(sessions[row]):
            raise LookaheadError(
                f"backtest: the decision of {sessions[row]} would be filled on {sessions[row + 1]}, which is not the "
                f"session after it ({calendar.next_session(sessions[row])}); the panel must hold every session once, "
                "ascending."
            )


def check_trades(trades: pl.DataFrame) -> None:
    """Every order was decided before the day of its fill.

    Args:
        trades: BacktestTrades.
    """
    early = trades.filter(pl.col("decision_date") >= pl.col("date")).head(1)
    if len(early):
        row = early.row(0, named=True)
        raise LookaheadError(
            f"backtest: {row['strategy']} {row['side']}s {row['ticker']} on {row['date']} by a decision of "
            f"{row['decision_date']}; a decision at the close is filled in a later session."
        )
