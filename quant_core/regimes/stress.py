"""Spans in which the Indian market was under stress, told by what happened: what a regime's history is held against.

No price decides where a window begins or ends, and no method is fitted on them.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class StressWindow:
    """A span of calendar days, both ends included, and what happened in it."""

    name: str
    first: date
    last: date
    happened: str


STRESS_WINDOWS = (
    StressWindow(
        "financial crisis", date(2008, 9, 15), date(2009, 3, 9),
        "Lehman Brothers fails on the first day; share prices of the world reach their low on the last",
    ),
    StressWindow(
        "US downgrade", date(2011, 8, 1), date(2011, 8, 31),
        "Standard & Poor's takes the United States' AAA on the 5th; debts of Italy and Spain are doubted",
    ),
    StressWindow(
        "taper tantrum", date(2013, 6, 1), date(2013, 8, 31),
        "the Federal Reserve speaks of buying fewer bonds; the rupee falls to its record low of the time on 28 August",
    ),
    StressWindow(
        "China and banks", date(2015, 8, 1), date(2016, 2, 29),
        "China devalues on 11 August, share prices fall on the 24th; bad loans of Indian banks, oil at its low in "
        "February",
    ),
    StressWindow(
        "COVID-19", date(2020, 2, 24), date(2020, 4, 7),
        "the epidemic is seen outside China; India's lockdown begins on 25 March",
    ),
)  # fmt: skip
