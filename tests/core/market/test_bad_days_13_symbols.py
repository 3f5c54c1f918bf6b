"""Symbols that were used more than once, by whatever order the list has them in."""

from datetime import date

import polars as pl
import pytest

from quant_core.market.symbols import chain, final_names, symbols_of

SCHEMA = {"old_symbol": pl.String, "new_symbol": pl.String, "first_new": pl.Date}
#: OLD became NEW in 2005 and was given to a company that became OTHER in 2015; NEW became LAST in 2010.
HOPS = [("OLD", "NEW", date(2005, 1, 3)), ("NEW", "LAST", date(2010, 1, 4)), ("OLD", "OTHER", date(2015, 1, 5))]


def named(hops: list[tuple[str, str, date]], *rows: tuple[date, str]) -> list[str]:
    table = pl.DataFrame(rows, schema={"date": pl.Date, "symbol": pl.String}, orient="row")
    changes = pl.DataFrame(hops, schema=SCHEMA, orient="row")
    return chain(table, final_names(changes)).to_list()


@pytest.mark.parametrize("hops", [HOPS, HOPS[::-1], [HOPS[2], HOPS[0], HOPS[1]]])
def test_a_symbol_that_was_used_twice_belongs_to_the_company_of_the_day(hops: list) -> None:
    rows = [
        (date(2016, 1, 4), "OLD"), (date(2015, 1, 4), "OLD"), (date(2005, 1, 3), "OLD"), (date(2005, 1, 2), "OLD"),
        (date(2000, 1, 3), "OLD"), (date(2010, 1, 3), "NEW"), (date(2010, 1, 4), "NEW"),
    ]  # fmt: skip
    assert named(hops, *rows) == ["OLD", "OTHER", "OTHER", "LAST", "LAST", "LAST", "NEW"]


def test_two_renames_on_one_day_are_no_chain() -> None:
    """B was free from the day on which A took it, so its own rename of that day is another company's."""
    swapped = [("A", "B", date(2010, 1, 4)), ("B", "C", date(2010, 1, 4))]
    assert named(swapped, (date(2010, 1, 1), "A"), (date(2010, 1, 1), "B")) == ["B", "C"]


def test_final_names_say_the_last_day_before_the_rename() -> None:
    finals = final_names(pl.DataFrame(HOPS, schema=SCHEMA, orient="row"))
    assert sorted(finals.select("symbol", "until", "ticker").rows()) == [
        ("NEW", date(2010, 1, 3), "LAST"),
        ("OLD", date(2005, 1, 2), "LAST"),
        ("OLD", date(2015, 1, 4), "OTHER"),
    ]
    assert symbols_of(["LAST"], finals) == ["LAST", "NEW", "OLD"]
    assert symbols_of(["OTHER"], finals) == ["OLD", "OTHER"]
