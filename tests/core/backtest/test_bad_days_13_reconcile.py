"""The audit over several books: each by itself, off by more or by less, from half a paisa on."""

from datetime import date

import polars as pl
import pytest

from quant_core.backtest.reconcile import unreconciled

D1, D2 = date(2024, 1, 1), date(2024, 1, 2)


def books(*names: str, opening_inr: float = 1000.0) -> dict[str, pl.DataFrame]:
    """Of each strategy: the opening cash, then 5 of interest, 600 bought for 3 in charges, 50 sold for 1, 2 paid."""
    daily = pl.DataFrame({
        "date": [D1, D2], "equity_inr": [opening_inr, opening_inr + 14.0], "interest_inr": [0.0, 5.0],
        "cash_inr": [opening_inr, opening_inr - 547.0], "cost_inr": [0.0, 4.0],
    })  # fmt: skip
    positions = pl.DataFrame({"date": [D2, D2], "ticker": ["A", "B"], "value_inr": [561.0, 0.0]})
    trades = pl.DataFrame({
        "date": [D2] * 3, "side": ["buy", "sell", "dividend"], "value_inr": [600.0, 50.0, 2.0],
        "cost_inr": [3.0, 1.0, 0.0],
    })  # fmt: skip
    costs = pl.DataFrame({"date": [D2, D2], "kind": ["stt", "gst"], "cost_inr": [3.0, 1.0]})
    tables = {"daily": daily, "positions": positions, "trades": trades, "costs": costs}
    return {
        name: pl.concat([table.with_columns(strategy=pl.lit(own)) for own in names]) for name, table in tables.items()
    }


def off_by(inr: float, table: str, column: str, opening_inr: float = 1000.0) -> pl.DataFrame:
    """The audit of two books, the second of which is off in its last row of `table`."""
    tables = books("a", "b", opening_inr=opening_inr)
    last = pl.int_range(pl.len()) == pl.len() - 1
    moved = pl.when(last).then(pl.col(column) + inr).otherwise(column)
    tables[table] = tables[table].with_columns(moved.alias(column))
    return unreconciled(**tables)


def test_the_last_cash_of_one_book_is_not_the_first_of_the_next() -> None:
    assert unreconciled(**books("a", "b")).is_empty()
    rich, poor = books("a", opening_inr=5000.0), books("b")
    assert unreconciled(**{name: pl.concat([rich[name], poor[name]]) for name in rich}).is_empty()


PLACES = [
    ("daily", "equity_inr", "equity_off_inr"),
    ("daily", "interest_inr", "cash_off_inr"),
    ("positions", "value_inr", "equity_off_inr"),
    ("trades", "value_inr", "cash_off_inr"),
    ("trades", "cost_inr", "trade_cost_off_inr"),
    ("costs", "cost_inr", "cost_off_inr"),
]


@pytest.mark.parametrize(("table", "column", "found"), PLACES)
@pytest.mark.parametrize("inr", [0.01, -0.01])
def test_a_paisa_too_much_or_too_little_is_found_in_its_own_book(
    table: str, column: str, found: str, inr: float
) -> None:
    off = off_by(inr, table, column)
    assert off.select("date", "strategy").rows() == [(D2, "b")]
    assert abs(off[found][0]) == pytest.approx(0.01)


@pytest.mark.parametrize(("inr", "n_rows"), [(0.0051, 1), (0.0049, 0), (-0.0051, 1), (-0.0049, 0)])
def test_less_than_half_a_paisa_is_rounding(inr: float, n_rows: int) -> None:
    assert off_by(inr, "positions", "value_inr").height == n_rows


def test_the_rounding_of_a_great_fortune_grows_with_it() -> None:
    """Half a paisa of 10,000 crore (1e11) is 5e-14 of it: of 2e15 rupees that is 100."""
    assert off_by(90.0, "daily", "equity_inr", opening_inr=2e15).is_empty()
    assert off_by(110.0, "daily", "equity_inr", opening_inr=2e15).height == 1


def test_a_book_without_a_trade_is_checked_too() -> None:
    tables = books("a", "idle")
    for name in ("positions", "trades", "costs"):
        tables[name] = tables[name].filter(pl.col("strategy") == "a")
    assert unreconciled(**tables).select("date", "strategy").rows() == [(D2, "idle")]
