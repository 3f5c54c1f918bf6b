"""What a market accepts, and the returns and prices that it makes of a fill."""

import numpy as np
import pytest
from ledger_cases import NAN

from quant_core.errors import DataError
from quant_core.trading.market import BOTH, CLOSED, Market

SHAPE = (5, 3)


def market(**panels):
    flat = np.zeros(SHAPE)
    return Market(**{"overnight_return": flat, "intraday_return": flat, "open_to": np.ones(SHAPE, bool), **panels})


def with_cell(value, fill=0.0):
    """A panel whose row 2 column 1 is bad."""
    panel = np.full(SHAPE, fill)
    panel[2, 1] = value
    return panel


@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        ("overnight_return", -1.0, "is -1.0; wanted a finite number above -1, or NaN"),
        ("overnight_return", np.inf, "is inf"),
        ("intraday_return", -np.inf, "is -inf"),
        ("vwap_return", -1.5, "is -1.5"),
        ("dividend_return", -0.01, "is -0.01; wanted a finite number >= 0, or NaN"),
        ("traded_value_inr", -1.0, "is -1.0"),
        ("volatility_1d", np.inf, "is inf"),
        ("open_inr", -5.0, "is -5.0"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(name, bad, message):
    with pytest.raises(DataError, match=f"ledger: {name} row 2 column 1 {message}"):
        market(**{name: with_cell(bad)})


def test_missing_cells_and_endless_depth_are_accepted():
    panels = ("overnight_return", "intraday_return", "vwap_return", "dividend_return", "volatility_1d", "open_inr")
    made = market(**{name: with_cell(NAN) for name in panels}, traded_value_inr=with_cell(np.inf))
    assert np.isnan(made.overnight_return[2, 1])
    assert made.traded_value_inr[2, 1] == np.inf


@pytest.mark.parametrize(("overnight", "dividend"), [(-0.5, 0.5), (-0.5, 0.6), (NAN, 0.01)])
def test_a_dividend_is_a_part_of_what_the_name_was_worth_and_paid_in_a_session_with_a_price(overnight, dividend):
    with pytest.raises(DataError, match="ledger: dividend_return row 2 column 1 is"):
        market(overnight_return=with_cell(overnight), dividend_return=with_cell(dividend))
    assert market(overnight_return=with_cell(-0.5), dividend_return=with_cell(0.49)).dividend_return[2, 1] == 0.49


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ({"intraday_return": np.zeros((5, 2))}, r"intraday_return.*\(5, 2\).* beside overnight_return \(5, 3\)"),
        ({"open_to": np.ones((4, 3), bool)}, r"open_to.*\(4, 3\)"),
        ({"open_inr": np.zeros(3)}, r"open_inr.*\(3,\)"),
        ({"overnight_return": np.zeros(3)}, r"overnight_return has shape \(3,\); wanted \(sessions, names\)"),
        ({"open_to": np.full(SHAPE, 4)}, "open_to runs from 4 to 4; wanted bits"),
        ({"cash_return_1d": NAN}, "cash_return_1d row 0 is nan"),
        ({"cash_return_1d": [0.0, 0.0, -1.0, 0.0, 0.0]}, "cash_return_1d row 2 is -1.0"),
        ({"cash_return_1d": [0.0, 0.0]}, r"cash_return_1d has shape \(2,\); wanted one number or \(5,\)"),
        ({"delistings": ([1, 5], [0, 1])}, "the delisting in row 5 column 1 lies outside"),
        ({"delistings": ([1, 2], [0, -1])}, "the delisting in row 2 column -1 lies outside"),
        ({"delistings": ([1, 2], [0])}, r"delistings have shapes \(2,\) and \(1,\)"),
    ],
)
def test_panels_that_do_not_fit_are_refused(panels, message):
    with pytest.raises(DataError, match=f"ledger: .*{message}"):
        market(**panels)


def test_flags_are_bits_one_rate_is_every_sessions_and_delistings_are_sorted():
    flags = np.ones(SHAPE, bool)
    flags[1, 2] = False
    made = market(open_to=flags, cash_return_1d=0.001, delistings=([4, 1], [0, 2]))
    assert made.open_to[1].tolist() == [BOTH, BOTH, CLOSED]
    assert made.cash_return_1d.tolist() == [0.001] * 5
    assert [part.tolist() for part in made.delistings[:2]] == [[1, 4], [2, 0]]
    assert np.isnan(made.delistings.factor).all()
    assert made.delistings.into.tolist() == [-1, -1]


LEGS = {"overnight_return": with_cell(0.10), "intraday_return": with_cell(0.20), "vwap_return": with_cell(0.05)}


@pytest.mark.parametrize(
    ("fill", "before", "after", "price"),
    [("open", 1.10, 1.20, 100.0), ("close", 1.10 * 1.20, None, 120.0), ("vwap", 1.10 * 1.05, 1.20 / 1.05, 105.0)],
)
def test_a_session_is_cut_at_the_fill(fill, before, after, price):
    made = market(**LEGS, open_inr=with_cell(100.0))
    to_fill, to_close = made.legs(fill, "reinvest")
    assert to_fill[2, 1] == pytest.approx(before - 1.0)
    assert to_close.size == 0 if after is None else to_close[2, 1] == pytest.approx(after - 1.0)
    assert made.fill_price_inr(fill)[2, 1] == pytest.approx(price)


def test_a_dividend_in_cash_is_left_out_of_the_return_to_the_fill():
    made = market(**LEGS, dividend_return=with_cell(0.04))
    assert made.legs("open", "cash")[0][2, 1] == pytest.approx(0.06)
    assert made.legs("close", "cash")[0][2, 1] == pytest.approx(1.06 * 1.20 - 1.0)
    assert made.legs("open", "reinvest")[0][2, 1] == 0.10


def test_a_missing_return_moves_neither_value_nor_price():
    made = market(intraday_return=with_cell(NAN), vwap_return=with_cell(NAN), open_inr=with_cell(100.0, 50.0))
    for fill in ("open", "close", "vwap"):
        before, after = made.legs(fill, "reinvest")
        assert before[2, 1] == 0.0
        assert not after.size or fill == "open" or after[2, 1] == 0.0
        assert made.fill_price_inr(fill)[2, 1] == 100.0


@pytest.mark.parametrize(
    ("fill", "dividends", "name"), [("vwap", "reinvest", "vwap_return"), ("open", "cash", "dividend_return")]
)
def test_a_fill_without_its_panel_says_which_one_it_needs(fill, dividends, name):
    with pytest.raises(DataError, match=f"needs the market's {name}"):
        market().legs(fill, dividends)
    assert market().fill_price_inr(fill).size == 0
