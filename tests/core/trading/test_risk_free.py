"""What cash earns by hand, over weekends and rate changes, and never from what comes later."""

from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core import calendar
from quant_core.errors import DataError
from quant_core.trading import risk_free
from quant_core.trading.risk_free import POLICY_RATES, PolicyRate, cash_return_1d

DOCS = Path(__file__).parents[3] / "docs" / "costs.md"

#: Transcribed apart from the code, latest first, as it was printed: percent and day-month-year.
REUTERS_2017 = """
6.00 02-08-2017  6.25 04-10-2016  6.50 05-04-2016  6.75 29-09-2015  7.25 02-06-2015  7.50 04-03-2015
7.75 15-01-2015  8.00 28-01-2014  7.75 29-10-2013  7.50 20-09-2013  7.25 03-05-2013  7.50 19-03-2013
7.75 29-01-2013  8.00 17-04-2012  8.50 25-10-2011  8.25 16-09-2011  8.00 26-07-2011  7.50 16-06-2011
7.25 03-05-2011  6.75 17-03-2011  6.50 25-01-2011  6.25 02-11-2010  6.00 16-09-2010  5.75 27-07-2010
5.50 02-07-2010  5.25 20-04-2010  5.00 19-03-2010  4.75 21-04-2009  5.00 04-03-2009  5.50 02-01-2009
6.50 08-12-2008  7.50 03-11-2008  8.00 20-10-2008  9.00 29-07-2008  8.50 24-06-2008  8.00 11-06-2008
7.75 30-03-2007  7.50 31-01-2007  7.25 30-10-2006  7.00 25-07-2006  6.75 08-06-2006  6.50 24-01-2006
6.25 26-10-2005  6.00 31-03-2004  7.00 19-03-2003  7.10 07-03-2003  7.50 12-11-2002  8.00 28-03-2002
8.50 07-06-2001  8.75 30-04-2001  9.00 09-03-2001
"""

STEPS_SINCE_2018 = """
2018-06-06 +0.25  2018-08-01 +0.25  2019-02-07 -0.25  2019-04-04 -0.25  2019-06-06 -0.25  2019-08-07 -0.35
2019-10-04 -0.25  2020-03-27 -0.75  2020-05-22 -0.40  2022-05-04 +0.40  2022-06-08 +0.50  2022-08-05 +0.50
2022-09-30 +0.50  2022-12-07 +0.35  2023-02-08 +0.25  2025-02-07 -0.25  2025-04-09 -0.25  2025-06-06 -0.50
2025-12-05 -0.25
"""

DAYS = st.dates(date(2000, 1, 1), date(2029, 12, 31))


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("2000-01-03", 8.0),  # Bank Rate
        ("2000-08-09", 8.0),  # the facility lent at 16 % that day
        ("2001-03-08", 7.0),
        ("2001-03-09", 9.0),
        ("2004-03-30", 7.0),
        ("2004-03-31", 6.0),
        ("2008-10-19", 9.0),
        ("2008-10-20", 8.0),
        ("2011-10-25", 8.5),
        ("2020-05-21", 4.4),
        ("2020-05-22", 4.0),
        ("2022-05-03", 4.0),
        ("2022-05-04", 4.4),
        ("2025-02-06", 6.5),
        ("2025-06-06", 5.5),
        ("2025-12-05", 5.25),
        ("2026-06-05", 5.25),
        ("2035-01-01", 5.25),
    ],
)
def test_the_rate_in_force_on_a_day(text, percent):
    day = date.fromisoformat(text)
    earned = cash_return_1d([day, day + timedelta(days=1)])[1]  # from that day's close on
    assert (1 + earned) ** 365 - 1 == pytest.approx(percent / 100, abs=1e-12)


def test_cash_over_a_rate_change_and_a_weekend_by_hand():
    # The rate fell from 5.15 to 4.40 % on Friday 2020-03-27, during the session: that day's return is still earned at
    # Thursday's rate, the weekend's three days at Friday's.
    sessions = [date(2020, 3, 26), date(2020, 3, 27), date(2020, 3, 30), date(2020, 3, 31)]
    expected = [0.0, 1.0515 ** (1 / 365) - 1, 1.044 ** (3 / 365) - 1, 1.044 ** (1 / 365) - 1]
    np.testing.assert_allclose(cash_return_1d(sessions), expected, rtol=1e-12, atol=0)
    # ln 1.0515 = 0.0502177, a 365th is 1.37583e-4; ln 1.044 = 0.0430595, three 365ths are 3.53914e-4; exp(x) - 1:
    np.testing.assert_allclose(cash_return_1d(sessions)[1:3], [1.37592e-4, 3.53976e-4], rtol=1e-5)


def test_a_constant_rate_by_hand_over_a_weekend():
    sessions = [date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 4)]  # Friday, special Saturday, Monday
    np.testing.assert_allclose(
        cash_return_1d(sessions, 0.06), [0.0, 1.06 ** (1 / 365) - 1, 1.06 ** (2 / 365) - 1], rtol=1e-12
    )
    np.testing.assert_array_equal(cash_return_1d(sessions, 0.0), 0.0)


