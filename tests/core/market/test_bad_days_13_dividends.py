"""Dividends and factors at the edges of their windows: the same week, the day of the split, the vendor's rounding."""

from datetime import date, timedelta

import polars as pl
import pytest

from quant_core.market.actions import LOOKBACK_DAYS, apply_actions, dividends, no_actions, parse_actions, price_factors
from quant_core.market.dividends import LATER_SPLITS, MISSED_SPLITS, VENDOR_AS_OF, factor_between, known_factors

D = date


def actions(*rows: tuple) -> pl.DataFrame:
    """Rows (ticker, ex_date, kind, value[, source[, as_of]])."""
    columns = ("ticker", "ex_date", "kind", "value", "source", "as_of")
    return parse_actions(
        pl.DataFrame([dict(zip(columns, map(str, row), strict=False)) for row in rows]), "test actions"
    )


def paid(*rows: tuple) -> list[tuple]:
    return dividends(actions(*rows)).select("ticker", "ex_date", "dividend_inr").rows()


@pytest.mark.parametrize(("day", "kept"), [("2020-01-11", 1), ("2020-01-12", 2)], ids=["5_days", "6_days"])
def test_the_same_amount_counts_once_within_five_days(day: str, kept: int) -> None:
    assert len(paid(("A", "2020-01-06", "dividend", 8.0), ("A", day, "dividend", 8.0))) == kept


@pytest.mark.parametrize(("amount", "kept"), [(8.007, 1), (7.993, 1), (8.01, 2), (7.99, 2)])
def test_another_amount_in_the_same_week_is_another_dividend(amount: float, kept: int) -> None:
    assert len(paid(("A", "2020-01-06", "dividend", 8.0), ("A", "2020-01-07", "dividend", amount))) == kept


def test_the_same_amount_of_two_names_is_two_dividends_and_the_first_amount_counts() -> None:
    rows = [
        ("A", "2020-01-07", "dividend", 8.0),
        ("B", "2020-01-06", "dividend", 8.0),
        ("B", "2020-01-08", "dividend", 8.004),
    ]
    assert paid(*rows) == [("A", D(2020, 1, 7), 8.0), ("B", D(2020, 1, 8), 8.0)]


@pytest.mark.parametrize(("day", "kept"), [("2020-01-13", [4.0]), ("2020-01-14", [3.0, 4.0])], ids=["7_days", "8_days"])
def test_a_known_dividend_stands_for_those_of_seven_days_on_either_side(day: str, kept: list[float]) -> None:
    later = ("A", day, "dividend", 3.0), ("A", "2020-01-06", "dividend_known", 4.0)
    assert sorted(row[2] for row in paid(*later)) == kept
    earlier = ("A", "2020-01-06", "dividend", 3.0), ("A", day, "dividend_known", 4.0)
    assert sorted(row[2] for row in paid(*earlier)) == kept
    other = ("B", "2020-01-06", "dividend", 3.0), ("A", "2020-01-06", "dividend_known", 4.0)
    assert sorted(row[2] for row in paid(*other)) == [3.0, 4.0]


@pytest.mark.parametrize(("day", "n"), [("2020-01-13", 1), ("2020-01-14", 2)], ids=["7_days", "8_days"])
def test_a_vendors_split_gives_way_to_a_confirmed_one_within_seven_days_on_either_side(day: str, n: int) -> None:
    for vendor, confirmed in (("2020-01-06", day), (day, "2020-01-06")):
        found = price_factors(actions(("A", vendor, "split", 2.0), ("A", confirmed, "split_or_bonus_confirmed", 0.2)))
        assert found.height == n
        assert 0.2 in found["price_factor"].to_list()
    other = price_factors(actions(("B", "2020-01-06", "split", 2.0), ("A", day, "split_or_bonus_confirmed", 0.2)))
    assert other.rows() == [("A", D.fromisoformat(day), 0.2), ("B", D(2020, 1, 6), 0.5)]


