"""The two tables of docs/market-data.md, measured on the private price files.

    python tests/real_data/tables.py [FOLDER]

FOLDER is QUANT_REAL_DATA, else ../shared/data beside the repository.
"""

import os
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from quant_core.cleaning.clean import Cleaned, CleaningConfig, clean
from quant_core.market.sources.files import FilesSource

NOW = datetime(2024, 1, 1, tzinfo=UTC)
FIRST, LAST = date(2000, 1, 1), date(2023, 12, 29)
WITHIN = 5e-4
#: A vendor's close is called wrong where it is this far from the exchange's, in levels of the ten closes on each side.
CLOSE_TOLERANCE = 3e-4
REAL_CRASHES = (
    ("INFY", date(2003, 4, 10)),
    ("YESBANK", date(2020, 3, 6)),
    ("INDUSINDBK", date(2020, 3, 26)),
    ("ADANIENT", date(2023, 2, 1)),
)


class Market(NamedTuple):
    """Raw rows beside what cleaning makes of them."""

    raw: pl.DataFrame
    cleaned: Cleaned

    @property
    def prices(self) -> pl.DataFrame:
        return self.cleaned.prices

    def count(self, kind: str) -> int:
        """Rows of a kind of defect."""
        found = self.cleaned.quality.filter(pl.col("kind") == kind)
        return int(found["n_rows"].sum())


def cleaned(folder: Path, actions: str = "auto", start: date = FIRST, end: date = LAST) -> tuple[pl.DataFrame, Cleaned]:
    """Raw rows and what cleaning makes of them."""
    raw = FilesSource(path=str(folder), actions=actions).fetch(None, start, end, NOW).rows
    return raw, clean(raw, None, CleaningConfig(), start, end)


