"""Drawn dialects: whatever way a table is written, what is read equals what was written, or a problem names it.

The oracle is the table before it was written. QUANT_DRAWS=10000 spreads so many draws over the properties; by default
there are few enough for every run of the tests.
"""

import csv
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quant_core.errors import DataError
from quant_core.market.action_list import read_actions
from quant_core.market.problems import Problem
from quant_core.market.reading.opened import open_file
from quant_core.market.reading.opening import stamp
from quant_core.market.reading.prices import scan
from quant_core.market.reading.values import Grammar
from quant_core.market.sources.files import FilesSource

pytestmark = pytest.mark.slow
DRAWS = int(os.environ.get("QUANT_DRAWS", "250"))
#: Shares of the draws.
NUMBERS, DATES, LAYOUTS, ROWS, LISTS = 0.3, 0.3, 0.25, 0.1, 0.05
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Property = Callable[..., None]


def drawn(share: float) -> Callable[[Property], Property]:
    return settings(
        max_examples=max(5, round(DRAWS * share)), deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@contextmanager
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def read(path: Path) -> tuple[pl.DataFrame, tuple[Problem, ...]]:
    """A price file's typed table, or none with the reason."""
    try:
        frame, problems = scan(open_file(stamp(path), "auto", {}, "auto"), Grammar())
        return frame.collect(), problems
    except DataError as reason:
        return pl.DataFrame(schema={"date": pl.Date}), (Problem("", "refused", str(reason)),)


def table(rows: list[list[str]], delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL, ending: str = "\n") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=ending).writerows(rows)  # type: ignore[arg-type]
    return out.getvalue()


# ---- numbers ---------------------------------------------------------------------------------------------------------

GROUPS = ("", ",", ".", " ", "\u00a0", "\u202f", "'", "’")


@st.composite
def number_grammars(draw: st.DrawFn) -> dict[str, str]:
    point = draw(st.sampled_from(".,"))
    return {
        "point": point,
        "group": draw(st.sampled_from([one for one in GROUPS if one != point])),
        "style": draw(st.sampled_from(["western", "indian"])),
        "sign": draw(st.sampled_from(["-", "−", "–", "()", "behind"])),
        "money": draw(st.sampled_from(["", "", "₹", "₹ ", "Rs. ", "Rs ", "INR ", "behind", "/-"])),
        "form": draw(st.sampled_from(["plain", "plain", "plain", "percent", "exponent"])),
        "decimals": draw(st.sampled_from(["0", "1", "2", "3", "as is"])),
    }


def grouped(digits: str, sign: str, style: str) -> str:
    """Whole digits in groups."""
    if not sign or len(digits) <= 3:
        return digits
    head, parts, size = digits[:-3], [digits[-3:]], 2 if style == "indian" else 3
    while head:
        parts.insert(0, head[-size:])
        head = head[:-size]
    return sign.join(parts)


def written(value: Decimal, grammar: dict[str, str]) -> tuple[str, Decimal]:
    """The number in the grammar, and what it says after rounding to its decimals."""
    if grammar["decimals"] != "as is" and grammar["form"] != "exponent":
        value = value.quantize(Decimal(1).scaleb(-int(grammar["decimals"])))
    if grammar["form"] == "exponent":
        body = f"{abs(value):E}".replace(".", grammar["point"])
    else:
        shown = abs(value) * 100 if grammar["form"] == "percent" else abs(value)
        whole, _, rest = f"{shown:f}".partition(".")
        body = grouped(whole, grammar["group"], grammar["style"]) + (grammar["point"] + rest if rest else "")
        body += "%" if grammar["form"] == "percent" else ""
    money = grammar["money"] if grammar["form"] == "plain" else ""
    body = f"{body} Rs" if money == "behind" else f"{body}/-" if money == "/-" else money + body
    if value >= 0:
        return body, value
    return {"()": f"({body})", "behind": f"{body}-"}.get(grammar["sign"], grammar["sign"] + body), value


PRICES = st.decimals(-(10**9), 10**9, places=3, allow_nan=False, allow_infinity=False)


