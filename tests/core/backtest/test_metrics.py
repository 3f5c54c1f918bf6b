"""The table of measures against hand numbers and against direct calls of the functions that it collects."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from stage_cases import NIFTY, WEEKS, make_prices, make_targets

from quant_core import calendar
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.metrics import measure
from quant_core.backtest.simulate import simulate
from quant_core.measures import performance as p
from quant_core.measures.holdings import average_holding_sessions, concentration
from quant_core.measures.performance import AGAINST
from quant_core.measures.trips import trip_summary

DAYS = [date(2021, 1, 4), date(2021, 1, 5), date(2021, 1, 6)]
PRICES = make_prices()
TARGETS = make_targets(
    [(day, "pair", name, weight) for day in WEEKS for name, weight in (("AAA", 0.5), ("BBB", 0.3))]
    + [(day, "index", NIFTY, 1.0) for day in WEEKS[2:]]
)


def books():
    """100 in cash; then 50 + 30 bought for 2 in charges, + 10 %, and nothing more."""
    daily = pl.DataFrame({
        "date": DAYS, "strategy": "one", "equity_inr": [100.0, 98.0, 106.0], "cash_inr": [100.0, 18.0, 18.0],
        "simple_return_1d": [0.0, -0.02, 8.0 / 98.0], "turnover_1d": [0.0, 0.81, 0.0], "cost_inr": [0.0, 2.0, 0.0],
        "n_fills": [0, 2, 0], "n_unfilled": [0, 1, 0],
    })  # fmt: skip
    positions = pl.DataFrame({
        "date": [DAYS[1], DAYS[1], DAYS[2], DAYS[2]], "strategy": "one", "ticker": ["AAA", "BBB"] * 2,
        "weight": [50 / 98, 30 / 98, 55 / 106, 33 / 106],
    })  # fmt: skip
    trades = pl.DataFrame({
        "strategy": "one", "decision_date": [DAYS[0], DAYS[0], None], "value_inr": [50.0, 30.0, 7.0],
    })  # fmt: skip
    trips = pl.DataFrame({
        "strategy": "one", "exit_date": [DAYS[2], None], "pnl_inr": [4.0, 2.0], "simple_return": [0.08, 0.07],
        "n_sessions": [2, 2],
    })  # fmt: skip
    benchmark = pl.DataFrame({
        "date": DAYS, "simple_return_1d": [0.0, 0.01, 0.02], "series": "^NSEI", "risk_free_return_1d": [0.0, 1e-4, 1e-4]
    })  # fmt: skip
    return {"daily": daily, "positions": positions, "trades": trades, "trips": trips, "benchmark": benchmark}


def test_a_book_of_three_sessions_by_hand():
    own, index = measure(**books()).to_dicts()
    year = 365.25 / 2  # two days from the first close to the last
    assert (own["strategy"], own["first_date"], own["last_date"]) == ("one", DAYS[0], DAYS[2])
    assert own["n_sessions"] == 2  # the opening session earns nothing and is not counted
    assert own["cagr"] == pytest.approx(1.06**year - 1.0)
    assert own["gross_cagr"] == pytest.approx(((1 - 0.02 + 2 / 100) * (1 + 8 / 98)) ** year - 1.0)
    assert own["cost_inr"] == 2.0
    assert own["cost_ann"] == pytest.approx(2.0 / ((100 + 98 + 106) / 3) / (2 / 252))
    assert own["final_equity_inr"] == 106.0
    assert own["turnover_ann"] == pytest.approx(0.405 * 252)
    assert own["exposure"] == pytest.approx((80 / 98 + 88 / 106) / 2)
    assert own["effective_names"] == pytest.approx(1 / (0.625**2 + 0.375**2))
    assert own["largest_weight"] == pytest.approx(0.625)  # of the invested part
    assert (own["n_fills"], own["n_unfilled"], own["traded_inr"]) == (2, 1, 80.0)  # a dividend is no trade
    assert (own["trip_count"], own["trip_win_rate"], own["trip_open_share"]) == (2, 1.0, 0.5)
    assert own["max_drawdown"] == pytest.approx(-0.02)
    assert (index["strategy"], index["n_sessions"]) == ("benchmark", 2)
    assert index["total_return"] == pytest.approx(1.01 * 1.02 - 1.0)
    assert index["cost_inr"] is index["turnover_ann"] is index["beta"] is None


def test_measures_are_those_of_the_functions_on_each_strategys_own_sessions():
    result = simulate(PRICES, TARGETS, BacktestConfig(cost_model="nse_delivery"))
    found = {row["strategy"]: row for row in result.metrics.to_dicts()}
    assert list(found) == ["index", "pair", "benchmark"]
    for name in ("index", "pair"):
        book = result.daily.filter(pl.col("strategy") == name).join(result.benchmark, on="date", suffix="_index")
        earned, own = book.slice(1), found[name]
        returns, cash = earned["simple_return_1d"].to_numpy(), earned["risk_free_return_1d"].to_numpy()
        index = earned["simple_return_1d_index"].to_numpy()
        held = 1.0 - (earned["cash_inr"] / earned["equity_inr"]).to_numpy()
        positions = result.positions.filter(pl.col("strategy") == name)
        expected = {
            "cagr": p.cagr(returns, book["date"].to_list()),
            "volatility_ann": p.volatility_ann(returns),
            "sharpe_ann": p.sharpe(returns, cash),
            "sortino_ann": p.sortino(returns, cash),
            "beta": p.beta(returns, index, cash),
            "alpha_ann": p.alpha(returns, index, cash),
            "tracking_error_ann": p.tracking_error(returns, index),
            "information_ratio_ann": p.information_ratio(returns, index),
            "turnover_ann": p.annual_turnover(earned["turnover_1d"].to_numpy()),
            "holding_sessions": average_holding_sessions(earned["turnover_1d"].to_numpy(), held),
            "effective_names": concentration(positions)["effective_names"].mean(),
            "trip_win_rate": trip_summary(result.trips.filter(pl.col("strategy") == name))["win_rate"][0],
        }
        for measure_, value in expected.items():
            assert own[measure_] == (None if value is None or np.isnan(value) else pytest.approx(value, rel=1e-9)), (
                measure_
            )
        assert own["gross_cagr"] > own["cagr"]
        assert own["first_date"] == book["date"][0]
    index = result.benchmark.slice(1)["simple_return_1d"].to_numpy()
    assert found["benchmark"]["cagr"] == pytest.approx(p.cagr(index, result.benchmark["date"].to_list()))


def test_gross_growth_is_what_the_same_targets_earn_free_of_charge_to_first_order():
    free = BacktestConfig(commission_bps=0.0, slippage_bps=0.0, spread_bps=0.0)
    costly, gross = (
        {row["strategy"]: row for row in simulate(PRICES, TARGETS, config).metrics.to_dicts()}
        for config in (BacktestConfig(), free)
    )
    for name in ("index", "pair"):
        gap = costly[name]["gross_cagr"] - costly[name]["cagr"]
        assert abs(costly[name]["gross_cagr"] - gross[name]["cagr"]) < 0.05 * gap


def test_a_strategy_of_one_session_has_no_measures_and_rows_may_come_in_any_order():
    tables = books()
    alone = tables["daily"].head(1).with_columns(strategy=pl.lit("alone"))
    again = measure(**tables | {"daily": pl.concat([alone, tables["daily"].reverse()])})
    assert again.to_dicts() == measure(**tables).to_dicts()


def test_without_returns_there_is_no_row():
    tables = {name: table.head(1) for name, table in books().items()}
    assert measure(**tables).is_empty()


@pytest.mark.slow
def test_repeated_measures_of_large_tables_agree_to_the_last_digit():
    rng = np.random.default_rng(2)
    days, names = calendar.sessions(date(2015, 1, 1), date(2020, 12, 31)), [f"S{k:02d}" for k in range(40)]
    keys = pl.DataFrame({"date": days}).join(pl.DataFrame({"strategy": ["a", "b", "c"]}), how="cross")
    daily = keys.with_columns(
        *(pl.Series(name, rng.uniform(0.0, 1e3, keys.height)) for name in ("cash_inr", "cost_inr")),
        simple_return_1d=pl.Series(rng.normal(0, 0.01, keys.height)),
        turnover_1d=0.1, equity_inr=1e7, n_fills=1, n_unfilled=0,
    )  # fmt: skip
    rows = keys.join(pl.DataFrame({"ticker": names}), how="cross")
    positions = rows.with_columns(weight=pl.Series(rng.uniform(0.001, 0.02, rows.height)))
    trades = rows.with_columns(decision_date=pl.col("date"), value_inr=pl.Series(rng.uniform(1.0, 1e6, rows.height)))
    trips = rows.select("strategy", "ticker", exit_date=pl.col("date")).with_columns(
        n_sessions=5,
        pnl_inr=pl.Series(rng.normal(0, 1e4, rows.height)),
        simple_return=pl.Series(rng.normal(0, 1, rows.height)),
    )
    benchmark = pl.DataFrame(
        {
            "date": days,
            "simple_return_1d": rng.normal(0, 0.01, len(days)),
            "risk_free_return_1d": 0.0,
            "series": "^NSEI",
        }
    )
    first = measure(daily, positions, trades, trips, benchmark)
    for _ in range(15):
        assert_frame_equal(measure(daily, positions, trades, trips, benchmark), first, check_exact=True)


def test_without_an_index_nothing_is_measured_against_it():
    own = books()
    own["benchmark"] = own["benchmark"].with_columns(series=pl.lit("none"), simple_return_1d=pl.lit(0.0))
    table = measure(**own)
    assert table["strategy"].to_list() == ["one"]  # a benchmark of zeros would be beaten by anything
    assert table.select(AGAINST).row(0) == (None,) * len(AGAINST)
    assert table["final_equity_inr"].item() == 106.0
