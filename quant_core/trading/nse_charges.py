"""What the state, the exchange, the regulator and the depository took of NSE delivery trades, by the day of the change.

Every row names its source; "secondary" marks a rate or day that was found in press reports or on brokers' lists only,
"assumed" one that was not found at all. Rates are checked to June 2026; the last row holds until a later one is added.
Adding them up is `costs`' part. docs/costs.md lists the same rows, which a test compares.
"""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple, TypeVar

import numpy as np

from quant_core.dense import Floats
from quant_core.trading.dated import Integers, rows_in_force


class SideRates(NamedTuple):
    """Basis points of traded value; 1 bp is 0.01 % or Rs 1,000 a crore."""

    first_day: date
    buy_bps: float
    sell_bps: float
    source: str


class Level(NamedTuple):
    """One number, in the unit of its table."""

    first_day: date
    value: float
    source: str


Row = TypeVar("Row", SideRates, Level)

#: Rates are checked to this day (see above).
CHARGES_KNOWN_UNTIL = date(2026, 6, 30)
#: A day before a table's first row is taken at that row.
FIRST_DAY = date(2000, 1, 1)

#: Securities transaction tax on delivery, each side. ETFs differ and are not covered.
STT = (
    SideRates(FIRST_DAY, 0.0, 0.0, "no such tax"),
    SideRates(date(2004, 10, 1), 7.5, 7.5, "Finance (No. 2) Act 2004, chapter VII; NSE/CMO/0146/2004 of 2004-11-10"),
    SideRates(date(2005, 6, 1), 10.0, 10.0, "Finance Act 2005; day from a rate history on TradingQnA, secondary"),
    SideRates(date(2006, 6, 1), 12.5, 12.5, "Finance Act 2006; Calcutta Stock Exchange notice of 2006-05-29"),
    SideRates(date(2012, 7, 1), 10.0, 10.0, "Finance Act 2012; Calcutta Stock Exchange notice of 2012-06-20"),
)

#: Stamp duty on delivery. Before the uniform duty each state had its own; the lab's client lives in Maharashtra.
STAMP_DUTY = (
    SideRates(FIRST_DAY, 1.0, 1.0, "Maharashtra Stamp Act, Re 1 for Rs 10,000; brokers' lists by state, secondary"),
    SideRates(
        date(2020, 7, 1), 1.5, 0.0, "Indian Stamp Act 1899 as amended by Finance Act 2019; notified on 2020-03-30"
    ),
)

#: NSE transaction charge, first slab while there were slabs, with the contribution to the exchange's Investor
#: Protection Fund Trust (Rs 10 a crore from April 2023; Rs 0.01 before, which is left out).
EXCHANGE = (
    SideRates(FIRST_DAY, 0.7, 0.7, "NSE press release of 2012-09-12: Rs 7 a lakh since 2000, day assumed"),
    SideRates(date(2005, 4, 1), 0.35, 0.35, "NSE press release of 2012-09-12: Rs 3.50 a lakh since 2005, day assumed"),
    SideRates(date(2009, 10, 1), 0.325, 0.325, "NSE circular of 2009-09-07 as reported by PTI: Rs 3.25 a lakh"),
    SideRates(
        date(2021, 1, 1),
        0.345,
        0.345,
        "6 % rise from this day by NSE's statement of 2023-03-24; Rs 345 a crore on Tradejini's list, secondary",
    ),
    SideRates(date(2023, 4, 1), 0.335, 0.335, "NSE/FA/56129 of 2023-03-24: rise taken back, Rs 325 a crore + trust 10"),
    SideRates(
        date(2024, 4, 1), 0.332, 0.332, "1 % cut by press reports of March 2024, Rs 322 a crore + trust 10, secondary"
    ),
    SideRates(
        date(2024, 10, 1),
        0.307,
        0.307,
        "NSE circular of 2024-09-27: Rs 297 a crore + trust 10; brokers' lists of 2026 show Rs 307 in one",
    ),
)

