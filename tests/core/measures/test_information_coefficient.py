"""Rank IC of arrays against scipy, by hand, and what the table of it keeps to."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from quant_core.errors import DataError
from quant_core.measures.information_coefficient import MIN_TICKERS, rank_ic, rank_ic_by_date, ranks

NAN = np.nan


def test_by_hand_over_names_with_both_numbers() -> None:
    scores = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, NAN], [1.0, 1.0, 1.0, 1.0, 1.0, 9.0], [1.0, 2.0, 3.0, 4.0, NAN, NAN]])
    returns = np.array([[0.1, 0.2, 0.3, 0.5, 0.4, 9.0], [0.1, 0.2, 0.3, 0.5, 0.4, NAN], [0.1, 0.2, 0.3, 0.5, 0.4, 1.0]])
    found = rank_ic(scores, returns)
    assert found[0] == pytest.approx(0.9, abs=1e-15)  # 1 - 6 x 2 / (5 x 24)
    assert np.isnan(found[1:]).all()  # equal scores; four names


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=MIN_TICKERS, max_size=40))
def test_it_equals_scipys_with_ties(pairs: list[tuple[int, int]]) -> None:
    score, forward = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    found = rank_ic(score[None], forward[None])[0]
    if len(set(score)) < 2 or len(set(forward)) < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(score, forward).statistic, abs=1e-12)


def test_ranks_are_those_of_scipy_among_the_chosen_cells() -> None:
    rng = np.random.default_rng(2)
    values, among = rng.integers(0, 8, (50, 30)).astype(float), rng.random((50, 30)) < 0.7
    for row, chosen, found in zip(values, among, ranks(values, among), strict=True):
        np.testing.assert_array_equal(found[chosen], rankdata(row[chosen]))


def test_the_table_says_what_the_arrays_say_and_to_the_last_digit_what_polars_says() -> None:
    rng = np.random.default_rng(4)
    score, forward = rng.integers(0, 20, (40, 60)).astype(float), rng.normal(size=(40, 60))
    days = pl.date_range(date(2021, 3, 1), date(2021, 4, 9), eager=True)
    names = pl.Series("ticker", [f"T{k:02d}" for k in range(60)])
    keys = days.alias("date").to_frame().join(names.to_frame(), how="cross")
    forecasts = keys.with_columns(score=pl.Series(score.ravel()))
    returns = keys.with_columns(forward_return_5d=pl.Series(forward.ravel()))
    found = rank_ic_by_date(forecasts, returns)
    assert found["rank_ic"].to_list() == rank_ic(score, forward).tolist()
    ranked = forecasts.join(returns, on=["date", "ticker"]).with_columns(
        pl.col("score", "forward_return_5d").rank("average").over("date")
    )
    expected = ranked.group_by("date").agg(ic=pl.corr("score", "forward_return_5d")).sort("date")
    assert found["rank_ic"].to_list() == expected["ic"].to_list()  # so for up to about 130 names a day


def test_returns_of_two_horizons_are_refused() -> None:
    keys = pl.DataFrame({"date": [date(2021, 3, 1)], "ticker": ["TCS"]})
    two = keys.with_columns(forward_return_5d=0.1, forward_return_10d=0.2)
    with pytest.raises(DataError, match="wanted exactly one"):
        rank_ic_by_date(keys.with_columns(score=1.0), two)
