"""From tables to books: dates, gaps, the splice of the benchmark, and the guards."""

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quant_core import calendar
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.guard import check_fills_follow, check_trades, fits_of
from quant_core.backtest.reconcile import unreconciled
from quant_core.backtest.simulate import simulate
from quant_core.errors import DataError, LookaheadError
from quant_core.measures.performance import sharpe
from quant_core.schema import (
    CASH,
    BacktestCosts,
    BacktestDaily,
    BacktestPositions,
    BacktestTrades,
    BenchmarkReturns,
    CleanPrices,
    RoundTrips,
    Sensitivity,
    validate,
)
from quant_core.trading.rebalancing import rebalance_dates
from quant_core.trading.risk_free import cash_return_1d

TRI, NIFTY = "NIFTY 50 TRI", "^NSEI"
START, END = date(2021, 1, 1), date(2021, 3, 31)
FREE = BacktestConfig(commission_bps=0.0, slippage_bps=0.0, spread_bps=0.0, risk_free_rate_ann=0.0)


def make_prices(tickers=("AAA", "BBB", "CCC"), seed=4):
    rng = np.random.default_rng(seed)
    days = calendar.sessions(START, END)
    frames = []
    for ticker in (*tickers, NIFTY, TRI):
        overnight, intraday = rng.normal(0, 0.01, len(days)), rng.normal(0, 0.015, len(days))
        close = 100.0 * np.cumprod((1 + overnight) * (1 + intraday))
        is_index = ticker in (NIFTY, TRI)
        frames.append(
            pl.DataFrame({"date": days, "close_inr": close}).with_columns(
                ticker=pl.lit(ticker),
                instrument=pl.lit("index" if is_index else "equity"),
                open_inr=pl.Series(close / (1 + intraday)),
                high_inr=pl.Series(np.maximum(close, close / (1 + intraday)) * 1.001),
                low_inr=pl.Series(np.minimum(close, close / (1 + intraday)) * 0.999),
                volume_shares=pl.lit(1_000_000, pl.Int64),
                turnover_inr=pl.lit(None, pl.Float64),
                overnight_return_1d=pl.Series(overnight),
                intraday_return_1d=pl.Series(intraday),
                total_return_1d=pl.Series((1 + overnight) * (1 + intraday) - 1),
                dividend_return_1d=pl.lit(0.0),
                is_member=pl.lit(not is_index),
                is_filled=pl.lit(False),
                is_tradable=pl.lit(not is_index),
                flags=pl.lit(""),
                terminal_factor=pl.lit(None, pl.Float64),
                terminal_into=pl.lit(None, pl.String),
            )
        )
    return validate(pl.concat(frames).sort("date", "ticker"), CleanPrices, "test", "fix the test")