@drawn(NUMBERS)
@given(
    number_grammars(), st.lists(st.tuples(PRICES, PRICES), min_size=1, max_size=6), st.booleans(),
    st.lists(st.sampled_from(["", "-", "NA", "n/a", "NaN", "null", "—"]), min_size=6, max_size=6), st.integers(0, 63),
)  # fmt: skip
def test_a_number_is_read_as_it_was_meant_or_named(
    grammar: dict[str, str], values: list[tuple[Decimal, Decimal]], as_parquet: bool, nothings: list[str], empty: int
) -> None:
    cells = [[written(value, grammar) for value in pair] for pair in values]
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(len(cells))]
    opens = [nothings[n] if empty >> n & 1 else pair[0][0] for n, pair in enumerate(cells)]
    rows = [[str(day), text, pair[1][0]] for day, text, pair in zip(days, opens, cells, strict=True)]
    with folder() as path:
        if as_parquet:
            columns = dict(zip(("Date", "Open", "Close"), map(list, zip(*rows, strict=True)), strict=True))
            pl.DataFrame(columns).write_parquet(path / "A.parquet")
        else:
            (path / "A.csv").write_text(table([["Date", "Open", "Close"], *rows]), encoding="utf-8")
        found, problems = read(next(iter(path.iterdir())))
    named = {problem.detail.split("column ")[1].split(":")[0] for problem in problems if "column " in problem.detail}
    assert found["date"].to_list() == days
    for n, pair in enumerate(cells):
        for place, (name, label) in enumerate((("open_inr", "Open"), ("close_inr", "Close"))):
            got = found[name][n]
            if place == 0 and empty >> n & 1:
                assert got is None
            else:
                assert (got is None and label in named) or got == pytest.approx(float(pair[place][1]), rel=1e-12)


@drawn(NUMBERS / 3)
@given(number_grammars(), st.lists(PRICES, min_size=1, max_size=5))
def test_a_file_that_shows_its_decimal_sign_is_read_whole(grammar: dict[str, str], values: list[Decimal]) -> None:
    """One cell with two decimals leaves no doubt, so nothing may be refused."""
    cells = [written(value, grammar) for value in values]
    proof = written(Decimal("7.25"), grammar | {"decimals": "2", "form": "plain"})
    rows = [[f"2024-01-{n + 1:02}", text] for n, (text, _) in enumerate([*cells, proof])]
    with folder() as path:
        (path / "A.csv").write_text(table([["Date", "Close"], *rows]), encoding="utf-8")
        found, problems = read(path / "A.csv")
    assert problems == ()
    assert found["close_inr"].to_list() == pytest.approx([float(value) for _, value in [*cells, proof]], rel=1e-12)


# ---- dates -----------------------------------------------------------------------------------------------------------

FORMATS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d-%m-%Y", "%d/%m/%Y", "%d.%m.%Y", "%m/%d/%Y", "%m-%d-%Y", "%d%m%Y",
    "%m%d%Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%b %d, %Y", "%B %d %Y", "%d%b%Y", "%Y-%b-%d", "%A, %d %B %Y",
    "%a %d %b %Y", "%d/%m/%y", "%m/%d/%y", "%y/%m/%d", "%d%m%y", "%y%m%d",
)  # fmt: skip
DAYS = st.dates(date(1990, 1, 1), date(2060, 12, 31))
#: Minutes east of Greenwich, None for a time without a zone.
ZONES = st.one_of(st.none(), st.sampled_from([0, 330, 345, -300, 60, 540, -720]))
TIMES = st.times().map(lambda moment: moment.replace(microsecond=0))


def stamped(day: date, form: str, moment: time | None, zone: int | None, mark: str) -> str:
    """The Indian day in a format, with a time of that day behind it where there is one."""
    if form in ("excel", "excel.0"):
        return str((day - date(1899, 12, 30)).days) + (".0" if form == "excel.0" else "")
    if form in ("seconds", "milliseconds"):
        indian = datetime.combine(day, moment or time(0), timezone(timedelta(minutes=330)))
        return str(int(indian.timestamp()) * (1000 if form == "milliseconds" else 1))
    if moment is None:
        return day.strftime(form)
    if zone is None:
        return f"{day.strftime(form)}{mark}{moment:%H:%M:%S}"
    there = datetime.combine(day, moment, timezone(timedelta(minutes=330))).astimezone(
        timezone(timedelta(minutes=zone))
    )
    offset = "Z" if zone == 0 else f"{there:%z}"
    return f"{there.strftime(form)}{mark}{there:%H:%M:%S}{offset}"


