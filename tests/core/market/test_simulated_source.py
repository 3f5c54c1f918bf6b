"""The simulated market: the same rows for every request, coherent bars, and a truth to judge estimators by."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.market.sources import SOURCES
from quant_core.market.sources.simulated import SimulatedMarket, SimulatedSource, simulate

NOW = datetime(2024, 1, 1, tzinfo=UTC)
SMALL = SimulatedSource(n_tickers=8, n_sectors=3, seed=11)


@pytest.fixture(scope="module")
def market() -> SimulatedMarket:
    return simulate(SimulatedSource(), date(2022, 12, 31))


@pytest.fixture(scope="module")
def stocks(market: SimulatedMarket) -> pl.DataFrame:
    """Stock rows by ticker with the one-day total return, factor and dividend included."""
    rows = market.rows.filter(pl.col("instrument") == "equity").sort("ticker", "date")
    before = pl.col("close_inr").shift(1).over("ticker") * pl.col("price_factor")
    return rows.with_columns(total=(pl.col("close_inr") + pl.col("dividend_inr")) / before - 1.0)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2016, 3, 1), date(2016, 3, 31)),
        (date(2015, 1, 1), date(2015, 12, 31)),
        (date(2015, 12, 20), date(2016, 1, 10)),
        (date(2018, 7, 9), date(2018, 7, 9)),
    ],
)
def test_a_row_does_not_depend_on_the_span_that_was_asked_for(start: date, end: date) -> None:
    whole = SMALL.fetch(None, date(2015, 1, 1), date(2019, 12, 31), NOW).rows
    part = SMALL.fetch(None, start, end, NOW).rows
    assert part.height > 0
    assert part.equals(whole.filter(pl.col("date").is_between(start, end)))


def test_a_later_end_leaves_earlier_years_untouched_in_a_fresh_process_state() -> None:
    from quant_core.market.sources._simulation import simulated_year

    simulated_year.cache_clear()
    early = SMALL.fetch(None, date(2015, 1, 1), date(2016, 6, 30), NOW).rows
    simulated_year.cache_clear()
    late = SMALL.fetch(None, date(2015, 1, 1), date(2018, 12, 31), NOW).rows
    assert early.equals(late.filter(pl.col("date") <= date(2016, 6, 30)))


def test_another_seed_is_another_market() -> None:
    ours = SMALL.fetch(["SIM001"], date(2015, 1, 1), date(2015, 3, 31), NOW).rows
    other = replace(SMALL, seed=12).fetch(["SIM001"], date(2015, 1, 1), date(2015, 3, 31), NOW).rows
    assert (ours["close_inr"] != other["close_inr"]).all()


def test_bars_are_possible(stocks: pl.DataFrame) -> None:
    low, high = pl.min_horizontal("open_inr", "close_inr"), pl.max_horizontal("open_inr", "close_inr")
    assert stocks.filter((pl.col("low_inr") > low) | (pl.col("high_inr") < high)).height == 0
    assert stocks["low_inr"].min() > 1.0
    assert stocks["volume_shares"].min() >= 1
    vwap = stocks["turnover_inr"] / stocks["volume_shares"]
    assert ((vwap >= stocks["low_inr"] - 0.01) & (vwap <= stocks["high_inr"] + 0.01)).all()


def test_sessions_are_those_of_the_exchange_and_gaps_are_few(stocks: pl.DataFrame) -> None:
    days = sessions(date(2015, 1, 1), date(2022, 12, 31))
    assert stocks["date"].unique().sort().to_list() == days
    counts = dict(stocks.group_by("ticker").len().iter_rows())
    listed, delisted = counts.pop("SIM030"), counts.pop("SIM029")
    lost = sum(len(days) - count for count in counts.values())
    assert 0 < lost < 0.002 * len(days) * len(counts)
    assert len(days) - 400 - 5 <= listed <= len(days) - 400
    assert 1251 - 5 <= delisted <= 1251


def test_a_price_falls_by_the_factor_and_the_return_does_not_see_it(stocks: pl.DataFrame) -> None:
    splits = stocks.filter((pl.col("price_factor") != 1.0) & pl.col("total").is_not_null())
    assert splits.height >= 10
    assert set(splits["price_factor"]) == {0.5, 0.2}
    assert splits["total"].abs().max() < 0.25
    raw_step = splits["close_inr"] / splits["prev_close_inr"]
    assert ((raw_step / splits["price_factor"]).is_between(0.75, 1.25)).all()


def test_the_previous_close_is_the_raw_close_of_the_session_before(stocks: pl.DataFrame) -> None:
    days = sessions(date(2015, 1, 1), date(2022, 12, 31))
    number = pl.col("date").replace_strict(days, range(len(days)), return_dtype=pl.Int32)
    rows = stocks.with_columns(
        step=(number - number.shift(1)).over("ticker"), raw=pl.col("close_inr").shift(1).over("ticker")
    )
    following = rows.filter(pl.col("step") == 1)
    assert following.height > 0.99 * rows.height
    assert (following["prev_close_inr"] == following["raw"]).all()


def test_returns_have_fat_tails_and_share_a_market_factor(stocks: pl.DataFrame) -> None:
    daily = stocks.drop_nulls("total").filter(pl.col("total").is_not_nan())
    kurtosis = daily.group_by("ticker").agg(pl.col("total").kurtosis())["total"].median()
    assert kurtosis > 1.0
    wide = daily.pivot(on="ticker", index="date", values="total").drop("date").drop_nulls().to_numpy()
    correlations = np.corrcoef(wide, rowvar=False)[np.triu_indices(wide.shape[1], 1)]
    assert 0.15 < correlations.mean() < 0.6


def test_crisis_has_the_highest_volatility_and_the_worst_mean(market: SimulatedMarket) -> None:
    index = market.rows.filter(pl.col("ticker") == "NIFTY 50 TRI").sort("date")
    moves = (
        index.select("date", move=pl.col("close_inr").log().diff()).join(market.truth.regimes, on="date").drop_nulls()
    )
    by = {regime: part["move"] for (regime,), part in moves.group_by("regime")}
    assert by["crisis"].std() > 1.5 * by["choppy"].std() > 1.5 * by["bull"].std()
    assert by["crisis"].mean() < 0.0 < by["bull"].mean()


def test_the_total_return_index_gains_the_dividends_on_the_price_index(market: SimulatedMarket) -> None:
    ends = {}
    for name in ("^NSEI", "NIFTY 50 TRI"):
        closes = market.rows.filter(pl.col("ticker") == name).sort("date")["close_inr"]
        ends[name] = closes[-1] / closes[0]
    yearly = (ends["NIFTY 50 TRI"] / ends["^NSEI"]) ** (1 / 8) - 1.0
    assert 0.005 < yearly < 0.03
    total_rows = market.rows.filter(pl.col("ticker") == "NIFTY 50 TRI")
    assert total_rows.select("open_inr", "high_inr", "low_inr").null_count().row(0) == (total_rows.height,) * 3


def test_past_returns_weakly_predict_the_next_week(stocks: pl.DataFrame) -> None:
    growth = stocks.with_columns(level=pl.col("total").fill_null(0.0).log1p().cum_sum().over("ticker"))
    past = (pl.col("level") - pl.col("level").shift(63)).over("ticker")
    ahead = (pl.col("level").shift(-6) - pl.col("level").shift(-1)).over("ticker")
    pairs = growth.with_columns(past=past, ahead=ahead).drop_nulls(["past", "ahead"])
    daily = pairs.group_by("date").agg(ic=pl.corr("past", "ahead", method="spearman"))
    assert 0.02 < daily["ic"].mean() < 0.06


def test_without_alpha_the_same_market_offers_nothing() -> None:
    ahead = simulate(SimulatedSource(alpha_vol_1d=0.0), date(2016, 12, 31)).truth.alpha
    assert ahead["alpha_1d"].abs().max() == 0.0


def test_truth_lists_every_split_and_dividend_of_the_rows(market: SimulatedMarket) -> None:
    actions = market.truth.actions
    rows = market.rows.filter(pl.col("price_factor") != 1.0)
    splits = actions.filter(pl.col("kind") == "split")
    assert splits.select("ticker", "ex_date").rows() == rows.sort("ticker", "date").select("ticker", "date").rows()
    paid = market.rows.filter(pl.col("dividend_inr") > 0.0)["dividend_inr"].sum()
    assert actions.filter(pl.col("kind") == "dividend")["value"].sum() == pytest.approx(paid, rel=1e-12)


def test_sectors_share_a_factor_of_their_own(market: SimulatedMarket, stocks: pl.DataFrame) -> None:
    wide = (
        stocks.drop_nulls("total")
        .pivot(on="ticker", index="date", values="total")
        .drop("SIM029", "SIM030")
        .drop_nulls()
    )
    names = [name for name in wide.columns if name != "date"]
    values = wide.select(names).to_numpy()
    residual = values - values.mean(axis=1, keepdims=True)
    correlations = np.corrcoef(residual, rowvar=False)
    sector = dict(SimulatedSource().sectors().iter_rows())
    same = np.array([[sector[a] == sector[b] for b in names] for a in names])
    upper = np.triu(np.ones_like(same), 1).astype(bool)
    assert correlations[same & upper].mean() > correlations[~same & upper].mean() + 0.05


def test_what_is_missing_is_named() -> None:
    fetch = SMALL.fetch(["SIM001", "TCS"], date(2014, 6, 1), date(2015, 1, 31), NOW)
    assert [(problem.ticker, problem.kind) for problem in fetch.problems] == [("", "before_start"), ("TCS", "no_rows")]
    assert fetch.rows["date"].min() == date(2015, 1, 1)
    assert fetch.rows["ticker"].unique().to_list() == ["SIM001"]


def test_rows_are_stamped_with_their_own_close() -> None:
    row = SMALL.fetch(["SIM001"], date(2015, 1, 2), date(2015, 1, 2), NOW).rows.row(0, named=True)
    assert row["fetched_at"] == datetime(2015, 1, 2, 10, 0, tzinfo=UTC)


def test_bad_settings_fail_at_construction() -> None:
    with pytest.raises(TypeError, match="ticker_count"):
        SOURCES["simulated"](ticker_count=3)
    with pytest.raises(DataError, match="n_tickers 0"):
        SimulatedSource(n_tickers=0)
    with pytest.raises(DataError, match="missing_rate"):
        SimulatedSource(missing_rate=1.0)
    with pytest.raises(DataError, match="start 2020-02-01 is after end"):
        SMALL.fetch(None, date(2020, 2, 1), date(2020, 1, 1), NOW)