def make_targets(rows):
    schema = {"date": pl.Date, "strategy": pl.String, "ticker": pl.String, "weight": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("date", "strategy", "ticker")


PRICES = make_prices()
WEEKS = rebalance_dates(START, END, "weekly")
BASELINES = make_targets(
    [(day, "equal_weight", ticker, 1 / 3) for day in WEEKS for ticker in ("AAA", "BBB", "CCC")]
    + [(day, "buy_hold_index", NIFTY, 1.0) for day in WEEKS]
)
D1, D2, D3 = date(2021, 1, 8), date(2021, 1, 15), date(2021, 1, 22)


def returns_of(ticker, column="total_return_1d", prices=PRICES):
    rows = prices.filter(pl.col("ticker") == ticker).sort("date")
    return dict(zip(rows["date"], rows[column], strict=True))


def book(result, strategy):
    return result.daily.filter(pl.col("strategy") == strategy).sort("date")


def test_tables_keep_their_contracts_and_cover_every_session_from_the_first_decision():
    result = simulate(PRICES, BASELINES, BacktestConfig())
    for table, schema in (
        (result.daily, BacktestDaily),
        (result.positions, BacktestPositions),
        (result.benchmark, BenchmarkReturns),
        (result.trades, BacktestTrades),
        (result.costs, BacktestCosts),
        (result.trips, RoundTrips),
        (result.sensitivity, Sensitivity),
    ):
        validate(table, schema, "test", "fix simulate")
    sessions = calendar.sessions(WEEKS[0], END)
    assert book(result, "equal_weight")["date"].to_list() == result.benchmark["date"].to_list() == sessions
    invested = result.positions.group_by("date", "strategy").agg(pl.col("weight").sum())
    joined = result.daily.join(invested, on=["date", "strategy"]).with_columns(
        total=pl.col("weight") * pl.col("equity_inr") + pl.col("cash_inr")
    )
    np.testing.assert_allclose(joined["total"], joined["equity_inr"], rtol=1e-12)
    assert unreconciled(result.daily, result.positions, result.trades, result.costs).is_empty()
    gained = result.trips.group_by("strategy").agg(pl.col("pnl_inr").sum())
    for name, profit in gained.iter_rows():
        own = book(result, name)
        assert profit + own["interest_inr"].sum() == pytest.approx(own["equity_inr"][-1] - 1e7, abs=0.01)


def test_a_decision_at_the_close_earns_from_the_open_of_the_next_session():
    result = simulate(PRICES, make_targets([(D1, "one", "AAA", 1.0)]), FREE)
    earned = book(result, "one")["simple_return_1d"].to_list()
    assert earned[0] == 0.0
    assert earned[1] == pytest.approx(returns_of("AAA", "intraday_return_1d")[date(2021, 1, 11)], rel=1e-12)
    assert earned[2] == pytest.approx(returns_of("AAA")[date(2021, 1, 12)], rel=1e-12)


def test_the_buy_and_hold_index_book_earns_the_index_and_trades_once():
    result = simulate(PRICES, BASELINES, FREE)
    index, own = returns_of(NIFTY), book(result, "buy_hold_index")
    np.testing.assert_allclose(own["simple_return_1d"][2:], [index[d] for d in own["date"][2:]], rtol=1e-9)
    assert own["n_fills"].sum() == 1
    assert own["n_unfilled"].sum() == 0


def test_a_date_without_a_row_keeps_the_book_and_cash_alone_sells_everything_the_last_time_too():
    targets = make_targets(
        [(D1, "one", "AAA", 0.5), (D3, "one", CASH, 1.0), (D2, "other", "CCC", 0.5), (D3, "other", "CCC", 0.5)]
    )
    own = book(simulate(PRICES, targets, FREE), "one")
    traded = own.filter(pl.col("n_fills") > 0)
    assert traded["date"].to_list() == [calendar.next_session(d) for d in (D1, D3)]  # D2 is the other's decision
    assert own.filter(pl.col("date").is_between(date(2021, 1, 18), D3))["n_holdings"].to_list() == [1] * 5
    assert own["n_holdings"][-1] == 0


def test_rows_for_cash_change_nothing_beside_weights():
    rest = BASELINES.group_by("date", "strategy").agg(weight=1.0 - pl.col("weight").sum())
    told = rest.with_columns(ticker=pl.lit(CASH), weight=pl.col("weight").clip(0.0)).select(BASELINES.columns)
    both = pl.concat([BASELINES, told])
    for table in ("daily", "trades"):
        result, plain = (getattr(simulate(PRICES, targets, BacktestConfig()), table) for targets in (both, BASELINES))
        assert_frame_equal(result, plain, check_exact=True)


def test_a_decision_date_lost_from_the_prices_decides_nothing():
    lost = PRICES.filter(pl.col("date") != D2)
    targets = make_targets([(D1, "one", "AAA", 0.5), (D3, "one", "AAA", 0.5)])
    own = book(simulate(lost, targets, FREE), "one")
    assert own.filter(pl.col("date") == D2)["simple_return_1d"].to_list() == [0.0]
    assert own.filter(pl.col("date") == calendar.next_session(D2))["n_holdings"].to_list() == [1]


def test_a_later_strategy_opens_its_account_at_its_own_first_decision():
    targets = make_targets([(D1, "early", "AAA", 1.0), (D2, "early", "AAA", 1.0), (D2, "late", "AAA", 1.0)])
    result = simulate(PRICES, targets, BacktestConfig())
    late = book(result, "late")
    assert late["date"][0] == D2
    assert late["equity_inr"][0] == 1e7
    assert dict(result.metrics.select("strategy", "first_date").iter_rows())["late"] == D2


def test_cash_earns_the_risk_free_rate():
    targets = make_targets([(D1, "half", "AAA", 0.5)])
    shut = PRICES.with_columns(is_tradable=pl.lit(False))
    own = book(simulate(shut, targets, BacktestConfig(risk_free_rate_ann=0.06)), "half")
    earned = cash_return_1d(own["date"].to_list(), 0.06)
    np.testing.assert_allclose(own["simple_return_1d"], earned, rtol=1e-9)
    assert own["n_unfilled"].sum() == 1


def test_an_index_without_volume_is_tradable_except_on_filled_rows():
    gap = PRICES.with_columns(is_filled=(pl.col("ticker") == NIFTY) & (pl.col("date") == calendar.next_session(D1)))
    own = book(simulate(gap, make_targets([(D1, "index", NIFTY, 1.0), (D2, "index", NIFTY, 1.0)]), FREE), "index")
    fills = own.filter(pl.col("n_fills") > 0)["date"].to_list()
    assert fills == [calendar.next_session(D2)]
    assert own["n_unfilled"].sum() == 1


def test_the_benchmark_is_the_price_index_until_the_total_return_index_begins():
    begin = date(2021, 2, 1)
    is_tri = pl.col("ticker") == TRI
    prices = PRICES.filter(~is_tri | (pl.col("date") >= begin))
    benchmark = simulate(prices, BASELINES, BacktestConfig()).benchmark
    tri, nifty = returns_of(TRI), returns_of(NIFTY)
    for day, earned, series, _ in benchmark.rows()[1:]:
        assert series == (TRI if day >= begin else NIFTY)
        assert earned == pytest.approx((tri if day > begin else nifty)[day], abs=1e-14)
    assert benchmark["simple_return_1d"][0] == 0.0


def test_without_an_index_the_benchmark_says_so():
    stocks = PRICES.filter(pl.col("instrument") == "equity")
    benchmark = simulate(stocks, make_targets([(D1, "one", "AAA", 1.0)]), FREE).benchmark
    assert benchmark["series"].unique().to_list() == ["none"]
    assert benchmark["simple_return_1d"].sum() == 0.0


def test_metrics_have_one_row_a_strategy_and_one_for_the_benchmark():
    result = simulate(PRICES, BASELINES, BacktestConfig())
    metrics = {row["strategy"]: row for row in result.metrics.to_dicts()}
    assert list(metrics) == ["buy_hold_index", "equal_weight", "benchmark"]
    own = book(result, "equal_weight")
    row = metrics["equal_weight"]
    cash = result.benchmark["risk_free_return_1d"][1:].to_numpy()
    np.testing.assert_allclose(cash, cash_return_1d(own["date"].to_list())[1:])  # the dated repo rate
    assert row["sharpe_ann"] == pytest.approx(sharpe(own["simple_return_1d"][1:].to_numpy(), cash))
    assert row["total_return"] == pytest.approx(own["equity_inr"][-1] / 1e7 - 1.0)
    assert row["cost_inr"] == pytest.approx(own["cost_inr"].sum())
    assert row["n_sessions"] == len(own) - 1
    assert metrics["benchmark"]["beta"] is None
    assert metrics["benchmark"]["cagr"] is not None


def test_higher_costs_leave_less_and_the_cost_column_explains_it():
    cheap, dear = (
        book(simulate(PRICES, BASELINES, BacktestConfig(commission_bps=bps)), "equal_weight") for bps in (0.0, 100.0)
    )
    assert dear["equity_inr"][-1] < cheap["equity_inr"][-1]
    assert dear["cost_inr"].sum() > 5 * cheap["cost_inr"].sum()


def test_the_past_does_not_change_when_later_prices_do():
    cut = date(2021, 2, 26)
    other = make_prices(seed=99)
    spliced = pl.concat([PRICES.filter(pl.col("date") <= cut), other.filter(pl.col("date") > cut)])
    before, after = (
        simulate(p, BASELINES, BacktestConfig()).daily.filter(pl.col("date") <= cut) for p in (PRICES, spliced)
    )
    assert_frame_equal(after, before, check_exact=True)


def test_rows_before_the_first_decision_and_tickers_not_held_change_nothing():
    targets = make_targets([(D2, "one", "AAA", 0.4), (D3, "one", "BBB", 0.4)])
    few = PRICES.filter((pl.col("date") >= D2) & (pl.col("ticker") != "CCC"))
    assert_frame_equal(simulate(few, targets, FREE).daily, simulate(PRICES, targets, FREE).daily, check_exact=True)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(date(2021, 1, 10), "one", "AAA", 1.0)], "no NSE session"),
        ([(date(2021, 4, 9), "one", "AAA", 1.0)], "load prices"),
        ([(D1, "one", "ZZZ", 1.0)], "ZZZ"),
        ([(D1, "one", "AAA", 0.6), (D1, "one", "BBB", 0.6)], "sums to"),
        ([(D1, "one", "AAA", 1.2)], "weight"),
        ([], "empty"),
    ],
)
def test_targets_that_cannot_be_are_refused(rows, message):
    with pytest.raises(DataError, match=message):
        simulate(PRICES, make_targets(rows), FREE)


