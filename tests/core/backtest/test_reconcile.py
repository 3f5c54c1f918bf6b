"""The audit of a backtest's tables: silent on sound books, and it finds a paisa wherever it is lost."""

from datetime import date

import polars as pl
import pytest

from quant_core.backtest.reconcile import unreconciled

D1, D2 = date(2024, 1, 1), date(2024, 1, 2)
KEYS = {"strategy": "s"}


def books() -> dict[str, pl.DataFrame]:
    """1,000 in cash; then 5 of interest, a purchase of 600 for 3 in charges, and a dividend of 2."""
    daily = pl.DataFrame({
        "date": [D1, D2], "equity_inr": [1000.0, 1014.0], "cash_inr": [1000.0, 404.0], "interest_inr": [0.0, 5.0],
        "cost_inr": [0.0, 3.0],
    })  # fmt: skip
    positions = pl.DataFrame({"date": [D2], "ticker": ["A"], "value_inr": [610.0]})
    trades = pl.DataFrame({
        "date": [D2, D2], "side": ["buy", "dividend"], "value_inr": [600.0, 2.0], "cost_inr": [3.0, 0.0],
    })  # fmt: skip
    costs = pl.DataFrame({"date": [D2, D2], "kind": ["stt", "gst"], "cost_inr": [2.0, 1.0]})
    tables = {"daily": daily, "positions": positions, "trades": trades, "costs": costs}
    return {name: table.with_columns(strategy=pl.lit("s")) for name, table in tables.items()}


def test_books_that_add_up_have_no_row() -> None:
    assert unreconciled(**books()).is_empty()


@pytest.mark.parametrize(
    ("table", "column", "row", "found"),
    [
        ("daily", "equity_inr", 1, "equity_off_inr"),
        ("daily", "interest_inr", 1, "cash_off_inr"),
        ("positions", "value_inr", 0, "equity_off_inr"),
        ("trades", "value_inr", 0, "cash_off_inr"),
        ("trades", "cost_inr", 0, "trade_cost_off_inr"),
        ("costs", "cost_inr", 1, "cost_off_inr"),
    ],
)
def test_a_paisa_that_is_lost_is_found_where_it_was(table: str, column: str, row: int, found: str) -> None:
    tables = books()
    tables[table] = tables[table].with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(pl.col(column) + 0.01).otherwise(column).alias(column)
    )
    off = unreconciled(**tables)
    assert off["date"].to_list() == [D2]
    assert abs(off[found][0]) == pytest.approx(0.01)
