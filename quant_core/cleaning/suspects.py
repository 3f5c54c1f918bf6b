"""Corporate actions that nobody listed, judged by what the row itself shows: applied, quarantined or kept.

A split or bonus moves the open already and by an exact simple ratio; a crash reaches the close by trading. On NSE a
share cannot open far beyond its price band, so an open *and* a close beyond it with no listed action are an action or
a defect, never an ordinary night. What decides, in this order:

| evidence | outcome |
|---|---|
| a reviewed line of kind `none` | kept |
| a price below a rupee, where a tick is a ratio of its own | no suspect |
| the exchange's previous close differs from the last close, and the open agrees with it | applied: its factor |
| the indices moved at least half as far that day | kept |
| open and close near one simple ratio (`EXACT`; a deep one also `NEAR` with volume moved inversely) | applied |
| near a ratio, but ambiguous, inexact or without volume | quarantined |
| open beyond the band, close not back inside | quarantined: a demerger, rights or a consolidation of odd terms |
| the close went there by trading, or the open was a single odd print | kept |

Ratios of 4:5 and 5:6 lie inside the 20 % band. There the volume decides: a bonus day trades about as much as the days
before (PFC 2023-09-21: 1.3 times), a fall of a fifth on news many times as much (YESBANK 2020-07-23 opened at 0.800 and
closed at 0.808 on 23 times); between the two the row is quarantined. A price pinned at its band is the band's, unless
as much is traded as on a bonus day: then either may be meant.

After an absence the last close is the base all the same, but a price may have gone far: a ratio is applied up to
`APPLY_SESSIONS`, quarantined up to `RATIO_SESSIONS`, and beyond that quarantined only where volume moved inversely.
The tolerances were chosen on the NIFTY 50 names up to 2016 and hold on 2017-2023 (docs/market-data.md).
"""

import polars as pl

from quant_core.cleaning.quality import add_flag
from quant_core.cleaning.units import VOLUME_SPAN
from quant_core.schema import EQUITY, INDEX, UNADJUSTED

APPLIED, QUARANTINED, KEPT = "applied", "quarantined", "kept"
#: outcome -> kind in `flags`.
FLAG_OF = {APPLIED: "applied_action", QUARANTINED: "quarantined", KEPT: "kept_move"}

#: Price factors of splits, bonuses and their combinations on NSE, as shares before over shares after.
SPLITS = ((1, 100), (1, 50), (1, 25), (1, 20), (1, 15), (1, 10), (1, 8), (1, 6), (1, 5), (1, 4), (1, 3), (2, 5),
          (1, 2), (3, 5), (2, 3), (3, 4), (4, 5), (5, 6))  # fmt: skip
