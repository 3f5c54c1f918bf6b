"""Actions on a table of many names: what one name's rows say about another is nothing."""

from datetime import date

import polars as pl
import pytest

from quant_core.market.actions import apply_actions, no_actions, parse_actions

FIRST, SECOND, THIRD = date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 3)


def rows(*given: tuple[date, str, float, float | None, float | None, str]) -> pl.DataFrame:
    """Rows (date, ticker, open, close, previous close, basis)."""
    names = ("date", "ticker", "open_inr", "close_inr", "prev_close_inr", "basis")
    types = {"date": pl.Date, "ticker": pl.String, **dict.fromkeys(names[2:5], pl.Float64), "basis": pl.String}
    return pl.DataFrame(given, schema=types, orient="row").with_columns(source=pl.lit("nse"))


def actions(*given: tuple[str, str, str, str]) -> pl.DataFrame:
    columns = ("ticker", "ex_date", "kind", "value")
    return parse_actions(pl.DataFrame([dict(zip(columns, row, strict=True)) for row in given]), "test actions")


def factors(table: pl.DataFrame, listed: pl.DataFrame) -> dict[tuple[str, date], float]:
    done = apply_actions(table, listed)
    return {(ticker, day): factor for ticker, day, factor in done.select("ticker", "date", "price_factor").iter_rows()}


def test_a_name_whose_first_close_is_missing_does_not_borrow_its_neighbours_price() -> None:
    """B's demerger has no price before it: factor 1, not B's open over A's last close."""
    table = rows(
        (FIRST, "A", 400.0, 400.0, None, "unadjusted"),
        (SECOND, "A", 400.0, 400.0, None, "unadjusted"),
        (FIRST, "B", 100.0, None, None, "unadjusted"),
        (SECOND, "B", 50.0, 51.0, None, "unadjusted"),
    )
    found = factors(table, actions(("B", "2020-01-02", "demerger", "")))
    assert found["B", SECOND] == 1.0


def test_a_missing_close_is_bridged_by_the_names_own_close_before_it() -> None:
    table = rows(
        (FIRST, "A", 400.0, 400.0, None, "unadjusted"),
        (FIRST, "B", 100.0, 100.0, None, "unadjusted"),
        (SECOND, "B", 100.0, None, None, "unadjusted"),
        (THIRD, "B", 25.0, 26.0, None, "unadjusted"),
    )
    assert factors(table, actions(("B", "2020-01-03", "demerger", "")))["B", THIRD] == 0.25


def test_bases_of_two_neighbouring_names_do_not_meet() -> None:
    """A ends on adjusted prices, B begins on unadjusted ones: no seam, factor 1."""
    table = rows(
        (FIRST, "A", 20.0, 20.0, None, "split_adjusted"),
        (FIRST, "B", 100.0, 101.0, 99.0, "unadjusted"),
        (SECOND, "B", 101.0, 102.0, 101.0, "unadjusted"),
    )
    assert factors(table, no_actions()) == {("A", FIRST): 1.0, ("B", FIRST): 1.0, ("B", SECOND): 1.0}


def test_an_event_reaches_only_its_own_name() -> None:
    table = rows(*((day, name, 100.0, 100.0, None, "unadjusted") for name in "AB" for day in (FIRST, SECOND, THIRD)))
    done = apply_actions(table, actions(("A", "2020-01-02", "split", "2"), ("B", "2020-01-03", "dividend", "3")))
    kept = done.filter((pl.col("price_factor") != 1.0) | (pl.col("dividend_inr") != 0.0))
    assert kept.select("ticker", "date", "price_factor", "dividend_inr").rows() == [
        ("A", SECOND, 0.5, 0.0),
        ("B", THIRD, 1.0, pytest.approx(3.0)),
    ]


def test_a_seam_may_lead_down_and_a_level_that_is_none_leads_nowhere() -> None:
    """Adjusted 100 is unadjusted 30 where shares were consolidated; a previous close of 0 joins at the open."""
    adjusted = (FIRST, "A", 100.0, 100.0, None, "split_adjusted")
    down = rows(adjusted, (SECOND, "A", 31.0, 32.0, 30.0, "unadjusted"))
    assert factors(down, no_actions())["A", SECOND] == 0.3
    zero = rows(adjusted, (SECOND, "A", 0.0, 32.0, 0.0, "unadjusted"))
    assert factors(zero, no_actions())["A", SECOND] == 1.0
    both = rows(adjusted, (SECOND, "A", 99.0, 98.0, None, "split_adjusted"))
    assert factors(both, no_actions())["A", SECOND] == 1.0


@pytest.mark.parametrize(("stated", "factor"), [(50.1, 0.501), (49.9, 1.0), (199.9, 1.999), (200.1, 1.0)])
def test_a_stated_close_within_a_factor_of_two_of_the_open_is_the_level(stated: float, factor: float) -> None:
    table = rows((FIRST, "A", 100.0, 100.0, None, "split_adjusted"), (SECOND, "A", 100.0, 102.0, stated, "unadjusted"))
    assert factors(table, no_actions())["A", SECOND] == pytest.approx(factor)


def test_a_demerger_on_a_day_without_an_open_changes_nothing() -> None:
    for missing in (0.0, None):
        table = rows((FIRST, "A", 100.0, 100.0, None, "unadjusted"), (SECOND, "A", missing, 51.0, 100.0, "unadjusted"))
        assert factors(table, actions(("A", "2020-01-02", "demerger", "")))["A", SECOND] == 1.0


def test_a_demerger_takes_the_exchanges_close_first_and_covers_the_split_of_its_day() -> None:
    """The open of 40 over the exchange's 80 says all that happened that night, a split of the same day included."""
    table = rows((FIRST, "A", 100.0, 100.0, None, "unadjusted"), (SECOND, "A", 40.0, 41.0, 80.0, "unadjusted"))
    demerger = ("A", "2020-01-02", "demerger", "")
    assert factors(table, actions(demerger))["A", SECOND] == 0.5
    assert factors(table, actions(demerger, ("A", "2020-01-02", "split", "2")))["A", SECOND] == 0.5
