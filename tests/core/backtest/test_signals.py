"""What each book wants next: changes, ranks, trades and their cost by hand, and the day's data."""

from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from stage_cases import FREE, NIFTY, START, make_prices, make_targets

from quant_core import calendar
from quant_core.backtest.signals import day_health, fill_of, ranks_of, signals_table
from quant_core.schema import CASH, FAILED, Forecasts, Signals

DAYS = calendar.sessions(START, date(2021, 3, 31))
FIRST, LAST = DAYS[-6], DAYS[-1]
STATUS = {"top_ridge": "not promoted"}
LABELS = pl.DataFrame({"date": [FIRST, LAST], "regime": ["Bull", "Bear"]})


def forecasts(scores):
    rows = [(day, ticker, "ridge", score) for day, own in scores.items() for ticker, score in own.items()]
    table = pl.DataFrame(rows, schema=["date", "ticker", "model", "score"], orient="row")
    return pl.concat([Forecasts.create_empty(), table], how="diagonal_relaxed")


def book(rows, name="top_ridge"):
    return make_targets([(day, name, ticker, weight) for day, ticker, weight in rows])


TWO = [
    (FIRST, "AAA", 0.6), (FIRST, "BBB", 0.4), (FIRST, CASH, 0.0),
    (LAST, "BBB", 0.2), (LAST, "CCC", 0.5), (LAST, CASH, 0.3),
]  # fmt: skip
SCORES = forecasts({FIRST: {"AAA": 3.0, "BBB": 2.0, "CCC": 1.0}, LAST: {"AAA": 0.1, "BBB": 0.2, "CCC": 0.9}})


def made(rows=TWO, config=FREE, prices=None):
    return signals_table(make_prices() if prices is None else prices, book(rows), SCORES, LABELS, STATUS, config)


def test_a_decision_beside_the_one_before_and_what_is_held() -> None:
    table = made()
    row = {one["ticker"]: one for one in table.iter_rows(named=True)}
    assert {name: one["change"] for name, one in row.items()} == {
        "AAA": "leaves", "BBB": "lowered", "CCC": "enters", CASH: "raised",
    }  # fmt: skip
    ranks = ("rank", "previous_rank", "n_ranked")
    assert {name: tuple(one[rank] for rank in ranks) for name, one in row.items() if name != CASH} == {
        "AAA": (3, 1, 3), "BBB": (2, 2, 3), "CCC": (1, 3, 3),
    }  # fmt: skip
    assert row["CCC"]["score"] == 0.9
    assert {one["regime"] for one in row.values()} == {"Bear"}
    assert {(one["decision_date"], one["fill_date"], one["is_pending"]) for one in row.values()} == {
        (LAST, calendar.next_session(LAST), True)
    }
    # Bought at the next open, drifted since: 0.6 and 0.4 of equity by their growth from that open to the last close.
    prices = make_prices().filter(pl.col("date") > FIRST)
    growth = {
        name: float(own["close_inr"][-1] / own["open_inr"][0])
        for (name,), own in prices.sort("date").partition_by("ticker", as_dict=True).items()
    }
    held = {"AAA": 0.6 * growth["AAA"], "BBB": 0.4 * growth["BBB"]}
    total = sum(held.values())
    for name, value in held.items():
        assert row[name]["held_weight"] == pytest.approx(value / total, rel=1e-9)
    assert row["AAA"]["trade_weight"] == pytest.approx(-held["AAA"] / total, rel=1e-9)
    assert row["CCC"]["trade_weight"] == pytest.approx(0.5)
    assert table["trade_weight"].sum() == pytest.approx(0.0, abs=1e-9)
    assert table["cost_inr"].sum() == 0.0


def test_a_cost_by_hand() -> None:
    config = replace(FREE, commission_bps=10.0, slippage_bps=5.0, initial_capital_inr=1e6)
    (row,) = made(config=config).filter(pl.col("ticker") == "CCC").iter_rows(named=True)
    assert row["cost_inr"] == pytest.approx(1e6 * 0.5 * 15e-4, rel=1e-9)


def test_a_decision_that_is_filled_leaves_nothing_to_do() -> None:
    table = made([(FIRST, "AAA", 0.5), (FIRST, CASH, 0.5)])
    assert table["is_pending"].to_list() == [False, False]
    assert table["trade_weight"].abs().sum() == 0.0
    assert table.filter(pl.col("ticker") == "AAA")["change"].item() == "enters"


def test_a_name_that_is_kept_is_not_traded_and_leaves_less_for_the_others() -> None:
    """AAA is held and kept; CCC asks for all of the account and gets what AAA leaves."""
    table = made([(FIRST, "AAA", 0.5), (FIRST, CASH, 0.5), (LAST, "AAA", None), (LAST, "CCC", 1.0), (LAST, CASH, 0.0)])
    row = {one["ticker"]: one for one in table.iter_rows(named=True)}
    assert (row["AAA"]["change"], row["AAA"]["trade_weight"], row["AAA"]["weight"]) == ("kept", 0.0, None)
    assert row["CCC"]["trade_weight"] == pytest.approx(1.0 - row["AAA"]["held_weight"])
    assert row[CASH]["weight"] == pytest.approx(0.0, abs=1e-12)


def test_books_that_are_not_asked_for_and_failures_are_left_out() -> None:
    assert signals_table(make_prices(), book(TWO, "other"), SCORES, LABELS, STATUS, FREE).is_empty()
    failed = make_targets([(LAST, "top_ridge", FAILED, None)])
    assert signals_table(make_prices(), failed, SCORES, LABELS, STATUS, FREE).is_empty()
    none = signals_table(make_prices().clear(), book(TWO), SCORES, LABELS, STATUS, FREE)
    assert none.schema == Signals.create_empty().schema


def test_a_book_follows_the_model_whose_whole_name_ends_its_own() -> None:
    both = pl.concat([SCORES, SCORES.with_columns(model=pl.lit("big_ridge"), score=-pl.col("score"))])
    assert ranks_of("top_big_ridge", both, ["ridge", "big_ridge"])["rank"].to_list() == [3, 2, 1, 1, 2, 3]
    assert ranks_of("momentum", both, ["ridge", "big_ridge"]).is_empty()
    assert fill_of(date(2021, 3, 26), 2) == date(2021, 3, 31)  # Holi is no session


def health(prices, targets=None):
    table = day_health(prices, make_targets([]) if targets is None else targets, NIFTY, None)
    return {row["item"]: (row["value"], row["is_sound"]) for row in table.iter_rows(named=True)}


def test_the_days_data() -> None:
    prices = make_prices()
    assert all(sound for _, sound in health(prices).values())
    here = (pl.col("date") == LAST) & (pl.col("ticker") == "AAA")
    carried = prices.with_columns(is_filled=pl.col("is_filled") | here)
    found = health(carried)
    assert found["Prices of the session"] == ("2 of 3 members", False)
    assert found["Without a price"] == ("1: AAA", True)
    flagged = prices.with_columns(flags=pl.when(here).then(pl.lit("quarantined")).otherwise("flags"))
    assert health(flagged)["Waiting for a person's word"] == ("1: AAA", False)
    no_index = prices.filter((pl.col("date") < LAST) | (pl.col("ticker") != NIFTY))
    assert not health(no_index)["Index row"][1]
    failed = make_targets([(LAST, "top_ridge", FAILED, None)])
    assert health(prices, failed)["Books that could not decide"] == ("1: top_ridge", False)
    assert day_health(prices.clear(), failed, NIFTY, None).is_empty()