CONSOLIDATIONS = ((2, 1), (3, 1), (4, 1), (5, 1))
RATIOS = tuple(after / before for after, before in (*SPLITS, *CONSOLIDATIONS))
#: A price beyond this share of the base, or its reciprocal, is beyond the band of a day.
HIGHEST = 0.77
#: Log distance of the nearer of open and close from the ratio. Of 72 splits and bonuses up to 2016, 66 lie within
#: EXACT and 70 within NEAR (2017-2023: 25 of 25 within EXACT). A demerger's factor is anything: what is applied in
#: error errs by at most NEAR.
EXACT, NEAR = 0.03, 0.05
#: A deep jump this near a ratio is said to be near it; what is not NEAR is quarantined.
ROUGH = 0.10
#: Log distance of the farther one, the day's own move: (from this ratio on, at most so far). Few things but a split
#: leave a quarter or less, and a small name may close at its 20 % band (IRB 2023-02-22); shallow ratios lie close
#: together, and what opened at one half and closed at 0.56 is as likely a demerger.
FARTHEST = ((0.0, 0.19), (0.3, 0.10), (0.55, 0.08))
BAND_DAY, DEEP = 0.05, 0.5
#: The best ratio's two distances together are at least this much below the next ratio's (KOTAKBANK 2005-08-25 at 0.45
#: and 0.44, a factor of 0.4, is 0.03 from being read as 1:2).
MARGIN = 0.05
#: 4:5 and 5:6 are 0.08 apart in this sense.
BAND_MARGIN = 0.02
#: Shares traded over usual, times the ratio: 1 where only the count of shares changed. At least this moved inversely.
INVERSE_VOLUME = 0.5
#: After a long absence: the same, and at least so many times the usual.
LONG_INVERSE_VOLUME, LONG_LEAST_VOLUME = 0.75, 1.5
#: Inside the band: up to the lower it is a bonus day's volume, from the upper on a fall's.
BAND_QUIET, BAND_HEAVY = 2.5, 5.0
#: A price is pinned at its band where it is the day's low and this near the band's edge, or within a tick of it. Locked
#: without buyers, little is traded.
BAND, PINNED, TICK_INR, BAND_LOCKED = 0.2, 2e-3, 0.05, 0.5
#: An open beyond the band whose close is back within this share of the base was one odd print; on the day of a listed
#: action a close inside the band is enough.
BACK_INSIDE = 0.87
#: Below this price a tick of 0.05 rupees is a ratio of its own.
LEAST_PRICE_INR = 1.0
#: The exchange's previous close states another base from this relative difference on.
STATED_LEAST = 0.02
#: The indices explain a jump that is at most this many times theirs.
INDEX_MULTIPLE = 2.0
#: Sessions from the last close: a ratio is applied / quarantined at most so far away.
APPLY_SESSIONS, RATIO_SESSIONS = 5, 40
#: Fewest stocks whose median stands in for the indices where there are none.
LEAST_STOCKS = 10

SUSPECT_SCHEMA = {
    "date": pl.Date,
    "ticker": pl.String,
    "outcome": pl.String,
    "ratio": pl.Float64,
    "open_ratio": pl.Float64,
    "close_ratio": pl.Float64,
    "volume_ratio": pl.Float64,
    "gap_sessions": pl.Int32,
    "index_return_1d": pl.Float64,
    "reason": pl.String,
}


def find_suspects(rows: pl.DataFrame, judge: bool = True) -> pl.DataFrame:
    """Every jump that may be an unlisted action with its outcome, as in SUSPECT_SCHEMA, sorted by date and ticker.

    Args:
        rows: sound rows by ticker and date with `session`, and `close_inr_before`, `session_before`, `date_before` and
            `basis_before` of the ticker's sound row before; price_factor and dividend_inr of the listed actions;
            `reviewed_none` where a reviewed line says that the day's jump is real.
        judge: False quarantines what would be applied.
    Returns:
        ratio is the price factor (null where none is meant), open_ratio and close_ratio are over the last close after
        listed actions, volume_ratio over the trailing median, index_return_1d the median of the indices' that day.
    """
    candidates = _candidates(rows)
    if not candidates.height:
        return pl.DataFrame(schema=SUSPECT_SCHEMA)
    candidates = _with_volume(candidates, rows)
    candidates = candidates.join(_index_returns(rows, candidates), on="date", how="left")
    judged = _judged(_with_nearest_ratio(candidates))
    if not judge:
        unsure = pl.col("outcome") == APPLIED
        judged = judged.with_columns(
            outcome=pl.when(unsure).then(pl.lit(QUARANTINED)).otherwise("outcome"),
            reason=pl.when(unsure).then("reason" + pl.lit("; nothing is applied without review")).otherwise("reason"),
        )
    return judged.filter(pl.col("outcome").is_not_null()).select(list(SUSPECT_SCHEMA)).sort("date", "ticker")


