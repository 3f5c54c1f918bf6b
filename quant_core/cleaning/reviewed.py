"""Actions that cleaning applies itself: lines that a person reviewed, and events that no raw row can carry.

The lines are a table of columns ticker, ex_date, kind, value and optionally into (see docs/market-data.md, Corporate
actions). A factor or a dividend goes to the ticker's first sound row on or after its ex_date, however long the ticker
was away. Values of dividends are rupees of the ex-date.

A source that puts its list on raw rows itself says with `reach_days` up to how many days from the ex_date it found the
row and the row before; such a line is applied here only where it lies further away, and never twice.
"""

from datetime import timedelta

import polars as pl

from quant_core.schema import DIVIDEND_KINDS, FACTOR_KINDS, REAL_MOVE, UNADJUSTED

#: A line that says what its row already says, to this relative difference, is the same event.
SAME = 0.02
LINE_SCHEMA = {
    "ticker": pl.String,
    "ex_date": pl.Date,
    "kind": pl.String,
    "value": pl.Float64,
    "into": pl.String,
    "reach_days": pl.Int32,
}


def lines_of(reviewed: pl.DataFrame | None) -> pl.DataFrame:
    """The table with exactly the columns of LINE_SCHEMA, sorted; empty for None."""
    if reviewed is None:
        return pl.DataFrame(schema=LINE_SCHEMA)
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in LINE_SCHEMA.items() if name not in reviewed.columns]
    table = reviewed.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in LINE_SCHEMA.items())
    return table.sort("ticker", "ex_date", "kind", "value")


def apply_lines(rows: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """`rows` with the lines' factors and dividends, and `reviewed_none` where a jump is a real move.

    Args:
        rows: sound rows by ticker and date with the row before (`close_inr_before`, `date_before`, `basis_before`).
        lines: as `lines_of` returns them; terminal events and suspensions are not for here.
    """
    placed = _placed(rows, lines.filter(pl.col("kind").is_in([*FACTOR_KINDS, *DIVIDEND_KINDS, REAL_MOVE])))
    if not placed.height:
        return rows.with_columns(reviewed_none=pl.lit(False))
    value, is_factor = pl.col("value"), pl.col("kind").is_in(FACTOR_KINDS)
    factor = pl.when(pl.col("kind") == "split").then(1.0 / value).otherwise(value)
    repeats = (factor / pl.col("price_factor") - 1).abs() <= SAME
    paid_already = (value / pl.col("dividend_inr") - 1).abs() <= SAME
    placed = placed.with_columns(factor=pl.when(is_factor & ~repeats.fill_null(False)).then(factor))
    events = placed.group_by("ticker", "date", maintain_order=True).agg(
        _factor=pl.col("factor").drop_nulls().product(),
        _at_open=(is_factor & value.is_null()).any(),
        _paid=value.filter(pl.col("kind").is_in(DIVIDEND_KINDS) & ~paid_already.fill_null(False)).sum(),
        reviewed_none=(pl.col("kind") == REAL_MOVE).any(),
    )
    marked = rows.join(events, on=["ticker", "date"], how="left", maintain_order="left")
    known = pl.col("price_factor") * pl.col("_factor").fill_null(1.0)
    handed_out = pl.coalesce("open_inr", "close_inr") / (pl.col("close_inr_before") * known)
    at_open = pl.when(pl.col("_at_open").fill_null(False)).then(handed_out).otherwise(1.0)
    return marked.with_columns(
        price_factor=known * at_open.fill_null(1.0),
        dividend_inr=pl.col("dividend_inr") + pl.col("_paid").fill_null(0.0),
        reviewed_none=pl.col("reviewed_none").fill_null(False),
    ).drop("_factor", "_at_open", "_paid")


def _placed(rows: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """`lines` with the `date` of the row that takes each and what that row says already."""
    if not lines.height:
        return lines.with_columns(date=pl.lit(None, pl.Date))
    own = rows.lazy().join(lines.lazy().select("ticker").unique(), on="ticker", how="semi")
    own = own.filter(pl.col("basis") == UNADJUSTED)
    own = own.select(
        "ticker", "date", "date_before", "price_factor", "dividend_inr", is_joint=pl.col("basis_before") != UNADJUSTED
    )
    placed = lines.sort("ex_date").join_asof(
        own.collect().sort("date"), left_on="ex_date", right_on="date", by="ticker", strategy="forward",
        coalesce=False, check_sortedness=False,
    )  # fmt: skip
    late = timedelta(days=1) * pl.col("reach_days")
    carried = (pl.col("date") == pl.col("ex_date")) | (
        (pl.col("date") - pl.col("ex_date") <= late) & (pl.col("ex_date") - pl.col("date_before") <= late)
    )
    by_source = pl.col("reach_days").is_not_null() & carried.fill_null(True)
    usable = pl.col("date").is_not_null() & ~pl.col("is_joint").fill_null(True) & ~by_source
    is_reviewed = pl.col("reach_days").is_null() & pl.col("kind").is_in(FACTOR_KINDS)
    stands = pl.col("reach_days").is_null() | ~is_reviewed.any().over("ticker", "date")  # a person's line wins
    return placed.filter(usable).filter(stands).sort("ticker", "date", "kind", "value")
