"""Prices in the wrong unit and rebased indices: a level off by a power of ten from the row before.

Only earlier rows are read. A stock's first row at another power of ten cannot be told from a slip and is not used. If
the next row is back, nothing else happened; if it stands at the new level, that level is taken over and the return
across the step is bridged by the power of ten. An index is rebased in one step (NIFTY IT 2004-05-28, 10:1) and
bridged at once.

A fall to a tenth or a hundredth may be a split instead. It is left to suspects.py where shares traded jumped with it,
or where rupees traded over shares traded agree with the price.
"""

from datetime import timedelta

import polars as pl

from quant_core.cleaning.quality import UNUSABLE, add_flag
from quant_core.schema import INDEX

#: log10 distance from a power of ten (a factor of 1.17): the ordinary move of the day.
POWER_TOLERANCE = 0.07
#: The row before must be this close. A jump is judged by the two rows before it, so it stays inside the look-back.
NEAR = timedelta(days=20)
#: Shares traded over their trailing median from which a fall is a split rather than a slip.
SPLIT_VOLUME = 3.0
VOLUME_SPAN = timedelta(days=45)
#: Rupees over shares traded agree with the close within this factor.
VWAP_FACTOR = 1.5


def flag_units(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with kinds `unit_jump` and `rebased`, is_sound and the bridging price_factor.

    Args:
        rows: what `flag_bars` returns.
    """
    usable = ~pl.col("flags").str.contains(rf"\b({'|'.join(UNUSABLE)})\b")
    keyed = rows.with_row_index("_row")
    steps = _steps(_with_level_factor(keyed, usable).filter(usable))
    if not steps.height:
        return rows
    found = keyed.join(steps, on="_row", how="left", maintain_order="left")
    jump, bridge = pl.col("_jump").fill_null(False), pl.col("_bridge").fill_null(0)
    index = pl.col("instrument") == INDEX
    flags = add_flag(pl.col("flags"), "rebased", index & (bridge != 0))
    flags = add_flag(flags, "unit_jump", ~index & (jump | (bridge != 0)))
    return found.with_columns(
        flags=flags,
        is_sound=pl.col("is_sound") & ~jump,
        price_factor=pl.when(bridge != 0)
        .then(pl.col("price_factor") * pl.lit(10.0).pow(bridge))
        .otherwise(pl.col("price_factor")),
    ).drop("_row", "_jump", "_bridge")


def _with_level_factor(keyed: pl.DataFrame, usable: pl.Expr) -> pl.DataFrame:
    """`_factor`: the price factor since the last usable row, that of rows in between included."""
    acts = ~pl.col("is_repeat") & (pl.col("price_factor") != 1.0)
    lost = keyed.filter(~usable, acts)["ticker"].unique()
    if not len(lost):
        return keyed.with_columns(_factor=pl.col("price_factor"))
    own = keyed.filter(pl.col("ticker").is_in(lost.to_list())).sort("ticker", "date", "_row")
    spell = (usable & ~pl.col("is_repeat")).cast(pl.Int32).cum_sum().shift(1, fill_value=0).over("ticker")
    factor = pl.when(pl.col("is_repeat")).then(1.0).otherwise(pl.col("price_factor"))
    whole = own.select("_row", _factor=factor.cum_prod().over("ticker", spell))
    found = keyed.join(whole, on="_row", how="left", maintain_order="left")
    return found.with_columns(_factor=pl.coalesce("_factor", "price_factor"))


def _steps(rows: pl.DataFrame) -> pl.DataFrame:
    """(_row, _jump, _bridge) of the rows that a step concerns; _bridge is the power of ten to carry the level over."""
    level = pl.col("close_inr").log10()
    near = (pl.col("ticker") == pl.col("ticker").shift(1)) & (pl.col("date") - pl.col("date").shift(1) <= NEAR)
    moved = level - level.shift(1) - pl.col("_factor").log10()
    power = moved.round()
    is_step = near & (power != 0) & ((moved - power).abs() <= POWER_TOLERANCE)
    ordered = rows.sort("ticker", "date", "_row").with_columns(
        _step=pl.when(is_step.fill_null(False)).then(power).otherwise(0.0).cast(pl.Int32),
        _near=near.fill_null(False),
    )
    if not (ordered["_step"] != 0).any():
        return pl.DataFrame(schema={"_row": pl.UInt32, "_jump": pl.Boolean, "_bridge": pl.Int32})
    ordered = _without_splits(ordered)
    step = pl.col("_step")
    before = pl.when("_near").then(step.shift(1)).otherwise(0)
    twice = pl.when(pl.col("_near") & pl.col("_near").shift(1)).then(step.shift(2)).otherwise(0)
    before, twice = before.fill_null(0), twice.fill_null(0)
    jumped_before = (before != 0) & (twice != -before)
    is_index = pl.col("instrument") == INDEX
    jump = (step != 0) & ~(jumped_before & (step == -before)) & ~is_index
    stayed = pl.when(jumped_before & (step == 0)).then(before).otherwise(0)
    return (
        ordered.select("_row", _jump=jump, _bridge=pl.when(is_index).then(step).otherwise(stayed))
        .filter(pl.col("_jump") | (pl.col("_bridge") != 0))
        .with_columns(pl.col("_bridge").cast(pl.Int32))
    )


def _without_splits(ordered: pl.DataFrame) -> pl.DataFrame:
    """Set the step of a stock that fell by a power of ten to 0 where the volume says that it was split."""
    tenth = ordered.filter(pl.col("_step") < 0, pl.col("instrument") != INDEX)
    if not tenth.height:
        return ordered
    usual = trailing_median_volume(tenth, ordered)
    vwap = pl.col("turnover_inr") / pl.col("volume_shares")
    agrees = vwap.is_between(pl.col("close_inr") / VWAP_FACTOR, pl.col("close_inr") * VWAP_FACTOR)
    more = pl.col("volume_shares") >= SPLIT_VOLUME * pl.col("usual_volume")
    split = tenth.join(usual, on=["date", "ticker"], how="left").filter((agrees | more).fill_null(False))["_row"]
    kept = pl.when(pl.col("_row").is_in(split.to_list())).then(0).otherwise(pl.col("_step"))
    return ordered.with_columns(_step=kept.cast(pl.Int32))


def trailing_median_volume(at: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """(date, ticker, usual_volume): median shares traded in the `VOLUME_SPAN` before each (date, ticker) of `at`."""
    wanted = at.select("date", "ticker").unique()
    past = rows.select("ticker", pl.col("date").alias("day"), "volume_shares").join(wanted, on="ticker")
    past = past.filter((pl.col("day") < pl.col("date")) & (pl.col("day") >= pl.col("date") - VOLUME_SPAN))
    return past.group_by("date", "ticker").agg(usual_volume=pl.col("volume_shares").median())