def _candidates(rows: pl.DataFrame) -> pl.DataFrame:
    """Stock rows whose open or close left the last close by more than the shallowest ratio, or whose base is stated."""
    level = pl.col("close_inr_before") * pl.col("price_factor") - pl.col("dividend_inr")
    stocks = rows.lazy().filter(
        pl.col("instrument") == EQUITY,
        pl.col("basis") == UNADJUSTED,
        pl.col("basis_before") == UNADJUSTED,
        pl.col("close_inr_before").is_not_null(),
        level > 0,
    )
    stocks = stocks.select(
        "date", "ticker", "date_before", "volume_shares", "reviewed_none",
        gap_sessions=pl.col("session") - pl.col("session_before"),
        open_ratio=pl.coalesce("open_inr", "close_inr") / level,
        close_ratio=pl.col("close_inr") / level,
        low_ratio=pl.col("low_inr") / level,
        level_inr=level,
        stated_ratio=pl.col("prev_close_inr") / level,
        least_inr=pl.min_horizontal("open_inr", "close_inr", level),
        raw_stated=pl.col("prev_close_inr") / pl.col("close_inr_before"),
        listed=pl.col("price_factor") != 1.0,
    )  # fmt: skip
    low, high = pl.min_horizontal("open_ratio", "close_ratio"), pl.max_horizontal("open_ratio", "close_ratio")
    shallowest = RATIOS[len(SPLITS) - 1] * (1 + BAND_DAY)
    jumped = (high <= shallowest) | (low <= HIGHEST) | (high >= 1 / HIGHEST)
    return stocks.filter((jumped | _is_stated()) & (low > 0)).collect()


def _is_stated() -> pl.Expr:
    """The exchange's previous close is another base than the last close, and the open agrees with it.

    Only from one session to the next: across a gap the field is the close of a session that is not there. A field that
    the open contradicts is a defect (EICHERMOT 2001-07-02: 32.5 beside a last close of 20.65 and an open of 20.5).
    """
    from_stated = (pl.col("open_ratio") / pl.col("stated_ratio")).log().abs()
    differs = ((pl.col("stated_ratio") - 1).abs() >= STATED_LEAST) & ((pl.col("raw_stated") - 1).abs() >= STATED_LEAST)
    agrees = (from_stated < pl.col("open_ratio").log().abs()) & (from_stated <= -pl.lit(HIGHEST).log())
    return ((pl.col("gap_sessions") == 1) & differs & agrees).fill_null(False)