@drawn(DATES)
@given(
    st.lists(DAYS, min_size=1, max_size=8, unique=True),
    st.sampled_from([*FORMATS, "excel", "excel.0", "seconds", "milliseconds"]),
    st.one_of(st.none(), TIMES), ZONES, st.sampled_from([" ", "T"]), st.booleans(),
)  # fmt: skip
def test_a_date_is_read_as_it_was_meant_or_named(
    days: list[date], form: str, moment: time | None, zone: int | None, mark: str, as_parquet: bool
) -> None:
    if form in ("seconds", "milliseconds"):
        days = [day for day in days if day > date(2001, 9, 9)] or [date(2024, 1, 2)]
    cells = [stamped(day, form, moment, zone, mark) for day in days]
    with folder() as path:
        if as_parquet:
            pl.DataFrame({"Date": cells, "Close": [float(n) for n in range(len(days))]}).write_parquet(
                path / "A.parquet"
            )
        else:
            text = table([["Date", "Close"], *([cell, str(n)] for n, cell in enumerate(cells))])
            (path / "A.csv").write_text(text, encoding="utf-8")
        found, problems = read(next(iter(path.iterdir())))
    read_days = {int(n): day for day, n in found.select("date", "close_inr").iter_rows()} if found.width > 1 else {}
    assert all(read_days[n] == days[n] for n in read_days)
    assert len(read_days) == len(days) or problems
    if not form.replace("%", "").replace("d", "") or form in ("%Y-%m-%d", "%d-%b-%Y", "%d %B %Y", "%Y%m%d"):
        evening = moment is not None and zone is None and (moment.hour, moment.minute) == (18, 30)
        assert len(read_days) == len(days) or evening


@drawn(DATES / 3)
@given(
    st.lists(DAYS, min_size=1, max_size=8, unique=True),
    st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%d.%m.%Y"]),
)
def test_a_column_that_shows_its_order_is_read_whole(days: list[date], form: str) -> None:
    days = [*days, date(2061, 1, 31)]
    with folder() as path:
        (path / "A.csv").write_text(table([["Date", "Close"], *([day.strftime(form), "1"] for day in days)]))
        found, problems = read(path / "A.csv")
    assert found["date"].to_list() == days
    assert problems == ()


# ---- layouts ---------------------------------------------------------------------------------------------------------

HEADER = ["date", "ticker", "note", "open", "high", "low", "close", "volume"]
NAMES = st.sampled_from(
    ["TCS", "NA", "NAN", "NULL", "TRUE", "1E5", "20MICRONS", "007", "M&M", "BAJAJ-AUTO", "-", "INF"]
)
NOTES = st.sampled_from(["", "plain", "Infosys, Ltd", 'says "no"', "Häuser", "a;b|c", " blanks ", "#5", "two\nlines"])
PREAMBLES = ["", "Prices of the day", "# a comment", "Häuser; prices, all of them", "from: 2024"]
FAULTS = st.sampled_from(
    ["", "", "", "cut", "longer", "thousands", "thousands and cut", "unquoted note", "blank cells"]
)


@st.composite
def bars(draw: st.DrawFn) -> tuple[float, float, float, float, int]:
    """Open, high, low, close, volume that agree with each other."""
    low = draw(st.integers(50, 300_000))
    high = low + draw(st.integers(1, 50_000))
    first, last = (draw(st.integers(low, high)) for _ in range(2))
    return first / 100, high / 100, low / 100, last / 100, draw(st.integers(0, 10**7))


def line(cells: list[str], delimiter: str, quoting: int, fault: str) -> str:
    """One line as it is written, with what is wrong with it."""
    if fault in ("cut", "thousands and cut"):
        cells = cells[:-1]
    if fault == "longer":
        cells = [*cells, "late"]
    if fault == "blank cells":
        cells = [*cells, "", ""]
    if fault.startswith("thousands"):
        cells[2] = "plain"  # what is not quoted here must be the numbers alone
        cells = [f"{float(cell):,.2f}" if 3 <= n <= 6 else cell for n, cell in enumerate(cells)]
        return delimiter.join(cells) + "\n"
    if fault == "unquoted note":
        cells[2] = "Infosys, Ltd"
        return delimiter.join(cells) + "\n"
    return table([cells], delimiter, quoting)


