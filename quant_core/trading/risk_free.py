"""What idle cash earns: the Reserve Bank's policy rate of the day, compounded over calendar days.

The repo rate stands for an overnight or liquid fund: such funds lend overnight, the call rate is the Reserve Bank's
operating target, and it moves in a corridor around the repo rate. Where the banking system had money in excess (2002 to
2006, 2009 to mid 2010, 2020 to 2021) overnight money earned near the corridor's floor, half a point to two and a half
points less; the repo rate flatters cash then. Pass a number to assume otherwise.

Before 9 March 2001 the table holds the Bank Rate instead. The liquidity facility of 2000 lent by daily auctions at 9 to
16 % to defend the rupee, which nobody's idle cash earned.
"""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.trading.dated import rows_in_force, session_ordinals


class PolicyRate(NamedTuple):
    """Percent a year from `first_day` on."""

    first_day: date
    rate_pct: float
    source: str


DICGC = "Bank Rate, history of the Deposit Insurance Corporation"
WSS = "Bank Rate, RBI Weekly Statistical Supplement"
GENERAL = "Bank Rate, 8 % by RBI's supplement of early 2001; day from general knowledge"
REUTERS = "Reuters, timeline of 2017-10-04"
EXPRESS = "Financial Express, table of 2025-12-05"

#: The decisions to June 2026 are in: the Monetary Policy Committee left 5.25 % unchanged in February, April and June.
POLICY_RATES = tuple(
    PolicyRate(date.fromisoformat(day), rate_pct, source)
    for day, rate_pct, source in [
        ("2000-01-01", 8.00, DICGC),
        ("2000-04-01", 7.00, DICGC),
        ("2000-07-22", 8.00, GENERAL),
        ("2001-02-17", 7.50, WSS),
        ("2001-03-02", 7.00, WSS),
        ("2001-03-09", 9.00, REUTERS),
        ("2001-04-30", 8.75, REUTERS),
        ("2001-06-07", 8.50, REUTERS),
        ("2002-03-28", 8.00, REUTERS),
        ("2002-11-12", 7.50, REUTERS),
        ("2003-03-07", 7.10, REUTERS),
        ("2003-03-19", 7.00, REUTERS),
        ("2004-03-31", 6.00, REUTERS),
        ("2005-10-26", 6.25, REUTERS),
        ("2006-01-24", 6.50, REUTERS),
        ("2006-06-08", 6.75, REUTERS),
        ("2006-07-25", 7.00, REUTERS),
        ("2006-10-30", 7.25, REUTERS),
        ("2007-01-31", 7.50, REUTERS),
        ("2007-03-30", 7.75, REUTERS),
        ("2008-06-11", 8.00, REUTERS),
        ("2008-06-24", 8.50, REUTERS),
        ("2008-07-29", 9.00, REUTERS),
        ("2008-10-20", 8.00, REUTERS),
        ("2008-11-03", 7.50, REUTERS),
        ("2008-12-08", 6.50, REUTERS),
        ("2009-01-02", 5.50, REUTERS),
        ("2009-03-04", 5.00, REUTERS),
        ("2009-04-21", 4.75, REUTERS),
        ("2010-03-19", 5.00, REUTERS),
        ("2010-04-20", 5.25, REUTERS),
        ("2010-07-02", 5.50, REUTERS),
        ("2010-07-27", 5.75, REUTERS),
        ("2010-09-16", 6.00, REUTERS),
        ("2010-11-02", 6.25, REUTERS),
        ("2011-01-25", 6.50, REUTERS),
        ("2011-03-17", 6.75, REUTERS),
        ("2011-05-03", 7.25, REUTERS),
        ("2011-06-16", 7.50, REUTERS),
        ("2011-07-26", 8.00, REUTERS),
        ("2011-09-16", 8.25, REUTERS),
        ("2011-10-25", 8.50, REUTERS),
        ("2012-04-17", 8.00, REUTERS),
        ("2013-01-29", 7.75, REUTERS),
        ("2013-03-19", 7.50, REUTERS),
        ("2013-05-03", 7.25, REUTERS),
        ("2013-09-20", 7.50, REUTERS),
        ("2013-10-29", 7.75, REUTERS),
        ("2014-01-28", 8.00, REUTERS),
        ("2015-01-15", 7.75, REUTERS),
        ("2015-03-04", 7.50, REUTERS),
        ("2015-06-02", 7.25, REUTERS),
        ("2015-09-29", 6.75, REUTERS),
        ("2016-04-05", 6.50, REUTERS),
        ("2016-10-04", 6.25, REUTERS),
        ("2017-08-02", 6.00, REUTERS),
        ("2018-06-06", 6.25, EXPRESS),
        ("2018-08-01", 6.50, EXPRESS),
        ("2019-02-07", 6.25, EXPRESS),
        ("2019-04-04", 6.00, EXPRESS),
        ("2019-06-06", 5.75, EXPRESS),
        ("2019-08-07", 5.40, EXPRESS),
        ("2019-10-04", 5.15, EXPRESS),
        ("2020-03-27", 4.40, EXPRESS),
        ("2020-05-22", 4.00, EXPRESS),
        ("2022-05-04", 4.40, EXPRESS),
        ("2022-06-08", 4.90, EXPRESS),
        ("2022-08-05", 5.40, EXPRESS),
        ("2022-09-30", 5.90, EXPRESS),
        ("2022-12-07", 6.25, EXPRESS),
        ("2023-02-08", 6.50, EXPRESS),
        ("2025-02-07", 6.25, EXPRESS),
        ("2025-04-09", 6.00, EXPRESS),
        ("2025-06-06", 5.50, EXPRESS),
        ("2025-12-05", 5.25, EXPRESS),
    ]
)

#: The last month whose decisions are in the table.
RATES_KNOWN_UNTIL = date(2026, 6, 30)
DAYS_PER_YEAR = 365


def cash_return_1d(sessions: Sequence[date], rate_ann: float | None = None) -> Floats:
    """What cash earns from the close of the session before to that of each session.

    (1 + rate) ** (calendar days / 365) - 1 with the rate in force at the session before, so it is known in advance: a
    decision announced today pays from today's close on.

    Args:
        sessions: T dates in order.
        rate_ann: a constant fraction a year, 0.06 for 6 %; None for the Reserve Bank's rate of the day.
    Returns:
        (T,) simple returns, 0 on the first session.
    Raises:
        DataError: no sessions, sessions out of order or before 2000, a rate outside -1..1.
    """
    days = session_ordinals(sessions, "risk-free rate")
    if rate_ann is None:
        rates = _rates_ann(days[:-1])
    elif -1.0 < rate_ann < 1.0:
        rates = np.full(len(days) - 1, float(rate_ann))
    else:
        raise DataError(f"risk-free rate: rate_ann is {rate_ann}; wanted a fraction between -1 and 1, 0.06 for 6 %.")
    return np.concatenate([[0.0], np.expm1(np.log1p(rates) * np.diff(days) / DAYS_PER_YEAR)])


def _rates_ann(days: NDArray[np.int64]) -> Floats:
    rows = rows_in_force([row.first_day for row in POLICY_RATES], days)
    if (rows < 0).any():
        early = date.fromordinal(int(days[int(np.argmax(rows < 0))]))
        raise DataError(
            f"risk-free rate: {early} is before {POLICY_RATES[0].first_day}, where the table of rates begins; "
            "pass rate_ann."
        )
    return np.array([row.rate_pct for row in POLICY_RATES])[rows] / 100.0
