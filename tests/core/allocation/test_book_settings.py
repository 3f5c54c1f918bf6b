"""What a fold trades by: the half-life from a known decay, choices that follow the net results, and their limits."""

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quant_core import calendar
from quant_core.allocation import AllocationConfig
from quant_core.allocation.book_settings import (
    HALF_LIVES,
    LAGS,
    fit_book_settings,
    half_life_merits,
    ic_by_lag,
    n_untaken,
)
from quant_core.schema import BookSettings, validate
from quant_core.trading.account_config import AccountConfig

CONFIG = AllocationConfig(top_n=2, lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=5)
ACCOUNT = AccountConfig(cost_model="flat", risk_free_rate_ann=0.0)


@pytest.mark.parametrize("half_life", HALF_LIVES)
def test_a_decay_is_found_again(half_life: float) -> None:
    ics = 0.04 * np.exp2(-np.array(LAGS) / half_life)
    merits = half_life_merits(ics, np.array(HALF_LIVES))
    assert HALF_LIVES[int(merits.argmax())] == half_life
    assert merits.max() == pytest.approx(1.0)
    ics[3] = np.nan  # a lag that is not known
    assert half_life_merits(ics, np.array(HALF_LIVES)).max() == pytest.approx(1.0)


def test_the_merit_of_a_half_life_by_hand() -> None:
    """ICs 1 and 1 at lags 0 and 1, half-life 1: b = (1, 1/2), A = 1.5 / 1.25, explained 1.5^2 / 1.25 of 2."""
    ics = np.full(len(LAGS), np.nan)
    ics[:2] = 1.0
    assert half_life_merits(ics, np.array([1.0])).tolist() == pytest.approx([0.9])
    assert half_life_merits(-ics, np.array([1.0])).tolist() == [0.0]
    assert half_life_merits(np.zeros(len(LAGS)), np.array([5.0])).tolist() == [0.0]


def market(seed: int = 0, tilt: float = 0.004) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Prices of ten stocks, and scores on their last 90 sessions that know the return of the days to come."""
    days = calendar.sessions(date(2020, 1, 1), date(2020, 12, 31))
    rng = np.random.default_rng(seed)
    names = [f"S{k}" for k in range(10)]
    signal = rng.normal(0.0, 1.0, (len(days), len(names)))
    for t in range(1, len(days)):
        signal[t] = 0.95 * signal[t - 1] + 0.31 * signal[t]
    returns = rng.normal(0.0, 0.01, signal.shape)
    returns[1:] += tilt * signal[:-1]
    close = 100.0 * np.cumprod(1.0 + returns, axis=0)
    long = {"date": [day for day in days for _ in names], "ticker": names * len(days)}
    flat = {"total_return_1d": returns.ravel(), "intraday_return_1d": returns.ravel(), "close_inr": close.ravel()}
    prices = pl.DataFrame(long | flat).with_columns(
        instrument=pl.lit("equity"), overnight_return_1d=pl.lit(0.0),
        dividend_return_1d=pl.lit(0.0), volume_shares=pl.lit(1_000_000), turnover_inr=pl.lit(1e9),
        is_member=pl.lit(True), is_filled=pl.lit(False), is_tradable=pl.lit(True), flags=pl.lit(""),
        open_inr=pl.col("close_inr") / (1.0 + pl.col("intraday_return_1d")), high_inr=pl.col("close_inr") * 1.2,
        low_inr=pl.col("close_inr") * 0.8,
    )  # fmt: skip
    scores = prices.select("date", "ticker", score=pl.Series(signal.ravel())).filter(pl.col("date") >= days[-90])
    return prices.sort("date", "ticker"), scores


def test_the_ic_falls_with_the_lag() -> None:
    prices, scores = market()
    ics = ic_by_lag(scores, prices, 1)
    assert ics[0] > 0.15
    assert ics[0] > ics[6] > abs(ics[9]) - 0.1


def test_choices_are_the_best_of_their_tries_and_repeat() -> None:
    prices, scores = market()
    table = fit_book_settings("2021", {"ridge": (scores, 1)}, prices, CONFIG, ACCOUNT)
    validate(table, BookSettings, "test", "fix it")
    assert set(table["setting"]) == {"half_life_sessions", "sell_multiple", "quadratic_cost"}
    assert table["fit_end"].unique().to_list() == [date(2020, 12, 31)]
    for _, tried in table.group_by("setting"):
        best = tried.filter("is_chosen")
        assert best.height == 1
        assert best["merit"][0] == tried["merit"].max()
    again = fit_book_settings("2021", {"ridge": (scores.reverse(), 1)}, prices.reverse(), CONFIG, ACCOUNT)
    assert_frame_equal(again, table)


def test_dearer_trading_never_improves_a_book() -> None:
    prices, scores = market()

    def merits(bps: float) -> dict[float, float]:
        account = AccountConfig(cost_model="flat", commission_bps=bps, risk_free_rate_ann=0.0)
        table = fit_book_settings("2021", {"ridge": (scores, 1)}, prices, CONFIG, account)
        return dict(table.filter(pl.col("setting") == "sell_multiple").select("value", "merit").iter_rows())

    cheap, dear = merits(0.0), merits(100.0)
    assert all(dear[value] < cheap[value] for value in cheap)
    assert cheap[1.0] - dear[1.0] > cheap[3.0] - dear[3.0]  # a wide buffer trades less


def test_a_slice_that_is_too_short_chooses_nothing() -> None:
    prices, scores = market()
    days = scores["date"].unique().sort()
    few = scores.filter(pl.col("date") >= days[-59])
    assert fit_book_settings("2021", {"ridge": (few, 1)}, prices, CONFIG, ACCOUNT).is_empty()
    assert fit_book_settings("2021", {"ridge": (few.clear(), 1)}, prices, CONFIG, ACCOUNT).is_empty()
    assert fit_book_settings("2021", {}, prices, CONFIG, ACCOUNT).is_empty()


def test_what_follows_the_slice_changes_nothing() -> None:
    prices, scores = market()
    cut = scores["date"].unique().sort()[-10]
    known = pl.col("date") <= cut
    whole = fit_book_settings("2021", {"ridge": (scores.filter(known), 1)}, prices, CONFIG, ACCOUNT)
    alone = fit_book_settings("2021", {"ridge": (scores.filter(known), 1)}, prices.filter(known), CONFIG, ACCOUNT)
    assert_frame_equal(whole, alone)


def test_settings_that_were_tried_and_not_taken_are_counted_by_book() -> None:
    config = AllocationConfig()
    assert n_untaken("buffered", config) == len(HALF_LIVES) - 1 + 3
    assert n_untaken("partial_adjustment", config) == len(HALF_LIVES) - 1 + 2
    assert n_untaken("cost_aware_mean_variance", replace(config, half_life_sessions=30.0)) == len(HALF_LIVES)
    assert n_untaken("top_n", config) == 0