def test_prices_that_repeat_or_lie_off_the_calendar_are_refused():
    targets = make_targets([(D1, "one", "AAA", 1.0)])
    with pytest.raises(DataError, match="repeats"):
        simulate(pl.concat([PRICES, PRICES.tail(20)]), targets, FREE)
    sunday = PRICES.filter(pl.col("date") == D2).with_columns(date=pl.lit(date(2021, 1, 17)))
    with pytest.raises(DataError, match="2021-01-17, which is no NSE session"):
        simulate(pl.concat([PRICES, sunday]), targets, FREE)


def test_a_fill_that_is_not_the_session_after_its_decision_is_refused():
    days = calendar.sessions(D1, D3)
    check_fills_follow(days, range(len(days)))
    for wrong in (days[:2] + days[1:], days[:2] + days[3:], days[::-1]):
        with pytest.raises(LookaheadError, match="session after it"):
            check_fills_follow(wrong, [0, 1])


@pytest.mark.parametrize(
    "bad",
    [{"fill": "noon"}, {"initial_capital_inr": 0.0}, {"commission_bps": -1.0}, {"risk_free_rate_ann": 6.0}],
)  # fmt: skip
def test_settings_that_cannot_hold_are_refused(bad):
    with pytest.raises(DataError):
        BacktestConfig(**bad)