@drawn(LAYOUTS)
@given(
    st.lists(st.tuples(NAMES, NOTES, bars(), FAULTS), min_size=1, max_size=7), st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"]),
    st.lists(st.sampled_from(PREAMBLES), max_size=3),
    st.lists(st.sampled_from(["", "# remark", "   "]), max_size=2), st.booleans(),
)  # fmt: skip
def test_a_layout_is_read_as_it_was_meant_or_named(
    rows: list[tuple], delimiter: str, quoting: int, ending: str, encoding: str, preamble: list[str],
    between: list[str], closes: bool,
) -> None:  # fmt: skip
    expected, lines = {}, [f"{text}\n" for text in preamble] + [table([HEADER], delimiter, quoting)]
    for n, (name, note, bar, fault) in enumerate(rows):
        day = date(2024, 1, 1) + timedelta(days=n)
        cells = [str(day), name, note.replace("\n", " ") if ending == "\r" else note, *(f"{value}" for value in bar)]
        lines += [line(cells, delimiter, quoting, fault), *(f"{text}\n" for text in between)]
        expected[day] = (name, *bar)
    text = "".join(lines) if closes else "".join(lines).rstrip("\n")
    with folder() as path:
        (path / "p.csv").write_bytes(text.replace("\n", ending).encode(encoding))
        found, problems = read(path / "p.csv")
    columns = ["date", "ticker", "open_inr", "high_inr", "low_inr", "close_inr", "volume_shares"]
    got = {row[0]: row[1:] for row in found.select(columns).iter_rows()} if found.width > 1 else {}
    assert set(got) <= set(expected)
    for day, row in got.items():
        assert all(a == b or (a is None and problems) for a, b in zip(row, expected[day], strict=True)), (day, row)
    sound = {day for day, (*_, fault) in zip(expected, rows, strict=True) if not fault}
    assert set(expected) <= set(got) or problems
    if len(sound) == len(rows):
        assert set(got) == sound
        assert problems == ()


# ---- rows of one day, names, lists -----------------------------------------------------------------------------------


@drawn(ROWS)
@given(st.lists(st.tuples(NAMES, st.integers(1, 5), st.booleans(), st.integers(0, 1)), min_size=1, max_size=8))
def test_the_good_one_of_two_rows_wins_and_is_counted(rows: list[tuple[str, int, bool, int]]) -> None:
    """Any number of rows of a day and name, in two files, some empty: the good ones of the first file are used."""
    files: dict[int, list[str]] = {0: [], 1: []}
    for n, (name, day, is_empty, file) in enumerate(rows):
        files[file].append(f"2024-01-0{day},{name},{'' if is_empty else n + 1}\n")
    with folder() as path:
        for file, lines in files.items():
            if lines:
                (path / f"{'ab'[file]}.csv").write_text("date,ticker,close\n" + "".join(lines))
        found = FilesSource(path=str(path), actions="none").fetch(None, date(2024, 1, 1), date(2024, 1, 31), NOW)
    best: dict[tuple[str, int], list[tuple[bool, int, int]]] = {}
    for n, (name, day, is_empty, file) in enumerate(rows):
        best.setdefault((name, day), []).append((is_empty, file, n + 1))
    got: dict[tuple[str, int], list[float | None]] = {}
    for day, name, close in found.rows.select("date", "ticker", "close_inr").iter_rows():
        got.setdefault((name, day.day), []).append(close)
    assert set(got) == set(best)
    for key, candidates in best.items():
        empty, file, _ = min(candidates)
        assert got[key] == [None if empty else n for e, f, n in candidates if (e, f) == (empty, file)]
    lost = len(rows) - found.rows.height
    counted = sum(int(p.detail.split()[0]) for p in found.problems if p.kind in ("empty_row", "overlap"))
    assert counted == lost


@drawn(LISTS)
@given(
    st.lists(st.tuples(NAMES, DAYS, st.decimals("0.01", 5000, places=2)), min_size=1, max_size=5),
    st.sampled_from(["%Y-%m-%d", "%d-%b-%Y", "%d/%m/%Y", "%m/%d/%Y"]), st.sampled_from([".NS", ".BO", "", "NSE:"]),
    st.sampled_from([",", ";", "\t"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), number_grammars(),
)  # fmt: skip
def test_a_list_of_actions_speaks_the_same_grammar(
    rows: list[tuple[str, date, Decimal]],
    form: str,
    around: str,
    delimiter: str,
    encoding: str,
    grammar: dict[str, str],
) -> None:
    grammar |= {"decimals": "2", "form": "plain"}
    lines = [["ticker", "ex_date", "kind", "value"]]
    for name, day, value in rows:
        bare = f"{around}{name}" if around.endswith(":") else f"{name}{around}"
        lines.append([bare, day.strftime(form), "dividend", written(value, grammar)[0]])
    with folder() as path:
        (path / "corporate_actions.csv").write_bytes(table(lines, delimiter).encode(encoding))
        try:
            found = read_actions(path / "corporate_actions.csv")
        except DataError as reason:
            assert "line " in str(reason)  # noqa: PT017
            return
    expected = {(name, day, float(value)) for name, day, value in rows}
    assert set(found.select("ticker", "ex_date", "value").rows()) == expected
