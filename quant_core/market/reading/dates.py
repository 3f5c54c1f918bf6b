"""One grammar for dates in text, wherever it stands; days are days in India.

A cell may be written in any of these ways, a time and a zone behind it: 2024-01-02, 2-Jan-2024, Jan 2, 2024, 02JAN24,
20240102, an Excel serial number (45293), seconds or milliseconds since 1970. 03/04/2024 is 3 April or 4 March: another
cell of the column that has one meaning only (13/04/2024) decides for all; without one, or where cells contradict each
other, a cell of two meanings is no date. A time with a zone is brought to India before its day is taken.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from quant_core.market.reading.numbers import NO_VALUE

FIRST_YEAR, LAST_YEAR = 1900, 2100
INDIA = timedelta(hours=5, minutes=30)
#: Orders of day, month and year in which a cell of figures may be meant; "" is a cell that has one meaning anyway.
FIXED, ORDERS = "", ("dmy", "mdy", "ymd")
_SHORT = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
         "december")  # fmt: skip
_MONTHS = {name: n for names in (_SHORT, _LONG) for n, name in enumerate(names, 1)} | {"sept": 9}
_ZONES = {"z": timedelta(0), "utc": timedelta(0), "gmt": timedelta(0), "ist": INDIA}
_WEEKDAY = re.compile(r"^(mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun)(day)?[,.]?\s+", re.IGNORECASE)
_TIME = re.compile(
    r"^(?P<day>.*?\d{2}?.*?)(?:T|,?\s+|:)(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d+)?)?"
    r"\s*(?P<half>[ap]\.?m\.?)?\s*(?P<zone>z|ist|(?:utc|gmt)?(?:[+-]\d\d(?::?\d\d)?)?)?(?:\s*\([^)]*\))?$",
    re.IGNORECASE,
)
#: An Excel serial of 1954 to 2119; day 1 is 1900-01-01, and 1900 counts as a leap year there.
_EXCEL_ZERO, _EXCEL = date(1899, 12, 30), (20_000, 80_000)
_EPOCH_UNITS = {10: 1, 13: 10**3, 16: 10**6, 19: 10**9}

#: Year first; day first as in NSE's own sec_bhavdata_full_23032020 and cm23MAR2020bhav; no day of this century reads as
#: two of them.
_DAYS_IN_NAME = (
    (re.compile(r"(?<!\d)(\d{4})-?(\d\d)-?(\d\d)(?!\d)"), "%Y-%m-%d"),
    (re.compile(r"(?<!\d)(\d\d)-?(\d\d)-?(\d{4})(?!\d)"), "%d-%m-%Y"),
    (re.compile(r"(?<!\d)(\d\d)-?([A-Za-z]{3})-?(\d{4})(?!\d)"), "%d-%b-%Y"),
)

Readings = Mapping[str, date]


@dataclass(frozen=True)
class Dates:
    """A column of dates.

    values: Date. is_bad: cells that are no date, or could be two. order: in which figures were taken, "" for none.
    is_ambiguous: some cells could be two dates.
    """

    values: pl.Series
    is_bad: pl.Series
    order: str
    is_ambiguous: bool


def read_dates(text: pl.Series, date_format: str | None = None, day: date | None = None) -> Dates:
    """The dates of a column of trimmed text.

    Args:
        date_format: strptime format of the part before a time; it decides instead of the column.
        day: that the file's name states; it decides where every cell can mean it.
    """
    words = text.unique().drop_nulls()
    cells = [word for word in words.to_list() if word.lower() not in NO_VALUE]
    given = {cell: _by_format(cell, date_format) if date_format else readings(cell) for cell in cells}
    order, chosen, twofold = _decided(given, day)
    if date_format is None and (midnights := _maybe_midnights(cells)):
        chosen, twofold = chosen | midnights, True
    found = {cell: day for cell, day in chosen.items() if day is not None}
    values = text.replace_strict(
        list(found), pl.Series(list(found.values()), dtype=pl.Date), default=None, return_dtype=pl.Date
    )  # fmt: skip
    lost = [cell for cell in cells if cell not in found]
    is_bad = text.is_in(lost).fill_null(False) if lost else pl.repeat(False, len(text), eager=True)
    return Dates(values, is_bad, order, twofold)


def _maybe_midnights(cells: Sequence[str]) -> dict[str, date | None]:
    """Cells that say 18:30 without a zone: midnights of India in another zone's time, or evenings."""
    found = {cell: match for cell in cells if (match := _TIME.match(_tidy(cell)))}
    return {
        cell: None
        for cell, m in found.items()
        if not m["zone"] and (m["hour"], m["minute"], m["half"]) == ("18", "30", None)
    }


def _decided(given: Mapping[str, Readings], day: date | None) -> tuple[str, dict[str, date | None], bool]:
    """The order of the column, the day of each cell (None for none or two), and whether some cell could be two days."""
    open_ = {cell: found for cell, found in given.items() if FIXED not in found}
    orders = [order for order in ORDERS if all(order in found for found in open_.values() if found)]
    if day is not None and len(orders) > 1:
        orders = [one for one in orders if all(found[one] == day for found in open_.values() if found)] or orders
    order = orders[0] if len(orders) == 1 else ""
    chosen: dict[str, date | None] = {}
    twofold = False
    for cell, found in given.items():
        allowed = {found[o] for o in (orders or ORDERS) if o in found} if cell in open_ else {found[FIXED]}
        chosen[cell] = next(iter(allowed)) if len(allowed) == 1 else None
        twofold |= len(allowed) > 1
    return order if open_ else "", chosen, twofold


