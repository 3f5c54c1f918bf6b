"""Missing rows are never a decision to sell: who is kept, when is decided, and that cash is a row."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import get_args

import numpy as np
import polars as pl
import pytest
from allocation_cases import held, kept_of, loose, weights_of
from polars.testing import assert_frame_equal

from quant_assets.assets.forecasts import unscored
from quant_assets.assets.target_weights import members_priced, strategies_decided
from quant_assets.partitions import path_lookback
from quant_core import calendar
from quant_core.allocation import STRATEGIES, AllocationConfig, decide_all, target_weights
from quant_core.allocation.members import member_rows, slots
from quant_core.allocation.strategy import path_start
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.simulate import simulate
from quant_core.schema import CASH
from quant_core.trading.rebalancing import Rebalance, rebalance_dates

FIRST, LAST = date(2021, 1, 1), date(2021, 4, 30)
DAY, NEXT = date(2021, 1, 8), date(2021, 1, 11)  # a Friday, the last session of its week, and the Monday after
IS_STOCK = pl.col("instrument") == "equity"
SPREADING = ("equal_weight", "inverse_volatility", "momentum", "top_n_ridge")


def calm(prices: pl.DataFrame) -> pl.DataFrame:
    """Every stock a tradable member on every row that it has; all end with the data but S11, which is left out."""
    return prices.filter(pl.col("ticker") != "S11").with_columns(
        is_member=IS_STOCK, is_tradable=IS_STOCK, is_filled=pl.lit(False), flags=pl.lit("")
    )


def without(prices: pl.DataFrame, day: date, *tickers: str) -> pl.DataFrame:
    """The rows of `tickers` (all stocks where none is named) on a day are lost."""
    lost = pl.col("ticker").is_in(tickers) if tickers else IS_STOCK
    return prices.filter(~((pl.col("date") == day) & lost))


def decisions(table: pl.DataFrame, strategy: str) -> list[date]:
    return table.filter(pl.col("strategy") == strategy)["date"].unique().sort().to_list()


@pytest.mark.slow
def test_every_decision_has_a_row_for_cash_that_makes_it_whole(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    table = target_weights(prices, forecasts, short, FIRST, LAST)
    totals = table.group_by("date", "strategy").agg(
        total=pl.col("weight").sum(), n_cash=(pl.col("ticker") == CASH).sum()
    )
    assert totals["total"].to_list() == pytest.approx([1.0] * len(totals), abs=1e-12)
    assert totals["n_cash"].unique().to_list() == [1]
    four = loose(top_n=4, lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=5)
    own = target_weights(prices, forecasts, four, FIRST, LAST).filter(
        pl.col("strategy") == "momentum", pl.col("ticker") == CASH
    )
    assert own["weight"].to_list() == pytest.approx([0.2] * len(own))


def test_an_all_cash_decision_is_one_row_and_sells_everything(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(inputs):
        return pl.DataFrame({"date": inputs.decision_dates, "ticker": CASH, "weight": 0.3})  # the size is worked out

    list(STRATEGIES)  # found and registered before anything is replaced
    monkeypatch.setattr(STRATEGIES, "_entries", {"nothing": nothing})
    table = target_weights(calm(prices), forecasts, short, FIRST, date(2021, 1, 31))
    late_listing = table.filter(pl.col("ticker") == CASH)
    assert late_listing["weight"].to_list() == [1.0] * 5
    assert table.height == 5  # nobody is untradable in the calm market: no rows but cash


@pytest.mark.parametrize("index_is_there", [True, False])
def test_a_session_without_stocks_decides_nothing_and_the_next_one_does(
    index_is_there: bool, prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    config = loose(
        min_priced_members=0.95, lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=5, top_n=3
    )
    whole = calm(prices)
    lost = without(whole, DAY) if index_is_there else whole.filter(pl.col("date") != DAY)
    table = target_weights(lost, forecasts, config, FIRST, LAST)
    weekly = rebalance_dates(FIRST, LAST, "weekly")
    for strategy in (*SPREADING, "buy_hold_index"):
        assert decisions(table, strategy) == sorted({*weekly, NEXT} - {DAY}), strategy
    undisturbed = target_weights(whole, forecasts, config, FIRST, LAST)
    later = pl.col("date") > NEXT
    names = pl.col("strategy").is_in(["equal_weight", "top_n_ridge", "buy_hold_index"])
    assert_frame_equal(table.filter(later, names), undisturbed.filter(later, names), check_exact=True)


def test_carried_rows_are_no_prices(prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig) -> None:
    carried = calm(prices).with_columns(
        is_filled=IS_STOCK & (pl.col("date") == DAY), is_tradable=IS_STOCK & (pl.col("date") != DAY)
    )
    assert decisions(target_weights(carried, forecasts, short, FIRST, LAST), "equal_weight")[1] == NEXT


def test_one_stock_late_is_kept_where_enough_of_the_others_have_prices_and_waits_where_not(
    prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    late = without(calm(prices), DAY, "S04")
    lax = loose(
        min_priced_members=10 / 11, lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=5, top_n=3
    )
    table = target_weights(late, forecasts, lax, FIRST, LAST)
    for strategy in SPREADING:
        assert kept_of(table, strategy, DAY) == {"S04"}, strategy
        assert "S04" not in weights_of(table, strategy, DAY)
    assert kept_of(table, "buy_hold_index", DAY) == set()
    assert weights_of(table, "equal_weight", DAY) == pytest.approx({f"S{k:02d}": 1 / 10 for k in range(11) if k != 4})
    strict = replace(lax, min_priced_members=0.95)
    assert decisions(target_weights(late, forecasts, strict, FIRST, LAST), "equal_weight")[1] == NEXT


def test_of_eleven_members_ten_are_90_9_percent(prices: pl.DataFrame) -> None:
    late = without(calm(prices), DAY, "S04")
    for share, first in ((10 / 11, DAY), (10 / 11 + 1e-9, NEXT)):
        assert slots(late, "weekly", share, DAY, date(2021, 1, 14)).decided_on == [first]
    found = slots(late, "weekly", 0.95, DAY, date(2021, 1, 14)).lacking
    assert found.rows() == [(DAY, 11, 10, ["S04"])]


def test_a_member_is_one_by_its_newest_row_of_sixty_sessions_unless_that_ended_it(prices: pl.DataFrame) -> None:
    days = calendar.sessions(date(2020, 7, 1), DAY)
    table = calm(prices).with_columns(
        terminal_factor=pl.lit(None, pl.Float64), is_member=IS_STOCK & (pl.col("ticker") != "S07")
    )
    is_last = pl.col("date") == days[-30]
    gone = pl.col("ticker").is_in(["S01", "S02", "S03"]) & (pl.col("date") > days[-30])
    older = (pl.col("ticker") == "S05") & (pl.col("date") > days[-61])
    newer = (pl.col("ticker") == "S06") & (pl.col("date") > days[-60])
    table = table.filter(~gone, ~older, ~newer).with_columns(
        is_member=pl.col("is_member") & ~(is_last & (pl.col("ticker") == "S02")),
        terminal_factor=pl.when(is_last, pl.col("ticker") == "S03").then(0.5),
    )
    found = member_rows(table, DAY, DAY)
    absent = found.filter(~pl.col("is_priced"))["ticker"].to_list()
    assert absent == ["S01", "S06"]  # S02 left before, S03 ended, S05 is too old, S07 never was one
    assert found.height == 11 - 4


def test_who_left_the_universe_is_sold_and_who_is_only_halted_is_not(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    today = pl.col("date") == DAY
    table = calm(prices).with_columns(
        is_member=IS_STOCK & ~(today & (pl.col("ticker") == "S01")),
        is_tradable=IS_STOCK & ~(today & pl.col("ticker").is_in(["S01", "S02"])),
    )
    made = target_weights(table, forecasts, short, FIRST, LAST)
    for strategy in SPREADING:
        assert kept_of(made, strategy, DAY) == {"S02"}
        assert "S01" not in weights_of(made, strategy, DAY)


@pytest.mark.slow
@pytest.mark.parametrize("rebalance", get_args(Rebalance))
def test_months_in_any_order_are_the_whole_range_when_sessions_at_their_ends_are_lost(
    rebalance: Rebalance, prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    config = AllocationConfig(
        top_n=3, lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=5, optimiser_names=9,
        rebalance=rebalance,
    )  # fmt: skip
    lost = calm(prices)
    for day in (date(2021, 1, 28), date(2021, 1, 29), date(2021, 2, 1), date(2021, 2, 26), date(2021, 3, 31)):
        lost = without(lost, day)
    lost = lost.filter(pl.col("date") != date(2021, 3, 1))
    whole = target_weights(lost, forecasts, config, FIRST, LAST)
    parts = []
    for first in (date(2021, month, 1) for month in (3, 1, 4, 2)):
        last = pl.Series([first]).dt.month_end()[0]
        oldest = pl.Series([first]).dt.offset_by(f"{path_lookback(60).start_offset}mo")[0]
        loaded = lost.filter(pl.col("date").is_between(oldest, last))
        known = forecasts.filter(pl.col("date").is_between(path_start(first), last))
        parts.append(target_weights(loaded, known, config, first, last))
    assert_frame_equal(pl.concat(parts).sort("date", "strategy", "ticker"), whole, check_exact=True)
    decided = set(whole["date"])
    assert {date(2021, 2, 2), date(2021, 3, 2), date(2021, 4, 1)} <= decided
    assert decided.isdisjoint(set(lost.filter(IS_STOCK)["date"].unique()) ^ set(lost["date"].unique()))


def test_a_slot_that_the_next_one_finds_undecided_is_merged_with_it(prices: pl.DataFrame) -> None:
    lost = calm(prices)
    for day in calendar.sessions(DAY, date(2021, 1, 20)):
        lost = without(lost, day)
    found = slots(lost, "weekly", 0.95, FIRST, date(2021, 1, 31))
    assert found.decided_on == [date(2021, 1, 1), date(2021, 1, 21), date(2021, 1, 22), date(2021, 1, 29)]
    assert found.lacking["date"].to_list() == calendar.sessions(DAY, date(2021, 1, 20))


def test_a_name_that_is_suspended_is_waited_for_as_long_as_prices_are_carried_and_kept_for_sixty_sessions(
    prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    config = AllocationConfig(lookback_sessions=60, momentum_sessions=60, rebalance="daily")
    gone = calm(prices).filter((pl.col("ticker") != "S04") | (pl.col("date") < DAY))
    table = target_weights(gone, forecasts, config, FIRST, LAST)
    sessions = calendar.sessions(DAY, LAST)
    decided = decisions(table, "equal_weight")
    assert set(decided).isdisjoint(sessions[:5])
    assert [day for day in decided if day >= DAY] == sessions[5:]
    kept = [day for day in decided if "S04" in kept_of(table, "equal_weight", day)]
    assert kept == sessions[5:59]  # 60 sessions after its last row it is no member any more


def test_stocks_that_are_late_for_longer_than_members_are_remembered_still_decide_nothing(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    only_index = calm(prices).filter(~IS_STOCK | (pl.col("date") <= DAY))
    table = target_weights(only_index, forecasts, short, FIRST, LAST)
    assert table["date"].max() == DAY


def test_a_name_without_a_score_is_kept_and_a_day_without_scores_decides_nothing(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    blind = forecasts.filter((pl.col("model") != "ridge") | (pl.col("date") != DAY)).filter(
        (pl.col("model") != "boosting") | (pl.col("date") != DAY) | (pl.col("ticker") != "S04")
    )
    table = target_weights(calm(prices), blind, short, FIRST, LAST)
    assert DAY not in decisions(table, "top_n_ridge")
    assert kept_of(table, "top_n_boosting", DAY) == {"S04"}
    assert len(weights_of(table, "top_n_boosting", DAY)) == 3


def test_a_return_that_is_withheld_leaves_no_momentum_and_the_name_is_kept(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    window = calendar.sessions(date(2020, 7, 1), DAY)[-60:]
    for day, is_kept in ((window[0], True), (window[54], True), (window[55], False), (window[59], False)):
        table = calm(prices).with_columns(
            flags=pl.when(pl.col("ticker") == "S04", pl.col("date") == day).then(pl.lit("gap|quarantined"))
            .otherwise(pl.lit(""))
        )  # fmt: skip
        made = target_weights(table, forecasts, short, FIRST, LAST)
        assert ("S04" in kept_of(made, "momentum", DAY)) == is_kept, day  # the newest five sessions are left out
        assert not kept_of(made, "equal_weight", DAY)


def test_what_the_estimate_could_not_judge_is_kept_and_what_it_did_not_choose_is_sold(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    month_end, after = date(2021, 1, 29), date(2021, 2, 5)
    table = calm(prices).with_columns(
        is_tradable=IS_STOCK & ~((pl.col("date") == month_end) & (pl.col("ticker") == "S02"))
        & ~((pl.col("date") == after) & (pl.col("ticker") == "S03"))
    )  # fmt: skip
    made = target_weights(table, forecasts, short, FIRST, LAST)
    assert kept_of(made, "inverse_volatility", after) == {"S02", "S03"}
    assert {"S02", "S03"} <= kept_of(made, "hierarchical_risk_parity", after)
    chosen = set(weights_of(made, "hierarchical_risk_parity", after)) | {"S02", "S03"}
    assert len(chosen) < 11  # the least traded of the eleven have no row: they are sold
    assert kept_of(made, "inverse_volatility", date(2021, 3, 5)) == set()


def test_a_month_end_on_which_most_stocks_are_lost_is_estimated_with_the_names_of_the_session_before(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    few = without(calm(prices), date(2021, 1, 29), *(f"S{k:02d}" for k in range(8)))
    made = target_weights(few, forecasts, short, FIRST, LAST)
    assert len(weights_of(made, "inverse_volatility", date(2021, 2, 5))) > 8


@pytest.mark.slow
def test_the_books_of_a_lost_session_turn_over_no_more_than_usual(
    market: Callable[..., pl.DataFrame], forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    rows = calm(market())
    full = rows.with_columns(
        open_inr="close_inr", high_inr="close_inr", low_inr="close_inr", overnight_return_1d="total_return_1d",
        intraday_return_1d=pl.lit(0.0), dividend_return_1d=pl.lit(0.0), terminal_factor=pl.lit(None, pl.Float64),
        terminal_into=pl.lit(None, pl.String), volume_shares=pl.col("volume_shares").cast(pl.Int64),
    ).with_columns(high_inr=pl.col("close_inr") * 1.01)  # fmt: skip
    config = BacktestConfig(risk_free_rate_ann=0.0)
    lost = without(full, DAY)
    books = {
        name: simulate(table, target_weights(table, forecasts, short, FIRST, LAST), config).daily
        for name, table in (("whole", full), ("lost", lost))
    }
    around = pl.col("date").is_between(DAY, date(2021, 1, 15))
    for strategy in SPREADING:
        traded = {
            name: daily.filter(pl.col("strategy") == strategy, around)["turnover_1d"].sum()
            for name, daily in books.items()
        }
        assert traded["lost"] < 2.0 * traded["whole"] + 0.05, strategy
        sold = books["lost"].filter(pl.col("strategy") == strategy, pl.col("date") >= NEXT)
        assert sold["n_holdings"].min() >= 3


def test_the_check_blocks_only_where_the_newest_session_lacks_members(
    prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    config = AllocationConfig(lookback_sessions=60, momentum_sessions=60)
    lost = without(calm(prices).filter(pl.col("date") <= date(2021, 1, 22)), DAY)
    decided = decide_all(lost, forecasts, config, FIRST, LAST)
    newest = lost["date"].max()
    found = members_priced(decided.lacking, newest)
    assert not found.passed
    assert found.severity.value == "WARN"
    words = found.metadata["newest"]
    assert "2021-01-08: 0 of 11 members have a price, missing S00, S01" in words
    late = without(lost, date(2021, 1, 22), "S03", "S05")
    lacking = decide_all(late, forecasts, config, FIRST, LAST).lacking
    blocking = members_priced(lacking, newest)
    assert blocking.severity.value == "ERROR"
    assert "2021-01-22: 9 of 11 members have a price, missing S03, S05;" in blocking.metadata["newest"]
    closed = members_priced(lacking, None)  # later months are stored
    assert closed.severity.value == "WARN"
    assert members_priced(decide_all(calm(prices), forecasts, config, FIRST, LAST).lacking, newest).passed
    assert strategies_decided(decided.failures).passed


def test_forecasts_are_compared_with_the_members_that_could_be_scored() -> None:
    members = [(DAY, f"S{k:02d}", k != 9) for k in range(10)] + [(NEXT, f"S{k:02d}", True) for k in range(20)]
    features = pl.DataFrame(members, schema=["date", "ticker", "is_eligible"], orient="row")
    scores = features.with_columns(score=pl.lit(0.1)).filter(
        ~((pl.col("date") == DAY) & pl.col("ticker").is_in(["S03"]))
    )
    assert unscored(scores, features).rows() == [(DAY, 9, 8, "S03")]
    one_of_twenty = scores.filter(~((pl.col("date") == NEXT) & (pl.col("ticker") == "S19")))
    assert unscored(one_of_twenty, features)["date"].to_list() == [DAY]  # 95 % are enough
    silent = scores.with_columns(score=pl.lit(np.nan))
    assert unscored(silent, features)["scored"].to_list() == [0, 0]


def test_held_is_what_has_a_weight(prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig) -> None:
    table = target_weights(prices, forecasts, short, FIRST, LAST)
    assert held(table)["weight"].min() > 0.0
    assert table["weight"].null_count() > 0


def test_the_calendars_first_month_is_decided_on_without_a_look_before_it(prices: pl.DataFrame) -> None:
    shift = pl.col("date").min() - calendar.FIRST_DAY
    early = calm(prices).with_columns(pl.col("date") - shift)
    sessions = calendar.sessions(calendar.FIRST_DAY, date(2000, 1, 31))
    early = early.filter(pl.col("date").is_in(sessions))
    for rebalance in ("weekly", "monthly"):
        found = slots(early, rebalance, 0.0, date(2000, 1, 1), date(2000, 1, 31)).decided_on
        assert set(found) <= set(sessions)
        assert found