def test_another_ratio_of_the_same_week_is_another_split_and_so_is_another_names() -> None:
    listed = [("A", "2020-01-06", "split", 2.0), ("A", "2020-01-08", "split", 5.0), ("B", "2020-01-09", "split", 5.0)]
    assert price_factors(actions(*listed))["price_factor"].to_list() == [0.5, 0.2, 0.2]


def test_factors_between_two_days_leave_out_the_first_and_take_in_the_last() -> None:
    steps = known_factors(
        actions(
            ("A", "2020-01-06", "split", 2.0), ("A", "2021-01-06", "split", 5.0), ("B", "2020-06-01", "split", 4.0)
        ),
        (),
    )
    spans = pl.DataFrame(
        [
            ("A", D(2020, 1, 6), D(2021, 1, 6)),
            ("A", D(2020, 1, 5), D(2021, 1, 5)),
            ("A", D(2020, 1, 5), D(2020, 1, 6)),
            *((name, D(2019, 1, 1), D(2022, 1, 1)) for name in "ABC"),
            ("A", None, D(2022, 1, 1)),
            ("A", D(2019, 1, 1), None),
        ],
        schema={"ticker": pl.String, "after": pl.Date, "upto": pl.Date},
        orient="row",
    )  # fmt: skip
    found = factor_between(spans, steps, "after", "upto")
    assert found.to_list() == pytest.approx([0.2, 0.5, 0.5, 0.1, 0.25, 1.0, 1.0, 1.0])


def adjusted(*rows: tuple[str, float, float]) -> pl.DataFrame:
    """Rows (ticker, close, adjusted close) of consecutive days, split-adjusted."""
    schema = {"ticker": pl.String, "close_inr": pl.Float64, "adj_close_inr": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        date=pl.date(2012, 1, 2) + pl.duration(days=pl.int_range(pl.len())),
        open_inr=pl.col("close_inr"),
        prev_close_inr=pl.lit(None, pl.Float64),
        basis=pl.lit("split_adjusted"),
        source=pl.lit("mine"),
    )


@pytest.mark.parametrize(("share", "is_paid"), [(0.24, True), (0.26, False), (2e-4, True), (0.5e-4, False)])
def test_an_implied_dividend_is_more_than_rounding_and_at_most_a_quarter(share: float, is_paid: bool) -> None:
    """A previous close of 10 000, so that four decimals are no noise."""
    rows = adjusted(("A", 10_000.0, 10_000.0 * (1 - share)), ("A", 10_000.0, 10_000.0))
    expected = 10_000.0 * share if is_paid else 0.0
    assert apply_actions(rows, no_actions())["dividend_inr"].to_list() == pytest.approx([0.0, expected])


def test_an_implied_dividend_is_of_the_names_own_step_and_not_where_the_list_knows_its_dividends() -> None:
    rows = adjusted(("A", 100.0, 90.0), ("A", 100.0, 90.0), ("B", 100.0, 100.0), ("B", 100.0, 100.0))
    assert apply_actions(rows, no_actions())["dividend_inr"].to_list() == [0.0] * 4
    stepped = adjusted(("A", 100.0, 95.0), ("A", 100.0, 100.0), ("B", 100.0, 95.0), ("B", 100.0, 100.0))
    known = actions(("A", "2010-06-01", "dividend", 1.0, "mine"))
    assert apply_actions(stepped, known)["dividend_inr"].to_list() == pytest.approx([0.0, 0.0, 0.0, 5.0])


def halved(first: date) -> pl.DataFrame:
    """A at 100 on `first` and at 50 on 3 February."""
    return pl.DataFrame(
        {"date": [first, D(2020, 2, 3)], "ticker": "A", "open_inr": [100.0, 50.0], "close_inr": [100.0, 50.0]}
    ).with_columns(prev_close_inr=pl.lit(None, pl.Float64), basis=pl.lit("unadjusted"), source=pl.lit("nse"))


