"""Nothing decided after its fill, nothing fitted on the test: every violation stops the backtest and names its row."""

from datetime import date, timedelta

import polars as pl
import pytest
from stage_cases import FREE, START, make_prices, make_targets

from quant_core import calendar
from quant_core.backtest import records
from quant_core.backtest.guard import check_fills_follow, check_fits, check_trades, fits_of
from quant_core.backtest.simulate import simulate
from quant_core.errors import LookaheadError

D1, D2 = date(2021, 1, 8), date(2021, 1, 15)
PRICES = make_prices()
TARGETS = make_targets([(D1, "one", "AAA", 0.5), (D1, "one", "BBB", 0.5), (D2, "one", "AAA", 1.0)])


def fit(fit_end, model="ridge", fold=2021, first_decision=D1):
    return {"model": model, "fold": fold, "fit_end": fit_end, "first_decision": first_decision}


def test_a_fits_first_decision_is_the_earliest_date_of_its_forecasts():
    forecasts = pl.DataFrame({
        "date": [D2, D1, D2, D1], "ticker": ["AAA", "AAA", "BBB", "BBB"],
        "model": ["ridge", "ridge", "ridge", "trees"], "fold": [2021, 2021, 2021, 2021], "fit_end": [START] * 4,
    })  # fmt: skip
    assert fits_of(forecasts).to_dicts() == [fit(START), fit(START, "trees")]


def test_a_fit_may_end_the_day_before_its_first_decision_and_not_on_it():
    check_fits(pl.DataFrame([fit(D1 - timedelta(days=1))]))
    for late in (D1, D2):
        rows = pl.DataFrame([fit(START), fit(late, "trees", 2022)])
        with pytest.raises(LookaheadError, match=rf"trees of fold 2022 was fitted up to {late} and decided on {D1}"):
            check_fits(rows)


def test_a_backtest_with_a_model_fitted_on_its_own_test_does_not_start():
    simulate(PRICES, TARGETS, FREE, pl.DataFrame([fit(D1 - timedelta(days=1))]))
    with pytest.raises(LookaheadError, match="ridge of fold 2021"):
        simulate(PRICES, TARGETS, FREE, pl.DataFrame([fit(D1)]))


@pytest.mark.parametrize(
    "wrong", [lambda days: days[:2] + days[1:], lambda days: days[:2] + days[3:], lambda days: days[::-1]],
    ids=["repeated", "missing", "backwards"],
)  # fmt: skip
def test_a_row_after_a_decision_that_is_not_the_next_session_is_refused(wrong):
    days = calendar.sessions(D1, D2)
    check_fills_follow(days, range(len(days)))
    with pytest.raises(LookaheadError, match=rf"the decision of {wrong(days)[1]} would be filled on {wrong(days)[2]}"):
        check_fills_follow(wrong(days), [1])


def test_the_last_session_has_no_fill_to_check():
    check_fills_follow([D1], [0])


@pytest.mark.parametrize("late", [0, 3])
def test_an_order_decided_on_the_day_of_its_fill_or_later_is_named(late):
    sound = simulate(PRICES, TARGETS, FREE).trades
    check_trades(sound)
    moved = sound["date"][1] + timedelta(days=late)
    rows = sound.with_columns(decision_date=pl.when(pl.int_range(pl.len()) == 1).then(moved).otherwise("decision_date"))
    with pytest.raises(LookaheadError, match=rf"one buys BBB on 2021-01-11 by a decision of {moved}"):
        check_trades(rows)


def test_what_is_no_order_has_no_decision_to_check():
    trades = pl.DataFrame({"date": [D1], "decision_date": pl.Series([None], dtype=pl.Date), "side": ["dividend"]})
    check_trades(trades)


def test_a_backtest_whose_trades_were_tampered_with_does_not_end(monkeypatch):
    sound = records.trades_table
    monkeypatch.setattr(records, "trades_table", lambda *args: sound(*args).with_columns(decision_date=pl.col("date")))
    with pytest.raises(LookaheadError, match="one buys AAA on 2021-01-11 by a decision of 2021-01-11"):
        simulate(PRICES, TARGETS, FREE)