def compared(folder: Path, raw: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
    """One row a ticker-day that both sources have, with `gap`, `vendor_close_wrong` and `same_price_move`.

    The vendor reinvests a dividend at the close before less the dividend, close / (previous - dividend) - 1; this lab
    at the day's open. `gap` compares like with like: the lab's factor and dividend by the vendor's formula.
    """
    official = raw.filter(pl.col("instrument") == "equity").unique(["date", "ticker"], keep="first")
    official = official.sort("ticker", "date").with_columns(
        previous=pl.col("close_inr").shift(1).over("ticker"), previous_day=pl.col("date").shift(1).over("ticker")
    )
    both = (
        prices.filter(~pl.col("is_filled"))
        .select("date", "ticker", "total_return_1d")
        .join(official.filter(pl.col("basis") == "unadjusted"), on=["date", "ticker"])
        .join(vendor_returns(folder), on=["date", "ticker"])
        .filter(pl.col("previous_day") == pl.col("vendor_day"))
        .drop_nulls(["total_return_1d", "vendor_return"])
        .sort("ticker", "date")
    )
    level = pl.col("previous") * pl.col("price_factor")
    both = both.with_columns(
        gap=(pl.col("close_inr") / (level - pl.col("dividend_inr")) - 1 - pl.col("vendor_return")).abs(),
        gap_as_reported=(pl.col("total_return_1d") - pl.col("vendor_return")).abs(),
        same_price_move=(pl.col("close_inr") / level - 1 - pl.col("vendor_move")).abs() <= WITHIN,
        ratio=pl.col("close_inr") / pl.col("price_factor").cum_prod().over("ticker") / pl.col("vendor_close"),
    )
    past = pl.col("ratio").shift(1).rolling_median(10, min_samples=3).over("ticker")
    future = pl.col("ratio").reverse().shift(1).rolling_median(10, min_samples=3).reverse().over("ticker")
    alone = [(pl.col("ratio") / level - 1).abs() > CLOSE_TOLERANCE for level in (past, future)]
    both = both.with_columns(off=(alone[0] & alone[1]).fill_null(False))
    return both.with_columns(vendor_close_wrong=pl.col("off") | pl.col("off").shift(1, fill_value=False).over("ticker"))


def vendor_returns(folder: Path) -> pl.DataFrame:
    """(date, ticker, vendor_return, vendor_move, vendor_close, vendor_day) of the download of 2024."""
    vendor = pl.read_parquet(folder / "nifty50_yahoo_adjusted.parquet").drop_nulls("close")
    vendor = vendor.filter(pl.col("volume") > 0, pl.col("source") == "yahoo_2024").sort("ticker", "date")
    return vendor.select(
        "date",
        "ticker",
        vendor_return=pl.col("adj_close") / pl.col("adj_close").shift(1).over("ticker") - 1.0,
        vendor_move=pl.col("close") / pl.col("close").shift(1).over("ticker") - 1.0,
        vendor_close="close",
        vendor_day=pl.col("date").shift(1).over("ticker"),
    )


def agreement_table(both: pl.DataFrame) -> pl.DataFrame:
    """(what, ticker_days, within_5bp, share), the first row being the acceptance figure."""
    sound, recent = both.filter(~pl.col("vendor_close_wrong")), both.filter(pl.col("date") >= date(2010, 1, 1))
    parts = {
        "all ticker-days, same dividend formula": (both, "gap"),
        "all ticker-days, returns as the lab reports them": (both, "gap_as_reported"),
        "without wrong vendor closes": (sound, "gap"),
        "since 2010": (recent, "gap"),
        "since 2010 without wrong vendor closes": (recent.filter(~pl.col("vendor_close_wrong")), "gap"),
        "ex-dates of a split, bonus, rights issue or demerger": (sound.filter(pl.col("price_factor") != 1.0), "gap"),
    }
    rows = [(what, part.height, int((part[gap] <= WITHIN).sum())) for what, (part, gap) in parts.items()]
    table = pl.DataFrame(rows, schema=["what", "ticker_days", "within_5bp"], orient="row")
    return table.with_columns(share=pl.col("within_5bp") / pl.col("ticker_days"))


def disagreement_table(both: pl.DataFrame) -> pl.DataFrame:
    """(reason, ticker_days): every ticker-day beyond 5 bp by what is known of it."""
    far = both.filter(pl.col("gap") > WITHIN)
    reason = (
        pl.when("vendor_close_wrong")
        .then(pl.lit("a vendor close that the closes on both sides contradict"))
        .when("same_price_move")
        .then(pl.lit("same price move, another dividend"))
        .when(pl.col("price_factor") != 1.0)
        .then(pl.lit("an ex-date where the vendor's factor differs"))
        .otherwise(pl.lit("a step in the vendor's level without an action"))
    )
    return far.group_by(reason=reason).agg(ticker_days=pl.len()).sort("ticker_days", descending=True)


def detection_table(folder: Path, suspects: pl.DataFrame) -> pl.DataFrame:
    """(what, events, applied, right_ratio, quarantined, kept): price_gaps.csv by class against what was judged without
    any action list."""
    gaps = pl.read_csv(folder / "price_gaps.csv", infer_schema_length=None, try_parse_dates=True)
    gaps = gaps.rename({"ex_date": "date"}).select("date", "ticker", "class", "factor", o="open_ratio", c="close_ratio")
    gaps = gaps.join(suspects, on=["ticker", "date"], how="left")
    split = pl.col("class").str.starts_with("split_or_bonus")
    deep, early = split & (pl.col("factor") <= 0.5), pl.col("date").dt.year() <= 2016
    moved = ~pl.col("c").is_between(0.8, 1.25) | ~pl.col("o").is_between(0.8, 1.25)
    away = pl.col("class") == "missing_span"
    named = ["demerger", "real_move"]
    parts = {
        "split or bonus, factor 0.5 or less, to 2016": deep & early,
        "split or bonus, factor 0.5 or less, from 2017": deep & ~early,
        "split or bonus, factor 0.6 to 0.75": split & pl.col("factor").is_between(0.59, 0.751),
        "split or bonus, factor above 0.75": split & (pl.col("factor") > 0.751),
        "demerger": pl.col("class") == "demerger",
        "real move": pl.col("class") == "real_move",
        "first row after a long absence": away,
        "other move above 20 %": moved & ~split & ~away & ~pl.col("class").is_in(named),
    }  # fmt: skip
    rows = [(what, *_outcomes(gaps.filter(chosen), with_ratio="split" in what)) for what, chosen in parts.items()]
    unlisted = suspects.join(gaps, on=["ticker", "date"], how="anti")
    rows.append(("not in the list", *_outcomes(unlisted, with_ratio=False)))
    columns = ["what", "events", "applied", "right_ratio", "quarantined", "kept"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _outcomes(part: pl.DataFrame, with_ratio: bool) -> tuple[int, int, int | None, int, int]:
    found = {outcome: part.filter(pl.col("outcome") == outcome) for outcome in ("applied", "quarantined", "kept")}
    right = None
    if with_ratio:
        right = found["applied"].filter((pl.col("ratio") / pl.col("factor") - 1).abs() < 0.01).height
    return part.height, found["applied"].height, right, found["quarantined"].height, found["kept"].height


def equal_weight_cagr(prices: pl.DataFrame, members: pl.DataFrame, start: date) -> float:
    """Of the members' mean price return, rebalanced daily: dividends are left out, since only a list knows them."""
    price_move = (pl.col("total_return_1d") - pl.col("dividend_return_1d")).fill_null(0.0)
    inside = prices.filter(pl.col("date") >= start).join(members, on="ticker")
    inside = inside.filter(
        pl.col("date") >= pl.col("from_date"), pl.col("to_date").is_null() | (pl.col("date") < pl.col("to_date"))
    )
    daily = inside.sort("date", "ticker").group_by("date", maintain_order=True).agg(move=price_move.mean())
    years = (daily["date"].max() - daily["date"].min()).days / 365.25  # type: ignore[operator,union-attr]
    return float((1 + daily["move"]).product() ** (1 / years) - 1)


def crash_table(prices: pl.DataFrame) -> pl.DataFrame:
    """(ticker, date, total_return_1d, flags) of the four real moves."""
    wanted = pl.DataFrame(REAL_CRASHES, schema={"ticker": pl.String, "date": pl.Date}, orient="row")
    return wanted.join(prices, on=["ticker", "date"]).select("ticker", "date", "total_return_1d", "flags")


def main(folder: Path) -> None:
    """Print the tables."""
    raw, with_actions = cleaned(folder)
    _, without = cleaned(folder, actions="none")
    both = compared(folder, raw, with_actions.prices)
    tables = (agreement_table(both), disagreement_table(both), crash_table(with_actions.prices))
    with pl.Config(tbl_rows=40, fmt_str_lengths=80, tbl_width_chars=140, tbl_hide_column_data_types=True):
        for table in (*tables, detection_table(folder, without.suspects)):
            print(table)


if __name__ == "__main__":
    default = os.environ.get("QUANT_REAL_DATA", Path(__file__).parents[2] / ".." / "shared" / "data")
    main(Path(sys.argv[1] if len(sys.argv) > 1 else default))
