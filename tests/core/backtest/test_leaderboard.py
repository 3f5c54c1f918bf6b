"""The table of trials against the measures that it is made of, and what choosing among noise looks like."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.backtest.leaderboard import SHOWN, Board, board
from quant_core.calendar import sessions
from quant_core.measures.luck import Luck
from quant_core.measures.overfitting import probability_of_backtest_overfitting
from quant_core.measures.significance import probabilistic_sharpe, sharpe_moments
from quant_core.schema import EQUAL_WEIGHT_BOOK, PROMOTED, RIDGE_BOOK, BacktestDaily, StressedReturns, dtypes_of

pytestmark = pytest.mark.slow
DAYS = sessions(date(2020, 1, 1), date(2021, 12, 31))
LUCK = Luck(n_trials=9, n_own_trials=5, n_clusters=4, over_cash_z=1.0, over_benchmark_z=1.0)
NONE = Luck(1, 1, 1, 0.0, 0.0)


def returns(mean: float, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(mean, 0.01, len(DAYS))
    drawn[0] = 0.0
    return drawn


def daily(name: str, earned: np.ndarray, days: list[date] = DAYS) -> pl.DataFrame:
    other = {c: pl.lit(0.0) for c in BacktestDaily.column_names()}
    table = pl.DataFrame({"date": days, "strategy": name, "simple_return_1d": earned})
    return table.with_columns(**{c: v for c, v in other.items() if c not in table.columns}).select(
        pl.col(c).cast(kind) for c, kind in dtypes_of(BacktestDaily).items()
    )


def stressed(name: str, earned: np.ndarray, days: list[date] = DAYS) -> pl.DataFrame:
    table = pl.DataFrame({"date": days, "strategy": name, "simple_return_1d": earned})
    return table.select(pl.col(c).cast(kind) for c, kind in dtypes_of(StressedReturns).items())


BENCHMARK = pl.DataFrame({
    "date": DAYS, "simple_return_1d": returns(0.0, 99), "series": "NIFTY", "risk_free_return_1d": 0.0001,
})  # fmt: skip


def made(books: dict[str, np.ndarray], own: Luck = NONE, failed: dict[str, str] | None = None) -> Board:
    rivals = {RIDGE_BOOK: returns(0.0, 50), EQUAL_WEIGHT_BOOK: returns(0.0, 51)}
    measured = pl.DataFrame([{"trial": name, **dict.fromkeys(SHOWN, 0.1)} for name in books])
    return board(
        pl.concat([daily(name, earned) for name, earned in books.items()]), BENCHMARK,
        pl.concat([stressed(name, earned) for name, earned in (books | rivals).items()]), measured, LUCK,
        dict.fromkeys(books, own), failed or {}, seed=7,
    )  # fmt: skip


BOOKS = {"seed=0": returns(0.0006, 1), "seed=1": returns(0.002, 2), "seed=2": returns(-0.003, 3)}


def test_the_first_is_the_least_likely_to_be_luck_and_its_odds_are_those_of_the_measures() -> None:
    ranked = made(BOOKS).ranked
    assert ranked["trial"].to_list() == ["seed=1", "seed=0", "seed=2"]
    assert ranked["rank"].to_list() == [1, 2, 3]
    moments = sharpe_moments(BOOKS["seed=1"][1:] - 0.0001)
    row = ranked.row(0, named=True)
    n = len(DAYS) - 1
    assert row["n_sessions"] == n
    assert row["sharpe_ann"] == pytest.approx(moments.sharpe_1d * math.sqrt(252))
    assert row["expected_max_sharpe_ann"] == pytest.approx(math.sqrt(252 / n))  # one standard error
    assert row["deflated_sharpe"] == pytest.approx(probabilistic_sharpe(moments, 1.0 / math.sqrt(n)))
    assert row["probabilistic_sharpe"] > row["deflated_sharpe"]


def test_the_gate_passes_who_is_ahead_of_every_rival_and_of_its_own_tries() -> None:
    status = dict(made(BOOKS).ranked.select("trial", "status").iter_rows())
    assert [trial for trial, one in status.items() if one == PROMOTED] == ["seed=1"]
    strict = made(BOOKS, own=Luck(500, 500, 400, 6.0, 6.0)).ranked.row(0, named=True)
    assert strict["status"] != PROMOTED
    assert "deflated Sharpe ratio" in strict["reasons"]
    assert "500 own tries" in strict["reasons"]


def test_variants_of_one_bet_are_one_cluster_and_the_order_of_trials_does_not_matter() -> None:
    near = BOOKS["seed=1"] + np.random.default_rng(5).normal(0.0, 0.0005, len(DAYS))
    found = made(BOOKS | {"seed=3": near})
    assert dict(found.ranked.select("trial", "cluster").iter_rows())["seed=3"] == "seed=1"
    assert found.summary.row(0, named=True)["n_clusters"] == 3
    turned = made(dict(reversed((BOOKS | {"seed=3": near}).items())))
    assert turned.ranked.equals(found.ranked)
    assert turned.summary.equals(found.summary)


def test_the_odds_of_overfitting_are_those_of_all_trials_over_their_common_sessions() -> None:
    noise = {f"seed={k}": returns(0.0, 100 + k) for k in range(20)}
    excess = np.stack([noise[name][1:] - 0.0001 for name in sorted(noise)], axis=1)
    wanted = probability_of_backtest_overfitting(excess)
    row = made(noise).summary.row(0, named=True)
    assert (row["pbo"], row["n_splits"]) == (pytest.approx(wanted.pbo), wanted.n_splits)
    assert row["pbo"] > 0.2
    skilled = made(noise | {"alpha=1": returns(0.004, 7)})
    assert skilled.summary["pbo"][0] < 0.01
    assert skilled.ranked["trial"][0] == "alpha=1"


def test_failed_trials_are_told_and_a_board_of_none_is_empty() -> None:
    found = made(BOOKS, failed={"seed=9": "no label"})
    assert found.failed.rows() == [("seed=9", "no label")]
    none = StressedReturns.create_empty()
    empty = board(BacktestDaily.create_empty(), BENCHMARK.clear(), none, pl.DataFrame(), None, {}, {"a=1": "why"}, 7)
    assert empty.ranked.is_empty()
    assert empty.summary.row(0, named=True)["n_failed"] == 1


def test_trials_that_end_on_different_days_are_judged_until_their_own() -> None:
    short = DAYS[:-100]
    books = BOOKS["seed=1"]
    both = pl.concat([daily("seed=1", books), daily("seed=8", books[:-100], short)])
    worst = pl.concat([
        stressed("seed=1", books), stressed("seed=8", books[:-100], short), stressed(RIDGE_BOOK, returns(0.0, 50)),
        stressed(EQUAL_WEIGHT_BOOK, returns(0.0, 51)),
    ])  # fmt: skip
    measured = pl.DataFrame([{"trial": name, **dict.fromkeys(SHOWN, 0.1)} for name in ("seed=1", "seed=8")])
    found = board(both, BENCHMARK, worst, measured, LUCK, {"seed=1": NONE, "seed=8": NONE}, {}, 7).ranked
    assert set(found["status"]) == {PROMOTED}
    assert dict(found.select("trial", "n_sessions").iter_rows()) == {
        "seed=1": len(DAYS) - 1, "seed=8": len(short) - 1,
    }  # fmt: skip
