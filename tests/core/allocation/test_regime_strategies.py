"""Books that follow regimes: the gate session by session by hand, and whose book is held in which regime."""

from datetime import date

import polars as pl
import pytest
from allocation_cases import loose, weights_of
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from quant_core.allocation import STRATEGIES, AllocationConfig, target_weights
from quant_core.allocation.strategies.regime_gated import exposures
from quant_core.allocation.strategy import decision_inputs, known_on
from quant_core.allocation.targets import decide
from quant_core.errors import DataError, LookaheadError
from quant_core.schema import CASH, FAILED

FIRST, LAST = date(2021, 1, 1), date(2021, 4, 30)
GATE = AllocationConfig(crisis_enter=0.6, crisis_leave=0.3, exposure_band=0.2)


def test_the_gate_by_hand() -> None:
    steps = [
        (0.1, 0.9),  # begins at what it wants
        (0.25, 0.9),  # 0.75 is nearer than the band
        (0.35, 0.65),  # further than it
        (0.6, 0.4),  # the upper threshold itself is no crisis, but far enough
        (0.61, 0.0),  # now it is one
        (0.4, 0.0),  # not below the lower threshold
        (0.3, 0.0),
        (0.29, 0.71),  # below it
        (0.61, 0.0),
        (0.0, 1.0),
    ]
    assert exposures([p for p, _ in steps], GATE) == pytest.approx([held for _, held in steps])


def test_the_gate_keeps_its_floor_and_crosses_to_it_inside_the_band() -> None:
    config = AllocationConfig(exposure_floor=0.35, exposure_band=0.5)
    assert exposures([0.5, 0.62, 0.5, 0.2], config) == pytest.approx([0.5, 0.35, 0.35, 0.8])
    assert exposures([0.9], config) == [0.35]
    assert exposures([], config) == []


@given(st.lists(st.floats(0.0, 1.0), max_size=60), st.floats(0.05, 0.45), st.floats(0.5, 0.95), st.floats(0.0, 0.5))
def test_the_gate_lies_between_floor_and_one_and_moves_for_a_reason(
    path: list[float], leave: float, enter: float, band: float
) -> None:
    config = AllocationConfig(crisis_leave=leave, crisis_enter=enter, exposure_band=band, exposure_floor=0.1)
    held = exposures(path, config)
    assert len(held) == len(path)
    assert all(0.1 <= share <= 1.0 for share in held)
    assert all(share == 0.1 for share, p in zip(held, path, strict=True) if p > enter)
    for k in range(1, len(path)):
        if held[k] != held[k - 1]:
            assert abs(held[k] - held[k - 1]) > band or path[k] > enter or path[k] < leave


def test_the_gate_follows_the_traded_method_and_begins_anew_with_each_fold(
    prices: pl.DataFrame, forecasts: pl.DataFrame, regimes: pl.DataFrame
) -> None:
    config = loose(regime_method="jump", strategies=("regime_gated",), crisis_enter=0.4)
    table = target_weights(prices, forecasts, config, FIRST, LAST, regimes)
    wanted = {}
    for fold in ("2021-01", "2021-04"):
        rows = regimes.filter(pl.col("fold") == fold, pl.col("method") == "jump").sort("date")
        wanted |= dict(zip(rows["date"], exposures(rows["prob_crisis"], config), strict=True))
    days = table["date"].unique().sort().to_list()
    assert len(days) > 15
    for day in days:
        share = wanted[day]
        assert weights_of(table, "regime_gated", day) == pytest.approx({"^NSEI": share} if share else {})
        cash = table.filter(pl.col("ticker") == CASH, pl.col("date") == day)["weight"]
        assert cash.to_list() == pytest.approx([1.0 - share])
    assert 0.0 in wanted.values()
    assert table["weight"].null_count() == 0  # an exposure of 0 keeps no stocks either


def test_the_switch_holds_the_book_that_was_chosen_for_the_regime(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig, regimes: pl.DataFrame,
    regime_books: pl.DataFrame,
) -> None:  # fmt: skip
    inputs = decision_inputs(prices, forecasts, short, FIRST, LAST, regimes, regime_books)
    own = decide("regime_switched", inputs)
    label = dict(regimes.filter(pl.col("method") == "hmm").select("date", "regime").iter_rows())
    chosen = dict(regime_books.filter("is_chosen").select("regime", "strategy").iter_rows())
    books = {name: decide(name, inputs) for name in {*chosen.values(), "equal_weight"} - {CASH}}
    seen = set()
    for day in inputs.decision_dates:
        book = chosen.get(label[day], "equal_weight")  # none was chosen for Transition
        seen.add(book)
        held = own.filter(pl.col("date") == day).drop("strategy")
        if book == CASH:
            assert held.filter(pl.col("weight") > 0.0).select("ticker", "weight").rows() == [(CASH, 1.0)]
        else:
            assert_frame_equal(held, books[book].filter(pl.col("date") == day).drop("strategy"), check_exact=True)
    assert {CASH, "equal_weight"} < seen
    assert len(seen) >= 4