#: SEBI's turnover fee, each side. Brokers registered before October 2006 came under it by and by.
SEBI_FEE = (
    SideRates(FIRST_DAY, 0.0, 0.0, "brokers paid a yearly registration fee, nothing on the client's trade"),
    SideRates(date(2006, 10, 1), 0.02, 0.02, "SEBI (Stock Brokers) (Third Amendment) Regulations 2006: 0.0002 %"),
    SideRates(
        date(2009, 7, 1), 0.01, 0.01, "a broker's list of 2010, rate also on HDFC Securities' of 2014, secondary"
    ),
    SideRates(date(2014, 5, 23), 0.02, 0.02, "SEBI (Payment of Fees) (Amendment) Regulations 2014 of this day"),
    SideRates(date(2017, 4, 1), 0.015, 0.015, "SEBI/LAD-NRO/GN/2016-17/038 of 2017-03-29; rate on TIFSL's list"),
    SideRates(date(2019, 4, 1), 0.01, 0.01, "SEBI/L.A.D.-N.R.O./G.N./2019/03 of 2019-03-22"),
    SideRates(date(2020, 6, 1), 0.005, 0.005, "SEBI's relief of 2020-04-27: half the fee, June 2020 to March 2021"),
    SideRates(date(2021, 4, 1), 0.01, 0.01, "end of the relief of 2020-04-27"),
)

#: Service tax with its cesses, then GST: percent of the services that a trade uses. Days and rates are those of
#: published histories (complianceindia.co.in and others, secondary), the Acts' names general knowledge. Two of them put
#: the first 12.36 % at 2007-06-01; the trade notice says 11 May.
SERVICE_TAX_PCT = (
    Level(FIRST_DAY, 5.0, "Finance Act 1994, on brokers since 1994-07-01"),
    Level(date(2003, 5, 14), 8.0, "Finance Act 2003"),
    Level(date(2004, 9, 10), 10.2, "Finance (No. 2) Act 2004: 10 % and a cess of 2 % of it"),
    Level(date(2006, 4, 18), 12.24, "Finance Act 2006: 12 % and the cess"),
    Level(date(2007, 5, 11), 12.36, "Finance Act 2007: cesses of 3 %; Chennai trade notice 15/2007 ST"),
    Level(date(2009, 2, 24), 10.3, "Notification 8/2009-ST: 10 % and cesses of 3 %"),
    Level(date(2012, 4, 1), 12.36, "Finance Act 2012"),
    Level(date(2015, 6, 1), 14.0, "Finance Act 2015; Notification 14/2015-ST"),
    Level(date(2015, 11, 15), 14.5, "Swachh Bharat cess of 0.5 %"),
    Level(date(2016, 6, 1), 15.0, "Finance Act 2016: Krishi Kalyan cess of 0.5 %"),
    Level(date(2017, 7, 1), 18.0, "Goods and Services Tax Acts 2017"),
)

#: Brokerage and the depository participant's charge always bore the tax; these two only since. Finance Act 2008 made
#: the exchange's service taxable; SEBI's exemption ended with its circular of 2022-07-18 (BSE notice 20220830-5).
EXCHANGE_TAXED_FROM = date(2008, 5, 16)
SEBI_FEE_TAXED_FROM = date(2022, 7, 18)

#: Rupees for each name sold in a day, before tax: what a discount broker takes, depository's fee included.
DP_CHARGE_INR = (
    Level(FIRST_DAY, 13.5, "Zerodha's support page (CDSL 5.50 of it); assumed for the years before it"),
    Level(date(2024, 10, 1), 13.0, "Zerodha's support page; day assumed to be that of CDSL's uniform fee of Rs 3.50"),
)


def row_on(table: Sequence[Row], day: date) -> Row:
    """The row in force on a day; the first row for days before the table."""
    return table[int(_rows(table, np.array([day.toordinal()]))[0])]


def side_rates(table: Sequence[SideRates], days: Integers) -> tuple[Floats, Floats]:
    """(T,) bps on purchases and (T,) on sales, for day numbers (T,)."""
    rows = _rows(table, days)
    return np.array([row.buy_bps for row in table])[rows], np.array([row.sell_bps for row in table])[rows]


def levels(table: Sequence[Level], days: Integers) -> Floats:
    """(T,) values of a table for day numbers (T,)."""
    return np.array([row.value for row in table])[_rows(table, days)]


def _rows(table: Sequence[Row], days: Integers) -> Integers:
    return np.maximum(rows_in_force([row.first_day for row in table], days), 0)
