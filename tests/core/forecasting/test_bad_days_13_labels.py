"""Labels over several days and names: each day is ranked by itself, each name ends by itself."""

from collections.abc import Callable
from datetime import date

import polars as pl
import pytest

from quant_core.errors import DataError
from quant_core.folds import fold
from quant_core.forecasting.labels import LabelConfig, cross_section, training_labels
from quant_core.measures.forward_returns import forward_returns

Panel = Callable[..., pl.DataFrame]

BARS = [(100.0, 101.0), (102.0, 104.0), (103.0, 105.0), (106.0, 103.0), (104.0, 108.0), (110.0, 111.0), (112.0, 109.0)]
MONDAY, TUESDAY = date(2021, 3, 1), date(2021, 3, 2)


def two_days() -> pl.DataFrame:
    """Monday 1, 2, 3 %, Tuesday 20, 10 %: over both days together Tuesday's names would stand above all of Monday's."""
    keys = {"date": [MONDAY] * 3 + [TUESDAY] * 2, "ticker": ["A", "B", "C", "A", "B"]}
    return pl.DataFrame(
        keys | {"label_end_date": [date(2021, 3, 9)] * 5, "forward_return": [0.01, 0.02, 0.03, 0.20, 0.10]}
    )


def test_the_rank_of_a_day_knows_no_other_day() -> None:
    made = cross_section(two_days())
    assert made["rank_label"].to_list() == pytest.approx([-1 / 3, 0.0, 1 / 3, 0.25, -0.25])


def test_the_zscore_of_a_day_knows_no_other_day() -> None:
    made = cross_section(two_days())
    wide = 1.5**0.5  # one step over the population deviation of three equal steps, sqrt(2 / 3) steps
    assert made["zscore_label"].to_list() == pytest.approx([-wide, 0.0, wide, 1.0, -1.0])


def test_a_day_of_equal_returns_among_others_is_flat_and_not_the_window() -> None:
    flat = two_days().with_columns(
        forward_return=pl.when(pl.col("date") == TUESDAY).then(0.2).otherwise("forward_return")
    )
    made = cross_section(flat)
    assert made.filter(pl.col("date") == TUESDAY)["zscore_label"].to_list() == [0.0, 0.0]
    assert made.filter(pl.col("date") == MONDAY)["zscore_label"].to_list() == pytest.approx(
        [-(1.5**0.5), 0.0, 1.5**0.5]
    )


@pytest.mark.parametrize("fill", ["open", "close"])
def test_the_last_rows_of_a_name_do_not_leave_at_the_next_names_prices(clean_prices: Panel, fill: str) -> None:
    """From its second session on every row has a return, so only the name's own end can make a label null."""
    prices = clean_prices({"GONE": BARS[:5], "TCS": BARS})
    known = prices.filter(pl.col("date") > MONDAY)
    made = forward_returns(known, 1, fill).filter(pl.col("ticker") == "GONE")  # type: ignore[arg-type]
    assert made["forward_return_1d"].is_null().to_list() == [False, False, True, True]


@pytest.mark.parametrize("fill", ["open", "close"])
def test_a_session_without_a_row_is_no_entry(clean_prices: Panel, fill: str) -> None:
    prices = clean_prices({"TCS": BARS}).filter(pl.col("date") != TUESDAY)
    assert forward_returns(prices, 2, fill)["forward_return_2d"][0] is None  # type: ignore[arg-type]


def test_a_return_that_is_no_number_is_a_halt(clean_prices: Panel) -> None:
    halted = [*BARS[:2], None, *BARS[3:]]
    prices = clean_prices({"TCS": halted})
    returns = ("overnight_return_1d", "intraday_return_1d", "total_return_1d")
    broken = prices.with_columns(pl.col(name).fill_null(float("nan")) for name in returns)
    for fill in ("open", "close"):
        assert forward_returns(broken, 3, fill).equals(forward_returns(prices, 3, fill))  # type: ignore[arg-type]
    broken = broken.with_columns(is_tradable=True)
    for horizon in (1, 2):
        made = forward_returns(broken, horizon)[f"forward_return_{horizon}d"]
        assert not made.is_nan().any()


def test_the_label_is_of_five_sessions_unless_said_and_rows_come_sorted_whatever_the_order(clean_prices: Panel) -> None:
    prices = clean_prices({"INFY": BARS, "TCS": BARS[::-1]})
    made = forward_returns(prices)
    assert made.columns[-1] == "forward_return_5d"
    assert made.equals(made.sort("date", "ticker"))
    assert forward_returns(prices.reverse()).equals(made)


def test_a_window_of_shuffled_rows_comes_sorted(clean_prices: Panel) -> None:
    prices = clean_prices({"INFY": BARS * 3, "TCS": BARS[::-1] * 3}, start=date(2019, 11, 1))
    features = prices.select("date", "ticker", is_eligible=True, signal=pl.col("close_inr"))
    window = training_labels(features, prices, fold("2020"), LabelConfig())
    assert window.equals(window.sort("horizon_sessions", "date", "ticker"))
    shuffled = training_labels(features.reverse(), prices.reverse(), fold("2020"), LabelConfig())
    assert shuffled.equals(window)


def test_prices_of_indices_alone_are_refused(clean_prices: Panel) -> None:
    index = clean_prices({"NIFTY": BARS}).with_columns(instrument=pl.lit("index"))
    with pytest.raises(DataError, match="hold no equity row"):
        forward_returns(index)
