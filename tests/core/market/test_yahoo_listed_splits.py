"""A split that Yahoo lists before it has adjusted the prices for it: said by name, rows as they were traded."""

from datetime import date

import polars as pl
import pytest

from quant_core.market.sources.yahoo import _unapplied, as_traded, unapplied_splits

DAYS = [date(2024, 7, day) for day in (1, 2, 3, 4, 5)]


def rows(closes: list[float], ratio: float, opens: list[float | None] | None = None) -> pl.DataFrame:
    """Yahoo's rows with a split on the fourth day."""
    prices = pl.Series(closes)
    return pl.DataFrame({
        "date": DAYS, "open_inr": prices if opens is None else opens, "high_inr": prices, "low_inr": prices,
        "close_inr": prices, "volume_shares": [100.0] * 5, "dividend_inr": [0.0] * 5,
        "split_ratio": [0.0, 0.0, 0.0, ratio, 0.0],
    })  # fmt: skip


@pytest.mark.parametrize("ratio", [1.5, 2.0, 5.0, 10.0, 0.1])
def test_an_adjusted_history_is_brought_back(ratio: float) -> None:
    found = as_traded(rows([100.0, 101.0, 99.0, 98.0, 97.0], ratio))
    assert found["close_inr"].to_list() == pytest.approx([100 * ratio, 101 * ratio, 99 * ratio, 98, 97])
    assert found["price_factor"].to_list() == pytest.approx([1, 1, 1, 1 / ratio, 1])
    assert _unapplied("A", rows([100.0, 101.0, 99.0, 98.0, 97.0], ratio)) == []


@pytest.mark.parametrize("ratio", [2.0, 5.0, 10.0, 0.1])
def test_a_history_that_is_not_adjusted_stays_and_is_said(ratio: float) -> None:
    traded = [1000.0, 1010.0, 990.0, 980.0 / ratio, 970.0 / ratio]
    found = as_traded(rows(traded, ratio))
    assert found["close_inr"].to_list() == pytest.approx(traded)
    assert found["price_factor"].to_list() == pytest.approx([1, 1, 1, 1 / ratio, 1])
    problem = _unapplied("A", rows(traded, ratio))[0]
    assert (problem.ticker, problem.kind) == ("A", "unapplied_split")
    assert f"a split of {ratio:g} on 2024-07-04" in problem.detail


def test_a_fall_of_a_third_on_an_adjusted_ex_date_is_no_split_of_five() -> None:
    assert unapplied_splits(rows([100.0, 100.0, 100.0, 66.0, 66.0], 5.0)).is_empty()


def test_a_small_split_and_an_open_that_lacks() -> None:
    assert unapplied_splits(rows([110.0, 110.0, 110.0, 100.0, 100.0], 1.1)).is_empty()  # a day's move may be as large
    lacking = rows([100.0, 100.0, 100.0, 50.0, 50.0], 2.0, [100.0, 100.0, 100.0, None, 50.0])
    assert unapplied_splits(lacking).to_list() == [DAYS[3]]
