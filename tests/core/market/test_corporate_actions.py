"""Factors and dividends from an action list, on numbers that fit on paper."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from quant_core.errors import DataError
from quant_core.market.action_list import CONFIRMED_KINDS, known_actions
from quant_core.market.actions import (
    apply_actions,
    dividends,
    no_actions,
    parse_actions,
    price_factors,
    read_actions,
    with_known_actions,
)

D = date


def actions(*rows: tuple) -> pl.DataFrame:
    """Rows (ticker, ex_date, kind, value[, source[, as_of]])."""
    columns = ("ticker", "ex_date", "kind", "value", "source", "as_of")
    return parse_actions(
        pl.DataFrame([dict(zip(columns, map(str, row), strict=False)) for row in rows]), "test actions"
    )


def bars(*rows: tuple, basis: str = "unadjusted", source: str = "nse") -> pl.DataFrame:
    """Rows (date, open, close, previous close) of ticker A."""
    return pl.DataFrame(
        [(day, "A", *prices, basis, source) for day, *prices in rows],
        schema={
            "date": pl.Date,
            "ticker": pl.String,
            "open_inr": pl.Float64,
            "close_inr": pl.Float64,
            "prev_close_inr": pl.Float64,
            "basis": pl.String,
            "source": pl.String,
        },
        orient="row",
    )


def test_a_split_ratio_becomes_its_reciprocal() -> None:
    assert price_factors(actions(("A", "2020-01-02", "split", 5.0))).rows() == [("A", D(2020, 1, 2), 0.2)]


def test_a_confirmed_factor_replaces_the_vendors_split_of_the_same_week() -> None:
    listed = actions(
        ("A", "2016-09-08", "split", 5.0),
        ("A", "2016-09-08", "split_or_bonus_confirmed", 0.1),
        ("B", "2001-10-10", "split", 2.0),
        ("B", "2001-10-15", "split_or_bonus_confirmed", 0.5),
    )
    assert price_factors(listed).rows() == [("A", D(2016, 9, 8), 0.1), ("B", D(2001, 10, 15), 0.5)]


def test_a_vendor_split_further_away_stays() -> None:
    listed = actions(("A", "2018-01-02", "split", 2.0), ("A", "2018-01-10", "split_or_bonus_confirmed", 0.5))
    assert price_factors(listed)["ex_date"].to_list() == [D(2018, 1, 2), D(2018, 1, 10)]


def test_a_vendor_split_that_is_listed_twice_in_a_week_counts_once() -> None:
    listed = actions(("A", "2018-06-08", "split", 5.0), ("A", "2018-06-15", "split", 5.0))
    assert price_factors(listed).rows() == [("A", D(2018, 6, 15), 0.2)]


def test_two_events_of_one_day_multiply() -> None:
    listed = actions(("A", "2020-01-02", "split_or_bonus_confirmed", 0.5), ("A", "2020-01-02", "demerger", 0.8))
    assert price_factors(listed)["price_factor"].to_list() == [pytest.approx(0.4)]


def test_the_factor_reaches_its_row_and_the_return_is_the_markets() -> None:
    rows = bars((D(2020, 1, 1), 1000.0, 1000.0, 990.0), (D(2020, 1, 2), 201.0, 210.0, 1000.0))
    done = apply_actions(rows, actions(("A", "2020-01-02", "split", 5.0)))
    assert done["price_factor"].to_list() == [1.0, 0.2]
    level = done["close_inr"][0] * done["price_factor"][1]
    assert done["close_inr"][1] / level - 1.0 == pytest.approx(0.05)


def test_an_event_on_a_day_without_a_row_goes_to_the_next_row() -> None:
    rows = bars((D(2020, 1, 1), 100.0, 100.0, 100.0), (D(2020, 1, 6), 50.0, 51.0, 100.0))
    done = apply_actions(rows, actions(("A", "2020-01-03", "split", 2.0), ("A", "2020-01-04", "dividend", 3.0)))
    assert done["price_factor"].to_list() == [1.0, 0.5]
    assert done["dividend_inr"].to_list() == [0.0, 3.0]


def test_an_event_before_the_first_row_of_a_ticker_is_nobodys() -> None:
    rows = bars((D(2020, 1, 6), 50.0, 51.0, None))
    done = apply_actions(rows, actions(("A", "2020-01-03", "split", 2.0)))
    assert done["price_factor"].to_list() == [1.0]


def test_a_demerger_without_a_value_is_priced_at_the_open() -> None:
    rows = bars((D(2020, 3, 3), 730.0, 724.0, 735.0), (D(2020, 3, 4), 362.0, 380.1, 724.0))
    done = apply_actions(rows, actions(("A", "2020-03-04", "demerger", "")))
    assert done["price_factor"].to_list() == [1.0, 0.5]


def test_a_demerger_uses_the_previous_row_where_the_exchange_field_is_missing() -> None:
    rows = bars((D(2020, 3, 3), 730.0, 724.0, None), (D(2020, 3, 4), 362.0, 380.1, None))
    assert apply_actions(rows, actions(("A", "2020-03-04", "demerger", "")))["price_factor"].to_list() == [1.0, 0.5]


def test_a_vendors_dividend_returns_to_rupees_of_its_ex_date() -> None:
    listed = actions(
        ("A", "2010-06-01", "dividend", 1.5, "yahoo_2021_actions"),  # before both splits: 1.5 x 2 x 5
        ("A", "2012-01-02", "split_or_bonus_confirmed", 0.5),
        ("A", "2012-01-02", "dividend", 4.0, "yahoo_2021_actions"),  # on an ex-date: a share after that split, 4 x 5
        ("A", "2015-01-02", "split_or_bonus_confirmed", 0.2),
        ("A", "2016-06-01", "dividend", 7.0, "yahoo_2021_actions"),  # after both
        ("A", "2023-01-02", "split_or_bonus_confirmed", 0.1),  # after the download: the vendor did not know it
        ("A", "2022-06-01", "dividend_implied", 0.6, "step in yahoo_2024"),  # downloaded after it: 0.6 x 10
    )
    assert dividends(listed).sort("ex_date")["dividend_inr"].to_list() == pytest.approx([15.0, 20.0, 7.0, 6.0])


def test_a_column_of_the_file_says_until_when_amounts_are_adjusted() -> None:
    listed = actions(
        ("A", "2010-06-01", "dividend", 1.5, "mine", "2013-01-01"),
        ("A", "2010-07-01", "dividend", 1.5, "mine"),
        ("A", "2012-01-02", "split", 2.0, "mine"),
        ("A", "2015-01-02", "split", 5.0, "mine"),
    )
    assert dividends(listed)["dividend_inr"].to_list() == pytest.approx([3.0, 1.5])


def test_a_split_adjusted_row_gets_the_dividend_on_its_own_basis_and_no_factor() -> None:
    rows = bars(
        (D(2012, 1, 2), 100.0, 100.0, None),
        (D(2012, 1, 3), 99.0, 99.0, None),
        basis="split_adjusted",
        source="yahoo_2020",
    )
    listed = actions(
        (
            "A",
            "2012-01-03",
            "dividend",
            0.5,
            "yahoo_2021_actions",
        ),  # paid 0.5 x 2 x 5 = 5; on the basis of 2020-03: 5 / 5 = 1
        ("A", "2015-01-02", "split", 5.0, "yahoo_2021_actions"),
        ("A", "2021-01-04", "split", 2.0, "yahoo_2021_actions"),
    )
    done = apply_actions(rows, listed)
    assert done["dividend_inr"].to_list() == pytest.approx([0.0, 1.0])
    assert done["price_factor"].to_list() == [1.0, 1.0]


def test_without_any_listed_dividend_the_adjusted_close_tells_it() -> None:
    """100 -> 98 with 2 paid: the vendor scales the earlier adjusted close by 1 - 2 / 100."""
    rows = bars(
        (D(2012, 1, 2), 100.0, 100.0, None),
        (D(2012, 1, 3), 98.0, 98.0, None),
        (D(2012, 1, 4), 98.0, 99.0, None),
        basis="split_adjusted",
    )
    done = apply_actions(rows.with_columns(adj_close_inr=pl.Series([98.0, 98.0, 99.0])), no_actions())
    assert done["dividend_inr"].to_list() == pytest.approx([0.0, 2.0, 0.0])


def test_rounding_and_nonsense_in_the_adjusted_close_are_no_dividends() -> None:
    rows = bars(
        (D(2012, 1, 2), 1.0, 0.5, None),
        (D(2012, 1, 3), 1.0, 0.5, None),
        (D(2012, 1, 4), 1.0, 0.5, None),
        (D(2012, 1, 5), 1.0, 0.5, None),
        basis="split_adjusted",
    )
    adjusted = pl.Series(
        [0.0101, 0.0102, -0.0102, 0.4]
    )  # one unit of the last place, a negative price, a jump by 39 times
    done = apply_actions(rows.with_columns(adj_close_inr=adjusted), no_actions())
    assert done["dividend_inr"].to_list() == [0.0, 0.0, 0.0, 0.0]


def test_an_implied_dividend_of_half_the_price_is_a_vendors_slip() -> None:
    rows = bars((D(2022, 6, 15), 95.0, 96.0, 95.0), (D(2022, 6, 16), 90.0, 90.0, 96.0))
    listed = actions(("A", "2022-06-16", "dividend_implied", 51.0, "yahoo_2024"))
    assert apply_actions(rows, listed)["dividend_inr"].to_list() == [0.0, 0.0]
    declared = actions(("A", "2022-06-16", "dividend", 51.0, "company"))
    assert apply_actions(rows, declared)["dividend_inr"].to_list() == [0.0, 51.0]


def test_where_bases_meet_the_return_is_the_exchanges() -> None:
    """20 adjusted is 100 unadjusted; the exchange says the previous close was 100, so 102 is +2 %."""
    vendor = bars((D(2019, 9, 30), 20.0, 20.0, None), basis="split_adjusted", source="yahoo_2020")
    exchange = bars((D(2019, 10, 1), 101.0, 102.0, 100.0), (D(2019, 10, 3), 102.0, 103.0, 102.0))
    done = apply_actions(pl.concat([vendor, exchange]), no_actions())
    assert done["price_factor"].to_list() == [1.0, 5.0, 1.0]
    level = done["close_inr"][0] * done["price_factor"][1]
    assert done["close_inr"][1] / level - 1.0 == pytest.approx(0.02)


def test_where_bases_meet_at_a_new_listing_the_open_joins_them() -> None:
    """The exchange's previous close is the face value of 10; a move from 10 to 260 never happened."""
    vendor = bars((D(2004, 8, 23), 50.0, 50.0, None), basis="split_adjusted", source="yahoo_2020")
    exchange = bars((D(2004, 8, 24), 300.0, 260.0, 10.0))
    assert apply_actions(pl.concat([vendor, exchange]), no_actions())["price_factor"].to_list() == [1.0, 6.0]