REACH = timedelta(days=LOOKBACK_DAYS)
EDGES = pytest.mark.parametrize(("beyond", "factor"), [(0, 0.5), (1, 1.0)], ids=["at_the_limit", "a_day_beyond"])


@EDGES
def test_an_event_waits_for_a_row_up_to_the_limit(beyond: int, factor: float) -> None:
    day = D(2020, 2, 3) - REACH - timedelta(days=beyond)
    found = apply_actions(halved(day - timedelta(days=1)), actions(("A", str(day), "split", 2.0)))
    assert found["price_factor"].to_list() == [1.0, factor]


@EDGES
def test_an_event_between_rows_needs_one_before_it_up_to_the_limit(beyond: int, factor: float) -> None:
    first = D(2020, 2, 2) - REACH - timedelta(days=beyond)
    found = apply_actions(halved(first), actions(("A", "2020-02-02", "split", 2.0)))
    assert found["price_factor"].to_list() == [1.0, factor]
    on_the_row = apply_actions(halved(first), actions(("A", "2020-02-03", "split", 2.0)))
    assert on_the_row["price_factor"].to_list() == [1.0, 0.5]


def test_what_the_vendors_knew_and_did_not_is_as_the_circulars_and_downloads_say() -> None:
    """Transcribed apart from the code: ex-dates and ratios of NSE's circulars, days of the downloads."""
    assert {name: str(day) for name, day in VENDOR_AS_OF.items()} == {
        "yahoo_2020": "2020-03-03", "yahoo_2021_actions": "2021-10-11", "yahoo_2024": "2024-09-06"
    }  # fmt: skip
    later = "NESTLEIND 2024-01-05 1:10, BPCL 2024-06-21 1:2"
    missed = (
        "ABB 2007-06-28 1:5, BANKBARODA 2015-01-22 1:5, BHEL 2011-10-03 1:5, BHEL 2017-09-28 2:3, GLAXO 2018-09-11 1:2"
    )
    for facts, printed in ((LATER_SPLITS, later), (MISSED_SPLITS, missed)):
        rows = [row.split(" ") for row in printed.split(", ")]
        ratios = [[int(part) for part in row[2].split(":")] for row in rows]
        expected = [(row[0], row[1], before / after) for row, (before, after) in zip(rows, ratios, strict=True)]
        assert [(name, str(day), factor) for name, day, factor in facts] == expected


@pytest.mark.parametrize(("split", "share"), [("2024-09-06", 0.5), ("2024-09-07", 1.0)], ids=["on_the_day", "after"])
def test_a_vendors_amounts_are_divided_by_the_splits_up_to_and_on_its_download(split: str, share: float) -> None:
    [(_, _, rupees)] = paid(("A", "2024-01-02", "dividend", 3.0, "yahoo_2024"), ("A", split, "split", 2.0))[:1]
    assert rupees == pytest.approx(3.0 / share)


def test_an_implied_dividend_is_believed_where_no_price_is_known_before_it() -> None:
    table = halved(D(2020, 2, 2)).tail(1)
    found = apply_actions(table, actions(("A", "2020-02-03", "dividend_implied", 40.0, "mine")))
    assert found["dividend_inr"].to_list() == [40.0]


@pytest.mark.parametrize(("amount", "paid_inr"), [(25.0, 25.0), (25.1, 0.0)])
def test_an_implied_dividend_is_at_most_a_quarter_of_the_close_before_it(amount: float, paid_inr: float) -> None:
    listed = actions(("A", "2020-02-03", "dividend_implied", amount, "mine"))
    assert apply_actions(halved(D(2020, 1, 31)), listed)["dividend_inr"].to_list() == [0.0, paid_inr]
    stated = halved(D(2020, 1, 31)).with_columns(prev_close_inr=pl.lit(200.0))
    assert apply_actions(stated, listed)["dividend_inr"].to_list() == [0.0, amount]