def readings(cell: str) -> Readings:
    """Order -> day for every way in which a cell can be meant; FIXED alone where there is one; empty for none."""
    day, shift = _without_time(_tidy(cell))
    found = {order: value for order, value in _days(day) if FIRST_YEAR <= value.year <= LAST_YEAR}
    return {order: (shift(value)) for order, value in found.items()} if shift is not None else {}


def _by_format(cell: str, date_format: str) -> Readings:
    day, shift = _without_time(_tidy(cell))
    for text in (day, cell):
        try:
            value = datetime.strptime(text, date_format).date()
        except ValueError:
            continue
        if FIRST_YEAR <= value.year <= LAST_YEAR and shift is not None:
            return {FIXED: shift(value)}
    return {}


def _tidy(cell: str) -> str:
    text = re.sub(r"[\u2010-\u2015\u2212]", "-", cell.replace("\u00a0", " ").replace("\u202f", " "))
    text = re.sub(r"\s+", " ", text).strip(" '\"")
    text = _WEEKDAY.sub("", text)
    return re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", text, flags=re.IGNORECASE)


def _without_time(text: str) -> tuple[str, Callable[[date], date] | None]:
    """The part before a time, and what the time and its zone do to the day; None for a time that is none."""
    found = _TIME.match(text)
    if found is None:
        return text, lambda day: day
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"] or 0)
    if found["half"]:
        if not 1 <= hour <= 12:
            return text, None
        hour = hour % 12 + (12 if found["half"][0] in "pP" else 0)
    offset = _offset((found["zone"] or "").lower())
    if hour > 23 or minute > 59 or second > 60 or isinstance(offset, bool):
        return text, None
    if offset is None:
        return found["day"], lambda day: day
    into_day = timedelta(hours=hour, minutes=minute) - offset + INDIA
    return found["day"], lambda day: (datetime.combine(day, datetime.min.time()) + into_day).date()


def _offset(zone: str) -> "timedelta | bool | None":
    """Hours east of Greenwich; None without a zone, False for none that there is."""
    if not zone or zone in _ZONES:
        return _ZONES.get(zone)
    sign, figures = re.sub(r"^(utc|gmt)", "", zone)[0], re.sub(r"[^\d]", "", zone)
    hours, minutes = int(figures[:2]), int(figures[2:] or 0)
    if hours > 14 or minutes > 59:
        return False
    return (1 if sign == "+" else -1) * timedelta(hours=hours, minutes=minutes)


def _days(text: str) -> list[tuple[str, date]]:
    """(order, day) of a cell without a time."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return _of_figures(text)
    parts = re.fullmatch(r"(\d{4})([-/. ]|\. )(\d{1,2})\2(\d{1,2})", text)
    if parts:
        return _one(FIXED, int(parts[1]), int(parts[3]), int(parts[4]))
    parts = re.fullmatch(r"(\d{1,2})([-/. ]|\. )(\d{1,2})\2(\d{4}|\d{2})", text)
    if parts:
        return _in_every_order(parts[1], parts[3], parts[4])
    return _with_month_name(text)


def _with_month_name(text: str) -> list[tuple[str, date]]:
    gap = r"[-/., ]*"
    for pattern in (
        rf"(?P<d>\d{{1,2}}){gap}(?P<m>[a-z]+){gap}(?P<y>\d{{4}}|\d{{2}})",
        rf"(?P<m>[a-z]+){gap}(?P<d>\d{{1,2}})[-/., ]+(?P<y>\d{{4}})",
        rf"(?P<y>\d{{4}}){gap}(?P<m>[a-z]+){gap}(?P<d>\d{{1,2}})",
    ):
        found = re.fullmatch(pattern, text.lower())
        if found and found["m"] in _MONTHS:
            return _one(FIXED, _year(found["y"]), _MONTHS[found["m"]], int(found["d"]))
    return []


def _of_figures(text: str) -> list[tuple[str, date]]:
    whole, _, rest = text.partition(".")
    if len(whole) == 5 and _EXCEL[0] <= int(whole) < _EXCEL[1]:
        return [(FIXED, _EXCEL_ZERO + timedelta(days=int(whole)))]
    if len(whole) in _EPOCH_UNITS:
        moment = datetime(1970, 1, 1) + timedelta(seconds=int(whole) / _EPOCH_UNITS[len(whole)]) + INDIA
        return [(FIXED, moment.date())]
    if rest.strip("0"):
        return []
    if len(whole) == 8:
        compact = _one("ymd", int(whole[:4]), int(whole[4:6]), int(whole[6:]))
        return compact + [one for one in _in_every_order(whole[:2], whole[2:4], whole[4:]) if one[0] != "ymd"]
    return _in_every_order(whole[:2], whole[2:4], whole[4:]) if len(whole) == 6 else []


def _in_every_order(first: str, second: str, third: str) -> list[tuple[str, date]]:
    """dd mm yyyy, mm dd yyyy and, with a year of two figures, yy mm dd."""
    year = _year(third)
    found = [*_one("dmy", year, int(second), int(first)), *_one("mdy", year, int(first), int(second))]
    return found + (_one("ymd", _year(first), int(second), int(third)) if len(first) == len(third) == 2 else [])


def _year(figures: str) -> int:
    """A year; 69 to 99 are of the last century, as POSIX has it."""
    year = int(figures)
    return year if len(figures) == 4 else year + (1900 if year >= 69 else 2000)


def _one(order: str, year: int, month: int, day: int) -> list[tuple[str, date]]:
    try:
        return [(order, date(year, month, day))]
    except ValueError:
        return []


def day_in_name(name: str) -> date | None:
    """The day that a file of one day has in its name."""
    for pattern, form in _DAYS_IN_NAME:
        found = pattern.search(name)
        if found is None:
            continue
        try:
            return datetime.strptime("-".join(found.groups()), form).date()
        except ValueError:
            continue  # eight digits in the other order
    return None