def test_a_model_fitted_on_its_first_decision_or_later_is_refused_by_name():
    forecasts = pl.DataFrame({"date": [D1, D2], "model": "ridge", "fold": 2021, "fit_end": [date(2020, 12, 31), D2]})
    targets = make_targets([(D1, "one", "AAA", 1.0)])
    simulate(PRICES, targets, FREE, fits_of(forecasts.head(1)))
    with pytest.raises(LookaheadError, match="model ridge of fold 2021 was fitted up to 2021-01-15"):
        simulate(PRICES, targets, FREE, fits_of(forecasts))


def test_a_trade_filled_on_the_day_of_its_decision_is_refused_by_row():
    trades = simulate(PRICES, BASELINES, FREE).trades
    check_trades(trades)
    early = trades.with_columns(
        decision_date=pl.when(pl.int_range(pl.len()) == 3).then("date").otherwise("decision_date")
    )
    row = trades.row(3, named=True)
    with pytest.raises(LookaheadError, match=f"{row['strategy']} {row['side']}s {row['ticker']} on {row['date']}"):
        check_trades(early)


def test_sensitivities_are_the_same_decisions_run_under_the_other_assumption():
    config = BacktestConfig()
    result = simulate(PRICES, BASELINES, config)
    own = result.sensitivity.filter(pl.col("strategy") == "equal_weight")
    told = {(kind, level): cagr for kind, level, cagr in own.select("scenario", "level", "cagr").iter_rows()}
    base = dict(result.metrics.select("strategy", "cagr").iter_rows())["equal_weight"]
    assert told["cost_multiple", 1.0] == told["extra_delay_sessions", 0.0] == pytest.approx(base, rel=1e-12)
    for changed, key in (
        (replace(config, delay_sessions=3), ("extra_delay_sessions", 2.0)),
        (replace(config, commission_bps=20.0, slippage_bps=10.0, spread_bps=10.0), ("cost_multiple", 2.0)),
    ):
        other = simulate(PRICES, BASELINES, changed).metrics
        assert told[key] == pytest.approx(dict(other.select("strategy", "cagr").iter_rows())["equal_weight"], rel=1e-12)
    capital = own.filter(pl.col("scenario") == "capital_inr").sort("level")
    assert capital["exposure"].is_sorted(descending=True)  # what a tenth of a day does not fill stays in cash
    assert capital["cost_ann"][2] > 2 * capital["cost_ann"][0]


