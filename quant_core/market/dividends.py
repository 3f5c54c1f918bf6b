"""Dividends: from a vendor's list to rupees a share on each row's basis.

A vendor divides past amounts by later splits and rights issues. They are brought to rupees of the ex-date with the
factors *after* it and up to `as_of` (on the ex-date itself the amount is a share after the split). `as_of` is a column
of the list, or follows from the `source` text (VENDOR_AS_OF); where neither says, amounts are rupees of the ex-date.

A vendor lists some dividends on two days of one week (INFY 2019-10-22 and 23; EICHERMOT 2019-07-24 and 25, the second
time ten times as much): the later day counts, with the first amount.
"""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from quant_core.market.action_list import SAME_EVENT_DAYS, price_factors
from quant_core.schema import DIVIDEND_KINDS, SPLIT_ADJUSTED

#: The same amount again within so many days is the same dividend, up to this relative difference.
REPEAT_DAYS, REPEAT_TOLERANCE = 5, 1e-3
#: Day on which a vendor's adjusted figures were downloaded, by a part of the `source` text.
VENDOR_AS_OF = {
    "yahoo_2020": date(2020, 3, 3),
    "yahoo_2021_actions": date(2021, 10, 11),
    "yahoo_2024": date(2024, 9, 6),
}
#: Splits after the action file's end that a later download already divides by (NSE circulars).
LATER_SPLITS = (("NESTLEIND", date(2024, 1, 5), 0.1), ("BPCL", date(2024, 6, 21), 0.5))
#: Splits and bonuses that Yahoo's prices carry but its action list and dividends lack: its past dividends of these
#: names stand in rupees of the ex-date beside adjusted prices (BANKBARODA 2013-06-13: 21.5 on an adjusted 130).
#: Ex-dates: NSE circulars.
MISSED_SPLITS = (
    ("ABB", date(2007, 6, 28), 0.2),
    ("BANKBARODA", date(2015, 1, 22), 0.2),
    ("BHEL", date(2011, 10, 3), 0.2),
    ("BHEL", date(2017, 9, 28), 2 / 3),
    ("GLAXO", date(2018, 9, 11), 0.5),
)
#: A dividend read from an adjusted close above this share of the previous close is a vendor's slip (TATASTEEL
#: 2022-06-16: 51.0 on an adjusted price of 96, where 5.1 was right and had been booked the day before).
MAX_IMPLIED_YIELD = 0.25
#: Adjusted closes are published with four decimals; a smaller relative step is rounding.
PRICE_ROUNDING_INR = 0.5e-4
MIN_IMPLIED_YIELD = 1e-4


def dividends(actions: pl.DataFrame) -> pl.DataFrame:
    """Columns ticker, ex_date, as_of, value (as in the file), dividend_inr (rupees of the ex-date), is_implied."""
    paid = (
        actions.filter(pl.col("kind").is_in(DIVIDEND_KINDS))
        .with_columns(as_of=pl.coalesce("as_of", vendor_as_of(pl.col("source"))))
        .select(
            "ticker",
            "ex_date",
            "as_of",
            "value",
            is_implied=pl.col("kind") == "dividend_implied",
            is_known=pl.col("kind") == "dividend_known",
        )
    )
    share = factor_between(paid, known_factors(actions), "ex_date", "as_of")
    paid = paid.with_columns(dividend_inr=pl.col("value") / share).sort("ticker", "ex_date", maintain_order=True)
    return _once(_replaced(paid, actions))