def test_each_fold_switches_by_its_own_choice(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig, regimes: pl.DataFrame,
    regime_books: pl.DataFrame,
) -> None:  # fmt: skip
    is_april = pl.col("fold") == "2021-04"
    books = regime_books.with_columns(
        is_chosen=pl.when(is_april).then(pl.col("strategy") == "equal_weight").otherwise("is_chosen")
    )
    inputs = decision_inputs(prices, forecasts, short, date(2021, 4, 1), LAST, regimes, books)
    columns = ["date", "ticker", "weight"]
    assert_frame_equal(decide("regime_switched", inputs)[columns], decide("equal_weight", inputs)[columns])


def test_a_book_of_several_models_cannot_be_switched_to(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig, regimes: pl.DataFrame,
    regime_books: pl.DataFrame,
) -> None:  # fmt: skip
    books = regime_books.with_columns(strategy=pl.lit("top_n"))
    with pytest.raises(DataError, match="top_n keeps a book a model"):
        decide("regime_switched", decision_inputs(prices, forecasts, short, FIRST, LAST, regimes, books))


def test_without_regimes_both_decide_nothing_and_the_others_go_on(
    prices: pl.DataFrame, forecasts: pl.DataFrame
) -> None:
    names = ("regime_gated", "regime_switched")
    inputs = decision_inputs(prices, forecasts, loose(), FIRST, LAST)
    for name in names:
        assert STRATEGIES[name](inputs).is_empty()
        assert STRATEGIES[name](inputs).columns == ["date", "ticker", "weight"]
    table = target_weights(prices, forecasts, loose(strategies=(*names, "equal_weight")), FIRST, LAST)
    assert table["strategy"].unique().to_list() == ["equal_weight"]
    assert FAILED not in table["ticker"]


def test_a_decision_knows_the_newest_session_for_a_month_and_no_longer(regimes: pl.DataFrame) -> None:
    rows = regimes.filter(pl.col("method") == "hmm", pl.col("date") <= date(2021, 1, 15)).sort("date")
    days = pl.Series("date", [date(2021, 1, 14), date(2021, 1, 16), date(2021, 2, 15), date(2021, 2, 16)])
    known = known_on(days, rows)
    assert known["date"].to_list() == days[:3].to_list()
    assert known["regime"][1] == known["regime"][2] == rows["regime"][-1]


def test_decisions_get_the_traded_method_from_the_fold_of_the_first_of_them(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig, regimes: pl.DataFrame
) -> None:
    inputs = decision_inputs(prices, forecasts, short, date(2021, 2, 8), date(2021, 3, 17), regimes)
    assert inputs.regimes["method"].unique().to_list() == ["hmm"]
    assert inputs.regimes["date"].min() == date(2021, 1, 1)  # of the fold that begins in January
    assert inputs.regimes["date"].max() == inputs.decision_dates[-1]


def test_what_was_fitted_on_its_own_sessions_is_refused(
    prices: pl.DataFrame, forecasts: pl.DataFrame, regimes: pl.DataFrame, regime_books: pl.DataFrame
) -> None:
    leaky = regimes.with_columns(fit_end=pl.lit(date(2021, 1, 4)))
    with pytest.raises(LookaheadError, match=r"method hmm has a row on 2020-10-01, but was fitted up to 2021-01-04"):
        target_weights(prices, forecasts, loose(), FIRST, LAST, leaky, regime_books)
    late = regime_books.with_columns(fit_end=pl.lit(date(2021, 1, 4)))
    with pytest.raises(LookaheadError, match=r"fold 2020-10 chose its books on sessions up to 2021-01-04"):
        target_weights(prices, forecasts, loose(), FIRST, LAST, regimes, late)


@pytest.mark.parametrize(
    "bad",
    [{"regime_method": ""}, {"crisis_enter": 0.2}, {"crisis_leave": 0.0}, {"crisis_enter": 1.0},
     {"exposure_band": 1.0}, {"exposure_floor": -0.1}],
)  # fmt: skip
def test_settings_of_the_gate_that_cannot_hold_are_refused(bad: dict) -> None:
    with pytest.raises(DataError, match=next(iter(bad))):
        loose(**bad)