def test_threshold_decisions_are_taken_daily_and_acted_on_seldom():
    days = calendar.sessions(START, END)
    targets = make_targets([(d, "one", t, 0.5) for d in days for t in ("AAA", "BBB")])
    often, seldom = (
        simulate(PRICES, targets, c).daily["n_fills"].sum() for c in (FREE, replace(FREE, trade_threshold=0.02))
    )
    assert 2 < seldom < often / 3


def test_dividends_are_paid_into_cash_or_left_in_the_name():
    paid = PRICES.with_columns(
        dividend_return_1d=pl.when((pl.col("ticker") == "AAA") & (pl.col("date") == D3)).then(0.02).otherwise(0.0)
    )
    targets = make_targets([(D1, "one", "AAA", 1.0)])
    cash, kept = (book(simulate(paid, targets, replace(FREE, dividends=d)), "one") for d in ("cash", "reinvest"))
    before = cash.filter(pl.col("date") < D3)["equity_inr"][-1]
    assert cash["dividend_inr"].sum() == pytest.approx(0.02 * before)
    assert cash["cash_inr"][-1] == pytest.approx(0.02 * before)
    assert kept["dividend_inr"].sum() == kept["cash_inr"][-1] == 0.0


def test_a_name_that_stops_trading_is_paid_out_when_a_holder_would_know():
    gone = PRICES.filter((pl.col("ticker") != "AAA") | (pl.col("date") <= D3))
    targets = make_targets([(D1, "one", "AAA", 0.5)])
    result = simulate(gone, targets, replace(FREE, delisted_after_sessions=10, delisting_haircut=0.5))
    event = result.trades.filter(pl.col("side") == "delisting").row(0, named=True)
    assert event["date"] == calendar.sessions(D3, END)[10]
    assert event["cost_inr"] == pytest.approx(0.5 * event["value_inr"])
    never = simulate(gone, targets, replace(FREE, delisted_after_sessions=0))
    assert never.trades.filter(pl.col("side") == "delisting").is_empty()
    check = result.trips.row(0, named=True)
    assert (check["ticker"], check["exit_date"]) == ("AAA", event["date"])