def test_rows_keep_their_order_and_duplicates() -> None:
    day, other = D(2011, 5, 6), D(2011, 5, 5)
    rows = bars((day, 50.0, 50.0, 100.0), (other, 100.0, 100.0, 99.0), (day, 50.0, 50.0, 100.0))
    done = apply_actions(rows, actions(("A", "2011-05-06", "split", 2.0)))
    assert done["date"].to_list() == [day, other, day]
    assert done["price_factor"].to_list() == [0.5, 1.0, 0.5]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("A,2020-01-02,spinoff,1,x", "line 3: kind is none of"),
        ("A,02/01/2020,split,2,x", "line 3: ex_date is no YYYY-MM-DD"),
        ("A,2020-01-02,split,,x", "line 3: value is no number above 0"),
        ("A,2020-01-02,dividend,-1,x", "line 3: value is no number above 0"),
        (",2020-01-02,split,2,x", "line 3: ticker is empty"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "corporate_actions.csv"
    path.write_text(f"ticker,ex_date,kind,value,source\nB,2020-01-02,split,2,x\n{row}\n")
    with pytest.raises(DataError, match=message):
        read_actions(path)


def test_a_file_without_its_columns_is_named(tmp_path: Path) -> None:
    path = tmp_path / "corporate_actions.csv"
    path.write_text("name,day\nA,2020-01-02\n")
    with pytest.raises(
        DataError, match=r"no column ticker or symbol and ex_date and kind and value \(found name, day\)"
    ):
        read_actions(path)


def test_a_split_that_the_vendor_applied_to_prices_only_is_applied_to_its_dividends() -> None:
    """BANKBARODA paid 21.5 before its 5-for-1 split of 2015; on the adjusted price of 130 that is 4.3."""
    rows = bars(
        (D(2013, 6, 12), 130.0, 130.0, None),
        (D(2013, 6, 13), 125.0, 125.0, None),
        basis="split_adjusted",
        source="yahoo_2020",
    )
    listed = actions(("BANKBARODA", "2013-06-13", "dividend", 21.5, "yahoo_2021_actions"))
    done = apply_actions(rows.with_columns(ticker=pl.lit("BANKBARODA")), listed)
    assert done["dividend_inr"].to_list() == pytest.approx([0.0, 4.3])


def test_a_dividend_listed_on_two_days_of_a_week_counts_once_on_the_later() -> None:
    listed = actions(
        ("A", "2019-10-22", "dividend", 8.0),
        ("A", "2019-10-23", "dividend", 8.0),
        ("A", "2019-10-29", "dividend", 8.0),
        ("B", "2019-10-23", "dividend", 8.0),
    )
    paid = dividends(listed).select("ticker", "ex_date", "dividend_inr")
    assert paid.rows() == [("A", D(2019, 10, 23), 8.0), ("A", D(2019, 10, 29), 8.0), ("B", D(2019, 10, 23), 8.0)]


def test_a_repeated_dividend_in_rupees_of_the_day_is_not_taken_ten_times() -> None:
    listed = actions(
        ("A", "2019-07-24", "dividend", 12.5, "v", "2021-01-01"),
        ("A", "2019-07-25", "dividend", 125.0, "v", "2021-01-01"),
        ("A", "2020-08-24", "split", 10.0),
    )
    assert dividends(listed).select("ex_date", "dividend_inr").rows() == [(D(2019, 7, 25), pytest.approx(125.0))]


def test_a_known_dividend_stands_instead_of_the_vendors_of_the_same_week() -> None:
    listed = actions(
        ("A", "2020-03-18", "dividend", 3.0),
        ("A", "2020-03-19", "dividend_known", 4.0),
        ("A", "2020-09-01", "dividend", 2.0),
    )
    assert dividends(listed).select("ex_date", "dividend_inr").rows() == [(D(2020, 3, 19), 4.0), (D(2020, 9, 1), 2.0)]


def test_a_rights_issue_is_a_factor_and_scales_older_dividends_back() -> None:
    listed = actions(
        ("A", "2017-07-20", "dividend", 9.5, "v", "2021-01-01"),
        ("A", "2018-01-31", "rights", 0.95),
    )
    assert price_factors(listed).rows() == [("A", D(2018, 1, 31), 0.95)]
    assert dividends(listed)["dividend_inr"].to_list() == [pytest.approx(10.0)]


def test_shipped_facts_correct_a_list_and_give_way_to_its_own_rights() -> None:
    known = ("BHARTIARTL", "2019-04-23", "split_or_bonus_confirmed", 0.909091)
    corrected = price_factors(with_known_actions(actions(known)).filter(pl.col("ticker") == "BHARTIARTL"))
    assert dict(corrected.select("ex_date", "price_factor").iter_rows()) == {
        D(2019, 4, 23): 0.918178,
        D(2021, 9, 27): 0.981571,
    }
    own = with_known_actions(actions(("BHARTIARTL", "2021-09-24", "rights", 0.98)))
    own = price_factors(own.filter(pl.col("ticker") == "BHARTIARTL"))
    assert dict(own.select("ex_date", "price_factor").iter_rows())[D(2021, 9, 24)] == 0.98
    assert D(2021, 9, 27) not in own["ex_date"]


def test_every_shipped_fact_has_a_reason_and_rights_follow_their_terms() -> None:
    facts = known_actions()
    assert (facts["source"] != "").all()
    assert facts.select("ticker", "ex_date", "kind").is_duplicated().sum() == 0
    rights = facts.filter(pl.col("kind") == "rights")
    terms = rights.with_columns(
        rights["source"].str.extract_groups(
            r"rights (?<new>\d+):(?<held>\d+) at (?<price>\d+) rupees on a close of (?<close>[\d.]+)"
        )
    ).unnest("source")
    stated = terms.drop_nulls("new").with_columns(pl.col("new", "held", "price", "close").cast(pl.Float64))
    assert stated.height == rights.height - 1
    ex_rights = (pl.col("held") * pl.col("close") + pl.col("new") * pl.col("price")) / (pl.col("held") + pl.col("new"))
    error = stated.select((ex_rights / pl.col("close") - pl.col("value")).abs().max()).item()
    assert error < 1e-5
    assert facts.filter(pl.col("kind").is_in(CONFIRMED_KINDS))["value"].max() == 1.0
