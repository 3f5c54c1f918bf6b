"""Corporate actions that nobody listed: open and close moved together by a simple ratio.

A split or bonus moves the open already; a crash reaches the close by trading. Since a share may not trade beyond its
price band and most cannot open beyond it, an open *and* a close near 2/3 of yesterday's close are an action, while
YESBANK 2020-03-06 opened at 0.90 and closed at 0.44. Ratios above 3/4 are not looked for: 4:5 and 10:11 lie inside the
20 % band (YESBANK 2020-07-23 opened at 0.800 and closed at 0.808, with 15 times the usual volume, and was no action).
"""

import polars as pl

from quant_core.cleaning.checks import add_flag
from quant_core.cleaning.units import trailing_median_volume
from quant_core.schema import EQUITY, UNADJUSTED

#: Price factors of splits, bonuses and their combinations on NSE, as shares before over shares after.
SPLITS = ((1, 100), (1, 50), (1, 25), (1, 20), (1, 15), (1, 10), (1, 8), (1, 6), (1, 5), (1, 4), (1, 3), (2, 5),
          (1, 2), (3, 5), (2, 3), (3, 4))  # fmt: skip
CONSOLIDATIONS = ((2, 1), (3, 1), (4, 1), (5, 1))
#: Open and close above this share of the previous close may be a move inside the price band.
HIGHEST = 0.77
#: Log distance of open and of close from the ratio: the day's own move. Deep ratios lie further apart, and a day may
#: close at its 20 % band as long as the nearer of the two is within DEEP_NEAREST.
TOLERANCE, DEEP_TOLERANCE, DEEP_NEAREST, DEEP = 0.075, 0.19, 0.13, 0.5
#: Below this price a tick of 0.05 rupees is a ratio of its own.
LEAST_PRICE_INR = 1.0
#: A shallow ratio needs shares traded of at least this share of their trailing median.
LEAST_VOLUME = 0.75
#: A close this many sessions old is compared with; after a longer absence the exchange's previous close is, if given.
MAX_GAP = 5

SUSPECT_SCHEMA = {
    "date": pl.Date,
    "ticker": pl.String,
    "ratio": pl.Float64,
    "open_ratio": pl.Float64,
    "close_ratio": pl.Float64,
    "volume_ratio": pl.Float64,
}


def find_suspects(rows: pl.DataFrame) -> pl.DataFrame:
    """(date, ticker, ratio, open_ratio, close_ratio, volume_ratio), sorted: jumps that look like unlisted actions.

    Args:
        rows: sound rows with `session`, `close_inr_before`, `session_before` and `basis_before` of the ticker's
            sound row before (null where it is too old), and price_factor and dividend_inr of the listed actions.
    Returns:
        ratio is the price factor; volume_ratio is over the trailing median, null without volumes.
    """
    gap = pl.col("session") - pl.col("session_before")
    base = pl.when(gap <= MAX_GAP).then(pl.col("close_inr_before")).otherwise(pl.col("prev_close_inr"))
    level = base * pl.col("price_factor") - pl.col("dividend_inr")
    jumped = rows.lazy().filter(
        pl.col("instrument") == EQUITY, pl.col("basis") == UNADJUSTED, pl.col("basis_before") == UNADJUSTED
    )
    jumped = jumped.select(
        "date",
        "ticker",
        "volume_shares",
        least_inr=pl.min_horizontal("open_inr", "close_inr", level),
        open_ratio=pl.col("open_inr") / level,
        close_ratio=pl.col("close_inr") / level,
    )
    low, high = pl.min_horizontal("open_ratio", "close_ratio"), pl.max_horizontal("open_ratio", "close_ratio")
    dear = pl.col("least_inr") >= LEAST_PRICE_INR
    candidates = jumped.filter(((high <= HIGHEST) | (low >= 1 / HIGHEST)) & dear & (low > 0)).collect()
    if not candidates.height:
        return pl.DataFrame(schema=SUSPECT_SCHEMA)
    usual = trailing_median_volume(candidates, rows)
    candidates = candidates.join(usual, on=["date", "ticker"], how="left").with_columns(
        volume_ratio=pl.col("volume_shares") / pl.when(pl.col("usual_volume") > 0).then(pl.col("usual_volume"))
    )
    near = _nearest_ratio(candidates)
    shallow = (pl.col("ratio") > DEEP) & (pl.col("ratio") < 1 / DEEP)
    near = near.filter(
        pl.when(shallow)
        .then(pl.col("farther") <= TOLERANCE)
        .otherwise((pl.col("farther") <= DEEP_TOLERANCE) & (pl.col("nearer") <= DEEP_NEAREST)),
        ~shallow | (pl.col("volume_ratio") >= LEAST_VOLUME).fill_null(True),
    )
    return near.select(list(SUSPECT_SCHEMA)).sort("date", "ticker")


def _nearest_ratio(candidates: pl.DataFrame) -> pl.DataFrame:
    """`candidates` with the ratio nearest to open and close together, and the two log distances."""
    ratios = pl.DataFrame({"ratio": [after / before for after, before in (*SPLITS, *CONSOLIDATIONS)]})
    pairs = candidates.with_row_index("_n").join(ratios, how="cross")
    from_open = (pl.col("open_ratio").log() - pl.col("ratio").log()).abs()
    from_close = (pl.col("close_ratio").log() - pl.col("ratio").log()).abs()
    return (
        pairs.with_columns(
            farther=pl.max_horizontal(from_open, from_close),
            nearer=pl.min_horizontal(from_open, from_close),
            _sum=from_open + from_close,
        )
        .sort("_n", "_sum")
        .unique("_n", keep="first", maintain_order=True)
    )


def flag_suspects(rows: pl.DataFrame, suspects: pl.DataFrame, apply: bool) -> pl.DataFrame:
    """`rows` with the kind `suspected_action`; with `apply`, the ratio is multiplied into price_factor."""
    if not suspects.height:
        return rows
    marked = rows.join(suspects.select("date", "ticker", "ratio"), on=["date", "ticker"], how="left")
    factor = pl.col("price_factor") * pl.col("ratio").fill_null(1.0) if apply else pl.col("price_factor")
    return marked.with_columns(
        flags=add_flag(pl.col("flags"), "suspected_action", pl.col("ratio").is_not_null()), price_factor=factor
    ).drop("ratio")
