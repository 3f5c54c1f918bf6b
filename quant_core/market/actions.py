"""Corporate actions: from a vendor's list to the price factor and the dividend of each row.

The file (`corporate_actions.csv`) is long: ticker, ex_date, kind, value, source, and optionally as_of.

| kind | value |
|---|---|
| split | shares after for one before (5.0 is 5-for-1); the price factor is its reciprocal |
| split_or_bonus_confirmed | price factor (0.2 is 5-for-1), read from the exchange's own prices |
| split_or_bonus_unconfirmed | the same |
| demerger | price factor; empty: ex-date open over previous close |
| dividend, dividend_implied | rupees a share, adjusted for the splits up to `as_of` |

A vendor's `split` gives way to a `split_or_bonus_*` row of the same ticker within a week: vendors name the wrong day
(CIPLA 2004-05-11 for the 12th) or miss a simultaneous bonus (BAJFINANCE 2016-09-08: 5.0 for a true factor of 0.1).

A demerger without a value takes the market's own price of what was handed out: the ex-date open over the previous
close is the price factor, so the night's return is 0 and the demerged company counts as handed out at the open.

Dividends: a vendor divides past amounts by later splits. They are brought to rupees of the ex-date with the splits
*after* it and up to `as_of` (on the ex-date itself the amount is a share after the split). `as_of` is a column of the
file, or follows from the `source` text (VENDOR_AS_OF); where neither says, amounts are rupees of the ex-date already.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from quant_core.errors import DataError
from quant_core.schema import SPLIT_ADJUSTED, UNADJUSTED

CONFIRMED_KINDS = ("split_or_bonus_confirmed", "split_or_bonus_unconfirmed", "demerger")
DIVIDEND_KINDS = ("dividend", "dividend_implied")
KINDS = (*CONFIRMED_KINDS, *DIVIDEND_KINDS, "split")

#: A vendor's split is the same event as a confirmed one of its ticker this many days away (DRREDDY 2001: 5 days).
SAME_EVENT_DAYS = 7
#: Rows this long before the span are needed: an event finds its row, and a row its predecessor, at most so far away.
LOOKBACK_DAYS = 31
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
#: A previous close further than this factor from the open is no price of the same share.
MAX_SEAM_STEP = 2.0
MIN_IMPLIED_YIELD = 1e-4

ACTION_SCHEMA = {
    "ticker": pl.String,
    "ex_date": pl.Date,
    "kind": pl.String,
    "value": pl.Float64,
    "source": pl.String,
    "as_of": pl.Date,
}


def no_actions() -> pl.DataFrame:
    """An actions table without rows."""
    return pl.DataFrame(schema=ACTION_SCHEMA)


def read_actions(path: Path) -> pl.DataFrame:
    """The actions file as a table with columns ticker, ex_date, kind, value, source, as_of, sorted by ticker and date.

    Raises:
        DataError: unreadable, a column missing, an unknown kind, a date or number that is none, a value not above 0.
    """
    where = f"actions file {path.name}"
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as failure:
        raise DataError(f"{where}: cannot be read ({failure}); wanted columns {_COLUMNS}.") from failure
    return parse_actions(table, where)


_COLUMNS = "ticker,ex_date,kind,value[,source][,as_of]"


def parse_actions(table: pl.DataFrame, where: str) -> pl.DataFrame:
    """A table of text columns as an actions table; see `read_actions`."""
    missing = [name for name in ("ticker", "ex_date", "kind", "value") if name not in table.columns]
    if missing:
        raise DataError(f"{where}: columns {missing} are missing (found {table.columns}); wanted {_COLUMNS}.")
    table = table.with_columns(
        pl.lit(None, pl.String).alias(name) for name in ("source", "as_of") if name not in table.columns
    ).select(pl.col(list(ACTION_SCHEMA)).cast(pl.String).str.strip_chars().replace("", None))
    parsed = table.with_columns(
        pl.col("ex_date", "as_of").str.to_date("%Y-%m-%d", strict=False),
        pl.col("value").cast(pl.Float64, strict=False),
        pl.col("source").fill_null(""),
    )
    no_value_needed = pl.col("kind").eq_missing("demerger") & table["value"].is_null()
    rules = {
        "ticker is empty": pl.col("ticker").is_null(),
        f"kind is none of {', '.join(KINDS)}": ~pl.col("kind").is_in(KINDS).fill_null(False),
        "ex_date is no YYYY-MM-DD": pl.col("ex_date").is_null(),
        "value is no number above 0": ~(pl.col("value") > 0.0).fill_null(False) & ~no_value_needed,
        "as_of is no YYYY-MM-DD": pl.col("as_of").is_null() & table["as_of"].is_not_null(),
    }
    for rule, broken in rules.items():
        lines = parsed.select(broken.arg_true()).to_series()
        if len(lines):
            raise DataError(f"{where} line {lines[0] + 2}: {rule}: {table.row(lines[0])}; fix or remove the row.")
    return parsed.sort("ticker", "ex_date", maintain_order=True)


def price_factors(actions: pl.DataFrame) -> pl.DataFrame:
    """Columns ticker, ex_date, price_factor: one row an event day; null is a demerger priced by the market."""
    confirmed = actions.filter(pl.col("kind").is_in(CONFIRMED_KINDS)).select("ticker", "ex_date", price_factor="value")
    vendor = (
        actions.filter(pl.col("kind") == "split")
        .select("ticker", "ex_date", price_factor=1.0 / pl.col("value"))
        .sort("ticker", "ex_date")
    )
    tolerance = timedelta(days=SAME_EVENT_DAYS)
    nearest = vendor.sort("ex_date").join_asof(
        confirmed.select("ticker", "ex_date", known="ex_date").sort("ex_date"),
        on="ex_date",
        by="ticker",
        strategy="nearest",
        check_sortedness=False,
        tolerance=tolerance,
    )
    later = pl.col("ex_date").shift(-1).over("ticker", order_by="ex_date") - pl.col("ex_date") <= tolerance
    again = later & (pl.col("price_factor").shift(-1).over("ticker", order_by="ex_date") == pl.col("price_factor"))
    alone = nearest.filter(pl.col("known").is_null() & ~again.fill_null(False)).select(
        "ticker", "ex_date", "price_factor"
    )
    return (
        pl.concat([confirmed, alone])
        .group_by("ticker", "ex_date")
        .agg(
            price_factor=pl.when(pl.col("price_factor").is_null().any())
            .then(None)
            .otherwise(pl.col("price_factor").product())
        )
        .sort("ticker", "ex_date")
    )


def dividends(actions: pl.DataFrame) -> pl.DataFrame:
    """Columns ticker, ex_date, as_of, value (as in the file), dividend_inr (rupees of the ex-date), is_implied."""
    paid = (
        actions.filter(pl.col("kind").is_in(DIVIDEND_KINDS))
        .with_columns(as_of=pl.coalesce("as_of", vendor_as_of(pl.col("source"))))
        .select("ticker", "ex_date", "as_of", "value", is_implied=pl.col("kind") == "dividend_implied")
    )
    share = _factor_between(paid, _known_factors(actions), "ex_date", "as_of")
    return paid.with_columns(dividend_inr=pl.col("value") / share)


def vendor_as_of(source: pl.Expr) -> pl.Expr:
    """The download day that a source text names, else null."""
    day = pl.lit(None, pl.Date)
    for name, as_of in VENDOR_AS_OF.items():
        day = pl.when(source.str.contains(name, literal=True)).then(pl.lit(as_of)).otherwise(day)
    return day


def apply_actions(rows: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """`rows` with columns price_factor and dividend_inr filled from the actions.

    Args:
        rows: columns date, ticker, open_inr, close_inr, prev_close_inr, basis, source and optionally adj_close_inr;
            any order. They should begin LOOKBACK_DAYS before the first row of interest.
        actions: see `read_actions`.
    Returns:
        the rows in their order. An event without a row on its ex-date goes to the ticker's next row, if the ticker
        also has a row before the event. Split-adjusted rows have factor 1 and dividends on the vendor's basis;
        without any dividend of the ticker in `actions`, the dividend is read from the step of adj_close over close.
    """
    keyed = rows.with_row_index("_row").sort("ticker", "date", "_row")
    keyed = keyed.with_columns(
        _prev=pl.col("close_inr").forward_fill().shift(1).over("ticker"),
        _prev_basis=pl.col("basis").shift(1).over("ticker"),
    )
    factors = (
        _on_rows(keyed, price_factors(actions))
        .group_by("ticker", "date")
        .agg(_known=pl.col("price_factor").drop_nulls().product(), _demerged=pl.col("price_factor").is_null().any())
    )
    paid = _basis_dividends(keyed, actions)
    keyed = keyed.join(factors, on=["ticker", "date"], how="left", maintain_order="left")
    keyed = keyed.join(paid, on=["ticker", "date"], how="left", maintain_order="left")
    at_open = pl.col("open_inr") / pl.coalesce("prev_close_inr", "_prev")
    at_open = pl.when(pl.col("_demerged").fill_null(False) & (at_open > 0.0)).then(at_open).otherwise(1.0)
    own = pl.col("_known").fill_null(1.0) * at_open
    keyed = keyed.with_columns(
        price_factor=pl.when(pl.col("basis") == UNADJUSTED).then(own * _seam()).otherwise(1.0),
        dividend_inr=pl.col("_paid").fill_null(0.0),
    )
    if "adj_close_inr" in rows.columns:
        keyed = _implied_dividends(keyed, set(actions.filter(pl.col("kind").is_in(DIVIDEND_KINDS))["ticker"]))
    return keyed.sort("_row").select(*rows.columns, "price_factor", "dividend_inr")


def _seam() -> pl.Expr:
    """Level of unadjusted over split-adjusted prices where a ticker's rows change over; 1 elsewhere.

    The exchange's previous close is the true level of the last adjusted close, so the row's return is the exchange's
    own. On the first day of a new listing that field is a face value or another company's price (ULTRACEMCO
    2004-08-24: 10 before an open of 260); then, or without it, the levels are joined at the open and the night's
    return is 0.
    """
    joint = (pl.col("basis") == UNADJUSTED) & (pl.col("_prev_basis") == SPLIT_ADJUSTED)
    stated, opened = pl.col("prev_close_inr"), pl.col("open_inr")
    own_level = pl.when((stated > opened / MAX_SEAM_STEP) & (stated < opened * MAX_SEAM_STEP)).then(stated)
    level = pl.coalesce(own_level, opened) / pl.col("_prev")
    return pl.when(joint & (level > 0.0) & level.is_finite()).then(level).otherwise(1.0)


def _on_rows(rows: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """`events` with the `date` of the row that carries each: the first on or after ex_date, with a row before it."""
    days = (
        rows.select("ticker", "date")
        .join(events.select("ticker").unique(), on="ticker", how="semi")
        .unique()
        .sort("date")
    )
    tolerance = timedelta(days=LOOKBACK_DAYS)
    events = events.sort("ex_date")
    found = events.join_asof(
        days,
        left_on="ex_date",
        right_on="date",
        by="ticker",
        strategy="forward",
        tolerance=tolerance,
        coalesce=False,
        check_sortedness=False,
    )
    before = days.with_columns(before="date")
    found = found.join_asof(
        before.select("ticker", "date", "before").rename({"date": "_date"}),
        left_on="ex_date",
        right_on="_date",
        by="ticker",
        strategy="backward",
        check_sortedness=False,
        tolerance=tolerance,
        coalesce=False,
    )
    return found.filter(
        pl.col("date").is_not_null() & ((pl.col("date") == pl.col("ex_date")) | pl.col("before").is_not_null())
    )


def _basis_dividends(rows: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Columns ticker, date, _paid: dividends on the basis of the row that carries them."""
    keys = ["ticker", "date"]
    placed = _on_rows(rows, dividends(actions))
    facts = rows.select(*keys, "basis", "source", "_prev", "prev_close_inr").join(placed, on=keys, how="semi")
    placed = placed.join(facts.unique(keys, keep="first", maintain_order=True), on=keys)
    placed = placed.with_columns(basis_day=vendor_as_of(pl.col("source")))
    held = _known_factors(actions, (*LATER_SPLITS, *MISSED_SPLITS))  # what the vendor's prices are adjusted for
    scaled = pl.col("dividend_inr") * _factor_between(placed, held, "ex_date", "basis_day")
    adjusted = pl.when(pl.col("basis_day").is_null()).then(pl.col("value")).otherwise(scaled)
    amount = pl.when(pl.col("basis") == SPLIT_ADJUSTED).then(adjusted).otherwise(pl.col("dividend_inr"))
    placed = placed.with_columns(_paid=amount)
    believable = ~pl.col("is_implied") | (pl.col("_paid") <= MAX_IMPLIED_YIELD * pl.coalesce("prev_close_inr", "_prev"))
    return placed.filter(believable.fill_null(True)).group_by(keys).agg(pl.col("_paid").sum())


def _implied_dividends(rows: pl.DataFrame, known: set[str]) -> pl.DataFrame:
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


def _known_factors(actions: pl.DataFrame, extra: Sequence[tuple[str, date, float]] = LATER_SPLITS) -> pl.DataFrame:
    """Splits and bonuses with a number, `extra` ones included, as cumulative logs by ticker."""
    known = price_factors(actions).drop_nulls("price_factor")
    schema = {"ticker": pl.String, "ex_date": pl.Date, "price_factor": pl.Float64}
    added = pl.DataFrame(list(extra), schema=schema, orient="row").join(known, on=["ticker", "ex_date"], how="anti")
    merged = pl.concat([known, added]).sort("ex_date")
    return merged.with_columns(cumulative=pl.col("price_factor").log().cum_sum().over("ticker"))


def _factor_between(events: pl.DataFrame, factors: pl.DataFrame, after: str, upto: str) -> pl.Series:
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