def test_a_year_of_sessions_compounds_to_the_rate_by_calendar_time():
    sessions = calendar.sessions(date(2023, 2, 8), date(2025, 2, 6))  # 6.5 % throughout
    years = (sessions[-1] - sessions[0]).days / 365
    assert np.prod(1.0 + cash_return_1d(sessions)) == pytest.approx(1.065**years, rel=1e-12)


@settings(max_examples=200, deadline=None)
@given(st.sets(DAYS, min_size=1, max_size=40).map(sorted))
def test_returns_equal_a_look_up_day_by_day(sessions):
    expected = [0.0]
    for before, today in pairwise(sessions):
        rate = next(row.rate_pct for row in reversed(POLICY_RATES) if row.first_day <= before) / 100
        expected.append((1.0 + rate) ** ((today - before).days / 365) - 1.0)
    np.testing.assert_allclose(cash_return_1d(sessions), expected, rtol=1e-11, atol=1e-15)


@settings(max_examples=100, deadline=None)
@given(st.dates(date(2000, 2, 1), date(2029, 12, 31)), st.floats(0.0, 20.0))
def test_a_later_change_never_alters_earlier_returns(day_of_change, rate_pct):
    sessions = calendar.sessions(day_of_change - timedelta(days=20), day_of_change + timedelta(days=20))
    before = cash_return_1d(sessions)
    rows = [row for row in POLICY_RATES if row.first_day < day_of_change]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(risk_free, "POLICY_RATES", (*rows, PolicyRate(day_of_change, rate_pct, "invented")))
        after = cash_return_1d(sessions)
    # Only a return whose previous session is the day of the change or later may differ.
    early = np.array([True] + [previous < day_of_change for previous in sessions[:-1]])
    np.testing.assert_array_equal(after[early], before[early])
    late = ~early
    gaps = np.diff([day.toordinal() for day in sessions], prepend=sessions[0].toordinal())
    np.testing.assert_allclose(after[late], (1 + rate_pct / 100) ** (gaps[late] / 365) - 1, rtol=1e-11, atol=1e-15)


def test_returns_do_not_depend_on_how_much_later_history_is_asked_for():
    sessions = calendar.sessions(date(2008, 6, 2), date(2009, 6, 1))
    whole = cash_return_1d(sessions)
    for n in (1, 2, 17, 100, len(sessions)):
        np.testing.assert_array_equal(cash_return_1d(sessions[:n]), whole[:n])


def test_rates_are_in_order_each_a_change_with_a_source():
    days, rates = [row.first_day for row in POLICY_RATES], [row.rate_pct for row in POLICY_RATES]
    assert days == sorted(set(days))
    assert all(old != new for old, new in pairwise(rates))
    assert all(row.source for row in POLICY_RATES)


def test_the_documentation_lists_exactly_the_rates_of_the_code():
    section = DOCS.read_text().split("### Policy rate\n")[1]
    years = {
        f"| {year} | " + ", ".join(f"{row.first_day:%m-%d} {row.rate_pct:.2f}" for row in rows) + " |"
        for year, rows in groupby(POLICY_RATES, key=lambda row: row.first_day.year)
    }
    assert years == {line for line in section.splitlines() if line.startswith("| 2")}


def test_repo_rates_to_2017_equal_the_timeline_of_reuters():
    timeline = REUTERS_2017.split()
    printed = [
        (datetime.strptime(day, "%d-%m-%Y").date(), float(rate))
        for rate, day in zip(timeline[::2], timeline[1::2], strict=True)
    ]
    held = [row[:2] for row in POLICY_RATES if date(2001, 3, 9) <= row.first_day <= date(2017, 12, 31)]
    assert held == printed[::-1]


def test_repo_rates_since_2018_follow_from_the_published_steps():
    steps = STEPS_SINCE_2018.split()
    rates = 6.00 + np.cumsum([float(step) for step in steps[1::2]])
    held = [row for row in POLICY_RATES if row.first_day >= date(2018, 1, 1)]
    assert [row.first_day.isoformat() for row in held] == steps[::2]
    np.testing.assert_allclose([row.rate_pct for row in held], rates, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "no sessions"),
        (([date(2020, 1, 2), date(2020, 1, 1)],), "2020-01-01 follows 2020-01-02"),
        (([date(1999, 12, 31), date(2000, 1, 3)],), "1999-12-31 is before 2000-01-01"),
        (([date(2020, 1, 1)], 1.5), "rate_ann is 1.5"),
        (([date(2020, 1, 1)], float("nan")), "rate_ann is nan"),
    ],
)
def test_what_cannot_be_answered_is_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        cash_return_1d(*arguments)


def test_a_day_before_the_table_is_refused_but_for_a_constant_rate():
    with pytest.raises(DataError, match="1999-12-31"):
        cash_return_1d([date(1999, 12, 31), date(2000, 1, 3)])
    assert cash_return_1d([date(1999, 12, 30), date(1999, 12, 31)], 0.06)[1] == pytest.approx(1.06 ** (1 / 365) - 1)
