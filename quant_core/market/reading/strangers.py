"""What a file of prices holds that is no share's price of a session in rupees, and columns that nothing reads."""

import polars as pl

from quant_core.market.problems import Problem, in_file, shown
from quant_core.market.reading.columns import Layout
from quant_core.market.reading.identity import EXCHANGES
from quant_core.market.reading.numbers import NO_VALUE

#: Columns that say that a row is no price of a share in rupees on NSE or BSE: kind of problem, words of the rows that
#: are read, what the others are.
_READ = {
    "segment": ("contracts", ("CM",), "futures, options or of another segment"),
    "kind": ("contracts", ("STK",), "futures, options or of another segment"),
    "currency": ("currency", ("INR", "RS", "RS.", "₹", "RUPEE", "RUPEES"), "in another currency than rupees"),
    "exchange": ("exchange", tuple(EXCHANGES), "of another exchange than NSE and BSE"),
}  # fmt: skip
#: The same of a column in which any other word is read.
_NOT_READ = {
    "instrument": (
        "contracts",
        ("FUTSTK", "FUTIDX", "FUTIVX", "OPTSTK", "OPTIDX", "FUT", "FUTURE", "FUTURES", "OPT", "OPTION", "OPTIONS", "CE",
         "PE"),
        "futures or options",
    ),
}  # fmt: skip
#: NSE trades from Monday to Friday, on a Saturday now and then: so many days of which this share are Sundays, and fewer
#: than half as many Fridays, are a day early.
_JUDGED_DAYS, _SHARE_OF_A_WEEKDAY = 15, 0.1
_WEEK = {"Monday": 1, "Friday": 5, "Saturday": 6, "Sunday": 7}


def shares_only(layout: Layout) -> dict[str, pl.Expr]:
    """Column -> whether the row is one of a share; nothing said is no objection."""
    silent = pl.Series(NO_VALUE).str.to_uppercase()
    found = {}
    for name in filter(layout.column, (*_READ, *_NOT_READ)):
        said = pl.col(name).str.to_uppercase()
        own = said.is_in([*_READ[name][1], *silent]) if name in _READ else ~said.is_in(_NOT_READ[name][1])
        found[name] = own.fill_null(True)
    return found


def others(rows: pl.LazyFrame, layout: Layout, file: str) -> tuple[Problem, ...]:
    """What is said of rows that are no shares' in rupees on NSE or BSE."""
    wanted, said = shares_only(layout), []
    counts = rows.select((~one).sum().alias(name) for name, one in wanted.items()).collect().row(0, named=True)
    for name in wanted:
        kind, _, what = (_READ | _NOT_READ)[name]
        if counts[name]:
            line = f"{counts[name]} rows are {what} (column {layout.column(name)}) and are left out"
            said.append(in_file(kind, file, line, "keep them out of the folder"))
    return tuple(said)


def shifted_days(days: pl.Series, file: str) -> Problem | None:
    """What is said of a file whose days are those before or after the sessions: a time zone moved them.

    Args:
        days: each once.
    """
    if len(days) < _JUDGED_DAYS:
        return None
    share = {name: int((days.dt.weekday() == number).sum()) / len(days) for name, number in _WEEK.items()}
    for never, often, side in (("Friday", "Sunday", "early"), ("Monday", "Saturday", "late")):
        if share[often] > max(_SHARE_OF_A_WEEKDAY, 2.0 * share[never]):
            said = f"{share[often]:.0%} of its days are {often}s, hardly one a {never}"
            what = f"{said}: all are a day {side}, or stand for weeks; left out"
            return in_file("shifted_days", file, what, "store days of India, or the zone with the times")
    return None


def meant(layout: Layout, file: str) -> tuple[Problem, ...]:
    """What is said of columns that look as if they were meant, by names that nothing knows."""
    return tuple(
        in_file("unread_column", file, "nothing reads the column", _as_setting(name, column), cell=column)
        for name, column in layout.meant
    )


def _as_setting(name: str, column: str) -> str:
    return f'where it is {name}, set columns={{"{name}": "{shown(column)}"}} or rename it'
