"""A session that the data lost for the whole market, and rows whose move may be a corporate action."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.causality import assert_causal
from quant_core.features import FeatureConfig, compute_features

DAYS = sessions(date(2015, 1, 1), date(2026, 12, 31))
NAMES = ("A", "B", "C", "D", "E", "F")
LENGTH, LOST = 60, 40


def whole_market(make_prices, seed: int = 3) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return make_prices({name: random.normal(0.001, 0.02, LENGTH).tolist() for name in NAMES})


def without_session(prices: pl.DataFrame, at: int = LOST) -> pl.DataFrame:
    """The same market where the files lack session `at`: the next return spans it, as in clean prices."""
    gone = prices.filter(pl.col("date") == DAYS[at]).select("ticker", gone="total_return_1d")
    spanned = (1.0 + pl.col("total_return_1d")) * (1.0 + pl.col("gone")) - 1.0
    return (
        prices.filter(pl.col("date") != DAYS[at])
        .join(gone, on="ticker", how="left")
        .with_columns(
            total_return_1d=pl.when(pl.col("date") == DAYS[at + 1]).then(spanned).otherwise("total_return_1d")
        )
        .drop("gone")
        .sort("date", "ticker")
    )


def on(table: pl.DataFrame, column: str, session: int) -> list[float | None]:
    return table.filter(pl.col("date") == DAYS[session]).sort("ticker")[column].to_list()


CONFIG = FeatureConfig(
    names=("log_returns", "volume_shock"), windows=(1, 5, 21), normalization="none", min_history_sessions=20
)


def test_a_five_day_return_after_a_lost_session_is_the_five_day_return(make_prices) -> None:
    prices = whole_market(make_prices)
    undisturbed = compute_features(prices, CONFIG, DAYS[30], DAYS[LENGTH - 1])
    disturbed = compute_features(without_session(prices), CONFIG, DAYS[30], DAYS[LENGTH - 1])
    for session in range(LOST + 1, LOST + 5):
        found, wanted = (on(table, "log_return_5d", session) for table in (disturbed, undisturbed))
        assert None not in found
        assert found == pytest.approx(wanted, abs=1e-14)
        assert None not in on(disturbed, "volume_shock_5d", session)


def test_a_name_that_halts_alone_still_loses_its_short_windows(make_prices) -> None:
    prices = whole_market(make_prices).filter((pl.col("date") != DAYS[LOST]) | (pl.col("ticker") != "A"))
    table = compute_features(prices, CONFIG, DAYS[30], DAYS[LENGTH - 1])
    assert [value is None for value in on(table, "log_return_5d", LOST + 1)] == [
        True,
        False,
        False,
        False,
        False,
        False,
    ]


def test_four_names_make_no_market(make_prices) -> None:
    prices = without_session(whole_market(make_prices)).filter(pl.col("ticker").is_in(["A", "B", "C", "D"]))
    table = compute_features(prices, CONFIG, DAYS[30], DAYS[LENGTH - 1])
    assert on(table, "log_return_5d", LOST + 1) == [None] * 4


def test_the_lost_session_is_no_lookahead(make_prices) -> None:
    prices = without_session(whole_market(make_prices))
    for cut in (LOST - 1, LOST + 1, LOST + 3):
        assert_causal(lambda table: compute_features(table, CONFIG, DAYS[25], DAYS[LENGTH - 1]), prices, DAYS[cut])


def test_a_window_over_a_quarantined_row_is_unusable_and_the_others_are_not(make_prices) -> None:
    prices = whole_market(make_prices)
    is_bad = (pl.col("date") == DAYS[LOST]) & (pl.col("ticker") == "B")
    prices = prices.with_columns(
        flags=pl.when(is_bad).then(pl.lit("quarantined")).otherwise(pl.lit("")),
        total_return_1d=pl.when(~is_bad).then("total_return_1d"),
    )
    table = compute_features(prices, CONFIG, DAYS[30], DAYS[LENGTH - 1])
    broken = [
        (session, column)
        for session in range(30, LENGTH)
        for column in ("log_return_1d", "log_return_5d", "log_return_21d")
        if on(table, column, session)[1] is None
    ]
    assert {session for session, column in broken if column == "log_return_1d"} == {LOST}
    assert {session for session, column in broken if column == "log_return_5d"} == set(range(LOST, LOST + 5))
    assert {session for session, column in broken if column == "log_return_21d"} == set(range(LOST, LENGTH))
    for session in (LOST, LOST + 4):
        assert None not in [value for n, value in enumerate(on(table, "log_return_5d", session)) if n != 1]
