"""The account on paper: the same fills as the backtest, whatever is recorded, and the test beside it."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from stage_cases import WEEKS, make_prices, make_targets, wild_case

from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.paper import beside_backtest, paper_books, paper_drift
from quant_core.backtest.simulate import simulate
from quant_core.schema import CASH, DRIFT, FAILED, FEW, NO_DRIFT, PaperDaily

CONFIG = BacktestConfig(
    cost_model="nse_delivery", commission_bps=0.0, impact_coefficient=1.0, max_participation=0.1, carry_over=True,
    initial_capital_inr=1e6, capital_levels_inr=(),
)  # fmt: skip


def weekly(strategies=("one", "two")):
    rng, rows = np.random.default_rng(2), []
    for name in strategies:
        for day in WEEKS:
            weights = rng.dirichlet(np.ones(4))[:3]
            rows += [(day, name, ticker, float(w)) for ticker, w in zip(("AAA", "BBB", "CCC"), weights, strict=True)]
            rows.append((day, name, CASH, 1.0 - float(weights.sum())))
    return make_targets(rows)


@pytest.mark.parametrize("whole_shares", [False, True])
def test_it_equals_the_backtest_of_the_same_days(whole_shares: bool) -> None:
    prices, targets, config = make_prices(), weekly(), replace(CONFIG, whole_shares=whole_shares)
    wanted = simulate(prices, targets, config)
    found = paper_books(prices, targets, config)
    both = found.daily.join(wanted.daily, on=["date", "strategy"], how="full", suffix="_backtest")
    assert both.height == wanted.daily.height > 100
    for column in ("equity_inr", "cash_inr", "simple_return_1d", "cost_inr"):
        off = (both[column] - both[f"{column}_backtest"]).abs().max()
        assert off <= 1e-9 * (1.0 if column == "simple_return_1d" else 1e6)


@pytest.mark.parametrize("seed", range(6))
def test_it_equals_the_backtest_in_a_market_with_every_defect(seed: int) -> None:
    case = wild_case(seed)
    config = replace(case.config, capital_levels_inr=())
    wanted, found = simulate(case.prices, case.targets, config), paper_books(case.prices, case.targets, config)
    joined = found.daily.join(wanted.daily, on=["date", "strategy"])
    assert joined.height == wanted.daily.height
    assert (joined["simple_return_1d"] - joined["simple_return_1d_right"]).abs().max() <= 1e-9


def test_days_added_one_by_one_never_change_a_day_before() -> None:
    prices, targets = make_prices(), weekly(("one",))
    whole = paper_books(prices, targets, CONFIG).daily
    for day in WEEKS[2:6]:
        known = paper_books(prices.filter(pl.col("date") <= day), targets.filter(pl.col("date") <= day), CONFIG).daily
        same = known.join(whole, on=["date", "strategy"])
        assert (same["equity_inr"] - same["equity_inr_right"]).abs().max() <= 1e-6
        assert known["date"].max() == day


def test_nothing_recorded_and_names_that_are_gone() -> None:
    prices = make_prices()
    assert paper_books(prices, weekly().clear(), CONFIG).daily.is_empty()
    failed = make_targets([(WEEKS[0], "one", FAILED, None)])
    assert paper_books(prices, failed, CONFIG).daily.is_empty()
    renamed = make_targets([(WEEKS[0], "one", "AAA", 0.5), (WEEKS[0], "one", "OLD", 0.5)])
    found = paper_books(prices, renamed, CONFIG)
    assert found.lost.rows() == [("one", "OLD")]
    assert found.daily["cash_inr"][-1] > 0.49 * found.daily["equity_inr"][-1]


def test_days_are_compared_from_the_one_after_the_first_fill() -> None:
    prices, targets = make_prices(), weekly(("one",))
    long, late = paper_books(prices, targets, CONFIG).daily, targets.filter(pl.col("date") >= WEEKS[3])
    paper = beside_backtest(paper_books(prices, late, CONFIG).daily, long)
    first, fill = paper["date"][:2]
    assert paper.filter(pl.col("date").is_in([first, fill]))["is_compared"].to_list() == [False, False]
    assert paper.filter(pl.col("date") > fill)["is_compared"].all()
    unknown = beside_backtest(paper_books(prices, late, CONFIG).daily, long.clear())
    assert not unknown["is_compared"].any()


def daily(name: str, difference: np.ndarray, seed: int = 1) -> pl.DataFrame:
    days = pl.Series([date(2024, 1, 1) + timedelta(days=k) for k in range(len(difference))])
    expected = np.random.default_rng(seed).normal(0, 0.01, len(difference))
    return pl.DataFrame({
        "date": days, "strategy": name, "equity_inr": 1.0, "cash_inr": 0.0, "simple_return_1d": expected + difference,
        "cost_inr": 0.0, "expected_return_1d": expected, "is_compared": True,
    })  # fmt: skip


def test_a_drift_is_found_and_its_absence_too() -> None:
    noise = np.random.default_rng(8).normal(0, 1e-3, 100)
    noise -= noise.mean()
    table = pl.concat([
        daily("drifts", noise - 1e-3), daily("same", noise), daily("short", noise[:10]), daily("equal", np.zeros(100)),
    ])  # fmt: skip
    found = paper_drift(PaperDaily.validate(table.sort("date", "strategy")), seed=3)
    assert dict(found.select("strategy", "verdict").iter_rows()) == {
        "drifts": DRIFT, "equal": NO_DRIFT, "same": NO_DRIFT, "short": FEW,
    }  # fmt: skip
    row = found.row(0, named=True)
    assert row["mean_difference_1d"] == pytest.approx(-1e-3)
    assert row["low_difference_1d"] < -1e-3 < row["high_difference_1d"] < 0.0
    assert row["p_holm"] == pytest.approx(min(1.0, 3 * row["p_value"]))
    assert paper_drift(PaperDaily.create_empty(), seed=3).is_empty()