def _replaced(paid: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """`paid` without the dividends that a known one of the same week stands for."""
    known = actions.filter(pl.col("kind") == "dividend_known").select("ticker", known="ex_date")
    near = paid.filter(~pl.col("is_known")).join(known, on="ticker")
    near = near.filter((pl.col("ex_date") - pl.col("known")).abs() <= timedelta(days=SAME_EVENT_DAYS))
    gone = near.select("ticker", "ex_date", is_known=pl.lit(False)).unique()
    return paid.join(gone, on=["ticker", "ex_date", "is_known"], how="anti", maintain_order="left").drop("is_known")


def _once(paid: pl.DataFrame) -> pl.DataFrame:
    """A dividend that is listed again within `REPEAT_DAYS` once: the later day, the first amount."""
    before = pl.col("dividend_inr").shift(1)
    again = (
        (pl.col("ticker") == pl.col("ticker").shift(1))
        & (pl.col("ex_date") - pl.col("ex_date").shift(1) <= timedelta(days=REPEAT_DAYS))
        & pl.min_horizontal((pl.col(c) / before - 1).abs() for c in ("dividend_inr", "value")).le(REPEAT_TOLERANCE)
    ).fill_null(False)
    numbered = paid.with_columns(event=(~again).cum_sum())
    return (
        numbered.group_by("event", maintain_order=True)
        .agg(pl.col("ticker").first(), pl.col("ex_date").last(), pl.exclude("event", "ticker", "ex_date").first())
        .drop("event")
    )


def vendor_as_of(source: pl.Expr) -> pl.Expr:
    """The download day that a source text names, else null."""
    day = pl.lit(None, pl.Date)
    for name, as_of in VENDOR_AS_OF.items():
        day = pl.when(source.str.contains(name, literal=True)).then(pl.lit(as_of)).otherwise(day)
    return day


def basis_dividends(rows: pl.DataFrame, placed: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Columns ticker, date, _paid: dividends on the basis of the row that carries them.

    `placed` is what `dividends` returns, with the `date` of the row that carries each.
    """
    keys = ["ticker", "date"]
    facts = rows.select(*keys, "basis", "source", "_prev", "prev_close_inr").join(placed, on=keys, how="semi")
    placed = placed.join(facts.unique(keys, keep="first", maintain_order=True), on=keys)
    placed = placed.with_columns(basis_day=vendor_as_of(pl.col("source")))
    held = known_factors(actions, (*LATER_SPLITS, *MISSED_SPLITS))  # what the vendor's prices are adjusted for
    scaled = pl.col("dividend_inr") * factor_between(placed, held, "ex_date", "basis_day")
    adjusted = pl.when(pl.col("basis_day").is_null()).then(pl.col("value")).otherwise(scaled)
    amount = pl.when(pl.col("basis") == SPLIT_ADJUSTED).then(adjusted).otherwise(pl.col("dividend_inr"))
    placed = placed.with_columns(_paid=amount)
    believable = ~pl.col("is_implied") | (pl.col("_paid") <= MAX_IMPLIED_YIELD * pl.coalesce("prev_close_inr", "_prev"))
    return placed.filter(believable.fill_null(True)).group_by(keys).agg(pl.col("_paid").sum())


def implied_dividends(rows: pl.DataFrame, known: set[str]) -> pl.DataFrame:
    """Fill the dividends of split-adjusted rows of tickers without any in the actions, from adj_close.

    A vendor multiplies earlier adjusted closes by 1 - dividend / previous close; the step of adj_close / close gives
    it back.
    """
    ratio = pl.col("adj_close_inr") / pl.col("close_inr")
    previous = ratio.shift(1).over("ticker")
    sound = (pl.col("adj_close_inr") > 0.0) & (pl.col("close_inr") > 0.0)
    noise = PRICE_ROUNDING_INR * (1.0 / pl.col("adj_close_inr") + 1.0 / pl.col("close_inr"))
    noise = 2.0 * (noise + noise.shift(1).over("ticker"))
    share = 1.0 - previous / ratio
    both = (pl.col("basis") == SPLIT_ADJUSTED) & (pl.col("_prev_basis") == SPLIT_ADJUSTED) & sound
    both = both & sound.shift(1).over("ticker").fill_null(False) & ~pl.col("ticker").is_in(list(known))
    real = (share > MIN_IMPLIED_YIELD) & (share > noise) & (share <= MAX_IMPLIED_YIELD)
    implied = pl.when(both & real).then(share * pl.col("_prev")).otherwise(pl.col("dividend_inr"))
    return rows.with_columns(dividend_inr=implied.fill_null(pl.col("dividend_inr")))


def known_factors(actions: pl.DataFrame, extra: Sequence[tuple[str, date, float]] = LATER_SPLITS) -> pl.DataFrame:
    """Splits and bonuses with a number, `extra` ones included, as cumulative logs by ticker."""
    known = price_factors(actions).drop_nulls("price_factor")
    schema = {"ticker": pl.String, "ex_date": pl.Date, "price_factor": pl.Float64}
    added = pl.DataFrame(list(extra), schema=schema, orient="row").join(known, on=["ticker", "ex_date"], how="anti")
    merged = pl.concat([known, added]).sort("ex_date")
    return merged.with_columns(cumulative=pl.col("price_factor").log().cum_sum().over("ticker"))


def factor_between(events: pl.DataFrame, factors: pl.DataFrame, after: str, upto: str) -> pl.Series:
    """Product of the price factors with `after` < ex_date <= `upto` of each event's ticker; 1 where a bound is null."""
    steps = factors.select("ticker", step_date="ex_date", cumulative="cumulative")

    def total(bound: str) -> pl.Series:
        numbered = events.select("ticker", bound).with_row_index("_n").drop_nulls(bound).sort(bound)
        found = numbered.join_asof(
            steps, left_on=bound, right_on="step_date", by="ticker", strategy="backward", check_sortedness=False
        )
        whole = events.select("ticker").with_row_index("_n").join(found.select("_n", "cumulative"), on="_n", how="left")
        return whole.sort("_n")["cumulative"].fill_null(0.0)

    product = (total(upto) - total(after)).exp()
    bounded = events[after].is_not_null() & events[upto].is_not_null()
    return pl.select(pl.when(bounded).then(product).otherwise(1.0)).to_series()
