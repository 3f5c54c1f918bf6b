"""Books that mind what they hold: smoothing, the walk, and the buffer, by hand; a month alone equals the range."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from allocation_cases import loose
from polars.testing import assert_frame_equal

from quant_core import calendar
from quant_core.allocation import AllocationConfig, target_weights
from quant_core.allocation.book_rules import BookRules
from quant_core.allocation.held import Moment, _moments, traded_models
from quant_core.allocation.smoothing import centred_ranks, smoothed
from quant_core.allocation.strategies.buffered import (
    buffered_weights,
    descending_rank,
    traded_weights,
    wished_weights,
)
from quant_core.allocation.strategy import decision_inputs, path_start
from quant_core.errors import DataError, LookaheadError
from quant_core.schema import CASH, BookSettings, Forecasts, validate
from quant_core.trading.costs import FlatCosts
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import run_ledger
from quant_core.trading.market import Market
from quant_core.trading.rules import Rules

NAN = float("nan")
NAMES = ["A", "B", "C", "D", "E", "F"]


def steady(returns: dict[str, float], start: date, end: date) -> pl.DataFrame:
    """Prices of stocks that gain the same every session."""
    days = calendar.sessions(start, end)
    frames = [
        pl.DataFrame({
            "date": days, "ticker": name, "instrument": "equity", "close_inr": 100.0, "volume_shares": 1000,
            "turnover_inr": pl.Series([1e7] * len(days)), "total_return_1d": pl.Series([gain] * len(days)),
            "is_member": True, "is_filled": False, "is_tradable": True,
        })
        for name, gain in returns.items()
    ]  # fmt: skip
    return pl.concat(frames).sort("date", "ticker")


def scored(prices: pl.DataFrame, scores: dict[date, list[float]]) -> pl.DataFrame:
    """Forecasts of one model that hold from each date until the next."""
    rows = prices.select("date", "ticker")
    begins = pl.concat([
        pl.DataFrame({"since": [day] * len(NAMES), "ticker": NAMES, "score": values}).cast({"score": pl.Float64})
        for day, values in scores.items()
    ])  # fmt: skip
    table = (
        rows.sort("date").join_asof(begins.sort("since"), left_on="date", right_on="since", by="ticker").drop("since")
    )
    made = table.drop_nulls("score").with_columns(
        model=pl.lit("ridge"), fold=pl.col("date").dt.year().cast(pl.String), fit_end=pl.lit(date(2018, 12, 31)),
        horizon_sessions=pl.lit(5, pl.Int32),
    )  # fmt: skip
    whole = pl.concat([Forecasts.create_empty(), made], how="diagonal")
    return validate(whole.sort("date", "ticker", "model"), Forecasts, "test", "fix the test")


def book(table: pl.DataFrame, day: date) -> dict[str, float | None]:
    """What a decision says of each name; None keeps it."""
    rows = table.filter(pl.col("date") == day, pl.col("ticker") != CASH)
    return dict(zip(rows["ticker"], rows["weight"], strict=True))


def test_centred_ranks_by_hand() -> None:
    ranks = centred_ranks(np.array([[3.0, 1.0, NAN, 3.0, 7.0]]))[0]
    assert ranks[[0, 1, 3, 4]].tolist() == [0.0, -0.375, 0.0, 0.375]
    assert np.isnan(ranks[2])
    assert np.isnan(centred_ranks(np.full((1, 3), NAN))).all()


def test_smoothing_by_hand_forgets_half_in_a_half_life() -> None:
    scores = np.array([[2.0, 1.0], [NAN, NAN], [2.0, 1.0], [1.0, NAN], [1.0, 2.0]])
    found = smoothed(scores, np.full(5, 1.0))  # d = 1/2; ranks are +-1/4, and 0 for a name alone
    assert found[0].tolist() == [0.125, -0.125]
    assert np.isnan(found[1]).all()  # nothing was scored: nothing changes
    assert found[2].tolist() == [0.1875, -0.1875]
    assert found[3, 0] == 0.09375
    assert np.isnan(found[3, 1])
    assert found[4].tolist() == pytest.approx([0.09375 / 2 - 0.125, -0.1875 / 4 + 0.125])
    slow = smoothed(scores, np.full(5, 21.0))
    assert slow[0].tolist() == pytest.approx([0.25 * (1 - 2 ** (-1 / 21)), -0.25 * (1 - 2 ** (-1 / 21))])


def test_ranks_descend_and_ties_go_to_the_earlier_name() -> None:
    rank = descending_rank(np.array([1.0, NAN, 2.0, 1.0]))
    assert rank[[0, 2, 3]].tolist() == [2.0, 1.0, 3.0]
    assert np.isnan(rank[1])


def test_the_buffer_by_hand() -> None:
    """Two names are held; a name is sold below rank 4, and bought in the best 2."""
    start, first, then, last = date(2020, 1, 1), date(2020, 2, 3), date(2020, 2, 10), date(2020, 2, 17)
    prices = steady(dict.fromkeys(NAMES, 0.0), start, date(2020, 2, 28))
    scores = scored(prices, {first: [6, 5, 4, 3, 2, 1], then: [3, 2, 6, 5, 4, 1], last: [2, 6, 3, 5, 4, 1]})
    config = AllocationConfig(
        top_n=1, max_position=1.0, half_life_sessions=0.01, strategies=("buffered",), lookback_sessions=60,
        momentum_sessions=60, momentum_skip_sessions=5,
    )  # fmt: skip
    table = target_weights(prices, scores, config)
    assert table["strategy"].unique().to_list() == ["buffered_ridge"]
    assert table["date"].min() == date(2020, 2, 7)
    assert book(table, date(2020, 2, 7)) == {"A": 0.5, "B": 0.5}
    assert book(table, date(2020, 2, 14)) == {"A": None, "C": 0.5}  # A is fourth: kept; B is fifth: C takes its place
    assert book(table, date(2020, 2, 20)) == {"C": None, "B": 0.5}  # now A is fifth; C, fourth, stays
    assert book(table, date(2020, 2, 28)) == {"B": None, "C": None}
    unbuffered = target_weights(prices, scores, loose(**{**vars(config), "sell_multiple": 1.0}))
    assert book(unbuffered, date(2020, 2, 14)) == {"C": 0.5, "D": 0.5}


def test_no_more_than_a_sectors_share_of_the_names_is_bought_by_hand() -> None:
    """Four names of six, at most half of them of one sector: A B C D are of X, E and F of Y, and C and D wait."""
    start, first, then = date(2020, 1, 1), date(2020, 2, 3), date(2020, 2, 10)
    prices = steady(dict.fromkeys(NAMES, 0.0), start, date(2020, 2, 28))
    scores = scored(prices, {first: [6, 5, 4, 3, 2, 1], then: [1, 5, 6, 4, 2, 3]})
    sectors = pl.DataFrame({"ticker": NAMES[:4], "sector": "X"})  # those without one share a sector
    config = AllocationConfig(
        top_n=2, max_position=1.0, half_life_sessions=0.01, strategies=("buffered",), lookback_sessions=60,
        momentum_sessions=60, momentum_skip_sessions=5, most_sector=0.5, sell_multiple=1.25,
    )  # fmt: skip
    free = book(target_weights(prices, scores, replace(config, most_sector=None)), date(2020, 2, 7))
    assert free == dict.fromkeys("ABCD", 0.25)
    table = target_weights(prices, scores, config, sectors=sectors)
    assert book(table, date(2020, 2, 7)) == {"A": 1 / 3, "B": 1 / 3, "E": 1 / 3}  # F is sixth: it would be sold
    later = book(table, date(2020, 2, 14))  # C B D F E A: A goes; of X and Y one place each, for C and F, and D waits
    assert later == {"B": None, "E": None, "C": pytest.approx(1 / 6), "F": pytest.approx(1 / 6)}


def test_what_drifts_too_far_is_traded_back_and_purchases_share_what_is_left() -> None:
    config = AllocationConfig(max_position=0.5, drift_band=0.5, min_position=0.05)
    held, wished = np.array([0.30, 0.05, 0.60, 0.0, 0.0]), np.array([0.25, 0.25, 0.25, 0.25, 0.0])
    kept = np.array([True, True, True, False, False])
    bought, frozen = ~kept & (wished > 0.0), np.zeros(5, dtype=bool)
    found = traded_weights(held, wished, kept, bought, frozen, config)
    assert np.isnan(found[0])  # 20 % above its wish
    assert found[1:].tolist() == pytest.approx([0.25, 0.25, 0.2, 0.0])  # D gets 1 - 0.30 - 0.25 - 0.25
    kept_all = traded_weights(held, wished, kept, bought, kept, config)
    assert np.isnan(kept_all[:3]).all()
    assert kept_all[3] == pytest.approx(0.05)
    dear = traded_weights(held, wished, kept, bought, kept, AllocationConfig(min_position=0.06, max_position=0.5))
    assert dear[3] == 0.0


@pytest.mark.parametrize(
    ("weighting", "wanted"),
    [("equal", [1 / 3, 1 / 3, 1 / 3, 0.0]),
     ("conviction", [4 / 9, 3 / 9, 2 / 9, 0.0]),  # 4/4, 3/4 and 2/4 of four ranks that may be held
     ("volatility", [0.5, 0.5, 0.0, 0.0])],  # the third never moved
)  # fmt: skip
def test_weightings_by_hand(weighting: str, wanted: list[float]) -> None:
    prices = steady(dict.fromkeys(NAMES[:4], 0.0), date(2020, 1, 1), date(2020, 6, 30))
    moves = (
        pl.when(pl.col("ticker") < "C")
        .then(0.01 * (-1.0) ** pl.col("date").rank("dense").cast(pl.Int32))
        .otherwise(0.0)
    )
    prices = prices.with_columns(total_return_1d=moves)
    config = AllocationConfig(
        top_n=1, max_position=1.0, book_weighting=weighting, lookback_sessions=60, momentum_sessions=60,
        momentum_skip_sessions=5,
    )  # fmt: skip
    days = pl.Series("date", [date(2020, 6, 26)])
    inputs = replace(decision_inputs(prices, Forecasts.create_empty(), config, days[0], days[0]), decision_dates=days)
    rules = BookRules(21.0, 2.0, 0.2)
    here, none = np.ones(4, dtype=bool), np.zeros(4, dtype=bool)
    now = Moment(inputs, rules, days[0], 5, np.zeros(4), here, none, np.array([0.3, 0.2, 0.1, -0.3]))
    found = wished_weights(now, np.array([True, True, True, False]), np.arange(1.0, 5.0), 4.0)
    assert found.tolist() == pytest.approx(wanted)


def test_the_walk_holds_what_the_ledger_holds() -> None:
    rng = np.random.default_rng(4)
    days = calendar.sessions(date(2020, 1, 1), date(2020, 3, 31))
    prices = steady(dict.fromkeys(NAMES, 0.0), days[0], days[-1])
    returns = rng.normal(0.0, 0.03, (len(days), len(NAMES)))
    prices = prices.with_columns(total_return_1d=pl.Series(returns.ravel()))
    scores = scored(prices, {days[20]: [6, 5, 4, 3, 2, 1], days[40]: [1, 2, 3, 4, 5, 6]})
    config = AllocationConfig(
        top_n=1, max_position=0.55, half_life_sessions=3.0, strategies=("buffered",), drift_band=0.2,
        lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=5,
    )  # fmt: skip
    inputs = decision_inputs(prices, scores, config, days[0], days[-1])
    rows, targets, held = [], [], []
    for now, account in _moments(inputs.path(2020), "ridge"):
        weights = buffered_weights(now, now.held)
        held.append(now.held)
        if weights is not None:
            rows.append(days.index(now.day))
            targets.append(weights)
        if not account.is_over:
            account.step(weights)
    names = [np.flatnonzero(~(each == 0.0)) for each in targets]
    decisions = Decisions.of(
        rows, np.repeat(rows, [len(each) for each in names]), np.concatenate(names),
        np.concatenate([each[k] for each, k in zip(targets, names, strict=True)]),
    )  # fmt: skip
    market = Market(np.zeros(returns.shape), returns, np.full(returns.shape, 3, np.uint8), 0.0)
    costs = FlatCosts(0.0, 0.0, 0.0).schedule(days)
    ledger = run_ledger(market, decisions, costs, Rules(fill="close"))
    at_decisions = [days.index(day) for day in inputs.path_dates]
    np.testing.assert_allclose(ledger.weights[at_decisions], np.stack(held), atol=1e-12)
    assert np.isnan(np.concatenate(targets)).any()
    assert ledger.n_fills.sum() > 6


@pytest.mark.parametrize("rebalance", ["weekly", "monthly"])
def test_a_month_alone_equals_the_range_across_a_year_end(
    rebalance: str, prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    """Paths of another year begin elsewhere: December's is that of 2020, January's that of 2021."""
    older = prices.with_columns(date=pl.col("date") - timedelta(days=364)).filter(pl.col("date") < date(2020, 7, 1))
    days = set(calendar.sessions(date(2019, 1, 1), date(2021, 12, 31)))
    long = pl.concat([older.filter(pl.col("date").is_in(list(days))), prices]).sort("date", "ticker")
    scores = forecasts.filter(pl.col("model") == "ridge")
    early = scores.with_columns(date=pl.col("date") - timedelta(days=364), fit_end=pl.lit(date(2018, 12, 31)))
    early = early.filter(pl.col("date") < date(2020, 7, 1), pl.col("date").is_in(list(days)))
    scores = pl.concat([early, scores]).sort("date", "ticker")
    config = loose(
        top_n=3, lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=5, rebalance=rebalance,
        strategies=("buffered",), half_life_sessions=5.0,
    )  # fmt: skip
    whole = target_weights(long, scores, config, date(2020, 6, 1), date(2021, 2, 28))
    for first, last in ((date(2020, 12, 1), date(2020, 12, 31)), (date(2021, 1, 1), date(2021, 1, 31))):
        known = pl.col("date").is_between(path_start(first), last)
        prior = pl.col("date").is_between(path_start(first) - timedelta(days=150), last)
        alone = target_weights(long.filter(prior), scores.filter(known), config, first, last)
        assert alone.height > 3
        assert_frame_equal(alone, whole.filter(pl.col("date").is_between(first, last)), check_exact=True)


def settings_of(values: dict[str, float], fold: str = "2020", fit_end: date = date(2019, 12, 31)) -> pl.DataFrame:
    rows = [
        {"fold": fold, "model": "ridge", "setting": name, "value": value, "fit_end": fit_end, "merit": 1.0,
         "is_chosen": True} for name, value in values.items()
    ]  # fmt: skip
    schema = {name: column.dtype for name, column in BookSettings.columns().items()}
    return validate(pl.DataFrame(rows, schema=schema), BookSettings, "test", "fix the test")


def test_a_folds_own_settings_replace_the_defaults() -> None:
    prices = steady(dict.fromkeys(NAMES, 0.0), date(2020, 1, 1), date(2020, 2, 28))
    scores = scored(prices, {date(2020, 2, 3): [6, 5, 4, 3, 2, 1], date(2020, 2, 10): [3, 2, 6, 5, 4, 1]})
    config = AllocationConfig(
        top_n=1, max_position=1.0, strategies=("buffered",), lookback_sessions=60, momentum_sessions=60,
        momentum_skip_sessions=5,
    )  # fmt: skip
    chosen = settings_of({"half_life_sessions": 0.01, "sell_multiple": 1.0})
    table = target_weights(prices, scores, config, book_settings=chosen)
    assert book(table, date(2020, 2, 14)) == {"C": 0.5, "D": 0.5}
    other = target_weights(prices, scores, config, book_settings=chosen.with_columns(fold=pl.lit("2019")))
    assert_frame_equal(other, target_weights(prices, scores, config))
    with pytest.raises(LookaheadError, match="fold 2020 chose its half_life_sessions on sessions up to 2020-02-03"):
        target_weights(
            prices, scores, config, book_settings=settings_of({"half_life_sessions": 5.0}, fit_end=date(2020, 2, 3))
        )


def test_the_ensemble_stands_for_all_models_unless_some_are_named(
    prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    def models(config: AllocationConfig, table: pl.DataFrame) -> list[str]:
        return traded_models(decision_inputs(prices, table, config, date(2021, 1, 1), date(2021, 1, 31)))

    both = pl.concat([forecasts, forecasts.filter(pl.col("model") == "ridge").with_columns(model=pl.lit("ensemble"))])
    assert models(loose(), forecasts) == ["boosting", "ridge"]
    assert models(loose(), both) == ["ensemble"]
    assert models(loose(book_models=("ridge", "absent")), both) == ["ridge"]


@pytest.mark.parametrize(
    "bad",
    [{"half_life_sessions": 0.0}, {"sell_multiple": 0.9}, {"book_weighting": "score"}, {"drift_band": 1.0},
     {"risk_aversion": -1.0}, {"quadratic_cost": 0.0}, {"target_volatility": 0.0}, {"volatility_sessions": 1}],
)  # fmt: skip
def test_settings_of_books_that_cannot_be_are_refused(bad: dict) -> None:
    with pytest.raises(DataError, match=next(iter(bad))):
        loose(**bad)