def _with_volume(candidates: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`volume_ratio`: shares traded over their median in the `VOLUME_SPAN` that ends with the last row before.

    That row itself is inside, so the median does not depend on how long the ticker was away.
    """
    wanted = candidates.select("date", "ticker", "date_before")
    past = rows.lazy().select("ticker", pl.col("date").alias("day"), "volume_shares").join(
        wanted.lazy(), on="ticker"
    )  # fmt: skip
    past = past.filter(pl.col("day").is_between(pl.col("date_before") - VOLUME_SPAN, pl.col("date_before")))
    usual = past.group_by("date", "ticker").agg(usual=pl.col("volume_shares").median()).collect()
    share = pl.col("volume_shares") / pl.when(pl.col("usual") > 0).then(pl.col("usual"))
    return candidates.join(usual, on=["date", "ticker"], how="left").with_columns(volume_ratio=share)


def _index_returns(rows: pl.DataFrame, candidates: pl.DataFrame) -> pl.DataFrame:
    """(date, index_return_1d): the median over the indices that are not of volatility, else over the stocks."""
    moves = rows.lazy().join(candidates.lazy().select("date").unique(), on="date", how="semi")
    moves = moves.filter(pl.col("session") - pl.col("session_before") == 1)
    move = pl.col("close_inr") / (pl.col("close_inr_before") * pl.col("price_factor")) - 1
    moves = moves.select("date", "instrument", "ticker", move=move)
    is_index = (pl.col("instrument") == INDEX) & ~pl.col("ticker").str.contains("VIX")
    own = pl.col("move").filter(is_index).median()
    stocks = pl.col("move").filter(pl.col("instrument") == EQUITY)
    stand_in = pl.when(stocks.count() >= LEAST_STOCKS).then(stocks.median())
    return moves.group_by("date").agg(index_return_1d=pl.coalesce(own, stand_in)).collect()


def _with_nearest_ratio(candidates: pl.DataFrame) -> pl.DataFrame:
    """`candidates` with the ratio nearest to open and close together, its log distances, and the next ratio's margin.

    The close is compared after the indices' own move of the day.
    """
    pairs = candidates.with_row_index("_n").join(pl.DataFrame({"ratio": list(RATIOS)}), how="cross")
    market = 1 + pl.col("index_return_1d").fill_null(0.0)
    from_open = (pl.col("open_ratio") / pl.col("ratio")).log().abs()
    from_close = (pl.col("close_ratio") / pl.col("ratio") / market).log().abs()
    ordered = pairs.with_columns(
        farther=pl.max_horizontal(from_open, from_close),
        nearer=pl.min_horizontal(from_open, from_close),
        both=from_open + from_close,
    ).sort("_n", "both", "ratio")
    ordered = ordered.with_columns(margin=pl.col("both").shift(-1).over("_n") - pl.col("both"))
    return ordered.unique("_n", keep="first", maintain_order=True).drop("_n", "both")


def _judged(near: pl.DataFrame) -> pl.DataFrame:
    """`near` with outcome and reason; a null outcome is no suspect. The first rule that holds decides."""
    gap, volume = pl.col("gap_sessions"), pl.col("volume_ratio")
    low, high = pl.min_horizontal("open_ratio", "close_ratio"), pl.max_horizontal("open_ratio", "close_ratio")
    # A price wanders with the square root of the sessions away; one session's reach is the band.
    reach = -pl.lit(HIGHEST).log() * gap.sqrt()
    open_beyond = pl.col("open_ratio").log().abs() > reach
    back = pl.when("listed").then(HIGHEST).otherwise(BACK_INSIDE)
    stays = pl.when(pl.col("open_ratio") < 1).then(pl.col("close_ratio") <= back).otherwise(
        pl.col("close_ratio") >= 1 / back
    )  # fmt: skip
    beyond = (high <= HIGHEST) | (low >= 1 / HIGHEST)
    shallow = (pl.col("ratio") > DEEP) & (pl.col("ratio") < 1 / DEEP)
    is_near = beyond & (pl.col("farther") <= _farthest())
    is_near = is_near & (pl.col("nearer") <= pl.when(shallow | (gap > RATIO_SESSIONS)).then(NEAR).otherwise(ROUGH))
    inverse = (volume * pl.col("ratio") >= INVERSE_VOLUME).fill_null(False)
    unsteady = (volume < INVERSE_VOLUME / pl.col("ratio")).fill_null(False) & shallow
    exact = (pl.col("nearer") <= EXACT) & ~unsteady | (pl.col("nearer") <= NEAR) & inverse & ~shallow
    sure = exact & (pl.col("margin") >= MARGIN) & (gap <= APPLY_SESSIONS)
    in_band = ~beyond & (high < 1) & (gap == 1) & (pl.col("nearer") <= EXACT) & (pl.col("farther") <= BAND_DAY)
    long_inverse = (
        (volume * pl.col("ratio") >= LONG_INVERSE_VOLUME) & (volume >= LONG_LEAST_VOLUME)
    ).fill_null(False)  # fmt: skip
    quiet = in_band & (volume <= BAND_QUIET).fill_null(False)
    moved = pl.any_horizontal(open_beyond, low <= HIGHEST, high >= 1 / HIGHEST)
    rules = (
        (pl.col("reviewed_none"), KEPT, pl.lit("reviewed: a real move")),
        (pl.col("least_inr") < LEAST_PRICE_INR, None, pl.lit("")),
        (_is_stated(), APPLIED, pl.lit("the exchange's previous close states the base")),
        (_explained_by_indices() & (moved | in_band), KEPT, pl.lit("the indices moved with it")),
        (
            is_near & (gap > RATIO_SESSIONS) & long_inverse,
            QUARANTINED,
            pl.lit("near a ratio after a long absence, volume moved inversely"),
        ),
        (moved & (gap > RATIO_SESSIONS), KEPT, pl.lit("a long absence: a ratio says nothing")),
        (is_near & sure, APPLIED, pl.lit("open and close at a simple ratio")),
        (is_near & (gap > APPLY_SESSIONS), QUARANTINED, pl.lit("near a ratio after an absence")),
        (is_near, QUARANTINED, pl.lit("near a ratio, but inexact, ambiguous or without its volume")),
        (in_band & (volume >= BAND_HEAVY).fill_null(False), KEPT, pl.lit("a ratio inside the band on heavy volume")),
        (in_band & _pinned() & ~volume.is_between(BAND_LOCKED, BAND_QUIET), KEPT, pl.lit("pinned at the price band")),
        (in_band & _pinned(), QUARANTINED, pl.lit("pinned at the price band, on a bonus day's volume")),
        (quiet & (pl.col("margin") >= BAND_MARGIN), APPLIED, pl.lit("a ratio inside the band, quiet volume")),
        (in_band, QUARANTINED, pl.lit("a ratio inside the band, by price and volume a bonus or a fall")),
        (open_beyond & stays, QUARANTINED, pl.lit("opened beyond the band at no simple ratio")),
        (moved & (gap > 1), KEPT, pl.lit("an absence, within a price's reach")),
        (moved, KEPT, pl.lit("went there by trading, or one odd print")),
    )
    outcome, reason = pl.lit(None, pl.String), pl.lit("")
    for holds, result, text in reversed(rules):
        outcome = pl.when(holds.fill_null(False)).then(pl.lit(result, pl.String)).otherwise(outcome)
        reason = pl.when(holds.fill_null(False)).then(text).otherwise(reason)
    ratio = (
        pl.when((outcome == APPLIED) & _is_stated())
        .then("stated_ratio")
        .when(is_near | in_band)
        .then("ratio")
    )  # fmt: skip
    return near.with_columns(outcome=outcome, reason=reason, ratio=ratio)


def _farthest() -> pl.Expr:
    """The largest day's move under which a jump is near its ratio; a consolidation is as deep as its reciprocal."""
    depth = pl.min_horizontal("ratio", 1 / pl.col("ratio"))
    allowed = pl.lit(FARTHEST[0][1])
    for least, farthest in FARTHEST[1:]:
        allowed = pl.when(depth >= least).then(farthest).otherwise(allowed)
    return allowed


def _explained_by_indices() -> pl.Expr:
    """The indices went the same way, and the smaller of the two jumps is at most `INDEX_MULTIPLE` of theirs."""
    opened, closed = pl.col("open_ratio").log(), pl.col("close_ratio").log()
    index = (1 + pl.col("index_return_1d")).log()
    jump = pl.when(opened.abs() < closed.abs()).then(opened).otherwise(closed)
    return ((jump * index > 0) & (jump.abs() <= INDEX_MULTIPLE * index.abs())).fill_null(False)


def _pinned() -> pl.Expr:
    """The open or the close stands at the lower band and is the day's low."""
    near = pl.max_horizontal(pl.lit(PINNED), TICK_INR / pl.col("level_inr"))
    return pl.any_horizontal(
        ((pl.col(name) - (1 - BAND)).abs() <= near) & (pl.col(name) <= pl.col("low_ratio"))
        for name in ("open_ratio", "close_ratio")
    ).fill_null(False)


def flag_suspects(rows: pl.DataFrame, suspects: pl.DataFrame | None) -> pl.DataFrame:
    """`rows` with each outcome's kind, `quarantined`, and the ratio of what is applied in price_factor."""
    if suspects is None or not suspects.height:
        return rows.with_columns(quarantined=pl.lit(False))
    marked = rows.join(suspects.select("date", "ticker", "outcome", "ratio"), on=["date", "ticker"], how="left")
    flags = pl.col("flags")
    for outcome, kind in FLAG_OF.items():
        flags = add_flag(flags, kind, pl.col("outcome").eq_missing(pl.lit(outcome)))
    factor = pl.when(pl.col("outcome") == APPLIED).then(pl.col("ratio")).otherwise(1.0)
    return marked.with_columns(
        flags=flags,
        price_factor=pl.col("price_factor") * factor,
        quarantined=(pl.col("outcome") == QUARANTINED).fill_null(False),
    ).drop("outcome", "ratio")
