"""The books added up again from the tables that left the backtest, as an auditor would who has nothing else."""

import polars as pl

from quant_core.schema import BUY
from quant_core.trading.ledger import PAISA, ROUNDING

KEYS = ["date", "strategy"]


def unreconciled(
    daily: pl.DataFrame, positions: pl.DataFrame, trades: pl.DataFrame, costs: pl.DataFrame
) -> pl.DataFrame:
    """Sessions whose books do not add up; empty for a sound backtest.

    Args:
        daily, positions, trades, costs: BacktestDaily, BacktestPositions, BacktestTrades, BacktestCosts.
    Returns:
        rows (date, strategy, equity_off_inr, cash_off_inr, cost_off_inr, trade_cost_off_inr) that are off by half a
        paisa or more: equity against cash and positions; cash against the session before, interest, trades and
        charges; cost against the costs by kind, and against those of the trades. Beyond 10,000 crore of equity half a
        paisa is below the rounding of the sums and grows with them.
    """
    value, cost = pl.col("value_inr"), pl.col("cost_inr")
    paid_in = pl.when(pl.col("side") == BUY).then(-value).otherwise(value) - cost
    held = positions.group_by(KEYS).agg(held=value.sum())
    moved = trades.group_by(KEYS).agg(moved=paid_in.sum(), charged=cost.sum())
    by_kind = costs.group_by(KEYS).agg(by_kind=cost.sum())
    table = daily.sort("strategy", "date")
    for part in (held, moved, by_kind):
        table = table.join(part, on=KEYS, how="left", maintain_order="left")
    table = table.with_columns(pl.col("held", "moved", "charged", "by_kind").fill_null(0.0))
    before = pl.col("cash_inr").shift(1).over("strategy")
    off = table.select(
        *KEYS,
        equity_off_inr=pl.col("equity_inr") - pl.col("cash_inr") - pl.col("held"),
        cash_off_inr=(pl.col("cash_inr") - before - pl.col("interest_inr") - pl.col("moved")).fill_null(0.0),
        cost_off_inr=cost - pl.col("by_kind"),
        trade_cost_off_inr=cost - pl.col("charged"),
        allowed=pl.max_horizontal(pl.lit(PAISA / 2), ROUNDING * pl.col("equity_inr")),
    )
    wrong = pl.any_horizontal(pl.selectors.ends_with("_off_inr").abs() >= pl.col("allowed"))
    return off.filter(wrong).drop("allowed").sort(KEYS)
