"""Cleaning at its edges: several events lost in one gap, and what the liquidity rule may not know yet."""

from datetime import date

import pytest
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.clean import CleaningConfig, clean
from quant_core.cleaning.most_traded import LiquidityRule

START, END = date(2021, 3, 1), date(2021, 3, 31)
FEBRUARY, MARCH = sessions(date(2021, 2, 1), date(2021, 2, 28)), sessions(START, END)


@pytest.mark.parametrize(("first", "second"), [(0.5, 2 / 3), (2 / 3, 0.5), (0.95, 0.5), (0.5, 0.95), (0.9, 0.95)])
def test_actions_on_two_unsound_rows_both_arrive_with_the_next_sound_row(first: float, second: float) -> None:
    """A split and a bonus, or a rights issue beside either: 100 becomes 100 x both factors, and 2 % are earned.

    Nothing may be left over for the search for unlisted actions to find and to make good by chance.
    """
    level = 100.0 * first * second
    table = raw(
        bar(MARCH[0], 100.0),
        bar(MARCH[1], None, price_factor=first),
        bar(MARCH[2], None, price_factor=second),
        bar(MARCH[3], level * 1.02),
        bar(MARCH[4], level * 1.02 * 1.01),
    )
    found = clean(table, None, CleaningConfig(), START, END)
    assert found.suspects.is_empty()
    assert found.prices.filter(date=MARCH[3])["total_return_1d"].to_list() == [pytest.approx(0.02)]
    after = found.prices.filter(date=MARCH[4]).row(0, named=True)
    assert (after["total_return_1d"], after["dividend_return_1d"]) == (pytest.approx(0.01), 0.0)


def test_two_dividends_on_unsound_rows_are_both_paid_with_the_next_sound_row() -> None:
    table = raw(
        bar(MARCH[0], 100.0),
        bar(MARCH[1], None, dividend_inr=2.0),
        bar(MARCH[2], None, dividend_inr=3.0),
        bar(MARCH[3], 96.0),
    )
    row = clean(table, None, CleaningConfig(), START, END).prices.filter(date=MARCH[3]).row(0, named=True)
    assert row["total_return_1d"] == pytest.approx(0.01)
    assert row["dividend_return_1d"] == pytest.approx(0.05)


def test_the_first_session_of_the_month_is_too_late_for_its_members() -> None:
    """BBB is busy on ten of the twenty sessions of February, so its median is a quiet one; 1 March is the eleventh."""
    assert len(FEBRUARY) == 20
    days = [*FEBRUARY, MARCH[0]]
    busy = {*FEBRUARY[::2], MARCH[0]}
    steady = [bar(day, 100.0, "AAA", volume_shares=50) for day in days]
    moody = [bar(day, 100.0, "BBB", volume_shares=90 if day in busy else 10) for day in days]
    rule = LiquidityRule(top_n=1, lookback_months=1)
    prices = clean(raw(*steady, *moody), None, CleaningConfig(), START, END, liquidity=rule).prices
    assert prices.filter("is_member")["ticker"].unique().to_list() == ["AAA"]
