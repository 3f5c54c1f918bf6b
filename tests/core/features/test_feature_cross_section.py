"""Ranks and distances from the sector's mean by hand, and their naive twins."""

import math
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from by_hand import values
from naive import Rows, std_of, sum_of, twin


def rank(value: Callable[[Rows], float], own: Rows, t: int) -> float:
    """Share of the day's eligible members that this one beats, ties counted half."""
    mine, others = value(own), np.array([value(one) for one in own.everyone if one.eligible[t]])
    others = others[~np.isnan(others)]
    if math.isnan(mine) or not len(others):
        return math.nan
    return ((others < mine).sum() + 0.5 * (others == mine).sum()) / len(others)


@twin("cross_sectional_rank", "rank_return_1d", windows=(1, 21, 63, 252))
def naive_rank_of_return(own, t, w):
    return rank(lambda one: sum_of(one.r, one, t, 1), own, t)


@twin("cross_sectional_rank", "rank_momentum_63d", windows=(1, 21, 63, 252))
def naive_rank_of_momentum(own, t, w):
    return rank(lambda one: sum_of(one.r, one, t, 63), own, t)


@twin("cross_sectional_rank", "rank_realized_vol_21d", windows=(1, 21, 63, 252))
def naive_rank_of_volatility(own, t, w):
    return rank(lambda one: std_of(one.r, one, t, 21), own, t)


def less_sector(value: Callable[[Rows], float], own: Rows, t: int) -> float:
    """Distance from the mean of the sector's eligible members; of all of them where it has fewer than three."""
    counted = [(one.sector, value(one)) for one in own.everyone if one.eligible[t]]
    everyone = [found for _, found in counted if not math.isnan(found)]
    peers = [found for sector, found in counted if sector == own.sector >= 0 and not math.isnan(found)]
    yardstick = peers if len(peers) >= 3 else everyone
    return value(own) - float(np.mean(yardstick)) if yardstick else math.nan


@twin("sector_relative_momentum", "sector_relative_momentum_{w}d", windows=(7,))
def naive_relative_momentum(own, t, w):
    return less_sector(lambda one: math.expm1(sum_of(one.r, one, t, w)), own, t)


@twin("sector_relative_volatility", "sector_relative_vol_{w}d_ann", windows=(7,))
def naive_relative_volatility(own, t, w):
    return less_sector(lambda one: std_of(one.r, one, t, w) * math.sqrt(252), own, t)


def test_ranks_are_shares_of_the_days_eligible_members_that_are_beaten(make_prices) -> None:
    moves = {"A": 0.01, "B": 0.03, "C": 0.03, "D": -0.02, "E": 0.02}
    prices = make_prices({ticker: [0.0, *[step] * 5] for ticker, step in moves.items()})
    prices = prices.with_columns(is_member=pl.col("ticker") != "E")
    found = values(prices, "cross_sectional_rank", (1,))["rank_return_1d"]
    assert found[:, -1] == pytest.approx([1.5 / 4, 3 / 4, 3 / 4, 0.5 / 4, 2 / 4])  # E is placed among the four members
    assert np.isnan(found[:, :2]).all()  # nobody has two sessions of history yet


def test_sector_relative_momentum_is_the_distance_from_the_mean_of_the_sectors_members(make_prices) -> None:
    moves = {"A": 0.01, "B": 0.03, "C": 0.02, "D": -0.02, "E": 0.05, "F": 0.5}
    prices = make_prices({ticker: [0.0, *[step] * 5] for ticker, step in moves.items()})
    prices = prices.with_columns(is_member=pl.col("ticker") != "F")
    sectors = pl.DataFrame({"ticker": ["A", "B", "C", "D", "F"], "sector": ["Banks"] * 3 + ["Steel", "Banks"]})
    found = values(prices, "sector_relative_momentum", (1,), sectors)["sector_relative_momentum_1d"][:, -1]
    everyone = (0.01 + 0.03 + 0.02 - 0.02 + 0.05) / 5
    assert found[:3] == pytest.approx([-0.01, 0.01, 0.0], abs=1e-14)
    assert found[3:5] == pytest.approx([-0.02 - everyone, 0.05 - everyone], abs=1e-14)  # a lone steel maker; no sector
    assert found[5] == pytest.approx(0.5 - 0.02, abs=1e-14)  # not a member: measured, but not counted
    universe = values(prices, "sector_relative_momentum", (1,))["sector_relative_momentum_1d"][:5, -1]
    assert universe == pytest.approx([step - everyone for step in list(moves.values())[:5]], abs=1e-14)


def test_sector_relative_volatility_of_a_calm_ticker_among_wild_ones_is_negative(make_prices) -> None:
    prices = make_prices({"A": [0.0, *[0.01] * 6], **{t: [0.0, *[0.05, -0.05] * 3] for t in "BCD"}})
    found = values(prices, "sector_relative_volatility", (4,))["sector_relative_vol_4d_ann"][:, -1]
    wild = np.std(np.log1p([0.05, -0.05, 0.05, -0.05]), ddof=1) * math.sqrt(252)
    assert found == pytest.approx([-0.75 * wild, *[0.25 * wild] * 3], rel=1e-12)
