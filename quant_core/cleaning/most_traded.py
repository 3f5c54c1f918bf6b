"""A universe by liquidity: the stocks with the most rupees traded, decided on the first session of each month.

The decision reads only rows of the months before it, so it is known at the month's first open and does not depend on
what else is loaded.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from quant_core.errors import DataError
from quant_core.schema import EQUITY

#: Cleaning loads three months before its first month.
MAX_LOOKBACK_MONTHS = 3
#: Exchange-traded funds and gold funds by the way NSE names them.
FUNDS = r"BEES$|ETF|^LIQUID|^(AXIS|BSL|HDFC|IDBI|KOTAK|Q)GOLD|^GOLDSHARE$|^ICICI(NIFTY|NXT|SENSX|500|B22|GOLD)"


@dataclass(frozen=True)
class LiquidityRule:
    """Members of a month are the `top_n` stocks by median rupees traded a session.

    Attributes:
        top_n: members a month.
        lookback_months: whole calendar months before the month, 1 to 3; a session without a row counts as zero.
        min_turnover_inr: least median rupees traded of a member.
        exclude: regular expression of tickers that are no companies; price files do not say which are funds.
    """

    top_n: int = 500
    lookback_months: int = 3
    min_turnover_inr: float = 0.0
    exclude: str = FUNDS

    def __post_init__(self) -> None:
        if self.top_n < 1:
            raise DataError(f"liquidity.top_n: {self.top_n} is below 1; name how many stocks a month has.")
        if not 1 <= self.lookback_months <= MAX_LOOKBACK_MONTHS:
            raise DataError(
                f"liquidity.lookback_months: {self.lookback_months} is outside 1..{MAX_LOOKBACK_MONTHS}, "
                "the months that cleaning loads; choose a value inside it."
            )
        if not self.min_turnover_inr >= 0:
            raise DataError(f"liquidity.min_turnover_inr: {self.min_turnover_inr} is below 0.")


def liquid_months(rows: pl.DataFrame, rule: LiquidityRule, months: list[date]) -> pl.DataFrame:
    """(month, ticker) of the members of each month.

    Args:
        rows: raw rows on sessions, without duplicates; reads date, ticker, instrument, close_inr, volume_shares and
            turnover_inr. Rupees traded are close x shares where turnover is missing.
        months: first days of the months to decide.
    """
    value = pl.coalesce("turnover_inr", pl.col("close_inr") * pl.col("volume_shares"))
    stocks = pl.col("instrument") == EQUITY
    if rule.exclude:
        stocks = stocks & ~pl.col("ticker").str.contains(rule.exclude)
    traded = rows.filter(stocks).select("date", "ticker", value=value)
    parts = [_members(traded, rule, month) for month in sorted(months)]
    return pl.concat([pl.DataFrame(schema={"month": pl.Date, "ticker": pl.String}), *parts])


def _members(traded: pl.DataFrame, rule: LiquidityRule, month: date) -> pl.DataFrame:
    begin = pl.lit(month).dt.offset_by(f"-{rule.lookback_months}mo")
    window = traded.filter((pl.col("date") >= begin) & (pl.col("date") < month))
    middle = window["date"].n_unique() // 2  # of the values sorted downward, absent sessions being zeros at the end
    medians = window.group_by("ticker").agg(
        median=pl.col("value").drop_nulls().sort(descending=True).get(middle, null_on_oob=True)
    )
    chosen = medians.filter((pl.col("median") > 0) & (pl.col("median") >= rule.min_turnover_inr))
    chosen = chosen.sort(["median", "ticker"], descending=[True, False]).head(rule.top_n)
    return chosen.select(month=pl.lit(month), ticker="ticker")
